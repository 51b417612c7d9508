"""`ecgscan-lab data`: list, show, fetch, verify, labels, prepare and leakage, as words in and lines out."""

from __future__ import annotations

import argparse
import json
import sys
import textwrap
from collections.abc import Callable, Iterator
from typing import Any

from ecgscan_lab.data import known_sources
from ecgscan_lab.data.manifest import Manifest, PublishedFile, load_manifest, manifest_names
from ecgscan_lab.errors import counted
from ecgscan_lab.types import SPLITS
from ecgscan_lab.whole_files import write_whole

Say = Callable[[str], object]
INTERRUPTED = 130
_WIDTH = 100
_HERE = {
    "corpus": f"  {'synthetic':<29}{'here':<9}{'none needed':<26}drawn, as many as you like: --data synthetic",
    "checkpoint": f"  {'shipped':<29}{'here':<9}{'CC-BY-4.0':<26}comes with the package: --checkpoint shipped",
}
"""What needs no download, by kind."""


def add_data_verb(commands: Any, common: argparse.ArgumentParser, run: Callable[[argparse.Namespace], int]) -> None:
    """Add `data` and its actions to a command line; `run` is called with what was parsed."""
    data = commands.add_parser("data", help="corpora and checkpoints: list, fetch, verify, labels, prepare, leakage")
    actions = data.add_subparsers(required=True, metavar="ACTION", dest="action")

    listing = actions.add_parser("list", parents=[common], help="what there is, and how one gets it")
    listing.add_argument("--kind", choices=("corpus", "checkpoint"), help="only these")

    show = actions.add_parser("show", parents=[common], help="licence, access, size, citation and traps of one")
    show.add_argument("name", help="a name of `data list`, or the path of a manifest of your own")
    form = show.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="the manifest as it is")
    form.add_argument("--croissant", action="store_true", help="Croissant metadata (JSON-LD)")

    fetch = actions.add_parser("fetch", parents=[common], help="download, check, unpack; run again to go on")
    fetch.add_argument("name", help="a name of `data list`, or the path of a manifest of your own")
    fetch.add_argument("--to", metavar="FOLDER", help="where files go (default: data/<name>)")
    fetch.add_argument("--limit", type=int, metavar="N", help="only the first N records, and the tables")
    fetch.add_argument("--records", metavar="SET", help="which records, where there are several sets (see show)")
    fetch.add_argument("--only", nargs="+", default=(), metavar="FILE", help="only these listed files; * is allowed")
    fetch.add_argument("--accept-licence", action="store_true", help="you have read the licence and accept it")
    fetch.add_argument("--keep-archives", action="store_true", help="keep archives after unpacking")
    fetch.add_argument("--workers", type=int, default=4, help="connections at a time (default: 4)")

    verify = actions.add_parser("verify", parents=[common], help="hold a folder to the publisher's digests")
    verify.add_argument("name", help="a name of `data list`, or the path of a manifest of your own")
    verify.add_argument("folder", help="holds the files, in the publisher's layout")
    verify.add_argument("--complete", action="store_true", help="also fail when something is missing")
    _add_labels(actions, common)
    _add_prepare(actions, common)
    _add_leakage(actions, common)
    data.set_defaults(run=run)


def _add_labels(actions: Any, common: argparse.ArgumentParser) -> None:
    labels = actions.add_parser("labels", parents=[common], help="labels of a corpus as a CSV, for probe and zeroshot")
    labels.add_argument("source", help=f"one of {known_sources()}")
    labels.add_argument("out", help="the CSV to write")
    labels.add_argument("--task", required=True, help="superclass, subclass, form, rhythm, cpsc2018, csn, code, ...")
    labels.add_argument("--only-present", action="store_true", help="leave out listed records without files")


def _add_prepare(actions: Any, common: argparse.ArgumentParser) -> None:
    prepare = actions.add_parser("prepare", parents=[common], help="a store for training; run again to go on")
    prepare.add_argument("source", help=f"one of {known_sources()}")
    prepare.add_argument("out", help="folder of the store; a finished one is checked")
    prepare.add_argument("--fs", type=float, default=100.0, metavar="HZ", help="sampling rate (default: 100)")
    prepare.add_argument("--seconds", type=float, default=10.0, metavar="S", help="length (default: 10)")
    prepare.add_argument("--workers", type=int, default=1, help="processes that read (default: 1)")
    prepare.add_argument("--shard-size", type=int, default=1024, metavar="N", help="records a shard (default: 1024)")
    prepare.add_argument("--limit", type=int, metavar="N", help="about N records, whole patients of every split")
    prepare.add_argument("--seed", type=int, default=0, help="seed of drawn splits and of --limit (default: 0)")
    prepare.add_argument("--only-present", action="store_true", help="leave out listed records without files")


