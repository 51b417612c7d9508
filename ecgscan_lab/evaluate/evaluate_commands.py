"""`ecgscan-lab evaluate`: a corpus and a checkpoint in, every task at every label fraction out, beside the paper."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ecgscan_lab.data import known_sources
from ecgscan_lab.evaluate.embed_commands import checkpoint_path
from ecgscan_lab.evaluate.linear_probe import PROTOCOLS

Say = Callable[[str], object]


def add_evaluate_verb(commands: Any, common: argparse.ArgumentParser, run: Callable[[argparse.Namespace], int]) -> None:
    """Add `evaluate` to a command line; `run` is called with what was parsed."""
    verb = commands.add_parser(
        "evaluate", parents=[common], help="a whole corpus: features, probes, zero-shot, a report beside the paper"
    )
    verb.add_argument("source", help=f"one of {known_sources()}")
    verb.add_argument(
        "--checkpoint",
        type=checkpoint_path,
        metavar="FILE",
        help="or the word shipped; without one, a random tower and raw pixels are judged",
    )
    verb.add_argument("--out", metavar="FOLDER", required=True, help="for features, figures and report")
    verb.add_argument("--tasks", nargs="+", metavar="TASK", help="of the corpus (default: all)")
    verb.add_argument("--fractions", nargs="+", type=float, default=[1.0, 10.0, 100.0], metavar="PERCENT")
    verb.add_argument("--draws", type=int, default=5, metavar="N", help="label draws a fraction (default: 5)")
    verb.add_argument(
        "--protocol", choices=PROTOCOLS, default="sound",
        help="sound: logistic regression chosen on validation; paper: its trained layer; merl: chosen on test",
    )  # fmt: skip
    verb.add_argument("--limit", type=int, metavar="N", help="about this many records, whole patients (default: all)")
    verb.add_argument("--cache", metavar="FOLDER", help="keep features by content; a stopped run goes on from there")
    verb.add_argument("--text-tower", metavar="NAME", help="of the prompts (default: the checkpoint's)")
    verb.add_argument(
        "--pretrained-on", nargs="+", default=[], metavar="CORPUS", help="corpora behind the checkpoint, for the report"
    )
    verb.add_argument("--bootstrap", type=int, default=1000, metavar="N", help="patient resamples (default: 1000)")
    verb.add_argument("--batch-size", type=int, default=32, metavar="N", help="pages a step (default: 32)")
    verb.add_argument("--seed", type=int, default=0, help="of the random tower (default: 0)")
    verb.set_defaults(run=run)


def run_evaluate(args: argparse.Namespace, say: Say) -> int:
    """Evaluate; returns the exit status: 0, or 1 when something asked for was left out.

    Args:
        args: what `add_evaluate_verb` parsed.
        say: called with each line of the answer.

    Raises:
        EcgScanLabError: data, checkpoint or folder are not as they should be.
    """
    from ecgscan_lab.evaluate.full_evaluation import evaluate_encoders

    found = evaluate_encoders(
        args.source, args.checkpoint, out=args.out, tasks=args.tasks, fractions=args.fractions, draws=args.draws,
        protocol=args.protocol, n_records=args.limit, cache=args.cache, text_tower_name=args.text_tower,
        pretrained_on=args.pretrained_on, n_bootstrap=args.bootstrap, batch_size=args.batch_size, seed=args.seed,
        say=say,
    )  # fmt: skip
    for line in found.lines():
        say(line)
    say(f"report beside the paper: {Path(args.out) / 'report.md'}")
    return 1 if found.notes else 0
