"""`ecgscan-lab probe`: features and labels in, a table of AUROC with intervals out."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ecgscan_lab.errors import counted
from ecgscan_lab.evaluate.linear_probe import PROTOCOLS
from ecgscan_lab.whole_files import write_json

Say = Callable[[str], object]


def add_probe_verb(commands: Any, common: argparse.ArgumentParser, run: Callable[[argparse.Namespace], int]) -> None:
    """Add `probe` to a command line; `run` is called with what was parsed."""
    probe = commands.add_parser("probe", parents=[common], help="linear probe of frozen features, with intervals")
    probe.add_argument("--features", required=True, metavar="FILE", help="feature table, as embed writes it")
    probe.add_argument(
        "--labels", required=True, metavar="CSV",
        help="columns record, split, patient_id, then one of 0 and 1 for each class, or one of names: labels; "
        "records without features are left out",
    )  # fmt: skip
    probe.add_argument("--classes", nargs="+", metavar="NAME", help="only these classes (default: all)")
    probe.add_argument(
        "--protocol", choices=PROTOCOLS, default="sound",
        help="sound: logistic regression chosen on validation; paper: its trained layer; merl: chosen on test",
    )  # fmt: skip
    probe.add_argument("--fractions", nargs="+", type=float, default=[1.0, 10.0, 100.0], metavar="PERCENT")
    probe.add_argument("--seeds", type=int, default=5, metavar="N", help="draws a fraction (default: 5)")
    probe.add_argument("--bootstrap", type=int, default=1000, metavar="N", help="patient resamples (default: 1000)")
    probe.add_argument("--json", metavar="FILE", help="write every figure there")
    probe.set_defaults(run=run)


def run_probe(args: argparse.Namespace, say: Say) -> int:
    """Probe the features of one file on the labels of another; returns the exit status 0.

    What is probed are the records in both files; how many only one of them has is said, and written beside the figures.

    Args:
        args: what `add_probe_verb` parsed.
        say: called with each line of the answer.

    Raises:
        TableError, LabelError, SplitError, ArgumentError: what does not fit together, by name: no record has both
            features and labels, or a split is left without any.
        ExportError: the JSON file cannot be written.
    """
    from ecgscan_lab.evaluate.feature_table import read_features
    from ecgscan_lab.evaluate.probe_labels import first_names, match_records, read_label_table
    from ecgscan_lab.evaluate.probe_table import FractionRow, probe_fractions

    started = time.perf_counter()
    table, listed = read_features(args.features), read_label_table(args.labels, args.classes)
    rows, kept = match_records(table.ids, listed.records)
    labels = listed.at(kept)
    counts = {name: int((labels.split == name).sum()) for name in ("train", "val", "test")}
    say(
        f"{counted(len(rows), 'record')} ({', '.join(f'{n:,} {name}' for name, n in counts.items())}), "
        f"{table.features.shape[1]} features, {len(labels.class_names)} classes"
    )
    both = set(labels.records)
    unlabelled = [name for name in table.ids if name not in both]
    unseen = [name for name in listed.records if name not in both]
    if unlabelled:
        say(f"{len(unlabelled):,} records with features have no labels and are left out: {first_names(unlabelled)}")
    if unseen:
        say(f"{len(unseen):,} of {len(listed.records):,} labelled records have no features: {first_names(unseen)}")
    if not labels.has_patients:
        say("no column patient_id: every record counts as a patient of its own, and intervals may be too narrow")

    def done(row: FractionRow) -> None:
        say(f"{row.percent:g} % of labels: {counted(row.n_draws, 'draw')} after {time.perf_counter() - started:.0f} s")

    found = probe_fractions(
        {Path(args.features).stem: table.features[rows]}, labels.labels, labels.split, labels.patients,
        protocol=args.protocol, fractions=args.fractions, seeds=args.seeds, class_names=labels.class_names,
        n_bootstrap=args.bootstrap, on_row=done,
    )  # fmt: skip
    for line in found.lines():
        say(line)
    if args.json is not None:
        facts = {
            **found.as_dict(),
            "n_bootstrap": args.bootstrap,
            "n_records": len(rows),
            "n_without_features": len(unseen),
            "n_without_labels": len(unlabelled),
            "grouped_by_patient": labels.has_patients,
            "class_names": list(labels.class_names),
            "features": dict(table.provenance),
        }
        write_json(args.json, facts)
        say(f"figures: {args.json}")
    return 0
