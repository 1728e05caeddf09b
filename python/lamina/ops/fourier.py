"""Fourier transforms. Complex numbers are pairs (real part, imaginary part) of tensors."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lamina.ops.core import (
    TensorLike,
    filled,
    normalize_axis,
    promote,
    reshape_to,
    size_of,
    to_float,
)
from lamina.ops.layout import permute
from lamina.tensor import Tensor
from lamina.tracing import apply, convert, symbolic_op


def _pair(op: str, x: Any) -> tuple[Tensor, Tensor]:
    if not isinstance(x, (tuple, list)) or len(x) != 2:
        raise ValueError(
            f"{op}: `x` must be a pair of tensors, the real and the imaginary part. Got {x!r}."
        )
    re, im = promote(*x, floating=True)
    if re.shape != im.shape:
        raise ValueError(
            f"{op}: the real part has shape {re.shape}, the imaginary part {im.shape}; they must "
            "be equal."
        )
    return re, im


def _transform(re: Tensor, im: Tensor, inverse: bool, axis: int = -1) -> tuple[Tensor, Tensor]:
    """The unscaled transform along `axis`."""
    perm = list(range(re.ndim))
    place = normalize_axis(axis, re.ndim, "fft")
    perm[place], perm[-1] = perm[-1], perm[place]
    out = apply("fft", permute(re, perm), permute(im, perm), inverse=inverse)
    return permute(out[0], perm), permute(out[1], perm)


def _scaled(x: Tensor, factor: float) -> Tensor:
    return apply("multiply", x, convert(factor, dtype=x.dtype))


def _unknown(x: Tensor, sizes: list[int | None]) -> Tensor:
    """A tensor of which only the sizes matter, while a model's shapes are worked out."""
    return filled(0, sizes, x.dtype, x)


@symbolic_op
def fft(x: Any) -> tuple[Tensor, Tensor]:
    """Return the discrete Fourier transform of the last axis.

    Args:
        x: (real part, imaginary part), tensors of one shape.
    """
    re, im = _pair("fft", x)
    _needs_axes("fft", re, 1)
    _needs_sizes("fft", re, 1)
    return _transform(re, im, False)


@symbolic_op
def fft2(x: Any) -> tuple[Tensor, Tensor]:
    """Return the discrete Fourier transform of the last two axes.

    Args:
        x: (real part, imaginary part), tensors of one shape.
    """
    re, im = _pair("fft2", x)
    _needs_axes("fft2", re, 2)
    _needs_sizes("fft2", re, 2)
    re, im = _transform(re, im, False)
    return _transform(re, im, False, -2)


def _needs_axes(op: str, x: Tensor, count: int) -> None:
    if x.ndim < count:
        raise ValueError(f"{op}: Input should have rank >= {count}. Received: shape {x.shape}.")


@symbolic_op
def ifft2(x: Any) -> tuple[Tensor, Tensor]:
    """Return the inverse of `fft2`.

    Args:
        x: (real part, imaginary part), tensors of one shape.
    """
    re, im = _pair("ifft2", x)
    _needs_axes("ifft2", re, 2)
    _needs_sizes("ifft2", re, 2)
    re, im = _transform(re, im, True)
    re, im = _transform(re, im, True, -2)
    count = size_of(re.shape[-2:]) or 1
    return _scaled(re, 1.0 / count), _scaled(im, 1.0 / count)


def _needs_sizes(op: str, x: Tensor, count: int) -> None:
    if None in x.shape[-count:]:
        raise ValueError(
            f"{op}: the size of the last {count} axes must be known. Got shape {x.shape}."
        )


def _resized(x: Tensor, length: int) -> Tensor:
    """The last axis cut, or filled up with zeros."""
    from lamina.ops.joining import interval

    now = x.shape[-1]
    if now is None:
        return _unknown(x, [*x.shape[:-1], length])
    if now >= length:
        return interval(x, x.ndim - 1, 0, length) if now > length else x
    low, high = [0] * x.ndim, [0] * (x.ndim - 1) + [length - now]
    return apply("pad", x, low=low, high=high, mode="constant", value=0.0)


