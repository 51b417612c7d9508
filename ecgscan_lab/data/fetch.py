"""Fetching a corpus or checkpoint: licence first, then files that are checked one by one as they arrive."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from os import PathLike
from pathlib import Path
from typing import Any

from ecgscan_lab.data.archives import extract_zip
from ecgscan_lab.data.checksum_lists import ask_publisher, listed_files, record_files, with_digests
from ecgscan_lab.data.disk import writing_to
from ecgscan_lab.data.download import Downloaded, download
from ecgscan_lab.data.manifest import Manifest, PublishedFile, load_manifest
from ecgscan_lab.data.verify import RECEIPT, as_recorded, read_receipt, write_receipt
from ecgscan_lab.errors import ArgumentError, LicenceError

_SHOWN_MEMBERS = 8


@dataclass(frozen=True)
class Fetched:
    """What lies in `folder` now: `files`, of which `fresh` came with this call; `recorded` had no published digest."""

    folder: Path
    files: int
    fresh: int
    n_bytes: int
    recorded: tuple[str, ...]


def fetch_data(
    source: str | Manifest,
    folder: str | PathLike[str] | None = None,
    *,
    limit: int | None = None,
    record_set: str | None = None,
    only: Sequence[str] = (),
    accept_licence: bool = False,
    keep_archives: bool = False,
    workers: int = 4,
    progress: bool = False,
    **options: Any,
) -> Fetched:
    """Fetch a corpus or checkpoint from its publisher, whole or in part; run again, it goes on where it stopped.

    Args:
        source: a name that `manifest_names` lists, or a manifest.
        folder: where the files go; None: `data/<name>` below the current folder.
        limit: this many records, in the publisher's order, and the tables; None fetches all.
        record_set: which records, where a corpus has several sets ("records100"); without it and without `limit` the
            publisher's archive is fetched where there is one.
        only: patterns of listed files to fetch instead of all, for instance "exams.csv" or "exams_part0.zip".
        accept_licence: the reader has read the licence and accepts it, where it asks for more than naming the source.
        keep_archives: keep archives after they were unpacked.
        workers: connections at a time for records that come one by one.
        progress: draw progress bars on stderr.
        **options: of `download`: retries, wait_s, timeout_s.

    Returns:
        What is there now. `ecgscan-fetch.json` in the folder keeps licence, citation and recorded digests.

    Raises:
        ManifestError: no such manifest.
        LicenceError: an account or an acceptance is needed; the message says which, and where to put files by hand.
        ArgumentError: `limit`, `record_set` or `only` does not fit the corpus.
        FetchError, IntegrityError, DiskFullError, ArchiveError: see `download` and `extract_zip`.
    """
    manifest = source if isinstance(source, Manifest) else load_manifest(source)
    check_access(manifest, accept_licence=accept_licence)
    chosen = _chosen_set(manifest, limit, record_set, only)
    root = Path(folder) if folder is not None else Path("data") / manifest.name
    with writing_to(root):
        root.mkdir(parents=True, exist_ok=True)
    run = _Run(manifest, root, keep_archives, progress, options)
    listed = run.lists()
    wanted = [file for file in manifest.files if not only or any(fnmatchcase(file.path, name) for name in only)]
    for file in wanted:
        run.one(run.at_commit(with_digests(file, listed)))
    if chosen is not None:
        assert manifest.checksums is not None
        records = record_files(root / manifest.checksums.file.path, manifest.record_sets[chosen], limit)
        run.many(records, workers)
    elif manifest.archive is not None and not only:
        run.one(with_digests(replace(manifest.archive, unpack=True), listed))
    return run.done()


def check_access(manifest: Manifest, *, accept_licence: bool = False) -> None:
    """See that the reader may fetch.

    Raises:
        LicenceError: the publisher wants an account, or the licence must be accepted first.
    """
    licence, access = manifest.fields["licence"], manifest.fields["access"]
    if manifest.access != "open":
        steps = enumerate(access["steps"], start=1)
        raise LicenceError(
            f"{manifest.name} is not fetched for you: it needs {access.get('account', 'a visit to its page')}",
            field="access",
            fix=" ".join(f"({i}) {step}" for i, step in steps).replace("NAME", manifest.name),
        )
    if manifest.must_accept and not accept_licence:
        raise LicenceError(
            f"{manifest.name} is under {licence['name']}. {licence.get('note', '')}".strip(),
            field="accept_licence",
            expected=f"that you have read {licence['url']}",
            fix="then add --accept-licence (accept_licence=True)",
        )


def _chosen_set(manifest: Manifest, limit: int | None, record_set: str | None, only: Sequence[str]) -> str | None:
    """The record set to fetch one by one; None when there is an archive to take instead, or only files."""
    if limit is not None and limit < 1:
        raise ArgumentError(f"limit is {limit}", field="limit", expected="1 or more records")
    unmatched = [name for name in only if not any(fnmatchcase(file.path, name) for file in manifest.files)]
    if unmatched:
        names = ", ".join(file.path for file in manifest.files) or "none: leave it away"
        raise ArgumentError(f"no listed file is named {unmatched[0]!r}", field="only", expected=names)
    if record_set is not None and record_set not in manifest.record_sets:
        names = ", ".join(manifest.record_sets) or "none"
        raise ArgumentError(f"{manifest.name} has no record set {record_set!r}", field="record_set", expected=names)
    if limit is not None and not manifest.record_sets:
        raise ArgumentError(
            f"{manifest.name} is not published record by record",
            field="limit",
            fix="choose files instead: --only " + " ".join(file.path for file in manifest.files[:2]),
        )
    if only and limit is None and record_set is None:
        return None
    if record_set is not None or limit is not None or manifest.archive is None:
        return record_set or manifest.fields["default_record_set"]
    return None


class _Run:
    """One fetch: what has arrived so far, and the receipt that is written after every step."""

    def __init__(
        self, manifest: Manifest, root: Path, keep_archives: bool, progress: bool, options: Mapping[str, Any]
    ) -> None:
        self.manifest, self.root = manifest, root
        self.keep_archives, self.progress, self.options = keep_archives, progress, dict(options)
        self.receipt = read_receipt(root)
        self.arrived: list[Downloaded] = []
        self.newly: list[str] = []
        self.commit = ""

    @property
    def sums(self) -> Path | None:
        checksums = self.manifest.checksums
        return self.root / checksums.file.path if checksums is not None and checksums.file.path else None

    def lists(self) -> Mapping[str, PublishedFile]:
        """The publisher's digests: of an API all of them, of a SHA256SUMS.txt those of the listed files."""
        checksums = self.manifest.checksums
        if checksums is None:
            return {}
        if self.sums is None:
            found, self.commit = ask_publisher(checksums)
            return found
        self.one(checksums.file)
        wanted = {file.path for file in self.manifest.files}
        found = dict[str, PublishedFile]()
        for path, sha256 in listed_files(self.sums) if wanted else ():
            if path in wanted:
                found[path] = PublishedFile(path, "", sha256=sha256)
        return found

    def at_commit(self, file: PublishedFile) -> PublishedFile:
        """The file at the commit that was listed, should its branch move meanwhile."""
        return (
            replace(file, url=file.url.replace("/resolve/main/", f"/resolve/{self.commit}/")) if self.commit else file
        )

    def one(self, file: PublishedFile) -> None:
        """Fetch a file and, when it is an archive to unpack, what it holds."""
        if file.unpack and self._is_unpacked(file):
            return
        checked_inside = file.unpack and self.sums is not None  # a publisher may pack the same files anew
        known = file if checked_inside else as_recorded(file, self.receipt["unpacked" if file.unpack else "recorded"])
        with _bar(self.progress, file.path, "B") as tell:
            got = download(known, self.root, proves_itself=file.unpack, on_bytes=tell, **self.options)
        self.arrived.append(got)
        if file.unpack:
            self._unpack(file, got)
        elif file.sha256 is None:
            self._record("recorded", file.path, got)

    def many(self, files: Sequence[PublishedFile], workers: int) -> None:
        """Fetch files that each carry a digest, several at a time."""
        with _bar(self.progress, "records", " files", total=len(files)) as tell, ThreadPoolExecutor(workers) as pool:
            waiting = [pool.submit(download, file, self.root, **self.options) for file in files]
            try:
                for future in waiting:
                    self.arrived.append(future.result())
                    tell(1, len(files))
            except BaseException:
                pool.shutdown(wait=True, cancel_futures=True)
                raise

    def done(self) -> Fetched:
        """Write the receipt and say what is here."""
        self._keep()
        fresh = [got for got in self.arrived if got.fresh]
        total = sum(got.n_bytes for got in fresh)
        return Fetched(self.root, len(self.arrived), len(fresh), total, tuple(dict.fromkeys(self.newly)))

    def _is_unpacked(self, file: PublishedFile) -> bool:
        entry = self.receipt["unpacked"].get(file.path)
        if entry is None or (file.sha256 is not None and entry["sha256"] != file.sha256):
            return False
        members = entry.get("members")
        return isinstance(members, list) and bool(members) and all((self.root / str(m)).is_file() for m in members)

    def _unpack(self, file: PublishedFile, got: Downloaded) -> None:
        digests = dict(listed_files(self.sums)) if self.sums is not None else {}
        with _bar(self.progress, f"unpacking {file.path}", "B") as tell:
            members = extract_zip(
                got.path,
                self.root,
                max_bytes=file.max_unpacked_bytes,
                strip=file.strip,
                digests=digests,
                skip={RECEIPT, *([self.sums.name] if self.sums is not None else [])},
                on_bytes=lambda n: tell(n, None),
            )
        self._record("unpacked", file.path, got, members=[*members[:1], *members[-_SHOWN_MEMBERS:]])
        if not self.keep_archives:
            got.path.unlink()

    def _record(self, part: str, path: str, got: Downloaded, **more: Any) -> None:
        if path not in self.receipt[part]:
            self.newly.append(path)
        self.receipt[part][path] = {"bytes": got.n_bytes, "sha256": got.sha256, **more}
        self._keep()

    def _keep(self) -> None:
        write_receipt(self.root, self.manifest, self.receipt, {"commit": self.commit} if self.commit else {})


@contextmanager
def _bar(
    progress: bool, title: str, unit: str, total: int | None = None
) -> Iterator[Callable[[int, int | None], None]]:
    """A progress bar as a function to call with what has just arrived and the total, if known."""
    if not progress:
        yield lambda n, total: None
        return
    from tqdm import tqdm

    with tqdm(desc=title, total=total, unit=unit, unit_scale=unit == "B", dynamic_ncols=True) as bar:

        def tell(n: int, of: int | None) -> None:
            if of is not None and bar.total != of:
                bar.total = of
            bar.update(n)

        yield tell
