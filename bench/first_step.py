"""What comes before training: building a model, tracing, differentiating and planning its step."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from bench import report
from bench.comparison import ask_all
from bench.processes import start_peers

WHOLE = "model, weights and first step, beyond a later step"
TRACE = "trace, differentiate, plan"
# Milliseconds of TRACE.
GOALS = {"xor": 5.0, "mlp_small": 5.0, "cnn_seed": 5.0, "lstm_seed": 5.0, "resnet50": 100.0}


def run(options: argparse.Namespace) -> dict[str, Any]:
    workloads = options.workloads or list(GOALS)
    with start_peers(options.peers, options.pythons) as peers:
        names = [peer.peer for peer in peers]
        samples: dict[str, report.Samples] = {
            title: {workload: {name: [] for name in names} for workload in workloads}
            for title in (WHOLE, TRACE)
        }
        ours = [peer for peer in peers if peer.peer == report.OURS]
        requests = ((WHOLE, "first step", peers), (TRACE, "trace", ours))
        failed: set[tuple[str, str]] = set()
        for number in range(options.rounds):
            print(f"round {number + 1} of {options.rounds}", file=sys.stderr)
            for workload in workloads:
                for title, do, group in requests:
                    for peer, value in ask_all(group, failed, do=do, workload=workload):
                        samples[title][workload][peer].append(value)
    summaries = {title: report.summarize(rows) for title, rows in samples.items()}
    print(report.table(WHOLE, summaries[WHOLE], names))
    judged = {
        workload: [report.verdict(cells[report.OURS]["median"] * 1e3, at_most=GOALS[workload])]
        for workload, cells in summaries[TRACE].items()
        if workload in GOALS and report.OURS in cells
    }
    print("\n" + report.grid(f"{report.OURS}: {TRACE}", ["ms"], judged))
    return {"versions": {peer.peer: peer.version for peer in peers}, "results": summaries}
