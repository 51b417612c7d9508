"""`ecgscan-lab embed` and `ecgscan-lab zeroshot`: recordings and pictures in, features and figures out."""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ecgscan_lab.errors import ArgumentError

Say = Callable[[str], object]
_INPUT = "record, folder, ptbxl:FOLDER, ..., PNG, JPEG, TIFF or PDF file, a folder of them, or of render's pages"


def add_embed_verb(commands: Any, common: argparse.ArgumentParser, run: Callable[[argparse.Namespace], int]) -> None:
    """Add `embed` to a command line; `run` is called with what was parsed."""
    embed = commands.add_parser("embed", parents=[common], help="features of recordings, pages and photographs")
    embed.add_argument("input", nargs="+", metavar="INPUT", help=_INPUT)
    embed.add_argument("--out", required=True, metavar="FILE", help="feature table to write (Parquet)")
    embed.add_argument(
        "--what", choices=("tower", "shared"), default="tower", help="for a probe, or beside texts (default: tower)"
    )
    embed.add_argument("--page", help="page that recordings are drawn on (default: the checkpoint's)")
    _add_reading(embed)
    embed.set_defaults(run=run)


def run_embed(args: argparse.Namespace, say: Say) -> int:
    """Embed and write the table; returns the exit status: 0, or 1 when inputs were left out.

    Args:
        args: what `add_embed_verb` parsed.
        say: called with each line of the answer.

    Raises:
        EcgScanLabError: as `embedding.embed_images`; or the table cannot be written.
    """
    from ecgscan_lab.evaluate.feature_table import write_features

    if Path(args.out).suffix not in ("", ".parquet"):
        raise ArgumentError(f"cannot write {args.out}", field="out", expected="a file that ends in .parquet")
    started = time.perf_counter()
    table = _embedded(args, args.checkpoint, args.what, args.page, say)
    write_features(args.out, table)
    seconds = time.perf_counter() - started
    say(f"{len(table):,} rows of {table.features.shape[1]} features in {args.out} ({seconds:.1f} s)")
    unflat = {name: note for name, note in zip(table.ids, table.info["note"], strict=True) if note is not None}
    if unflat:
        first, why = next(iter(unflat.items()))
        more = f" and {len(unflat) - 1} more (column note of the table)" if len(unflat) > 1 else ""
        say(f"embedded as it is: {first}: {why}{more}")
    return 1 if table.provenance["skipped"] else 0


def add_zeroshot_verb(commands: Any, common: argparse.ArgumentParser, run: Callable[[argparse.Namespace], int]) -> None:
    """Add `zeroshot` to a command line; `run` is called with what was parsed."""
    verb = commands.add_parser("zeroshot", parents=[common], help="classify by prompts, no label fitted")
    verb.add_argument("input", nargs="*", metavar="INPUT", help=f"{_INPUT}; or give --features")
    verb.add_argument("--features", metavar="FILE", help="table of embed --what shared, instead of inputs")
    verb.add_argument("--labels", required=True, metavar="CSV", help="record, split, patient_id, and the classes")
    verb.add_argument("--split", default="test", help="judge records of this split, or all (default: test)")
    verb.add_argument(
        "--prompts", default="builtin", metavar="FILE", help="JSON: class -> text or texts (default: builtin)"
    )
    verb.add_argument("--task", help="whose built-in prompts: superclass, subclass, form, rhythm, cpsc2018, csn, code")
    verb.add_argument("--classes", nargs="+", metavar="NAME", help="only these classes (default: all of the labels)")
    verb.add_argument("--split-commas", action="store_true", help="a prompt for each expression between commas")
    verb.add_argument("--similarity", choices=("cosine", "dot"), default="cosine", help="(default: cosine)")
    verb.add_argument("--text-tower", metavar="NAME", help="the tower trained with (default: the checkpoint's)")
    verb.add_argument("--text-weights", metavar="FOLDER", help="weights of a published text tower")
    verb.add_argument("--bootstrap", type=int, default=1000, metavar="N", help="patient resamples (default: 1000)")
    verb.add_argument("--json", metavar="FILE", help="write every figure there")
    _add_reading(verb)
    verb.set_defaults(run=run)


