"""Medians, ratios, the table and the JSON file."""

from __future__ import annotations

import datetime
import math
import platform
from statistics import median
from typing import Any

Samples = dict[str, dict[str, list[float]]]  # row -> peer -> seconds, one per round

OURS = "lamina"


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    name = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            models = [line.split(":", 1)[1].strip() for line in file if "model name" in line]
        name = models[0] if models else name
    except OSError:
        pass
    return {
        "processor": name,
        "system": platform.platform(),
        "python": platform.python_version(),
        "date": datetime.date.today().isoformat(),
    }


def summarize(samples: Samples) -> dict[str, dict[str, dict[str, Any]]]:
    """Median and least of every cell, and its ratio to ours."""
    summary: dict[str, dict[str, dict[str, Any]]] = {}
    for row, by_peer in samples.items():
        ours = median(by_peer[OURS]) if by_peer.get(OURS) else None
        summary[row] = {}
        for peer, seconds in by_peer.items():
            if not seconds:
                continue
            middle = median(seconds)
            cell = {"median": middle, "min": min(seconds), "rounds": seconds}
            if ours:
                cell["ratio"] = middle / ours
            summary[row][peer] = cell
    return summary


def format_seconds(seconds: float) -> str:
    """Three digits and a unit: "1.85 µs", "12.0 ms"."""
    unit, size = next(
        ((unit, size) for unit, size in (("s", 1.0), ("ms", 1e-3)) if seconds >= size), ("µs", 1e-6)
    )
    value = seconds / size
    digits = max(0, 2 - (len(str(int(value))) - 1))
    return f"{value:.{digits}f} {unit}"


def grid(title: str, columns: list[str], rows: dict[str, list[str]]) -> str:
    """A Markdown table of texts."""
    lines = [f"| {title} | " + " | ".join(columns) + " |", "| --- |" + " ---: |" * len(columns)]
    lines += [f"| {name} | " + " | ".join(texts) + " |" for name, texts in rows.items()]
    return "\n".join(lines)


def table(title: str, summary: dict[str, dict[str, dict[str, Any]]], peers: list[str]) -> str:
    """Our time, and each peer's with how many times as long it takes."""
    rows = {row: [_cell(cells.get(peer), peer) for peer in peers] for row, cells in summary.items()}
    return grid(title, peers, rows)


def _cell(cell: dict[str, Any] | None, peer: str) -> str:
    if cell is None:
        return ""
    text = format_seconds(cell["median"])
    return text + (f" ({cell['ratio']:.3g}x)" if peer != OURS and "ratio" in cell else "")


def verdict(value: float, at_most: float = math.inf, at_least: float = -math.inf) -> str:
    """The value, and whether it meets its goal."""
    return f"{value:.3g} " + ("ok" if at_least <= value <= at_most else "**missed**")
