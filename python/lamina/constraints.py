"""Conditions that weights fulfil again after every update: projections `w -> w`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lamina import config, ops, serialization
from lamina.registry import Registry, named
from lamina.tensor import Tensor
from lamina.validation import Axes, Real, check_argument


class Constraint:
    """Base of all constraints, itself none: subclasses return the projection of `w`."""

    def __call__(self, w: Any) -> Any:
        return w

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Constraint:
        """Build a constraint from what `get_config` returned."""
        return cls(**config)


def _norm(w: Any, axis: int | Sequence[int]) -> Tensor:
    return ops.sqrt(ops.sum(ops.square(w), axis=axis, keepdims=True))


class MaxNorm(Constraint):
    """Shrink vectors longer than `max_value` to that length.

    Args:
        max_value: greatest length.
        axis: the axis, or axes, along which a vector's components lie.
    """

    def __init__(self, max_value: float = 2, axis: int | Sequence[int] = 0) -> None:
        self.max_value = check_argument("MaxNorm", "max_value", max_value, Real(0))
        self.axis = check_argument("MaxNorm", "axis", axis, Axes())

    def __call__(self, w: Any) -> Tensor:
        length = _norm(w, self.axis)
        return w * (ops.clip(length, 0, self.max_value) / (config.epsilon() + length))

    def get_config(self) -> dict[str, Any]:
        return {"max_value": self.max_value, "axis": self.axis}


class NonNeg(Constraint):
    """Replace negative values by 0."""

    def __call__(self, w: Any) -> Tensor:
        return ops.relu(w)


class UnitNorm(Constraint):
    """Give every vector the length 1.

    Args:
        axis: the axis, or axes, along which a vector's components lie.
    """

    def __init__(self, axis: int | Sequence[int] = 0) -> None:
        self.axis = check_argument("UnitNorm", "axis", axis, Axes())

    def __call__(self, w: Any) -> Tensor:
        return w / (config.epsilon() + _norm(w, self.axis))

    def get_config(self) -> dict[str, Any]:
        return {"axis": self.axis}


class MinMaxNorm(Constraint):
    """Move the lengths of vectors into [min_value, max_value].

    Args:
        min_value, max_value: the interval.
        rate: share of the way to go at each update, in (0, 1].
        axis: the axis, or axes, along which a vector's components lie.
    """

    def __init__(
        self,
        min_value: float = 0.0,
        max_value: float = 1.0,
        rate: float = 1.0,
        axis: int | Sequence[int] = 0,
    ) -> None:
        self.min_value = check_argument("MinMaxNorm", "min_value", min_value, Real(0))
        self.max_value = check_argument("MinMaxNorm", "max_value", max_value, Real(0))
        self.rate = check_argument("MinMaxNorm", "rate", rate, Real(0, 1))
        self.axis = check_argument("MinMaxNorm", "axis", axis, Axes())

    def __call__(self, w: Any) -> Tensor:
        length = _norm(w, self.axis)
        inside = ops.clip(length, self.min_value, self.max_value)
        wanted = self.rate * inside + (1 - self.rate) * length
        return w * (wanted / (config.epsilon() + length))

    def get_config(self) -> dict[str, Any]:
        return {
            "min_value": self.min_value,
            "max_value": self.max_value,
            "rate": self.rate,
            "axis": self.axis,
        }


max_norm = MaxNorm
non_neg = NonNeg
unit_norm = UnitNorm
min_max_norm = MinMaxNorm

_registry = Registry("constraint", named(MaxNorm, MinMaxNorm, NonNeg, UnitNorm), Constraint)


def get(identifier: Any) -> Any:
    """Return the constraint that a name, configuration, class or function stands for.

    Raises:
        ValueError: if nothing has that name; suggests the nearest one.
    """
    return _registry.get(identifier)


def serialize(constraint: Any) -> Any:
    """Return the configuration of a constraint."""
    return serialization.serialize_keras_object(constraint)


def deserialize(config: Any, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """Build the constraint that `serialize` described."""
    return _registry.deserialize(config, custom_objects)
