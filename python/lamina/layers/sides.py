"""What cropping and padding share: how much at each side of each spatial axis."""

from __future__ import annotations

from typing import Any

from lamina.validation import Constraint, Integer, Integers

Pairs = tuple[tuple[int, int], ...]


class Sides(Constraint):
    """One integer for all sides, one for each of `rank` axes, or a pair for each axis."""

    def __init__(self, rank: int) -> None:
        self.rank = rank

    def accept(self, value: Any) -> Pairs:
        if isinstance(value, (list, tuple)):
            if len(value) != self.rank:
                raise ValueError
            pair = Integers(2, min=0)
            return tuple((both[0], both[1]) for both in map(pair.accept, value))
        amount = Integer(min=0).accept(value)
        return ((amount, amount),) * self.rank

    def describe(self) -> str:
        count = self.rank
        return f"an integer >= 0, a tuple of {count} of them, or a tuple of {count} pairs of them"


def first_space_axis(data_format: str) -> int:
    """Return the position of the first spatial axis of a batch."""
    return 1 if data_format == "channels_last" else 2
