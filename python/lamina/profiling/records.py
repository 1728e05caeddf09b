"""What a profile consists of: operations, layers, buffers, and the limits of the machine."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

PHASES = ("data", "forward", "backward", "update")


@dataclass(frozen=True)
class Limits:
    """What this machine did at best, measured beside the profile.

    Attributes:
        threads: threads of the engine.
        gflops: float32 multiply-adds on registers alone, of all threads, GFLOP/s.
        gflops_thread: the same of one thread.
        copies: by size (bytes read and written): copying speed of all threads, GB/s.
    """

    threads: int
    gflops: float
    gflops_thread: float
    copies: tuple[tuple[int, float], ...]

    @property
    def copy_gbytes(self) -> float:
        """Copying speed of what fits no cache, GB/s."""
        return self.copies[-1][1]

    def copy_gbytes_of(self, size: float) -> float:
        """Copying speed for so many bytes: what fits a cache is copied faster."""
        if size <= self.copies[0][0]:
            return self.copies[0][1]
        for (small, fast), (large, slow) in zip(self.copies, self.copies[1:], strict=False):
            if size <= large:
                share = math.log(size / small) / math.log(large / small)
                return fast + share * (slow - fast)
        return self.copy_gbytes

    def seconds(self, flops: float, size: float, item: int = 4) -> float:
        """The least time for so much arithmetic and traffic. `item`: bytes of a number."""
        peak = self.gflops * 4 / max(item, 4)
        return max(flops / (peak * 1e9), size / (self.copy_gbytes_of(size) * 1e9) if size else 0.0)


@dataclass(frozen=True)
class OpTimes:
    """One operation of the step, as it runs (it may be several of the model's, joined).

    Attributes:
        index: position in the step.
        name: the engine's names, "conv+relu" where an activation is part of another operation,
            "add, relu" where neighbours run tile by tile.
        layers: paths of the layers that it belongs to, usually one.
        phase: "forward", "backward", "update", or "data" for copying a batch.
        inputs, outputs: shapes and dtypes.
        flops, bytes_read, bytes_written: of one call; traffic as if everything was touched once.
        calls: how often it ran while it was watched.
        seconds: of one call, the median.
        best, mean: the least and the mean time of a call.
        serial: seconds of a call in which only one thread had work.
        busy: seconds of a call that all threads together worked.
        limit: the least seconds that this machine needs for the arithmetic and the traffic.
    """

    index: int
    name: str
    layers: tuple[str, ...]
    phase: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    flops: float
    bytes_read: int
    bytes_written: int
    calls: int
    seconds: float
    best: float
    mean: float
    serial: float
    busy: float
    limit: float

    @property
    def layer(self) -> str:
        """The layers' paths as one text."""
        return " & ".join(self.layers)

    @property
    def bytes(self) -> int:
        """Bytes read and written."""
        return self.bytes_read + self.bytes_written

    @property
    def gflops(self) -> float:
        """GFLOP/s."""
        return _rate(self.flops, self.seconds)

    @property
    def gbytes(self) -> float:
        """GB/s."""
        return _rate(self.bytes, self.seconds)

    @property
    def share_of_peak(self) -> float:
        """The least possible time over the time taken; above 1 where a trick saves work."""
        return self.limit / self.seconds if self.seconds else 0.0


@dataclass(frozen=True)
class LayerTimes:
    """The operations of one layer together. An operation of two layers counts half for each."""

    name: str
    seconds: float
    by_phase: dict[str, float]
    share: float
    flops: float
    bytes: float
    limit: float
    ops: int

    @property
    def gflops(self) -> float:
        """GFLOP/s."""
        return _rate(self.flops, self.seconds)

    @property
    def gbytes(self) -> float:
        """GB/s."""
        return _rate(self.bytes, self.seconds)

    @property
    def share_of_peak(self) -> float:
        """The least possible time over the time taken."""
        return self.limit / self.seconds if self.seconds else 0.0


@dataclass(frozen=True)
class Buffer:
    """A piece of the arena: where it lies, and from which step to which it is needed.

    Attributes:
        kind: "input", "value" or "scratch".
        first, last: positions in the step; -1 is before the first operation.
        maker: position of the operation that it belongs to; None for inputs.
    """

    offset: int
    bytes: int
    first: int
    last: int
    kind: str
    maker: int | None


@dataclass(frozen=True)
class StepTimes:
    """Whole steps: from the first operation's begin to the last one's end."""

    count: int
    seconds: float
    best: float
    mean: float


def _rate(amount: float, seconds: float) -> float:
    return amount / seconds * 1e-9 if seconds else 0.0


def group_layers(ops: Sequence[OpTimes], depth: int) -> list[LayerTimes]:
    """Sums by the first `depth` parts of the layers' paths, in the order of first appearance."""
    sums: dict[str, dict[str, Any]] = {}
    total = sum(op.seconds for op in ops) or 1.0
    for op in ops:
        for path in op.layers:
            name = "/".join(path.split("/")[:depth])
            entry = sums.setdefault(
                name,
                {"by_phase": dict.fromkeys(PHASES, 0.0), "flops": 0.0, "bytes": 0.0,
                 "limit": 0.0, "ops": 0},
            )  # fmt: skip
            part = 1.0 / len(op.layers)
            entry["by_phase"][op.phase] += op.seconds * part
            entry["flops"] += op.flops * part
            entry["bytes"] += op.bytes * part
            entry["limit"] += op.limit * part
            entry["ops"] += 1
    layers = []
    for name, entry in sums.items():
        seconds = sum(entry["by_phase"].values())
        layers.append(LayerTimes(name=name, seconds=seconds, share=seconds / total, **entry))
    return layers
