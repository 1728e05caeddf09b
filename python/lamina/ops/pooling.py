"""Pooling over one to three spatial axes; the engine works on channels-last data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lamina import config
from lamina.ops.core import TensorLike, to_dtype, to_float
from lamina.tensor import Tensor
from lamina.tracing import apply, convert, symbolic_op


def _is_channels_first(op: str, data_format: str | None) -> bool:
    layout = data_format or config.image_data_format()
    if layout not in ("channels_last", "channels_first"):
        raise ValueError(
            f"{op}: data_format must be 'channels_last' or 'channels_first'. Got {data_format!r}."
        )
    return layout == "channels_first"


def _sizes(op: str, name: str, value: Any, count: int) -> list[int]:
    sizes = [int(v) for v in value] if isinstance(value, (list, tuple)) else [int(value)] * count
    if len(sizes) != count or any(s < 1 for s in sizes):
        raise ValueError(
            f"{op}: {name} must be an integer >= 1, or {count} of them. Got {value!r}."
        )
    return sizes


def _pooled(op: str, x: Tensor, is_first: bool, **attrs: Any) -> Tensor:
    """Run an engine op on `x`, whose channels may come first."""
    last = x.ndim - 1
    if is_first:
        x = apply("transpose", x, perm=[0, *range(2, last + 1), 1])
    y = apply(op, x, **attrs)
    if isinstance(y, tuple):  # the positions of the maxima serve the gradient only
        y = y[0]
    return apply("transpose", y, perm=[0, last, *range(1, last)]) if is_first else y


def _window_pool(
    op: str, engine_op: str, inputs: TensorLike, pool_size: Any, strides: Any, padding: str,
    data_format: str | None,
) -> Tensor:  # fmt: skip
    inputs = convert(inputs)
    x = _checked(op, inputs)
    rank = x.ndim - 2
    window = _sizes(op, "pool_size", pool_size, rank)
    steps = window if strides is None else _sizes(op, "strides", strides, rank)
    lowered = padding.lower() if isinstance(padding, str) else padding
    if lowered not in ("valid", "same"):
        raise ValueError(f"{op}: padding must be 'valid' or 'same'. Got {padding!r}.")
    is_first = _is_channels_first(op, data_format)
    y = _pooled(engine_op, x, is_first, pool_size=window, strides=steps, padding=lowered)
    return to_dtype(y, inputs.dtype) if engine_op == "max_pool" else y


def _adaptive_pool(
    op: str, engine_op: str, inputs: TensorLike, output_size: Any, data_format: str | None
) -> Tensor:
    x = _checked(op, inputs)
    sizes = _sizes(op, "output_size", output_size, x.ndim - 2)
    return _pooled(engine_op, x, _is_channels_first(op, data_format), output_size=sizes)


def _checked(op: str, inputs: TensorLike) -> Tensor:
    x = to_float(inputs)
    if x.ndim not in (3, 4, 5):
        raise ValueError(
            f"{op}: inputs must have 3, 4 or 5 axes (one to three of them spatial). "
            f"Got shape {x.shape}."
        )
    return x


@symbolic_op
def max_pool(
    inputs: TensorLike,
    pool_size: int | Sequence[int],
    strides: int | Sequence[int] | None = None,
    padding: str = "valid",
    data_format: str | None = None,
) -> Tensor:
    """Return the largest value of each window.

    Args:
        inputs: (batch, *spatial sizes, channels) with one to three spatial axes, or channels
            after batch. The result has their type.
        pool_size: size of the window in each direction.
        strides: step of the window; None: its size.
        padding: "valid", or "same" (cells outside never win).
        data_format: "channels_last" or "channels_first"; None: the configured one.
    """
    return _window_pool("max_pool", "max_pool", inputs, pool_size, strides, padding, data_format)


@symbolic_op
def average_pool(
    inputs: TensorLike,
    pool_size: int | Sequence[int],
    strides: int | Sequence[int] | None = None,
    padding: str = "valid",
    data_format: str | None = None,
) -> Tensor:
    """Return the mean of each window; cells outside the input are not counted.

    Args:
        inputs, pool_size, strides, padding, data_format: as for `max_pool`.
    """
    return _window_pool(
        "average_pool", "avg_pool", inputs, pool_size, strides, padding, data_format
    )


@symbolic_op
def adaptive_max_pool(
    inputs: TensorLike, output_size: int | Sequence[int], data_format: str | None = None
) -> Tensor:
    """Cut each spatial axis into `output_size` parts and return the largest value of each.

    Part i of n reaches from floor(i * size / n) to ceil((i + 1) * size / n), so parts overlap
    where n does not divide the size.

    Args:
        inputs: (batch, *spatial sizes, channels) with one to three spatial axes, or channels
            after batch.
        output_size: spatial sizes of the result, or one for all.
        data_format: "channels_last" or "channels_first"; None: the configured one.
    """
    return _adaptive_pool("adaptive_max_pool", "max_pool", inputs, output_size, data_format)


@symbolic_op
def adaptive_average_pool(
    inputs: TensorLike, output_size: int | Sequence[int], data_format: str | None = None
) -> Tensor:
    """Cut each spatial axis into `output_size` parts and return the mean of each.

    Args:
        inputs, output_size, data_format: as for `adaptive_max_pool`.
    """
    return _adaptive_pool("adaptive_average_pool", "avg_pool", inputs, output_size, data_format)


__all__ = [
    "adaptive_average_pool",
    "adaptive_max_pool",
    "average_pool",
    "max_pool",
]
