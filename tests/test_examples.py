"""Every example program runs, in a shortened form, as it is and through the drop-in."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.processes import ROOT, run_module, run_python

EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


def shortened(path: Path) -> str:
    """The program with fewer epochs."""
    return re.sub(r"epochs=(\d+)", lambda m: f"epochs={min(int(m[1]), 2)}", path.read_text())


def test_there_are_the_seven_programs() -> None:
    assert len(EXAMPLES) >= 7


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.stem)
def test_keras_program_runs_unchanged(path: Path, tmp_path: Path) -> None:
    for module in ("sklearn", "h5py"):
        if module in path.read_text():
            pytest.importorskip(module)
    script = tmp_path / path.name
    script.write_text(shortened(path))
    done = run_module("run", str(script), cwd=ROOT)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.stem)
def test_program_with_laminas_imports_runs(path: Path) -> None:
    if "sklearn" in path.read_text():
        pytest.importorskip("sklearn")
    text = re.sub(r"\b(from|import) (tensorflow\.)?keras\b", r"\1 lamina", shortened(path))
    run_python(text)
