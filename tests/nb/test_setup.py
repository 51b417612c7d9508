from __future__ import annotations

import sys
import types

import matplotlib as mpl
import numpy as np
import pytest
import torch

from ecgscan_lab.nb.setup import Environment, detect_place, setup_notebook


@pytest.fixture(autouse=True)
def _a_session_of_its_own(monkeypatch):
    """Undo what a session changes for the whole process."""
    for name in ("CI", "COLAB_RELEASE_TAG", "BINDER_SERVICE_HOST", "BINDER_REPO_URL", "ECGSCAN_PROGRESS"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")
    threads, torch_state, numpy_state = torch.get_num_threads(), torch.get_rng_state(), np.random.get_state()  # noqa: NPY002
    with mpl.rc_context():
        yield
    torch.set_num_threads(threads)
    torch.set_rng_state(torch_state)
    np.random.set_state(numpy_state)  # noqa: NPY002


@pytest.mark.parametrize(
    ("name", "place"),
    [("COLAB_RELEASE_TAG", "Colab"), ("BINDER_SERVICE_HOST", "Binder"), ("CI", "CI"), ("HOME", "local")],
)
def test_the_place_is_told_by_its_marks(monkeypatch, name, place):
    monkeypatch.setenv(name, "true")
    assert detect_place() == place


def test_setting_up_twice_gives_the_same_session():
    first = setup_notebook(seed=3, threads=1)
    drawn = torch.rand(4)
    second = setup_notebook(seed=3, threads=1)
    assert first == second
    assert torch.equal(torch.rand(4), drawn)
    assert (first.seed, first.threads, first.progress) == (3, 1, "plain")
    assert first.versions["torch"] == torch.__version__.split("+")[0]


@pytest.mark.parametrize(
    ("on_colab", "expected"), [(False, ("local", "plain", [])), (True, ("Colab", "widget", ["on"]))]
)
def test_widgets_are_switched_on_only_on_colab(monkeypatch, on_colab, expected):
    calls = []
    output = types.SimpleNamespace(enable_custom_widget_manager=lambda: calls.append("on"))
    if on_colab:
        monkeypatch.setitem(sys.modules, "google", types.ModuleType("google"))
        monkeypatch.setitem(sys.modules, "google.colab", types.SimpleNamespace(output=output))
    environment = setup_notebook()
    assert (environment.place, environment.progress, calls) == expected


def test_the_table_escapes_what_it_shows():
    environment = Environment("local", "3.11", "<b>", {"numpy": "2"}, "cpu", 1, 0, "plain", ("<i>",))
    html = environment._repr_html_()
    assert "&lt;b&gt;" in html
    assert "<b>" not in html
    assert "<i>" not in html
    assert "advice       <i>" in str(environment)
