"""Dependencies point one way: down. The floors are those of docs/architecture.md."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.processes import ROOT

CPP, PYTHON = ROOT / "cpp", ROOT / "python" / "lamina"

# C++: folder -> its floor. A file may include its own floor and those below.
CPP_FLOORS = {"base": 0, "kernels": 1, "ops": 2, "graph": 3, "exec": 4, "bindings": 5}
# The installed headers belong to the floor that implements them.
HEADER_FLOORS = {
    "types.h": 0, "tensor.h": 0, "cpu.h": 0, "api.h": 0, "runtime.h": 0, "graph.h": 2,
    "python_call.h": 2, "plan.h": 4, "epoch.h": 4, "profile.h": 4,
}  # fmt: skip

# Python: first part of the module's name -> its floor.
PYTHON_FLOORS = {
    "_build": 0, "_core": 0, "_engine": 0, "_loader": 0, "allowance": 0, "config": 0, "dtypes": 0,
    "dtype_policies": 0, "names": 0, "registry": 0, "remat": 0, "structure": 0, "tree": 0,
    "utils": 0, "validation": 0, "windows": 0,
    "scopes": 5, "serialization": 5, "stateless": 5, "tensor": 5, "tracing": 5, "variable": 5,
    "activations": 6, "autodiff": 6, "constraints": 6, "initializers": 6, "ops": 6,
    "quantizers": 6, "random": 6, "regularizers": 6, "traced_function": 6,
    "layers": 7,
    "losses": 8, "metrics": 8, "optimizers": 8, "callbacks": 8,
    "profiling": 9,
    "trainer": 9,  # knows models only as what it is mixed into, so that Model can inherit it
    "saving": 9, "legacy": 9, "models": 10,
}  # fmt: skip


def cpp_floor(path: Path) -> int:
    return CPP_FLOORS[path.relative_to(CPP).parts[0]]


def included_floor(name: str) -> int | None:
    if name.startswith("lamina/"):
        return HEADER_FLOORS[name.removeprefix("lamina/")]
    return CPP_FLOORS.get(name.split("/")[0])


@pytest.mark.skipif(not CPP.exists(), reason="installed without the sources")
def test_includes_point_down() -> None:
    wrong = []
    sources = [p for folder in CPP_FLOORS for p in sorted((CPP / folder).rglob("*"))
               if p.suffix in (".h", ".cpp")]  # fmt: skip
    assert len(sources) > 20
    for path in sources:
        for name in re.findall(r'#include "([^"]+)"', path.read_text(encoding="utf-8")):
            floor = included_floor(name)
            if floor is not None and floor > cpp_floor(path):
                wrong.append(f"{path.relative_to(ROOT)} includes {name}")
    assert wrong == []


@pytest.mark.skipif(not CPP.exists(), reason="installed without the sources")
def test_installed_headers_show_no_eigen_and_no_private_file() -> None:
    for path in sorted((CPP / "include").rglob("*.h")):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"Eigen::|#include <Eigen", text), path
        for name in re.findall(r'#include "([^"]+)"', text):
            assert name.startswith("lamina/"), f"{path.name} includes {name}"


@pytest.mark.skipif(not CPP.exists(), reason="installed without the sources")
def test_only_one_place_names_openmp_and_only_the_bindings_name_python() -> None:
    for path in sorted(CPP.rglob("*")):
        if path.suffix not in (".h", ".cpp") or "tests" in path.parts:
            continue
        text = path.read_text(encoding="utf-8")
        if "#pragma omp" in text or "omp.h" in text:
            assert path.stem == "parallel", path
        if "pybind11" in text or "Python.h" in text:
            assert "bindings" in path.parts, path


def imported_modules(path: Path) -> set[str]:
    """Modules of lamina that a file imports when it is imported itself."""
    found: set[str] = set()

    def visit(node: ast.AST) -> None:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            return  # imported where it is used: no dependency between the floors at import
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            return
        if isinstance(node, ast.Import):
            found.update(a.name.split(".")[1] for a in node.names if a.name.startswith("lamina."))
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            parts = node.module.split(".")
            if parts == ["lamina"]:
                found.update(alias.name for alias in node.names)
            elif parts[0] == "lamina":
                found.add(parts[1])
        for inner in ast.iter_child_nodes(node):
            visit(inner)

    visit(ast.parse(path.read_text(encoding="utf-8")))
    return found


@pytest.mark.skipif(not PYTHON.exists(), reason="installed without the sources")
def test_imports_point_down() -> None:
    wrong = []
    for path in sorted(PYTHON.rglob("*.py")):
        home = path.relative_to(PYTHON).parts[0].removesuffix(".py")
        floor = PYTHON_FLOORS.get(home)
        if floor is None:  # the roof: command line, demo, datasets, testing
            continue
        for module in imported_modules(path):
            if PYTHON_FLOORS.get(module, 99) > floor:
                wrong.append(f"{path.relative_to(ROOT)} imports lamina.{module}")
    assert wrong == []


@pytest.mark.skipif(not PYTHON.exists(), reason="installed without the sources")
def test_no_relative_imports_and_every_module_has_a_docstring() -> None:
    for path in sorted(PYTHON.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        assert ast.get_docstring(tree), path
        for node in ast.walk(tree):
            assert not (isinstance(node, ast.ImportFrom) and node.level), path
