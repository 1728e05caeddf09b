"""Convolutions in two steps: channels apart, then across channels."""

from __future__ import annotations

from typing import Any

from lamina.layers.base_conv import Shape, SpatialConv
from lamina.layers.spatial import positive_argument
from lamina.ops import convolution
from lamina.tensor import Tensor
from lamina.variable import Variable


class BaseSeparableConv(SpatialConv):
    """What `SeparableConv1D` and `SeparableConv2D` share.

    Args:
        rank: number of spatial axes.
        The rest: as in `SeparableConv2D`.
    """

    def __init__(
        self,
        rank: int,
        depth_multiplier: int,
        filters: int,
        kernel_size: Any,
        strides: Any = 1,
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: Any = 1,
        activation: Any = None,
        use_bias: bool = True,
        depthwise_initializer: Any = "glorot_uniform",
        pointwise_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        depthwise_regularizer: Any = None,
        pointwise_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        depthwise_constraint: Any = None,
        pointwise_constraint: Any = None,
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
        owner = type(self).__name__
        self.depth_multiplier = positive_argument(owner, "depth_multiplier", depth_multiplier)
        self.filters = positive_argument(owner, "filters", filters)
        self._set_kernel_roles(
            depthwise_initializer=depthwise_initializer,
            depthwise_regularizer=depthwise_regularizer,
            depthwise_constraint=depthwise_constraint,
            pointwise_initializer=pointwise_initializer,
            pointwise_regularizer=pointwise_regularizer,
            pointwise_constraint=pointwise_constraint,
        )
        self.depthwise_kernel: Variable | None = None
        self.pointwise_kernel: Variable | None = None

    def build(self, input_shape: Any) -> None:
        channels = self._built_channels(input_shape)
        self.depthwise_kernel = self._kernel_weight(
            "depthwise_kernel",
            (*self.kernel_size, channels, self.depth_multiplier),
            "depthwise",
        )
        self.pointwise_kernel = self._kernel_weight(
            "pointwise_kernel",
            (*[1] * self.rank, channels * self.depth_multiplier, self.filters),
            "pointwise",
        )
        self._build_bias(self.filters)
        self.compute_output_shape(input_shape)

    def _convolve(self, images: Tensor) -> Tensor:
        assert self.depthwise_kernel is not None
        assert self.pointwise_kernel is not None
        apart = convolution.convolve_apart(
            images,
            self.depthwise_kernel.value,
            strides=self.strides,
            dilations=self.dilation_rate,
            padding=self.padding,
        )
        ones = [1] * self.rank
        return convolution.convolve(
            apart,
            self.pointwise_kernel.value,
            self._bias_value,
            strides=ones,
            dilations=ones,
            padding="valid",
        )

    def compute_output_shape(self, input_shape: Any) -> Shape:
        return self._output_shape(input_shape, self.filters)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "depth_multiplier": self.depth_multiplier,
            "filters": self.filters,
            **self._window_config(),
            **self._weight_config("depthwise", "pointwise"),
        }


class SeparableConv1D(BaseSeparableConv):
    """Convolve the channels of a sequence apart, then mix them in every place.

    Needs far fewer weights and multiplications than `Conv1D` with the same sizes.

    Args:
        filters: number of output channels, at least 1.
        kernel_size: length of the window.
        strides: steps of the window.
        padding: "valid" (no padding) or "same" (output size = input size / strides, rounded up).
        data_format: "channels_last" (batch, steps, channels) or
            "channels_first"; the global setting when None.
        dilation_rate: distance between the window's taps.
        depth_multiplier: number of filters for each channel in the first step, at least 1.
        activation, use_bias and the rest: as in `Dense`; `depthwise_...` are the first kernel's,
            `pointwise_...` the second's.

    Output shape: `(batch, new_steps, filters)`.
    Weights: depthwise_kernel (kernel_size, channels, depth_multiplier), pointwise_kernel
    (1, channels * depth_multiplier, filters), both glorot uniform; bias (filters,).
    """

    def __init__(
        self,
        filters: int,
        kernel_size: Any,
        strides: Any = 1,
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: Any = 1,
        depth_multiplier: int = 1,
        activation: Any = None,
        use_bias: bool = True,
        depthwise_initializer: Any = "glorot_uniform",
        pointwise_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        depthwise_regularizer: Any = None,
        pointwise_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        depthwise_constraint: Any = None,
        pointwise_constraint: Any = None,
        bias_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            1,
            depth_multiplier,
            filters,
            kernel_size,
            strides,
            padding,
            data_format,
            dilation_rate,
            activation,
            use_bias,
            depthwise_initializer,
            pointwise_initializer,
            bias_initializer,
            depthwise_regularizer,
            pointwise_regularizer,
            bias_regularizer,
            activity_regularizer,
            depthwise_constraint,
            pointwise_constraint,
            bias_constraint,
            **kwargs,
        )


class SeparableConv2D(BaseSeparableConv):
    """Convolve the channels of images apart, then mix them in every place.

    Needs far fewer weights and multiplications than `Conv2D` with the same sizes.

    Args:
        filters: number of output channels, at least 1.
        kernel_size: (height, width) of the window, or one integer for both.
        strides: steps of the window, likewise.
        padding: "valid" (no padding) or "same" (output size = input size / strides, rounded up).
        data_format: "channels_last" (batch, height, width, channels) or
            "channels_first"; the global setting when None.
        dilation_rate: distance between the window's taps, likewise.
        depth_multiplier: number of filters for each channel in the first step, at least 1.
        activation, use_bias and the rest: as in `Dense`; `depthwise_...` are the first kernel's,
            `pointwise_...` the second's.

    Output shape: `(batch, new_height, new_width, filters)`.
    Weights: depthwise_kernel (*kernel_size, channels, depth_multiplier), pointwise_kernel
    (1, 1, channels * depth_multiplier, filters), both glorot uniform; bias (filters,).
    """

    def __init__(
        self,
        filters: int,
        kernel_size: Any,
        strides: Any = (1, 1),
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: Any = (1, 1),
        depth_multiplier: int = 1,
        activation: Any = None,
        use_bias: bool = True,
        depthwise_initializer: Any = "glorot_uniform",
        pointwise_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        depthwise_regularizer: Any = None,
        pointwise_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        depthwise_constraint: Any = None,
        pointwise_constraint: Any = None,
        bias_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            2,
            depth_multiplier,
            filters,
            kernel_size,
            strides,
            padding,
            data_format,
            dilation_rate,
            activation,
            use_bias,
            depthwise_initializer,
            pointwise_initializer,
            bias_initializer,
            depthwise_regularizer,
            pointwise_regularizer,
            bias_regularizer,
            activity_regularizer,
            depthwise_constraint,
            pointwise_constraint,
            bias_constraint,
            **kwargs,
        )


__all__ = ["SeparableConv1D", "SeparableConv2D"]
