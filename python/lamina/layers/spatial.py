"""What layers over spatial axes share: sizes of windows, the channel axis, their arguments."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from lamina import ops
from lamina.validation import Integer, Integers


def window_output_size(
    size: int | None, window: int, stride: int, dilation: int = 1, padding: str = "valid"
) -> int | None:
    """Return how many positions a window takes along an axis; less than 1 if it does not fit."""
    if size is None:
        return None
    if padding in ("same", "causal"):
        return -(-size // stride)
    return (size - (window - 1) * dilation - 1) // stride + 1


def channels_last(tensor: Any, data_format: str) -> Any:
    """Move the channel axis of a layer's input to the end if it is first."""
    if data_format == "channels_last":
        return tensor
    rank = len(tensor.shape)
    return ops.transpose(tensor, (0, *range(2, rank), 1))


def channels_restored(tensor: Any, data_format: str) -> Any:
    """Undo `channels_last` on a layer's output."""
    if data_format == "channels_last":
        return tensor
    rank = len(tensor.shape)
    return ops.transpose(tensor, (0, rank - 1, *range(1, rank - 1)))


def positive_argument(owner: str, argument: str, value: Any) -> int:
    """Return a count of channels or filters as an int.

    Raises:
        ValueError: if it is not an integer of at least 1.
    """
    try:
        return Integer(min=1).accept(value)
    except ValueError:
        raise ValueError(
            f"{owner}: Invalid value for argument `{argument}`. Expected a strictly positive "
            f"value. Received {argument}={value!r}."
        ) from None


def sizes_argument(
    owner: str, argument: str, value: Any, rank: int, least: int = 1
) -> tuple[int, ...]:
    """Return one integer for each spatial axis; a lone integer stands for all.

    Raises:
        ValueError: for another number of them, or one below `least`.
    """
    try:
        return Integers(rank, least).accept(value)
    except ValueError:
        raise ValueError(
            f"{owner}: The `{argument}` argument must be a tuple of {rank} integers. "
            f"Received {argument}={_shown(value)}{_too_small(value, least)}"
        ) from None


def _shown(value: Any) -> str:
    return repr(tuple(value)) if isinstance(value, list) else repr(value)


def _too_small(value: Any, least: int) -> str:
    """Name the integers below `least`, if that is what is wrong."""
    values: Iterable[Any] = value if isinstance(value, (list, tuple)) else (value,)
    small = {v for v in values if isinstance(v, int) and v < least}
    bound = ">= 0" if least == 0 else "> 0"
    return f", including values {small} that do not satisfy `value {bound}`" if small else "."


def joined_sizes(sizes: Sequence[Any]) -> str:
    """Return sizes for a message: "3 × 3"."""
    return " × ".join(str(size) for size in sizes)
