"""Convolution over one to three spatial axes; the engine works on channels-last data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from lamina import config
from lamina.ops.core import TensorLike, promote, reshape_to
from lamina.tensor import Tensor
from lamina.tracing import apply, symbolic_op

PADDINGS = ("valid", "same", "causal")


def convolve(
    images: Tensor,
    kernel: Tensor,
    bias: Tensor | None = None,
    *,
    strides: Sequence[int],
    dilations: Sequence[int],
    padding: str | Sequence[Sequence[int]],
    groups: int = 1,
) -> Tensor:
    """Convolve channels-last data; the kernel is (*sizes, channels / groups, filters).

    `padding` is "valid", "same", "causal", or (before, after) for each axis.
    """
    operands = (images, kernel) if bias is None else (images, kernel, bias)
    outputs: Tensor = apply(
        "conv",
        *operands,
        strides=list(strides),
        dilations=list(dilations),
        groups=groups,
        **_padding_attrs(padding),
        **_way_attrs(),
    )
    return outputs


def convolve_apart(
    images: Tensor,
    kernel: Tensor,
    bias: Tensor | None = None,
    *,
    strides: Sequence[int],
    dilations: Sequence[int],
    padding: str | Sequence[Sequence[int]],
) -> Tensor:
    """Convolve each channel with its own kernels (*sizes, channels, multiplier)."""
    *sizes, channels, multiplier = kernel.shape
    return convolve(
        images,
        reshape_to(kernel, [*sizes, 1, channels * multiplier]),
        bias,
        strides=strides,
        dilations=dilations,
        padding=padding,
        groups=channels,
    )


def convolve_transposed(
    images: Tensor,
    kernel: Tensor,
    *,
    strides: Sequence[int],
    dilations: Sequence[int],
    padding: str,
    output_padding: Sequence[int] | None = None,
) -> Tensor:
    """Apply the transpose of a convolution to channels-last data.

    Every input adds the kernel (*sizes, filters, channels), times its value, to the output. It is
    the input gradient of a convolution that leaves out what `padding` cuts off the result.
    """
    batch, *spatial, _ = images.shape
    *windows, filters, _ = kernel.shape
    sizes, pads = [], []
    for axis, (size, window) in enumerate(zip(spatial, windows, strict=True)):
        extent, stride = (window - 1) * dilations[axis] + 1, strides[axis]
        extra = None if output_padding is None else output_padding[axis]
        last = transposed_end(extent, stride, padding, extra)
        before = max((extent - last) // 2, 0) if padding == "same" else 0
        sizes.append(None if size is None else (size - 1) * stride + last)
        pads += [before, extent - last - before]
    outputs: Tensor = apply(
        "conv_input_grad",
        images,
        kernel,
        input_shape=[-1 if size is None else size for size in (batch, *sizes, filters)],
        strides=list(strides),
        dilations=list(dilations),
        pads=pads,
        **_way_attrs(),
    )
    return outputs


def transposed_end(extent: int, stride: int, padding: str, output_padding: int | None) -> int:
    """Return how far a transposed convolution's output goes beyond the last input's first cell.

    Without `output_padding`, "same" multiplies sizes by the stride and "valid" keeps all of the
    kernel, at least a stride.
    """
    if output_padding is None:
        return stride if padding == "same" else max(extent, stride)
    return output_padding + (extent % 2 if padding == "same" else extent)


def _padding_attrs(padding: str | Sequence[Sequence[int]]) -> dict[str, Any]:
    if isinstance(padding, str):
        return {"padding": padding}
    return {"pads": [int(cells) for pair in padding for cells in pair]}


def _way_attrs() -> dict[str, Any]:
    return {} if config.is_winograd_enabled() else {"winograd": False}


# ---- Arguments of the public functions


def _sizes(op: str, name: str, value: Any, rank: int, least: int = 1) -> list[int]:
    sizes = [int(v) for v in value] if isinstance(value, (list, tuple)) else [int(value)] * rank
    if len(sizes) != rank or any(size < least for size in sizes):
        raise ValueError(
            f"{op}: {name} must be an integer >= {least}, or {rank} of them. Got {value!r}."
        )
    return sizes


def _padding(op: str, padding: Any, rank: int) -> str | list[list[int]]:
    """Return a name in lower case or (before, after) for each axis."""
    if isinstance(padding, str):
        if padding.lower() in PADDINGS:
            return padding.lower()
    elif isinstance(padding, int) and padding >= 0:
        return [[padding, padding]] * rank
    elif isinstance(padding, (list, tuple)) and len(padding) == rank:
        pairs = [[p, p] if isinstance(p, int) else [int(cells) for cells in p] for p in padding]
        if all(len(pair) == 2 and min(pair) >= 0 for pair in pairs):
            return pairs
    raise ValueError(
        f"{op}: padding must be 'valid', 'same', 'causal', or for each of the {rank} axes an "
        f"integer >= 0 or two of them (before, after). Got {padding!r}."
    )


def _is_channels_first(op: str, data_format: str | None) -> bool:
    layout = data_format or config.image_data_format()
    if layout not in ("channels_last", "channels_first"):
        raise ValueError(
            f"{op}: data_format must be 'channels_last' or 'channels_first'. Got {data_format!r}."
        )
    return layout == "channels_first"


def _operands(op: str, *operands: TensorLike) -> tuple[tuple[Tensor, ...], int]:
    """Return inputs and kernels as tensors of one float type, and the number of spatial axes."""
    tensors = promote(*operands, floating=True)
    images, *kernels = tensors
    if images.ndim not in (3, 4, 5):
        raise ValueError(
            f"{op}: inputs must have a batch axis, one to three spatial axes and channels. "
            f"Got shape {images.shape}."
        )
    for kernel in kernels:
        if kernel.ndim != images.ndim:
            raise ValueError(
                f"{op}: the kernel must have {images.ndim} axes for inputs {images.shape}. "
                f"Got shape {kernel.shape}."
            )
    return tensors, images.ndim - 2


def _channels_last(images: Tensor, is_first: bool, compute: Callable[[Tensor], Tensor]) -> Tensor:
    """Compute on channels-last data; what comes with channels first is returned so."""
    if not is_first:
        return compute(images)
    last = images.ndim - 1
    y = compute(apply("transpose", images, perm=[0, *range(2, last + 1), 1]))
    turned: Tensor = apply("transpose", y, perm=[0, last, *range(1, last)])
    return turned


def _check_depthwise(op: str, images: Tensor, kernel: Tensor) -> None:
    if images.shape[-1] != kernel.shape[-2]:
        raise ValueError(
            f"{op}: inputs have {images.shape[-1]} channels, the kernel {kernel.shape} takes "
            f"{kernel.shape[-2]}."
        )


# ---- Public functions


@symbolic_op
def conv(
    inputs: TensorLike,
    kernel: TensorLike,
    strides: int | Sequence[int] = 1,
    padding: str | int | Sequence[Any] = "valid",
    data_format: str | None = None,
    dilation_rate: int | Sequence[int] = 1,
) -> Tensor:
    """Convolve (cross-correlate) over one to three spatial axes.

    Args:
        inputs: (batch, *spatial, channels), or channels after batch.
        kernel: (*sizes, channels / groups, filters).
        strides: step in each direction.
        padding: "valid"; "same": output size is input size / stride, rounded up; "causal": all
            of the padding is before the first cell; or the numbers of zeros: an integer, or for
            each axis an integer or a pair (before, after).
        data_format: "channels_last" or "channels_first"; None: the configured one.
        dilation_rate: distance between the taps of the kernel.

    Raises:
        ValueError: for arguments out of range, and shapes that do not fit each other.
    """
    (images, weights), rank = _operands("conv", inputs, kernel)
    settings: dict[str, Any] = {
        "strides": _sizes("conv", "strides", strides, rank),
        "dilations": _sizes("conv", "dilation_rate", dilation_rate, rank),
        "padding": _padding("conv", padding, rank),
    }

    def compute(x: Tensor) -> Tensor:
        groups, rest = divmod(x.shape[-1], weights.shape[-2])
        if rest or groups < 1:
            raise ValueError(
                f"conv: inputs have {x.shape[-1]} channels, the kernel {weights.shape} takes "
                f"{weights.shape[-2]}; the first must be a multiple of the second."
            )
        return convolve(x, weights, groups=groups, **settings)

    return _channels_last(images, _is_channels_first("conv", data_format), compute)


@symbolic_op
def conv_transpose(
    inputs: TensorLike,
    kernel: TensorLike,
    strides: int | Sequence[int] = 1,
    padding: str = "valid",
    output_padding: int | Sequence[int] | None = None,
    data_format: str | None = None,
    dilation_rate: int | Sequence[int] = 1,
) -> Tensor:
    """Apply the transpose of a convolution (also called deconvolution).

    Args:
        inputs: (batch, *spatial, channels), or channels after batch.
        kernel: (*sizes, filters, channels).
        strides: distance of neighbouring inputs in the output.
        padding: "valid": output size is (size - 1) * stride + kernel size, at least
            size * stride; "same": size * stride.
        output_padding: cells added to the smallest output that the padding allows; None: the
            sizes above.
        data_format: "channels_last" or "channels_first"; None: the configured one.
        dilation_rate: distance between the taps of the kernel.

    Raises:
        ValueError: for arguments out of range, and shapes that do not fit each other.
    """
    op = "conv_transpose"
    (images, weights), rank = _operands(op, inputs, kernel)
    lowered = padding.lower() if isinstance(padding, str) else padding
    if lowered not in ("valid", "same"):
        raise ValueError(f"{op}: padding must be 'valid' or 'same'. Got {padding!r}.")
    extra = None
    if output_padding is not None:
        extra = _sizes(op, "output_padding", output_padding, rank, least=0)
    settings: dict[str, Any] = {
        "strides": _sizes(op, "strides", strides, rank),
        "dilations": _sizes(op, "dilation_rate", dilation_rate, rank),
        "padding": lowered,
        "output_padding": extra,
    }

    def compute(x: Tensor) -> Tensor:
        if x.shape[-1] != weights.shape[-1]:
            raise ValueError(
                f"{op}: inputs have {x.shape[-1]} channels, the kernel {weights.shape} takes "
                f"{weights.shape[-1]}."
            )
        return convolve_transposed(x, weights, **settings)

    return _channels_last(images, _is_channels_first(op, data_format), compute)


@symbolic_op
def depthwise_conv(
    inputs: TensorLike,
    kernel: TensorLike,
    strides: int | Sequence[int] = 1,
    padding: str | int | Sequence[Any] = "valid",
    data_format: str | None = None,
    dilation_rate: int | Sequence[int] = 1,
) -> Tensor:
    """Convolve every channel with kernels of its own.

    Args:
        inputs: (batch, *spatial, channels), or channels after batch.
        kernel: (*sizes, channels, multiplier).
        strides, padding, data_format, dilation_rate: as for `conv`.

    Returns:
        Tensor with channels * multiplier channels.

    Raises:
        ValueError: for arguments out of range, and shapes that do not fit each other.
    """
    op = "depthwise_conv"
    (images, weights), rank = _operands(op, inputs, kernel)
    settings: dict[str, Any] = {
        "strides": _sizes(op, "strides", strides, rank),
        "dilations": _sizes(op, "dilation_rate", dilation_rate, rank),
        "padding": _padding(op, padding, rank),
    }

    def compute(x: Tensor) -> Tensor:
        _check_depthwise(op, x, weights)
        return convolve_apart(x, weights, **settings)

    return _channels_last(images, _is_channels_first(op, data_format), compute)


@symbolic_op
def separable_conv(
    inputs: TensorLike,
    depthwise_kernel: TensorLike,
    pointwise_kernel: TensorLike,
    strides: int | Sequence[int] = 1,
    padding: str | int | Sequence[Any] = "valid",
    data_format: str | None = None,
    dilation_rate: int | Sequence[int] = 1,
) -> Tensor:
    """Convolve channels apart (`depthwise_conv`), then mix them with a kernel of size 1.

    Args:
        inputs: (batch, *spatial, channels), or channels after batch.
        depthwise_kernel: (*sizes, channels, multiplier).
        pointwise_kernel: (1 for each spatial axis, channels * multiplier, filters).
        strides, padding, data_format, dilation_rate: as for `conv`.

    Raises:
        ValueError: for arguments out of range, and shapes that do not fit each other.
    """
    op = "separable_conv"
    (images, apart, mixing), rank = _operands(op, inputs, depthwise_kernel, pointwise_kernel)
    settings: dict[str, Any] = {
        "strides": _sizes(op, "strides", strides, rank),
        "dilations": _sizes(op, "dilation_rate", dilation_rate, rank),
        "padding": _padding(op, padding, rank),
    }
    ones = [1] * rank

    def compute(x: Tensor) -> Tensor:
        _check_depthwise(op, x, apart)
        y = convolve_apart(x, apart, **settings)
        return convolve(y, mixing, strides=ones, dilations=ones, padding="valid")

    return _channels_last(images, _is_channels_first(op, data_format), compute)


__all__ = ["conv", "conv_transpose", "depthwise_conv", "separable_conv"]
