"""Fetching from a publisher on this machine, with every fault that a server, a line or a disk can have."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from hashlib import md5, sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ecgscan_lab import cli
from ecgscan_lab.data import disk, known_sources
from ecgscan_lab.data import fetch as fetch_module
from ecgscan_lab.data.checksum_lists import listed_files, with_digests
from ecgscan_lab.data.disk import check_file
from ecgscan_lab.data.download import download, open_url
from ecgscan_lab.data.fetch import fetch_data
from ecgscan_lab.data.manifest import Manifest, PublishedFile, load_manifest, manifest_names, parse_manifest
from ecgscan_lab.data.verify import RECEIPT, read_receipt, verify_data
from ecgscan_lab.errors import (
    ArchiveError,
    ArgumentError,
    DiskFullError,
    FetchError,
    IntegrityError,
    LicenceError,
    ManifestError,
)

CONTENT = bytes(range(256)) * 1200  # 307,200 bytes
QUICK = {"wait_s": 0.0, "timeout_s": 10.0}


@dataclass
class Page:
    """One address: its content, and how often the server misbehaves before it serves it well."""

    content: bytes = b""
    etag: str | None = '"v1"'
    cuts: list[int] = field(default_factory=list)  # after so many bytes of the body the connection ends, once each
    fails: list[int] = field(default_factory=list)  # statuses to answer first, once each
    redirect: str | None = None
    says_length: bool = True
    knows_ranges: bool = True
    asks_no_validator: bool = False  # resumes whatever it was asked, changed or not
    shift: int = 0  # resumes so many bytes behind the place that it was asked for
    waits: threading.Event | None = None  # the second half of the body waits for it


@dataclass
class Site:
    base: str
    pages: dict[str, Page] = field(default_factory=dict)
    asked: list[tuple[str, str | None]] = field(default_factory=list)

    def put(self, path: str, content: bytes, **faults: Any) -> PublishedFile:
        """Serve a file; returns it as a publisher with digests would list it."""
        self.pages["/" + path] = Page(content, **faults)
        return PublishedFile(path, f"{self.base}/{path}", len(content), sha256(content).hexdigest())


@contextmanager
def serve() -> Iterator[Site]:
    site = Site("")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            _answer(self, site)

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    site.base = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _answer(handler: BaseHTTPRequestHandler, site: Site) -> None:
    asked = handler.headers.get("Range")
    site.asked.append((handler.path, asked))
    page = site.pages.get(handler.path)
    if page is None or page.fails:
        handler.send_response(404 if page is None else page.fails.pop(0))
        handler.send_header("Content-Length", "0")
        handler.end_headers()
        return
    if page.redirect is not None:
        handler.send_response(302)
        handler.send_header("Location", page.redirect)
        handler.send_header("Content-Length", "0")
        handler.end_headers()
        return
    start = 0
    if asked and page.knows_ranges and (page.asks_no_validator or handler.headers.get("If-Range") == page.etag):
        start = int(asked.removeprefix("bytes=").rstrip("-")) + page.shift
    if asked and start >= len(page.content) > 0:
        handler.send_response(416)
        handler.send_header("Content-Length", "0")
        handler.end_headers()
        return
    body = page.content[start:]
    handler.send_response(206 if start else 200)
    if start:
        handler.send_header("Content-Range", f"bytes {start}-{len(page.content) - 1}/{len(page.content)}")
    if page.says_length:
        handler.send_header("Content-Length", str(len(body)))
    if page.etag:
        handler.send_header("ETag", page.etag)
    handler.end_headers()
    half = len(body) // 2
    try:
        if page.cuts:
            body = body[: page.cuts.pop(0)]
        if page.waits is not None:
            handler.wfile.write(body[:half])
            handler.wfile.flush()
            page.waits.wait(20)
            body = body[half:]
        handler.wfile.write(body)
    except OSError:  # the client was killed
        pass
    handler.close_connection = True


BLANK: dict[str, Any] = {
    "schema_version": 1,
    "name": "toy",
    "kind": "corpus",
    "title": "Toy corpus",
    "version": "1",
    "homepage": "https://example.org/",
    "description": "Two records.",
    "transcribed_on": "2026-01-01",
    "licence": {
        "name": "CC BY 4.0",
        "spdx": "CC-BY-4.0",
        "url": "https://example.org/licence",
        "must_accept": False,
        "share_alike": False,
        "non_commercial": False,
    },
    "access": {"level": "open", "steps": []},
    "citation": {"text": "Nobody (2026).", "doi": None, "data_doi": None},
    "contains": [],
    "contained_in": [],
    "traps": [],
    "files": [],
    "record_sets": {},
    "default_record_set": None,
    "expected": [],
}


def listed(path: str, **more: Any) -> dict[str, Any]:
    """A file entry of a manifest whose publisher lists nothing about it."""
    return {"path": path, "url": f"https://site/{path}", "bytes": None, "sha256": None, "md5": None, **more}


def toy_manifest(site: Site, **changes: Any) -> Manifest:
    """A manifest by the schema, its addresses then turned to the local site."""
    text = json.dumps({**BLANK, **changes})
    manifest = parse_manifest(json.loads(text))

    def here(file: PublishedFile) -> PublishedFile:
        return replace(file, url=file.url.replace("https://site", site.base))

    checksums = manifest.checksums
    return replace(
        manifest,
        files=tuple(here(file) for file in manifest.files),
        archive=None if manifest.archive is None else here(manifest.archive),
        checksums=None if checksums is None else replace(checksums, file=here(checksums.file)),
        record_sets={
            name: replace(chosen, base_url=chosen.base_url.replace("https://site", site.base))
            for name, chosen in manifest.record_sets.items()
        },
    )


def sums(files: dict[str, bytes]) -> bytes:
    return "".join(f"{sha256(content).hexdigest()}  {path}\n" for path, content in files.items()).encode()


def md5_of(content: bytes) -> str:
    return md5(content, usedforsecurity=False).hexdigest()


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serve() as running:
        yield running


def names_in(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


# --- one file


def test_a_file_arrives_whole_and_a_second_call_asks_for_nothing(site, tmp_path):
    file = site.put("a/b.csv", CONTENT)
    seen: list[tuple[int, int | None]] = []
    first = download(file, tmp_path, on_bytes=lambda n, total: seen.append((n, total)), **QUICK)
    assert (first.fresh, first.sha256, first.path.read_bytes()) == (True, file.sha256, CONTENT)
    assert sum(n for n, _ in seen) == len(CONTENT)
    assert {total for _, total in seen} == {len(CONTENT)}
    assert not download(file, tmp_path, **QUICK).fresh
    assert len(site.asked) == 1
    assert names_in(tmp_path) == ["a/b.csv"]


def test_cut_connections_are_resumed_where_they_ended(site, tmp_path):
    file = site.put("x.dat", CONTENT, cuts=[100_000, 50_000])
    assert download(file, tmp_path, **QUICK).path.read_bytes() == CONTENT
    assert [asked for _, asked in site.asked] == [None, "bytes=100000-", "bytes=150000-"]


def test_without_a_digest_the_server_s_length_still_shows_a_cut(site, tmp_path):
    file = replace(site.put("x.dat", CONTENT, cuts=[1000]), sha256=None, n_bytes=None)
    assert download(file, tmp_path, **QUICK).path.read_bytes() == CONTENT


def test_a_later_run_resumes_what_an_earlier_one_left(site, tmp_path):
    file = site.put("x.dat", CONTENT, cuts=[100_000])
    with pytest.raises(FetchError, match="did not arrive") as failed:
        download(file, tmp_path, retries=0, **QUICK)
    assert failed.value.fix is not None
    assert names_in(tmp_path) == ["x.dat.part", "x.dat.part.json"]
    assert download(file, tmp_path, **QUICK).fresh
    assert site.asked[-1][1] == "bytes=100000-"
    assert names_in(tmp_path) == ["x.dat"]


@pytest.mark.parametrize("fault", ["other version", "no ranges", "no validator", "note lost"])
def test_a_resumption_never_mixes_two_versions(site, tmp_path, fault):
    old = site.put("x.dat", b"o" * len(CONTENT), cuts=[100_000], etag=None if fault == "no validator" else '"v1"')
    with pytest.raises(FetchError):
        download(old, tmp_path, retries=0, **QUICK)
    if fault == "note lost":
        (tmp_path / "x.dat.part.json").unlink()
    new = site.put("x.dat", CONTENT, etag='"v2"', knows_ranges=fault != "no ranges")
    assert download(new, tmp_path, **QUICK).path.read_bytes() == CONTENT


def test_without_a_validator_nothing_is_resumed(site, tmp_path):
    old = site.put("x.dat", b"o" * len(CONTENT), cuts=[100_000], etag=None)
    with pytest.raises(FetchError):
        download(old, tmp_path, retries=0, **QUICK)
    new = replace(site.put("x.dat", CONTENT, etag=None, asks_no_validator=True), sha256=None)
    assert download(new, tmp_path, **QUICK).path.read_bytes() == CONTENT
    assert site.asked[-1][1] is None


def test_a_server_that_resumes_at_another_place_is_asked_from_the_start(site, tmp_path):
    file = replace(site.put("x.dat", CONTENT, cuts=[1000], shift=7), sha256=None)
    assert download(file, tmp_path, **QUICK).path.read_bytes() == CONTENT
    assert [asked for _, asked in site.asked] == [None, "bytes=1000-", None]


def test_a_file_of_another_size_is_told_without_a_digest(tmp_path):
    (tmp_path / "x").write_bytes(b"12")
    assert check_file(tmp_path / "x", PublishedFile("x", "", n_bytes=2))
    with pytest.raises(IntegrityError, match="2 bytes"):
        check_file(tmp_path / "x", PublishedFile("x", "", n_bytes=3))


def test_a_part_that_was_whole_already_is_only_renamed(site, tmp_path):
    file = site.put("x.dat", CONTENT)
    (tmp_path / "x.dat.part").write_bytes(CONTENT)
    said = {"url": file.url, "validator": '"v1"', "total": len(CONTENT)}
    (tmp_path / "x.dat.part.json").write_text(json.dumps(said))
    assert download(file, tmp_path, **QUICK).path.read_bytes() == CONTENT
    assert names_in(tmp_path) == ["x.dat"]


@pytest.mark.parametrize("wrong", ["sha256", "md5", "longer", "shorter"])
def test_other_content_than_listed_leaves_no_file(site, tmp_path, wrong):
    served = CONTENT + b"!" if wrong == "longer" else CONTENT[:-1] if wrong == "shorter" else CONTENT
    file = replace(site.put("x.dat", served), n_bytes=len(CONTENT), sha256=None)
    file = replace(file, **{"sha256": {"sha256": "0" * 64}, "md5": {"md5": "0" * 32}}.get(wrong, {}))
    with pytest.raises(IntegrityError) as failed:
        download(file, tmp_path, **QUICK)
    assert failed.value.expected is not None
    assert names_in(tmp_path) == []


def test_an_endless_answer_is_stopped_at_the_listed_size(site, tmp_path):
    file = replace(site.put("x.dat", CONTENT, says_length=False), n_bytes=1000)
    with pytest.raises(IntegrityError, match="more than its size"):
        download(file, tmp_path, **QUICK)
    assert "x.dat" not in names_in(tmp_path)


def test_a_file_of_which_nothing_is_known_is_refused(site, tmp_path):
    file = replace(site.put("x.dat", CONTENT, says_length=False), n_bytes=None, sha256=None)
    with pytest.raises(IntegrityError, match=r"whether x\.dat is whole"):
        download(file, tmp_path, **QUICK)
    assert names_in(tmp_path) == []


def test_a_damaged_file_is_replaced_only_by_a_whole_one(site, tmp_path):
    file = site.put("x.dat", CONTENT, cuts=[10])
    (tmp_path / "x.dat").write_bytes(b"old")
    with pytest.raises(FetchError):
        download(file, tmp_path, retries=0, **QUICK)
    assert (tmp_path / "x.dat").read_bytes() == b"old"
    assert download(file, tmp_path, **QUICK).path.read_bytes() == CONTENT


def test_busy_servers_are_asked_again_and_missing_files_are_not(site, tmp_path):
    assert download(site.put("x.dat", CONTENT, fails=[503, 429]), tmp_path, **QUICK).fresh
    with pytest.raises(FetchError, match="404"):
        download(PublishedFile("y", f"{site.base}/y"), tmp_path, **QUICK)
    with pytest.raises(FetchError, match="403") as failed:
        download(site.put("z.dat", CONTENT, fails=[403]), tmp_path, **QUICK)
    assert "account" in str(failed.value.fix)
    assert [path for path, _ in site.asked].count("/y") == 1


def test_no_server_at_all_is_a_fetch_error(tmp_path):
    with pytest.raises(FetchError, match="did not arrive"):
        download(PublishedFile("x", "http://127.0.0.1:9/x"), tmp_path, retries=1, **QUICK)


def test_redirects_are_followed_on_this_machine_and_never_away_from_https(site, tmp_path, monkeypatch):
    file = site.put("x.dat", CONTENT, cuts=[1000])
    site.pages["/old"] = Page(redirect="/x.dat")
    assert download(replace(file, url=f"{site.base}/old"), tmp_path, **QUICK).path.read_bytes() == CONTENT
    assert ("/x.dat", "bytes=1000-") in site.asked  # the range survives the redirect
    site.pages["/loop"] = Page(redirect="/loop")
    with pytest.raises(FetchError, match="302"):
        download(PublishedFile("l", f"{site.base}/loop"), tmp_path, **QUICK)
    for target in ("http://example.org/x", "file:///etc/passwd", "ftp://example.org/x"):
        site.pages["/away"] = Page(redirect=target)
        with pytest.raises(FetchError):
            download(PublishedFile("a", f"{site.base}/away"), tmp_path, **QUICK)
        with pytest.raises(FetchError, match="cannot fetch"):
            open_url(target)
    assert names_in(tmp_path) == ["x.dat"]


def test_too_little_room_is_said_before_anything_is_written(site, tmp_path, monkeypatch):
    file = site.put("x.dat", CONTENT)
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda folder: SimpleNamespace(free=1000))
    with pytest.raises(DiskFullError, match=r"0\.00 GB are free"):
        download(file, tmp_path, **QUICK)
    assert "x.dat" not in names_in(tmp_path)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no limit on the size of a file")
def test_a_disk_that_fills_up_keeps_what_arrived_and_goes_on_later(site, tmp_path):
    file = site.put("x.dat", CONTENT)
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(DiskFullError, match="the disk is full"):
            download(file, tmp_path, **QUICK)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "x.dat" not in names_in(tmp_path)
    assert download(file, tmp_path, **QUICK).path.read_bytes() == CONTENT
    assert names_in(tmp_path) == ["x.dat"]


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="nothing is read-only for this user")
def test_a_read_only_folder_is_a_fetch_error(site, tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(FetchError, match="cannot write"):
        download(site.put("x.dat", CONTENT), tmp_path, **QUICK)


def test_a_folder_in_the_way_is_a_fetch_error(site, tmp_path):
    (tmp_path / "a").write_text("a file")
    with pytest.raises(FetchError, match="cannot write"):
        download(site.put("a/x.dat", CONTENT), tmp_path, **QUICK)


def test_killed_in_the_middle_it_leaves_no_file_and_the_next_run_resumes(site, tmp_path):
    site.put("x.dat", CONTENT, waits=threading.Event())
    url = site.base + "/x.dat"
    program = f"""
