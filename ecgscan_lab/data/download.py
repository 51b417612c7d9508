"""One file from its publisher: resumed where it stopped, checked, and under its name only once it is whole."""

from __future__ import annotations

import http.client
import json
import os
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from ecgscan_lab.data.disk import AGAIN, check_file, check_room, how_to_mend, writing_to
from ecgscan_lab.data.manifest import PublishedFile
from ecgscan_lab.errors import FetchError, IntegrityError

OnBytes = Callable[[int, int | None], None]
_CHUNK, _TIMEOUT_S, _MAX_WAIT_S = 1 << 20, 60.0, 60.0
_TRY_AGAIN = {408, 425, 429, 500, 502, 503, 504}


@dataclass(frozen=True)
class Downloaded:
    """A file that is here and whole; `fresh` says whether it was fetched now."""

    path: Path
    n_bytes: int
    sha256: str
    fresh: bool


@dataclass(frozen=True)
class _Part:
    """The unfinished file, and what its server said about it: the validator that a resumption must match."""

    path: Path
    url: str = ""
    validator: str = ""
    total: int | None = None

    @property
    def note(self) -> Path:
        return self.path.with_name(self.path.name + ".json")

    @property
    def size(self) -> int:
        return self.path.stat().st_size if self.path.is_file() else 0

    def discard(self) -> None:
        self.path.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)


class _CutError(Exception):
    """The connection ended, or never came about; trying again may help."""

    def __init__(self, why: str, wait_s: float = 0.0) -> None:
        super().__init__(why)
        self.wait_s = wait_s


