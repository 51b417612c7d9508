"""`ecgscan-lab replicate`: a corpus's folder in, the figures of the paper's table out."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ecgscan_lab.errors import ArgumentError

Say = Callable[[str], object]
INTERRUPTED = 130


def add_replicate_verb(
    commands: Any, common: argparse.ArgumentParser, run: Callable[[argparse.Namespace], int]
) -> None:
    """Add `replicate` to a command line; `run` is called with what was parsed."""
    verb = commands.add_parser(
        "replicate",
        parents=[common],
        help="train and judge an encoder on a public corpus, beside the paper's figures",
        description="Train a signal teacher and an image encoder on PTB-XL's training folds, judge them on held-out "
        "patients, and write replicate.json and report.md. The same command goes on where it was stopped.",
    )
    verb.add_argument("corpus", choices=("ptbxl",), help="which corpus")
    verb.add_argument("--data", required=True, metavar="DIR", help="PTB-XL's own folder")
    verb.add_argument(
        "--profile",
        choices=("short", "full", "long"),
        default="short",
        help="short: 20 minutes on two cores, a preview; full: 90 at most, and the same as long where the machine "
        "multiplies bfloat16 (under 60 there); long: the best, three hours elsewhere (default: short)",
    )
    verb.add_argument("--out", metavar="DIR", help="where everything goes (default: ecgscan-replicate/ptbxl-PROFILE)")
    verb.add_argument("--seed", type=int, default=0, help="of every random choice (default: 0)")
    verb.add_argument(
        "--test-fold",
        type=int,
        choices=(9, 10),
        help="judged on; the one before chooses (default: 10 if there, else 9)",
    )
    verb.add_argument("--recipe", metavar="FILE", help="a recipe as JSON in place of the profile's")
    verb.add_argument("--records", type=int, metavar="N", help="about N records only, whole patients")
    verb.set_defaults(run=run)


def run_replicate(args: argparse.Namespace, say: Say) -> int:
    """Replicate; returns the exit status: 0 done, 1 done with something left out, 130 interrupted.

    Args:
        args: what `add_replicate_verb` parsed.
        say: called with each line.

    Raises:
        EcgScanLabError: see `ptbxl.replicate_ptbxl`.
    """
    from ecgscan_lab.replicate.ptbxl import replicate_ptbxl
    from ecgscan_lab.train.interrupts import StoppedError, sigterm_stops
    from ecgscan_lab.train.recipes import read_recipe

    out = Path(args.out or Path("ecgscan-replicate") / f"ptbxl-{args.profile}")
    if args.records is not None and args.records < 1:
        raise ArgumentError(f"records is {args.records}", field="records", expected="a number of records")
    try:
        with sigterm_stops():
            values = replicate_ptbxl(
                args.data, out, args.profile, args.seed, test_fold=args.test_fold, n_records=args.records,
                recipe=None if args.recipe is None else read_recipe(args.recipe), say=say,
            )  # fmt: skip
    except KeyboardInterrupt:
        say("interrupted; the same command goes on from here")
        return INTERRUPTED
    except StoppedError:
        say("stopped; the same command goes on from here")
        raise
    for task, by_fraction in values["linear_probe"].items():
        shown = ", ".join(
            f"{percent} %: {row['macro_auroc']:.2f} [{row['ci95'][0]:.1f}, {row['ci95'][1]:.1f}]"
            for percent, row in by_fraction.items()
        )
        say(f"linear probe, {task:<8}{shown}")
    say(f"encoder   {out / values['checkpoint']}")
    say(f"figures   {out / 'replicate.json'}")
    say(f"report    {out / 'report.md'}")
    for note in values["notes"]:
        say(f"note: {note}")
    return 1 if values["notes"] else 0
