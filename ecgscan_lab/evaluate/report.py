"""A run's figures beside the paper's, each with what may and what may not be compared."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from os import PathLike
from pathlib import Path
from typing import Any

from ecgscan_lab.data.manifest import paper_results
from ecgscan_lab.errors import ArgumentError
from ecgscan_lab.evaluate.report_figure import APART, figure_svg
from ecgscan_lab.whole_files import write_whole

ALIKE, RESERVED = "alike", "with reservations"

# Sizes of the splits behind Table 2: (training, validation, test) records.
PAPER_SPLITS = {
    "PTBXL-Super": (17_084, 2_146, 2_158),
    "PTBXL-Sub": (17_084, 2_146, 2_158),
    "PTBXL-Form": (7_197, 901, 880),
    "PTBXL-Rhythm": (16_832, 2_100, 2_098),
    "CPSC2018": (4_950, 551, 1_376),
    "CSN": (16_546, 1_860, 4_620),
    "CODE-test": (0, 0, 827),
}
# What a task of a cohort is called in the paper's tables.
PAPER_NAMES = {
    ("ptbxl", "superclass"): "PTBXL-Super",
    ("ptbxl", "subclass"): "PTBXL-Sub",
    ("ptbxl", "form"): "PTBXL-Form",
    ("ptbxl", "rhythm"): "PTBXL-Rhythm",
    ("cpsc2018", "cpsc2018"): "CPSC2018",
    ("csn", "csn"): "CSN",
    ("code_test", "code"): "CODE-test",
}


@dataclass(frozen=True)
class Measured:
    """One figure of a run: what was measured, on what, and how.

    Attributes:
        task: "linear_probe", "zero_shot", "distribution_shift" or "reading", as in `paper_results.csv`.
        dataset: as the paper calls it ("PTBXL-Super", ...), or a name of one's own.
        encoder: who was measured.
        auroc: macro AUROC in percent.
        ci95: its patient-level interval, or None.
        fraction: percent of the training labels, or None where none is used.
        protocol: of a probe: "sound", "paper" or "merl"; of zero-shot: the prompts, for instance "builtin".
        pretrained_on: corpora behind the encoder.
        n_train: training records behind the probe at 100 %, or None.
        n_test: test records, or None.
        labels: "published" label matrices, or "exact" ones where the published have an error (CSN).
        duration_s: seconds of each recording.
        group: "image", "signal" or "human".
    """

    task: str
    dataset: str
    encoder: str
    auroc: float
    ci95: tuple[float, float] | None = None
    fraction: int | None = None
    protocol: str = "sound"
    pretrained_on: tuple[str, ...] = ()
    n_train: int | None = None
    n_test: int | None = None
    labels: str = "published"
    duration_s: float = 10.0
    group: str = "image"

    def __post_init__(self) -> None:
        if not 0.0 <= self.auroc <= 100.0:
            raise ArgumentError(f"an AUROC of {self.auroc}", field="auroc", expected="percent, 0 to 100")


@dataclass(frozen=True)
class ReportRow:
    """One line of the report: a figure of the run or of the paper.

    Attributes:
        source: "this run", or the paper and its table.
        comparable: "alike", "with reservations" or "not comparable" to the run's figure of the same line.
        reservations: every difference that is known, as sentences.
    """

    task: str
    dataset: str
    fraction: int | None
    encoder: str
    group: str
    auroc: float
    low: float | None
    high: float | None
    source: str
    comparable: str
    reservations: tuple[str, ...]


@dataclass(frozen=True)
class Report:
    """A run beside the paper, line by line; shown as a table by a notebook, written by `report(..., out=FOLDER)`."""

    title: str
    rows: tuple[ReportRow, ...]

    def csv(self) -> str:
        """Comma-separated values, one row a figure."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow([field.name for field in fields(ReportRow)])
        for row in self.rows:
            cells = [getattr(row, field.name) for field in fields(ReportRow)]
            writer.writerow(["; ".join(c) if isinstance(c, tuple) else "" if c is None else c for c in cells])
        return text.getvalue()

    def markdown(self) -> str:
        """A Markdown document: one table a data set and label fraction, the reservations as footnotes."""
        notes = self._notes()
        lines = [f"# {self.title}", "", _KEY, ""]
        for heading, rows in self._sections():
            lines += [
                f"## {heading}",
                "",
                "| encoder | input | macro AUROC (%) | source | comparable |",
                "|---|---|---|---|---|",
            ]
            lines += [
                f"| {_bold(_escaped(row.encoder), row)} | {row.group} | {_figure(row)} | {row.source} | "
                f"{row.comparable}{_marks(row, notes)} |"
                for row in rows
            ]  # fmt: skip
            lines.append("")
        lines += [f"{number}. {note}" for note, number in notes.items()]
        return "\n".join(lines).rstrip() + "\n"

    def latex(self) -> str:
        """A LaTeX `longtable` (packages longtable and booktabs), the reservations below it."""
        notes = self._notes()
        lines = [
            f"% {self.title}",
            r"\begin{longtable}{lllrl}",
            r"\toprule",
            r"Data set & Labels & Encoder & Macro AUROC (\%) & Comparable \\",
            r"\midrule",
            r"\endhead",
        ]
        for row in self.rows:
            labels = "none" if row.fraction is None else rf"{row.fraction}\,\%"
            numbers = ",".join(str(number) for number in sorted(notes[note] for note in row.reservations))
            marks = f"$^{{{numbers}}}$" if numbers else ""
            figure = _figure(row).replace("–", "--")
            lines.append(
                rf"{_tex(row.dataset)} & {labels} & {_tex(row.encoder)} & {figure} & {row.comparable}{marks} \\"
            )
        lines += [r"\bottomrule", r"\end{longtable}"]
        lines += [rf"$^{{{number}}}$ {_tex(note)}\\" for note, number in notes.items()]
        return "\n".join(lines) + "\n"

    def svg(self) -> str:
        """A figure: the run's points with their intervals beside the paper's, one row of axes a data set."""
        return figure_svg(self.title, self._sections())

    def _repr_markdown_(self) -> str:
        return self.markdown()

    def _sections(self) -> list[tuple[str, list[ReportRow]]]:
        sections: dict[str, list[ReportRow]] = {}
        for row in self.rows:
            sections.setdefault(_heading(row.task, row.dataset, row.fraction), []).append(row)
        return list(sections.items())

    def _notes(self) -> dict[str, int]:
        distinct = dict.fromkeys(note for row in self.rows for note in row.reservations)
        return {note: number for number, note in enumerate(distinct, start=1)}


