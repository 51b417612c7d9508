"""Every notebook but the tour runs headlessly in its smoke profile, describes its pictures, and judges its exercises.

How long that takes is measured (`docs/notebooks.md`), not tested: another processor, or compiling on first use, doubles
it. The tour has a run of its own, on synthetic and on real records, in `.ci/run`. Where ECGSCAN_EXECUTED names the
results.json of `ecgscan-lab notebooks run --profile smoke --edition both`, its executed copies are judged instead.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from ecgscan_lab.nb.execute import read_notebook, run_notebook
from ecgscan_lab.nb.exercises import registered_exercises
from ecgscan_lab.nb.parameters import declared_parameters
from ecgscan_lab.nb.results import read_results, recorded_results
from ecgscan_lab.plots.figure import ALT_LENGTH

pytestmark = pytest.mark.notebooks

FOLDER = Path(__file__).resolve().parents[2] / "notebooks"
STUDENT = [path for path in sorted(FOLDER.glob("*.ipynb")) if path.name != "00_tour.ipynb"]
SOLUTIONS = sorted((FOLDER / "solutions").glob("*.ipynb"))
HANGS_S = 420.0


def name_of(path: Path) -> str:
    return str(path.relative_to(FOLDER))


def run_now(path: Path, out: Path):
    """A notebook after a run."""
    given = {"profile": "smoke", "out": str(out)}
    declared = declared_parameters(read_notebook(path), path)
    given = {name: value for name, value in given.items() if name in declared}
    run = run_notebook(path, out, given, timeout_s=HANGS_S, kernel_env={"CI": "true"})
    return read_notebook(run.path)


def run_before(path: Path, results: Path):
    """The same from an earlier run of all notebooks, which is held to have used the notebook as it is now."""
    name = path.relative_to(FOLDER).with_suffix("").as_posix()
    rows = {row["name"]: row for row in read_results(results)["notebooks"]}
    assert rows[name]["status"] == "passed", rows[name]["error"]
    assert rows[name]["parameters"]["profile"] == "smoke"
    notebook = read_notebook(results.parent / "executed" / f"{name}.ipynb")
    sources = [cell.source for cell in notebook.cells if "injected-parameters" not in cell.metadata.get("tags", ())]
    assert sources == [cell.source for cell in read_notebook(path).cells], f"{results} is older than {path}"
    return notebook


@pytest.fixture(scope="module", params=[*STUDENT, *SOLUTIONS], ids=name_of)
def executed(request, tmp_path_factory):
    """A notebook's path, and what it looks like after a run."""
    results = os.environ.get("ECGSCAN_EXECUTED")
    if results:
        return request.param, run_before(request.param, Path(results))
    return request.param, run_now(request.param, tmp_path_factory.mktemp("run"))


def outputs_of(notebook):
    return [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]


def test_every_picture_is_described(executed):
    pictures = [output for output in outputs_of(executed[1]) if "image/png" in output.get("data", {})]
    assert pictures
    alts = [picture.metadata.get("image/png", {}).get("alt", "") for picture in pictures]
    assert [alt for alt in alts if len(alt) < ALT_LENGTH] == []


def test_no_table_has_a_gap_that_says_nan(executed):
    shown = [output.get("data", {}).get("text/html", "") for output in outputs_of(executed[1])]
    assert [html for html in shown if "<td>NaN</td>" in html] == []


def test_nothing_is_written_to_stderr_and_no_widget_is_left_behind(executed):
    outputs = outputs_of(executed[1])
    assert [output.text for output in outputs if output.get("name") == "stderr"] == []
    assert [output for output in outputs if any("widget" in kind for kind in output.get("data", {}))] == []


def test_figures_for_a_sweep_are_recorded_and_finite(executed):
    recorded = recorded_results(executed[1])
    assert 1 <= len(recorded) <= 3
    assert [name for name, value in recorded.items() if not isinstance(value, (int, float))] == []


def test_stubs_are_not_attempted_and_solutions_are_right(executed):
    path, notebook = executed
    texts = [output.data["text/plain"] for output in outputs_of(notebook) if "text/plain" in output.get("data", {})]
    verdicts = dict(
        re.findall(r"^Exercise (\d\d\.\d+): (not attempted|right|wrong|crashed)", "\n".join(texts), re.MULTILINE)
    )
    registered = [exercise.id for exercise in registered_exercises() if exercise.id.startswith(path.name[:2])]
    expected = "right" if path in SOLUTIONS else "not attempted"
    assert verdicts == dict.fromkeys(registered, expected)
