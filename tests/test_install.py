"""What an installation holds, what importing it costs, and its use from C++."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

import pytest

from lamina import _engine

ROOT = pathlib.Path(__file__).resolve().parent.parent
EXAMPLE = ROOT / "examples" / "cpp"
HEAVY = ["h5py", "matplotlib", "scipy", "sklearn", "rich", "pandas", "PIL", "IPython", "tqdm"]


def _run(*command: str | os.PathLike[str], **environment: str) -> str:
    tools = os.path.dirname(sys.executable)  # cmake and ninja of the test extra
    path = os.pathsep.join([tools, os.environ.get("PATH", "")])
    done = subprocess.run(
        command,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "PATH": path, **environment},
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def _losses(output: str) -> list[float]:
    return [float(line.split()[-1]) for line in output.splitlines() if "loss" in line]


def _build_example(build: pathlib.Path, lamina_dir: str | os.PathLike[str]) -> str:
    """Builds examples/cpp against an installed lamina and returns what it prints."""
    _run("cmake", "-S", EXAMPLE, "-B", build, "-G", "Ninja", f"-Dlamina_DIR={lamina_dir}")
    _run("cmake", "--build", build)
    return _run(build / "train")


def test_a_cpp_program_uses_the_python_package(tmp_path: pathlib.Path) -> None:
    losses = _losses(_build_example(tmp_path, _engine.cmake_dir()))
    assert len(losses) == 20
    assert losses[-1] < 0.2 < losses[0]


@pytest.mark.skipif(not (ROOT / "CMakeLists.txt").exists(), reason="needs the source tree")
def test_a_cpp_program_uses_a_cmake_install(tmp_path: pathlib.Path) -> None:
    """The engine alone, built without Python; unoptimised, which takes a third of the time."""
    build, prefix = tmp_path / "build", tmp_path / "prefix"
    options = ["-DLAMINA_TESTS=OFF", "-DLAMINA_PYTHON=OFF", "-DCMAKE_BUILD_TYPE=Debug"]
    _run("cmake", "-S", ROOT, "-B", build, "-G", "Ninja", *options)
    _run("cmake", "--build", build, "--parallel", "2")
    _run("cmake", "--install", build, "--prefix", prefix)
    configs = list(prefix.glob("lib*/**/laminaConfig.cmake"))
    assert len(configs) == 1
    assert not list(prefix.rglob("*.py"))
    headers = "\n".join(path.read_text() for path in prefix.rglob("*.h"))
    assert "#include <Eigen" not in headers
    assert _losses(_build_example(tmp_path / "example", configs[0].parent))[-1] < 0.2


def test_the_installed_package_is_small() -> None:
    package = pathlib.Path(_engine.ROOT)
    size = sum(p.stat().st_size for p in package.rglob("*") if p.is_file() and p.suffix != ".pyc")
    assert size < 10e6


def test_the_package_is_typed() -> None:
    import lamina

    package = pathlib.Path(lamina.__file__).parent
    for name in ["py.typed", "_core.pyi", "_loader.pyi", "_build.pyi"]:
        assert (package / name).exists(), name


def test_importing_loads_numpy_and_nothing_heavier() -> None:
    code = f"import lamina, sys; print([name for name in {HEAVY} if name in sys.modules])"
    assert _run(sys.executable, "-c", code).strip() == "[]"


def test_importing_loads_no_other_package() -> None:
    """Besides NumPy, only the standard library and lamina itself."""
    code = """
import sys
import numpy
before = set(sys.modules)
import lamina
new = {name.partition(".")[0] for name in set(sys.modules) - before}
print(sorted(new - set(sys.stdlib_module_names) - {"lamina", "numpy"}))
"""
    assert _run(sys.executable, "-c", code).strip() == "[]"


def test_importing_is_quick(tmp_path: pathlib.Path) -> None:
    """Under 100 ms beyond NumPy's own import; CPU time, for other load delays.

    With compiled modules, as pip leaves them, also where the surroundings forbid to write them,
    and without the threads of NumPy's OpenBLAS, which spin beside for a while and are counted too.
    """
    compiled = {
        "PYTHONPYCACHEPREFIX": str(tmp_path),
        "PYTHONDONTWRITEBYTECODE": "",
        "OPENBLAS_NUM_THREADS": "1",
    }
    code = """
import time
import numpy
start = time.process_time()
import lamina
print(time.process_time() - start)
"""
    _run(sys.executable, "-c", "import lamina", **compiled)
    best = min(float(_run(sys.executable, "-c", code, **compiled)) for _ in range(3))
    assert best < 0.1