def run_zeroshot(args: argparse.Namespace, say: Say) -> int:
    """Judge records by prompts; returns the exit status: 0, or 1 when inputs were left out.

    Args:
        args: what `add_zeroshot_verb` parsed.
        say: called with each line of the answer.

    Raises:
        EcgScanLabError: inputs, labels, prompts and checkpoint do not fit together.
    """
    import numpy as np

    from ecgscan_lab.encoders.text import text_tower
    from ecgscan_lab.evaluate.feature_table import read_features
    from ecgscan_lab.evaluate.probe_labels import match_records, read_label_table
    from ecgscan_lab.evaluate.prompt_judgement import check_shared, class_intervals, judge_prompts
    from ecgscan_lab.train.loop import load_model
    from ecgscan_lab.whole_files import write_json

    if bool(args.input) == bool(args.features):
        raise ArgumentError("give inputs or --features", field="input", expected="one of the two")
    model, facts = load_model(args.checkpoint)
    labels = read_label_table(args.labels, args.classes)
    prompts = _prompts(args, labels.class_names)
    table = read_features(args.features) if args.features else _embedded(args, args.checkpoint, "shared", None, say)
    check_shared(table, model)
    if args.split != "all":
        labels = labels.at(np.flatnonzero(labels.split == args.split))
    if not labels.records:
        raise ArgumentError(f"no record in split {args.split!r}", field="split", expected="train, val, test or all")
    rows, kept = match_records(table.ids, labels.records)
    without_features = len(labels.records) - len(kept)
    if without_features:
        say(f"{without_features:,} of {len(labels.records):,} labelled records have no features and are left out")
    labels = labels.at(kept)
    name = args.text_tower or facts["recipe"].get("text_tower", "auto")
    tower = text_tower(name, args.text_weights)
    result = judge_prompts(
        table.features[rows], model.cpu(), tower, prompts, labels.labels, labels.patients,
        similarity=args.similarity, n_bootstrap=args.bootstrap,
    )  # fmt: skip
    intervals = class_intervals(result, labels.patients, n_bootstrap=args.bootstrap)
    say(f"{result.n_test:,} records, {result.n_defined} of {result.n_classes} classes defined, texts by {tower.name}")
    say(f"{'macro AUROC':<16}{result.macro_auroc:6.2f}  [{result.ci95[0]:.2f}, {result.ci95[1]:.2f}]")
    for label, auroc in result.per_class.items():
        interval = intervals[label]
        shown = "undefined" if auroc is None or interval is None else _figure(auroc, interval)
        say(f"  {label:<14}{shown}")
    skipped = table.provenance.get("skipped", [])
    if args.json is not None:
        write_json(args.json, {
            **result.as_dict(), "per_class_ci95": intervals, "similarity": args.similarity, "text_tower": tower.name,
            "split": args.split, "grouped_by_patient": labels.has_patients, "prompts": prompts,
            "n_without_features": without_features, "features": dict(table.provenance),
        })  # fmt: skip
        say(f"figures: {args.json}")
    return 1 if skipped else 0


def _figure(auroc: float, interval: tuple[float, float]) -> str:
    return f"{auroc:8.2f}  [{interval[0]:.2f}, {interval[1]:.2f}]"


def _prompts(args: argparse.Namespace, classes: tuple[str, ...]) -> dict[str, list[str]]:
    from ecgscan_lab.data.prompts import builtin_prompts, read_prompts

    if args.prompts != "builtin":
        return read_prompts(args.prompts, classes, split_commas=args.split_commas)
    if args.task is None:
        raise ArgumentError("built-in prompts need a task", field="task", expected="superclass, ..., csn or code")
    return builtin_prompts(args.task, classes)


def _add_reading(verb: argparse.ArgumentParser) -> None:
    """Options of both verbs: who embeds, and how inputs are read."""
    verb.add_argument(
        "--checkpoint",
        type=checkpoint_path,
        required=True,
        metavar="FILE",
        help="weights, as training leaves them, or the word shipped for those that come with the package",
    )
    verb.add_argument(
        "--rectify",
        choices=("none", "auto", "redraw"),
        default="none",
        help="auto: lay photographed pages flat; redraw: read them and draw them again (default: none)",
    )
    verb.add_argument("--pages", choices=("first", "all"), default="first", help="of TIFF and PDF (default: first)")
    verb.add_argument("--skip-bad", action="store_true", help="leave unreadable inputs out instead of stopping")
    verb.add_argument("--batch-size", type=int, default=32, metavar="N", help="pages a step (default: 32)")
    verb.add_argument("--workers", type=int, default=2, metavar="N", help="threads that read ahead (default: 2)")
    verb.add_argument("--cache", metavar="FOLDER", help="keep features by content, and read them from there")


def checkpoint_path(text: str) -> str:
    """A checkpoint's path; "shipped" names the weights that come with the package, unless a file is called so."""
    if text != "shipped" or Path(text).exists():
        return text
    from ecgscan_lab.train.shipped import shipped_checkpoint

    return str(shipped_checkpoint())


def _embedded(args: argparse.Namespace, checkpoint: str, what: Any, page: str | None, say: Say) -> Any:
    from ecgscan_lab.evaluate.embedding import embed_images

    counts: Counter[str] = Counter()
    say("loading the weights and listing the inputs")
    table = embed_images(
        args.input,
        checkpoint,
        what=what,
        record_page=page,
        rectify=args.rectify,
        pages=args.pages,
        on_bad="skip" if args.skip_bad else "error",
        batch_size=args.batch_size,
        workers=args.workers,
        cache=args.cache,
        counts=counts,
        on_rows=lambda done, total: say(f"{done:,} of {total:,} embedded") if total > done else None,
    )
    if counts["hit"]:
        say(f"{counts['hit']} of {counts['hit'] + counts['miss']} parts were computed before")
    for entry in table.provenance["skipped"][:20]:
        say(f"left out: {entry['id']}: {entry['what']}")
    if table.provenance["skipped"]:
        say(f"{len(table.provenance['skipped'])} of {table.provenance['n_inputs']} inputs left out")
    return table
