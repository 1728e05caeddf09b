"""Training steps with one thread and with all cores: how much the cores gain."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from bench import report
from bench.comparison import ask_all
from bench.processes import start_peers, usable_cores
from bench.workloads import WORKLOADS

GOAL = 1.8
# What is large enough to fill two cores; the goal is theirs.
LARGE = ("mlp_big", "cnn_bn", "lstm_seed", "transformer")


def run(options: argparse.Namespace) -> dict[str, Any]:
    workloads = options.workloads or list(WORKLOADS)
    cores = usable_cores()
    with (
        start_peers(options.peers, options.pythons, threads=1) as single,
        start_peers(options.peers, options.pythons, threads=cores) as several,
    ):
        names = [peer.peer for peer in single]
        groups = {"training step, 1 thread": single, f"training step, {cores} threads": several}
        results: dict[str, report.Samples] = {
            title: {workload: {peer: [] for peer in names} for workload in workloads}
            for title in groups
        }
        failed: set[tuple[str, str]] = set()
        for number in range(options.rounds):
            print(f"round {number + 1} of {options.rounds}", file=sys.stderr)
            for workload in workloads:
                for title, group in groups.items():
                    for peer, value in ask_all(
                        group, failed, do="train", workload=workload, seconds=options.seconds
                    ):
                        results[title][workload][peer].append(value)
    summaries = {title: report.summarize(rows) for title, rows in results.items()}
    print("\n\n".join(report.table(title, rows, names) for title, rows in summaries.items()))
    one, many = summaries.values()
    title = f"{cores} threads, times as fast as one (goal of {', '.join(LARGE)}: {GOAL})"
    print("\n" + report.grid(title, names, gains(one, many, names)))
    return {"versions": {peer.peer: peer.version for peer in single}, "results": summaries}


def gains(one: dict[str, Any], many: dict[str, Any], names: list[str]) -> dict[str, list[str]]:
    """How many times as fast a step is with all cores, judged where there is a goal."""
    rows = {}
    for workload in one:
        rows[workload] = []
        for name in names:
            if name not in one[workload] or name not in many[workload]:
                rows[workload].append("")
                continue
            gain = one[workload][name]["median"] / many[workload][name]["median"]
            is_judged = name == report.OURS and workload in LARGE
            text = report.verdict(gain, at_least=GOAL) if is_judged else f"{gain:.2f}"
            rows[workload].append(text)
    return rows
