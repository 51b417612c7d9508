"""The command line: `tour`, `read`, `data`, `render`, `pretrain`, `embed`, `probe`, `evaluate`, `replicate`, ..."""

from __future__ import annotations

import argparse
import math
import os
import shlex
import sys
import webbrowser
from collections.abc import Mapping, Sequence
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from ecgscan_lab import __version__
from ecgscan_lab.data import FOLDER_KINDS, known_sources, synthetic_count
from ecgscan_lab.data.commands import add_data_verb, run_data
from ecgscan_lab.errors import ArgumentError, EcgScanLabError, NotebookError, counted, nearest_name
from ecgscan_lab.evaluate.commands import add_probe_verb, run_probe
from ecgscan_lab.evaluate.embed_commands import add_embed_verb, add_zeroshot_verb, run_embed, run_zeroshot
from ecgscan_lab.evaluate.evaluate_commands import add_evaluate_verb, run_evaluate
from ecgscan_lab.evaluate.read_command import add_read_verb, run_read
from ecgscan_lab.nb.commands import PROFILES, add_notebooks_verb, run_notebooks_verb
from ecgscan_lab.nb.judgements import is_judgement, judgement_rows
from ecgscan_lab.nb.tables import format_value
from ecgscan_lab.replicate.commands import add_replicate_verb, run_replicate
from ecgscan_lab.train.commands import add_pretrain_verb, run_pretrain

