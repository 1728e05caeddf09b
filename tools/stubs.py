"""Writes python/lamina/_core.pyi from the installed lamina; with --check, only compares."""

from __future__ import annotations

import pathlib
import re
import subprocess
import sys
import tempfile

# What pybind11 says of containers whose contents the binding does not name.
_BARE = re.compile(r"(?<=: |> )(dict|list|tuple|collections\.abc\.Iterable)(?=[,):\n]| =)")
_CONTENTS = {"dict": "str, typing.Any", "tuple": "typing.Any, ..."}
STUB = pathlib.Path(__file__).resolve().parent.parent / "python" / "lamina" / "_core.pyi"


def generate() -> str:
    """The stub of the lamina that this Python imports."""
    with tempfile.TemporaryDirectory() as out:
        _run("pybind11_stubgen", "lamina._core", "-o", out)
        new = pathlib.Path(out, "lamina", "_core.pyi")
        new.write_text(_BARE.sub(_with_contents, new.read_text()))
        _run("ruff", "check", "-q", "--isolated", "--select", "I", "--fix", str(new))
        _run("ruff", "format", "-q", "--isolated", "--line-length", "100", str(new))
        return new.read_text()


def _with_contents(found: re.Match[str]) -> str:
    return f"{found[1]}[{_CONTENTS.get(found[1], 'typing.Any')}]"


def _run(*command: str) -> None:
    subprocess.run([sys.executable, "-m", *command], check=True)


if __name__ == "__main__":
    text = generate()
    if "--check" not in sys.argv[1:]:
        STUB.write_text(text)
    elif not STUB.exists() or STUB.read_text() != text:
        sys.exit(f"{STUB.name} is out of date: run python tools/stubs.py")
