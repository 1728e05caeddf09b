"""A profile as a picture: layers, operations against the machine's limits, map of the arena."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any

import numpy as np

from lamina.profiling.records import PHASES, LayerTimes, OpTimes
from lamina.profiling.tables import bytes_text, time_text

if TYPE_CHECKING:
    from lamina.profiling.profile import Profile

_COLORS = {
    "data": "#9aa5b1",
    "forward": "#2f6fb5",
    "backward": "#e08a2e",
    "update": "#3f9b6c",
    "scratch": "#c9ced6",
    "input": "#8e6bb0",
}
_TEXT, _FAINT = "#222b36", "#6b7785"
_MOST_LAYERS = 24
_MOST_LABELS = 7


def can_draw() -> bool:
    """Whether matplotlib is installed."""
    return importlib.util.find_spec("matplotlib") is not None


def draw(profile: Profile) -> Any:
    """The figure.

    Raises:
        ImportError: without matplotlib.
    """
    if not can_draw():
        raise ImportError("Profile.plot needs matplotlib: pip install matplotlib")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    layers = _shown_layers(profile.layers)
    bars = 0.31 * len(layers) + 1.4
    figure = Figure(figsize=(13, bars + 9.6), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(3, 1, height_ratios=[bars, 4.6, 4.2], hspace=0.05)
    threads = f"{profile.limits.threads} thread{'s' if profile.limits.threads > 1 else ''}"
    figure.suptitle(
        f"{profile.model_name} ({profile.mode}): {time_text(profile.step.seconds)} a step, "
        f"{threads}; {', '.join(profile.inputs)}",
        fontsize=13.5, fontweight="bold", color=_TEXT, x=0.01, ha="left",
    )  # fmt: skip
    _draw_layers(figure.add_subplot(grid[0]), layers)
    _draw_roofline(figure.add_subplot(grid[1]), profile)
    _draw_arena(figure.add_subplot(grid[2]), profile)
    return figure


def _plain(axis: Any, title: str) -> None:
    axis.set_title(title, loc="left", fontsize=11.5, color=_TEXT, pad=8)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axis.spines[side].set_color("#c5ccd4")
    axis.tick_params(colors=_FAINT, labelsize=9)
    axis.xaxis.label.set_color(_FAINT)
    axis.yaxis.label.set_color(_FAINT)


# ---- layers


def _shown_layers(layers: list[LayerTimes]) -> list[LayerTimes]:
    """The layers in model order; those that take least become one row when there are many."""
    if len(layers) <= _MOST_LAYERS:
        return layers
    least = sorted(layers, key=lambda layer: layer.seconds)[: len(layers) - _MOST_LAYERS + 1]
    kept = [layer for layer in layers if layer not in least]
    rest = LayerTimes(
        name=f"{len(least)} other layers",
        seconds=sum(layer.seconds for layer in least),
        by_phase={phase: sum(layer.by_phase[phase] for layer in least) for phase in PHASES},
        share=sum(layer.share for layer in least),
        flops=sum(layer.flops for layer in least),
        bytes=sum(layer.bytes for layer in least),
        limit=sum(layer.limit for layer in least),
        ops=sum(layer.ops for layer in least),
    )
    return [*kept, rest]


def _draw_layers(axis: Any, layers: list[LayerTimes]) -> None:
    _plain(axis, "Time by layer, and the least this machine needs for the work (white line)")
    places = np.arange(len(layers))
    unit, factor = _unit(max(layer.seconds for layer in layers))
    left = np.zeros(len(layers))
    for phase in PHASES:
        widths = np.array([layer.by_phase[phase] for layer in layers]) * factor
        if widths.any():
            axis.barh(places, widths, 0.72, left, color=_COLORS[phase], label=phase)
        left += widths
    longest = left.max()
    for place, layer, width in zip(places, layers, left, strict=True):
        limit = min(layer.limit * factor, width)
        if limit > 0.004 * longest:
            axis.plot([limit, limit], [place - 0.36, place + 0.36], color="white", linewidth=2)
        text = f"{time_text(layer.seconds)} · {100 * layer.share:.1f} %"
        if layer.limit:
            text += f" · {100 * layer.share_of_peak:.0f} % of peak"
        axis.text(width + 0.008 * longest, place, text, va="center", fontsize=8.5, color=_FAINT)
    axis.set_yticks(places, [layer.name for layer in layers])
    axis.tick_params(axis="y", length=0, labelcolor=_TEXT)
    axis.set_ylim(len(layers) - 0.4, -0.6)
    axis.set_xlim(0, longest * 1.24)
    axis.set_xlabel(unit)
    axis.legend(loc="lower right", frameon=False, fontsize=9.5, labelcolor=_TEXT)


def _unit(seconds: float) -> tuple[str, float]:
    if seconds >= 1.0:
        return "seconds", 1.0
    return ("milliseconds", 1e3) if seconds >= 1e-3 else ("microseconds", 1e6)


# ---- operations against the limits


def _draw_roofline(axis: Any, profile: Profile) -> None:
    _plain(axis, "Operations against the limits of the machine (area: time)")
    limits = profile.limits
    ops = [op for op in profile.ops if op.flops and op.bytes and op.seconds]
    longest = max((op.seconds for op in ops), default=1.0)
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.set_xlabel("floating point operations a byte of traffic")
    axis.set_ylabel("GFLOP/s")
    intensity = [op.flops / op.bytes for op in ops] or [1.0]
    shown = [op.gflops for op in ops if op.seconds > 0.002 * longest] or [1.0]
    low, high = min(*intensity, 0.05) / 1.5, max(*intensity, 100.0) * 1.5
    bottom, top = max(min(shown) / 2, limits.gflops * 1e-5), max(2 * max(shown), limits.gflops * 3)
    axis.set_xlim(low, high)
    axis.set_ylim(bottom, top)
    _draw_limits(axis, profile, low, high)
    for phase in PHASES:
        part = [op for op in ops if op.phase == phase]
        axis.scatter(
            [op.flops / op.bytes for op in part], [op.gflops for op in part],
            s=[14 + 700 * op.seconds / longest for op in part],
            color=_COLORS[phase], alpha=0.6, linewidths=0.8, edgecolors="white", zorder=3,
        )  # fmt: skip
    _label_ops(axis, ops, np.log10(high))


def _draw_limits(axis: Any, profile: Profile, low: float, high: float) -> None:
    limits = profile.limits
    speeds = ((limits.copies[0][1], "in cache", ":"), (limits.copy_gbytes, "in memory", "-"))
    for speed, name, style in speeds:
        ends = np.array([low, max(limits.gflops / speed, low), high])
        axis.plot(ends, np.minimum(ends * speed, limits.gflops), style, color=_FAINT, linewidth=1.3)
        at = 0.55 * limits.gflops / speed  # left of where the line meets the other limit
        axis.annotate(
            f"copies {name}: {speed:.0f} GB/s", (at, at * speed), xytext=(-6, 4),
            textcoords="offset points", ha="right", fontsize=8.5, color=_FAINT,
        )  # fmt: skip
    axis.text(
        high, limits.gflops * 1.75, f"multiply-adds: {limits.gflops:.0f} GFLOP/s",
        ha="right", va="center", fontsize=8.5, color=_FAINT,
    )  # fmt: skip


def _label_ops(axis: Any, ops: list[OpTimes], right: float) -> None:
    """Names of those that take longest, where they do not cover one another."""
    taken: list[tuple[float, float]] = []
    for op in sorted(ops, key=lambda op: -op.seconds):
        x, y = float(np.log10(op.flops / op.bytes)), float(np.log10(op.gflops))
        if any(abs(x - a) < 0.75 and abs(y - b) < 0.2 for a, b in taken):
            continue
        taken.append((x, y))
        at_edge = right - x < 1.2
        axis.annotate(
            f"{op.name.split(', ')[0]} · {op.layer.split(' & ')[0]}", (10**x, 10**y),
            xytext=(4, -20) if at_edge else (9, -3), textcoords="offset points",
            ha="right" if at_edge else "left", fontsize=8, color=_TEXT, zorder=4,
        )  # fmt: skip
        if len(taken) == _MOST_LABELS:
            return


# ---- the arena


def _draw_arena(axis: Any, profile: Profile) -> None:
    arena = profile.arena
    _plain(
        axis,
        f"Arena: {bytes_text(arena['bytes'])} instead of "
        f"{bytes_text(arena['without_reuse'])} without reuse; beside it parameters "
        f"{bytes_text(arena['parameters'])}, optimizer {bytes_text(arena['optimizer'])}",
    )
    from matplotlib.collections import PatchCollection
    from matplotlib.patches import Rectangle

    makers = {op.index: op for op in profile.ops if op.phase != "data"}
    count = max(makers, default=0) + 1
    scale, unit = (1e6, "MB") if profile.arena_bytes >= 1e6 else (1e3, "KB")
    kinds: dict[str, list[Any]] = {}
    for buffer in profile.buffers:
        maker = makers.get(buffer.maker) if buffer.maker is not None else None
        kind = "update" if buffer.kind == "value" else buffer.kind
        if buffer.kind == "value" and maker is not None:
            kind = maker.phase
        first, last = max(buffer.first, -1), min(buffer.last, count)
        place = (first, buffer.offset / scale)
        width, height = last - first + 1, buffer.bytes / scale
        kinds.setdefault(kind, []).append(Rectangle(place, width, height))
        is_large = height > 0.045 * profile.arena_bytes / scale and width > 0.17 * count
        if maker is not None and is_large:
            axis.text(
                place[0] + width / 2, place[1] + height / 2, f"{maker.layer} · {maker.name}",
                ha="center", va="center", fontsize=8, color="white", zorder=3, clip_on=True,
            )  # fmt: skip
    for kind in (*PHASES, "scratch", "input"):
        if kind in kinds:
            boxes = PatchCollection(
                kinds[kind], facecolor=_COLORS[kind], edgecolor="white", linewidth=0.5, alpha=0.88
            )
            axis.add_collection(boxes)
            axis.plot([], [], "s", color=_COLORS[kind], label=kind)
    axis.set_xlim(-1, count + 1)
    axis.set_ylim(0, max(profile.arena_bytes / scale, 1e-9))
    axis.set_xlabel("operation of the step, in order")
    axis.set_ylabel(f"{unit} from the arena's begin")
    if kinds:
        axis.legend(
            loc="upper right", frameon=True, framealpha=0.9, edgecolor="white", fontsize=9,
            labelcolor=_TEXT,
        )  # fmt: skip