_KEY = (
    '"alike": nothing known stands between the two figures. "with reservations": the same records and labels, but the '
    'numbered differences remain. "not comparable": other records, labels or a figure chosen on the test records.'
)


def report(
    measured: Iterable[Measured],
    *,
    out: str | PathLike[str] | None = None,
    methods: Sequence[str] | None = None,
    title: str = "This run beside the paper",
) -> Report:
    """Put a run's figures beside the paper's and say of each pair what may be compared.

    The paper's Table 2 is not one protocol: its self-supervised rows and MERL's are the numbers that MERL printed, cut
    to 5 s on CPSC2018 and taken at the best *test* epoch. Such differences are listed with every row.

    Args:
        measured: the run's figures. A data set that the paper does not have is listed alone.
        out: folder for `report.csv`, `report.md`, `report.tex` and `report.svg`; nothing is written without it.
        methods: rows of the paper to show; None shows all.
        title: of the document.

    Returns:
        The report: its rows first the run's, then the paper's by falling AUROC, for each data set and fraction.

    Raises:
        ArgumentError: nothing was measured, the same figure twice, or a method that the paper does not have.
        ExportError: `out` cannot be written.

    Properties: every figure of the run appears once; every figure of the paper is the one of `paper_results.csv`; a row
    with a difference is never called "alike".

    Example:
        >>> found = report([Measured("linear_probe", "PTBXL-Super", "mine", 88.0, fraction=100)], methods=["ECG-Scan"])
        >>> [(row.encoder, row.auroc, row.comparable) for row in found.rows]
        [('mine', 88.0, ''), ('ECG-Scan', 90.86, 'not comparable')]
    """
    measured = list(measured)
    _check(measured)
    printed = paper_results()
    known = {row["method"] for row in printed}
    unknown = [name for name in methods or () if name not in known]
    if unknown:
        raise ArgumentError(
            f"the paper has no method {unknown[0]!r}", field="methods", expected=", ".join(sorted(known))
        )
    rows: list[ReportRow] = []
    for task, dataset, fraction in dict.fromkeys((m.task, m.dataset, m.fraction) for m in measured):
        ours = [m for m in measured if (m.task, m.dataset, m.fraction) == (task, dataset, fraction)]
        rows += [_ours(m) for m in ours]
        theirs = [
            row for row in printed
            if _same_line(row, task, dataset, fraction) and (methods is None or row["method"] in methods)
        ]  # fmt: skip
        rows += [_theirs(row, ours[0]) for row in sorted(theirs, key=lambda row: -row["auc"])]
    made = Report(title, tuple(rows))
    if out is not None:
        for name, text in (("csv", made.csv()), ("md", made.markdown()), ("tex", made.latex()), ("svg", made.svg())):
            write_whole(Path(out) / f"report.{name}", text.encode())
    return made


def measured_from(
    results: Mapping[str, Mapping[str, Any]], *, task: str, cohort: str, fraction: int | None = None, **facts: Any
) -> list[Measured]:
    """Figures of a nested table `{task of the cohort: {encoder: result}}`, results with `macro_auroc` and `ci95`.

    Args:
        results: for instance of `judgement.probe_encoders` or `{name: zero_shot(...)}` by task.
        task: "linear_probe" or "zero_shot".
        cohort: kind of the source, for instance "ptbxl": names the paper's data set where it has one.
        fraction: percent of the training labels.
        **facts: what holds for all of them, see `Measured`.

    Returns:
        One `Measured` a figure.
    """
    found = []
    for name, by_encoder in results.items():
        dataset = PAPER_NAMES.get((cohort, name), f"{cohort} {name}")
        for encoder, result in by_encoder.items():
            plain = result if isinstance(result, Mapping) else result.as_dict()
            low, high = plain["ci95"]
            more = {key: plain[key] for key in ("n_train", "n_test") if plain.get(key) is not None}
            found.append(
                Measured(task, dataset, encoder, plain["macro_auroc"], (low, high), fraction, **{**more, **facts})
            )
    return found