INTERRUPTED = 130  # what shells report for a program that Ctrl-C ended
NO_READER = 141  # and for one whose output nobody reads any more


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status: 0 done, 1 done in part, 2 refused or failed, 130 interrupted."""
    parser = _parser()
    args = parser.parse_args(argv)
    try:
        status = int(args.run(args))
        sys.stdout.flush()
        return status
    except EcgScanLabError as error:
        if args.debug:
            raise
        print(f"ecgscan-lab: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        try:
            print(flush=True)
        except BrokenPipeError:  # what reads the output (`head`) has enough; nothing may be flushed to it at exit
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return NO_READER
        raise  # another pipe broke, to a worker perhaps
    except KeyboardInterrupt:  # verbs that have something to keep or to say catch it themselves
        if args.debug:
            raise
        print("ecgscan-lab: interrupted", file=sys.stderr)
        return INTERRUPTED


def run_tour(
    data: str = "synthetic",
    profile: str = "quick",
    out: str | Path | None = None,
    seed: int = 0,
    *,
    progress: bool = False,
) -> Path:
    """Run the tour notebook, add its cost to the run's results.json, and write report.html beside it.

    Args:
        data: what `data.load_cohort` takes: "synthetic", "ptbxl:FOLDER", "cohort:FOLDER", ...
        profile: "smoke", "quick" or "full".
        out: folder for all that the run leaves behind; None: `ecgscan-tour/<data>-<profile>` in the current folder.
            Running again into the same folder replaces the files that a tour writes and touches no others.
        seed: seed of every random choice.
        progress: draw a progress bar on stderr.

    Returns:
        The report's path; `results.json` and the executed notebook lie beside it.

    Raises:
        ArgumentError: the data or the profile is unknown, or `out` is a file.
        NotebookError: the notebook failed, or wrote no readable results.
        KeyboardInterrupt: interrupted; the running cell has ended, and a checkpoint may lie in `out`.
    """
    from ecgscan_lab.nb.execute import run_notebook
    from ecgscan_lab.nb.report import write_report
    from ecgscan_lab.nb.results import read_results, write_results

    data = absolute_data(data)
    if profile not in PROFILES:
        raise ArgumentError(f"no profile {profile!r}", field="profile", expected=f"one of {', '.join(PROFILES)}")
    folder = (Path(out) if out is not None else default_out(data, profile)).resolve()
    if folder.exists() and not folder.is_dir():
        raise ArgumentError(
            "the output is a file", file=folder, field="out", expected="a folder, or a path not yet taken"
        )
    with as_file(tour_notebook()) as notebook:
        given = {"data": data, "profile": profile, "seed": seed, "out": str(folder)}
        executed = run_notebook(notebook, folder, given, progress=progress)
    words = ["ecgscan-lab", "tour", "--data", data, "--profile", profile, "--seed", str(seed), "--out", str(folder)]
    results = read_results(folder / "results.json")
    results |= {
        "seconds": round(executed.seconds, 2),
        "peak_memory_mb": None if math.isnan(executed.peak_memory_mb) else round(executed.peak_memory_mb, 1),
        "command": shlex.join(words),
    }
    write_results(folder / "results.json", results)
    return write_report([executed], results, folder / "report.html")


def absolute_data(data: str) -> str:
    """The same data, its folder made absolute: a notebook may run in another folder.

    Raises:
        ArgumentError: the kind is unknown, or the folder is not there.

    >>> absolute_data("synthetic")
    'synthetic'
    """
    kind, colon, folder = data.partition(":")
    if synthetic_count(data) is not None:
        return data
    if kind not in FOLDER_KINDS or not colon or not folder:
        near = None if kind in FOLDER_KINDS else nearest_name(kind, ["synthetic", *FOLDER_KINDS])
        raise ArgumentError(f"cannot read data {data!r}", field="data", expected=known_sources(), fix=near)
    path = Path(folder).expanduser().resolve()
    if not path.is_dir():
        raise ArgumentError("no such folder", file=path, field="data", fix="name the folder that holds the records")
    return f"{kind}:{path}"


def default_out(data: str, profile: str) -> Path:
    """Where a tour goes when nothing else is said: one folder per data and profile, below the current folder."""
    kind, _, folder = data.partition(":")
    name = f"{kind}-{Path(folder).name}" if kind == "cohort" else kind
    return Path("ecgscan-tour") / f"{name}-{profile}"


def tour_notebook() -> Any:
    """The tour notebook: the copy inside an installed package, else the one of the source checkout.

    Raises:
        NotebookError: neither is there.
    """
    name = "00_tour.ipynb"
    installed = files("ecgscan_lab").joinpath("_notebooks", name)
    checkout = Path(__file__).resolve().parents[1] / "notebooks" / name
    if installed.is_file():
        return installed
    if checkout.is_file():
        return checkout
    raise NotebookError("the tour notebook is missing", file=checkout, fix="build it: ecgscan-lab notebooks build")


def _parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--debug", action="store_true", help="show the traceback of an error")
    parser = argparse.ArgumentParser(prog="ecgscan-lab", description="Learn from ECG page images.", allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"ecgscan-lab {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    tour = commands.add_parser(
        "tour", parents=[common], help="the guided tour: records, pages, training, tables, one HTML report"
    )
    tour.add_argument("--data", default="synthetic", help=f"one of {known_sources()} (default: synthetic)")
    tour.add_argument("--profile", default="quick", choices=PROFILES, help="how much to compute (default: quick)")
    tour.add_argument("--out", metavar="FOLDER", help="where results go (default: ecgscan-tour/<data>-<profile>)")
    tour.add_argument("--seed", type=int, default=0, help="seed of every random choice (default: 0)")
    tour.add_argument("--open", action="store_true", help="open the report in a browser when done")
    tour.set_defaults(run=_tour)

    add_data_verb(commands, common, lambda args: run_data(args, print))
    _add_render(commands, common)
    add_pretrain_verb(commands, common, lambda args: run_pretrain(args, print))
    add_read_verb(commands, common, lambda args: run_read(args, print))
    add_embed_verb(commands, common, lambda args: run_embed(args, print))
    add_probe_verb(commands, common, lambda args: run_probe(args, print))
    add_zeroshot_verb(commands, common, lambda args: run_zeroshot(args, print))
    add_evaluate_verb(commands, common, lambda args: run_evaluate(args, print))
    add_replicate_verb(commands, common, lambda args: run_replicate(args, print))

    add_notebooks_verb(commands, common, lambda args: run_notebooks_verb(args, print))
    return parser


def _add_render(commands: Any, common: argparse.ArgumentParser) -> None:
    render = commands.add_parser("render", parents=[common], help="recordings to numbered pages with ground truth")
    render.add_argument("source", help="folder of WFDB records, ptbxl:FOLDER, cohort:FOLDER, or synthetic[:N]")
    render.add_argument("out", help="folder to write into, pages and index.csv; run again to go on where it stopped")

    page = render.add_argument_group("page")
    page.add_argument("--page", default="standard", help="standard, compact, a4, ..., a machine family, or a JSON file")
    page.add_argument("--layout", help="3x4, 6x2, 12x1 or 4x3")
    page.add_argument("--rhythm", help="leads of the strips below, for instance V1,II,V5, or none")
    page.add_argument("--columns", help="sequential or simultaneous")
    page.add_argument("--cabrera", action="store_true", default=None, help="limb leads in Cabrera's order")
    page.add_argument("--speed", type=float, metavar="MM_PER_S", help="paper speed")
    page.add_argument("--gain", type=float, metavar="MM_PER_MV", help="paper gain")
    page.add_argument("--chest-gain", type=float, metavar="MM_PER_MV", help="gain of V1 to V6 where it differs")
    page.add_argument("--seconds", type=float, help="seconds that a full row shows")
    page.add_argument("--grid", help="colour of the grid, or none")
    page.add_argument("--pulses", help="calibration pulses: left, right or none")
    page.add_argument("--vary", default="none", help="none (default), looks, or layout: any page at all")

    picture = render.add_argument_group("picture")
    picture.add_argument("--degrade", default="clean", help="clean (default), scan, photo, fax, paper or mixture")
    size = picture.add_mutually_exclusive_group()
    size.add_argument("--size", nargs=2, type=int, metavar=("HEIGHT", "WIDTH"), help="in pixels")
    size.add_argument("--dpi", type=float, help="pixels an inch (default: 200)")
    picture.add_argument("--format", default="png", help="png (default), jpeg, webp; svg, pdf for print")
    picture.add_argument("--quality", type=int, default=90, help="of JPEG and WebP (default: 90)")
    picture.add_argument("--truth", help="json (default), coco, both or none")
    picture.add_argument("--masks", action="store_true", help="a mask of the leads beside each picture")

    run = render.add_argument_group("run")
    run.add_argument("--fs", type=float, metavar="HZ", help="bring recordings to this rate (PTB-XL: 500 reads 500 Hz)")
    run.add_argument("--copies", type=int, default=1, help="pages a recording (default: 1)")
    run.add_argument("--seed", type=int, default=0, help="seed of every random choice (default: 0)")
    run.add_argument("--workers", type=int, default=1, help="processes (default: 1)")
    run.add_argument("--shard-size", type=int, metavar="N", help="N pages a folder shard-00000, shard-00001, ...")
    run.add_argument("--limit", type=int, metavar="N", help="only the first N recordings")
    run.add_argument("--overwrite", action="store_true", help="replace the pages of an earlier run")
    render.set_defaults(run=_render)


def _render(args: argparse.Namespace) -> int:
    from ecgscan_lab.render.export import RenderSettings, page_named, render_dataset

    fields = {
        "layout": args.layout,
        "rhythm": None if args.rhythm is None else () if args.rhythm == "none" else tuple(args.rhythm.split(",")),
        "columns": args.columns,
        "cabrera": args.cabrera,
        "paper_speed_mm_per_s": args.speed,
        "gain_mm_per_mv": args.gain,
        "chest_gain_mm_per_mv": args.chest_gain,
        "strip_s": args.seconds,
        "grid": args.grid,
        "pulses": args.pulses,
    }
    settings = RenderSettings(
        page=page_named(args.page, **{name: value for name, value in fields.items() if value is not None}),
        size=None if args.size is None else (args.size[0], args.size[1]),
        fs_hz=args.fs,
        **{name: getattr(args, name) for name in "vary degrade dpi format quality truth masks seed copies".split()},
        shard_size=args.shard_size,
    )
    wanted = {name: getattr(args, name) for name in ("workers", "limit", "overwrite")}
    try:
        done = render_dataset(args.source, args.out, settings, progress=True, **wanted)
    except KeyboardInterrupt:
        print("ecgscan-lab: interrupted; run the same command again to go on from there", file=sys.stderr)
        return INTERRUPTED
    print(f"{counted(done.pages, 'page')} in {done.out}, {done.drawn} of them drawn now in {done.seconds:.1f} s")
    print(f"which recording each page shows: {done.out / 'index.csv'}")
    if done.skipped:
        print(f"{len(done.skipped)} recordings left out, listed with their reasons in {done.out / 'skipped.csv'}")
    return 1 if done.skipped else 0


def _tour(args: argparse.Namespace) -> int:
    from ecgscan_lab.nb.results import read_results

    try:
        report = run_tour(args.data, args.profile, args.out, args.seed, progress=sys.stderr.isatty())
    except KeyboardInterrupt:
        folder = Path(args.out) if args.out else default_out(absolute_data(args.data), args.profile)
        print(f"ecgscan-lab: interrupted; {_what_is_left(folder.resolve())}", file=sys.stderr)
        return INTERRUPTED
    _print_summary(read_results(report.with_name("results.json")))
    print(f"{'report':<16}{report}")
    if args.open:
        webbrowser.open(report.as_uri())
    return 0


def _print_summary(results: Mapping[str, Any]) -> None:
    for name in ("data", "records", "seconds", "peak_memory_mb", "seed", "data_sha256"):
        if results.get(name) is not None:
            print(f"{name:<16}{_plain(results[name])}")
    for name, judgement in results.items():
        for row in judgement_rows(judgement) if is_judgement(judgement) else ():
            interval = f" [{row['low']:.1f}, {row['high']:.1f}]" if "low" in row else ""
            auroc = format_value(row["macro_auroc"])
            print(f"{name:<16}{row['task']}, {row['encoder']}: macro AUROC {auroc}{interval}")
    if results.get("skipped_records"):
        print(f"{'left out':<16}{len(results['skipped_records'])}, listed in the report with their reasons")


def _what_is_left(folder: Path) -> str:
    weights = sorted(folder.rglob("*.safetensors"), key=lambda path: path.stat().st_mtime)
    if weights:
        return f"the last checkpoint lies in {weights[-1].parent}; the same command begins anew"
    return f"no checkpoint was due yet; what was done so far lies in {folder}"


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {item}" for name, item in value.items())
    return str(value)


if __name__ == "__main__":
    raise SystemExit(main())
