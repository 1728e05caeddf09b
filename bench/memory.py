"""How much memory a model takes while it trains and predicts.

Every measurement is a process of its own. What counts is the largest resident size beyond the one
that the process has when the library is imported and the data are made. Linux only.

As a program, `python -m bench.memory PEER WORKLOAD KIND`, it is such a process; it prints a number.
"""

from __future__ import annotations

import argparse
import dataclasses
import gc
import importlib
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from bench.peers import MODULES, environment, make_runner
from bench.processes import ROOT
from bench.workloads import WORKLOADS

KINDS = ("train", "predict all")


def run(options: argparse.Namespace) -> dict[str, Any]:
    """A table in MiB, with each other peer's need as a multiple of the first one's."""
    content: dict[str, Any] = {}
    for kind in KINDS:
        print(f"| memory, {kind} (MiB) | " + " | ".join(options.peers) + " |")
        print("| --- |" + " ---: |" * len(options.peers))
        rows = content.setdefault(kind, {})
        for name in options.workloads or WORKLOADS:
            needs = rows[name] = {
                peer: _ask(peer, name, kind, options.pythons.get(peer, sys.executable))
                for peer in options.peers
            }
            ours = needs[options.peers[0]]
            print(f"| {name} | " + " | ".join(_cell(n, ours) for n in needs.values()) + " |")
        print()
    return content


def _cell(need: int | None, ours: int | None) -> str:
    if need is None:
        return ""
    text = f"{need / 2**20:.1f}"
    return text if ours is None or need is ours else f"{text} ({need / max(ours, 1):.2g}x)"


def _ask(peer: str, workload: str, kind: str, python: str) -> int | None:
    done = subprocess.run(
        [python, "-m", "bench.memory", peer, workload, kind],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=environment(peer),
        check=False,
    )
    if done.returncode != 0:
        print(f"{peer}, {workload}: {done.stderr.strip()[-200:]}", file=sys.stderr)
        return None
    return int(json.loads(done.stdout.splitlines()[-1]))


def measure(peer: str, workload: str, kind: str) -> int:
    """Bytes that this process needs at most beyond what it has before the model is built."""
    importlib.import_module("keras" if peer.startswith("keras-") else MODULES[peer])
    chosen = WORKLOADS[workload]
    data = chosen.data()
    gc.collect()
    before = _resident("VmRSS")
    runner = make_runner(peer, dataclasses.replace(chosen, data=lambda: data))
    Path("/proc/self/clear_refs").write_text("5")  # forget the largest size so far
    if kind == "train":
        runner.fit(2)
    else:
        runner.predict_all(2)
    return max(0, _resident("VmHWM") - before)


def _resident(field: str) -> int:
    found = re.search(rf"{field}:\s*(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) * 1024


if __name__ == "__main__":
    print(json.dumps(measure(*sys.argv[1:])))
