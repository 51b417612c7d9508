"""A folder or data set of recordings as a folder of pages: many workers, resumable, the same bytes in any order."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from os import PathLike
from pathlib import Path
from typing import Any

from ecgscan_lab.errors import ArgumentError, EcgScanLabError, ExportError
from ecgscan_lab.process_pool import in_processes
from ecgscan_lab.render.export.coco import coco_page, join_coco, read_coco_page
from ecgscan_lab.render.export.png import png_bytes
from ecgscan_lab.render.export.progress import Progress
from ecgscan_lab.render.export.settings import VECTOR_FORMATS, RenderSettings, page_seed
from ecgscan_lab.render.export.sources import RecordSource, find_records
from ecgscan_lab.render.export.truth import encode_picture, label_mask, page_dpi, write_page
from ecgscan_lab.render.export.vector import write_pdf, write_svg
from ecgscan_lab.render.framing import page_size_px
from ecgscan_lab.render.page import PageSpec
from ecgscan_lab.render.renderer import degradation_for, draw_page, draw_pages
from ecgscan_lab.types import EcgRecord, SkippedRecord
from ecgscan_lab.whole_files import write_whole

MANIFEST = "render.json"
MANIFEST_FORMAT = "ecgscan_lab rendered pages 1"
INDEX = "index.csv"
CHUNK = 8
OUR_FILES = re.compile(
    r"(\d{6,}\.(png|jpg|webp|svg|pdf|json|coco\.json|mask\.png)|(index|skipped)\.csv|coco\.json|\.\d{6,}\..*)"
)
OUR_FOLDERS = re.compile(r"shard-\d{5,}")


@dataclass(frozen=True)
class RenderSummary:
    """What a run of `render_dataset` did.

    Attributes:
        out: the folder.
        pages: pages that lie there now.
        drawn: pages that this run drew; the others lay there already.
        skipped: recordings that could not be read or drawn, listed in `skipped.csv`.
        seconds: time that this run took.
    """

    out: Path
    pages: int
    drawn: int
    skipped: tuple[SkippedRecord, ...]
    seconds: float


@dataclass(frozen=True)
class _Task:
    """One page: its number, the recording (by index, or itself when it is synthetic), and which copy."""

    number: int
    index: int
    copy: int
    record: EcgRecord | None = None


def render_dataset(
    source: str | PathLike[str],
    out: str | PathLike[str],
    settings: RenderSettings | None = None,
    *,
    workers: int = 1,
    limit: int | None = None,
    overwrite: bool = False,
    progress: bool = False,
) -> RenderSummary:
    """Draw every recording of a source into numbered pictures with ground truth.

    `out` gets `000000.png` with `000000.json` and so on (below `shard-00000` when there are shards), `index.csv`
    (number, file, record, copy, seed), `skipped.csv` where recordings were bad, and `render.json`, the settings. COCO
    truth is `coco.json`, and beside each page its own part, `000000.coco.json`. A page's number is the place of its
    recording in the source. Run again, it draws what is missing; with other settings it refuses.

    Args:
        source: what `find_records` takes: a folder, "ptbxl:FOLDER", "cohort:FOLDER", "synthetic:N".
        out: the folder to write into, new, empty, or of an earlier run.
        settings: what to draw, `RenderSettings()` when None.
        workers: processes. More than one starts fresh interpreters, so a script needs `if __name__ == "__main__":`.
        limit: only the first so many recordings.
        overwrite: replace the pages of an earlier run, whatever its settings.
        progress: show how far it is on stderr: a bar on a terminal, a line now and then elsewhere.

    Returns:
        What was done.

    Raises:
        ArgumentError: an argument is out of range, or `out` belongs to something else, or to other settings.
        TableError: the source has no recordings.
        ExportError: a file cannot be written.
        KeyboardInterrupt: interrupted; what is finished stays, and the same call goes on from there.

    Properties: each page is a function of settings, seed and recording alone: the same bytes for any number of
    workers, in any order, and when resumed.
    """
    settings = RenderSettings() if settings is None else settings
    _check_count("workers", workers, 1, 1024)
    if limit is not None:
        _check_count("limit", limit, 1, 10**9)
    records = find_records(source, fs_hz=settings.fs_hz, seed=settings.seed)
    folder = Path(out)
    _claim(folder, settings, records, overwrite)
    count = len(records) if limit is None else min(limit, len(records))
    tasks = _missing(records, settings, folder, count)
    done = Progress(len(tasks), shown=progress)
    skipped: dict[int, SkippedRecord] = {}
    drawn = 0
    try:
        for batch in _run(records, settings, folder, iter(tasks), workers):
            for task, error in batch:
                drawn += error is None
                if error is not None:
                    skipped[task.index] = SkippedRecord(records.names[task.index], *error)
            done.advance(drawn, len(skipped))
    except BaseException:
        with suppress(ExportError):  # the disk may be full; the reason why the run ends is the one to tell
            _write_lists(records, settings, folder, count, skipped)
        raise
    finally:
        done.close()
    pages = _write_lists(records, settings, folder, count, skipped)
    if settings.truth in ("coco", "both"):
        parts = (read_coco_page(folder / f"{settings.stem(number)}.coco.json") for number, _, _ in pages)
        write_whole(folder / "coco.json", join_coco(_with_folders(parts, settings, pages)))
    return RenderSummary(folder, len(pages), drawn, tuple(skipped[i] for i in sorted(skipped)), done.seconds)


def _check_count(name: str, value: Any, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ArgumentError(f"{name} is {value!r}", field=name, expected=f"a whole number from {low} to {high}")


def _claim(folder: Path, settings: RenderSettings, records: RecordSource, overwrite: bool) -> None:
    """Make the folder ours: new, or of the same settings, or cleared of an earlier run."""
    from ecgscan_lab import __version__

    wanted = {
        "format": MANIFEST_FORMAT,
        "version": __version__,
        "source": {"kind": records.kind, "records": len(records), "sha256": records.sha256},
        "settings": settings.as_dict(),
    }
    wanted = json.loads(json.dumps(wanted))
    manifest = folder / MANIFEST
    if manifest.is_file():
        found = _read_manifest(manifest)
        different = _differences(found, wanted)
        if different and not overwrite:
            raise ArgumentError(
                f"the folder holds pages of another run; different: {', '.join(different)}",
                file=manifest,
                field="out",
                expected="the settings and recordings of the earlier run",
                fix="repeat its settings, choose another folder, or overwrite it",
            )
        if overwrite:
            _clear(folder)
    elif folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ArgumentError(
            f"the folder holds other files and no {MANIFEST}",
            file=folder,
            field="out",
            expected="a new or empty folder, or one of an earlier run",
        )
    write_whole(manifest, (json.dumps(wanted, indent=1) + "\n").encode())


def _read_manifest(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ExportError(f"cannot read the settings of the earlier run ({type(error).__name__})", file=path) from error
    if not isinstance(found, dict) or found.get("format") != MANIFEST_FORMAT:
        raise ExportError("this was not written by a run", file=path, field="format", expected=repr(MANIFEST_FORMAT))
    return found


def _differences(found: dict[str, Any], wanted: dict[str, Any]) -> list[str]:
    """Names of what differs between two manifests; fields of the page by their own names."""
    names = [name for name in ("version", "source") if found.get(name) != wanted[name]]
    old, new = found.get("settings") or {}, wanted["settings"]
    names += [name for name in new if name != "page" and old.get(name) != new[name]]
    old_page = old.get("page") or {}
    return names + [f"page.{name}" for name in new["page"] if old_page.get(name) != new["page"][name]]


def _clear(folder: Path) -> None:
    """Remove what an earlier run wrote, and nothing else."""
    try:
        for path in sorted(folder.iterdir()):
            if path.is_dir() and OUR_FOLDERS.fullmatch(path.name):
                _clear(path)
                if not any(path.iterdir()):
                    path.rmdir()
            elif path.is_file() and OUR_FILES.fullmatch(path.name):
                path.unlink()
    except OSError as error:
        raise ExportError(f"cannot clear the folder ({error.strerror})", file=folder, field="out") from error


def _missing(records: RecordSource, settings: RenderSettings, folder: Path, count: int) -> list[_Task]:
    """Pages that do not lie there yet; the picture is a page's last file."""
    numbers = [n for n in range(count * settings.copies) if not _picture(settings, folder, n).is_file()]
    made = records.made() if numbers else []
    places = [(number, *divmod(number, settings.copies)) for number in numbers]
    return [_Task(number, index, copy, made[index] if made else None) for number, index, copy in places]


