"""Transposed convolutions: each input adds a multiple of the kernel to the output."""

from __future__ import annotations

from typing import Any

from lamina.layers.base_conv import Shape, SpatialConv
from lamina.layers.spatial import positive_argument, sizes_argument
from lamina.ops import convolution
from lamina.tensor import Tensor
from lamina.variable import Variable


class BaseConvTranspose(SpatialConv):
    """What `Conv1DTranspose`, `Conv2DTranspose` and `Conv3DTranspose` share.

    Args:
        rank: number of spatial axes.
        The rest: as in `Conv2DTranspose`.
    """

    def __init__(
        self,
        rank: int,
        filters: int,
        kernel_size: Any,
        strides: Any = 1,
        padding: str = "valid",
        output_padding: Any = None,
        data_format: str | None = None,
        dilation_rate: Any = 1,
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
        self.filters = positive_argument(type(self).__name__, "filters", filters)
        self.output_padding = self._checked_output_padding(output_padding)
        self._set_kernel_roles(
            kernel_initializer=kernel_initializer,
            kernel_regularizer=kernel_regularizer,
            kernel_constraint=kernel_constraint,
        )
        self.kernel: Variable | None = None
        self._check_steps()

    def _checked_output_padding(self, value: Any) -> tuple[int, ...] | None:
        if value is None:
            return None
        owner = type(self).__name__
        cells = sizes_argument(owner, "output_padding", value, self.rank, least=0)
        if any(c >= stride for c, stride in zip(cells, self.strides, strict=True)):
            raise ValueError(
                f"{owner}: `output_padding` must be strictly less than `strides` on every axis. "
                f"Got output_padding={cells}, strides={self.strides}."
            )
        return cells

    def build(self, input_shape: Any) -> None:
        channels = self._built_channels(input_shape)
        self.kernel = self._kernel_weight("kernel", (*self.kernel_size, self.filters, channels))
        self._build_bias(self.filters)

    def _convolve(self, images: Tensor) -> Tensor:
        assert self.kernel is not None
        outputs = convolution.convolve_transposed(
            images,
            self.kernel.value,
            strides=self.strides,
            dilations=self.dilation_rate,
            padding=self.padding,
            output_padding=self.output_padding,
        )
        return outputs if self.bias is None else outputs + self.bias.value

    def _sizes(self, spatial: Any) -> Shape:
        sizes: list[int | None] = []
        for axis, size in enumerate(spatial):
            last = convolution.transposed_end(
                (self.kernel_size[axis] - 1) * self.dilation_rate[axis] + 1,
                self.strides[axis],
                self.padding,
                None if self.output_padding is None else self.output_padding[axis],
            )
            sizes.append(None if size is None else (size - 1) * self.strides[axis] + last)
        return tuple(sizes)

    def compute_output_shape(self, input_shape: Any) -> Shape:
        return self._output_shape(input_shape, self.filters)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "filters": self.filters,
            **self._window_config(),
            "output_padding": self.output_padding,
            **self._weight_config("kernel"),
        }


class Conv1DTranspose(BaseConvTranspose):
    """Spread a sequence over a longer output: the transpose of a convolution over one axis.

    Args:
        filters: number of output channels, at least 1.
        kernel_size: length of the kernel.
        strides: distance of neighbouring inputs in the output.
        padding: "valid": output size = (size - 1) * strides + kernel_size, at least
            size * strides; "same": size * strides.
        output_padding: cells added to the smallest output that the padding allows, less than
            `strides`; the sizes above when None.
        data_format: "channels_last" (batch, steps, channels) or
            "channels_first"; the global setting when None.
        dilation_rate: distance between the kernel's taps; not together with strides.
        activation, use_bias and the rest: as in `Dense`.

    Output shape: `(batch, new_steps, filters)`.
    Weights: kernel (kernel_size, filters, channels), glorot uniform; bias (filters,).
    """

    def __init__(
        self,
        filters: int,
        kernel_size: Any,
        strides: Any = 1,
        padding: str = "valid",
        output_padding: Any = None,
        data_format: str | None = None,
        dilation_rate: Any = 1,
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
            output_padding,
            data_format,
            dilation_rate,
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


class Conv2DTranspose(BaseConvTranspose):
    """Spread images over a longer output: the transpose of a convolution over height and width.

    Args:
        filters: number of output channels, at least 1.
        kernel_size: (height, width) of the kernel, or one integer for both.
        strides: distance of neighbouring inputs in the output, likewise.
        padding: "valid": output size = (size - 1) * strides + kernel_size, at least
            size * strides; "same": size * strides.
        output_padding: cells added to the smallest output that the padding allows, less than
            `strides`; the sizes above when None.
        data_format: "channels_last" (batch, height, width, channels) or
            "channels_first"; the global setting when None.
        dilation_rate: distance between the kernel's taps; not together with strides.
        activation, use_bias and the rest: as in `Dense`.

    Output shape: `(batch, new_height, new_width, filters)`.
    Weights: kernel (*kernel_size, filters, channels), glorot uniform; bias (filters,).
    """

    def __init__(
        self,
        filters: int,
        kernel_size: Any,
        strides: Any = (1, 1),
        padding: str = "valid",
        output_padding: Any = None,
        data_format: str | None = None,
        dilation_rate: Any = (1, 1),
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
            output_padding,
            data_format,
            dilation_rate,
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


class Conv3DTranspose(BaseConvTranspose):
    """Spread volumes over a longer output: the transpose of a convolution over three axes.

    Args:
        filters: number of output channels, at least 1.
        kernel_size: (depth, height, width) of the kernel, or one integer for all.
        strides: distance of neighbouring inputs in the output, likewise.
        padding: "valid": output size = (size - 1) * strides + kernel_size, at least
            size * strides; "same": size * strides.
        output_padding: cells added to the smallest output that the padding allows, less than
            `strides`; the sizes above when None.
        data_format: "channels_last" (batch, depth, height, width, channels) or
            "channels_first"; the global setting when None.
        dilation_rate: distance between the kernel's taps; not together with strides.
        activation, use_bias and the rest: as in `Dense`.

    Output shape: `(batch, new_depth, new_height, new_width, filters)`.
    Weights: kernel (*kernel_size, filters, channels), glorot uniform; bias (filters,).
    """

    def __init__(
        self,
        filters: int,
        kernel_size: Any,
        strides: Any = (1, 1, 1),
        padding: str = "valid",
        data_format: str | None = None,
        output_padding: Any = None,
        dilation_rate: Any = (1, 1, 1),
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
            output_padding,
            data_format,
            dilation_rate,
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


__all__ = ["Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose"]
