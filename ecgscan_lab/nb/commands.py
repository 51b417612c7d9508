"""`ecgscan-lab notebooks`: build, check, run and sweep, as words in and lines out."""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ecgscan_lab.errors import ArgumentError, NotebookError
from ecgscan_lab.nb.catalog import EDITIONS, chosen_notebooks, notebooks_folder
from ecgscan_lab.nb.parameters import PROFILES
from ecgscan_lab.nb.tables import format_value

if TYPE_CHECKING:
    from ecgscan_lab.nb.run_all import Outcome

Say = Callable[[str], object]
INTERRUPTED = 130
TIMEOUT_S = 3600.0


def add_notebooks_verb(
    commands: Any, common: argparse.ArgumentParser, run: Callable[[argparse.Namespace], int]
) -> None:
    """Add `notebooks` and its actions to a command line; `run` is called with what was parsed."""
    notebooks = commands.add_parser("notebooks", help="build, check, run all, or sweep one over a grid")
    _add_folder(notebooks, None)
    actions = notebooks.add_subparsers(required=True, metavar="ACTION", dest="action")
    build = actions.add_parser("build", parents=[common], help="notebooks from their sources in src/")
    check = actions.add_parser("check", parents=[common], help="exit with 1 when a notebook is stale")
    check.add_argument(
        "--executed", type=Path, metavar="FOLDER", help="look for what readers would miss in what `run` left there"
    )
    every = actions.add_parser("run", parents=[common], help="run notebooks in parallel, and show them in a gallery")
    only: Any = {"action": "extend", "default": [], "metavar": "NN", "help": "only those that begin so: 02 07"}
    every.add_argument("only", nargs="*", **only)
    every.add_argument("--only", nargs="+", **only)
    sweep = actions.add_parser("sweep", parents=[common], help="run one over a grid of parameters, collect a table")
    sweep.add_argument("notebook", help="the beginning of its name (02), or a path")
    sweep.add_argument(
        "--grid", action="append", required=True, metavar="NAME=A,B,...", help="values of a parameter; repeat it"
    )
    for action in (build, check, every, sweep):
        _add_folder(action, argparse.SUPPRESS)
    for action in (every, sweep):
        action.add_argument(
            "--profile", choices=PROFILES, help="how much to compute (default: what each notebook says, quick)"
        )
        action.add_argument(
            "-p", nargs=2, action="append", default=[], dest="parameters", metavar=("NAME", "VALUE"), help="repeat it"
        )
        action.add_argument("--edition", default="student", choices=EDITIONS[:2] if action is sweep else EDITIONS)
        action.add_argument("--out", metavar="FOLDER", help="where results go (default: ecgscan-notebooks/...)")
        action.add_argument("--workers", type=int, metavar="N", help="notebooks at a time (default: one per core)")
        action.add_argument(
            "--timeout", type=float, default=TIMEOUT_S, metavar="S", help=f"for each (default: {TIMEOUT_S:.0f} s)"
        )
        action.add_argument(
            "--max-memory-mb", type=float, metavar="MIB", help="stop a notebook that takes more (2048: as on Binder)"
        )
    notebooks.set_defaults(run=run)


def _add_folder(parser: argparse.ArgumentParser, default: Any) -> None:
    parser.add_argument("--folder", type=Path, default=default, help="holds the notebooks (default: notebooks)")


def run_notebooks_verb(args: argparse.Namespace, say: Say) -> int:
    """Run one action of `notebooks`; returns the exit status: 0 done, 1 stale or failed, 130 interrupted.

    Args:
        args: what `add_notebooks_verb` parsed.
        say: called with each line of the answer.
    """
    actions = {"build": _build, "check": _check, "run": _run, "sweep": _sweep}
    return actions[args.action](args, say)


