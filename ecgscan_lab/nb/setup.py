"""The first code cell of a notebook: the same session everywhere, and a table that says what it runs on."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sys
from dataclasses import dataclass
from html import escape

import numpy as np

from ecgscan_lab import __version__

_PACKAGES = ("numpy", "scipy", "pandas", "numba", "torch", "wfdb", "scikit-learn", "matplotlib")


@dataclass(frozen=True)
class Environment:
    """Where a notebook runs.

    Attributes:
        place: "Colab", "Binder", "CI" or "local".
        python: version of the interpreter.
        system: name and release of the operating system.
        versions: package -> installed version.
        device: "cpu", or the name of the GPU that torch sees.
        threads: threads that torch computes with.
        seed: the seed the session was given.
        progress: "plain" lines or "widget" bars.
        advice: sentences on what would make this session faster.
    """

    place: str
    python: str
    system: str
    versions: dict[str, str]
    device: str
    threads: int
    seed: int
    progress: str
    advice: tuple[str, ...] = ()

    def rows(self) -> list[tuple[str, str]]:
        """Name and value of each line of the table."""
        packages = ", ".join(f"{name} {version}" for name, version in self.versions.items())
        machine = f"{self.device}, {self.threads} thread{'s' if self.threads > 1 else ''}"
        return [
            ("ecgscan_lab", __version__),
            ("place", f"{self.place}, {self.system}, Python {self.python}"),
            ("machine", machine),
            ("packages", packages),
            ("seed", str(self.seed)),
            *(("advice", sentence) for sentence in self.advice),
        ]

    def __str__(self) -> str:
        return "\n".join(f"{name:<12} {value}" for name, value in self.rows())

    def _repr_html_(self) -> str:
        rows = "".join(
            f'<tr><th scope="row" style="text-align:left">{escape(name)}</th>'
            f'<td style="text-align:left">{escape(value)}</td></tr>'
            for name, value in self.rows()
        )
        return f"<table><tbody>{rows}</tbody></table>"


def setup_notebook(seed: int = 0, threads: int | None = None) -> Environment:
    """Prepare a notebook session and return what it runs on; calling it again changes nothing more.

    Sets torch's and NumPy's legacy global seeds (library code never uses them, a reader's own cells may), torch's
    threads, crisp inline figures, plain progress lines where no live front end is listening, and third-party widgets on
    Colab.

    Args:
        seed: seed of the session, at least 0.
        threads: threads that torch computes with; None leaves torch's choice.

    Returns:
        An `Environment`: shown as a small table when it ends a cell.
    """
    advice = _let_idle_threads_sleep()
    import torch

    place = detect_place()
    progress = _choose_progress(place)
    os.environ["ECGSCAN_PROGRESS"] = progress
    if threads is not None:
        torch.set_num_threads(threads)
    torch.manual_seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - for the reader's own cells; the library never draws from it
    _style_figures()
    if place == "Colab":
        _enable_colab_widgets()
    return Environment(
        place=place,
        python=platform.python_version(),
        system=f"{platform.system()} {platform.release()}",
        versions=_installed_versions(),
        device=torch.cuda.get_device_name(0) if torch.cuda.is_available() else "cpu",
        threads=torch.get_num_threads(),
        seed=seed,
        progress=progress,
        advice=advice,
    )


def detect_place() -> str:
    """Where this session runs: "Colab", "Binder", "CI" or "local"."""
    if "google.colab" in sys.modules or "COLAB_RELEASE_TAG" in os.environ:
        return "Colab"
    if "BINDER_SERVICE_HOST" in os.environ or "BINDER_REPO_URL" in os.environ:
        return "Binder"
    return "CI" if os.environ.get("CI", "").lower() in {"1", "true"} else "local"


def _let_idle_threads_sleep() -> tuple[str, ...]:
    """Ask OpenMP's idle threads to sleep: spinning ones slow down a small shared machine threefold.

    OpenMP reads the wish when it is loaded, which is too late for a session that has torch already; then it is advice.
    """
    if os.environ.get("OMP_WAIT_POLICY", "").upper() == "PASSIVE" or (os.cpu_count() or 1) > 4:
        return ()
    if "torch" in sys.modules:
        return ("on a small shared machine, set OMP_WAIT_POLICY=PASSIVE before Jupyter starts",)
    os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
    return ()


def _choose_progress(place: str) -> str:
    """Plain lines under papermill and in CI; widgets only where a live front end can show them."""
    asked = os.environ.get("ECGSCAN_PROGRESS")
    if asked in {"plain", "widget"}:
        return asked
    live = place != "CI" and _shell_name() == "ZMQInteractiveShell"
    return "widget" if live or place == "Colab" else "plain"


def _shell_name() -> str:
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return type(shell).__name__


def _style_figures() -> None:
    """Crisp inline figures on a white ground, in the colours of `plots.figure.PALETTE`."""
    import matplotlib as mpl
    from cycler import cycler

    from ecgscan_lab.plots.figure import PALETTE

    mpl.rcParams.update(
        {
            "axes.prop_cycle": cycler(color=PALETTE),
            "axes.spines.right": False,
            "axes.spines.top": False,
            "figure.constrained_layout.use": True,
            "figure.dpi": 110,
            "figure.facecolor": "white",
            "font.size": 10.5,
            "savefig.facecolor": "white",
        }
    )
    if _shell_name() == "ZMQInteractiveShell":
        from matplotlib_inline.backend_inline import set_matplotlib_formats

        set_matplotlib_formats("png", bbox_inches="tight")


def _enable_colab_widgets() -> None:
    try:
        from google.colab import output
    except ImportError:
        return  # a local runtime behind Colab's page cannot import it, and needs no switch
    output.enable_custom_widget_manager()


def _installed_versions() -> dict[str, str]:
    versions = {}
    for package in _PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions
