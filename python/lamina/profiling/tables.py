"""Profiles as plain text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lamina.profiling.records import LayerTimes, OpTimes

if TYPE_CHECKING:
    from lamina.profiling.profile import Profile

_LONGEST_NAME = 44


def time_text(seconds: float) -> str:
    """Seconds in the unit that fits."""
    for unit, factor in (("s", 1.0), ("ms", 1e3), ("us", 1e6)):
        if seconds * factor >= 1.0:
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds * 1e9:.0f} ns"


def bytes_text(size: float) -> str:
    """Bytes in the unit that fits."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("KB", 1e3)):
        if size >= factor:
            return f"{size / factor:.3g} {unit}"
    return f"{size:.0f} B"


def rates(times: OpTimes | LayerTimes) -> dict[str, float]:
    """What follows from times, flops and bytes."""
    return {
        "gflops": times.gflops,
        "gbytes": times.gbytes,
        "share_of_peak": times.share_of_peak,
    }


def whole(profile: Profile, depth: int, most_ops: int | None) -> str:
    """Header, layers, operations."""
    parts = [_header(profile), _layers(profile, depth), _ops(profile, most_ops), _LEGEND]
    return "\n\n".join(parts)


_LEGEND = (
    "time: median of a call.  % peak: the least time that this machine needs for the arithmetic\n"
    "or for the traffic (whichever is longer), over the time taken; above 100 where an algorithm\n"
    "saves arithmetic or data stays in the caches.  serial: share of the time in which only one\n"
    "thread had work.  Traffic counts every operand once."
)


def _header(profile: Profile) -> str:
    step, limits = profile.step, profile.limits
    arena = profile.arena
    threads = f"{limits.threads} thread{'s' if limits.threads > 1 else ''}"
    flops = sum(op.flops for op in profile.ops)
    serial = profile.serial_seconds / (profile.seconds or 1.0)
    lines = [
        f"Profile of {profile.model_name!r} ({profile.mode}): {', '.join(profile.inputs)}",
        f"step     {time_text(step.seconds)} (median of {step.count}; best "
        f"{time_text(step.best)}), {threads}, "
        f"{flops * 1e-9:.4g} GFLOP = {flops / (step.seconds or 1.0) * 1e-9:.4g} GFLOP/s; "
        f"{100 * profile.seconds / (step.seconds or 1.0):.0f} % of it in the operations below",
        f"machine  {limits.gflops:.0f} GFLOP/s float32 ({limits.gflops_thread:.0f} one thread), "
        f"copies {limits.copies[0][1]:.0f} GB/s in cache, {limits.copy_gbytes:.0f} GB/s in memory",
        f"memory   arena {bytes_text(arena['bytes'])} (without reuse "
        f"{bytes_text(arena['without_reuse'])}), parameters {bytes_text(arena['parameters'])}, "
        f"optimizer {bytes_text(arena['optimizer'])}",
    ]
    if limits.threads > 1:
        lines.append(
            f"threads  {100 * serial:.1f} % of the time serial, "
            f"{100 * _busy(profile):.0f} % of all threads' time spent working"
        )
    return "\n".join(lines)


def _busy(profile: Profile) -> float:
    available = profile.limits.threads * (profile.seconds or 1.0)
    return sum(op.busy for op in profile.ops) / available


def _layers(profile: Profile, depth: int) -> str:
    head = ["layer", "time", "share", "forward", "backward", "GFLOP", "GFLOP/s", "GB/s", "% peak"]
    rows = []
    for layer in profile.by_layer(depth):
        rows.append(
            [
                _shortened(layer.name),
                time_text(layer.seconds),
                f"{100 * layer.share:.1f} %",
                _optional_time(layer.by_phase["forward"]),
                _optional_time(layer.by_phase["backward"]),
                f"{layer.flops * 1e-9:.3g}",
                f"{layer.gflops:.3g}",
                f"{layer.gbytes:.3g}",
                f"{100 * layer.share_of_peak:.0f}",
            ]
        )
    return _aligned(head, rows, left=1)


def _ops(profile: Profile, most: int | None) -> str:
    head = [
        "operation", "layer", "phase", "time", "share", "calls", "GFLOP", "GFLOP/s", "GB/s",
        "% peak", "serial",
    ]  # fmt: skip
    ops = sorted(profile.ops, key=lambda op: -op.seconds)
    shown = ops if most is None else ops[:most]
    total = profile.seconds or 1.0
    rows = []
    for op in shown:
        serial = min(op.serial / (op.seconds or 1.0), 1.0)
        rows.append(
            [
                _shortened(op.name),
                _shortened(op.layer),
                op.phase,
                time_text(op.seconds),
                f"{100 * op.seconds / total:.1f} %",
                str(op.calls),
                f"{op.flops * 1e-9:.3g}",
                f"{op.gflops:.3g}",
                f"{op.gbytes:.3g}",
                f"{100 * op.share_of_peak:.0f}",
                f"{100 * serial:.0f} %" if profile.limits.threads > 1 else "-",
            ]
        )
    text = _aligned(head, rows, left=3)
    rest = ops[len(shown) :]
    if rest:
        seconds = sum(op.seconds for op in rest)
        text += (
            f"\n... and {len(rest)} more operations, {time_text(seconds)} together "
            f"({100 * seconds / total:.1f} %)"
        )
    return text


def _optional_time(seconds: float) -> str:
    return time_text(seconds) if seconds else "-"


def _shortened(name: str) -> str:
    """The end of a long name says more than its begin."""
    return name if len(name) <= _LONGEST_NAME else "..." + name[3 - _LONGEST_NAME :]


def _aligned(head: Sequence[str], rows: Sequence[Sequence[Any]], left: int) -> str:
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]

    def line(row: Sequence[str]) -> str:
        cells = [
            cell.ljust(width) if i < left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        return "  ".join(cells).rstrip()

    rule = "  ".join("-" * width for width in widths)
    return "\n".join([line(head), rule, *(line(row) for row in rows)])
