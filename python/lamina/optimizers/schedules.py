"""Learning rates that change with the step; evaluated inside the training step."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from lamina import config, ops, serialization
from lamina.registry import Registry, named
from lamina.tensor import Tensor
from lamina.validation import Boolean, Integer, Numbers, Real, check_argument, short_repr


class LearningRateSchedule:
    """Base of all schedules: subclasses define `__call__(step)` and `get_config()`.

    `step` is an integer tensor, the number of updates done before, and the result a scalar
    tensor; write it with `lamina.ops`.
    """

    def __call__(self, step: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__} must define __call__(step).")

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        raise NotImplementedError(f"{type(self).__name__} must define get_config().")

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> LearningRateSchedule:
        """Build a schedule from what `get_config` returned."""
        return cls(**config)


class _Decay(LearningRateSchedule):
    """Keeps checked arguments under their names and returns them as the configuration."""

    arguments: tuple[str, ...]

    def _keep(self, constraint: Any, **values: Any) -> None:
        for name, value in values.items():
            setattr(self, name, check_argument(type(self).__name__, name, value, constraint))

    def get_config(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.arguments}


_POSITIVE = Real(0, closed="right")


def _count(step: Any) -> Tensor:
    return ops.cast(step, config.floatx())


class ExponentialDecay(_Decay):
    """initial * decay_rate ** (step / decay_steps).

    Args:
        initial_learning_rate: number >= 0.
        decay_steps: steps after which the rate is multiplied by `decay_rate`.
        decay_rate: number > 0.
        staircase: whether the exponent is rounded down, so that the rate falls in steps.
        name: kept for Keras's sake.
    """

    initial_learning_rate: float
    decay_steps: float
    decay_rate: float
    staircase: bool
    arguments = ("initial_learning_rate", "decay_steps", "decay_rate", "staircase", "name")

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        decay_rate: float,
        staircase: bool = False,
        name: str = "ExponentialDecay",
    ) -> None:
        self._keep(Real(0), initial_learning_rate=initial_learning_rate)
        self._keep(_POSITIVE, decay_steps=decay_steps, decay_rate=decay_rate)
        self._keep(Boolean(), staircase=staircase)
        self.name = name

    def _exponent(self, step: Any) -> Tensor:
        share = _count(step) / self.decay_steps
        return ops.floor(share) if self.staircase else share

    def __call__(self, step: Any) -> Tensor:
        factor = ops.power(self.decay_rate, self._exponent(step))
        return self.initial_learning_rate * factor


class InverseTimeDecay(ExponentialDecay):
    """initial / (1 + decay_rate * step / decay_steps).

    Args:
        initial_learning_rate, decay_steps, decay_rate, staircase, name: as for
            `ExponentialDecay`.
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        decay_rate: float,
        staircase: bool = False,
        name: str = "InverseTimeDecay",
    ) -> None:
        super().__init__(initial_learning_rate, decay_steps, decay_rate, staircase, name)

    def __call__(self, step: Any) -> Tensor:
        return self.initial_learning_rate / (1.0 + self.decay_rate * self._exponent(step))


class PiecewiseConstantDecay(_Decay):
    """values[i] up to and including step boundaries[i], the last value afterwards.

    Args:
        boundaries: ascending step numbers.
        values: learning rates, one more than boundaries.
        name: kept for Keras's sake.
    """

    boundaries: Sequence[float]
    values: Sequence[float]
    arguments = ("boundaries", "values", "name")

    def __init__(
        self,
        boundaries: Sequence[float],
        values: Sequence[float],
        name: str = "PiecewiseConstant",
    ) -> None:
        self._keep(Numbers(), boundaries=boundaries, values=values)
        if len(boundaries) + 1 != len(values):
            raise ValueError(
                "PiecewiseConstantDecay: values must have one entry more than boundaries. "
                f"Got {len(boundaries)} boundaries and {len(values)} values."
            )
        if list(boundaries) != sorted(boundaries):
            raise ValueError(
                f"PiecewiseConstantDecay: boundaries must ascend. Got {short_repr(boundaries)}."
            )
        self.name = name

    def __call__(self, step: Any) -> Tensor:
        step = ops.convert_to_tensor(step)
        rate = ops.convert_to_tensor(float(self.values[-1]))
        for boundary, value in zip(
            reversed(list(self.boundaries)), reversed(list(self.values)[:-1]), strict=True
        ):
            rate = ops.where(step <= boundary, float(value), rate)
        return rate


class PolynomialDecay(_Decay):
    """(initial - end) * (1 - step / decay_steps) ** power + end, then `end`.

    Args:
        initial_learning_rate, end_learning_rate: numbers >= 0.
        decay_steps: steps until the end, > 0.
        power: 1.0 is a line.
        cycle: whether to start again after the end, each time with one period more.
        name: kept for Keras's sake.
    """

    initial_learning_rate: float
    decay_steps: float
    end_learning_rate: float
    power: float
    cycle: bool
    arguments = (
        "initial_learning_rate",
        "decay_steps",
        "end_learning_rate",
        "power",
        "cycle",
        "name",
    )

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        end_learning_rate: float = 0.0001,
        power: float = 1.0,
        cycle: bool = False,
        name: str = "PolynomialDecay",
    ) -> None:
        self._keep(
            Real(0),
            initial_learning_rate=initial_learning_rate,
            end_learning_rate=end_learning_rate,
        )
        self._keep(_POSITIVE, decay_steps=decay_steps)
        self._keep(Real(), power=power)
        self._keep(Boolean(), cycle=cycle)
        self.name = name

    def __call__(self, step: Any) -> Tensor:
        count, period = _count(step), float(self.decay_steps)
        length: Any = period
        if self.cycle:
            length = period * ops.maximum(ops.ceil(count / period), 1.0)
        else:
            count = ops.minimum(count, period)
        share = ops.power(1.0 - count / length, self.power)
        return (self.initial_learning_rate - self.end_learning_rate) * share + (
            self.end_learning_rate
        )


