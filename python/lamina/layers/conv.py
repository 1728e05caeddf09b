"""Convolutions over one, two and three axes."""

from __future__ import annotations

from typing import Any

from lamina.layers.base_conv import BaseConv, SpatialConv
from lamina.layers.spatial import window_output_size
from lamina.validation import OneOf


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
        lora_rank, lora_alpha: low-rank adaptation from the start, see `enable_lora`.

    Output shape: `(batch, new_steps, filters)`.
    Weights: kernel (kernel_size, channels / groups, filters), glorot uniform; bias (filters,).
    """

    constraints = {**SpatialConv.constraints, "padding": OneOf("valid", "same", "causal")}

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
        lora_rank, lora_alpha: low-rank adaptation from the start, see `enable_lora`.

    Output shape: `(batch, new_height, new_width, filters)`.
    Weights: kernel (*kernel_size, channels / groups, filters), glorot uniform; bias (filters,).
    """

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


class Conv3D(BaseConv):
    """Slide windows of weights over volumes (convolution over depth, height and width).

    Args:
        filters: number of output channels, at least 1.
        kernel_size: (depth, height, width) of the window, or one integer for all.
        strides: steps of the window, likewise.
        padding: "valid" (no padding) or "same" (output size = input size / strides, rounded up).
        data_format: "channels_last" (batch, depth, height, width, channels) or "channels_first";
            the global setting when None.
        dilation_rate: distance between the window's taps, likewise.
        groups: number of channel groups convolved apart.
        activation, use_bias and the rest: as in `Dense`.
        lora_rank, lora_alpha: low-rank adaptation from the start, see `enable_lora`.

    Output shape: `(batch, new_depth, new_height, new_width, filters)`.
    Weights: kernel (*kernel_size, channels / groups, filters), glorot uniform; bias (filters,).
    """

    def __init__(
        self,
        filters: int,
        kernel_size: Any,
        strides: Any = (1, 1, 1),
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: Any = (1, 1, 1),
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
            3,
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


__all__ = ["Conv1D", "Conv2D", "Conv3D", "window_output_size"]
