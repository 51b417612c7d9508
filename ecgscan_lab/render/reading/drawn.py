"""Many recordings drawn and read back, on all cores."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import closing

import numpy as np
from threadpoolctl import threadpool_limits

from ecgscan_lab.cores import usable_cores
from ecgscan_lab.errors import ExportError
from ecgscan_lab.process_pool import in_processes
from ecgscan_lab.render.page import PageSpec
from ecgscan_lab.render.reading.traces import read_page
from ecgscan_lab.render.renderer import draw_page
from ecgscan_lab.types import EcgRecord

MOST_PROCESSES = 8
PAGES_A_PROCESS = 25
"""Fewer are read before a process has started."""


def read_drawn_pages(
    records: Sequence[EcgRecord], page: PageSpec, size: tuple[int, int], *, workers: int | None = None
) -> Generator[tuple[int, np.ndarray], None, None]:
    """Draw recordings as clean pages and read them back from their pixels, in whatever order they are done.

    Processes that cannot be started or that die (too little memory, a script without `if __name__ == "__main__":`) cost
    nothing but time: what they leave is read here.

    Args:
        records: what is drawn.
        page, size: how, and (height, width) in pixels.
        workers: processes; None takes the cores there are, eight at most, and none for few pages.

    Yields:
        Position in `records`, and millivolts `[12, time]` at the recording's rate, as `read_page` gives them.

    Raises:
        EcgScanLabError: as `draw_page` and `read_page`.

    Properties: the same values whatever the number of processes.

    Example:
        >>> from ecgscan_lab.data.synthetic import synthetic_records
        >>> [(k, read.shape) for k, read in read_drawn_pages(synthetic_records(1), PageSpec.compact(), (192, 448))]
        [(0, (12, 5000))]
    """
    if workers is None:
        workers = min(usable_cores(), MOST_PROCESSES, len(records) // PAGES_A_PROCESS)
    left = dict(enumerate(records))
    if workers > 1:
        tasks = ((k, record, page, size) for k, record in enumerate(records))
        try:
            with closing(in_processes(_read, tasks, workers, ahead=2 * workers, start=_one_thread, given=())) as found:
                for k, signal_mv in found:
                    del left[k]
                    yield k, signal_mv
        except ExportError:  # processes died
            pass
    for k, record in left.items():
        yield _read(k, record, page, size)


def _one_thread() -> None:
    threadpool_limits(1)  # numpy is there: this module imports it


def _read(number: int, record: EcgRecord, page: PageSpec, size: tuple[int, int]) -> tuple[int, np.ndarray]:
    return number, read_page(draw_page(record, page, size=size))
