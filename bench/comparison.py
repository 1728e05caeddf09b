"""Training step, prediction and import of every peer: the mode without a flag."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from typing import Any

from bench import chart, report
from bench.processes import PeerProcess, start_peers, time_import, time_peer_import
from bench.workloads import WORKLOADS

# What a worker is asked to do -> title of the table.
KINDS = {
    "train": "training step",
    "predict row": "predict one row",
    "call row": "direct call, one row",
    "predict all": "bulk predict, per row",
}


def run(options: argparse.Namespace) -> dict[str, Any]:
    workloads = options.workloads or list(WORKLOADS)
    with start_peers(options.peers, options.pythons) as peers:
        names = [peer.peer for peer in peers]
        if options.chart:
            chart.check(names)
        results = measure(peers, workloads, options.rounds, options.seconds)
        results["import"] = measure_imports(peers, options.rounds)
    summaries = {kind: report.summarize(rows) for kind, rows in results.items()}
    print("\n\n".join(report.table(kind, rows, names) for kind, rows in summaries.items()))
    if options.chart:
        chart.draw(summaries, names, options.chart)
    return {"versions": {peer.peer: peer.version for peer in peers}, "results": summaries}


def measure(
    peers: list[PeerProcess], workloads: list[str], rounds: int, seconds: float
) -> dict[str, report.Samples]:
    """Seconds per cell for every kind of measurement."""
    results: dict[str, report.Samples] = {
        kind: {workload: {peer.peer: [] for peer in peers} for workload in workloads}
        for kind in KINDS
    }
    failed: set[tuple[str, str]] = set()
    for number in range(rounds):
        print(f"round {number + 1} of {rounds}", file=sys.stderr)
        for workload in workloads:
            for kind, rows in results.items():
                for peer, value in ask_all(
                    peers, failed, do=kind, workload=workload, seconds=seconds
                ):
                    rows[workload][peer].append(value)
    return {title: results[kind] for kind, title in KINDS.items()}


def ask_all(
    peers: list[PeerProcess], failed: set[tuple[str, str]], **request: Any
) -> Iterable[tuple[str, Any]]:
    """The answer of each peer in turn; what failed once is told once and not asked again."""
    for peer in peers:
        if (peer.peer, request["workload"]) in failed:
            continue
        try:
            yield peer.peer, peer.ask(**request)
        except RuntimeError as error:
            print(f"{request['workload']}: {error}", file=sys.stderr)
            failed.add((peer.peer, request["workload"]))


def measure_imports(peers: list[PeerProcess], rounds: int) -> report.Samples:
    """Seconds for `import`, and for NumPy's own import in the same interpreters."""
    samples: report.Samples = {"import": {}, "import numpy alone": {}}
    for _ in range(rounds):
        for peer in peers:
            seconds = time_peer_import(peer)
            samples["import"].setdefault(peer.peer, []).append(seconds)
            seconds = time_import("import numpy", peer.peer, peer.python)
            samples["import numpy alone"].setdefault(peer.peer, []).append(seconds)
    return samples
