"""A reader with a keyboard, in a real browser: a notebook in JupyterLab is run, and a slider moves its figure.

Where anywidget is installed, the maps of notebook 06 are pointed at and lassoed, too.

    ECGSCAN_BROWSER=1 python -m pytest tests/browser

needs the `browser` extra and a Chromium: the one on the path, or ECGSCAN_CHROMIUM. ECGSCAN_SCREENSHOTS names a folder
for the pictures, ECGSCAN_PATIENCE_S how long a notebook may take on a machine that is busy (400).
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from importlib.util import find_spec
from pathlib import Path

import nbformat
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM = os.environ.get("ECGSCAN_CHROMIUM") or next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), ""
)
NOTEBOOKS = ("01", "02", "06", "07")
PATIENCE_S = float(os.environ.get("ECGSCAN_PATIENCE_S", "400"))

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif("ECGSCAN_BROWSER" not in os.environ, reason="set ECGSCAN_BROWSER=1 to open a real browser"),
    pytest.mark.skipif(find_spec("playwright") is None, reason='no playwright: pip install "ecgscan-lab[browser]"'),
    pytest.mark.skipif(find_spec("jupyterlab") is None, reason='no JupyterLab: pip install "ecgscan-lab[browser]"'),
    pytest.mark.skipif(not CHROMIUM, reason="no Chromium on the path: install one, or set ECGSCAN_CHROMIUM"),
]

SETTINGS = {
    "notebook-extension/tracker": {"windowingMode": "none"},  # outputs out of sight are on the page, too
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
}


UPLOAD = nbformat.v4.new_notebook(
    metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
    cells=[nbformat.v4.new_code_cell("from ecgscan_lab.nb.uploads import ask_for_picture\nupload = ask_for_picture()")],
)
AT_POINT = """(map, k) => {
    const {xaxis, yaxis} = map._fullLayout, box = map.getBoundingClientRect(), point = map.calcdata[0][k];
    return [box.left + xaxis._offset + xaxis.l2p(point.x), box.top + yaxis._offset + yaxis.l2p(point.y)];
}"""
EDGES = """map => {
    const {xaxis, yaxis} = map._fullLayout, box = map.getBoundingClientRect();
    const left = box.left + xaxis._offset, top = box.top + yaxis._offset;
    return [left + 6, top + 6, left + xaxis._length - 6, top + yaxis._length - 6];
}"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """A JupyterLab of its own over copies of the notebooks, set to the smoke profile: address and token."""
    folder = tmp_path_factory.mktemp("lab")
    for name in filter(None, map(source, NOTEBOOKS)):
        notebook = nbformat.read(name, as_version=4)
        cell = next(cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", ()))
        cell.source = cell.source.replace('profile = "quick"', 'profile = "smoke"')
        assert 'profile = "smoke"' in cell.source
        nbformat.write(notebook, folder / name.name)
    nbformat.write(UPLOAD, folder / "upload.ipynb")
    settings = tmp_path_factory.mktemp("settings")
    for name, values in SETTINGS.items():
        path = settings / "@jupyterlab" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    token = secrets.token_hex(16)
    environment = {name: value for name, value in os.environ.items() if name not in ("CI", "ECGSCAN_STATIC")}
    environment |= {
        "ECGSCAN_PROGRESS": "widget",  # as for somebody who is there
        "JUPYTERLAB_SETTINGS_DIR": str(settings),
        "JUPYTERLAB_WORKSPACES_DIR": str(tmp_path_factory.mktemp("workspaces")),
        "JUPYTER_TOKEN": token,
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")])),
    }
    environment.pop("MPLBACKEND", None)
    command = [
        sys.executable, "-m", "jupyterlab", "--no-browser", "--ip=127.0.0.1", f"--port={port}",
        "--ServerApp.port_retries=0", f"--ServerApp.root_dir={folder}", "--LabApp.expose_app_in_browser=True",
    ]  # fmt: skip
    if hasattr(os, "getuid") and os.getuid() == 0:
        command.append("--allow-root")
    log = folder.parent / "jupyterlab.log"
    with log.open("w") as lines:
        server = subprocess.Popen(
            command, env=environment, stdout=lines, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        address = f"http://127.0.0.1:{port}"
        wait_for(address, server, log)
        yield address, token
    finally:
        server.send_signal(signal.SIGTERM)  # the server ends its kernels, then itself
        try:
            server.wait(30)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield chromium
        chromium.close()


@pytest.mark.parametrize("number", NOTEBOOKS)
def test_a_control_moved_with_the_keyboard_changes_the_figure(number, lab, browser, tmp_path):
    path = source(number)
    if path is None:
        pytest.skip(f"there is no notebook {number} yet")
    pictures = Path(os.environ.get("ECGSCAN_SCREENSHOTS") or tmp_path)
    pictures.mkdir(parents=True, exist_ok=True)
    page = browser.new_page(viewport={"width": 1400, "height": 1300})
    page.set_default_timeout(60_000)
    try:
        run_all(page, lab, path.name)
        assert page.locator('[data-mime-type="application/vnd.jupyter.error"]').all_inner_texts() == []
        control, key = first_control(page)
        panel = panel_of(control)
        panel.scroll_into_view_if_needed()
        assert nameless(panel) == []
        before, stood = shown(panel), standing(panel)
        control.focus()
        page.screenshot(path=pictures / f"{number}-before.png")
        control.press(key)
        wait_until(lambda: standing(panel) != stood)
        wait_until(lambda: shown(panel) != before)
        assert shown(panel).startswith("data:image/png")
        page.screenshot(path=pictures / f"{number}-after.png")
        maps = page.locator(".jp-OutputArea .js-plotly-plot")
        if number == "06" and find_spec("anywidget") is not None:
            assert maps.count() == 2
            pointed(page, maps.first, pictures)
            lassoed(page, maps.last, pictures)
    finally:
        page.close()
        end_kernels(lab)


def test_a_chosen_file_is_taken_or_refused_in_words(lab, browser, tmp_path):
    letter, picture = tmp_path / "anna_smith.png", tmp_path / "page.png"
    letter.write_bytes(b"Dear colleague, thank you for this patient.")
    Image.new("RGB", (60, 40), "white").save(picture)
    page = browser.new_page(viewport={"width": 1400, "height": 700})
    try:
        run_all(page, lab, "upload.ipynb")
        button = page.locator(".jp-OutputArea button.jupyter-button")
        answer = page.locator(".jp-OutputArea .widget-vbox")
        for file, says in ((letter, "Not a picture of a kind that is read here."), (picture, "60 by 40 pixels.")):
            with page.expect_file_chooser() as chooser:
                button.focus()
                button.press("Enter")
            chooser.value.set_files(file)
            wait_until(lambda says=says: says in answer.inner_text())
            assert "anna" not in answer.inner_text()
        assert page.locator(".jp-OutputArea [role=alert]").count() == 0, "a refusal goes when a picture is taken"
    finally:
        page.close()
        end_kernels(lab)


def source(number):
    return next(iter(sorted((ROOT / "notebooks").glob(f"{number}_*.ipynb"))), None)


def run_all(page, lab, name):
    """Open a notebook, run all its cells, and wait until its kernel is idle."""
    address, token = lab
    page.goto(f"{address}/lab/tree/{name}?token={token}&reset")
    page.wait_for_function(
        "() => window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel?.status === 'idle'",
        timeout=120_000,
    )
    page.set_default_timeout(PATIENCE_S * 1000)
    page.evaluate(
        "() => { window.jupyterapp.commands.execute('notebook:run-all-cells').then(ok => window.ran = [ok]) }"
    )
    page.wait_for_function("() => window.ran", timeout=PATIENCE_S * 1000)
    assert page.evaluate("() => window.ran[0]") is not False, "a cell failed, or the kernel died"
    page.wait_for_function(
        "() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.status === 'idle'"
    )


def end_kernels(lab):
    """End what a notebook left running: a closed page keeps its kernel, and four models fill a small machine."""
    address, token = lab
    headers = {"Authorization": f"token {token}"}

    def asked(path, method="GET"):
        with urllib.request.urlopen(
            urllib.request.Request(f"{address}/api/{path}", headers=headers, method=method), timeout=60
        ) as answer:
            return answer.read()

    for session in json.loads(asked("sessions")):
        asked(f"sessions/{session['id']}", "DELETE")
    for kernel in json.loads(asked("kernels")):
        asked(f"kernels/{kernel['id']}", "DELETE")
    assert json.loads(asked("kernels")) == []


def first_control(page):
    """The handle of the first slider, and the key that moves it; a list has a slider beside it."""
    handle = page.locator(".jp-OutputArea .noUi-handle").first
    handle.wait_for()
    last = handle.get_attribute("aria-valuenow") == handle.get_attribute("aria-valuemax")
    return handle, "ArrowLeft" if last else "ArrowRight"


def pointed(page, chart, pictures):
    """Move the pointer to a point of a map: the page beside it becomes that point's, all places of it are ringed."""
    chart.scroll_into_view_if_needed()
    card = panel_of(chart).locator("figure img")
    before = card.get_attribute("alt")
    x, y = chart.evaluate(AT_POINT, 1)
    page.mouse.move(x - 40, y)
    page.mouse.move(x, y, steps=8)
    wait_until(lambda: card.get_attribute("alt") != before)
    wait_until(lambda: chart.evaluate("map => map._fullData.at(-1).x.length") == 4)
    page.screenshot(path=pictures / "06-pointed.png")


