"""What the leakage gate found, for reading, for a program, and for whoever has to leave records out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_SHOWN = 20


@dataclass(frozen=True)
class Place:
    """One recording: which cohort, its position and name there, and the split it counts for."""

    cohort: str
    position: int
    record_id: str
    split: str | None


@dataclass(frozen=True)
class CopyPair:
    """Two recordings that are one.

    Attributes:
        first, second: where they are.
        kind: "exact" (to the microvolt) or "near".
        likeness: mean correlation over leads at the best shift.
        shift_s: by how much the second lags, in seconds.
    """

    first: Place
    second: Place
    kind: str
    likeness: float
    shift_s: float

    @property
    def leaks(self) -> bool:
        """Whether the two count for different splits."""
        return self.first.split != self.second.split


@dataclass(frozen=True)
class LeakageReport:
    """What two splits, or two corpora, share.

    Attributes:
        records: cohort -> recordings.
        patients: cohort -> patients in more than one split, each with its splits.
        pairs: recordings that are one, exact ones first.
        corpora: sentences of the manifests about corpora that hold each other's recordings.
        leave_out: cohort -> positions to leave out so that no recording sits in two splits; test copies stay.
        n_compared: fingerprints compared.
        n_verified: pairs whose signals were compared.
        n_still: recordings that do not move, and so have no copies.
        seconds: time it took.
    """

    records: Mapping[str, int]
    patients: Mapping[str, Mapping[str, tuple[str, ...]]] = field(repr=False)
    pairs: tuple[CopyPair, ...] = field(repr=False)
    corpora: tuple[str, ...]
    leave_out: Mapping[str, tuple[int, ...]] = field(repr=False)
    n_compared: int
    n_verified: int
    n_still: int
    seconds: float

    @property
    def leaks(self) -> tuple[CopyPair, ...]:
        """The pairs that sit in different splits."""
        return tuple(pair for pair in self.pairs if pair.leaks)

    @property
    def clean(self) -> bool:
        """Whether no patient and no recording was found in two splits, and no manifest speaks of an overlap."""
        return not (self.leaks or self.corpora or any(self.patients.values()))

    def as_dict(self) -> dict[str, Any]:
        """Everything, as JSON can hold it."""
        return {
            "clean": self.clean,
            "records": dict(self.records),
            "patients_in_several_splits": {
                name: {p: list(s) for p, s in of.items()} for name, of in self.patients.items()
            },
            "pairs": [
                {
                    "kind": pair.kind,
                    "leaks": pair.leaks,
                    "likeness": round(pair.likeness, 4),
                    "shift_s": round(pair.shift_s, 4),
                    **{
                        f"{which}_{name}": getattr(place, name)
                        for which, place in (("first", pair.first), ("second", pair.second))
                        for name in ("cohort", "record_id", "split", "position")
                    },
                }
                for pair in self.pairs
            ],
            "corpora": list(self.corpora),
            "leave_out": {name: list(positions) for name, positions in self.leave_out.items()},
            "n_compared": self.n_compared,
            "n_verified": self.n_verified,
            "n_still": self.n_still,
            "seconds": round(self.seconds, 2),
        }

    def __str__(self) -> str:
        """The report in lines of plain text."""
        held = ", ".join(f"{count:,} of {name}" for name, count in self.records.items())
        where = "two splits" if len(self.records) == 1 else "two corpora or splits"
        lines = [f"{held}: {'nothing' if self.clean else 'something'} is in {where} ({self.seconds:.1f} s)"]
        lines += [f"  corpora: {sentence}" for sentence in self.corpora]
        for name, shared in self.patients.items():
            if shared:
                first, splits = next(iter(shared.items()))
                lines.append(
                    f"  patients of {name} in several splits: {len(shared):,} (as {first!r}: {', '.join(splits)})"
                )
        for kind in ("exact", "near"):
            found = [pair for pair in self.pairs if pair.kind == kind]
            across = sum(pair.leaks for pair in found)
            lines.append(f"  {kind} copies: {len(found):,} pairs, {across:,} of them across splits")
        lines += [_line(pair) for pair in sorted(self.pairs, key=lambda pair: not pair.leaks)[:_SHOWN]]
        if len(self.pairs) > _SHOWN:
            lines.append(f"    and {len(self.pairs) - _SHOWN:,} more")
        for name, positions in self.leave_out.items():
            if positions:
                lines.append(
                    f"  leave out of {name}: {len(positions):,} recordings, so that the test copies stay alone"
                )
        lines.append(
            f"  {self.n_compared:,} fingerprints and {self.n_verified:,} pairs of signals compared; "
            f"{self.n_still:,} recordings do not move"
        )
        return "\n".join(lines)


def _line(pair: CopyPair) -> str:
    places = " and ".join(f"{p.cohort} {p.record_id!r} ({p.split})" for p in (pair.first, pair.second))
    how = "" if pair.kind == "exact" else f", likeness {pair.likeness:.3f}, {1000 * pair.shift_s:+.0f} ms"
    return f"    {'LEAK' if pair.leaks else 'same split'}: {places}: {pair.kind}{how}"
