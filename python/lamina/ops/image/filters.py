"""Filters over neighbourhoods of pixels, and what is measured with them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lamina.ops.convolution import depthwise_conv
from lamina.ops.core import TensorLike, promote, reshape_to
from lamina.ops.image.layout import as_batch, from_batch, pair, restored, working_float
from lamina.ops.joining import stack
from lamina.tensor import Tensor
from lamina.tracing import apply, convert, symbolic_op


def _bell(size: int, sigma: Any, dtype: str) -> Tensor:
    """Return `size` weights of a normal distribution around the middle; their sum is 1."""
    places = convert(np.arange(size) - (size - 1) / 2, dtype=dtype)
    z = places / convert(sigma, dtype=dtype)
    weights = apply("exp", z * z * -0.5)
    return weights / apply("sum", weights, axes=[0], keepdims=True)


def _along(x: Tensor, weights: Tensor, axis: int, padding: str) -> Tensor:
    """Filter each channel of a channels-last batch along height (1) or width (2)."""
    channels = x.shape[-1]
    taps = weights.shape[0]
    kernel = reshape_to(weights, [taps, 1, 1, 1] if axis == 1 else [1, taps, 1, 1])
    kernel = apply("broadcast_to", kernel, shape=[*kernel.shape[:2], channels, 1])
    return depthwise_conv(x, kernel, 1, padding, "channels_last")


def _smooth(x: Tensor, rows: Tensor, columns: Tensor, padding: str) -> Tensor:
    return _along(_along(x, rows, 1, padding), columns, 2, padding)


@symbolic_op
def gaussian_blur(
    images: TensorLike,
    kernel_size: Sequence[int] = (3, 3),
    sigma: Sequence[float] = (1.0, 1.0),
    data_format: str | None = None,
) -> Tensor:
    """Blur images with a normal distribution; beyond the edges there are zeros.

    Args:
        images: (height, width, channels) or (batch, height, width, channels), or channels before
            height.
        kernel_size: number of columns and rows that are mixed.
        sigma: standard deviation in columns and rows.
        data_format: "channels_last" or "channels_first"; None: the configured one.

    Returns:
        Images of the same shape and type.
    """
    images = convert(images)
    width, height = pair("gaussian_blur", "kernel_size", kernel_size)
    sigmas = sigma if isinstance(sigma, (list, tuple)) or hasattr(sigma, "shape") else (sigma,) * 2
    x = working_float(as_batch("gaussian_blur", images, data_format))
    rows, columns = _bell(height, sigmas[1], x.dtype), _bell(width, sigmas[0], x.dtype)
    blurred = restored(_smooth(x, rows, columns, "same"), images.dtype)
    return from_batch("gaussian_blur", blurred, images, data_format)


@symbolic_op
def sobel_edges(images: TensorLike, data_format: str | None = None) -> Tensor:
    """Return how fast images change from row to row and from column to column.

    Args:
        images: (batch, height, width, channels), or channels before height.
        data_format: "channels_last" or "channels_first"; None: the configured one.

    Returns:
        Tensor of the shape of `images` and one more axis: vertical, horizontal change. Beyond the
        edges there are zeros.
    """
    images = convert(images)
    if images.ndim != 4:
        raise ValueError(f"sobel_edges: images must have 4 axes. Got shape {images.shape}.")
    x = working_float(as_batch("sobel_edges", images, data_format))
    change = convert([-1.0, 0.0, 1.0], dtype=x.dtype)
    mean = convert([1.0, 2.0, 1.0], dtype=x.dtype)
    edges = [_smooth(x, change, mean, "same"), _smooth(x, mean, change, "same")]
    return stack([from_batch("sobel_edges", edge, images, data_format) for edge in edges], axis=-1)


@symbolic_op
def ssim(
    image1: TensorLike,
    image2: TensorLike,
    max_val: float = 1.0,
    filter_size: int = 11,
    filter_sigma: float = 1.5,
    k1: float = 0.01,
    k2: float = 0.03,
    data_format: str | None = None,
) -> Tensor:
    """Return the structural similarity of images: 1 where they are equal.

    Args:
        image1, image2: (height, width, channels) or (batch, height, width, channels), or channels
            before height.
        max_val: difference between the largest and the smallest value that pixels can have.
        filter_size: rows and columns of the neighbourhood that is compared.
        filter_sigma: standard deviation of the weights in it.
        k1, k2: keep quotients finite where images are dark or flat.
        data_format: "channels_last" or "channels_first"; None: the configured one.

    Returns:
        One number for each image.

    Source: Wang, Bovik, Sheikh, Simoncelli. Image quality assessment. 2004.
    """
    first, second = promote(image1, image2, floating=True)
    a = working_float(as_batch("ssim", first, data_format))
    b = working_float(as_batch("ssim", second, data_format))
    bell = _bell(int(filter_size), float(filter_sigma), a.dtype)

    def local_mean(x: Tensor) -> Tensor:
        return _smooth(x, bell, bell, "valid")

    c1, c2 = (k1 * max_val) ** 2, (k2 * max_val) ** 2
    mean_a, mean_b = local_mean(a), local_mean(b)
    covariance = local_mean(a * b) - mean_a * mean_b
    variances = local_mean(a * a) - mean_a * mean_a + local_mean(b * b) - mean_b * mean_b
    lightness = (2.0 * mean_a * mean_b + c1) / (mean_a * mean_a + mean_b * mean_b + c1)
    structure = (2.0 * covariance + c2) / (variances + c2)
    score = apply("mean", lightness * structure, axes=[1, 2, 3], keepdims=False)
    score = restored(score, first.dtype)
    return score[0] if first.ndim == 3 else score


__all__ = ["gaussian_blur", "sobel_edges", "ssim"]
