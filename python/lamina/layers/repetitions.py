"""The argument that says how often something is repeated."""

from __future__ import annotations

import operator
from typing import Any


def repetitions(owner: str, argument: str, value: Any) -> int:
    """Return `value`, an integer of at least 1.

    Args:
        owner: class name of the layer that asks.
        argument: the argument's name.
        value: what the caller passed.

    Raises:
        TypeError: if it is no integer (a boolean is none).
        ValueError: if it is less than 1.
    """
    try:
        count = operator.index(value)
    except TypeError:
        count = None
    if count is None or isinstance(value, bool):
        raise TypeError(
            f"{owner}: {argument} says how often. Expected an integer value for `{argument}`, "
            f"got {value!r}."
        )
    if count < 1:
        raise ValueError(f"{owner}: {argument} should be a positive integer. Got {value!r}.")
    return count
