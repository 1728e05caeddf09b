"""A profile in Chrome's trace format, which Perfetto opens."""

from __future__ import annotations

import json
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lamina.profiling.records import Buffer, OpTimes

if TYPE_CHECKING:
    from lamina.profiling.profile import Profile

_PROCESS = 1
_MOST_STEPS = 32  # written: enough to see, and the file stays small
_STEP, _THREAD, _BEGIN, _END, _TEAM, _CHUNKS = range(6)  # columns of a recorded run


def write_trace(profile: Profile, runs: list[np.ndarray], path: Path) -> None:
    """Write the last recorded steps as a JSON file."""
    path.write_text(json.dumps(trace(profile, runs[-_MOST_STEPS:])), encoding="utf-8")


def trace(profile: Profile, runs: list[np.ndarray]) -> dict[str, Any]:
    """The trace as a JSON object: slices, one track for each thread, the arena as a counter."""
    start = min(int(run[:, _BEGIN].min()) for run in runs)
    threads = sorted({int(thread) for run in runs for thread in run[:, _THREAD]})
    events: list[dict[str, Any]] = [
        _named("process_name", 0, f"lamina: {profile.model_name} ({profile.mode})")
    ]
    for number, thread in enumerate(threads):
        name = "caller" if thread == 0 else f"team thread {number}"
        events.append(_named("thread_name", thread, name))
    ops = {op.index: op for op in profile.ops}
    alive = _alive_bytes(profile.buffers, len(profile.ops))
    for number, run in enumerate(runs):
        events += _step_events(number, run, start, ops)
        events += _arena_events(run, start, alive)
    return {
        "traceEvents": events,
        "displayTimeUnit": "ms",
        "otherData": {"model": profile.model_name, "mode": profile.mode},
    }


def _named(kind: str, thread: int, name: str) -> dict[str, Any]:
    return {"ph": "M", "pid": _PROCESS, "tid": thread, "name": kind, "args": {"name": name}}


def _slice(
    name: str, category: str, thread: int, begin: float, end: float, **args: Any
) -> dict[str, Any]:
    return {
        "ph": "X", "pid": _PROCESS, "tid": thread, "name": name, "cat": category,
        "ts": begin / 1e3, "dur": max(end - begin, 0) / 1e3, "args": args,
    }  # fmt: skip


def _step_events(
    number: int, run: np.ndarray, start: int, ops: dict[int, OpTimes]
) -> list[dict[str, Any]]:
    """A step, in it phases, in them layers, in them operations; helpers' slices beside them."""
    rows = [row for row in run.tolist() if row[_STEP] in ops]
    caller = [row for row in rows if row[_THREAD] == 0]
    if not caller:
        return []

    def span(part: list[Any]) -> tuple[int, int]:
        return part[0][_BEGIN] - start, part[-1][_END] - start

    events = [_slice(f"step {number}", "step", 0, *span(caller))]
    for phase, in_phase in groupby(caller, key=lambda row: ops[row[_STEP]].phase):
        phase_rows = list(in_phase)
        events.append(_slice(phase, "phase", 0, *span(phase_rows)))
        for layer, in_layer in groupby(phase_rows, key=lambda row: ops[row[_STEP]].layer):
            layer_rows = list(in_layer)
            events.append(_slice(layer, "layer", 0, *span(layer_rows), phase=phase))
            events += [_op_event(row, start, ops[row[_STEP]]) for row in layer_rows]
    events += [
        _slice(
            ops[row[_STEP]].name, "op", row[_THREAD], row[_BEGIN] - start, row[_END] - start,
            layer=ops[row[_STEP]].layer, busy_us=row[_CHUNKS] / 1e3,
        )
        for row in rows
        if row[_THREAD] != 0
    ]  # fmt: skip
    return events


def _op_event(row: list[int], start: int, op: OpTimes) -> dict[str, Any]:
    return _slice(
        op.name, "op", 0, row[_BEGIN] - start, row[_END] - start,
        layer=op.layer, inputs=list(op.inputs), outputs=list(op.outputs), flops=op.flops,
        bytes_read=op.bytes_read, bytes_written=op.bytes_written,
        parallel_us=row[_TEAM] / 1e3,
    )  # fmt: skip


def _alive_bytes(buffers: list[Buffer], count: int) -> list[int]:
    """Bytes in use while each operation runs."""
    change = np.zeros(count + 2, np.int64)
    for buffer in buffers:
        change[min(max(buffer.first, 0), count)] += buffer.bytes
        change[min(buffer.last, count) + 1] -= buffer.bytes
    return [int(value) for value in np.cumsum(change)]


def _arena_events(run: np.ndarray, start: int, alive: list[int]) -> list[dict[str, Any]]:
    return [
        {
            "ph": "C", "pid": _PROCESS, "tid": 0, "name": "arena",
            "ts": (row[_BEGIN] - start) / 1e3, "args": {"bytes in use": alive[row[_STEP]]},
        }
        for row in run.tolist()
        if row[_THREAD] == 0 and row[_STEP] < len(alive)
    ]  # fmt: skip
