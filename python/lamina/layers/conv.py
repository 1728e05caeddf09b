"""Convolutions over one and two axes."""

from __future__ import annotations

from typing import Any

from lamina import activations, config, initializers, ops, regularizers, tracing
from lamina import constraints as weight_constraints
from lamina.layers.base import Layer
from lamina.layers.spec import InputSpec
from lamina.validation import Boolean, Integer, Integers, OneOf

SPATIAL_NAMES = {1: ("steps",), 2: ("height", "width"), 3: ("depth", "height", "width")}


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


class BaseConv(Layer):
    """What the convolution layers share: arguments, weights, shapes. See `Conv2D`."""

    def __init__(
        self,
        rank: int,
        filters: int,
        kernel_size: Any,
        strides: Any = 1,
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: Any = 1,
        groups: int = 1,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(activity_regularizer=activity_regularizer, **kwargs)
        self.rank = rank
        self.filters, self.kernel_size, self.strides, self.dilation_rate = self.validated(
            filters=filters, kernel_size=kernel_size, strides=strides, dilation_rate=dilation_rate
        )
        self.padding, data_format, self.groups, self.use_bias = self.validated(
            padding=padding, data_format=data_format, groups=groups, use_bias=use_bias
        )
        self.data_format = data_format or config.image_data_format()
        self.activation = self.resolved(activations.get, activation)
        self.kernel_initializer = self.resolved(initializers.get, kernel_initializer)
        self.bias_initializer = self.resolved(initializers.get, bias_initializer)
        self.kernel_regularizer = self.resolved(regularizers.get, kernel_regularizer)
        self.bias_regularizer = self.resolved(regularizers.get, bias_regularizer)
        self.kernel_constraint = self.resolved(weight_constraints.get, kernel_constraint)
        self.bias_constraint = self.resolved(weight_constraints.get, bias_constraint)
        self.input_spec = InputSpec(ndim=rank + 2)
        self.kernel: Any = None
        self.bias: Any = None
        self._check_combinations()

    def _check_combinations(self) -> None:
        owner = type(self).__name__
        if self.filters % self.groups:
            raise ValueError(
                f"{owner}: filters must be divisible by groups. Got filters={self.filters}, "
                f"groups={self.groups}."
            )
        if max(self.strides) > 1 and max(self.dilation_rate) > 1:
            raise ValueError(
                f"{owner}: strides and dilation_rate cannot both be above 1. "
                f"Got strides={self.strides}, dilation_rate={self.dilation_rate}."
            )
        if self.padding == "causal" and self.data_format == "channels_first":
            raise ValueError(f"{owner}: padding='causal' needs data_format='channels_last'.")

    @property
    def _channel_axis(self) -> int:
        return -1 if self.data_format == "channels_last" else 1

    def build(self, input_shape: Any) -> None:
        channels = input_shape[self._channel_axis]
        if channels is None:
            raise ValueError(
                f"{self.name} ({type(self).__name__}): the number of channels must be known, got "
                f"input shape {tuple(input_shape)}."
            )
        if channels % self.groups:
            raise ValueError(
                f"{self.name} ({type(self).__name__}): {channels} input channels cannot be split "
                f"into groups={self.groups}."
            )
        self.input_spec = InputSpec(min_ndim=self.rank + 2, axes={self._channel_axis: channels})
        self.kernel = self.add_weight(
            name="kernel",
            shape=(*self.kernel_size, channels // self.groups, self.filters),
            initializer=self.kernel_initializer,
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
        )
        if self.use_bias:
            self.bias = self.add_weight(
                name="bias",
                shape=(self.filters,),
                initializer=self.bias_initializer,
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
            )
        self.compute_output_shape(input_shape)

    def call(self, inputs: Any) -> Any:
        images = channels_last(self._as_float(inputs), self.data_format)
        outputs = self.activation(self._convolve(images))
        return channels_restored(outputs, self.data_format)

    def _convolve(self, images: Any) -> Any:
        """Convolve channels-last inputs of this layer's rank."""
        operands = [images, self.kernel.value]
        if self.bias is not None:
            operands.append(self.bias.value)
        return tracing.apply(
            "conv2d",
            *operands,
            strides=list(self.strides),
            dilations=list(self.dilation_rate),
            padding=self.padding,
            groups=self.groups,
        )

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        shape = tuple(input_shape)
        last = self.data_format == "channels_last"
        spatial = shape[1:-1] if last else shape[2:]
        sizes = tuple(
            window_output_size(size, window, stride, dilation, self.padding)
            for size, window, stride, dilation in zip(
                spatial, self.kernel_size, self.strides, self.dilation_rate, strict=True
            )
        )
        if any(size is not None and size < 1 for size in sizes):
            raise ValueError(
                f"{self.name} ({type(self).__name__}): kernel {_by(self.kernel_size)} does not fit "
                f"into input {_by(spatial)} with padding={self.padding!r}.\n  Computed output size "
                "would be zero or negative: use padding='same', a smaller kernel_size, or larger "
                "inputs."
            )
        return (shape[0], *sizes, self.filters) if last else (shape[0], self.filters, *sizes)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "strides": self.strides,
            "padding": self.padding,
            "data_format": self.data_format,
            "dilation_rate": self.dilation_rate,
            "groups": self.groups,
            "activation": activations.serialize(self.activation),
            "use_bias": self.use_bias,
            "kernel_initializer": initializers.serialize(self.kernel_initializer),
            "bias_initializer": initializers.serialize(self.bias_initializer),
            "kernel_regularizer": regularizers.serialize(self.kernel_regularizer),
            "bias_regularizer": regularizers.serialize(self.bias_regularizer),
            "activity_regularizer": regularizers.serialize(self.activity_regularizer),
            "kernel_constraint": weight_constraints.serialize(self.kernel_constraint),
            "bias_constraint": weight_constraints.serialize(self.bias_constraint),
        }


def _by(sizes: Any) -> str:
    return " × ".join(str(size) for size in sizes)


def _conv_constraints(rank: int, *paddings: str) -> dict[str, Any]:
    return {
        "filters": Integer(min=1),
        "kernel_size": Integers(rank),
        "strides": Integers(rank),
        "dilation_rate": Integers(rank),
        "padding": OneOf(*paddings),
        "data_format": OneOf("channels_last", "channels_first", optional=True),
        "groups": Integer(min=1),
        "use_bias": Boolean(),
    }


class Conv1D(BaseConv):
    """Slide windows of weights along a sequence (convolution over one axis).

    Args:
        filters: number of output channels, at least 1.
        kernel_size: length of the window.
        strides: step of the window.
        padding: "valid" (no padding), "same" (output length = input length / strides, rounded
            up) or "causal" (padding on the left only: no step sees a later one).
        data_format: "channels_last" (batch, steps, channels) or "channels_first"; the global
            setting when None.
        dilation_rate: distance between the window's taps.
        groups: number of channel groups convolved apart.
        activation, use_bias and the rest: as in `Dense`.

    Output shape: `(batch, new_steps, filters)`.
    Weights: kernel (kernel_size, channels / groups, filters), glorot uniform; bias (filters,).
    """

    constraints = _conv_constraints(1, "valid", "same", "causal")

    def __init__(
        self,
        filters: int,
        kernel_size: Any,
        strides: Any = 1,
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: Any = 1,
        groups: int = 1,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            1,
            filters,
            kernel_size,
            strides,
            padding,
            data_format,
            dilation_rate,
            groups,
            activation,
            use_bias,
            kernel_initializer,
            bias_initializer,
            kernel_regularizer,
            bias_regularizer,
            activity_regularizer,
            kernel_constraint,
            bias_constraint,
            **kwargs,
        )

    def _convolve(self, images: Any) -> Any:
        """Convolve as an image of one row."""
        if self.padding == "causal":
            before = self.dilation_rate[0] * (self.kernel_size[0] - 1)
            images = ops.pad(images, ((0, 0), (before, 0), (0, 0)))
        operands = [
            ops.expand_dims(images, axis=1),
            ops.expand_dims(self.kernel.value, axis=0),
        ]
        if self.bias is not None:
            operands.append(self.bias.value)
        outputs = tracing.apply(
            "conv2d",
            *operands,
            strides=[1, *self.strides],
            dilations=[1, *self.dilation_rate],
            padding="valid" if self.padding == "causal" else self.padding,
            groups=self.groups,
        )
        return ops.squeeze(outputs, axis=1)


class Conv2D(BaseConv):
    """Slide windows of weights over images (convolution over height and width).

    Args:
        filters: number of output channels, at least 1.
        kernel_size: (height, width) of the window, or one integer for both.
        strides: steps of the window, likewise.
        padding: "valid" (no padding) or "same" (output size = input size / strides, rounded up).
        data_format: "channels_last" (batch, height, width, channels) or "channels_first"; the
            global setting when None.
        dilation_rate: distance between the window's taps, likewise.
        groups: number of channel groups convolved apart.
        activation, use_bias and the rest: as in `Dense`.

    Output shape: `(batch, new_height, new_width, filters)`.
    Weights: kernel (*kernel_size, channels / groups, filters), glorot uniform; bias (filters,).
    """

    constraints = _conv_constraints(2, "valid", "same")

    def __init__(
        self,
        filters: int,
        kernel_size: Any,
        strides: Any = (1, 1),
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: Any = (1, 1),
        groups: int = 1,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            2,
            filters,
            kernel_size,
            strides,
            padding,
            data_format,
            dilation_rate,
            groups,
            activation,
            use_bias,
            kernel_initializer,
            bias_initializer,
            kernel_regularizer,
            bias_regularizer,
            activity_regularizer,
            kernel_constraint,
            bias_constraint,
            **kwargs,
        )
