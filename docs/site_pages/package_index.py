"""What the package documents, read from its source without importing it."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

PACKAGE = "ecgscan_lab"


@dataclass
class Module:
    """One file: `name` is relative to the package ("losses.gram"), "" for the package itself."""

    name: str
    path: Path
    tree: ast.Module
    source: str

    @property
    def is_package(self) -> bool:
        return self.path.name == "__init__.py"

    @property
    def doc(self) -> str:
        return ast.get_docstring(self.tree) or ""

    @property
    def full(self) -> str:
        return f"{PACKAGE}.{self.name}" if self.name else PACKAGE

    @property
    def page(self) -> str:
        """Where its page lies, below the reference and without suffix."""
        return self.name.replace(".", "/") + ("/index" if self.is_package else "")

    def literal_names(self, variable: str) -> list[str]:
        """Strings of a list or keys of a dictionary that is assigned to `variable`."""
        for node in self.tree.body:
            if isinstance(node, ast.Assign | ast.AnnAssign) and variable in _targets(node):
                items = node.value.keys if isinstance(node.value, ast.Dict) else getattr(node.value, "elts", [])
                return [item.value for item in items if isinstance(item, ast.Constant)]
        return []


@dataclass
class Item:
    """A public function, class or exported constant."""

    name: str
    module: Module
    node: ast.FunctionDef | ast.ClassDef | ast.Assign | ast.AnnAssign
    imported_from: str = field(default="")

    @property
    def full(self) -> str:
        return f"{self.module.full}.{self.name}"

    @property
    def doc(self) -> str:
        if isinstance(self.node, ast.FunctionDef | ast.ClassDef):
            return ast.get_docstring(self.node) or ""
        above: list[str] = []
        lines = self.module.source.splitlines()
        for line in reversed(lines[: self.node.lineno - 1]):
            if not line.startswith("# "):
                break
            above.insert(0, line[2:])
        return "\n".join(above)


class PackageIndex:
    """All modules and public items of the package in a folder."""

    def __init__(self, folder: Path) -> None:
        self.modules: dict[str, Module] = {}
        for path in sorted(folder.rglob("*.py")):
            parts = path.relative_to(folder).with_suffix("").parts
            name = ".".join(part for part in parts if part != "__init__")
            if not any(part.startswith("_") for part in name.split(".")):
                source = path.read_text(encoding="utf-8")
                self.modules[name] = Module(name, path, ast.parse(source), source)
        exported = {
            name
            for module in self.modules.values()
            if module.is_package
            for variable in ("__all__", "_HOME")
            for name in module.literal_names(variable)
        }
        self.items: dict[str, Item] = {}
        for module in self.modules.values():
            for node in module.tree.body:
                for name in _defined(node):
                    documented = isinstance(node, ast.FunctionDef | ast.ClassDef) or name in exported
                    if documented and not name.startswith("_") and name != "annotations":
                        self.items.setdefault(f"{module.full}.{name}", Item(name, module, node))
        for item in self.items.values():
            item.imported_from = self._shortest_import(item)

    @cached_property
    def by_name(self) -> dict[str, list[Item]]:
        found: dict[str, list[Item]] = defaultdict(list)
        for item in self.items.values():
            found[item.name].append(item)
        return found

    def of(self, module: Module) -> list[Item]:
        """The items of one file, in its order."""
        return [item for item in self.items.values() if item.module is module]

    def children(self, package: Module) -> list[Module]:
        """Modules and folders directly below one."""
        start = f"{package.name}." if package.name else ""
        below = (module for name, module in self.modules.items() if name and name.startswith(start))
        return [module for module in below if "." not in module.name[len(start) :]]

    def exports(self, package: Module) -> list[Item]:
        """What a folder's `__init__` offers, as items, in its order."""
        names = dict.fromkeys([*package.literal_names("__all__"), *package.literal_names("_HOME")])
        found = (self._followed(name, package) or self.find(name, package) for name in names)
        return [item for item in found if item is not None]

    def _followed(self, name: str, module: Module) -> Item | None:
        """What a module imports, or says that it would import, under a name: the item where it is defined."""
        if f"{module.full}.{name}" in self.items:
            return self.items[f"{module.full}.{name}"]
        for node in ast.walk(module.tree):
            source = None
            if isinstance(node, ast.ImportFrom) and name in [alias.name for alias in node.names]:
                source = node.module
            elif isinstance(node, ast.Dict):
                texts = {ast.unparse(key): value for key, value in zip(node.keys, node.values, strict=True) if key}
                value = texts.get(repr(name))
                source = value.value if isinstance(value, ast.Constant) else None
            there = self.modules.get(str(source).removeprefix(f"{PACKAGE}."))
            if there is not None and there is not module:
                return self._followed(name, there)
        return None

    def find(self, name: str, near: Module) -> Item | None:
        """The one item that `name` (perhaps with its file: `gram.gram_loss`) can mean, seen from a module."""
        found = [item for item in self.by_name.get(name.rsplit(".", 1)[-1], []) if item.full.endswith("." + name)]
        for scope in (near.full, near.full.rsplit(".", 1)[0], ".".join(near.full.split(".")[:2])):
            inside = [item for item in found if item.module.full == scope or item.full.startswith(scope + ".")]
            if len(inside) == 1:
                return inside[0]
        return found[0] if len(found) == 1 else None

    def link(self, near: Module) -> object:
        """A function that turns a name in backticks into a full name."""

        def find(name: str) -> str | None:
            item = self.find(name, near)
            return None if item is None else item.full

        return find

    def _shortest_import(self, item: Item) -> str:
        parts = item.module.name.split(".")
        for n in range(len(parts)):
            package = self.modules.get(".".join(parts[:n]))
            if package is None or not package.is_package:
                continue
            if item.name in [*package.literal_names("__all__"), *package.literal_names("_HOME")]:
                return package.full
        return item.module.full


def _targets(node: ast.Assign | ast.AnnAssign) -> list[str]:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    return [target.id for target in targets if isinstance(target, ast.Name)]


def _defined(node: ast.stmt) -> Iterator[str]:
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        yield node.name
    elif isinstance(node, ast.Assign | ast.AnnAssign):
        yield from _targets(node)