def _add_leakage(actions: Any, common: argparse.ArgumentParser) -> None:
    leakage = actions.add_parser("leakage", parents=[common], help="patients and recordings in two splits or corpora")
    leakage.add_argument("sources", nargs="+", metavar="SOURCE", help=f"each one of {known_sources()}")
    leakage.add_argument("--held-out", nargs="+", default=(), metavar="NAME", help="cohorts that are tested on whole")
    leakage.add_argument("--trained-on", nargs="+", default=(), metavar="NAME", help="manifests of what was trained on")
    leakage.add_argument("--likeness", type=float, default=0.95, help="correlation of copies (default: 0.95)")
    leakage.add_argument("--fs", type=float, default=100.0, metavar="HZ", help="sampling rate (default: 100)")
    leakage.add_argument("--only-present", action="store_true", help="leave out listed records without files")
    leakage.add_argument("--json", metavar="FILE", help="write the whole report there, with what to leave out")


def run_data(args: argparse.Namespace, say: Say) -> int:
    """Run one action of `data`; returns the exit status: 0 done, 1 damaged, incomplete or leaking, 130 interrupted.

    Args:
        args: what `add_data_verb` parsed.
        say: called with each line of the answer.
    """
    if args.action == "list":
        for line in table_lines(args.kind):
            say(line)
        return 0
    of_sources = {"labels": _labels, "prepare": _prepare, "leakage": _leakage}
    if args.action in of_sources:
        return of_sources[args.action](args, say)
    manifest = load_manifest(args.name)
    if args.action == "show":
        if args.json or args.croissant:
            say(json.dumps(manifest.fields if args.json else manifest.croissant(), indent=2, ensure_ascii=False))
            return 0
        for line in manifest_lines(manifest):
            say(line)
        return 0
    return _fetch(manifest, args, say) if args.action == "fetch" else _verify(manifest, args, say)


def table_lines(kind: str | None = None) -> Iterator[str]:
    """One line for what comes with the package and for each manifest: name, how one gets it, licence, what it is."""
    manifests = [load_manifest(name) for name in manifest_names(kind)]
    for chosen, title in (("corpus", "corpora"), ("checkpoint", "checkpoints")):
        rows = [manifest for manifest in manifests if manifest.kind == chosen]
        if rows:
            yield f"{title:<31}{'access':<9}licence"
            yield _HERE[chosen]
        for manifest in rows:
            licence = manifest.fields["licence"]
            short = licence["spdx"] or textwrap.shorten(licence["name"], 24, placeholder="...")
            size = f"{manifest.fields['records']['count']:>9,} records" if "records" in manifest.fields else ""
            yield f"  {manifest.name:<29}{manifest.access:<9}{short:<26}{size}".rstrip()
    yield "ecgscan-lab data show NAME tells the rest of what is published"
    if kind != "checkpoint":
        yield f"what --data takes: {known_sources()}"


def manifest_lines(manifest: Manifest) -> Iterator[str]:
    """What a reader should know before fetching: licence, access, size, citation, overlaps, traps."""
    fields = manifest.fields
    licence, records = fields["licence"], fields.get("records")
    yield f"{manifest.title}, {manifest.version}"
    yield from _wrapped("", fields["description"])
    yield from _wrapped("page", fields["homepage"])
    duties = [
        words
        for words, holds in (
            ("share alike", licence["share_alike"]),
            ("not for commercial use", licence["non_commercial"]),
            ("to be accepted", licence["must_accept"]),
        )
        if holds
    ]
    yield from _wrapped("licence", f"{licence['name']}{''.join(', ' + duty for duty in duties)}: {licence['url']}")
    yield from _wrapped("", licence.get("note", ""))
    yield from _wrapped("access", " ".join([f"{manifest.access}.", *fields["access"]["steps"]]))
    if records is not None:
        patients = "" if records["patients"] is None else f" of {records['patients']:,} patients"
        rates = " and ".join(f"{rate:g}" for rate in records["fs_hz"])
        first, last = records["duration_s"]
        length = f"{first:g} s" if first == last else f"{first:g} to {last:g} s"
        yield from _wrapped("records", f"{records['count']:,}{patients}, {rates} Hz, {length}; {records['format']}")
        yield from _wrapped("leads", " ".join(records["leads"]))
    yield from _wrapped("input", fields.get("input", ""))
    yield from _wrapped("trained on", ", ".join(fields.get("trained_on", ())))
    for name, chosen in manifest.record_sets.items():
        yield from _wrapped("record set", f"{name}: {chosen.count:,} records, one by one (--records {name} --limit N)")
    for file in [*manifest.files, *([manifest.archive] if manifest.archive else [])]:
        size = file.about or (f"{file.n_bytes:,} bytes" if file.n_bytes else "size not listed here")
        yield from _wrapped("file", f"{file.path}: {size}; {_digest(file)}")
    if manifest.checksums is not None:
        yield from _wrapped("digests", f"the publisher's list, {manifest.checksums.file.url}")
    for relation in ("contains", "contained_in"):
        for entry in fields[relation]:
            count = "" if entry["records"] is None else f" ({entry['records']:,} records)"
            yield from _wrapped(
                {"contains": "contains", "contained_in": "part of"}[relation],
                f"{entry['name']}{count}: {entry['note']}",
            )
    for trap in fields["traps"]:
        yield from _wrapped("beware", trap)
    doi = fields["citation"]["doi"]
    yield from _wrapped("cite", fields["citation"]["text"] + (f" https://doi.org/{doi}" if doi else ""))


