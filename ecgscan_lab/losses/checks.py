"""`check_loss`: does this function of features behave as a training loss must, and what can it see and not see?

The same contract is run by the tests over every entry of `LOSSES`. `properties` holds what is looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from ecgscan_lab.errors import ArgumentError
from ecgscan_lab.losses.properties import PROPERTIES, Property
from ecgscan_lab.losses.registry import as_feature_loss
from ecgscan_lab.losses.trial import MODALITIES, Broken, Subject, fields_read, generators_kept


@dataclass(frozen=True)
class Finding:
    """What was found about one property.

    Attributes:
        name: the property.
        required: whether a loss without it is unfit for training here; the others are worth knowing.
        holds: True, False, or None where it does not apply.
        seen: what was measured, or how the loss crashed.
        meaning: what it means for training when the property does not hold.
        tried: False when an earlier failure left nothing to try it on.
    """

    name: str
    required: bool
    holds: bool | None
    seen: str
    meaning: str
    tried: bool = True

    @property
    def mark(self) -> str:
        """The answer in a word: yes, no (NO where it is required), or a dash where it does not apply."""
        return {True: "yes", False: "NO" if self.required else "no", None: "–"}[self.holds]


@dataclass(frozen=True, repr=False)
class LossReport:
    """The verdict on a loss; shows itself as a table, and is true when every required property holds.

    Attributes:
        loss: name of the loss.
        reads: fields of `Features` that it reads.
        findings: one a property, required ones first.
    """

    loss: str
    reads: tuple[str, ...]
    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Whether no required property is missing."""
        return not self.failures

    @property
    def failures(self) -> tuple[Finding, ...]:
        """Required properties that do not hold."""
        return tuple(finding for finding in self.findings if finding.required and finding.holds is False)

    def __bool__(self) -> bool:
        return self.ok

    def __getitem__(self, name: str) -> Finding:
        """The finding about one property.

        Raises:
            ArgumentError: there is no property of that name.
        """
        for finding in self.findings:
            if finding.name == name:
                return finding
        raise ArgumentError(
            f"no property {name!r}", field="name", expected=f"one of {', '.join(f.name for f in self.findings)}"
        )

    @property
    def verdict(self) -> str:
        """What was found, in one or two sentences."""
        n_required = sum(
            finding.required and (finding.holds is not None or not finding.tried) for finding in self.findings
        )
        if self.ok:
            return f"{self.loss}: fit for training, all {n_required} required properties hold."
        named = ", ".join(finding.name for finding in self.failures)
        n_untried = sum(not finding.tried for finding in self.findings)
        rest = f" The other {n_untried} properties could not be tried." if n_untried else ""
        return f"{self.loss}: {len(self.failures)} of {n_required} required properties missing: {named}.{rest}"

    def _sections(self) -> list[tuple[str, list[Finding]]]:
        tried = [finding for finding in self.findings if finding.tried]
        both = (("required", True), ("good to know", False))
        sections = [(title, [finding for finding in tried if finding.required is wanted]) for title, wanted in both]
        return [(title, findings) for title, findings in sections if findings]

    def __str__(self) -> str:
        width = max(len(finding.name) for finding in self.findings)
        lines = [self.verdict, f"It reads {', '.join(self.reads) or 'nothing'}."]
        for title, findings in self._sections():
            lines += ["", f"{title.ljust(width)}  holds  seen"]
            for finding in findings:
                lines.append(f"{finding.name.ljust(width)}  {finding.mark:<5}  {finding.seen}".rstrip())
                lines += [f"{'':{width}}         {finding.meaning}"] if finding.holds is False else []
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        rows = []
        for title, findings in self._sections():
            heads = "".join(f'<th scope="col"{_LEFT}>{head}</th>' for head in (title, "holds", "seen"))
            rows.append(f"<tr>{heads}</tr>")
            rows += [_row_html(finding) for finding in findings]
        caption = f"<strong>{escape(self.verdict)}</strong> It reads {escape(', '.join(self.reads) or 'nothing')}."
        return (
            f'<table><caption style="text-align:left;color:inherit">{caption}</caption>'
            f"<tbody>{''.join(rows)}</tbody></table>"
        )


