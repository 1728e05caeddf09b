"""Running a model with its steps timed."""

from __future__ import annotations

from typing import Any

import numpy as np

from lamina import _core, structure
from lamina.profiling.options import ProfileOptions, options_of
from lamina.profiling.profile import Profile
from lamina.profiling.reading import profile_of
from lamina.trainer.arguments import optional_whole
from lamina.trainer.data import ArraySource, is_stream, leaves, source_of
from lamina.trainer.step import Step

_MODES = ("train", "predict")
_WARM_UP = 3  # steps that are run before any is timed
_MOST_KEPT = 256  # steps of which every time is kept


def profile(
    model: Any,
    x: Any = None,
    y: Any = None,
    batch_size: int = 32,
    steps: int = 20,
    mode: str | None = None,
) -> Profile:
    """See `lamina.profile`."""
    _check(model, x, y, batch_size, steps, mode)
    brings_labels = x is not None and (y is not None or is_stream(x))
    mode = mode or ("train" if brings_labels else "predict")
    if mode == "train":
        _check_training(model, x, y)
    parts = _batch(model, x, y, batch_size, mode)
    step = model._step(mode, parts)
    columns = leaves(parts)
    step.check_ids(columns, "profile()")
    with _KeptState(model, step):
        _repeat(step, columns, _WARM_UP)
        recording = _core.record(step.program, min(steps, _MOST_KEPT))
        try:
            _repeat(step, columns, steps)
        finally:
            _core.stop_recording(step.program)
    return profile_of(model, mode, step, recording)


def _check(model: Any, x: Any, y: Any, batch_size: Any, steps: Any, mode: Any) -> None:
    if not hasattr(model, "_step"):
        raise TypeError(f"profile(): model must be a lamina Model. Got {model!r}.")
    if mode is not None and mode not in _MODES:
        raise ValueError(f"profile(): mode must be 'train' or 'predict'. Got {mode!r}.")
    optional_whole("profile()", "batch_size", batch_size)
    optional_whole("profile()", "steps", steps)
    if model.run_eagerly:
        raise ValueError(
            "profile(): the model runs eagerly, so there is no step to time. Compile it with "
            "run_eagerly=False."
        )
    if x is None and y is not None:
        raise ValueError("profile(): y is given without x.")


def _check_training(model: Any, x: Any, y: Any) -> None:
    if not model.compiled:
        raise ValueError(
            "profile(): the model is not compiled. Call compile(optimizer, loss) first, or use "
            "mode='predict'."
        )
    if x is None:
        raise ValueError("profile(): mode='train' needs x and y.")


def _batch(model: Any, x: Any, y: Any, batch_size: int, mode: str) -> tuple[Any, ...]:
    """One batch (x, y, sample_weight); of x alone for predictions."""
    if x is None:
        x = _zeros_for(model, batch_size)
    source = source_of(x, y, batch_size=batch_size, who="profile()")
    parts: tuple[Any, ...]
    if isinstance(source, ArraySource):
        if source.rows == 0:
            raise ValueError("profile(): x has no rows.")
        parts = source.batch_of(min(batch_size, source.rows))
    else:
        parts = source.first()
    return parts[:1] if mode == "predict" else parts


def _zeros_for(model: Any, batch_size: int) -> Any:
    try:
        inputs = model.input
    except (AttributeError, ValueError):
        raise ValueError(
            "profile(): x is needed: the shapes of this model's inputs are known from data only."
        ) from None
    for leaf in structure.flatten(inputs):
        if None in leaf.shape[1:]:
            raise ValueError(
                f"profile(): x is needed: the model takes inputs of shape {leaf.shape}, in which "
                "sizes are open."
            )
    return structure.map_structure(
        lambda leaf: np.zeros((batch_size, *leaf.shape[1:]), leaf.dtype), inputs
    )


def _repeat(step: Step, columns: list[np.ndarray], times: int) -> None:
    """Run the step on the same batch, the way `fit` does it."""
    rows = len(columns[0])
    is_whole = all(column.ndim and len(column) == rows for column in columns)
    for _ in range(times):
        if is_whole:
            _core.run_epoch(step.program, None, columns, rows, rows)  # type: ignore[arg-type]
        else:  # a batch made in Python, whose parts need not have the same rows
            step.program(columns)


class _KeptState:
    """What the step changes has its old values again afterwards."""

    def __init__(self, model: Any, step: Step) -> None:
        variables = {id(v): v for v in (*step.tracer.read_variables(), *step.tracer.assigned)}
        variables |= {id(v): v for v in model.variables}
        self._variables = list(variables.values())

    def __enter__(self) -> None:
        self._values = [variable.handle.value.clone() for variable in self._variables]

    def __exit__(self, *_: Any) -> None:
        for variable, value in zip(self._variables, self._values, strict=True):
            variable.handle.assign(value)


class FitProfiler:
    """Times the training steps of one fit."""

    def __init__(self, model: Any, options: ProfileOptions) -> None:
        if model.run_eagerly:
            raise ValueError(
                "fit(): profile needs traced steps, but the model runs eagerly. Compile it with "
                "run_eagerly=False."
            )
        self._model, self._options = model, options
        self._watched: dict[int, tuple[Step, _core.Recording]] = {}

    def watch(self, step: Step) -> None:
        """Time this program from now on."""
        if id(step) not in self._watched:
            recording = _core.record(step.program, self._options.steps)
            self._watched[id(step)] = (step, recording)

    def stop(self) -> None:
        for step, _ in self._watched.values():
            _core.stop_recording(step.program)

    def finish(self) -> Profile | None:
        """The profile of the kind of step that ran most often; None if none ran."""
        if not self._watched:
            return None

        def count(watched: tuple[Step, _core.Recording]) -> int:
            return max((row[0] for row in watched[1].totals), default=0)

        step, recording = max(self._watched.values(), key=count)
        if not recording.runs:
            return None
        return profile_of(self._model, "train", step, recording)


def fit_profiled(model: Any, loop: Any, wanted: Any, *how: Any) -> Any:
    """Run a loop of `fit` with its steps timed; print or write the profile.

    Args:
        wanted: the argument `profile` of fit.
        how: arguments of `loop.fit`.

    Returns:
        The History, with the Profile as its attribute `profile`.
    """
    options = options_of(wanted)
    if options is None:
        return loop.fit(*how)
    profiler = loop.profiler = FitProfiler(model, options)
    try:
        history = loop.fit(*how)
    finally:
        profiler.stop()
    history.profile = found = profiler.finish()
    if found is not None:
        if options.path is None:
            print(found)
        else:
            found.save(options.path)
    return history
