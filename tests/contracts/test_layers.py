"""Data flows one way: a lower layer never imports a higher one, not even inside a function."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import ecgscan_lab

pytestmark = pytest.mark.contracts

PACKAGE = Path(__file__).resolve().parents[2] / "ecgscan_lab"
LAYERS = [
    {"errors", "types", "leads", "whole_files", "process_pool", "cores", "lean_adamw"},
    {"data"},
    {"render"},
    {"batch"},
    {"encoders", "losses"},
    {"train"},
    {"evaluate", "baselines"},
    {"compare"},
    {"replicate"},
    {"plots"},
    {"nb"},
    {"cli"},
]
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}
TORCH_FREE = {"errors", "types", "leads", "whole_files", "process_pool", "cores", "data", "render", "plots"}
FORBIDDEN = {"utils", "util", "helpers", "helper", "common", "base", "manager", "misc"}
MAX_LINES = 400
MODULES = sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py"))


def layer_of(module: str) -> str:
    return Path(module).parts[0].removesuffix(".py")


def package_imports(text: str, module: str) -> Iterator[tuple[int, str]]:
    """Line and layer of every import of the package, wherever it stands; a top-level name counts for where it lives."""
    for node in ast.walk(ast.parse(text)):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = ["ecgscan_lab", *Path(module).parts[:-1]]
            start = [*above[: len(above) - node.level + 1]] if node.level else []
            start += [node.module] if node.module else []
            names = [".".join([*start, alias.name]) for alias in node.names]
        for name in names:
            package, _, rest = name.partition(".")
            if package == "ecgscan_lab" and rest:
                yield node.lineno, ecgscan_lab._HOME.get(rest, name).split(".")[1]


def upward_imports(text: str, module: str) -> list[str]:
    """Imports of a higher layer, or of a sibling in the same one (the lowest ones may know each other)."""
    here = RANK[layer_of(module)]
    return [
        f"{module}:{line} imports {there}"
        for line, there in package_imports(text, module)
        if there in RANK and there != layer_of(module) and (RANK[there] > here or RANK[there] == here > 0)
    ]


def test_the_check_sees_upward_sideways_lazy_and_relative_imports():
    text = """
from ecgscan_lab.errors import ArgumentError
from ecgscan_lab import __version__, train, leads, draw_page
import ecgscan_lab.losses
def later():
    from ..nb import setup
"""
    assert [line.split()[-1] for line in upward_imports(text, "encoders/image.py")] == ["train", "losses", "nb"]
    assert upward_imports("from ecgscan_lab import draw_page", "data/cohort.py") == ["data/cohort.py:1 imports render"]
    assert upward_imports("from ecgscan_lab.leads import LEADS", "types.py") == []


def test_every_module_belongs_to_a_layer():
    assert {layer_of(module) for module in MODULES} - set(RANK) == {"__init__"}


@pytest.mark.parametrize("module", [module for module in MODULES if module != "__init__.py"])
def test_imports_only_go_down(module):
    assert upward_imports((PACKAGE / module).read_text(encoding="utf-8"), module) == []


@pytest.mark.parametrize("module", MODULES)
def test_names_say_what_a_file_is_about_and_files_stay_short(module):
    assert FORBIDDEN.isdisjoint(Path(module).with_suffix("").parts)
    assert len((PACKAGE / module).read_text(encoding="utf-8").splitlines()) <= MAX_LINES


def is_torch_free(module: str) -> bool:
    """The core works without torch; `render/tensors/` is its torch twin, loaded by those who ask for it."""
    return layer_of(module) in TORCH_FREE and not module.startswith("render/tensors/")


@pytest.mark.parametrize("module", [module for module in MODULES if is_torch_free(module)])
def test_the_torch_free_core_imports_no_torch_at_module_level(module):
    tree = ast.parse((PACKAGE / module).read_text(encoding="utf-8"))
    for node in tree.body:  # `if TYPE_CHECKING:` blocks and function bodies are deeper
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        assert not [name for name in names if name.split(".")[0] == "torch"]


def test_records_and_pages_work_without_loading_torch():
    program = """
import sys
from ecgscan_lab import draw_page, read_record, synthetic_records
import ecgscan_lab.plots
draw_page(synthetic_records(1, seed=0)[0])
sys.exit("torch is loaded" if "torch" in sys.modules else 0)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=PACKAGE.parent, check=False
    )
    assert done.returncode == 0, done.stderr
