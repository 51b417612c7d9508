"""`ecgscan-lab pretrain`: from a source of recordings and a recipe to checkpoints, on one process or many."""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ecgscan_lab.errors import ArgumentError, nearest_name

if TYPE_CHECKING:
    from ecgscan_lab.train.recipe import Recipe
    from ecgscan_lab.types import TrainingData

Say = Callable[[str], object]
INTERRUPTED = 130
NAMED = ("tiny", "quick", "paper", "paper_plus")


def add_pretrain_verb(commands: Any, common: argparse.ArgumentParser, run: Callable[[argparse.Namespace], int]) -> None:
    """Add `pretrain` to a command line; `run` is called with what was parsed."""
    verb = commands.add_parser(
        "pretrain",
        parents=[common],
        help="train the image tower; under torchrun on many GPUs",
        description="Train by a recipe. The same command with --resume goes on from where a run stopped, to the same "
        "weights. Many GPUs: torchrun --nproc_per_node N -m ecgscan_lab.cli pretrain ... --processes N",
    )
    verb.add_argument("--data", metavar="SOURCE", help="synthetic, ptbxl:FOLDER, cohort:FOLDER, ...")
    verb.add_argument("--recipe", default="quick", help="tiny, quick (default), paper, paper_plus, or a JSON file")
    verb.add_argument("--out", metavar="DIR", help="folder for the checkpoints, one a run")
    verb.add_argument("--resume", action="store_true", help="go on from the last checkpoint, if there is one")
    verb.add_argument("--overwrite", action="store_true", help="begin anew in a folder that holds a run")
    verb.add_argument("--seed", type=int, default=0, help="of weights, order, pages and masks (default: 0)")
    verb.add_argument("--records", type=int, metavar="N", help="read about N records only")
    verb.add_argument("--fs", type=float, metavar="HZ", help="rate of the signals (500 for published teachers)")
    verb.add_argument("--cache", metavar="DIR", help="features of the frozen towers (default: OUT/frozen)")

    choices = verb.add_argument_group("choices of the recipe")
    for option, name, kind in _SHORT:
        choices.add_argument(option, dest=f"set_{name}", type=kind, metavar=name.upper(), help=f"the recipe's {name}")
    choices.add_argument(
        "--set",
        nargs="+",
        action="extend",
        default=[],
        metavar="FIELD=VALUE",
        help="any field of the recipe, or of its weights.FIELD",
    )
    choices.add_argument(
        "--print", action="store_true", dest="print_only", help="print the recipe, as --data would need it, and stop"
    )

    running = verb.add_argument_group("run")
    running.add_argument("--workers", type=int, default=0, help="processes that draw pages (default: a thread)")
    running.add_argument("--draw-on", choices=("cpu", "gpu"), default="cpu", help="where pages are drawn")
    running.add_argument("--processes", type=int, metavar="N", help="refuse to run on another number of processes")
    running.add_argument("--save-every", type=float, default=600, metavar="S", help="seconds between checkpoints (600)")
    running.add_argument(
        "--estimate-only",
        action="store_true",
        help="prepare the frozen features, print what training would cost, and stop",
    )
    verb.set_defaults(run=run)


_N_TRAIN = 17_000  # about as many as PTB-XL has, for a recipe that is named before the data are read

_SHORT: tuple[tuple[str, str, type], ...] = (
    ("--steps", "steps", int),
    ("--batch-size", "batch_size", int),
    ("--micro-batch", "micro_batch", int),
    ("--lr", "lr", float),
    ("--precision", "precision", str),
    ("--image-weights", "image_weights", str),
    ("--teacher", "signal_teacher", str),
    ("--teacher-weights", "teacher_weights", str),
    ("--text", "text_tower", str),
    ("--text-weights", "text_weights", str),
)


