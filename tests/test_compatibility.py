"""docs/keras-compatibility.md says what the code and the tests say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_the_compatibility_table_is_current_and_complete() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "tools" / "compatibility" / "report.py", "--check"],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stdout + done.stderr
