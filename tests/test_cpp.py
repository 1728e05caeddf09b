"""The C++ unit tests, compiled against the installed package: one pytest test per executable."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

import pytest

from lamina import _engine

SOURCES = pathlib.Path(__file__).resolve().parent.parent / "cpp" / "tests"
NAMES = sorted(path.stem for path in SOURCES.glob("test_*.cpp"))


def _run(*command: str | os.PathLike[str], **variables: str) -> str:
    tools = os.path.dirname(sys.executable)  # cmake and ninja of the test extra
    environment = {**os.environ, "PATH": os.pathsep.join([tools, os.environ.get("PATH", "")])}
    environment.update(variables)
    done = subprocess.run(
        command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope="session")
def binaries(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The folder of the built tests; LAMINA_TEST_BUILD names one to keep between runs."""
    kept = os.environ.get("LAMINA_TEST_BUILD")
    build = pathlib.Path(kept) if kept else tmp_path_factory.mktemp("cpp")
    config = f"-Dlamina_DIR={_engine.cmake_dir()}"
    _run("cmake", "-S", SOURCES, "-B", build, "-G", "Ninja", config)
    # Two compilers at a time: a small machine has the memory for no more.
    _run("cmake", "--build", build, "--parallel", "2")
    return build


@pytest.mark.parametrize("name", NAMES)
def test_cpp(binaries: pathlib.Path, name: str) -> None:
    # So many threads that "the same bits on any number" is tested on every machine.
    print(_run(binaries / name, OMP_NUM_THREADS="4"))
