"""Cutting off and adding sides."""

from __future__ import annotations

from lamina.ops.core import TensorLike
from lamina.ops.image.layout import image_axes
from lamina.tensor import Tensor
from lamina.tracing import apply, convert, symbolic_op


def _sides(
    op: str, what: str, side_names: tuple[str, str], target_name: str,
    given: tuple[int | None, int | None], target: int | None, size: int | None,
) -> tuple[int, int]:  # fmt: skip
    """Return both sides of an axis, from two of the three numbers: side, side, size of the result.

    `what` is "padding" or "cropping": it says whether the sides are added or cut off.
    """
    names = (*side_names, target_name)
    if sum(value is not None for value in (*given, target)) != 2:
        listed = f"{names[0]}={given[0]}, {names[1]}={given[1]}, {names[2]}={target}"
        raise ValueError(f"{op}: exactly two of {', '.join(names)} must be given. Got {listed}.")
    known = [0 if value is None else int(value) for value in given]
    if target is not None:
        if size is None:
            raise ValueError(f"{op}: {target_name} needs images of known size.")
        difference = target - size if what == "padding" else size - target
        known[0 if given[0] is None else 1] = difference - sum(known)
    for name, value in zip(side_names, known, strict=True):
        if value < 0:
            raise ValueError(f"{op}: {name} must be at least 0. Got {value}.")
    return known[0], known[1]


@symbolic_op
def pad_images(
    images: TensorLike,
    top_padding: int | None = None,
    left_padding: int | None = None,
    bottom_padding: int | None = None,
    right_padding: int | None = None,
    target_height: int | None = None,
    target_width: int | None = None,
    data_format: str | None = None,
) -> Tensor:
    """Add rows and columns of zeros.

    Of top, bottom and target height exactly two are given, and likewise of left, right and target
    width.

    Args:
        images: (height, width, channels) or (batch, height, width, channels), or channels before
            height.
        top_padding, left_padding, bottom_padding, right_padding: rows or columns to add.
        target_height, target_width: size of the result.
        data_format: "channels_last" or "channels_first"; None: the configured one.
    """
    images = convert(images)
    axes = image_axes("pad_images", images, data_format)
    low, high = [0] * images.ndim, [0] * images.ndim
    low[axes.height], high[axes.height] = _sides(
        "pad_images", "padding", ("top_padding", "bottom_padding"), "target_height",
        (top_padding, bottom_padding), target_height, images.shape[axes.height],
    )  # fmt: skip
    low[axes.width], high[axes.width] = _sides(
        "pad_images", "padding", ("left_padding", "right_padding"), "target_width",
        (left_padding, right_padding), target_width, images.shape[axes.width],
    )  # fmt: skip
    return apply("pad", images, low=low, high=high, mode="constant", value=0.0)


@symbolic_op
def crop_images(
    images: TensorLike,
    top_cropping: int | None = None,
    left_cropping: int | None = None,
    bottom_cropping: int | None = None,
    right_cropping: int | None = None,
    target_height: int | None = None,
    target_width: int | None = None,
    data_format: str | None = None,
) -> Tensor:
    """Cut off rows and columns.

    Of top, bottom and target height exactly two are given, and likewise of left, right and target
    width.

    Args:
        images: (height, width, channels) or (batch, height, width, channels), or channels before
            height.
        top_cropping, left_cropping, bottom_cropping, right_cropping: rows or columns to cut off.
        target_height, target_width: size of the result.
        data_format: "channels_last" or "channels_first"; None: the configured one.
    """
    images = convert(images)
    axes = image_axes("crop_images", images, data_format)
    kept = [slice(None)] * images.ndim
    top, bottom = _sides(
        "crop_images", "cropping", ("top_cropping", "bottom_cropping"), "target_height",
        (top_cropping, bottom_cropping), target_height, images.shape[axes.height],
    )  # fmt: skip
    left, right = _sides(
        "crop_images", "cropping", ("left_cropping", "right_cropping"), "target_width",
        (left_cropping, right_cropping), target_width, images.shape[axes.width],
    )  # fmt: skip
    kept[axes.height] = slice(top, -bottom or None)
    kept[axes.width] = slice(left, -right or None)
    return images[tuple(kept)]


__all__ = ["crop_images", "pad_images"]