from pathlib import Path
from ecgscan_lab.data.download import download
from ecgscan_lab.data.manifest import PublishedFile
import ecgscan_lab.data.download as module
module._CHUNK = 4096
download(PublishedFile("x.dat", {url!r}), Path({str(tmp_path)!r}))
"""
    running = subprocess.Popen([sys.executable, "-c", program], cwd=Path(__file__).resolve().parents[2])
    part = tmp_path / "x.dat.part"
    deadline = time.monotonic() + 30
    while not (part.is_file() and part.stat().st_size >= 4096) and time.monotonic() < deadline:
        time.sleep(0.02)
    with pytest.raises(FetchError, match="another process"):
        download(PublishedFile("x.dat", url), tmp_path, **QUICK)
    running.kill()
    running.wait()
    left = part.stat().st_size
    assert left >= 4096
    assert not (tmp_path / "x.dat").exists()
    file = site.put("x.dat", CONTENT)
    assert download(file, tmp_path, **QUICK).path.read_bytes() == CONTENT
    assert site.asked[-1][1] == f"bytes={left}-"


# --- a corpus


RECORDS = {f"data/{i:02d}{ending}": f"{i}{ending}".encode() * 50 for i in range(1, 6) for ending in (".dat", ".hea")}
TABLE = {"table.csv": b"record\n01\n"}


def records_manifest(site: Site, **changes: Any) -> Manifest:
    """Five records served one by one and a table, with a SHA256SUMS.txt of which no digest is known."""
    for path, content in {**RECORDS, **TABLE}.items():
        site.put(path, content)
    site.put("SHA256SUMS.txt", sums({**RECORDS, **TABLE}))
    found = {
        "checksums": {
            "format": "sha256sums",
            "path": "SHA256SUMS.txt",
            "url": "https://site/SHA256SUMS.txt",
            "bytes": None,
            "sha256": None,
        },
        "files": [listed("table.csv")],
        "record_sets": {
            "records": {"base_url": "https://site/", "match": "data/*", "suffixes": [".hea", ".dat"], "count": 5}
        },
        "default_record_set": "records",
        "expected": [{"glob": "data/*.hea", "count": 5}],
    }
    return toy_manifest(site, **{**found, **changes})


def test_a_limit_takes_whole_records_in_the_publisher_s_order_and_tables(site, tmp_path, capsys):
    manifest = records_manifest(site)
    done = fetch_data(manifest, tmp_path, limit=2, progress=True, **QUICK)
    bars = capsys.readouterr().err
    assert "table.csv: 100%" in bars
    assert "records: 100%" in bars
    records = ["data/01.dat", "data/01.hea", "data/02.dat", "data/02.hea"]
    assert names_in(tmp_path) == ["SHA256SUMS.txt", *records, RECEIPT, "table.csv"]
    assert (done.files, done.fresh, done.recorded) == (6, 6, ("SHA256SUMS.txt",))
    again = fetch_data(manifest, tmp_path, limit=3, **QUICK)
    assert (again.files, again.fresh, again.recorded) == (8, 2, ())
    found = verify_data(manifest, tmp_path)
    assert (found.sound, found.complete, found.n_missing, found.counts) == (True, False, 4, {"data/*.hea": (3, 5)})


def test_all_records_are_complete_and_a_changed_byte_is_found(site, tmp_path):
    manifest = records_manifest(site)
    fetch_data(manifest, tmp_path, workers=2, **QUICK)
    assert verify_data(manifest, tmp_path).complete
    (tmp_path / "data/03.dat").write_bytes(b"x" * 150)
    found = verify_data(manifest, tmp_path)
    assert list(found.damaged) == ["data/03.dat"]
    assert not found.sound
    assert fetch_data(manifest, tmp_path, **QUICK).fresh == 1
    assert verify_data(manifest, tmp_path).sound


def test_a_record_that_differs_from_the_list_stops_the_fetch(site, tmp_path):
    manifest = records_manifest(site)
    site.put("data/02.hea", b"tampered")
    with pytest.raises(IntegrityError, match=r"02\.hea"):
        fetch_data(manifest, tmp_path, **QUICK)
    assert "data/02.hea" not in names_in(tmp_path)


def test_a_list_recorded_at_the_first_fetch_holds_the_second_one(site, tmp_path):
    manifest = records_manifest(site)
    fetch_data(manifest, tmp_path, limit=1, **QUICK)
    assert set(read_receipt(tmp_path)["recorded"]) == {"SHA256SUMS.txt"}
    site.put("SHA256SUMS.txt", sums(dict.fromkeys(RECORDS, b"other")))
    (tmp_path / "SHA256SUMS.txt").unlink()
    with pytest.raises(IntegrityError, match=r"SHA256SUMS\.txt"):
        fetch_data(manifest, tmp_path, limit=1, **QUICK)


@pytest.mark.parametrize("last", ["../evil.hea", "/etc/evil.hea", "data/..\\evil.hea", "C:evil.hea"])
def test_a_list_cannot_name_files_outside_the_folder(site, tmp_path, last):
    manifest = records_manifest(
        site, record_sets={"records": {"base_url": "https://site/", "match": "*", "suffixes": [".hea"], "count": 1}}
    )
    site.put("SHA256SUMS.txt", sums({last: b"x"}))
    with pytest.raises(ManifestError, match="leaves the folder"):
        fetch_data(manifest, tmp_path / "in", **QUICK)
    assert [name for name in names_in(tmp_path) if "evil" in name] == []


def test_a_list_that_was_cut_off_is_seen(tmp_path):
    path = tmp_path / "SHA256SUMS.txt"
    whole = sums(RECORDS)
    for cut in (1, 30, 70):
        path.write_bytes(whole[:-cut])
        with pytest.raises(IntegrityError, match="no digest and path"):
            list(listed_files(path))
    path.write_bytes(whole)
    assert len(list(listed_files(path))) == len(RECORDS)


def packed(files: dict[str, bytes], top: str = "toy-1/") -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, content in files.items():
            archive.writestr(top + path, content)
    return buffer.getvalue()


def archive_entry(**more: Any) -> dict[str, Any]:
    return listed("toy.zip", strip=1, max_unpacked_bytes=1_000_000, **more)


def test_an_archive_is_unpacked_checked_against_the_list_and_deleted(site, tmp_path):
    manifest = records_manifest(site, archive=archive_entry())
    forged_list = {"SHA256SUMS.txt": b"forged", RECEIPT: b"forged"}
    site.put("toy.zip", packed({**RECORDS, **TABLE, **forged_list}), cuts=[200], says_length=True)
    done = fetch_data(manifest, tmp_path, **QUICK)
    assert done.recorded == ("SHA256SUMS.txt", "toy.zip")
    assert names_in(tmp_path) == sorted(["SHA256SUMS.txt", *RECORDS, RECEIPT, "table.csv"])
    assert verify_data(manifest, tmp_path).complete
    asked = len(site.asked)
    fetch_data(manifest, tmp_path, **QUICK)
    assert len(site.asked) == asked


def test_a_wrong_member_of_an_archive_never_gets_its_name(site, tmp_path):
    manifest = records_manifest(site, archive=archive_entry())
    site.put("toy.zip", packed({**RECORDS, "data/05.hea": b"tampered"}))
    with pytest.raises(IntegrityError, match=r"05\.hea"):
        fetch_data(manifest, tmp_path, **QUICK)
    assert "data/05.hea" not in names_in(tmp_path)


def test_an_archive_cut_off_by_a_server_that_gives_no_length_is_an_archive_error(site, tmp_path):
    manifest = toy_manifest(site, archive=archive_entry())
    site.put("toy.zip", packed(RECORDS), says_length=False, cuts=[300])
    with pytest.raises(ArchiveError, match="damaged"):
        fetch_data(manifest, tmp_path, **QUICK)
    assert [name for name in names_in(tmp_path) if name.startswith("data")] == []


def test_zenodo_s_list_completes_the_manifest_and_contradictions_are_refused(site, tmp_path):
    content = packed(RECORDS)
    site.put("toy.zip", content)
    entry = {"key": "toy.zip", "size": len(content), "checksum": "md5:" + md5_of(content)}
    site.put("api", json.dumps({"files": [entry]}).encode())
    api = {"format": "zenodo", "path": None, "url": "https://site/api", "bytes": None, "sha256": None}
    manifest = toy_manifest(site, archive=archive_entry(), checksums=api)
    fetch_data(manifest, tmp_path / "a", **QUICK)
    assert len(names_in(tmp_path / "a")) == len(RECORDS) + 1
    with pytest.raises(IntegrityError, match="now lists md5"):
        fetch_data(toy_manifest(site, archive=archive_entry(md5="0" * 32), checksums=api), tmp_path / "b", **QUICK)
    site.put("api", json.dumps({"files": [{**entry, "checksum": "md5:" + "0" * 32}]}).encode())
    with pytest.raises(IntegrityError, match="md5"):
        fetch_data(manifest, tmp_path / "c", **QUICK)
    site.put("api", b"<html>busy</html>")
    with pytest.raises(FetchError, match="cannot be read"):
        fetch_data(manifest, tmp_path / "d", **QUICK)


def test_a_moving_branch_is_fetched_at_the_commit_that_was_listed(site, tmp_path):
    weights, commit = b"w" * 1000, "c" * 40
    site.put(f"resolve/{commit}/w.safetensors", weights)
    site.put(f"resolve/{commit}/config.json", b"{}")
    siblings = [
        {"rfilename": "w.safetensors", "size": 1000, "lfs": {"sha256": sha256(weights).hexdigest(), "size": 1000}},
        {"rfilename": "config.json", "size": 2, "blobId": "0" * 40},
    ]
    site.put("api", json.dumps({"sha": commit, "siblings": siblings}).encode())
    api = {"format": "huggingface", "path": None, "url": "https://site/api", "bytes": None, "sha256": None}
    files = [listed(name, url=f"https://site/resolve/main/{name}") for name in ("w.safetensors", "config.json")]
    manifest = toy_manifest(site, kind="checkpoint", files=files, checksums=api)
    done = fetch_data(manifest, tmp_path, **QUICK)
    assert done.recorded == ("config.json",)
    assert json.loads((tmp_path / RECEIPT).read_text())["commit"] == commit
    assert verify_data(manifest, tmp_path).sound


def test_parts_are_chosen_by_name_unpacked_and_not_fetched_again(site, tmp_path):
    files = [listed("exams.csv"), *(listed(f"p{i}.zip", unpack=True, max_unpacked_bytes=10_000) for i in range(2))]
    manifest = toy_manifest(site, files=files)
    site.put("exams.csv", b"id\n")
    for i in range(2):
        site.put(f"p{i}.zip", packed({f"p{i}.hdf5": b"h" * 100}, top=""))
    fetch_data(manifest, tmp_path, only=["exams.csv", "p0*"], **QUICK)
    assert names_in(tmp_path) == [RECEIPT, "exams.csv", "p0.hdf5"]
    fetch_data(manifest, tmp_path, **QUICK)
    assert names_in(tmp_path) == [RECEIPT, "exams.csv", "p0.hdf5", "p1.hdf5"]
    assert [path for path, _ in site.asked].count("/p0.zip") == 1
    with pytest.raises(ArgumentError, match="named 'q'"):
        fetch_data(manifest, tmp_path, only=["q"], **QUICK)
    with pytest.raises(ArgumentError, match="record by record"):
        fetch_data(manifest, tmp_path, limit=1, **QUICK)


def test_a_licence_is_accepted_first_and_an_account_is_explained(site, tmp_path):
    manifest = records_manifest(site)
    licence = {**manifest.fields["licence"], "must_accept": True, "note": "Share alike."}
    bound = records_manifest(site, licence=licence)
    with pytest.raises(LicenceError, match="Share alike") as refused:
        fetch_data(bound, tmp_path / "x", **QUICK)
    assert "--accept-licence" in str(refused.value.fix)
    gated = records_manifest(
        site, access={"level": "credentialed", "account": "a PhysioNet account", "steps": ["Sign the agreement."]}
    )
    with pytest.raises(LicenceError, match="a PhysioNet account") as refused:
        fetch_data(gated, tmp_path / "x", accept_licence=True, **QUICK)
    assert "Sign the agreement" in str(refused.value.fix)
    assert site.asked == []
    assert not (tmp_path / "x").exists()
    assert fetch_data(bound, tmp_path, limit=1, accept_licence=True, **QUICK).fresh == 4


@pytest.mark.parametrize("name", manifest_names())
def test_nothing_that_needs_an_account_or_an_acceptance_is_fetched_without(name, monkeypatch, tmp_path):
    def reached(*args: Any, **kwargs: Any) -> None:
        raise InterruptedError("the network was asked")

    monkeypatch.setattr(fetch_module, "download", reached)
    monkeypatch.setattr(fetch_module, "ask_publisher", reached)
    manifest = load_manifest(name)
    free = manifest.access == "open" and not manifest.must_accept
    with pytest.raises(InterruptedError if free else LicenceError):
        fetch_data(name, tmp_path)


def test_folders_filled_by_hand_are_verified_without_a_receipt(site, tmp_path):
    manifest = records_manifest(site)
    for path, content in RECORDS.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_bytes(content)
    found = verify_data(manifest, tmp_path)
    assert (found.sound, found.checked, found.counts["data/*.hea"]) == (True, 0, (5, 5))
    assert "SHA256SUMS.txt" in found.note
    (tmp_path / "SHA256SUMS.txt").write_bytes(sums(RECORDS))
    assert verify_data(manifest, tmp_path).checked == len(RECORDS) + 1
    (tmp_path / RECEIPT).write_text('{"recorded": {"SHA256SUMS.txt": "nonsense"}, "unpacked": 3}')
    assert verify_data(manifest, tmp_path).sound
    empty = tmp_path / "empty"
    empty.mkdir()
    assert not verify_data(manifest, empty).sound


def test_today_s_list_may_add_to_a_manifest_but_not_contradict_it():
    file = PublishedFile("x", "https://site/x", sha256="a" * 64)
    assert with_digests(file, {"x": PublishedFile("x", "", n_bytes=3)}).n_bytes == 3
    with pytest.raises(IntegrityError, match="now lists sha256"):
        with_digests(file, {"x": PublishedFile("x", "", sha256="b" * 64)})


# --- the command line


@pytest.fixture
def own_manifest(site: Site, monkeypatch: pytest.MonkeyPatch) -> Manifest:
    manifest = records_manifest(site)
    monkeypatch.setattr("ecgscan_lab.data.commands.load_manifest", lambda name: manifest)
    return manifest


def test_the_verb_fetches_a_subset_and_verifies_it(own_manifest, tmp_path, capsys):
    assert cli.main(["data", "fetch", "toy", "--to", str(tmp_path), "--limit", "2"]) == 0
    out = capsys.readouterr().out
    assert "CC BY 4.0" in out
    assert "6 files in" in out
    assert "recorded now: SHA256SUMS.txt" in out
    assert cli.main(["data", "verify", "toy", str(tmp_path)]) == 0
    assert "data/*.hea: 2 of 5" in capsys.readouterr().out
    assert cli.main(["data", "verify", "toy", str(tmp_path), "--complete"]) == 1
    (tmp_path / "data/01.hea").write_bytes(b"")
    assert cli.main(["data", "verify", "toy", str(tmp_path)]) == 1
    assert "damaged: data/01.hea" in capsys.readouterr().out


def test_the_verb_lists_and_shows(capsys):
    assert cli.main(["data", "list", "--kind", "corpus"]) == 0
    listing = capsys.readouterr().out
    assert "ptb-xl" in listing
    assert "d-beta" not in listing
    assert "--data synthetic" in listing
    assert f"what --data takes: {known_sources()}" in listing
    assert cli.main(["data", "list", "--kind", "checkpoint"]) == 0
    listing = capsys.readouterr().out
    assert "--checkpoint shipped" in listing
    assert "synthetic" not in listing
    for name in manifest_names():
        assert cli.main(["data", "show", name]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert any(line.strip().startswith("licence") for line in lines)
        assert max(len(line) for line in lines[1:] if "http" not in line) <= 100
    assert cli.main(["data", "show", "ptb-xl", "--croissant"]) == 0
    assert json.loads(capsys.readouterr().out)["@type"] == "sc:Dataset"
    assert cli.main(["data", "show", "ptb-xl", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["version"] == "1.0.3"


def test_the_verb_explains_what_it_will_not_fetch(capsys, tmp_path):
    for name, word in (("d-beta", "huggingface.co account"), ("mimic-iv-ecg", "--accept-licence")):
        assert cli.main(["data", "fetch", name, "--to", str(tmp_path / name)]) == 2
        assert word in capsys.readouterr().err
        assert not (tmp_path / name).exists()
    assert cli.main(["data", "show", "nonsense"]) == 2
    assert "ecgscan-lab data list" in capsys.readouterr().err


def test_an_interrupted_fetch_says_how_to_go_on(own_manifest, tmp_path, capsys, monkeypatch):
    def interrupted(*args: Any, **kwargs: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("ecgscan_lab.data.fetch.download", interrupted)
    assert cli.main(["data", "fetch", "toy", "--to", str(tmp_path)]) == 130
    assert "same command" in capsys.readouterr().out
