"""Archives that try to write elsewhere, to write too much, or to be something else."""

from __future__ import annotations

import contextlib
import os
import stat
import struct
import zipfile
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace

import pytest

from ecgscan_lab.data import disk
from ecgscan_lab.data.archives import extract_zip
from ecgscan_lab.errors import ArchiveError, DiskFullError, IntegrityError

MAX = 1_000_000


def write_zip(path: Path, *members: tuple[str | zipfile.ZipInfo, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return path


def of_kind(name: str, kind: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.create_system, info.external_attr = 3, (kind | 0o777) << 16
    return info


def everything_below(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "out"


def test_plain_files_arrive_without_the_leading_folder(tmp_path, out):
    archive = write_zip(tmp_path / "a.zip", ("top/", b""), ("top/a/b.dat", b"1" * 5000), ("top/c.csv", b"2"))
    counted: list[int] = []
    assert extract_zip(archive, out, max_bytes=MAX, strip=1, on_bytes=counted.append) == ["a/b.dat", "c.csv"]
    assert everything_below(out) == ["a/b.dat", "c.csv"]
    assert sum(counted) == 5001
    assert (out / "a/b.dat").read_bytes() == b"1" * 5000


@pytest.mark.parametrize(
    "name",
    ["../evil", "a/../../evil", "/evil", "//evil", "C:evil", "C:/evil", "a\\..\\..\\evil", "a/./evil", "a//evil", "..",
     "a/.. /../evil", "evil.", "a/\nevil", "/".join("abcdefghijklmn"), "a" * 300],
)  # fmt: skip
def test_names_that_lead_elsewhere_are_refused_before_anything_is_written(tmp_path, out, name):
    archive = write_zip(tmp_path / "a.zip", ("good", b"1"), (name, b"2"))
    with pytest.raises(ArchiveError):
        extract_zip(archive, out, max_bytes=MAX)
    assert everything_below(tmp_path) == ["a.zip"]


def test_a_name_cut_off_by_a_null_is_refused(tmp_path, out):
    archive = write_zip(tmp_path / "a.zip", ("goodXevil", b"1"))
    archive.write_bytes(archive.read_bytes().replace(b"goodXevil", b"good\0evil"))
    with pytest.raises(ArchiveError):
        extract_zip(archive, out, max_bytes=MAX)
    assert everything_below(tmp_path) == ["a.zip"]


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFSOCK])
def test_links_and_devices_are_refused(tmp_path, out, kind):
    archive = write_zip(tmp_path / "a.zip", ("good", b"1"), (of_kind("link", kind), b"/etc/passwd"))
    with pytest.raises(ArchiveError, match="link or a device"):
        extract_zip(archive, out, max_bytes=MAX)
    assert everything_below(tmp_path) == ["a.zip"]


@pytest.mark.skipif(os.name == "nt", reason="making a link needs a privilege on Windows")
def test_a_link_that_lies_in_the_folder_is_replaced_and_not_followed(tmp_path, out):
    out.mkdir(parents=True)
    (tmp_path / "precious").write_bytes(b"keep")
    (out / "a").symlink_to(tmp_path / "precious")
    extract_zip(write_zip(tmp_path / "a.zip", ("a", b"new")), out, max_bytes=MAX)
    assert (tmp_path / "precious").read_bytes() == b"keep"
    assert (out / "a").read_bytes() == b"new"


def test_bombs_are_refused_by_size_by_ratio_and_by_number(tmp_path, out):
    big = write_zip(tmp_path / "a.zip", ("zeros", bytes(20_000_000)))
    with pytest.raises(ArchiveError, match="as a bomb does"):
        extract_zip(big, out, max_bytes=10**9)
    with pytest.raises(ArchiveError, match="unpacks to 20000000 bytes"):
        extract_zip(big, out, max_bytes=MAX)
    many = write_zip(tmp_path / "b.zip", *((str(i), b"") for i in range(20)))
    with pytest.raises(ArchiveError, match="20 members"):
        extract_zip(many, out, max_bytes=MAX, max_files=19)
    assert everything_below(out) == []


def test_members_that_share_their_bytes_are_refused(tmp_path, out):
    archive = write_zip(tmp_path / "a.zip", ("aaaa", bytes(range(256)) * 4), ("bbbb", bytes(range(256)) * 4))
    content = bytearray(archive.read_bytes())
    second = content.rfind(b"PK\x01\x02")  # the second member now points at the first one's bytes
    content[second + 42 : second + 46] = struct.pack("<L", 0)
    archive.write_bytes(content)
    with pytest.raises(ArchiveError):
        extract_zip(archive, out, max_bytes=MAX)
    assert everything_below(out) == []


def test_a_member_that_declares_less_than_it_holds_is_refused(tmp_path, out):
    archive = write_zip(tmp_path / "a.zip", ("liar", bytes(100_000)))
    content = archive.read_bytes().replace(struct.pack("<L", 100_000), struct.pack("<L", 10))
    archive.write_bytes(content)
    with pytest.raises(ArchiveError):
        extract_zip(archive, out, max_bytes=MAX)
    assert everything_below(out) == []


@pytest.mark.parametrize("pair", [("a", "a"), ("Data/a", "data/A")])
def test_the_same_place_twice_is_refused(tmp_path, out, pair):
    with pytest.warns(UserWarning, match="Duplicate") if pair[0] == pair[1] else contextlib.nullcontext():
        archive = write_zip(tmp_path / "a.zip", (pair[0], b"1"), (pair[1], b"2"))
    with pytest.raises(ArchiveError, match="twice"):
        extract_zip(archive, out, max_bytes=MAX)


def test_encrypted_members_are_refused(tmp_path, out):
    archive = write_zip(tmp_path / "a.zip", ("secret", b"1"))
    content = bytearray(archive.read_bytes())
    content[6] |= 1
    content[content.rfind(b"PK\x01\x02") + 8] |= 1
    archive.write_bytes(content)
    with pytest.raises(ArchiveError, match="encrypted"):
        extract_zip(archive, out, max_bytes=MAX)


def test_damage_anywhere_is_an_archive_error_and_leaves_only_whole_members(tmp_path, out):
    members = {f"m{i}": bytes([i]) * 400 + os.urandom(400) for i in range(5)}
    whole = write_zip(tmp_path / "a.zip", *members.items()).read_bytes()
    damaged = tmp_path / "b.zip"
    rng_places = range(0, len(whole), 37)
    for number, place in enumerate(rng_places):
        content = bytearray(whole) if number % 2 else bytearray(whole[:place])
        if number % 2:
            content[place] ^= 0xFF
        damaged.write_bytes(content)
        target = out / str(place)
        with contextlib.suppress(ArchiveError, DiskFullError):
            extract_zip(damaged, target, max_bytes=MAX)
        for path in target.glob("m*"):
            assert path.read_bytes() in members.values()
        assert list(target.glob(".unpacking-*")) == []


def test_digests_are_checked_before_a_member_gets_its_name(tmp_path, out):
    archive = write_zip(tmp_path / "a.zip", ("a", b"1"), ("b", b"2"), ("list", b"forged"))
    with pytest.raises(IntegrityError):
        extract_zip(archive, out, max_bytes=MAX, digests={"a": sha256(b"1").hexdigest(), "b": "0" * 64})
    assert everything_below(out) == ["a"]
    extract_zip(archive, out, max_bytes=MAX, skip={"list"})
    assert everything_below(out) == ["a", "b"]


def test_a_full_disk_is_said_before_anything_is_written(tmp_path, out, monkeypatch):
    archive = write_zip(tmp_path / "a.zip", ("a", bytes(5000)))
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda folder: SimpleNamespace(free=1000))
    with pytest.raises(DiskFullError):
        extract_zip(archive, out, max_bytes=MAX)
    assert everything_below(out) == []


def test_what_is_no_archive_is_an_archive_error(tmp_path, out):
    path = tmp_path / "page.zip"
    for content in (b"", b"<html>sign in</html>", b"PK\x05\x06"):
        path.write_bytes(content)
        with pytest.raises(ArchiveError):
            extract_zip(path, out, max_bytes=MAX)