@symbolic_op
def rfft(x: TensorLike, fft_length: int | None = None) -> tuple[Tensor, Tensor]:
    """Return the first half of the discrete Fourier transform of a real tensor's last axis.

    Args:
        x: real tensor.
        fft_length: to which the axis is cut or filled up with zeros; None: as it is.

    Returns:
        (real part, imaginary part), the last axis of size fft_length // 2 + 1.
    """
    x = to_float(x)
    _needs_axes("rfft", x, 1)
    length = x.shape[-1] if fft_length is None else int(fft_length)
    if length is None:
        empty = _unknown(x, [*x.shape[:-1], None])
        return empty, empty
    x = _resized(x, length)
    re, im = _transform(x, apply("subtract", x, x), False)
    return _resized(re, length // 2 + 1), _resized(im, length // 2 + 1)


@symbolic_op
def irfft(x: Any, fft_length: int | None = None) -> Tensor:
    """Return the real tensor whose `rfft` is `x`.

    Args:
        x: (real part, imaginary part), tensors of one shape.
        fft_length: size of the result's last axis; None: 2 * (bins - 1).
    """
    re, im = _pair("irfft", x)
    _needs_axes("irfft", re, 1)
    bins = re.shape[-1]
    if bins is None and fft_length is None:
        return _unknown(re, [*re.shape[:-1], None])
    length = 2 * (bins - 1) if fft_length is None else int(fft_length)
    half = length // 2 + 1
    re, im = _resized(re, half), _resized(im, half)
    # The other half mirrors this one, with the sign of the imaginary part turned.
    mirror = convert(np.arange((length - 1) // 2, 0, -1))
    axis = re.ndim - 1
    if mirror.shape[0]:
        re = apply("concat", re, apply("gather", re, mirror, axis=axis), axis=axis)
        tail = apply("negative", apply("gather", im, mirror, axis=axis))
        im = apply("concat", im, tail, axis=axis)
    return _scaled(_transform(re, im, True)[0], 1.0 / length)


@symbolic_op
def extract_sequences(x: TensorLike, sequence_length: int, sequence_stride: int) -> Tensor:
    """Cut the last axis into windows that may overlap.

    Args:
        x: (..., length).
        sequence_length: size of a window.
        sequence_stride: distance from one window's start to the next one's.

    Returns:
        (..., windows, sequence_length); what does not fill a window at the end is left out.
    """
    x = convert(x)
    _needs_axes("extract_sequences", x, 1)
    length, size, stride = x.shape[-1], int(sequence_length), int(sequence_stride)
    if size < 1 or stride < 1:
        raise ValueError(
            "extract_sequences: sequence_length and sequence_stride must be positive. Got "
            f"{sequence_length!r} and {sequence_stride!r}."
        )
    if length is None:
        return _unknown(x, [*x.shape[:-1], None, size])
    starts = np.arange(max(0, 1 + (length - size) // stride)) * stride
    ids = starts[:, None] + np.arange(size)
    return apply("gather", x, convert(ids.astype(np.int64)), axis=x.ndim - 1)


def _window(op: str, window: Any, length: int, fft_length: int, dtype: str) -> Tensor:
    """The window in the middle of `fft_length` elements; None stands for ones."""
    if window is None:
        values: Any = np.ones(length)
    elif isinstance(window, str):
        if window not in ("hann", "hamming"):
            raise ValueError(
                f"{op}: `window` must be 'hann', 'hamming' or a tensor. Got {window!r}."
            )
        phase = np.cos(2 * math.pi * np.arange(length) / length)
        values = 0.5 - 0.5 * phase if window == "hann" else 0.54 - 0.46 * phase
    else:
        if tuple(convert(window).shape) != (length,):
            raise ValueError(
                f"{op}: `window` must have shape (sequence_length,) = ({length},). Got "
                f"{tuple(convert(window).shape)}."
            )
        values = convert(window, dtype=dtype)
    left = (fft_length - length) // 2
    if isinstance(values, np.ndarray):
        padded = np.pad(values, (left, fft_length - length - left))
        return convert(padded.astype(np.float64), dtype=dtype)
    return apply("pad", values, low=[left], high=[fft_length - length - left], mode="constant",
                 value=0.0)  # fmt: skip


def _check_lengths(op: str, length: int, stride: Any, fft_length: int) -> None:
    if not isinstance(stride, (int, np.integer)) or stride < 1:
        raise ValueError(f"{op}: `sequence_stride` must be a positive integer. Got {stride!r}.")
    if length < 1 or fft_length < length:
        raise ValueError(
            f"{op}: `fft_length` must equal or exceed sequence_length, which must be positive. "
            f"Got sequence_length={length!r}, fft_length={fft_length!r}."
        )


@symbolic_op
def stft(
    x: TensorLike,
    sequence_length: int,
    sequence_stride: int,
    fft_length: int,
    window: Any = "hann",
    center: bool = True,
) -> tuple[Tensor, Tensor]:
    """Return the Fourier transforms of windows of a signal.

    Args:
        x: real tensor (..., length).
        sequence_length: size of the window.
        sequence_stride: distance between neighbouring windows.
        fft_length: size of the transform, at least `sequence_length`.
        window: "hann", "hamming", a tensor (sequence_length,), or None for ones.
        center: whether the signal is mirrored by fft_length // 2 at both ends first.

    Returns:
        (real part, imaginary part), (..., windows, fft_length // 2 + 1).
    """
    x = convert(x)
    if x.dtype not in ("float32", "float64"):
        raise TypeError(f"stft: x must be of type `float32` or `float64`. Got {x.dtype}.")
    _needs_axes("stft", x, 1)
    size = int(fft_length)
    _check_lengths("stft", int(sequence_length), sequence_stride, size)
    if center:
        edge = [0] * (x.ndim - 1) + [size // 2]
        if x.shape[-1] is not None:
            x = apply("pad", x, low=edge, high=edge, mode="reflect", value=0.0)
    frames = extract_sequences(x, size, sequence_stride)
    weights = _window("stft", window, int(sequence_length), size, x.dtype)
    return rfft(apply("multiply", frames, weights))


def _overlap_add(frames: Tensor, stride: int) -> Tensor:
    """Add up windows (..., windows, size) at their places in a signal."""
    *outer, count, size = frames.shape
    if count is None or None in outer:
        total = None if count is None else (count - 1) * stride + size
        return _unknown(frames, [*outer, total])
    total = (count - 1) * stride + size
    ids = (np.arange(count)[:, None] * stride + np.arange(size)).reshape(-1)
    batch = math.prod(outer)
    updates = permute(reshape_to(frames, [batch, count * size]), [1, 0])
    start = filled(0, [total, batch], frames.dtype, frames)
    out = apply("scatter_rows", start, convert(ids.astype(np.int64)), updates, reduction="add")
    return reshape_to(permute(out, [1, 0]), [*outer, total])


@symbolic_op
def istft(
    x: Any,
    sequence_length: int,
    sequence_stride: int,
    fft_length: int,
    length: int | None = None,
    window: Any = "hann",
    center: bool = True,
) -> Tensor:
    """Return the signal whose `stft` is `x`, as far as its windows determine it.

    Args:
        x: (real part, imaginary part), (..., windows, fft_length // 2 + 1).
        sequence_length, sequence_stride, fft_length, window, center: as for `stft`.
        length: size of the result; None: as many elements as the windows cover.
    """
    from lamina.ops.joining import interval

    re, im = _pair("istft", x)
    _needs_axes("istft", re, 2)
    size = int(fft_length)
    _check_lengths("istft", int(sequence_length), sequence_stride, size)
    stride = int(sequence_stride)
    frames = irfft((re, im), size)
    weights = _window("istft", window, int(sequence_length), size, frames.dtype)
    signal = _overlap_add(apply("multiply", frames, weights), stride)
    total = signal.shape[-1]
    if total is None:
        return _unknown(signal, [*signal.shape[:-1], length])
    if window is not None:
        overlap = _overlap(apply("square", weights), stride, frames.shape[-2], center)
        signal = apply("divide", signal, overlap)
    begin = size // 2 if center else 0
    end = total - begin if length is None else min(begin + int(length), total)
    return interval(signal, signal.ndim - 1, begin, end)


def _overlap(square: Tensor, stride: int, count: int, center: bool) -> Tensor:
    """How much the windows weigh together at each place of the signal.

    Without `center` the ends, where windows are missing, count as if there were more.
    """
    size = square.shape[0]
    extra = 0 if center else -(-size // stride)
    spread = apply("broadcast_to", square, shape=[count + 2 * extra, size])
    total = _overlap_add(spread, stride)
    middle = apply("slice", total, begin=[extra * stride],
                   end=[extra * stride + (count - 1) * stride + size], strides=[1])  # fmt: skip
    # Where no window reaches there is nothing to divide.
    covered = apply("greater", middle, convert(1e-11, dtype=square.dtype))
    return apply("select", covered, middle, convert(1.0, dtype=square.dtype))


__all__ = [
    "extract_sequences",
    "fft",
    "fft2",
    "ifft2",
    "irfft",
    "istft",
    "rfft",
    "stft",
]