def _ours(m: Measured) -> ReportRow:
    low, high = m.ci95 if m.ci95 is not None else (None, None)
    return ReportRow(m.task, m.dataset, m.fraction, m.encoder, m.group, m.auroc, low, high, "this run", "", ())


def _theirs(row: Mapping[str, Any], ours: Measured) -> ReportRow:
    apart, reserved = differences(row, ours)
    verdict = APART if apart else RESERVED if reserved else ALIKE
    return ReportRow(
        row["task"], row["dataset"], row["fraction"], row["method"], row["group"], row["auc"], None, None,
        row["source"], verdict, (*apart, *reserved),
    )  # fmt: skip


def differences(row: Mapping[str, Any], ours: Measured) -> tuple[list[str], list[str]]:
    """What stands between a printed figure and a measured one: what forbids a comparison, and what qualifies it.

    Args:
        row: of `paper_results()`.
        ours: the measured figure.

    Returns:
        Sentences of either kind.
    """
    apart, reserved = [], []
    theirs = PAPER_SPLITS.get(row["dataset"])
    if theirs is None:
        reserved.append("the paper prints an average over data sets here")
    elif ours.n_test != theirs[2]:
        n = "an unstated number of" if ours.n_test is None else f"{ours.n_test:,}"
        apart.append(f"judged on {n} test records, the paper's {row['dataset']} on {theirs[2]:,}")
    if ours.protocol == "merl":
        apart.append("this run's figure is the best test epoch, so its own test records chose it")
    if ours.labels != "published":
        apart.append("this run's labels are the corrected ones, the paper's the published ones")
    if "best test epoch" in row["note"]:
        apart.append(f"the printed figure is {row['note']}")
    elif row["note"]:
        reserved.append(f"the printed figure: {row['note']}")
    if row["task"] == "linear_probe":
        if theirs is not None and ours.n_train is not None and ours.fraction == 100 and ours.n_train != theirs[0]:
            reserved.append(f"probed with {ours.n_train:,} labelled records, the paper with {theirs[0]:,}")
        if ours.protocol == "sound":
            reserved.append("a logistic regression chosen on validation here, 100 epochs of AdamW in the paper")
        if row["fraction"] is not None and row["fraction"] < 100:
            reserved.append("the few labels are another draw")
    if row["group"] != ours.group:
        reserved.append(
            {"signal": "reads the signal", "human": "read by people"}.get(row["group"], "reads the picture")
        )
    if "mimic-iv-ecg" not in ours.pretrained_on and row["group"] != "human":
        reserved.append("pretrained on MIMIC-IV-ECG or other corpora in the paper, not here")
    if not math.isclose(ours.duration_s, 10.0):
        apart.append(f"recordings of {ours.duration_s:g} s here")
    return apart, reserved


def _check(measured: Sequence[Measured]) -> None:
    if not measured:
        raise ArgumentError("nothing was measured", field="measured", expected="at least one figure")
    seen = set()
    for m in measured:
        key = (m.task, m.dataset, m.fraction, m.encoder, m.protocol)
        if key in seen:
            raise ArgumentError(f"measured twice: {', '.join(map(str, key))}", field="measured", expected="once each")
        seen.add(key)


def _same_line(row: Mapping[str, Any], task: str, dataset: str, fraction: int | None) -> bool:
    if row["dataset"] != dataset:
        return False
    # Human readings of CODE-test stand beside what is measured there without labels.
    return (row["task"], row["fraction"]) == (task, fraction) or (row["task"] == "reading" and task == "zero_shot")


def _heading(task: str, dataset: str, fraction: int | None) -> str:
    labels = "" if fraction is None else f", {fraction} % of labels"
    shown = "zero-shot" if task in ("zero_shot", "reading") else task.replace("_", " ")
    return f"{dataset}, {shown}{labels}"


def _figure(row: ReportRow) -> str:
    interval = "" if row.low is None or row.high is None else f" [{row.low:.1f}, {row.high:.1f}]"
    return f"{row.auroc:.2f}{interval}"


def _marks(row: ReportRow, notes: Mapping[str, int]) -> str:
    numbers = sorted(notes[note] for note in row.reservations)
    return f" ({', '.join(map(str, numbers))})" if numbers else ""


def _bold(text: str, row: ReportRow) -> str:
    return f"**{text}**" if row.source == "this run" else text


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("*", "\\*").replace("<", "&lt;")


def _tex(text: str) -> str:
    special = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    return "".join(special.get(c, f"\\{c}" if c in "&%$#_{}" else c) for c in text)
