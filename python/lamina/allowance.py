"""A limit on the memory that new variables may take, for configs that come from a file."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

_GREATEST_ITEM = 8  # bytes of the widest type


class _State(threading.local):
    left: int | None = None  # bytes; None: no limit


_state = _State()


@contextmanager
def limited_to(size: int) -> Iterator[None]:
    """Let variables made inside take `size` bytes in all, in this thread."""
    outer = _state.left
    _state.left = size if outer is None else min(size, outer)
    try:
        yield
    finally:
        _state.left = outer


def spend(shape: Sequence[int], name: str) -> None:
    """Count a variable that is about to be made.

    Raises:
        ValueError: when it takes more than is left.
    """
    if _state.left is None:
        return
    size = math.prod(shape) * _GREATEST_ITEM
    if size > _state.left:
        raise ValueError(
            f"variable {name!r} of shape {tuple(shape)} is too large for the weights in the file."
        )
    _state.left -= size
