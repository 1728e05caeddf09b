"""Writes python/lamina/_core.pyi from the installed lamina; with --check, only compares."""

from __future__ import annotations

import pathlib
import subprocess
import sys
import tempfile

STUB = pathlib.Path(__file__).resolve().parent.parent / "python" / "lamina" / "_core.pyi"


def generate() -> str:
    """The stub of the lamina that this Python imports."""
    with tempfile.TemporaryDirectory() as out:
        _run("pybind11_stubgen", "lamina._core", "-o", out)
        new = pathlib.Path(out, "lamina", "_core.pyi")
        _run("ruff", "check", "-q", "--isolated", "--select", "I", "--fix", str(new))
        _run("ruff", "format", "-q", "--isolated", "--line-length", "100", str(new))
        return new.read_text()


def _run(*command: str) -> None:
    subprocess.run([sys.executable, "-m", *command], check=True)


if __name__ == "__main__":
    text = generate()
    if "--check" not in sys.argv[1:]:
        STUB.write_text(text)
    elif not STUB.exists() or STUB.read_text() != text:
        sys.exit(f"{STUB.name} is out of date: run python tools/stubs.py")
