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
            for family in make_golden.FAMILIES:
                importlib.import_module(f"tests.golden.{family}_cases")
                for case in cases.CASES[family].values():
                    with contextlib.redirect_stdout(nowhere):
                        case.run(Spy(lamina, seen))
        finally:
            os.chdir(here)
    return seen


def from_test_files(namespaces: set[str]) -> set[str]:
    """Names that appear as `lamina.layers.Dense` or `layers.Dense` in the tests."""
    seen: set[str] = set()
    for file in sorted((ROOT / "tests").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute):
                path = ast.unparse(node)
                seen.add(path.removeprefix("lamina.").removeprefix("keras."))
            elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("lamina"):
                package = (node.module or "").removeprefix("lamina").lstrip(".")
                prefix = package + "." if package else ""
                seen.update(prefix + alias.name for alias in node.names)
    return {path for path in seen if path.rpartition(".")[0] in namespaces}
