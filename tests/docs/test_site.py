"""The documentation: complete, its links lead somewhere, and the built site asks nobody for anything."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

import ecgscan_lab
from ecgscan_lab.losses import LOSSES

pytestmark = pytest.mark.contracts

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
LINK = re.compile(r"\]\((?!https?:|mailto:)([^)\s]+)\)")
WRITTEN = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.glob("*.md"))]
# Words that a reader of the other tribe needs, each as notebooks write it and as the glossary lists it.
WORDS = {
    "rhythm strip": "Rhythm strip",
    "Einthoven": "Einthoven's law",
    "Goldberger": "Goldberger's equations",
    "Wilson": "Wilson's central terminal",
    "QRS": "P wave, QRS complex, T wave",
    "superclass": "Superclass",
    "Cabrera": "Cabrera order",
    "embedding": "Embedding",
    "contrastive": "Contrastive learning",
    "linear probe": "Linear probe",
    "zero-shot": "Zero-shot",
    "AUROC": "AUROC",
    "interval": "Interval",
    "LoRA": "LoRA",
    "leak": "Leakage",
    "modality gap": "Modality gap",
    "seed": "Seed",
    "frozen": "Frozen",
    "decoder": "Decoder",
    "teacher": "Teacher",
    "UMAP": "UMAP, t-SNE, PCA",
}


@pytest.fixture(scope="module")
def site():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(DOCS / "site_pages"))
        import site_pages

        yield site_pages


@pytest.fixture(scope="module")
def pages(site):
    return site.generated_pages()


def slug(title: str) -> str:
    return re.sub(r"[^\w\- ]", "", title.strip().lower()).replace(" ", "-")


def broken_links(path: Path, text: str, generated: set[str]) -> list[str]:
    """Relative links to a file that is neither there nor generated, or to a heading that the file lacks."""
    broken = []
    for target in LINK.findall(re.sub(r"```.*?```", "", text, flags=re.DOTALL)):
        name, _, anchor = target.partition("#")
        file = (path.parent / name).resolve() if name else path
        if file.is_relative_to(DOCS / "reference"):
            known = file.relative_to(DOCS / "reference").with_suffix("").as_posix() in generated
        else:
            known = file.exists()
            if known and anchor:
                titles = re.findall(r"^#+ (.+)$", file.read_text(encoding="utf-8"), re.MULTILINE)
                known = anchor in {slug(title) for title in titles}
        if not known:
            broken.append(target)
    return broken


def test_the_reference_holds_every_public_name(pages):
    missing = []
    for name in ecgscan_lab.__all__:
        if name == "__version__":
            continue
        described = [page for page, text in pages.items() if re.search(rf"(?m)^:+\{{py:\w+\}} {name}\b", text)]
        linked = re.search(rf"\{{py:obj\}}`{name} <ecgscan_lab\.[\w.]+\.{name}>`", pages["index"])
        missing += [] if described and linked else [name]
    assert missing == []


@pytest.mark.parametrize("loss", LOSSES)
def test_the_reference_holds_every_loss(pages, loss):
    function = LOSSES[loss]
    page = pages[function.__module__.removeprefix("ecgscan_lab.").replace(".", "/")]
    assert f"{{py:function}} {function.__name__}(" in page
    assert f"'{loss}'" in pages["losses/registry"]


def test_every_module_has_a_page(pages):
    modules = [path.relative_to(ROOT / "ecgscan_lab") for path in (ROOT / "ecgscan_lab").rglob("*.py")]
    public = [path for path in modules if path.stem == "__init__" or not path.stem.startswith("_")]
    names = {path.with_suffix("").as_posix().replace("__init__", "index") for path in public}
    assert names - set(pages) == set()


def test_every_command_is_listed(pages):
    for command in (
        "tour",
        "data fetch",
        "pretrain",
        "embed",
        "probe",
        "zeroshot",
        "evaluate",
        "render",
        "notebooks run",
    ):
        assert f"## ecgscan-lab {command}\n" in pages["commands"]


def test_every_manifest_is_listed(pages):
    names = [path.stem for path in (ROOT / "data_manifests").glob("*.json") if path.stem != "schema"]
    assert [name for name in names if f"### {name}\n" not in pages["data-and-checkpoints"]] == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_notebook_is_on_the_path_and_in_the_readme(pages, path):
    assert f"/notebooks/{path.name})" in pages["learning-path"]
    assert f"](notebooks/{path.name})" in (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", WRITTEN, ids=lambda path: path.name)
def test_links_lead_somewhere(pages, path):
    assert broken_links(path, path.read_text(encoding="utf-8"), set(pages)) == []


def test_the_check_of_links_sees_missing_files_and_headings():
    text = "[a](nowhere.md) [b](../README.md#no-such-heading) [c](../README.md#two-commands) [d](reference/gone.md)"
    found = broken_links(DOCS / "index.md", text, {"index"})
    assert found == ["nowhere.md", "../README.md#no-such-heading", "reference/gone.md"]


@pytest.mark.parametrize("path", [ROOT / "README.md", DOCS / "glossary.md"], ids=lambda path: path.name)
def test_a_function_is_in_the_file_that_its_link_names(site, path):
    index = site.PackageIndex(ROOT / "ecgscan_lab")
    wrong = []
    for words, target in re.findall(r"\[(`[^\]]+`)\]\(([^)]+\.py)\)", path.read_text(encoding="utf-8")):
        file = (path.parent / target).resolve()
        module = next((module for module in index.modules.values() if module.path == file), None)
        if module is None:
            wrong.append(target)
            continue
        here = {item.name for item in index.of(module)} | set(module.literal_names("__all__")) | {file.stem}
        wrong += [f"{name} in {target}" for name in re.findall(r"`([\w.]+)`", words) if name not in here]
    assert wrong == []


def test_the_readme_sets_up_in_two_commands():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    section = re.search(r"^## Two commands\n(.*?)^## ", readme, re.MULTILINE | re.DOTALL)[1]
    blocks = re.findall(r"```sh\n(.*?)```", section, re.DOTALL)
    assert [len(block.splitlines()) for block in blocks] == [1, 1]
    assert blocks[0].rstrip().endswith("ecgscan-lab tour")
    assert blocks[1].rstrip().endswith("-m pytest")


def test_words_of_the_notebooks_stand_in_the_glossary():
    glossary = (DOCS / "glossary.md").read_text(encoding="utf-8")
    sources = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "notebooks" / "src").glob("*.py"))
    used = {entry for word, entry in WORDS.items() if word.lower() in sources.lower()}
    assert len(used) > 15
    assert [entry for entry in sorted(used) if f"- **{entry}**" not in glossary] == []


def test_a_docstring_keeps_equations_lists_and_examples(site):
    from docstrings import markdown

    text = markdown(
        "Sum `a` of x<y>.\n\n**Equation**:\n\n    s = Σ aᵢ\n\nArgs:\n    a: numbers `[n]`,\n        any.\n\n"
        "Example:\n    >>> 1 + 1\n    2\n",
        lambda name: f"ecgscan_lab.{name}" if name == "a" else None,
    )
    assert "{py:obj}`a <ecgscan_lab.a>` of x\\<y>" in text
    assert "```text\ns = Σ aᵢ\n```" in text
    assert "`a`\n: numbers `[n]`,\n  any." in text
    assert "```pycon\n>>> 1 + 1\n2\n```" in text


@pytest.mark.slow
def test_the_site_builds_without_a_warning_and_loads_nothing_from_elsewhere(tmp_path):
    missing = [name for name in ("sphinx", "myst_parser", "furo") if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f'not installed: {", ".join(missing)}; pip install -e ".[docs]"')
    command = [
        sys.executable,
        "-m",
        "sphinx",
        "-W",
        "--keep-going",
        "-q",
        "-d",
        tmp_path / "doctrees",
        DOCS,
        tmp_path / "site",
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=550)
    assert done.returncode == 0, done.stderr[-3000:]
    built = list((tmp_path / "site").rglob("*.html"))
    assert len(built) > 300
    loads = re.compile(r"<(?:script|link|img|iframe|source)\b[^>]*(?:src|href)=\"(?:https?:)?//[^\"]+")
    assert [hit for page in built for hit in loads.findall(page.read_text(encoding="utf-8"))] == []
    for sheet in (tmp_path / "site" / "_static").rglob("*.css"):
        assert re.search(r"(?:@import|url\()\s*[\"']?(?:https?:)?//", sheet.read_text(encoding="utf-8")) is None
