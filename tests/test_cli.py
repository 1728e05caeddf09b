"""The command line: statuses, one readable line on failure, and a short demo."""

from __future__ import annotations

from pathlib import Path

import pytest

import lamina
from tests.processes import run_module, run_python


def test_version_and_help() -> None:
    assert run_module("--version").stdout.strip() == f"lamina {lamina.__version__}"
    text = run_module("--help").stdout
    for word in ("demo", "run", "info"):
        assert word in text
    assert run_module().returncode == 0


def test_info_names_what_matters() -> None:
    done = run_module("info")
    assert done.returncode == 0
    for word in ("isa", "threads", "compiler", "eigen", "openmp", lamina.__version__):
        assert word.lower() in done.stdout.lower()


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["demos"], "demos"),
        (["run", "nowhere.py"], "nowhere.py"),
        (["demo", "--epochs", "0"], "epochs"),
        (["demo", "--epochs", "many"], "many"),
        (["--frobnicate"], "frobnicate"),
    ],
)
def test_failures_are_one_line_and_a_status(arguments: list[str], word: str) -> None:
    done = run_module(*arguments)
    assert done.returncode != 0
    assert word in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1 and "Traceback" not in done.stderr


def test_demo_writes_its_files(tmp_path: Path) -> None:
    for module in ("sklearn", "matplotlib", "h5py"):
        pytest.importorskip(module)
    done = run_module("demo", "--epochs", "1", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    names = sorted(p.name for p in (tmp_path / "lamina-demo").iterdir())
    assert "digits.weights.h5" in names
    assert len([n for n in names if n.endswith(".png")]) == 3
    for path in (tmp_path / "lamina-demo").glob("*.png"):
        assert path.read_bytes().startswith(b"\x89PNG") and path.stat().st_size > 1000
    assert "ccuracy" in done.stdout


def test_import_loads_numpy_and_nothing_heavier() -> None:
    loaded = run_python("""
        import sys
        import numpy
        before = set(sys.modules)
        import lamina
        print(*sorted({m.split(".")[0] for m in set(sys.modules) - before}))
    """).split()
    heavy = {"h5py", "sklearn", "matplotlib", "scipy", "pandas", "torch", "urllib", "http", "ssl",
             "asyncio", "multiprocessing", "unittest", "rich", "PIL", "email"}  # fmt: skip
    assert not heavy & set(loaded)


def test_importing_every_public_module_works() -> None:
    run_python("""
        import lamina
        for name in lamina.__all__:
            getattr(lamina, name)
        from lamina.layers import (Input, Dense, Activation, Flatten, Reshape, Dropout, Conv2D,
            MaxPooling2D, AveragePooling2D, GlobalAveragePooling2D, GlobalMaxPooling2D, Embedding,
            LSTM, SimpleRNN, Add, Concatenate, Lambda, Rescaling)
    """)
