"""`python -m bench`: every workload on every installed peer, in interleaved rounds.

Each peer lives in a process of its own. A round asks every peer for one measurement of every
workload, one after the other, so that a change of the machine's speed meets all alike; the table
shows medians over the rounds.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from bench import chart, report
from bench.peers import MODULES
from bench.processes import (
    PeerProcess,
    busy_neighbours,
    start_peers,
    time_import,
    time_peer_import,
    usable_cores,
)
from bench.workloads import WORKLOADS

# What a worker is asked to do -> title of the table.
KINDS = {
    "train": "training step",
    "predict row": "predict one row",
    "call row": "direct call, one row",
    "predict all": "bulk predict, per row",
}


def main() -> int:
    options = parse_arguments()
    pythons = dict(entry.split("=", 1) for entry in options.python)
    with start_peers(options.peers, pythons) as peers:
        names = [peer.peer for peer in peers]
        for peer in peers:
            print(f"{peer.peer}: {peer.version}", file=sys.stderr)
        results = measure(peers, options.workloads, options.rounds, options.seconds)
        if options.busy:
            with busy_neighbours(usable_cores()):
                busy = measure(peers, options.workloads, options.rounds, options.seconds)
            results.update({f"{kind}, busy machine": rows for kind, rows in busy.items()})
        results["import"] = measure_imports(peers, options.rounds)
    summaries = {kind: report.summarize(rows) for kind, rows in results.items()}
    text = "\n\n".join(report.table(kind, rows, names) for kind, rows in summaries.items())
    if options.busy:
        text += "\n\n" + busy_ratios(summaries)
    print(text)
    versions = {peer.peer: peer.version for peer in peers}
    content = {"machine": report.machine(), "versions": versions, "results": summaries}
    options.out.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    if options.chart:
        chart.draw(summaries, names, options.chart)
    return 0


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__.split("\n")[0])
    parser.add_argument("--workloads", nargs="+", choices=WORKLOADS, default=list(WORKLOADS))
    parser.add_argument("--peers", nargs="+", choices=MODULES, default=list(MODULES))
    parser.add_argument("--rounds", type=int, default=7, help="measurements per cell (7)")
    parser.add_argument("--seconds", type=float, default=0.5, help="of each measurement (0.5)")
    parser.add_argument("--quick", action="store_true", help="3 rounds of 0.1 s")
    parser.add_argument(
        "--busy", action="store_true", help="again with one busy process per core beside"
    )
    parser.add_argument(
        "--python",
        nargs="+",
        default=[],
        metavar="PEER=PATH",
        help="interpreter that has a peer, when it is not this one",
    )
    parser.add_argument("--out", type=Path, default=Path("bench.json"), help="JSON file to write")
    parser.add_argument(
        "--chart", type=Path, help="bar chart to draw, .svg or .png (needs matplotlib)"
    )
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.seconds = 3, 0.1
    return options


def measure(
    peers: list[PeerProcess], workloads: list[str], rounds: int, seconds: float
) -> dict[str, report.Samples]:
    """Seconds per cell for every kind of measurement."""
    names = [peer.peer for peer in peers]
    results: dict[str, report.Samples] = {
        kind: {workload: {name: [] for name in names} for workload in workloads} for kind in KINDS
    }
    failed: set[tuple[str, str]] = set()
    for number in range(rounds):
        print(f"round {number + 1} of {rounds}", file=sys.stderr)
        for workload in workloads:
            for kind, rows in results.items():
                for peer in peers:
                    if (peer.peer, workload) in failed:
                        continue
                    try:
                        value = peer.ask(do=kind, workload=workload, seconds=seconds)
                        rows[workload][peer.peer].append(value)
                    except RuntimeError as error:
                        print(f"{workload}: {error}", file=sys.stderr)
                        failed.add((peer.peer, workload))
    return {title: results[kind] for kind, title in KINDS.items()}


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


def busy_ratios(summaries: dict[str, dict[str, dict[str, dict[str, Any]]]]) -> str:
    """How many times as long our steps take on the busy machine."""
    quiet, busy = summaries["training step"], summaries["training step, busy machine"]
    ratios = {
        workload: busy[workload][report.OURS]["median"] / quiet[workload][report.OURS]["median"]
        for workload in quiet
        if report.OURS in quiet[workload] and report.OURS in busy[workload]
    }
    texts = (f"{workload} {ratio:.2f}" for workload, ratio in ratios.items())
    return f"{report.OURS}, busy machine over quiet machine: " + ", ".join(texts)


if __name__ == "__main__":
    sys.exit(main())
