"""The ratios as bars: how many times as long each peer takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bench.report import OURS


def check(peers: list[str]) -> None:
    """End the program if there is nothing to draw, before anything is measured."""
    if OURS not in peers or len(peers) < 2:
        raise SystemExit(f"--chart shows peers against {OURS}; there is {', '.join(peers)}")


def draw(summaries: dict[str, Any], peers: list[str], path: Path) -> None:
    """Write one panel per table: a group of bars per workload, from the line of equal speed."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    others = [peer for peer in peers if peer != OURS]
    panels = {title: rows for title, rows in summaries.items() if not title.startswith("import")}
    figure, axes = plt.subplots(
        len(panels), 1, figsize=(12, 3.2 * len(panels)), squeeze=False, layout="constrained"
    )
    for axis, (title, rows) in zip(axes[:, 0], panels.items(), strict=True):
        _draw_panel(axis, rows, others)
        axis.set_title(title)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(others))
    figure.savefig(path, dpi=120)
    plt.close(figure)


def _draw_panel(axis: Any, rows: dict[str, Any], others: list[str]) -> None:
    width = 0.8 / len(others)
    for number, peer in enumerate(others):
        ratios = [cells.get(peer, {}).get("ratio", float("nan")) for cells in rows.values()]
        places = [i + (number + 0.5) * width - 0.4 for i in range(len(rows))]
        axis.bar(places, [ratio - 1 for ratio in ratios], width, bottom=1, label=peer, zorder=2)
    axis.axhline(1.0, color="black", linewidth=1, zorder=3)
    axis.set_yscale("log")
    axis.yaxis.set_major_formatter("{x:g}x")
    axis.grid(axis="y", color="0.85", zorder=0)
    axis.set_axisbelow(True)
    axis.margins(x=0.01)
    axis.set_xticks(range(len(rows)), list(rows), rotation=20)
    axis.set_ylabel(f"time / time of {OURS}")
