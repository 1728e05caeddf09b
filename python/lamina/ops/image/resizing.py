"""Images in another size: filters, resize, scale_and_translate."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from lamina.ops.core import TensorLike
from lamina.ops.image.layout import (
    Axes,
    image_axes,
    restored,
    working_float,
)
from lamina.ops.layout import moveaxis
from lamina.tensor import Tensor
from lamina.tracing import apply, convert, symbolic_op


class Filter(NamedTuple):
    """A weight for each distance from a sample, zero from `radius` on.

    `weigh(xp, distance)` works on NumPy arrays (xp = numpy) and tensors (xp = lamina.ops).
    """

    radius: float
    weigh: Callable[[Any, Any], Any]


def _triangle(xp: Any, x: Any) -> Any:
    return xp.maximum(1.0 - x, 0.0)


def _cubic(xp: Any, x: Any) -> Any:
    """Keys' cubic with a = -1/2."""
    inner = (1.5 * x - 2.5) * x * x + 1.0
    outer = ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0
    return xp.where(x < 1.0, inner, xp.where(x < 2.0, outer, 0.0 * x))


def _lanczos(radius: float) -> Callable[[Any, Any], Any]:
    def weigh(xp: Any, x: Any) -> Any:
        safe = xp.where(x > 1e-3, x, 0.0 * x + 1.0)
        wave = radius * xp.sin(math.pi * safe) * xp.sin(math.pi * safe / radius)
        value = xp.where(x > 1e-3, wave / (math.pi**2 * safe * safe), 0.0 * x + 1.0)
        return xp.where(x < radius, value, 0.0 * x)

    return weigh


FILTERS = {
    "bilinear": Filter(1.0, _triangle),
    "bicubic": Filter(2.0, _cubic),
    "lanczos3": Filter(3.0, _lanczos(3.0)),
    "lanczos5": Filter(5.0, _lanczos(5.0)),
}
_INTERPOLATIONS = ("nearest", *FILTERS)


def _check_interpolation(op: str, name: str, value: Any, allowed: Sequence[str]) -> str:
    lowered = value.lower() if isinstance(value, str) else value
    if lowered not in allowed:
        raise ValueError(f"{op}: {name} must be one of {', '.join(allowed)}. Got {value!r}.")
    return str(lowered)