def _picture(settings: RenderSettings, folder: Path, number: int) -> Path:
    return folder / f"{settings.stem(number)}{settings.suffix}"


_Error = tuple[str, str] | None
_Batch = list[tuple[_Task, _Error]]


def _run(
    records: RecordSource, settings: RenderSettings, folder: Path, tasks: Iterator[_Task], workers: int
) -> Iterator[_Batch]:
    """Draw pages here or in processes, a few chunks ahead of what is finished."""
    if workers == 1:
        for task in tasks:
            yield _draw_chunk(records, settings, folder, [task])
        return
    chunks = ((chunk,) for chunk in iter(lambda: list(islice(tasks, CHUNK)), []))
    given = (records, settings, folder)
    yield from in_processes(_draw_in_worker, chunks, workers, ahead=3 * workers, start=_start_worker, given=given)


_worker: tuple[RecordSource, RenderSettings, Path] | None = None


def _start_worker(records: RecordSource, settings: RenderSettings, folder: Path) -> None:
    """Run once in each process: one thread each."""
    global _worker
    _worker = (records, settings, folder)
    if settings.degrade != "clean":
        import cv2

        cv2.setNumThreads(1)


def _draw_in_worker(tasks: Sequence[_Task]) -> _Batch:
    if _worker is None:
        raise ExportError("the worker was not started", field="workers")
    return [(_Task(task.number, task.index, task.copy), error) for task, error in _draw_chunk(*_worker, tasks)]


