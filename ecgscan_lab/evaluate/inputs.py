"""What can be embedded, listed one by one: recordings of any source, and pictures of pages."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any, cast

import numpy as np

from ecgscan_lab.data import FOLDER_KINDS, load_cohort
from ecgscan_lab.data.corpora import read_ptbxl_tables
from ecgscan_lab.data.wfdb_records import read_record
from ecgscan_lab.errors import ArgumentError, EcgScanLabError, PictureError
from ecgscan_lab.evaluate.feature_table import first_repeated
from ecgscan_lab.evaluate.picture_files import SUFFIXES, count_pages, decode_picture, read_file
from ecgscan_lab.render.export.page_names import page_name, page_names
from ecgscan_lab.render.export.sources import RecordSource, find_records
from ecgscan_lab.types import Cohort, EcgRecord

Inputs = str | PathLike[str] | Cohort | Mapping[str, np.ndarray]
PAGES = ("first", "all")


@dataclass(frozen=True)
class Reading:
    """How inputs are read: rate and length of recordings; pages of a file, largest picture, resolution of PDF pages."""

    fs_hz: float = 100.0
    duration_s: float = 10.0
    pages: str = "first"
    max_pixels: int = 80_000_000
    dpi: float = 200.0

    def __post_init__(self) -> None:
        if self.pages not in PAGES:
            raise ArgumentError(f"pages is {self.pages!r}", field="pages", expected=" or ".join(PAGES))


@dataclass(frozen=True)
class Listed:
    """One recording or picture that will be embedded.

    Attributes:
        name: its identifier in the feature table.
        kind: "record" or "picture".
        page: page of its file, 1 for a record.
        fs_hz: rate of a record, None for a picture.
        content: reads what identifies it: float32 `[12, time]` mV, the file's bytes, or pixels.
        decode: turns the content into the signal, or into uint8 `[height, width, 3]`.
    """

    name: str
    kind: str
    page: int
    fs_hz: float | None
    content: Callable[[], Any] = field(repr=False)
    decode: Callable[[Any], np.ndarray] = field(repr=False)

    def sha256(self) -> str:
        """Hash of the content and the page."""
        content = self.content()
        raw = content if isinstance(content, bytes) else np.ascontiguousarray(content).data
        shape = () if isinstance(content, bytes) else content.shape
        digest = hashlib.sha256(f"{self.kind} {self.page} {self.fs_hz} {shape}\n".encode())
        digest.update(raw)
        return digest.hexdigest()


def list_inputs(inputs: Inputs | Sequence[Inputs], reading: Reading) -> list[Listed]:
    """List what is to be embedded, in order, without reading recordings or pictures.

    Args:
        inputs: one or several of: a `Cohort`; name -> uint8 picture `[height, width, 3]`; a picture file or a folder of
            them (sub-folders too; hidden files and `*.mask.png` are left out); a WFDB header or a folder of WFDB
            records; "synthetic:N", "ptbxl:FOLDER", "cohort:FOLDER" or another source of `data.load_cohort`. Where a
            folder holds both, "pictures:FOLDER" or "records:FOLDER" says which is meant.
        reading: rate, length, pages.

    Returns:
        One entry a row to be. Names are those of the loaders for recordings (PTB-XL: "00001_lr"), and for files the
        path below the folder without its ending, with "#2" for a second page. Pages in a folder of `render_dataset`
        bear the names of their recordings, as label tables write them, with "#2" for a second copy.

    Raises:
        ArgumentError: nothing is found, a folder holds both kinds, or a name occurs twice.
        TableError: the index of a folder of rendered pages is missing, or does not list one of them.
        EcgScanLabError: as the source's reader says.
    """
    several = isinstance(inputs, Sequence) and not isinstance(inputs, (str, PathLike))
    sources = cast(Sequence[Inputs], inputs if several else [inputs])
    listed = [item for source in sources for item in _list_one(source, reading)]
    if not listed:
        raise ArgumentError("nothing to embed", field="inputs", expected="at least one recording or picture")
    twice = first_repeated([item.name for item in listed])
    if twice is not None:
        raise ArgumentError(
            f"two inputs are named {twice!r}",
            field="inputs",
            expected="names that are all different",
            fix="rename one of the files, or embed the folders one by one",
        )
    return listed


def _list_one(source: Inputs, reading: Reading) -> list[Listed]:
    if isinstance(source, Cohort):
        return [
            Listed(record.record_id, "record", 1, record.fs_hz, partial(_signal_of, source, i), _same)
            for i, record in enumerate(source.records)
        ]
    if isinstance(source, Mapping):
        return [
            Listed(str(name), "picture", 1, None, partial(_checked, name, pixels), _same)
            for name, pixels in source.items()
        ]
    text = str(source)
    kind, colon, rest = text.partition(":")
    if colon and kind in ("pictures", "records"):
        found = _pictures_in(Path(rest), reading) if kind == "pictures" else _records_of(find_records(rest), reading)
        return list(found)
    if kind == "synthetic":
        return _records_of(find_records(text, fs_hz=reading.fs_hz), reading)
    if colon and kind in FOLDER_KINDS:
        return _corpus(kind, rest, text, reading)
    path = Path(source)
    if path.is_dir():
        return _folder(path, reading)
    header = Path(f"{path}.hea")
    if header.is_file() and not path.is_file():  # a recording without its suffix, as `read_record` takes it
        path = header
    if path.suffix.lower() in (".hea", ".dat", ".mat", ".h5", ".hdf5"):
        header = path.with_suffix(".hea") if path.suffix.lower() in (".hea", ".dat") else path
        return [_record(path.stem, partial(_read_signal, header, reading), reading)]
    if not path.is_file():
        raise ArgumentError(
            "no such input",
            file=path,
            field="inputs",
            expected="a recording, a picture, a folder of either, or a source such as ptbxl:FOLDER",
        )
    return list(_file_pages(path, path.stem, reading))


def _folder(path: Path, reading: Reading) -> list[Listed]:
    pictures, has_records = _picture_files(path), next(path.rglob("*.hea"), None) is not None
    if pictures and has_records:
        raise ArgumentError(
            "the folder holds pictures and recordings",
            file=path,
            field="inputs",
            fix="write pictures:FOLDER or records:FOLDER",
        )
    return _records_of(find_records(path), reading) if has_records else list(_pictures_in(path, reading))


def _corpus(kind: str, folder: str, source: str, reading: Reading) -> list[Listed]:
    """Recordings of a corpus by the names its loader gives; the two large layouts are read one by one."""
    if kind == "ptbxl":
        rows = read_ptbxl_tables(folder, high_rate=reading.fs_hz > 100.0)[0]
        return [
            _record(row.record_id, partial(_read_signal, row.path.with_name(row.path.name + ".hea"), reading), reading)
            for row in rows
        ]
    if kind == "cohort":
        return _records_of(find_records(source), reading)
    cohort = load_cohort(source, fs_hz=reading.fs_hz, duration_s=reading.duration_s)
    return _list_one(cohort, reading)


def _records_of(source: RecordSource, reading: Reading) -> list[Listed]:
    if source.folder is None:
        made = source.made()
        return [_record(record.record_id, partial(_standard, record, reading), reading) for record in made]
    return [
        _record(name, partial(_read_signal, source.folder / f"{name}.hea", reading), reading) for name in source.names
    ]


def _record(name: str, signal: Callable[[], np.ndarray], reading: Reading) -> Listed:
    return Listed(name, "record", 1, reading.fs_hz, signal, _same)


def _read_signal(path: Path, reading: Reading) -> np.ndarray:
    return read_record(path, fs_hz=reading.fs_hz, duration_s=reading.duration_s, allow_flat=True).signal_mv


def _standard(record: EcgRecord, reading: Reading) -> np.ndarray:
    n_samples = round(reading.fs_hz * reading.duration_s)
    signal = np.full((12, n_samples), np.nan, np.float32)
    signal[:, : record.signal_mv.shape[1]] = record.signal_mv[:, :n_samples]
    return signal


def _signal_of(cohort: Cohort, i: int) -> np.ndarray:
    return cohort.records[i].signal_mv


def _picture_files(folder: Path) -> list[Path]:
    found = (path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    shown = (path for path in found if not any(part.startswith(".") for part in path.relative_to(folder).parts))
    return sorted(
        (p for p in shown if not p.name.endswith(".mask.png")), key=lambda p: p.relative_to(folder).as_posix()
    )


def _pictures_in(folder: Path, reading: Reading) -> Iterable[Listed]:
    files = _picture_files(folder) if folder.is_dir() else []
    if not files:
        raise ArgumentError(
            "no picture and no recording in the folder",
            file=folder,
            field="inputs",
            expected=f"files that end in {', '.join(SUFFIXES)} or .hea",
        )
    names = page_names(folder)
    for path in files:
        below = path.relative_to(folder)
        name = below.with_suffix("").as_posix() if names is None else page_name(names, folder, below.as_posix())
        yield from _file_pages(path, name, reading)


def _file_pages(path: Path, name: str, reading: Reading) -> Iterable[Listed]:
    n_pages = 1
    if reading.pages == "all" and path.suffix.lower() in (".tif", ".tiff", ".pdf"):
        try:
            n_pages = count_pages(read_file(path), path)
        except PictureError:
            n_pages = 1  # said again when it is decoded, where a bad file may be left out
    for page in range(1, n_pages + 1):
        decode = partial(_decode, path=path, page=page, reading=reading)
        yield Listed(name if page == 1 else f"{name}#{page}", "picture", page, None, partial(read_file, path), decode)


def _decode(content: bytes, *, path: Path, page: int, reading: Reading) -> np.ndarray:
    return decode_picture(content, path, page, max_pixels=reading.max_pixels, dpi=reading.dpi)


def _checked(name: str, pixels: np.ndarray) -> np.ndarray:
    if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
        raise PictureError(f"{name!r} is not a picture", field="inputs", expected="uint8 [height, width, 3], RGB")
    return pixels


def _same(content: np.ndarray) -> np.ndarray:
    return content


def said_by(error: EcgScanLabError) -> dict[str, str]:
    """What an error says, without the path of its file."""
    return {"error": type(error).__name__, "what": error.what}