class CosineDecay(_Decay):
    """A half cosine from the initial rate down to alpha times it, after an optional warm-up.

    Args:
        initial_learning_rate: rate at step 0.
        decay_steps: steps of the cosine, > 0.
        alpha: share of the rate that is left at the end.
        name: kept for Keras's sake.
        warmup_target: rate that the warm-up climbs to, in a line; None: no warm-up.
        warmup_steps: steps of the warm-up.

    Source: Loshchilov, Hutter. SGDR: stochastic gradient descent with warm restarts. 2016.
    """

    initial_learning_rate: float
    decay_steps: float
    alpha: float
    warmup_target: float | None
    warmup_steps: int
    arguments = (
        "initial_learning_rate",
        "decay_steps",
        "alpha",
        "name",
        "warmup_target",
        "warmup_steps",
    )

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        alpha: float = 0.0,
        name: str = "CosineDecay",
        warmup_target: float | None = None,
        warmup_steps: int = 0,
    ) -> None:
        self._keep(Real(0), initial_learning_rate=initial_learning_rate)
        self._keep(_POSITIVE, decay_steps=decay_steps)
        self._keep(Real(), alpha=alpha)
        self._keep(Real(0, optional=True), warmup_target=warmup_target)
        self._keep(Integer(0), warmup_steps=warmup_steps)
        self.name = name

    def _cosine(self, count: Tensor, start: float) -> Tensor:
        wave = 0.5 * (1.0 + ops.cos(math.pi * (count / float(self.decay_steps))))
        return start * ((1.0 - self.alpha) * wave + self.alpha)

    def __call__(self, step: Any) -> Tensor:
        count, period = _count(step), float(self.decay_steps)
        if self.warmup_target is None:
            return self._cosine(ops.minimum(count, period), self.initial_learning_rate)
        ramp = float(self.warmup_steps)
        count = ops.minimum(count, period + ramp)
        climb = (self.warmup_target - self.initial_learning_rate) * (count / max(ramp, 1.0))
        return ops.where(
            count < ramp,
            climb + self.initial_learning_rate,
            self._cosine(count - ramp, self.warmup_target),
        )


class CosineDecayRestarts(_Decay):
    """Half cosines one after the other, each `t_mul` times longer and `m_mul` times as high.

    Args:
        initial_learning_rate: rate at step 0.
        first_decay_steps: steps of the first period, > 0.
        t_mul: growth of the period, >= 1.
        m_mul: growth of the height.
        alpha: share of the rate that is left at the end of a period.
        name: kept for Keras's sake.

    Source: Loshchilov, Hutter. SGDR: stochastic gradient descent with warm restarts. 2016.
    """

    initial_learning_rate: float
    first_decay_steps: float
    t_mul: float
    m_mul: float
    alpha: float
    arguments = ("initial_learning_rate", "first_decay_steps", "t_mul", "m_mul", "alpha", "name")

    def __init__(
        self,
        initial_learning_rate: float,
        first_decay_steps: float,
        t_mul: float = 2.0,
        m_mul: float = 1.0,
        alpha: float = 0.0,
        name: str = "SGDRDecay",
    ) -> None:
        self._keep(Real(0), initial_learning_rate=initial_learning_rate)
        self._keep(_POSITIVE, first_decay_steps=first_decay_steps, m_mul=m_mul)
        self._keep(Real(1), t_mul=t_mul)
        self._keep(Real(), alpha=alpha)
        self.name = name

    def __call__(self, step: Any) -> Tensor:
        done = _count(step) / float(self.first_decay_steps)
        if self.t_mul == 1.0:
            period = ops.floor(done)
            done = done - period
        else:
            # The periods before form a geometric series.
            growth = math.log(self.t_mul)
            period = ops.floor(ops.log(1.0 - done * (1.0 - self.t_mul)) / growth)
            length = ops.power(self.t_mul, period)
            done = (done - (1.0 - length) / (1.0 - self.t_mul)) / length
        wave = 0.5 * ops.power(self.m_mul, period) * (1.0 + ops.cos(math.pi * done))
        return self.initial_learning_rate * ((1.0 - self.alpha) * wave + self.alpha)


_registry = Registry(
    "learning rate schedule",
    named(
        CosineDecay,
        CosineDecayRestarts,
        ExponentialDecay,
        InverseTimeDecay,
        PiecewiseConstantDecay,
        PolynomialDecay,
    ),
    LearningRateSchedule,
)


def serialize(learning_rate_schedule: LearningRateSchedule) -> Any:
    """Return the configuration of a schedule."""
    return serialization.serialize_keras_object(learning_rate_schedule)


def deserialize(config: Any, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """Build the schedule that `serialize` described."""
    return _registry.deserialize(config, custom_objects)


__all__ = [
    "CosineDecay",
    "CosineDecayRestarts",
    "ExponentialDecay",
    "InverseTimeDecay",
    "LearningRateSchedule",
    "PiecewiseConstantDecay",
    "PolynomialDecay",
    "deserialize",
    "serialize",
]