def _table(kind: Filter, size: int, out: int, antialias: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return the weights (out, taps) and first neighbours (out,) that resize an axis.

    Pixels are cells of width 1, so output cell o looks at (o + 1/2) * size / out - 1/2. Where the
    filter reaches over the edge, what is inside counts in full.
    """
    step = size / out
    stretch = max(step, 1.0) if antialias else 1.0
    reach = kind.radius * stretch
    centers = (np.arange(out) + 0.5) * step - 0.5
    taps = min(math.ceil(2 * reach), size)
    starts = np.clip(np.floor(centers - reach).astype("int64") + 1, 0, size - taps)
    neighbours = starts[:, None] + np.arange(taps)
    weights = kind.weigh(np, np.abs(neighbours - centers[:, None]) / stretch)
    return weights / weights.sum(axis=1, keepdims=True), starts.astype("int32")


def _resize_axis(x: Tensor, axis: int, out: int, interpolation: str, antialias: bool) -> Tensor:
    size = x.shape[axis]
    if interpolation == "nearest":
        ids = np.zeros(out, "int32")
        if size is not None:
            ids = ((2 * np.arange(out) + 1) * size // (2 * out)).astype("int32")
        return apply("gather", x, convert(ids), axis=axis)
    if size is None:  # shapes only: any weights will do
        weights, starts = np.zeros((out, 1)), np.zeros(out, "int32")
    else:
        weights, starts = _table(FILTERS[interpolation], size, out, antialias)
    return apply("resample", x, convert(weights, dtype=x.dtype), convert(starts), axis=axis)


def _aspect_slices(x: Tensor, axes: Axes, target: tuple[int, int]) -> Tensor:
    """Cut the largest centred part with the proportions of `target` out of `x`."""
    height, width = x.shape[axes.height], x.shape[axes.width]
    kept = (
        max(min(height, int(width * target[0] / target[1])), 1),
        max(min(width, int(height * target[1] / target[0])), 1),
    )
    begin, end = [0] * x.ndim, list(x.shape)
    for axis, size, keep in zip(axes[:2], (height, width), kept, strict=True):
        begin[axis] = (size - keep) // 2
        end[axis] = begin[axis] + keep
    end = [-1 if d is None else d for d in end]
    return apply("slice", x, begin=begin, end=end, strides=[1] * x.ndim)


def _aspect_padding(x: Tensor, axes: Axes, target: tuple[int, int], value: float) -> Tensor:
    """Put `x` in the middle of the smallest image with the proportions of `target`."""
    height, width = x.shape[axes.height], x.shape[axes.width]
    wanted = (
        max(height, int(width * target[0] / target[1])),
        max(width, int(height * target[1] / target[0])),
    )
    low, high = [0] * x.ndim, [0] * x.ndim
    for axis, size, whole in zip(axes[:2], (height, width), wanted, strict=True):
        low[axis] = high[axis] = (whole - size) // 2
    return apply("pad", x, low=low, high=high, mode="constant", value=float(value))


@symbolic_op
def resize(
    images: TensorLike,
    size: Sequence[int],
    interpolation: str = "bilinear",
    antialias: bool = False,
    crop_to_aspect_ratio: bool = False,
    pad_to_aspect_ratio: bool = False,
    fill_mode: str = "constant",
    fill_value: float = 0.0,
    data_format: str | None = None,
) -> Tensor:
    """Give images another height and width.

    Args:
        images: (height, width, channels) or (batch, height, width, channels), or channels before
            height. Integers are computed as float32 and rounded.
        size: (new height, new width).
        interpolation: "nearest", "bilinear", "bicubic" (Keys, a = -1/2), "lanczos3" or "lanczos5".
        antialias: whether the filter widens where the image shrinks.
        crop_to_aspect_ratio: cut off sides first, so that nothing is distorted.
        pad_to_aspect_ratio: add sides of `fill_value` first, so that nothing is distorted.
        fill_mode: "constant".
        fill_value: number for the added sides.
        data_format: "channels_last" or "channels_first"; None: the configured one.

    Returns:
        Images of the same type.

    Raises:
        ValueError: for an unknown interpolation, a size that is not a pair, or both aspect ratio
            arguments.
    """
    kind = _check_interpolation("resize", "interpolation", interpolation, _INTERPOLATIONS)
    if fill_mode != "constant":
        raise ValueError(f"resize: fill_mode must be 'constant'. Got {fill_mode!r}.")
    if crop_to_aspect_ratio and pad_to_aspect_ratio:
        raise ValueError(
            "resize: only one of pad_to_aspect_ratio and crop_to_aspect_ratio can be True."
        )
    target = _target_size(size)
    images = convert(images)
    axes = image_axes("resize", images, data_format)
    is_known = images.shape[axes.height] is not None and images.shape[axes.width] is not None
    if crop_to_aspect_ratio and is_known:
        images = _aspect_slices(images, axes, target)
    if pad_to_aspect_ratio and is_known:
        images = _aspect_padding(images, axes, target, fill_value)
    x = images if kind == "nearest" else working_float(images)
    for axis, out in zip(axes[:2], target, strict=True):
        if x.shape[axis] != out:
            x = _resize_axis(x, axis, out, kind, antialias)
    return restored(x, images.dtype)


def _target_size(size: Any) -> tuple[int, int]:
    unknown = isinstance(size, (list, tuple)) and any(s is None for s in size)
    if not isinstance(size, (list, tuple)) or len(size) != 2 or unknown or min(size) < 1:
        raise ValueError(f"resize: size must be a pair (height, width). Got {size!r}.")
    return int(size[0]), int(size[1])


_METHODS = {
    "linear": "bilinear", "bilinear": "bilinear", "trilinear": "bilinear", "triangle": "bilinear",
    "cubic": "bicubic", "bicubic": "bicubic", "tricubic": "bicubic",
    "lanczos3": "lanczos3", "lanczos5": "lanczos5",
}  # fmt: skip


def _moving_weights(
    kind: Filter, size: int, out: int, scale: Tensor, translation: Tensor, antialias: bool
) -> Tensor:
    """Return the weights (size, out) for output cells that look at (o + 1/2 - t) / scale - 1/2."""
    from lamina import ops

    step = 1.0 / scale
    stretch = ops.maximum(step, 1.0) if antialias else ops.ones_like(step)
    cells = convert(np.arange(out) + 0.5, dtype=scale.dtype)
    centers = (cells - translation) * step - 0.5
    places = convert(np.arange(size)[:, None], dtype=scale.dtype)
    weights = kind.weigh(ops, ops.abs(places - centers) / stretch)
    total = ops.sum(weights, axis=0, keepdims=True)
    is_safe = ops.abs(total) > 1000.0 * float(np.finfo("float32").eps)
    weights = ops.where(is_safe, weights / ops.where(is_safe, total, 1.0), 0.0)
    is_inside = ops.logical_and(centers >= -0.5, centers <= size - 0.5)
    return ops.where(is_inside, weights, 0.0)


@symbolic_op
def scale_and_translate(
    images: TensorLike,
    output_shape: Sequence[int],
    scale: TensorLike,
    translation: TensorLike,
    spatial_dims: Sequence[int],
    method: str,
    antialias: bool = True,
) -> Tensor:
    """Stretch and shift along some axes: input place x goes to x * scale + translation.

    Args:
        images: tensor of any rank.
        output_shape: shape of the result; equal to that of `images` on the other axes.
        scale: one factor for each of `spatial_dims`.
        translation: one shift for each of `spatial_dims`, in cells of the result.
        spatial_dims: the axes to work along.
        method: "linear", "cubic", "lanczos3" or "lanczos5".
        antialias: whether the filter widens where the image shrinks.

    Returns:
        Tensor of the type of `images`, 0 where it looks outside of them. Differentiable in
        images, scale and translation.
    """
    kind = FILTERS[
        _METHODS[_check_interpolation("scale_and_translate", "method", method, tuple(_METHODS))]
    ]
    images = convert(images)
    x = working_float(images)
    scales, shifts = convert(scale, dtype=x.dtype), convert(translation, dtype=x.dtype)
    for i, axis in enumerate(spatial_dims):
        size = x.shape[axis]
        if size is None:
            raise ValueError(f"scale_and_translate: the size of axis {axis} must be known.")
        weights = _moving_weights(kind, size, output_shape[axis], scales[i], shifts[i], antialias)
        moved = apply("matmul", moveaxis(x, axis, -1), weights)
        x = moveaxis(moved, -1, axis)
    return restored(x, images.dtype)


__all__ = ["resize", "scale_and_translate"]
