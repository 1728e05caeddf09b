"""Which public names the tests exercise: found by running and reading them, never by a list."""

from __future__ import annotations

import ast
import contextlib
import importlib
import os
import tempfile
import types
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
# Families that compare something else than what a name computes.
_WEAK = {"masks"}


class Spy:
    """Stands for a module and notes every dotted name that is taken from it."""

    def __init__(self, module: types.ModuleType, seen: set[str], path: str = "") -> None:
        self._module, self._seen, self._path = module, seen, path

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._module, name)
        path = self._path + name
        if isinstance(value, types.ModuleType):
            return Spy(value, self._seen, path + ".")
        self._seen.add(path)
        return value


def from_reference_values(lamina: types.ModuleType) -> set[str]:
    """Names used by cases whose results are compared with those of real Keras."""
    make_golden = importlib.import_module("tests.golden.make_golden")
    cases = importlib.import_module("tests.golden.cases")
    seen: set[str] = set()
    here = os.getcwd()
    with tempfile.TemporaryDirectory() as scratch, open(os.devnull, "w") as nowhere:
        os.chdir(scratch)
        try:
            for family in set(make_golden.FAMILIES) - _WEAK:
                importlib.import_module(f"tests.golden.{family}_cases")
                for case in cases.CASES[family].values():
                    with contextlib.redirect_stdout(nowhere):
                        case.run(Spy(lamina, seen))
        finally:
            os.chdir(here)
    return seen


def _imported(tree: ast.AST) -> dict[str, str]:
    """What a file calls the parts of lamina that it imports: {"layers": "layers", ...}."""
    names = {"lamina": "", "keras": ""}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "lamina":
            package = (node.module or "").removeprefix("lamina").lstrip(".")
            for alias in node.names:
                path = f"{package}.{alias.name}".lstrip(".")
                names[alias.asname or alias.name] = path
    return names


def from_test_files(namespaces: set[str]) -> set[str]:
    """Names that the tests use, as `lamina.layers.Dense`, or imported first."""
    seen: set[str] = set()
    for file in sorted((ROOT / "tests").rglob("*.py")):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        imported = _imported(tree)
        seen.update(imported.values())
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute):
                root, _, rest = ast.unparse(node).partition(".")
                if root in imported:
                    seen.add(f"{imported[root]}.{rest}".lstrip("."))
    return {path for path in seen if path.rpartition(".")[0] in namespaces}


def from_contract() -> set[str]:
    """Names of the classes that `tests/contract` goes through one by one."""
    table = importlib.import_module("tests.contract.layer_table")
    families = importlib.import_module("tests.contract.test_families")
    seen = {f"layers.{name}" for name in {*table.LAYERS, *table.ELSEWHERE}}
    for family, module in families.FAMILIES.items():
        package = "optimizers.schedules" if family == "schedules" else family
        seen.update(f"{package}.{name}" for name in families.classes(module))
    return seen