def lassoed(page, chart, pictures):
    """Draw a lasso around nearly the whole of a map: the figure beneath it is of what it took."""
    chart.scroll_into_view_if_needed()
    x0, y0, x1, y1 = chart.evaluate(EDGES)
    page.mouse.move(x0, y0)
    page.mouse.down()
    for x, y in ((x1, y0), (x1, y1), (x0, y1), (x0, y0)):
        page.mouse.move(x, y, steps=6)
    page.mouse.up()
    drawn = panel_of(chart).locator("img").last
    wait_until(lambda: "chosen records" in (drawn.get_attribute("alt") or ""))
    assert int(drawn.get_attribute("alt").split()[0]) > 10
    drawn.scroll_into_view_if_needed()
    page.screenshot(path=pictures / "06-lassoed.png")


def panel_of(element):
    return element.locator("xpath=ancestor::*[contains(@class, 'widget-vbox')][last()]")


def shown(panel):
    """Address of the picture that a panel shows, "" while it shows none."""
    images = panel.locator("img")
    return images.first.get_attribute("src") or "" if images.count() else ""


def standing(panel):
    """Where the controls of a panel stand."""
    return panel.locator("input, select").evaluate_all("all => all.map(one => one.value)")


def nameless(panel):
    """Inputs and lists without a label that a screen reader would read."""
    return panel.locator("input, select").evaluate_all(
        "all => all.filter(one => ![...(one.labels ?? [])].some(label => label.innerText.trim())"
        " && !one.getAttribute('aria-label')).map(one => one.outerHTML)"
    )


def wait_until(holds, seconds=PATIENCE_S):
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "nothing changed"
        time.sleep(0.2)


def wait_for(address, server, log):
    """Wait until the server answers."""
    end = time.monotonic() + 120
    while True:
        try:
            with urllib.request.urlopen(f"{address}/login", timeout=5):
                return
        except OSError:
            assert server.poll() is None, log.read_text()
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.3)
