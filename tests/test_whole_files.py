from __future__ import annotations

import errno
import json

import pytest

from ecgscan_lab.errors import CheckpointError, ExportError
from ecgscan_lab.whole_files import unfinished_file, write_json, write_whole


def test_a_full_disk_leaves_no_half_a_file_and_says_so(tmp_path):
    (tmp_path / "p.png").write_bytes(b"old")

    def pieces():
        yield b"new "
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(ExportError, match="No space left") as caught:
        write_whole(tmp_path / "p.png", pieces())
    assert "make room" in caught.value.fix
    assert [file.name for file in tmp_path.iterdir()] == ["p.png"]
    assert (tmp_path / "p.png").read_text() == "old"


def test_a_place_that_cannot_be_written_is_a_typed_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ExportError, match="cannot write"):
        write_whole(tmp_path / "file" / "p.png", b"x")


def test_the_caller_chooses_the_error_and_its_field(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(CheckpointError) as caught:
        write_whole(tmp_path / "file" / "p", b"x", error=CheckpointError, field="checkpoint")
    assert caught.value.field == "checkpoint"


def test_a_block_that_fails_leaves_the_old_file_and_passes_its_own_error_on(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")

    def fail_half_way() -> None:
        with unfinished_file(path) as unfinished:
            unfinished.write_bytes(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail_half_way()
    assert [file.name for file in tmp_path.iterdir()] == ["a.bin"]
    assert path.read_bytes() == b"old"


def test_json_is_written_whole_and_without_nan(tmp_path):
    path = write_json(tmp_path / "new" / "a.json", {"a": [1, None], "b": 0.5})
    assert json.loads(path.read_text()) == {"a": [1, None], "b": 0.5}
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(path, {"a": float("nan")})
    assert json.loads(path.read_text()) == {"a": [1, None], "b": 0.5}