def run_pretrain(args: argparse.Namespace, say: Say) -> int:
    """Run `pretrain`; returns the exit status: 0 done, 130 interrupted.

    Args:
        args: what `add_pretrain_verb` parsed.
        say: called with each line; only the first process of several speaks.
    """
    from ecgscan_lab.train.estimate import estimate_run
    from ecgscan_lab.train.frozen_features import prepare_frozen
    from ecgscan_lab.train.loop import pretrain
    from ecgscan_lab.train.processes import join_processes

    if args.print_only:
        say(str(chosen_recipe(args, n_train=_N_TRAIN) if args.data is None else _data_and_recipe(args)[1]))
        return 0
    for name in ("data", "out"):
        if getattr(args, name) is None:
            raise ArgumentError(f"--{name} is missing", field=name, fix="pretrain --data SOURCE --out DIR")
    import torch

    if args.draw_on == "gpu" and not torch.cuda.is_available():
        raise ArgumentError("there is no GPU to draw on", field="draw_on", fix="leave --draw-on out")
    out = Path(args.out)
    _check_folder(out, args)
    processes = join_processes(args.processes)
    tell: Say = say if processes.leads else lambda line: None
    data, recipe = _data_and_recipe(args)
    tell(f"{data.name}: {len(data):,} records, {len(data.indices('train')):,} to train on; recipe {recipe.name}")
    cache = Path(args.cache) if args.cache else out / "frozen"
    if processes.leads:
        prepare_frozen(data, recipe, cache, seed=args.seed, say=tell)
    processes.wait()
    frozen = prepare_frozen(data, recipe, cache, seed=args.seed)
    options: dict[str, Any] = {"seed": args.seed, "workers": args.workers, "draw_on": args.draw_on}
    for line in estimate_run(data, frozen, recipe, processes=processes, **options).lines():
        tell(line)
    if args.estimate_only:
        return 0
    try:
        run = pretrain(
            data, frozen, recipe, out, resume=args.resume, save_every_s=args.save_every,
            on_step=_Progress(tell, recipe.steps), **options,
        )  # fmt: skip
    except KeyboardInterrupt:
        tell(f"interrupted; the same command with --resume goes on from {out / 'last.safetensors'}")
        return INTERRUPTED
    if not processes.leads:  # the history is the first one's
        return 0
    best = next(row["total"] for row in run.history if (row["step"], row["split"]) == (run.best_step, "val"))
    tell(f"best      {run.checkpoint} (step {run.best_step + 1}, validation loss {best:.4f})")
    tell(f"last      {run.checkpoint.with_name('last.safetensors')}")
    return 0


def chosen_recipe(args: argparse.Namespace, n_train: int) -> Recipe:
    """The recipe that the words of a command line name, with the fields they change.

    Raises:
        ArgumentError: no such recipe, field or value.
    """
    from ecgscan_lab.train import recipes

    if args.recipe in NAMED:
        make = getattr(recipes, args.recipe)
        recipe: Recipe = make(n_train) if args.recipe == "quick" else make()
    elif args.recipe.endswith(".json"):
        recipe = recipes.read_recipe(args.recipe)
    else:
        raise ArgumentError(
            f"unknown recipe {args.recipe!r}",
            field="recipe",
            expected=f"{', '.join(NAMED)}, or a .json file",
            fix=nearest_name(args.recipe, NAMED),
        )
    values = recipe.as_dict()
    changes = {name: getattr(args, f"set_{name}") for _, name, _ in _SHORT}
    values |= {name: value for name, value in changes.items() if value is not None}
    for word in args.set:
        name, equals, text = word.partition("=")
        if not equals:
            raise ArgumentError(f"cannot read {word!r}", field="set", expected="FIELD=VALUE")
        part, dot, inner = name.partition(".")
        target: dict[str, Any] = values["weights"] if dot and part == "weights" else values
        target[inner if dot and part == "weights" else name] = _value(text)
    if values["validations"] > values["steps"]:
        values["validations"] = values["steps"]
    return recipes.Recipe.from_dict(values)


def _data_and_recipe(args: argparse.Namespace) -> tuple[TrainingData, Recipe]:
    from ecgscan_lab.data import load_cohort

    draft = chosen_recipe(args, n_train=_N_TRAIN)
    fs_hz = args.fs or (100.0 if draft.signal_teacher == "tiny" else 500.0)
    if args.data.startswith("store:"):
        data: TrainingData = _open_store(args.data.removeprefix("store:"))
        if args.fs is not None and data.fs_hz != args.fs:
            raise ArgumentError(
                f"the store holds {data.fs_hz:g} Hz", field="fs", fix="leave --fs out, or prepare another store"
            )
    else:
        data = load_cohort(args.data, n_records=args.records, seed=args.seed, fs_hz=fs_hz)
    return data, chosen_recipe(args, n_train=len(data.indices("train")))


def _open_store(folder: str) -> TrainingData:
    from ecgscan_lab.data.store import open_store

    return open_store(folder)


def _check_folder(out: Path, args: argparse.Namespace) -> None:
    held = [name for name in ("last.safetensors", "best.safetensors") if (out / name).exists()]
    if held and not (args.resume or args.overwrite or args.estimate_only):
        raise ArgumentError(
            f"the folder holds a run ({', '.join(held)})",
            file=out,
            field="out",
            expected="a folder of its own for every run",
            fix="--resume goes on with it, --overwrite begins anew",
        )


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


@dataclasses.dataclass
class _Progress:
    """A line every half minute, at every validation, and at the start."""

    say: Say
    steps: int
    said_at: float = 0.0

    def __call__(self, row: Mapping[str, Any]) -> None:
        now = time.monotonic()
        if row["split"] == "train" and now - self.said_at < 30 and row["step"] > 0:
            return
        self.said_at = now
        names = ("contrastive", "gram", "mse", "images_per_s", "wait_s")
        more = "".join(f", {name} {row[name]:.3g}" for name in names if name in row)
        self.say(f"step {row['step'] + 1:,} of {self.steps:,} {row['split']}: loss {row['total']:.4f}{more}")