def typed_parameters(
    words: Sequence[Sequence[str]], notebooks: Mapping[str, Path], profile: str | None = None
) -> dict[str, dict[str, Any]]:
    """Name and value as words -> each notebook's parameters, of the types of its defaults.

    Args:
        words: pairs of a name and a value.
        notebooks: name -> path, all of which must take every parameter.
        profile: a value for `profile`, if any.

    Raises:
        NotebookError: a notebook has no `parameters` cell, no such parameter (says which ones have it) or no such
            profile.
        ArgumentError: a name is given twice.
    """
    from ecgscan_lab.nb.execute import read_notebook
    from ecgscan_lab.nb.parameters import check_parameters, declared_parameters, parameter_value

    pairs = [*([("profile", profile)] if profile is not None else []), *words]
    if len({name for name, _ in pairs}) != len(pairs):
        raise ArgumentError("a parameter is given twice", field="parameters", expected="each name once")
    declared = {name: declared_parameters(read_notebook(path), path) for name, path in notebooks.items()}
    for name, _ in pairs:
        taking = [notebook for notebook, names in declared.items() if name in names]
        if 0 < len(taking) < len(declared):
            lacking = next(notebook for notebook in declared if notebook not in taking)
            raise NotebookError(
                f"the notebook has no parameter {name!r}",
                file=notebooks[lacking],
                field=name,
                expected=f"one of {', '.join(declared[lacking])}",
                fix=f"run those that have it: --only {' '.join(sorted({Path(one).name[:2] for one in taking}))}",
            )
    given = {
        notebook: {name: parameter_value(value, names.get(name)) for name, value in pairs}
        for notebook, names in declared.items()
    }
    for notebook, values in given.items():
        check_parameters(values, declared[notebook], notebooks[notebook])
    return given


def _build(args: argparse.Namespace, say: Say) -> int:
    from ecgscan_lab.nb.build import build_notebooks

    for path in build_notebooks(args.folder or "notebooks"):
        say(f"built {path}")
    return 0


def _check(args: argparse.Namespace, say: Say) -> int:
    from ecgscan_lab.nb.accessibility import check_folder
    from ecgscan_lab.nb.build import stale_notebooks

    if args.executed is not None:
        found = check_folder(args.executed)
        for finding in found:
            sys.stderr.write(f"{finding}\n")
        say(f"{len(found)} findings in {args.executed}")
        return 1 if found else 0
    stale = stale_notebooks(args.folder or "notebooks")
    for path in stale:
        sys.stderr.write(f"stale: {path} (ecgscan-lab notebooks build)\n")
    return 1 if stale else 0


def _run(args: argparse.Namespace, say: Say) -> int:
    from ecgscan_lab.nb.gallery import write_gallery
    from ecgscan_lab.nb.results import write_results
    from ecgscan_lab.nb.run_all import Job, run_notebooks, run_status

    chosen = chosen_notebooks(args.folder or notebooks_folder(), args.only, args.edition)
    given = typed_parameters(args.parameters, chosen, args.profile)
    jobs = [Job(name, path, given[name]) for name, path in chosen.items()]
    out = Path(args.out or Path("ecgscan-notebooks", args.profile or "quick"))
    started = time.perf_counter()
    outcomes = run_notebooks(
        jobs,
        out,
        **_how_to_run(args, say),
    )
    facts = {"profile": args.profile, "seconds": round(time.perf_counter() - started, 2), "command": _command(args)}
    rows = [outcome.as_dict() for outcome in outcomes]
    write_results(out / "results.json", {**run_status(outcomes), **facts, "notebooks": rows})
    say(f"{'gallery':<10}{write_gallery(outcomes, out, facts)}")
    return _status(outcomes)


def _sweep(args: argparse.Namespace, say: Say) -> int:
    from ecgscan_lab.nb.gallery import write_gallery
    from ecgscan_lab.nb.sweep import sweep_notebook

    name, path = _one_notebook(args)
    grid_words = [_grid_words(text) for text in args.grid]
    if len({parameter for parameter, _ in grid_words}) != len(grid_words):
        raise ArgumentError("a parameter has two grids", field="grid", expected="each name once")
    shared = typed_parameters(args.parameters, {name: path}, args.profile)[name]
    grid = {
        parameter: [typed_parameters([(parameter, word)], {name: path})[name][parameter] for word in words]
        for parameter, words in grid_words
    }
    out = Path(args.out or Path("ecgscan-notebooks", f"sweep-{path.stem}"))
    started = time.perf_counter()
    rows, outcomes = sweep_notebook(
        path,
        grid,
        out,
        shared,
        **_how_to_run(args, say),
    )
    for line in table_lines(rows):
        say(line)
    if not any(outcome.results for outcome in outcomes):
        say("the notebook recorded nothing; in a cell: from ecgscan_lab.nb.results import record_result")
    facts = {"seconds": round(time.perf_counter() - started, 2), "command": _command(args)}
    index = write_gallery(outcomes, out, facts, title=f"Sweep of {path.stem}", table=rows)
    say(f"{'table':<10}{out / 'sweep.csv'}")
    say(f"{'gallery':<10}{index}")
    return _status(outcomes)


