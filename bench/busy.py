"""Training steps beside one busy process per core: against the quiet machine, and one thread.

A thread beside one busy process per core has half a core, however many threads the step uses. So
what more than one thread costs or gains there is judged against one thread in the same company.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

from bench import report
from bench.comparison import ask_all
from bench.processes import busy_neighbours, start_peers, usable_cores
from bench.workloads import WORKLOADS

GOAL_QUIET, GOAL_ONE_THREAD = 3.0, 1.2
QUIET, BUSY = "training step, quiet machine", "training step, busy machine"
ALONE = "training step, one thread, quiet machine"
ALONE_BUSY = "training step, one thread, busy machine"


def run(options: argparse.Namespace) -> dict[str, Any]:
    workloads = options.workloads or list(WORKLOADS)
    with (
        start_peers(options.peers, options.pythons) as peers,
        start_peers([report.OURS], options.pythons, threads=1) as alone,
    ):
        names = [peer.peer for peer in peers]
        results = measure(peers, alone, workloads, options.rounds, options.seconds)
    summaries = {title: report.summarize(rows) for title, rows in results.items()}
    print("\n\n".join(report.table(title, rows, names) for title, rows in summaries.items()))
    print("\n" + report.grid("busy over quiet", names, ratios(summaries, names)))
    print("\n" + goals(summaries))
    return {"versions": {peer.peer: peer.version for peer in peers}, "results": summaries}


def measure(
    peers: list[Any], alone: list[Any], workloads: list[str], rounds: int, seconds: float
) -> dict[str, report.Samples]:
    """Each workload quiet and busy in turn, so that a change of the machine meets both alike."""
    quiet, busy = ((QUIET, peers), (ALONE, alone)), ((BUSY, peers), (ALONE_BUSY, alone))
    results: dict[str, report.Samples] = {
        title: {workload: {peer.peer: [] for peer in group} for workload in workloads}
        for title, group in (*quiet, *busy)
    }
    failed: set[tuple[str, str]] = set()
    for number in range(rounds):
        print(f"round {number + 1} of {rounds}", file=sys.stderr)
        for workload in workloads:
            for groups, neighbours in ((quiet, 0), (busy, usable_cores())):
                with busy_neighbours(neighbours):
                    for title, group in groups:
                        for peer, value in ask_all(
                            group, failed, do="train", workload=workload, seconds=seconds
                        ):
                            results[title][workload][peer].append(value)
    return results


def ratios(summaries: dict[str, Any], names: list[str]) -> dict[str, list[str]]:
    """How many times as long each peer's step takes on the busy machine."""
    rows = {}
    for workload, busy in summaries[BUSY].items():
        quiet = summaries[QUIET][workload]
        rows[workload] = [
            f"{busy[name]['median'] / quiet[name]['median']:.2f}"
            if name in busy and name in quiet
            else ""
            for name in names
        ]
    return rows


def goals(summaries: dict[str, Any]) -> str:
    """Our goals: at most 3 times the quiet time, and 1.2 times what one thread takes there."""
    rows = {}
    for workload, cells in summaries[BUSY].items():
        quiet = summaries[QUIET][workload].get(report.OURS)
        alone = summaries[ALONE_BUSY][workload].get(report.OURS)
        if report.OURS not in cells or quiet is None or alone is None:
            continue
        busy = cells[report.OURS]["median"]
        over_quiet, over_alone = busy / quiet["median"], busy / alone["median"]
        rows[workload] = [
            report.verdict(over_quiet, at_most=GOAL_QUIET),
            report.verdict(over_alone, at_most=GOAL_ONE_THREAD),
        ]
    columns = [f"over quiet (goal {GOAL_QUIET})", f"over one thread, busy (goal {GOAL_ONE_THREAD})"]
    return report.grid(f"{report.OURS}, busy machine", columns, rows)