_LEFT = ' style="text-align:left"'


def _row_html(finding: Finding) -> str:
    weight = "bold" if finding.holds is False else "normal"
    meaning = f"<br><em>{escape(finding.meaning)}</em>" if finding.holds is False else ""
    return (
        f'<tr><th scope="row" style="text-align:left;font-weight:normal">{escape(finding.name)}</th>'
        f'<td style="text-align:left;font-weight:{weight}">{finding.mark}</td>'
        f'<td style="text-align:left;white-space:normal;max-width:46em">{escape(finding.seen)}{meaning}</td></tr>'
    )


def check_loss(
    loss: str | Callable[..., Any], *, uses: Sequence[str] | None = None, seed: int = 0, **options: Any
) -> LossReport:
    """Run the contract of this package's losses on any function `Features -> scalar`.

    Required is what training needs: one finite number with a right gradient that reaches what the loss reads; no NaN
    where embeddings coincide, vanish or explode; no dependence on the order of the batch, on hidden randomness or on
    half precision; and matched records below mismatched ones. Good to know is what the loss can and cannot see:
    rotations, the length of rows, and the sign of a vector.

    A loss that crashes gets a finding, not a traceback.

    Args:
        loss: your function of `types.Features`, or a name of `LOSSES`.
        uses: which of image, text, signal and reconstruction_mv its gradient is meant to reach; None takes all that it
            reads. Name them for a loss that stops a gradient on purpose.
        seed: seed of the random features it is tried on.
        options: bound to the loss, such as `kind="plane_distance"` for "gram".

    Returns:
        A table that shows itself when it ends a cell; `.ok`, `.failures` and `report["name"]` for programs.

    Raises:
        ArgumentError: no such loss, an unknown option, or `uses` names no modality.

    **Properties**: neither the loss's input nor any global generator is changed; the same loss gets the same report.

    Example:
        >>> report = check_loss(lambda features: (features.image - features.text).square().mean())
        >>> report.ok, report["tells z from -z"].holds, report["matched below mismatched"].holds
        (True, True, True)
    """
    unknown = [name for name in uses or () if name not in MODALITIES]
    if unknown:
        raise ArgumentError(f"uses names {unknown[0]!r}", field="uses", expected=f"some of {', '.join(MODALITIES)}")
    if isinstance(loss, str):
        function: Callable[..., Any] = as_feature_loss(loss, **options)
    elif callable(loss):
        function = (lambda features: loss(features, **options)) if options else loss
    else:
        raise ArgumentError(
            f"the loss is a {type(loss).__name__}", field="loss", expected="a function of Features, or a name of LOSSES"
        )
    name = loss if isinstance(loss, str) else getattr(loss, "__name__", "loss")
    with generators_kept():
        reads = fields_read(function, seed)
        claimed = tuple(uses) if uses is not None else tuple(field for field in reads if field in MODALITIES)
        findings = _look_at_all(Subject(function, reads, claimed, seed))
    order = sorted(findings, key=lambda finding: not finding.required)
    return LossReport("loss" if name == "<lambda>" else str(name), reads, tuple(order))


def _look_at_all(subject: Subject) -> list[Finding]:
    """One finding a property; once an essential one is missing, the rest are not tried."""
    findings: list[Finding] = []
    for item in PROPERTIES:
        findings.append(_look(item, subject))
        if item.essential and findings[-1].holds is False:
            untried = PROPERTIES[len(findings) :]
            return findings + [Finding(p.name, p.required, None, "", p.meaning, tried=False) for p in untried]
    return findings


def _look(item: Property, subject: Subject) -> Finding:
    """One property tried on one loss; whatever the loss raises becomes a finding."""
    holds: bool | None = True
    try:
        seen = item.look(subject)
        if seen is None:
            holds, seen = None, "does not apply"
    except Broken as broken:
        holds, seen = False, str(broken)
    except Exception as error:
        first = (str(error).strip().splitlines() or [""])[0]
        holds, seen = False, f"it raised {type(error).__name__}: {first}"[:200]
    return Finding(item.name, item.required, holds, seen, item.meaning)
