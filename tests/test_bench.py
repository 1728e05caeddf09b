"""The bench runs, with nobody to compare with; what it measures is not tested."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
report = pytest.importorskip("bench.report", reason="the bench folder is not here")


def bench(folder: Path, *arguments: str) -> tuple[str, dict[str, Any]]:
    """What it prints, and the JSON file it writes."""
    out = folder / "bench.json"
    common = ["--peers", "lamina", "--workloads", "xor", "--rounds", "1", "--seconds", "0.001"]
    done = subprocess.run(
        [sys.executable, "-m", "bench", *arguments, *common, "--out", str(out)],
        cwd=ROOT, text=True, capture_output=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout, json.loads(out.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("mode", "table"),
    [
        ([], "training step"),
        (["--busy"], "training step, busy machine"),
        (["--threads"], "training step, 1 thread"),
        (["--first-step"], "trace, differentiate, plan"),
    ],
)
def test_modes(tmp_path: Path, mode: list[str], table: str) -> None:
    printed, content = bench(tmp_path, *mode)
    assert f"| {table} | lamina |" in printed or f"lamina: {table}" in printed
    cell = content["results"][table]["xor"]["lamina"]
    assert 0 < cell["min"] <= cell["median"] < 10
    assert content["versions"]["lamina"].startswith("lamina ")


def test_ratios_and_verdicts() -> None:
    summary = report.summarize({"xor": {"lamina": [1e-6, 3e-6, 2e-6], "other": [4e-6]}})
    assert summary["xor"]["other"]["ratio"] == pytest.approx(2)
    text = report.table("step", summary, ["lamina", "other"])
    assert text.splitlines()[-1] == "| xor | 2.00 µs | 4.00 µs (2x) |"
    assert report.verdict(1.1, at_most=1.2) == "1.1 ok"
    assert report.verdict(1.7, at_least=1.8) == "1.7 **missed**"
