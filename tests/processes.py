"""Running small programs with lamina in a process of their own."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).parents[1]
TIMEOUT_SECONDS = 120


def run_python(code: str, *args: str, check: bool = True, **environment: str) -> str:
    """Standard output of a program; fails with its standard error when it fails."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *args],
        env={**os.environ, **environment}, cwd=ROOT, text=True, capture_output=True,
        timeout=TIMEOUT_SECONDS,
    )  # fmt: skip
    assert not check or done.returncode == 0, done.stderr
    return done.stdout


def run_module(
    *args: str, cwd: Path | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    """`python -m lamina args`, whatever its exit status."""
    return subprocess.run(
        [sys.executable, "-m", "lamina", *args], env={**os.environ, **environment},
        cwd=cwd or ROOT, text=True, capture_output=True, timeout=TIMEOUT_SECONDS,
    )  # fmt: skip
