"""Convolution and pooling over one or two axes; the engine works on channels-last images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from lamina import config
from lamina.ops.core import (
    TensorLike,
    promote,
    reshape_to,
    to_float,
)
from lamina.tensor import Tensor
from lamina.tracing import apply, convert, symbolic_op


def _sizes(op: str, name: str, value: Any, count: int) -> list[int]:
    sizes = [int(v) for v in value] if isinstance(value, (list, tuple)) else [int(value)] * count
    if len(sizes) != count or any(s < 1 for s in sizes):
        raise ValueError(
            f"{op}: {name} must be an integer >= 1, or {count} of them. Got {value!r}."
        )
    return sizes


def _as_images(
    op: str, x: TensorLike, data_format: str | None
) -> tuple[Tensor, Callable[..., Any]]:
    """Return x as channels-last images and the function that turns a result back."""
    x = to_float(x)
    layout = data_format or config.image_data_format()
    if layout not in ("channels_last", "channels_first"):
        raise ValueError(
            f"{op}: data_format must be 'channels_last' or 'channels_first'. Got {data_format!r}."
        )
    if x.ndim not in (3, 4):
        raise ValueError(f"{op}: inputs must have 3 or 4 axes (1-D or 2-D). Got shape {x.shape}.")
    rank, is_first = x.ndim - 2, layout == "channels_first"
    if is_first:
        x = apply("transpose", x, perm=[0, *range(2, x.ndim), 1])
    if rank == 1:
        batch, steps, channels = x.shape
        x = reshape_to(x, [batch, 1, steps, channels])

    def back(y: Tensor) -> Tensor:
        if rank == 1:
            batch, _, steps, channels = y.shape
            y = reshape_to(y, [batch, steps, channels])
        return apply("transpose", y, perm=[0, y.ndim - 1, *range(1, y.ndim - 1)]) if is_first else y

    return x, back


def _padding(op: str, padding: str) -> str:
    lowered = padding.lower() if isinstance(padding, str) else padding
    if lowered not in ("valid", "same"):
        raise ValueError(f"{op}: padding must be 'valid' or 'same'. Got {padding!r}.")
    return lowered


def _flat_sizes(op: str, name: str, value: Any, rank: int) -> list[int]:
    return ([1] if rank == 1 else []) + _sizes(op, name, value, rank)


@symbolic_op
def conv(
    inputs: TensorLike,
    kernel: TensorLike,
    strides: int | Sequence[int] = 1,
    padding: str = "valid",
    data_format: str | None = None,
    dilation_rate: int | Sequence[int] = 1,
) -> Tensor:
    """Convolve (cross-correlate) over one or two spatial axes.

    Args:
        inputs: (batch, [height,] width, channels), or channels after batch.
        kernel: ([height,] width, channels / groups, filters).
        strides: step in each direction.
        padding: "valid", or "same": output size is input size / stride, rounded up.
        data_format: "channels_last" or "channels_first"; None: the configured one.
        dilation_rate: distance between the taps of the kernel.
    """
    images, kernel = promote(inputs, kernel, floating=True)
    x, back = _as_images("conv", images, data_format)
    rank = images.ndim - 2
    if kernel.ndim != rank + 2:
        raise ValueError(
            f"conv: kernel must have {rank + 2} axes for inputs {images.shape}. "
            f"Got shape {kernel.shape}."
        )
    weights = reshape_to(kernel, [1, *kernel.shape]) if rank == 1 else kernel
    groups, rest = divmod(x.shape[-1], weights.shape[-2])
    if rest or groups < 1:
        raise ValueError(
            f"conv: inputs have {x.shape[-1]} channels, the kernel {kernel.shape} takes "
            f"{kernel.shape[-2]}; the first must be a multiple of the second."
        )
    y = apply(
        "conv2d",
        x,
        weights,
        strides=_flat_sizes("conv", "strides", strides, rank),
        dilations=_flat_sizes("conv", "dilation_rate", dilation_rate, rank),
        padding=_padding("conv", padding),
        groups=groups,
    )
    return back(y)


@symbolic_op
def depthwise_conv(
    inputs: TensorLike,
    kernel: TensorLike,
    strides: int | Sequence[int] = 1,
    padding: str = "valid",
    data_format: str | None = None,
    dilation_rate: int | Sequence[int] = 1,
) -> Tensor:
    """Convolve every channel with kernels of its own.

    Args:
        inputs: (batch, [height,] width, channels), or channels after batch.
        kernel: ([height,] width, channels, multiplier).
        strides, padding, data_format, dilation_rate: as for `conv`.

    Returns:
        Tensor with channels * multiplier channels.
    """
    kernel = convert(kernel)
    *taps, channels, multiplier = kernel.shape
    grouped = reshape_to(kernel, [*taps, 1, channels * multiplier])
    return conv(inputs, grouped, strides, padding, data_format, dilation_rate)


@symbolic_op
def separable_conv(
    inputs: TensorLike,
    depthwise_kernel: TensorLike,
    pointwise_kernel: TensorLike,
    strides: int | Sequence[int] = 1,
    padding: str = "valid",
    data_format: str | None = None,
    dilation_rate: int | Sequence[int] = 1,
) -> Tensor:
    """Convolve channels apart (`depthwise_conv`), then mix them with a kernel of size 1."""
    apart = depthwise_conv(inputs, depthwise_kernel, strides, padding, data_format, dilation_rate)
    return conv(apart, pointwise_kernel, 1, "valid", data_format)


def _pool(
    op: str,
    inputs: TensorLike,
    pool_size: int | Sequence[int],
    strides: int | Sequence[int] | None,
    padding: str,
    data_format: str | None,
) -> Tensor:
    public = op.replace("2d", "").replace("avg", "average")
    x, back = _as_images(public, inputs, data_format)
    rank = convert(inputs).ndim - 2
    window = _flat_sizes(public, "pool_size", pool_size, rank)
    steps = window if strides is None else _flat_sizes(public, "strides", strides, rank)
    y = apply(op, x, pool_size=window, strides=steps, padding=_padding(public, padding))
    return back(y[0] if isinstance(y, tuple) else y)


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
        inputs: (batch, [height,] width, channels), or channels after batch.
        pool_size: size of the window in each direction.
        strides: step of the window; None: its size.
        padding: "valid", or "same" (cells outside never win).
        data_format: "channels_last" or "channels_first"; None: the configured one.
    """
    return _pool("max_pool2d", inputs, pool_size, strides, padding, data_format)


@symbolic_op
def average_pool(
    inputs: TensorLike,
    pool_size: int | Sequence[int],
    strides: int | Sequence[int] | None = None,
    padding: str = "valid",
    data_format: str | None = None,
) -> Tensor:
    """Return the mean of each window; cells outside the image are not counted.

    Args:
        inputs, pool_size, strides, padding, data_format: as for `max_pool`.
    """
    return _pool("avg_pool2d", inputs, pool_size, strides, padding, data_format)


__all__ = [
    "average_pool",
    "conv",
    "depthwise_conv",
    "max_pool",
    "separable_conv",
]
