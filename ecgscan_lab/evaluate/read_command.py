"""`ecgscan-lab read`: photographs of paper ECGs in; leads, findings, and what cannot be told out."""

from __future__ import annotations

import argparse
import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ecgscan_lab.errors import ArgumentError, PageError, PictureError, SplitError
from ecgscan_lab.evaluate.embed_commands import checkpoint_path

if TYPE_CHECKING:
    from ecgscan_lab.evaluate.findings import PaperReading, Reference

Say = Callable[[str], object]

_LEGEND = (
    "score: how much nearer the page is to the finding in words than to a normal ECG (NORM: than to any finding)",
    "views: the score over other readings of the same page",
    "p: the share of reference pages at least as unusual; for a finding: of those without it, that score as high",
    "verdicts: p of {alpha:g} or less rules out that the page is like those; --alpha sets it",
)


def add_read_verb(commands: Any, common: argparse.ArgumentParser, run: Callable[[argparse.Namespace], int]) -> None:
    """Add `read` to a command line; `run` is called with what was parsed."""
    read = commands.add_parser(
        "read", parents=[common], help="a photographed paper ECG: its leads, findings, and what cannot be told"
    )
    read.add_argument("input", nargs="+", metavar="PICTURE", help="PNG, JPEG, TIFF or PDF file")
    read.add_argument(
        "--checkpoint", type=checkpoint_path, default="shipped", metavar="FILE",
        help="weights, as training leaves them (default: shipped, those that come with the package)",
    )  # fmt: skip
    read.add_argument(
        "--reference", default="synthetic", metavar="SOURCE",
        help="records of known label to hold a page to: ptbxl:FOLDER, cohort:FOLDER, ..., best of patients like "
        "these; their test split counts (default: synthetic, which says nothing about real patients)",
    )  # fmt: skip
    read.add_argument("--records", type=int, default=400, metavar="N", help="of the reference, about (default: 400)")
    read.add_argument("--alpha", type=float, default=0.1, help="how often a finding may be ruled out wrongly (0.1)")
    read.add_argument("--leads", metavar="FOLDER", help="write the leads of each picture there: CSV, in mV")
    read.add_argument("--json", metavar="FILE", help="write every figure there")
    read.add_argument("--skip-bad", action="store_true", help="leave out pictures that cannot be read")
    read.set_defaults(run=run)


def run_read(args: argparse.Namespace, say: Say) -> int:
    """Read each picture and say what is found; returns the exit status: 0, or 1 when pictures were left out.

    Args:
        args: what `add_read_verb` parsed.
        say: called with each line of the answer.

    Raises:
        PictureError, PageError: a picture is damaged, or shows no page, and `--skip-bad` was not given.
        EcgScanLabError: the reference or the checkpoint cannot be loaded; or a file cannot be written.
    """
    from ecgscan_lab.evaluate.findings import read_paper_ecg
    from ecgscan_lab.evaluate.picture_files import count_pages, read_file

    _check_names(args)
    for picture in () if args.skip_bad else args.input:  # before the reference, which takes half a minute
        count_pages(read_file(picture), picture)

    @functools.cache
    def reference() -> Reference:
        say(f"embedding the reference: {args.reference}")
        return _reference(args)

    told, n_bad = [], 0
    for picture in args.input:
        try:
            reading = read_paper_ecg(picture, reference=reference, alpha=args.alpha)
        except (PictureError, PageError) as error:
            if not args.skip_bad:
                raise
            n_bad += 1
            say(f"left out: {picture}: {error.what}")
            continue
        say(f"{picture}: {reading}")
        if args.leads:
            say(f"  leads: {write_leads(Path(args.leads) / f'{Path(picture).stem}.csv', reading)}")
        told.append({"picture": str(picture), **_as_dict(reading)})
    for line in _LEGEND if told else ():
        say(line.format(alpha=args.alpha))
    if args.json:
        from ecgscan_lab.whole_files import write_json

        used = reference() if told else None
        facts: dict[str, Any] = {
            "reference": used.name if used else None, "n_reference": len(used.labels) if used else 0,
            "alpha": args.alpha, "checkpoint": Path(args.checkpoint).name, "pictures": told, "left_out": n_bad,
        }  # fmt: skip
        write_json(args.json, facts)
        say(f"figures: {args.json}")
    return 1 if n_bad else 0


def write_leads(path: Path, reading: PaperReading) -> Path:
    """Write the twelve leads: a line a sample, `time_s` and a column a lead in mV, empty where the page shows nothing.

    Raises:
        ExportError: the file cannot be written.
    """
    import numpy as np

    from ecgscan_lab.leads import LEADS
    from ecgscan_lab.whole_files import write_whole

    lines = [",".join(["time_s", *LEADS])]
    for k, sample in enumerate(reading.leads_mv.T):
        cells = ["" if np.isnan(value) else f"{value:.4f}" for value in sample]
        lines.append(",".join([f"{k / reading.read.fs_hz:.4f}", *cells]))
    return write_whole(path, ("\n".join(lines) + "\n").encode())


def _check_names(args: argparse.Namespace) -> None:
    """Refuse two pictures whose leads would go into one file, before anything is read."""
    stems: dict[str, str] = {}
    for picture in args.input if args.leads else ():
        other = stems.setdefault(Path(picture).stem, picture)
        if other != picture:
            raise ArgumentError(
                f"the leads of {other} and {picture} would go into one file", field="leads",
                expected="pictures of different names", fix="rename one, or read them one after the other",
            )  # fmt: skip


def _reference(args: argparse.Namespace) -> Reference:
    """Pages of known label; of records with splits the test split, which no encoder was trained on."""
    from ecgscan_lab.data import load_cohort
    from ecgscan_lab.evaluate.findings import reference_pages

    if args.reference == "synthetic":
        return reference_pages(args.checkpoint, n_records=args.records)
    cohort = load_cohort(args.reference)
    held = cohort.indices("test")[: args.records]
    if not len(held):
        raise SplitError("the reference has no test records", field="reference", expected="records of a test split")
    return reference_pages(args.checkpoint, cohort, indices=held)


def _as_dict(reading: PaperReading) -> dict[str, Any]:
    """Everything but pixels, leads and embedding, for JSON."""
    findings = [{**f._asdict(), "frequency": f.frequency._asdict()} for f in reading.findings]
    return {
        "confidence": float(reading.fit.confidence),
        "p_familiar": float(reading.p_familiar),
        "p_normal": float(reading.p_normal),
        "findings": findings,
        "share_read": {name: float(share) for name, share in reading.read.share_read.items()},
        "lead_doctor": {"ok": reading.diagnosis.ok, "kinds": list(reading.diagnosis.kinds)},
        "warnings": list(reading.warnings),
    }
