"""Convolutions that keep channels apart."""

from __future__ import annotations

from typing import Any

from lamina.layers.base_conv import Shape, SpatialConv
from lamina.layers.spatial import positive_argument
from lamina.ops import convolution
from lamina.tensor import Tensor
from lamina.variable import Variable


class BaseDepthwiseConv(SpatialConv):
    """What `DepthwiseConv1D` and `DepthwiseConv2D` share.

    Args:
        rank: number of spatial axes.
        The rest: as in `DepthwiseConv2D`.
    """

    def __init__(
        self,
        rank: int,
        depth_multiplier: int,
        kernel_size: Any,
        strides: Any = 1,
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: Any = 1,
        activation: Any = None,
        use_bias: bool = True,
        depthwise_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        depthwise_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        depthwise_constraint: Any = None,
        bias_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            rank,
            kernel_size=kernel_size,
            strides=strides,
            padding=padding,
            data_format=data_format,
            dilation_rate=dilation_rate,
            activation=activation,
            use_bias=use_bias,
            bias_initializer=bias_initializer,
            bias_regularizer=bias_regularizer,
            activity_regularizer=activity_regularizer,
            bias_constraint=bias_constraint,
            **kwargs,
        )
        self.depth_multiplier = positive_argument(
            type(self).__name__, "depth_multiplier", depth_multiplier
        )
        self._set_kernel_roles(
            depthwise_initializer=depthwise_initializer,
            depthwise_regularizer=depthwise_regularizer,
            depthwise_constraint=depthwise_constraint,
        )
        self.kernel: Variable | None = None

    def build(self, input_shape: Any) -> None:
        channels = self._built_channels(input_shape)
        shape = (*self.kernel_size, channels, self.depth_multiplier)
        self.kernel = self._kernel_weight("kernel", shape, "depthwise")
        self._build_bias(channels * self.depth_multiplier)
        self.compute_output_shape(input_shape)

    def _convolve(self, images: Tensor) -> Tensor:
        assert self.kernel is not None
        return convolution.convolve_apart(
            images,
            self.kernel.value,
            self._bias_value,
            strides=self.strides,
            dilations=self.dilation_rate,
            padding=self.padding,
        )

    def compute_output_shape(self, input_shape: Any) -> Shape:
        channels = input_shape[self._channel_axis]
        filters = None if channels is None else channels * self.depth_multiplier
        return self._output_shape(input_shape, filters)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "depth_multiplier": self.depth_multiplier,
            **self._window_config(),
            **self._weight_config("depthwise"),
        }


class DepthwiseConv1D(BaseDepthwiseConv):
    """Convolve every channel of a sequence with filters of its own.

    Args:
        kernel_size: length of the window.
        strides: steps of the window.
        padding: "valid" (no padding) or "same" (output size = input size / strides, rounded up).
        depth_multiplier: number of filters for each channel, at least 1.
        data_format: "channels_last" (batch, steps, channels) or
            "channels_first"; the global setting when None.
        dilation_rate: distance between the window's taps.
        activation, use_bias and the rest: as in `Dense`; `depthwise_...` are the kernel's.

    Output shape: `(batch, new_steps, channels * depth_multiplier)`.
    Weights: kernel (kernel_size, channels, depth_multiplier), glorot uniform; bias
    (channels * depth_multiplier,).
    """

    def __init__(
        self,
        kernel_size: Any,
        strides: Any = 1,
        padding: str = "valid",
        depth_multiplier: int = 1,
        data_format: str | None = None,
        dilation_rate: Any = 1,
        activation: Any = None,
        use_bias: bool = True,
        depthwise_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        depthwise_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        depthwise_constraint: Any = None,
        bias_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            1,
            depth_multiplier,
            kernel_size,
            strides,
            padding,
            data_format,
            dilation_rate,
            activation,
            use_bias,
            depthwise_initializer,
            bias_initializer,
            depthwise_regularizer,
            bias_regularizer,
            activity_regularizer,
            depthwise_constraint,
            bias_constraint,
            **kwargs,
        )


class DepthwiseConv2D(BaseDepthwiseConv):
    """Convolve every channel of images with filters of its own.

    Args:
        kernel_size: (height, width) of the window, or one integer for both.
        strides: steps of the window, likewise.
        padding: "valid" (no padding) or "same" (output size = input size / strides, rounded up).
        depth_multiplier: number of filters for each channel, at least 1.
        data_format: "channels_last" (batch, height, width, channels) or
            "channels_first"; the global setting when None.
        dilation_rate: distance between the window's taps, likewise.
        activation, use_bias and the rest: as in `Dense`; `depthwise_...` are the kernel's.

    Output shape: `(batch, new_height, new_width, channels * depth_multiplier)`.
    Weights: kernel (*kernel_size, channels, depth_multiplier), glorot uniform; bias
    (channels * depth_multiplier,).
    """

    def __init__(
        self,
        kernel_size: Any,
        strides: Any = (1, 1),
        padding: str = "valid",
        depth_multiplier: int = 1,
        data_format: str | None = None,
        dilation_rate: Any = (1, 1),
        activation: Any = None,
        use_bias: bool = True,
        depthwise_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        depthwise_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        depthwise_constraint: Any = None,
        bias_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            2,
            depth_multiplier,
            kernel_size,
            strides,
            padding,
            data_format,
            dilation_rate,
            activation,
            use_bias,
            depthwise_initializer,
            bias_initializer,
            depthwise_regularizer,
            bias_regularizer,
            activity_regularizer,
            depthwise_constraint,
            bias_constraint,
            **kwargs,
        )


__all__ = ["DepthwiseConv1D", "DepthwiseConv2D"]
