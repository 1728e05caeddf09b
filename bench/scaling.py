"""Time against the size of the work: rows of a batch, steps of a series, depth of a model."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from bench import report
from bench.comparison import ask_all
from bench.processes import start_peers
from bench.workloads import deep

BATCHES = (32, 128, 512, 2048, 4096)
ROWS = 4096
# Those whose activations of the largest batch fit into a small machine's memory.
BY_BATCH = ("mlp_big", "autoencoder", "tabular", "cnn_seed", "lstm_seed", "gru_stack")
GOAL = 1.1  # the largest batch's time for a row over the smallest's


def run(options: argparse.Namespace) -> dict[str, Any]:
    workloads = options.workloads or list(BY_BATCH)
    with start_peers(options.peers, options.pythons) as peers:
        names = [peer.peer for peer in peers]
        tables = {
            f"{workload}, time of a row": {
                f"batches of {batch}": {
                    "do": "train batches", "workload": workload, "batch": batch, "rows": ROWS
                }
                for batch in BATCHES
            }
            for workload in workloads
        }  # fmt: skip
        for layer in ("LSTM", "GRU"):
            tables[f"{layer}, training step"] = {
                f"{steps} steps": {"do": "train", "workload": deep.RECURRENT[layer, steps].name}
                for steps in deep.LENGTHS
            }
        tables["stack of Dense layers, model and first step"] = {
            f"{depth} layers": {"do": "first step", "workload": stack.name}
            for depth, stack in deep.STACKS.items()
        }
        samples = measure(peers, tables, options.rounds, options.seconds)
    summaries = {title: report.summarize(rows) for title, rows in samples.items()}
    print("\n\n".join(report.table(title, rows, names) for title, rows in summaries.items()))
    print("\n" + growth(summaries))
    return {"versions": {peer.peer: peer.version for peer in peers}, "results": summaries}


def measure(
    peers: list[Any], tables: dict[str, dict[str, dict[str, Any]]], rounds: int, seconds: float
) -> dict[str, report.Samples]:
    """Seconds per cell of each table; a row of a table is a request."""
    samples: dict[str, report.Samples] = {
        title: {row: {peer.peer: [] for peer in peers} for row in rows}
        for title, rows in tables.items()
    }
    failed: set[tuple[str, str]] = set()
    for number in range(rounds):
        print(f"round {number + 1} of {rounds}", file=sys.stderr)
        for title, rows in tables.items():
            for row, request in rows.items():
                for peer, value in ask_all(peers, failed, seconds=seconds, **request):
                    samples[title][row][peer].append(value)
    return samples


def growth(summaries: dict[str, Any]) -> str:
    """How our time grows from the first row of a table to the last, for the same work."""
    rows = {}
    for title, summary in summaries.items():
        first, last = ((row, cells.get(report.OURS)) for row, cells in _ends(summary))
        if first[1] is None or last[1] is None:
            continue
        work = 1.0 if "row" in title else _number(last[0]) / _number(first[0])
        factor = last[1]["median"] / first[1]["median"] / work
        rows[title] = [f"{first[0]} to {last[0]}", report.verdict(factor, at_most=GOAL)]
    return report.grid(
        f"{report.OURS}: growth of the time for the same work", ["", "goal 1.1"], rows
    )


def _ends(summary: dict[str, Any]) -> list[tuple[str, Any]]:
    rows = list(summary.items())
    return [rows[0], rows[-1]]


def _number(text: str) -> float:
    return float(next(word for word in text.split() if word.isdigit()))
