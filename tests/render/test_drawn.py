"""Pages read back in processes are those that one process reads, and none is lost with a process."""

from __future__ import annotations

import numpy as np
import pytest

from ecgscan_lab.data.synthetic import synthetic_cohort
from ecgscan_lab.errors import ExportError
from ecgscan_lab.render import PageSpec
from ecgscan_lab.render.reading import drawn, read_page
from ecgscan_lab.render.renderer import draw_page

SIZE = (128, 304)


@pytest.fixture(scope="module")
def records():
    return synthetic_cohort(4, seed=2).records


@pytest.fixture(scope="module")
def alone(records):
    return [read_page(draw_page(record, PageSpec.compact(), size=SIZE)) for record in records]


def read_with(records, **more):
    return dict(drawn.read_drawn_pages(records, PageSpec.compact(), SIZE, **more))


def check(found, alone):
    assert sorted(found) == list(range(len(alone)))
    for k, expected in enumerate(alone):
        np.testing.assert_allclose(found[k], expected, atol=1e-6)


def test_processes_read_what_one_process_reads(records, alone, monkeypatch):
    asked = []

    def watched(work, tasks, workers, **more):
        asked.append(workers)
        return in_processes(work, tasks, workers, **more)

    in_processes = drawn.in_processes
    monkeypatch.setattr(drawn, "in_processes", watched)
    check(read_with(records), alone)
    assert asked == []  # too few pages for processes
    monkeypatch.setattr(drawn, "PAGES_A_PROCESS", 2)
    monkeypatch.setattr(drawn, "usable_cores", lambda: 2)
    check(read_with(records), alone)
    assert asked == [2]


def test_what_a_dead_process_leaves_is_read_here(records, alone, monkeypatch):
    def dying(work, tasks, workers, **more):
        yield work(*next(tasks))
        raise ExportError("a worker process died", field="workers")

    monkeypatch.setattr(drawn, "in_processes", dying)
    check(read_with(records, workers=2), alone)
