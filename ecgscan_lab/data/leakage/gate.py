"""The gate in front of a result: no patient, no recording and no corpus on both sides of a split."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np

from ecgscan_lab.data import load_cohort, synthetic_count
from ecgscan_lab.data.leakage.fingerprints import BLOCK, common_band
from ecgscan_lab.data.leakage.report import CopyPair, LeakageReport, Place
from ecgscan_lab.data.leakage.search import NearPairs, find_near_pairs
from ecgscan_lab.data.manifest import overlaps
from ecgscan_lab.data.splits import signal_key
from ecgscan_lab.errors import ArgumentError
from ecgscan_lab.types import SPLITS, Cohort, TrainingData

MIN_LIKENESS = 0.95

# Name of a cohort -> name of its manifest.
_MANIFESTS = {
    "ptbxl": "ptb-xl",
    "mimic": "mimic-iv-ecg",
    "cpsc2018": "cpsc2018",
    "csn": "csn",
    "code_test": "code-test",
    "code15": "code-15",
    "georgia": "georgia",
    "ludb": "ludb",
}


def leakage_gate(
    *sources: str | TrainingData,
    held_out: Sequence[str] = (),
    trained_on: Sequence[str] = (),
    min_likeness: float = MIN_LIKENESS,
    fs_hz: float = 100.0,
    duration_s: float = 10.0,
    **how: Any,
) -> LeakageReport:
    """Look for patients, recordings and corpora that sit on both sides of a split.

    Three searches: patients in more than one split of a cohort; recordings that are one, to the microvolt
    (`splits.find_duplicate_signals`) or nearly: rescaled, shifted by up to a quarter of a second, resampled, rounded,
    filtered or noisy; and what the manifests say about corpora that hold each other. Of copies in different splits the
    test copy stays, else the val copy.

    Args:
        sources: cohorts or stores, or addresses as for `data.load_cohort`. An address is read as its tables have it,
            before copies are parted, and into memory: prepare a store of what does not fit. Corpora at different rates
            are compared in the band that both show.
        held_out: names of cohorts of which every recording counts as a test recording.
        trained_on: names of manifests, corpora or checkpoints, that were trained on elsewhere.
        min_likeness: mean correlation over leads, at the best shift, from which two recordings are one.
        fs_hz, duration_s: rate and length at which addresses are read.
        how: further keywords of the loaders of addresses.

    Returns:
        The report; print it.

    Raises:
        ArgumentError: there is no source, or `held_out` names none of them.
        EcgScanLabError: as the loaders do.

    Properties: time grows as the number of recordings, not of pairs; memory holds 64 bytes of each and a block of
    signals; two recordings of one patient are two. Among 12,263 recordings of PTB-XL no pair of different patients
    that is no exact copy reaches 0.95, nor does one of 2,306 pairs of one patient; the nearest has 0.93.

    Example:
        >>> from ecgscan_lab.data.synthetic import synthetic_cohort
        >>> leakage_gate(synthetic_cohort(60)).clean
        True
    """
    started = time.perf_counter()
    if not sources:
        raise ArgumentError("nothing to look at", field="sources", expected="a cohort, a store, or an address")
    if not 0.5 <= min_likeness <= 1.0:
        raise ArgumentError(f"min_likeness is {min_likeness!r}", field="min_likeness", expected="0.5 to 1")
    strange = [source for source in sources if not isinstance(source, str) and not hasattr(source, "read_signals_mv")]
    if strange:
        raise ArgumentError(
            f"cannot look at a {type(strange[0]).__name__}",
            field="sources",
            expected="cohorts, stores or addresses, one after another: leakage_gate(a, b)",
        )
    cohorts = [_opened(source, fs_hz, duration_s, how) for source in sources]
    names = _distinct_names(cohorts)
    unknown = [name for name in held_out if name not in names]
    if unknown:
        raise ArgumentError(f"no cohort {unknown[0]!r}", field="held_out", expected=f"one of {', '.join(names)}")
    places = [
        place for name, data in zip(names, cohorts, strict=True) for place in _places(name, data, name in held_out)
    ]
    exact = list(_exact_pairs(cohorts))
    near = find_near_pairs(cohorts, common_band(cohorts), min_likeness)
    pairs = _copy_pairs(exact, near, places)
    return LeakageReport(
        records={name: len(data) for name, data in zip(names, cohorts, strict=True)},
        patients={name: _shared_patients(data) for name, data in zip(names, cohorts, strict=True)},
        pairs=pairs,
        corpora=_corpora(cohorts, trained_on),
        leave_out=_leave_out(pairs, names),
        n_compared=near.n_compared,
        n_verified=near.n_verified,
        n_still=near.n_still,
        seconds=time.perf_counter() - started,
    )


def _opened(source: str | TrainingData, fs_hz: float, duration_s: float, how: dict[str, Any]) -> TrainingData:
    if not isinstance(source, str):
        return source
    if source.startswith("store:"):
        from ecgscan_lab.data.store import open_store

        return open_store(source.removeprefix("store:"))
    if synthetic_count(source) is not None:
        return load_cohort(source, fs_hz=fs_hz, duration_s=duration_s)
    from ecgscan_lab.data.record_tables import load_table
    from ecgscan_lab.data.store import table_of

    table = table_of(source, fs_hz=fs_hz, duration_s=duration_s, **how)
    # A patient in two splits is a finding here, not an error.
    return load_table(replace(table, split_by_record=True), part_copies=False)


def _distinct_names(cohorts: Sequence[TrainingData]) -> list[str]:
    names: list[str] = []
    for data in cohorts:
        count = sum(name.partition(" #")[0] == data.name for name in names)
        names.append(f"{data.name} #{count + 1}" if count else data.name)
    return names


def _places(name: str, data: TrainingData, held_out: bool) -> list[Place]:
    splits = _splits(data)
    if isinstance(data, Cohort):
        ids = [record.record_id for record in data.records]
    else:
        ids = [str(record_id) for record_id in getattr(data, "record_ids", range(len(data)))]
    return [Place(name, i, ids[i], "test" if held_out else splits[i]) for i in range(len(data))]


def _splits(data: TrainingData) -> list[str | None]:
    splits: list[str | None] = [None] * len(data)
    for split in SPLITS:
        for i in data.indices(split).tolist():
            splits[i] = split
    return splits


def _shared_patients(data: TrainingData) -> dict[str, tuple[str, ...]]:
    """Patients in more than one split -> those splits."""
    found: dict[str, set[str]] = {}
    for split in SPLITS:
        for patient in np.unique(data.patients[data.indices(split)]).tolist():
            found.setdefault(str(patient), set()).add(split)
    return {
        patient: tuple(split for split in SPLITS if split in splits)
        for patient, splits in sorted(found.items())
        if len(splits) > 1
    }


def _exact_pairs(cohorts: Sequence[TrainingData]) -> Iterator[tuple[int, int]]:
    """Numbers of a first recording and of each copy of it, whatever cohort they are in."""
    first_of: dict[tuple[float, bytes], int] = {}
    number = 0
    for data in cohorts:
        for at in range(0, len(data), BLOCK):
            for signal_mv in data.read_signals_mv(np.arange(at, min(at + BLOCK, len(data)))):
                key = signal_key(signal_mv)
                first = number if key is None else first_of.setdefault((data.fs_hz, key), number)
                if first != number:
                    yield first, number
                number += 1


def _copy_pairs(exact: Sequence[tuple[int, int]], near: NearPairs, places: Sequence[Place]) -> tuple[CopyPair, ...]:
    """Exact pairs, and those near ones that no exact pairs imply."""
    first_of = {copy: first for first, copy in exact}
    pairs = [CopyPair(places[a], places[b], "exact", 1.0, 0.0) for a, b in exact]
    for (a, b), likeness, shift_s in zip(
        near.pairs.tolist(), near.likeness.tolist(), near.shift_s.tolist(), strict=True
    ):
        if first_of.get(a, a) != first_of.get(b, b):
            pairs.append(CopyPair(places[a], places[b], "near", likeness, shift_s))
    return tuple(pairs)


def _leave_out(pairs: Sequence[CopyPair], names: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """Cohort -> positions of the copies below the highest split of their group."""
    group_of: dict[Place, Place] = {}

    def root(place: Place) -> Place:
        while group_of.setdefault(place, place) != place:
            group_of[place] = place = group_of[group_of[place]]
        return place

    for pair in pairs:
        group_of[root(pair.second)] = root(pair.first)
    groups: dict[Place, list[Place]] = {}
    for place in list(group_of):
        groups.setdefault(root(place), []).append(place)
    left_out: dict[str, list[int]] = {name: [] for name in names}
    for members in groups.values():
        kept = max(_rank(place) for place in members)
        for place in members:
            if _rank(place) != kept:
                left_out[place.cohort].append(place.position)
    return {name: tuple(sorted(positions)) for name, positions in left_out.items()}


def _rank(place: Place) -> int:
    return -1 if place.split is None else SPLITS.index(place.split)


def _corpora(cohorts: Sequence[TrainingData], trained_on: Sequence[str]) -> tuple[str, ...]:
    """What the manifests say about each two of the cohorts, and about what was trained on elsewhere."""
    known = [_MANIFESTS[data.name] for data in cohorts if data.name in _MANIFESTS]
    found = [sentence for a, b in combinations(dict.fromkeys(known), 2) for sentence in overlaps([a], [b])]
    return tuple(dict.fromkeys([*found, *overlaps(trained_on, known)]))