def _draw_chunk(records: RecordSource, settings: RenderSettings, folder: Path, tasks: Sequence[_Task]) -> _Batch:
    """Draw pages; a recording that is bad is noted, a file that cannot be written ends the run."""
    results: _Batch = []
    for task in tasks:
        error: _Error = None
        try:
            record = records.read(task.index) if task.record is None else task.record
            _draw_one(record, page_seed(settings.seed, records.names[task.index], task.copy), settings, folder, task)
        except ExportError:
            raise
        except EcgScanLabError as bad:
            error = (type(bad).__name__, str(bad))
        results.append((task, error))
    return results


def _draw_one(record: EcgRecord, seed: int, settings: RenderSettings, folder: Path, task: _Task) -> None:
    """One page with all its files; the picture comes last and says that the page is finished."""
    page, path = settings.page_for(seed), folder / settings.stem(task.number)
    if settings.format in VECTOR_FORMATS:
        write = write_svg if settings.format == "svg" else write_pdf
        write(record, path.with_name(path.name + settings.suffix), page)
        return
    if settings.truth == "none" and not settings.masks:
        picture = path.with_name(path.name + settings.suffix)
        write_whole(picture, _encode_alone(record, page, seed, settings), durable=False)
        return
    image = draw_page(record, page, settings.degrade, size=settings.size, seed=seed, dpi=settings.dpi)
    if settings.masks:
        write_whole(path.with_name(f"{path.name}.mask.png"), png_bytes(label_mask(image)), durable=False)
    if settings.truth in ("coco", "both"):
        part = coco_page(image, f"{path.name}{settings.suffix}", image_id=task.number)
        write_whole(path.with_name(f"{path.name}.coco.json"), b"".join(join_coco([part])), durable=False)
    write_page(
        image,
        path.parent,
        path.name,
        format=settings.format,
        quality=settings.quality,
        truth=settings.truth in ("json", "both"),
    )


def _encode_alone(record: EcgRecord, page: PageSpec, seed: int, settings: RenderSettings) -> bytes:
    """The same picture without its ground truth, which takes longer than the pixels."""
    size = page_size_px(page, settings.size, settings.dpi)
    params = degradation_for(settings.degrade, seed)
    pixels = draw_pages(record.signal_mv[None], record.fs_hz, page, size, degrade=params, n_threads=1)[0]
    return encode_picture(pixels, settings.format, settings.quality, page_dpi(page, size))


def _with_folders(
    parts: Iterable[dict[str, Any]], settings: RenderSettings, pages: Sequence[tuple[int, int, int]]
) -> Iterator[dict[str, Any]]:
    """Annotations of pages whose file names are relative to the output folder instead of the page's own."""
    for part, (number, _, _) in zip(parts, pages, strict=True):
        for image in part["images"]:
            image["file_name"] = f"{settings.stem(number)}{settings.suffix}"
        yield part


def _write_lists(
    records: RecordSource, settings: RenderSettings, folder: Path, count: int, skipped: dict[int, SkippedRecord]
) -> list[tuple[int, int, int]]:
    """Write `index.csv` and `skipped.csv`; the (number, record, copy) of every page that lies there."""
    numbers = range(count * settings.copies)
    pages = [
        (number, *divmod(number, settings.copies)) for number in numbers if _picture(settings, folder, number).is_file()
    ]
    rows = [(number, f"{settings.stem(number)}{settings.suffix}", records.names[i], copy) for number, i, copy in pages]
    with_seeds = [(*row, page_seed(settings.seed, row[2], row[3])) for row in rows]
    _write_table(folder / INDEX, ("number", "file", "record", "copy", "seed"), with_seeds)
    bad = [(s.record_id, s.error, " ".join(s.message.split())) for _, s in sorted(skipped.items())]
    if bad:
        _write_table(folder / "skipped.csv", ("record", "error", "message"), bad)
    else:
        (folder / "skipped.csv").unlink(missing_ok=True)
    return pages


def _write_table(path: Path, header: tuple[str, ...], rows: Iterable[tuple[Any, ...]]) -> None:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
    write_whole(path, text.getvalue().encode())