def download(
    file: PublishedFile,
    folder: Path,
    *,
    retries: int = 4,
    wait_s: float = 1.0,
    timeout_s: float = _TIMEOUT_S,
    proves_itself: bool = False,
    on_bytes: OnBytes | None = None,
) -> Downloaded:
    """Bring one published file into a folder.

    Args:
        file: what to fetch, and the size and digests that it must have.
        folder: where `file.path` goes; folders on the way are made.
        retries: how often to go on after a cut connection or a busy server.
        wait_s: seconds before the first retry; each further one waits twice as long.
        timeout_s: seconds without a byte after which a connection counts as cut.
        proves_itself: the content can be checked without a digest (an archive, whose members carry their own).
        on_bytes: told how many bytes have just arrived or were here already, and of how many (None: not known).

    Returns:
        The file, its size and its SHA-256.

    Raises:
        FetchError: no such file, refused, no connection after all retries, or another process is fetching it.
        IntegrityError: other size or digest than listed, or nothing says whether it is whole. No file is left behind.
        DiskFullError: no room; what has arrived is kept for the next try.

    Properties:
        never a half file: under `file.path` there is the old file, the whole new one, or none.
        a resumption never mixes two versions: the server must confirm that the file is the one that was begun.
    """
    target = folder / file.path
    tell = on_bytes or (lambda n, total: None)
    present = _already_here(target, file)
    if present is not None:
        tell(present.n_bytes, present.n_bytes)
        return present
    part = _Part(target.with_name(target.name + ".part"))
    with writing_to(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        with _locked(part.path):
            for attempt in range(retries + 1):
                try:
                    complete = _transfer(part, file, timeout_s, tell)
                    break
                except _CutError as cut:
                    if attempt == retries:
                        raise FetchError(
                            f"{file.url} did not arrive: {cut}", file=target, field="url", fix=AGAIN
                        ) from cut
                    time.sleep(min(max(wait_s * 2**attempt, cut.wait_s), _MAX_WAIT_S))
            return _finish(part, file, target, complete or proves_itself)


def open_url(url: str, headers: dict[str, str] | None = None, timeout_s: float = _TIMEOUT_S) -> Any:
    """Open an address over HTTPS (plain HTTP only on this machine), following redirects that stay as safe.

    Raises:
        FetchError: the address is of another kind, or a redirect leads from HTTPS to something less.
        urllib.error.HTTPError, OSError: as `urllib` raises them.
    """
    _check_url(url)
    request = urllib.request.Request(url, headers={"User-Agent": "ecgscan-lab", **(headers or {})})
    return urllib.request.build_opener(_SafeRedirects).open(request, timeout=timeout_s)


class _SafeRedirects(urllib.request.HTTPRedirectHandler):
    """Redirects never leave HTTPS; `urllib` itself bounds their number and keeps `Range`."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        _check_url(newurl, came_from=req.full_url)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _check_url(url: str, came_from: str = "") -> None:
    parts = urlsplit(url)
    local = parts.hostname in {"localhost", "127.0.0.1", "::1"}
    if parts.scheme == "https" or (parts.scheme == "http" and local and not came_from.startswith("https:")):
        return
    told = f"{came_from} redirects to {url[:200]}" if came_from else f"cannot fetch {url[:200]}"
    raise FetchError(told, field="url", expected="an https:// address")


def _transfer(part: _Part, file: PublishedFile, timeout_s: float, tell: OnBytes) -> bool:
    """Add to the part until the server has no more; returns whether the server said how long the file is."""
    part = _begun(part, file)
    headers = {"Accept-Encoding": "identity"}
    if part.size:
        headers |= {"Range": f"bytes={part.size}-", "If-Range": part.validator}
    try:
        with open_url(file.url, headers, timeout_s) as response:
            part, append = _agree(part, file, response)
            _check_room(part, file)
            with part.path.open("ab" if append else "wb") as out:
                tell(out.tell(), _total(part, file))
                arrived = out.tell() + _copy(response, out, file, lambda n, _: tell(n, _total(part, file)))
    except urllib.error.HTTPError as error:
        return _refused(error, part, file)
    except (http.client.HTTPException, urllib.error.URLError, TimeoutError, ConnectionError) as error:
        raise _CutError(f"{type(error).__name__}: {error}"[:200]) from error
    total = _total(part, file)
    if total is not None and arrived < total:
        raise _CutError(f"the connection ended after {arrived} of {total} bytes")
    return total is not None


def _begun(part: _Part, file: PublishedFile) -> _Part:
    """The part as an earlier run left it, or a fresh one when that cannot be trusted to be of the same file."""
    if part.size:
        try:
            said = json.loads(part.note.read_text(encoding="utf-8"))
            if said["url"] == file.url and said["validator"]:
                return _Part(part.path, said["url"], str(said["validator"]), said["total"])
        except (OSError, ValueError, KeyError, TypeError):
            pass
        part.discard()
    return _Part(part.path, file.url)


def _agree(part: _Part, file: PublishedFile, response: Any) -> tuple[_Part, bool]:
    """Settle with the server where to go on: behind the part when it confirms it, else from the first byte."""
    length = response.headers.get("Content-Length")
    resumed = response.status == 206 and part.size > 0
    if resumed:
        unit_range, _, total = response.headers.get("Content-Range", "").partition("/")
        start = unit_range.removeprefix("bytes ").split("-")[0]
        if start != str(part.size) or (part.total is not None and total != str(part.total)):
            part.discard()
            raise _CutError("the server resumed at another place than asked")
    elif response.status == 206:
        raise FetchError("the server sends a part of the file unasked", field="url", file=part.path)
    else:
        etag = response.headers.get("ETag", "")
        validator = etag if etag.startswith('"') else response.headers.get("Last-Modified", "")
        total = int(length) if length is not None and length.isdecimal() else None
        part = replace(part, validator=validator, total=total)
        part.note.write_text(json.dumps({"url": part.url, "validator": validator, "total": part.total}))
    if file.n_bytes is not None and part.total is not None and part.total != file.n_bytes:
        part.discard()
        raise IntegrityError(
            f"{file.url} offers {part.total} bytes", field="bytes", expected=str(file.n_bytes), fix=how_to_mend(file)
        )
    return part, resumed


def _copy(response: Any, out: IO[bytes], file: PublishedFile, tell: OnBytes) -> int:
    start, copied = out.tell(), 0
    while chunk := _read(response):
        copied += len(chunk)
        if file.n_bytes is not None and start + copied > file.n_bytes:
            out.truncate(0)
            raise IntegrityError(
                f"{file.url} sends more than its size", field="bytes", expected=str(file.n_bytes), fix=how_to_mend(file)
            )
        out.write(chunk)
        tell(len(chunk), None)
    out.flush()
    os.fsync(out.fileno())
    return copied


def _read(response: Any) -> bytes:
    try:
        return bytes(response.read(_CHUNK))
    except (OSError, http.client.HTTPException) as error:  # of the connection, not of the disk
        raise _CutError(f"{type(error).__name__}: {error}"[:200]) from error


def _refused(error: urllib.error.HTTPError, part: _Part, file: PublishedFile) -> bool:
    with error:
        if error.code == 416 and part.size:
            if part.total == part.size or file.n_bytes == part.size:
                return True  # the last run fetched the last byte and was stopped before it could rename
            part.discard()
            raise _CutError("the server has no such range") from error
        if error.code in _TRY_AGAIN:
            after = error.headers.get("Retry-After") or ""
            raise _CutError(f"the server answers {error.code}", float(after) if after.isdecimal() else 0.0) from error
        hint = "the publisher asks for an account: see `ecgscan-lab data show`" if error.code in (401, 403) else None
        raise FetchError(
            f"{file.url} answers {error.code} {error.reason}", file=part.path, field="url", fix=hint
        ) from error


def _finish(part: _Part, file: PublishedFile, target: Path, whole: bool) -> Downloaded:
    if not (whole or file.sha256 or file.md5):
        part.discard()
        raise IntegrityError(
            f"nothing says whether {file.path} is whole: no digest, no size, and the server gives no length",
            field="url",
            fix="fetch it by hand and check it with the publisher",
        )
    try:
        sha256 = check_file(part.path, file)
    except IntegrityError:
        part.discard()
        raise
    n_bytes = part.size
    part.path.replace(target)
    part.note.unlink(missing_ok=True)
    return Downloaded(target, n_bytes, sha256, fresh=True)


def _already_here(target: Path, file: PublishedFile) -> Downloaded | None:
    """A file of that name that is as published, or of which nothing is published; a wrong one is fetched anew."""
    try:
        if not target.is_file():
            return None
        return Downloaded(target, target.stat().st_size, check_file(target, file), fresh=False)
    except IntegrityError:
        return None
    except OSError as error:
        raise FetchError(f"cannot read {target.name} ({type(error).__name__})", file=target) from error


def _total(part: _Part, file: PublishedFile) -> int | None:
    return part.total if part.total is not None else file.n_bytes


def _check_room(part: _Part, file: PublishedFile) -> None:
    total = _total(part, file)
    if total is not None:
        check_room(part.path.parent, total - part.size, what=file.path)


@contextmanager
def _locked(part: Path) -> Iterator[None]:
    """One process at a time writes a part; the others are told so rather than spoil it."""
    lock = part.with_name(part.name + ".lock")
    with lock.open("w") as handle:
        if not _take(handle.fileno(), lock):
            raise FetchError(
                f"another process is fetching {part.stem}", file=part, field="folder", fix="wait until it is done"
            )
        try:
            yield
        finally:
            with suppress(OSError):  # Windows keeps a file that is still open
                lock.unlink()
    if sys.platform == "win32":
        with suppress(OSError):
            lock.unlink()


def _take(handle: int, lock: Path) -> bool:
    """Lock an open file until it is closed, or its process ends."""
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
            return True
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError:  # a disk that knows no locks
        return True
    return lock.exists() and lock.stat().st_ino == os.fstat(handle).st_ino
