"""From what the engine recorded to a Profile."""

from __future__ import annotations

from typing import Any

import numpy as np

from lamina import _core
from lamina.profiling.profile import Profile
from lamina.profiling.records import Buffer, Limits, OpTimes, StepTimes
from lamina.trainer.step import Step

_NANO = 1e-9
_STEP, _THREAD, _BEGIN, _END, _TEAM, _CHUNKS = range(6)  # columns of a recorded run


def measure_limits() -> Limits:
    """What the machine does at best, now."""
    found = _core.measure_limits()
    return Limits(
        threads=found["threads"],
        gflops=found["gflops_team"],
        gflops_thread=found["gflops_thread"],
        copies=tuple((size, team) for size, _, team in found["copies"]),
    )


def profile_of(model: Any, mode: str, step: Step, recording: _core.Recording) -> Profile:
    """The profile of a program's recorded runs."""
    limits = measure_limits()
    runs = recording.runs
    details = _core.step_details(step.program)
    buffers = _buffers(step, len(details))
    batch_bytes = sum(buffer.bytes for buffer in buffers if buffer.kind == "input")
    ops = _ops(details, model.name, recording.totals, runs, limits, batch_bytes)
    return Profile(
        model_name=model.name,
        mode=mode,
        inputs=tuple(_input_texts(step)),
        step=_whole_steps(runs),
        ops=ops,
        limits=limits,
        arena_bytes=step.program.arena_bytes,
        buffers=buffers,
        parameter_bytes=_bytes_of(model.weights),
        slot_bytes=_bytes_of(model.optimizer.variables) if mode == "train" else 0,
        runs=runs,
    )


def _bytes_of(variables: Any) -> int:
    return sum(variable.handle.value.to_numpy().nbytes for variable in variables)


def _input_texts(step: Step) -> list[str]:
    specs = _core.input_specs(step.program)
    return [f"{name} {spec}" for name, spec in zip(step.names, specs, strict=True)]


def _whole_steps(runs: list[np.ndarray]) -> StepTimes:
    walls = np.array([run[:, _END].max() - run[:, _BEGIN].min() for run in runs]) * _NANO
    return StepTimes(len(runs), float(np.median(walls)), float(walls.min()), float(walls.mean()))


def _ops(
    details: list[Any],
    model_name: str,
    totals: list[Any],
    runs: list[np.ndarray],
    limits: Limits,
    batch_bytes: int,
) -> list[OpTimes]:
    count = len(details)
    took, serial, busy = _by_step(runs, count + 2)
    rows = [_described(detail, model_name) for detail in details]
    rows.append(_copying("copy the batch", batch_bytes))
    rows.append(_copying("copy assigned values", 0))
    order = [count, *range(count), count + 1]  # the batch comes before everything
    ops = []
    for index in order:
        calls, total, least = totals[index]
        if calls == 0 or (index == count + 1 and took[index] < 1e-7):
            continue
        row = rows[index]
        ops.append(
            OpTimes(
                index=index,
                calls=calls,
                seconds=float(took[index]),
                best=least * _NANO,
                mean=total * _NANO / calls,
                serial=float(serial[index]),
                busy=float(busy[index]),
                limit=limits.seconds(
                    row["flops"], row["bytes_read"] + row["bytes_written"], row.pop("item")
                ),
                **row,
            )
        )
    return ops


def _copying(name: str, size: int) -> dict[str, Any]:
    return {
        "name": name, "layers": ("(batch)",), "phase": "data", "inputs": (), "outputs": (),
        "flops": 0.0, "bytes_read": size, "bytes_written": size, "item": 4,
    }  # fmt: skip


def _described(detail: Any, model_name: str) -> dict[str, Any]:
    names, origins, phase, inputs, outputs, flops, read, written = detail
    paths = [_layer_path(origin, model_name, phase) for origin in origins]
    return {
        "name": _joined(names),
        "layers": tuple(dict.fromkeys(paths)),
        "phase": phase,
        "inputs": tuple(inputs),
        "outputs": tuple(outputs),
        "flops": flops,
        "bytes_read": read,
        "bytes_written": written,
        "item": 8 if any(text.endswith("float64") for text in (*inputs, *outputs)) else 4,
    }


def _joined(names: list[str]) -> str:
    """Names in order; "multiply*3" where one follows itself."""
    groups: list[list[Any]] = []
    for name in names:
        if groups and groups[-1][0] == name:
            groups[-1][1] += 1
        else:
            groups.append([name, 1])
    return ", ".join(name if times == 1 else f"{name}*{times}" for name, times in groups)


def _layer_path(origin: str, model_name: str, phase: str) -> str:
    """The path inside the model."""
    if not origin or origin == model_name:
        return "(update)" if phase == "update" else "(step)"
    return origin.removeprefix(f"{model_name}/")


def _by_step(runs: list[np.ndarray], count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Medians over the runs, by step: seconds, those of one thread alone, those of all added."""
    took, serial, busy = (np.zeros((len(runs), count)) for _ in range(3))
    for row, run in enumerate(runs):
        caller = run[run[:, _THREAD] == 0]
        span = caller[:, _END] - caller[:, _BEGIN]
        np.add.at(took[row], caller[:, _STEP], span)
        alone = span - caller[:, _TEAM]
        np.add.at(serial[row], caller[:, _STEP], alone)
        np.add.at(busy[row], caller[:, _STEP], alone)
        np.add.at(busy[row], run[:, _STEP], run[:, _CHUNKS])
    medians = [np.median(array, axis=0) * _NANO for array in (took, serial, busy)]
    return medians[0], medians[1], medians[2]


def _buffers(step: Step, count: int) -> list[Buffer]:
    buffers = []
    for offset, size, first, last, kind in _core.placements(step.program):
        maker = first if kind != "input" and 0 <= first < count else None
        buffers.append(Buffer(offset, size, first, min(last, count), kind, maker))
    return buffers
