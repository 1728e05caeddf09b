"""Cutting images and volumes into patches, and putting patches together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lamina.ops.core import TensorLike, reshape_to
from lamina.ops.image.layout import is_channels_first
from lamina.tensor import Tensor
from lamina.tracing import apply, convert, symbolic_op


def _numbers(op: str, name: str, value: Any, count: int, least: int = 1) -> list[int]:
    values = [int(v) for v in value] if isinstance(value, (list, tuple)) else [int(value)] * count
    if len(values) != count or min(values) < least:
        raise ValueError(
            f"{op}: {name} must be an integer >= {least}, or {count} of them. Got {value!r}."
        )
    return values


def _taps(outputs: int, size: int, stride: int, dilation: int) -> np.ndarray:
    """Return the cells (outputs * size,) that the patches see along one axis."""
    cells = np.arange(outputs)[:, None] * stride + np.arange(size) * dilation
    return cells.reshape(-1).astype("int32")


def _blocks(op: str, x: Tensor, size: list[int], stride: list[int], dilation: list[int]) -> Tensor:
    """Return the patches of a channels-last batch of known size.

    Returns:
        (batch, *positions, *size, channels).
    """
    rank = len(size)
    positions = []
    for axis, (window, step, gap) in enumerate(zip(size, stride, dilation, strict=True), 1):
        length = x.shape[axis]
        count = (length - (window - 1) * gap - 1) // step + 1
        if count < 1:
            raise ValueError(f"{op}: patches of size {size} do not fit into shape {x.shape}.")
        positions.append(count)
        x = apply("gather", x, convert(_taps(count, window, step, gap)), axis=axis)
    both = [n for pair in zip(positions, size, strict=True) for n in pair]
    batch, channels = x.shape[0], x.shape[-1]
    x = reshape_to(x, [batch, *both, channels])
    perm = [0, *range(1, 2 * rank, 2), *range(2, 2 * rank + 1, 2), 2 * rank + 1]
    return apply("transpose", x, perm=perm)


def _same_margins(x: Tensor, size: list[int], stride: list[int], dilation: list[int]) -> Tensor:
    """Add zeros so that there is a patch for every stride-th cell."""
    low, high = [0] * x.ndim, [0] * x.ndim
    for axis, (window, step, gap) in enumerate(zip(size, stride, dilation, strict=True), 1):
        length = x.shape[axis]
        missing = max((-(-length // step) - 1) * step + (window - 1) * gap + 1 - length, 0)
        low[axis], high[axis] = missing // 2, missing - missing // 2
    return apply("pad", x, low=low, high=high, mode="constant", value=0.0)


def _shape_of_patches(
    x: Tensor, size: list[int], stride: list[int], dilation: list[int], padding: str
) -> Tensor:
    """Return a tensor of the right shape where sizes are unknown: nobody reads its numbers."""
    whole = [(window - 1) * gap + 1 for window, gap in zip(size, dilation, strict=True)]
    places = apply("avg_pool", x, pool_size=whole, strides=stride, padding=padding)
    return apply("concat", *[places] * int(np.prod(size)), axis=x.ndim - 1)


def _patches(
    op: str, images: TensorLike, rank: int, size: Any, strides: Any, dilation_rate: Any,
    padding: str, data_format: str | None,
) -> Tensor:  # fmt: skip
    images = convert(images)
    windows = _numbers(op, "size", size, rank)
    gaps = _numbers(op, "dilation_rate", dilation_rate, rank)
    steps = windows if strides is None else _numbers(op, "strides", strides, rank)
    if padding not in ("valid", "same"):
        raise ValueError(f"{op}: padding must be 'valid' or 'same'. Got {padding!r}.")
    if images.ndim not in (rank + 1, rank + 2):
        raise ValueError(
            f"{op}: the input must have {rank + 1} axes, or {rank + 2} with a batch. "
            f"Got shape {images.shape}."
        )
    is_first = is_channels_first(op, data_format)
    x = images if images.ndim == rank + 2 else reshape_to(images, [1, *images.shape])
    if is_first:
        x = apply("transpose", x, perm=[0, *range(2, rank + 2), 1])
    if None in x.shape[1:]:
        flat = _shape_of_patches(x, windows, steps, gaps, padding)
    else:
        if padding == "same":
            x = _same_margins(x, windows, steps, gaps)
        blocks = _blocks(op, x, windows, steps, gaps)
        depth = int(np.prod(blocks.shape[rank + 1 :]))
        flat = reshape_to(blocks, [*blocks.shape[: rank + 1], depth])
    if is_first:
        flat = apply("transpose", flat, perm=[0, rank + 1, *range(1, rank + 1)])
    return flat if images.ndim == rank + 2 else reshape_to(flat, flat.shape[1:])


@symbolic_op
def extract_patches(
    images: TensorLike,
    size: int | Sequence[int],
    strides: int | Sequence[int] | None = None,
    dilation_rate: int | Sequence[int] = 1,
    padding: str = "valid",
    data_format: str | None = None,
) -> Tensor:
    """Cut images into patches and write each as one row of numbers.

    Args:
        images: (height, width, channels) or (batch, height, width, channels), or channels before
            height.
        size: height and width of a patch, or one integer for both.
        strides: distance of neighbouring patches; None: `size`, so that they tile the image.
        dilation_rate: distance of neighbouring pixels within a patch.
        padding: "valid" (whole patches only) or "same" (zeros around the image).
        data_format: "channels_last" or "channels_first"; None: the configured one.

    Returns:
        (batch, rows of patches, columns of patches, patch height * patch width * channels).
    """
    return _patches("extract_patches", images, 2, size, strides, dilation_rate, padding,
                    data_format)  # fmt: skip


@symbolic_op
def extract_patches_3d(
    volumes: TensorLike,
    size: int | Sequence[int],
    strides: int | Sequence[int] | None = None,
    dilation_rate: int | Sequence[int] = 1,
    padding: str = "valid",
    data_format: str | None = None,
) -> Tensor:
    """Cut volumes into patches and write each as one row of numbers.

    Args:
        volumes: (depth, height, width, channels), or a batch of them, or channels before depth.
        size: depth, height and width of a patch, or one integer for all.
        strides, dilation_rate, padding, data_format: as for `extract_patches`.
    """
    return _patches("extract_patches_3d", volumes, 3, size, strides, dilation_rate, padding,
                    data_format)  # fmt: skip


__all__ = ["extract_patches", "extract_patches_3d"]