def _how_to_run(args: argparse.Namespace, say: Say) -> dict[str, Any]:
    """Options of `run_notebooks` that `run` and `sweep` share."""
    return {
        "workers": args.workers,
        "timeout_s": args.timeout,
        "max_memory_mb": args.max_memory_mb,
        "on_outcome": lambda outcome: say(outcome_line(outcome)),
    }


def outcome_line(outcome: Outcome) -> str:
    """One line on how a notebook ended, and a second one where a cell failed."""
    varied = ", ".join(f"{name} {format_value(outcome.parameters.get(name))}" for name in outcome.varied)
    what = f"{outcome.name}{' (' + varied + ')' if varied else ''}"
    seconds, memory = (f"{value:7.1f}" if value == value else "      –" for value in _cost(outcome))
    line = f"{outcome.status:<12}{what:<44}{seconds} s {memory} MiB"
    return line + (f"\n{'':<12}{outcome.error}" if outcome.error else "")


def table_lines(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    r"""Rows as aligned plain text, numbers to the right.

    >>> print("\n".join(table_lines([{"seed": 0, "status": "passed"}, {"seed": 10, "status": "failed"}])))
    seed  status
       0  passed
      10  failed
    """
    if not rows:
        return []
    names = list(rows[0])
    cells = [[format_value(row[name]) for name in names] for row in rows]
    widths = [max(len(name), *(len(line[column]) for line in cells)) for column, name in enumerate(names)]
    numeric = [all(isinstance(row[name], (int, float, type(None))) for row in rows) for name in names]

    def aligned(line: Sequence[str]) -> str:
        parts = zip(line, widths, numeric, strict=True)
        return "  ".join(text.rjust(width) if right else text.ljust(width) for text, width, right in parts).rstrip()

    return [aligned(names), *map(aligned, cells)]


def _one_notebook(args: argparse.Namespace) -> tuple[str, Path]:
    if args.notebook.endswith(".ipynb"):
        return Path(args.notebook).stem, Path(args.notebook)
    found = chosen_notebooks(args.folder or notebooks_folder(), [args.notebook], args.edition)
    if len(found) > 1:
        raise ArgumentError(
            f"{args.notebook!r} begins several", field="notebook", expected=f"one of {', '.join(found)}"
        )
    return next(iter(found.items()))


def _grid_words(text: str) -> tuple[str, list[str]]:
    """`name=a,b` -> the name and its words."""
    name, equals, values = text.partition("=")
    if not name or not equals or not all(values.split(",")):
        raise ArgumentError(f"a grid {text!r}", field="grid", expected="NAME=VALUE,VALUE,...")
    return name, values.split(",")


def _cost(outcome: Outcome) -> tuple[float, float]:
    return outcome.seconds, outcome.peak_memory_mb


def _status(outcomes: Sequence[Outcome]) -> int:
    statuses = {outcome.status for outcome in outcomes}
    return INTERRUPTED if statuses & {"interrupted", "not run"} else 1 if "failed" in statuses else 0


def _command(args: argparse.Namespace) -> str:
    """The command that runs the same again."""
    words = ["ecgscan-lab", "notebooks", args.action]
    if args.action == "sweep":
        words += [args.notebook, *(word for grid in args.grid for word in ("--grid", grid))]
    else:
        words += ["--only", *args.only] if args.only else []
    words += ["--profile", args.profile] if args.profile else []
    words += [word for pair in args.parameters for word in ("-p", *pair)]
    words += ["--folder", str(args.folder)] if args.folder else []
    words += ["--max-memory-mb", f"{args.max_memory_mb:g}"] if args.max_memory_mb else []
    return shlex.join([*words, "--edition", args.edition])
