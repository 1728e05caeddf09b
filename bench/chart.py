"""The ratios as bars: how many times as long each peer takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bench.report import OURS


def draw(summaries: dict[str, Any], peers: list[str], path: Path) -> None:
    """Write one panel per table: groups of bars, a logarithmic axis, a line at equal speed."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    panels = {title: rows for title, rows in summaries.items() if not title.startswith("import")}
    others = [peer for peer in peers if peer != OURS]
    figure, axes = plt.subplots(
        len(panels), 1, figsize=(12, 3.4 * len(panels)), squeeze=False, layout="constrained"
    )
    width = 0.8 / max(1, len(others))
    for axis, (title, rows) in zip(axes[:, 0], panels.items(), strict=True):
        for number, peer in enumerate(others):
            ratios = [cells.get(peer, {}).get("ratio", float("nan")) for cells in rows.values()]
            places = [i + (number + 0.5) * width - 0.4 for i in range(len(rows))]
            axis.bar(places, ratios, width, label=peer)
        axis.axhline(1.0, color="black", linewidth=1)
        axis.set_yscale("log")
        axis.set_xticks(range(len(rows)), list(rows), rotation=20)
        axis.set_ylabel(f"time / time of {OURS}")
        axis.set_title(title)
    axes[0, 0].legend(ncols=len(others), fontsize="small")
    figure.savefig(path, dpi=120)
    plt.close(figure)
