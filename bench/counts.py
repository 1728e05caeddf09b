"""Instructions of a training step and a prediction, counted by callgrind: the same on any machine.

One thread, the AVX2 build, small models, against the counts stored in `counts.json`
(`--update` stores new ones).
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench import report

FOLDER = Path(__file__).resolve().parent
BUILD = FOLDER.parent / "build" / "counts"
REFERENCE = FOLDER / "counts.json"
LEVEL = "v3"  # valgrind knows no AVX-512
TOLERANCE = 0.05
# The tools of this interpreter's environment (cmake and ninja of the test extra) come first.
PATH = os.pathsep.join([os.path.dirname(sys.executable), os.environ.get("PATH", "")])
STEPS = {"train": 64, "predict": 64}  # and twice as many
Counts = dict[str, int]  # "xor train" -> instructions of a step


class Unavailable(Exception):
    """Counting is not possible here; says why."""


def run(options: argparse.Namespace) -> dict[str, Any]:
    try:
        program = build(BUILD)
        counts = count_all(program)
    except Unavailable as error:
        raise SystemExit(f"--counts: {error}") from None
    if options.update:
        content = {"compiler": compiler_of(program), "counts": counts}
        REFERENCE.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    reference = stored()
    print(table(counts, reference["counts"]))
    print(f"\ncompiled by {compiler_of(program)}; the reference by {reference['compiler']}")
    return {"counts": counts, "exit code": int(bool(longer(counts, reference["counts"])))}


def stored() -> dict[str, Any]:
    """The reference: its compiler and counts.

    Raises:
        SystemExit: when none was stored yet.
    """
    if not REFERENCE.exists():
        raise SystemExit(f"--counts: there is no {REFERENCE.name} yet; --update makes it")
    return json.loads(REFERENCE.read_text(encoding="utf-8"))


def build(folder: Path) -> Path:
    """The program, on the installed engine where that has the level, else with one of its own.

    Raises:
        Unavailable: without valgrind, CMake, or a processor with the level.
    """
    for tool in ("valgrind", "cmake"):
        if shutil.which(tool, path=PATH) is None:
            raise Unavailable(f"{tool} is not installed")
    from lamina import _build, _engine, _loader

    if _loader.cpu_level() < int(LEVEL[1]):
        raise Unavailable(f"needs a processor with x86-64-{LEVEL}")
    engine = (
        f"-Dlamina_DIR={_engine.cmake_dir()}" if LEVEL in _build.LEVELS else f"-DLAMINA_ISA={LEVEL}"
    )
    generator = ["-G", "Ninja"] if shutil.which("ninja", path=PATH) else []
    _run("cmake", "-S", FOLDER, "-B", folder, *generator, engine)
    _run("cmake", "--build", folder, "--target", "counts", "--parallel", "2")
    return folder / "counts"


def compiler_of(program: Path) -> str:
    """Such as "gcc 12": another version of it makes other code."""
    return about(program)[1].split(".")[0]


def about(program: Path) -> list[str]:
    """The level as it runs under valgrind, the compiler, and the models."""
    return _run("valgrind", "--tool=none", "-q", program).splitlines()


def count_all(program: Path) -> Counts:
    level, _, *models = about(program)
    if level != LEVEL:
        raise Unavailable(f"the engine runs as {level} under valgrind")
    return {
        f"{model} {kind}": step_count(program, model, kind) for model in models for kind in STEPS
    }


def step_count(program: Path, model: str, kind: str) -> int:
    """Instructions of one step: what twice as many steps cost more."""
    steps = STEPS[kind]
    once, twice = (instructions(program, model, kind, str(n)) for n in (steps, 2 * steps))
    return round((twice - once) / steps)


def instructions(program: Path, *arguments: str) -> int:
    """Instructions of a whole run, on one thread."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "callgrind.out"
        _run("valgrind", "--tool=callgrind", f"--callgrind-out-file={output}", program, *arguments)
        found = re.search(r"^(?:summary|totals): (\d+)", output.read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1])


def longer(counts: Counts, reference: Counts) -> list[str]:
    """What takes more instructions than the reference, beyond the tolerance."""
    return [name for name in counts if counts[name] > (1 + TOLERANCE) * reference.get(name, 0)]


def table(counts: Counts, reference: Counts) -> str:
    rows = {}
    for name, count in counts.items():
        known = reference.get(name)
        difference = "" if known is None else f"{100 * (count / known - 1):+.1f} %"
        rows[name] = [f"{count:,}", "" if known is None else f"{known:,}", difference]
    return report.grid("instructions of a step", ["now", "reference", "difference"], rows)


def _run(*command: str | os.PathLike[str]) -> str:
    done = subprocess.run(
        command,
        text=True,
        capture_output=True,
        env={**os.environ, "PATH": PATH, "OMP_NUM_THREADS": "1"},
    )
    if done.returncode != 0:
        raise RuntimeError(f"{command[0]} failed:\n{done.stdout}{done.stderr}")
    return done.stdout
