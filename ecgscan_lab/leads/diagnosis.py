"""What the lead doctor found: findings with their evidence and remedy, printable in a terminal and in a notebook."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ecgscan_lab.leads.hypotheses import N_LIMB, recompute
from ecgscan_lab.leads.names import LIMB_LEADS

Severity = Literal["error", "hint"]


@dataclass(frozen=True)
class Repair:
    """What to do with the rows: `y[lead] = gain[lead] * x[take[lead]] - offset_mv[lead]`, then recompute.

    Attributes:
        take: lead -> the row that really holds it, where it is another one.
        gain: lead -> factor, negative where the lead is upside down; "all" stands for every lead.
        offset: lead -> constant to subtract after the gain.
        recompute: limb leads to compute anew from the other limb leads, by least squares.
    """

    take: Mapping[str, str] = field(default_factory=dict)
    gain: Mapping[str, float] = field(default_factory=dict)
    offset: Mapping[str, float] = field(default_factory=dict)
    recompute: tuple[str, ...] = ()

    def apply(self, signal: NDArray[np.float64], leads: Sequence[str]) -> NDArray[np.float64]:
        """Repaired copy of `signal` `[lead, time]`, rows named `leads`."""
        row = {lead: k for k, lead in enumerate(leads)}
        everywhere = self.gain.get("all", 1.0)
        repaired = np.stack(
            [
                everywhere * self.gain.get(lead, 1.0) * signal[row[self.take.get(lead, lead)]]
                - self.offset.get(lead, 0.0)
                for lead in leads
            ]
        )
        if self.recompute:
            limb = recompute(repaired[[row[lead] for lead in LIMB_LEADS]], _positions(self.recompute))
            for lead in self.recompute:
                repaired[row[lead]] = limb[LIMB_LEADS.index(lead)]
        return repaired


@dataclass(frozen=True)
class Finding:
    """One thing that is, or may be, wrong with a recording.

    Attributes:
        kind: "order", "sign", "gain", "unit", "offset", "scaling", "flat", "duplicate", "misfit", "burst", "padding",
            "gap" or "electrodes".
        leads: the leads it concerns.
        severity: "error" for what the laws or the amplitudes prove, "hint" for what is worth a look.
        sentence: what was found.
        fix: what to do about it.
        evidence: the numbers behind it, by name.
        repair: how to undo it, or None when the samples cannot tell.
        certain: whether `repair_leads` applies the repair without being asked.
    """

    kind: str
    leads: tuple[str, ...]
    severity: Severity
    sentence: str
    fix: str
    evidence: Mapping[str, float] = field(default_factory=dict)
    repair: Repair | None = field(default=None, repr=False)
    certain: bool = False


@dataclass(frozen=True, repr=False)
class LeadDiagnosis:
    """The lead doctor's report on one recording.

    Attributes:
        findings: errors first, in the order in which they are to be repaired; then hints.
        limits: what could not be seen, in sentences.
        snr_db: limb-law SNR as given, the median over windows; NaN where the laws could not be tried.
        repaired_snr_db: the same once the errors found are undone.
        record_id: the record's name, empty for a bare signal.
    """

    findings: tuple[Finding, ...]
    limits: tuple[str, ...]
    snr_db: float
    repaired_snr_db: float
    record_id: str = ""

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong as far as one can see: there may be hints, but no error."""
        return not any(finding.severity == "error" for finding in self.findings)

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of the findings, errors first."""
        return tuple(finding.kind for finding in self.findings)

    @property
    def verdict(self) -> str:
        """One sentence: how many errors and hints, and how well the laws hold."""
        errors = sum(finding.severity == "error" for finding in self.findings)
        hints = len(self.findings) - errors
        counted = ", ".join(
            f"{n} {name}{'' if n == 1 else 's'}" for n, name in ((errors, "error"), (hints, "hint")) if n
        )
        laws = "the limb-lead laws could not be tried"
        if np.isfinite(self.snr_db):
            laws = f"the limb-lead laws hold to {self.snr_db:.1f} dB"
            if np.isfinite(self.repaired_snr_db) and self.repaired_snr_db - self.snr_db > 1.0:
                laws += f", and to {self.repaired_snr_db:.1f} dB after the repair"
        return f"{counted or 'nothing found'}; {laws}"

    def __str__(self) -> str:
        name = f"{self.record_id}: " if self.record_id else ""
        lines = [f"{name}{self.verdict}"]
        for finding in self.findings:
            lines.append(f"  {finding.severity} ({finding.kind}, {', '.join(finding.leads)}): {finding.sentence}")
            numbers = ", ".join(f"{key} {value:.4g}" for key, value in finding.evidence.items())
            lines += [f"    seen: {numbers}"] if numbers else []
            lines.append(f"    fix: {finding.fix}")
        lines += ["  not visible here:", *(f"    - {limit}" for limit in self.limits)]
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{escape(f.severity)}</td><td>{escape(f.kind)}</td><td>{escape(', '.join(f.leads))}</td>"
            f'<td style="text-align:left">{escape(f.sentence)}<br><em>{escape(f.fix)}</em></td>'
            f"<td>{'<br>'.join(escape(f'{key} {value:.4g}') for key, value in f.evidence.items())}</td></tr>"
            for f in self.findings
        )
        table = (
            "<table><thead><tr><th>severity</th><th>kind</th><th>leads</th><th>finding and fix</th><th>evidence</th>"
            f"</tr></thead><tbody>{rows}</tbody></table>"
            if rows
            else ""
        )
        limits = "".join(f"<li>{escape(limit)}</li>" for limit in self.limits)
        name = f"<strong>{escape(self.record_id)}</strong>: " if self.record_id else ""
        return (
            f"<div><p>{name}{escape(self.verdict)}</p>{table}"
            f"<details><summary>what cannot be seen here</summary><ul>{limits}</ul></details></div>"
        )


def _positions(leads: Sequence[str]) -> tuple[int, ...]:
    positions = tuple(sorted(LIMB_LEADS.index(lead) for lead in leads))
    assert len(positions) <= N_LIMB - 2, "two limb leads are needed to compute the others"
    return positions
