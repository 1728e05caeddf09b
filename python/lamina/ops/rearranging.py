"""Pixels moved between space and channels, sliding blocks, and the peak signal-to-noise ratio."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from lamina.ops.core import TensorLike, promote, reshape_to
from lamina.tensor import Tensor
from lamina.tracing import apply, convert, symbolic_op


def _block_size(op: str, x: Tensor, block_size: Any, data_format: str) -> tuple[int, bool]:
    if data_format not in ("channels_last", "channels_first"):
        raise ValueError(
            f"{op}: data_format must be 'channels_last' or 'channels_first'. Got {data_format!r}."
        )
    if isinstance(block_size, bool) or int(block_size) != block_size or block_size < 2:
        raise ValueError(f"{op}: block_size must be at least 2. Got {block_size!r}.")
    if x.ndim != 4:
        raise ValueError(f"{op}: x must have 4 axes. Got shape {x.shape}.")
    return int(block_size), data_format == "channels_first"


def _times(size: int | None, factor: int) -> int | None:
    return None if size is None else size * factor


def _divided(op: str, what: str, size: int | None, factor: int) -> int | None:
    if size is not None and size % factor:
        raise ValueError(f"{op}: {what} {size} must be divisible by {factor}.")
    return None if size is None else size // factor


def _reshaped(x: Tensor, split: list[int | None], perm: list[int], out: list[int | None]) -> Tensor:
    """Split axes, reorder them, join them."""
    return reshape_to(apply("transpose", reshape_to(x, split), perm=perm), out)


@symbolic_op
def depth_to_space(x: TensorLike, block_size: int, data_format: str = "channels_last") -> Tensor:
    """Spread channels over blocks of pixels.

    Args:
        x: (batch, height, width, channels), or channels before height; the number of channels is
            a multiple of block_size ** 2.
        block_size: height and width of a block, at least 2.
        data_format: "channels_last" or "channels_first".

    Returns:
        (batch, height * block_size, width * block_size, channels / block_size ** 2). With channels
        last, channel (i * block_size + j) * n + c goes to place (i, j) of the block and channel c
        of n; with channels first it is channel c * block_size ** 2 + i * block_size + j.
    """
    x = convert(x)
    r, is_first = _block_size("depth_to_space", x, block_size, data_format)
    if x.shape.count(None) > 1:  # shapes only
        rows, columns, last = (2, 3, 1) if is_first else (1, 2, 3)
        x = apply("repeat", apply("repeat", x, repeats=r, axis=rows), repeats=r, axis=columns)
        depth = _divided("depth_to_space", "the number of channels", x.shape[last], r * r)
        return x[:, :depth] if is_first else x[..., :depth]
    if is_first:
        batch, channels, height, width = x.shape
        depth = _divided("depth_to_space", "the number of channels", channels, r * r)
        split, perm = [batch, depth, r, r, height, width], [0, 1, 4, 2, 5, 3]
        return _reshaped(x, split, perm, [batch, depth, _times(height, r), _times(width, r)])
    batch, height, width, channels = x.shape
    depth = _divided("depth_to_space", "the number of channels", channels, r * r)
    split, perm = [batch, height, width, r, r, depth], [0, 1, 3, 2, 4, 5]
    return _reshaped(x, split, perm, [batch, _times(height, r), _times(width, r), depth])


@symbolic_op
def space_to_depth(x: TensorLike, block_size: int, data_format: str = "channels_last") -> Tensor:
    """Gather blocks of pixels into channels: the inverse of `depth_to_space`.

    Args:
        x: (batch, height, width, channels), or channels before height; height and width are
            multiples of block_size.
        block_size: height and width of a block, at least 2.
        data_format: "channels_last" or "channels_first".

    Returns:
        (batch, height / block_size, width / block_size, channels * block_size ** 2).
    """
    x = convert(x)
    r, is_first = _block_size("space_to_depth", x, block_size, data_format)
    batch, *sizes = x.shape
    height, width = sizes[1:] if is_first else sizes[:2]
    channels = sizes[0] if is_first else sizes[2]
    rows = _divided("space_to_depth", "height", height, r)
    columns = _divided("space_to_depth", "width", width, r)
    depth = _times(channels, r * r)
    if x.shape.count(None) > 1:  # shapes only
        corners = x[:, :, ::r, ::r] if is_first else x[:, ::r, ::r]
        return apply("concat", *[corners] * (r * r), axis=1 if is_first else 3)
    if is_first:
        split, perm = [batch, channels, rows, r, columns, r], [0, 1, 3, 5, 2, 4]
        return _reshaped(x, split, perm, [batch, depth, rows, columns])
    split, perm = [batch, rows, r, columns, r, channels], [0, 1, 3, 2, 4, 5]
    return _reshaped(x, split, perm, [batch, rows, columns, depth])


def _pair(op: str, name: str, value: Any, least: int) -> tuple[int, int]:
    values = tuple(value) if isinstance(value, (list, tuple)) else (value, value)
    if len(values) != 2 or min(values) < least:
        raise ValueError(
            f"{op}: {name} must be an integer >= {least}, or two of them. Got {value!r}."
        )
    return int(values[0]), int(values[1])


class _Sliding:
    """Blocks that slide over the last two axes: which cells each of them sees."""

    def __init__(self, op: str, sizes: Sequence[int], kernel_size: Any, dilation: Any,
                 padding: Any, stride: Any) -> None:  # fmt: skip
        self.kernel = _pair(op, "kernel_size", kernel_size, 1)
        self.padding = _pair(op, "padding", padding, 0)
        gaps, steps = _pair(op, "dilation", dilation, 1), _pair(op, "stride", stride, 1)
        self.padded = [size + 2 * pad for size, pad in zip(sizes, self.padding, strict=True)]
        self.positions: list[int] = []
        self.ids: list[Tensor] = []
        for length, window, gap, step in zip(self.padded, self.kernel, gaps, steps, strict=True):
            count = (length - (window - 1) * gap - 1) // step + 1
            if count < 1:
                raise ValueError(
                    f"{op}: blocks of {self.kernel} do not fit into {tuple(self.padded)}."
                )
            cells = np.arange(window)[:, None] * gap + np.arange(count) * step
            self.positions.append(count)
            self.ids.append(convert(cells.astype("int32")))  # (window, count)


@symbolic_op
def unfold(
    x: TensorLike,
    kernel_size: int | Sequence[int],
    dilation: int | Sequence[int] = 1,
    padding: int | Sequence[int] = 0,
    stride: int | Sequence[int] = 1,
) -> Tensor:
    """Write the blocks that slide over images as columns.

    Args:
        x: (batch, channels, height, width) of known height and width.
        kernel_size: height and width of a block, or one integer for both.
        dilation: distance of neighbouring pixels within a block.
        padding: rows and columns of zeros on each side.
        stride: distance of neighbouring blocks.

    Returns:
        (batch, channels * block height * block width, number of blocks).
    """
    x = convert(x)
    if x.ndim != 4 or None in x.shape[1:]:
        raise ValueError(
            f"unfold: x must have 4 axes, all but the first of known size. Got shape {x.shape}."
        )
    sliding = _Sliding("unfold", x.shape[2:], kernel_size, dilation, padding, stride)
    margin = [0, 0, *sliding.padding]
    if any(margin):
        x = apply("pad", x, low=margin, high=margin, mode="constant", value=0.0)
    x = apply("gather", x, sliding.ids[1], axis=3)
    x = apply("gather", x, sliding.ids[0], axis=2)  # (batch, c, kh, rows, kw, columns)
    x = apply("transpose", x, perm=[0, 1, 2, 4, 3, 5])
    depth = x.shape[1] * math.prod(sliding.kernel)
    return reshape_to(x, [x.shape[0], depth, math.prod(sliding.positions)])


@symbolic_op
def fold(
    x: TensorLike,
    output_size: int | Sequence[int],
    kernel_size: int | Sequence[int],
    dilation: int | Sequence[int] = 1,
    padding: int | Sequence[int] = 0,
    stride: int | Sequence[int] = 1,
) -> Tensor:
    """Put the columns of `unfold` back into images; where blocks overlap they are added.

    Args:
        x: (batch, channels * block height * block width, number of blocks), floats.
        output_size: height and width of the images.
        kernel_size, dilation, padding, stride: as for `unfold`.

    Returns:
        (batch, channels, height, width).
    """
    x = convert(x)
    height, width = _pair("fold", "output_size", output_size, 1)
    sliding = _Sliding("fold", (height, width), kernel_size, dilation, padding, stride)
    cells, blocks = math.prod(sliding.kernel), math.prod(sliding.positions)
    if x.ndim != 3 or x.shape[2] != blocks or x.shape[1] is None or x.shape[1] % cells:
        raise ValueError(
            f"fold: x must have shape (batch, channels * {cells}, {blocks}) for blocks of "
            f"{sliding.kernel} in images of {(height, width)}. Got shape {x.shape}."
        )
    channels = x.shape[1] // cells
    x = reshape_to(x, [x.shape[0], channels, *sliding.kernel, *sliding.positions])
    x = apply("transpose", x, perm=[0, 1, 2, 4, 3, 5])
    x = apply("gather_grad", sliding.ids[0], x, rows=sliding.padded[0], axis=2)
    x = apply("gather_grad", sliding.ids[1], x, rows=sliding.padded[1], axis=3)
    top, left = sliding.padding
    return x[:, :, top : top + height, left : left + width]


@symbolic_op
def psnr(x1: TensorLike, x2: TensorLike, max_val: float) -> Tensor:
    """Return the peak signal-to-noise ratio of two tensors in decibels.

    Args:
        x1, x2: tensors of one shape.
        max_val: the largest value that a signal can have.

    Returns:
        A single number; infinity for equal tensors.

    Raises:
        ValueError: if the shapes differ.
    """
    a, b = promote(x1, x2, floating=True)
    if a.shape != b.shape:
        raise ValueError(f"psnr: shapes must be equal. Got {a.shape} and {b.shape}.")
    error = apply("mean", apply("square", a - b))
    return 20.0 * math.log10(max_val) - 10.0 * apply("log10", error)


__all__ = ["depth_to_space", "fold", "psnr", "space_to_depth", "unfold"]