def _fetch(manifest: Manifest, args: argparse.Namespace, say: Say) -> int:
    from ecgscan_lab.data.fetch import fetch_data

    licence = manifest.fields["licence"]
    say(f"{manifest.title}, {manifest.version}: {licence['name']}, {licence['url']}")
    try:
        done = fetch_data(
            manifest,
            args.to,
            limit=args.limit,
            record_set=args.records,
            only=args.only,
            accept_licence=args.accept_licence,
            keep_archives=args.keep_archives,
            workers=args.workers,
            progress=sys.stderr.isatty(),
        )
    except KeyboardInterrupt:
        say("interrupted; run the same command again to go on from there")
        return INTERRUPTED
    say(
        f"{counted(done.files, 'file')} in {done.folder}, {done.fresh} of them fetched now "
        f"({done.n_bytes / 1e6:,.1f} MB)"
    )
    if done.recorded:
        say(f"no published digest, recorded now: {', '.join(done.recorded)}")
    say(f"cite: {manifest.fields['citation']['text']}")
    return 0


def _verify(manifest: Manifest, args: argparse.Namespace, say: Say) -> int:
    from ecgscan_lab.data.verify import verify_data

    found = verify_data(manifest, args.folder)
    say(f"{found.checked:,} files compared, {len(found.damaged)} damaged; {found.n_missing:,} listed ones are not here")
    for pattern, (n, published) in found.counts.items():
        say(f"  {pattern}: {n:,}" + ("" if published is None else f" of {published:,}"))
    for path, what in list(found.damaged.items())[:20]:
        say(f"  damaged: {path}: {what}")
    if found.unlisted:
        say(f"  no digest known: {', '.join(found.unlisted[:8])}")
    if found.note:
        say(f"  {found.note}")
    if not found.sound:
        say(
            "not sound: nothing here is of this corpus"
            if not found.damaged
            else "not sound: fetch the damaged files anew"
        )
        return 1
    say("sound and complete" if found.complete else "sound, and not complete")
    return 1 if args.complete and not found.complete else 0


def _labels(args: argparse.Namespace, say: Say) -> int:
    from ecgscan_lab.data.label_tables import write_label_table

    how = {"only_present": True} if args.only_present else {}
    path, n = write_label_table(args.source, args.task, args.out, **how)
    say(f"{counted(n, 'record')} with a label of {args.task} in {path}")
    return 0


def _prepare(args: argparse.Namespace, say: Say) -> int:
    from ecgscan_lab.data.store import build_store

    how = {"only_present": True} if args.only_present else {}
    try:
        store = build_store(
            args.source,
            args.out,
            fs_hz=args.fs,
            duration_s=args.seconds,
            workers=args.workers,
            shard_size=args.shard_size,
            n_records=args.limit,
            seed=args.seed,
            progress=sys.stderr.isatty(),
            **how,
        )
    except KeyboardInterrupt:
        say("interrupted; run the same command again to go on from there")
        return INTERRUPTED
    n_bytes = sum(shard.n_bytes for shard in store.shards)
    say(
        f"{counted(len(store), 'record')} of {store.name} in {counted(len(store.shards), 'shard')}, "
        f"{n_bytes / 1e6:,.1f} MB, all verified"
    )
    say("  " + ", ".join(f"{split}: {len(store.indices(split)):,}" for split in SPLITS))
    for sentence, count in store.repairs.items():
        say(f"  {sentence}: {count:,}")
    if store.skipped:
        say(f"  could not be read: {len(store.skipped):,}, listed with reasons in store.json")
    say(f"  data_sha256 {store.data_sha256}")
    say(f"train on it as store:{args.out}")
    return 0


def _leakage(args: argparse.Namespace, say: Say) -> int:
    from ecgscan_lab.data.leakage import leakage_gate

    how = {"only_present": True} if args.only_present else {}
    report = leakage_gate(
        *args.sources,
        held_out=args.held_out,
        trained_on=args.trained_on,
        min_likeness=args.likeness,
        fs_hz=args.fs,
        **how,
    )
    for line in str(report).splitlines():
        say(line)
    if args.json is not None:
        write_whole(args.json, json.dumps(report.as_dict(), indent=1).encode(), field="json")
    return 0 if report.clean else 1


def _digest(file: PublishedFile) -> str:
    if file.sha256:
        return f"sha256 {file.sha256[:12]}..."
    return f"md5 {file.md5[:12]}..." if file.md5 else "digest not listed here"


def _wrapped(title: str, text: str) -> Iterator[str]:
    lines = textwrap.wrap(text, _WIDTH - 14, break_long_words=False, break_on_hyphens=False)
    for number, line in enumerate(lines):
        yield f"  {title if number == 0 else '':<12}{line}"
