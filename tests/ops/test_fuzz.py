"""No call of an op, however odd, may end the process or fail without saying why."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

CALLS = 4000


def test_odd_calls_are_done_or_refused() -> None:
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("fuzz.py")), "5", str(CALLS)],
        text=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, "\n".join(done.stderr.splitlines()[-20:])
