"""The `axis` argument of layers that take one axis or several."""

from __future__ import annotations

from typing import Any

from lamina.validation import Constraint, Either, Integer


class AxisList(Constraint):
    """At least one integer, each not less than `min`."""

    def __init__(self, min: int | None = None) -> None:
        self.item = Integer(min=min)

    def accept(self, value: Any) -> list[int]:
        if not isinstance(value, (list, tuple)) or not value:
            raise ValueError
        return [self.item.accept(item) for item in value]

    def describe(self) -> str:
        return "a tuple of them"


AXES = Either(Integer(), AxisList())


def axis_positions(axis: int | list[int], rank: int, layer: Any) -> list[int]:
    """Return `axis` as ascending positions from the front.

    Raises:
        ValueError: naming the layer, when an input of `rank` axes has no such axis, or an axis
            is named twice.
    """
    listed = axis if isinstance(axis, list) else [axis]
    if any(not -rank <= item < rank for item in listed):
        raise ValueError(
            f"{layer.name} ({type(layer).__name__}): axis {axis} does not exist in an input of "
            f"{rank} axes."
        )
    positions = sorted(item % rank for item in listed)
    if len(set(positions)) != len(positions):
        raise ValueError(
            f"{layer.name} ({type(layer).__name__}): axis {axis} names an axis twice in an input "
            f"of {rank} axes."
        )
    return positions
