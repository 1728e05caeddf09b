"""A profile: its numbers, and the forms it can be shown in."""

from __future__ import annotations

import dataclasses
import html
import os
from pathlib import Path
from typing import Any

import numpy as np

from lamina.profiling import tables
from lamina.profiling.records import (
    Buffer,
    LayerTimes,
    Limits,
    OpTimes,
    StepTimes,
    group_layers,
)


class Profile:
    """Where the time of a step goes. `lamina.profile` and `fit(..., profile=...)` make it.

    Print it for a table; in a notebook it shows itself.

    Attributes:
        model_name: of the profiled model.
        mode: "train" or "predict".
        inputs: what one batch consists of.
        step: StepTimes of whole steps.
        ops: OpTimes of each operation, in the order in which they run.
        limits: Limits of the machine, measured just after.
        arena_bytes: memory of one running step, without parameters.
        buffers: Buffer records: the map of the arena.
        parameter_bytes, slot_bytes: memory of the model's weights and of the optimizer's state.
    """

    def __init__(
        self,
        model_name: str,
        mode: str,
        inputs: tuple[str, ...],
        step: StepTimes,
        ops: list[OpTimes],
        limits: Limits,
        arena_bytes: int,
        buffers: list[Buffer],
        parameter_bytes: int,
        slot_bytes: int,
        runs: list[np.ndarray],
    ) -> None:
        self.model_name, self.mode, self.inputs, self.step = model_name, mode, inputs, step
        self.ops, self.limits = ops, limits
        self.arena_bytes, self.buffers = arena_bytes, buffers
        self.parameter_bytes, self.slot_bytes = parameter_bytes, slot_bytes
        self._runs = runs

    @property
    def layers(self) -> list[LayerTimes]:
        """The operations by layer of the model."""
        return self.by_layer()

    def by_layer(self, depth: int = 1) -> list[LayerTimes]:
        """The operations by layer; with a greater depth layers inside layers stand alone.

        Raises:
            ValueError: for a depth below 1.
        """
        if not isinstance(depth, int) or depth < 1:
            raise ValueError(f"Profile: depth must be a whole number >= 1. Got {depth!r}.")
        return group_layers(self.ops, depth)

    @property
    def seconds(self) -> float:
        """All operations of a step together."""
        return sum(op.seconds for op in self.ops)

    @property
    def serial_seconds(self) -> float:
        """Seconds of a step in which only one thread can have worked."""
        return sum(op.serial for op in self.ops)

    @property
    def arena(self) -> dict[str, Any]:
        """The memory of a step in bytes, and the map of its arena.

        Keys: "bytes" (the arena), "without_reuse" (if no buffers shared memory), "parameters",
        "optimizer", and "buffers".
        """
        return {
            "bytes": self.arena_bytes,
            "without_reuse": sum(buffer.bytes for buffer in self.buffers),
            "parameters": self.parameter_bytes,
            "optimizer": self.slot_bytes,
            "buffers": self.buffers,
        }

    # ---- forms

    def table(self, depth: int = 1, most_ops: int | None = 40) -> str:
        """The profile as text: the step, the layers, the operations that take longest.

        Args:
            depth: parts of a layer's path that make a row.
            most_ops: operations that are listed; None: all.
        """
        return tables.whole(self, depth, most_ops)

    def __str__(self) -> str:
        return self.table()

    def __repr__(self) -> str:
        return (
            f"<Profile of {self.model_name!r} ({self.mode}): {len(self.ops)} operations, "
            f"{tables.time_text(self.step.seconds)} a step>"
        )

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(self.table(most_ops=20))}</pre>"

    def to_dict(self) -> dict[str, Any]:
        """All numbers, in a form that JSON can hold."""
        return {
            "model": self.model_name,
            "mode": self.mode,
            "inputs": list(self.inputs),
            "step": dataclasses.asdict(self.step),
            "limits": dataclasses.asdict(self.limits),
            "layers": [dataclasses.asdict(layer) | tables.rates(layer) for layer in self.layers],
            "ops": [
                dataclasses.asdict(op) | {"layers": list(op.layers)} | tables.rates(op)
                for op in self.ops
            ],
            "arena": self.arena
            | {"buffers": [dataclasses.asdict(buffer) for buffer in self.buffers]},
        }

    def save_trace(self, path: str | os.PathLike[str]) -> None:
        """Write the recorded steps in Chrome's trace format; https://ui.perfetto.dev opens it."""
        from lamina.profiling.trace import write_trace

        write_trace(self, self._runs, Path(path))

    def plot(self, path: str | os.PathLike[str] | None = None) -> Any:
        """Draw layers, operations against the machine's limits, and the map of the arena.

        Args:
            path: file to write, for example "profile.png"; None: only the figure is returned.

        Returns:
            The matplotlib Figure.

        Raises:
            ImportError: without matplotlib.
        """
        from lamina.profiling.plot import draw

        figure = draw(self)
        if path is not None:
            figure.savefig(path, dpi=110)
        return figure

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write table.txt, trace.json and, where matplotlib is installed, profile.png."""
        from lamina.profiling.plot import can_draw

        out = Path(folder)
        out.mkdir(parents=True, exist_ok=True)
        (out / "table.txt").write_text(self.table(most_ops=None) + "\n", encoding="utf-8")
        self.save_trace(out / "trace.json")
        if can_draw():
            self.plot(out / "profile.png")
