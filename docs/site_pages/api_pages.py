"""The API reference: one page a file, one overview a layer, all of it from docstrings and signatures."""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Iterator

from docstrings import inline, markdown, summary
from package_index import Item, Module, PackageIndex

REPOSITORY = "https://github.com/ecgscan-lab/ecgscan_lab/blob/main/"
# Lowest first, as imports go; what is not named here follows.
LAYERS = [
    *"types errors leads data render batch encoders losses train evaluate".split(),
    *"baselines compare plots nb replicate cli".split(),
]


def api_pages(index: PackageIndex) -> Iterator[tuple[str, str]]:
    """Path below the reference, without suffix, and the Markdown of each page."""
    yield "index", _overview(index)
    for module in index.modules.values():
        if module.name:
            yield module.page, _module_page(index, module)


def _overview(index: PackageIndex) -> str:
    top = index.modules[""]
    layers = [name for name in LAYERS if name in index.modules]
    layers += [module.name for module in index.children(top) if module.name not in layers]
    link = index.link(top)
    rows = [
        f"| {{py:obj}}`{item.name} <{item.full}>` | {_cell(summary(item.doc), link)} |" for item in index.exports(top)
    ]
    layer_rows = [
        f"| [{name}]({index.modules[name].page}.md) | {_cell(summary(index.modules[name].doc), link)} |"
        for name in layers
    ]
    toc = [f"{name} <{index.modules[name].page}>" for name in layers]
    return "\n".join(
        [
            "# API reference",
            "",
            "Every public function and class, from its docstring. A layer imports only from layers above it here.",
            "",
            "| layer | what it holds |\n|---|---|",
            *layer_rows,
            "",
            "## The most used names",
            "",
            "They can be imported from the top: `from ecgscan_lab import draw_page`. So can `__version__`.",
            "",
            "| name | what it does |\n|---|---|",
            *rows,
            "",
            _toctree(toc),
        ]
    )


def _module_page(index: PackageIndex, module: Module) -> str:
    link = index.link(module)
    parts = [f"# {module.name}", markdown(module.doc, link)]
    if module.is_package:
        exported = [item for item in index.exports(module) if item.module is not module]
        if exported:
            rows = [
                f"| {{py:obj}}`{item.name} <{item.full}>` | {_cell(summary(item.doc), link)} |" for item in exported
            ]
            parts.append(
                "\n".join([f"From `{module.full}` one imports", "", "| name | what it does |\n|---|---|", *rows])
            )
    parts += [_item(item, link) for item in index.of(module)]
    below = index.children(module) if module.is_package else []
    if below:
        rows = [
            f"| [{child.name}](/reference/{child.page}.md) | {_cell(summary(child.doc), link)} |" for child in below
        ]
        parts.append("\n".join(["## Files", "", "| file | what it is about |\n|---|---|", *rows]))
        parts.append(_toctree([f"{child.name.rsplit('.', 1)[-1]} </reference/{child.page}>" for child in below]))
    return "\n\n".join(part for part in parts if part) + "\n"


def _item(item: Item, link: object) -> str:
    node, module = item.node, item.module
    where = f"`from {item.imported_from} import {item.name}` · [source]({REPOSITORY}{_file(module)}#L{node.lineno})"
    if isinstance(node, ast.FunctionDef):
        return _directive("py:function", f"{item.name}{_signature(node)}", module, [where, markdown(item.doc, link)])
    if isinstance(node, ast.ClassDef):
        members = [text for member in node.body if (text := _member(member, link))]
        return _directive(
            "py:class", f"{item.name}{_fields(node)}", module, [where, markdown(item.doc, link), *members]
        )
    return _directive("py:data", item.name, module, [where, inline(item.doc, link), _value(node)])


def _member(node: ast.stmt, link: object) -> str:
    if not isinstance(node, ast.FunctionDef) or node.name.startswith("_") or not ast.get_docstring(node):
        return ""
    kinds = {ast.unparse(decorator) for decorator in node.decorator_list}
    doc = markdown(ast.get_docstring(node), link)
    if kinds & {"property", "cached_property"}:
        return f"::::{{py:property}} {node.name}\n\n{doc}\n\n::::"
    options = "\n:classmethod:" if "classmethod" in kinds else "\n:staticmethod:" if "staticmethod" in kinds else ""
    signature = _signature(node, bound="staticmethod" not in kinds)
    return f"::::{{py:method}} {node.name}{signature}{options}\n\n{doc}\n\n::::"


def _directive(kind: str, signature: str, module: Module, body: list[str]) -> str:
    text = "\n\n".join(part for part in body if part)
    return f"::::::{{{kind}}} {signature}\n:module: {module.full}\n\n{text}\n\n::::::"


def _signature(node: ast.FunctionDef, *, bound: bool = False) -> str:
    arguments = node.args
    if bound:
        positional = arguments.posonlyargs or arguments.args
        positional.pop(0)
    returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    return f"({ast.unparse(arguments)}){returns}".replace("\n", " ")


def _fields(node: ast.ClassDef) -> str:
    """The arguments of a class: of its `__init__`, or its fields where it is a dataclass."""
    for member in node.body:
        if isinstance(member, ast.FunctionDef) and member.name == "__init__":
            return _signature(member, bound=True).split(" -> ")[0]
    if not any("dataclass" in ast.unparse(decorator) for decorator in node.decorator_list):
        return ""
    fields = []
    for member in node.body:
        if isinstance(member, ast.AnnAssign) and isinstance(member.target, ast.Name) and member.target.id[0] != "_":
            default = "" if member.value is None else ast.unparse(member.value)
            if default.startswith("field("):
                default = "..." if "default" in default else ""
            fields.append(
                f"{member.target.id}: {ast.unparse(member.annotation)}" + (f" = {default}" if default else "")
            )
    return f"({', '.join(fields)})"


def _value(node: ast.Assign | ast.AnnAssign) -> str:
    if node.value is None:
        return ""
    if isinstance(node.value, ast.Dict):
        rows = [
            f"- `{ast.unparse(key)}`: `{textwrap.shorten(ast.unparse(value), 90, placeholder=' ...')}`"
            for key, value in zip(node.value.keys, node.value.values, strict=True)
            if key is not None
        ]
        return "\n".join(rows)
    return f"`{textwrap.shorten(ast.unparse(node.value), 300, placeholder=' ...')}`"


def _cell(text: str, link: object) -> str:
    return inline(text, link).replace("|", "\\|")


def _toctree(entries: list[str]) -> str:
    return "\n".join(["```{toctree}", ":hidden:", "", *entries, "```"])


def _file(module: Module) -> str:
    return f"ecgscan_lab/{module.name.replace('.', '/')}" + ("/__init__.py" if module.is_package else ".py")
