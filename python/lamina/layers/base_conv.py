"""What the convolution layers share: arguments, sizes, the channel axis, the bias."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lamina import activations, config, initializers, ops, regularizers
from lamina import constraints as weight_constraints
from lamina.layers.base import Layer
from lamina.layers.lora import LowRankKernel
from lamina.layers.spatial import (
    channels_last,
    channels_restored,
    joined_sizes,
    positive_argument,
    sizes_argument,
    window_output_size,
)
from lamina.layers.spec import InputSpec
from lamina.ops import convolution
from lamina.tensor import Tensor
from lamina.validation import Boolean, OneOf
from lamina.variable import Variable

Shape = tuple[int | None, ...]


class SpatialConv(Layer):
    """A layer that slides windows over `rank` spatial axes. Subclasses make and use the kernels.

    Around the computation on channels-last data it turns channels-first inputs, adds the
    activation, and checks sizes.
    """

    constraints = {
        "padding": OneOf("valid", "same"),
        "data_format": OneOf("channels_last", "channels_first", optional=True),
        "use_bias": Boolean(),
    }

    def __init__(
        self,
        rank: int,
        *,
        kernel_size: Any,
        strides: Any,
        padding: str,
        data_format: str | None,
        dilation_rate: Any,
        activation: Any,
        use_bias: bool,
        bias_initializer: Any,
        bias_regularizer: Any,
        activity_regularizer: Any,
        bias_constraint: Any,
        **kwargs: Any,
    ) -> None:
        super().__init__(activity_regularizer=activity_regularizer, **kwargs)
        owner = type(self).__name__
        self.rank = rank
        self.kernel_size = sizes_argument(owner, "kernel_size", kernel_size, rank)
        self.strides = sizes_argument(owner, "strides", strides, rank)
        self.dilation_rate = sizes_argument(owner, "dilation_rate", dilation_rate, rank)
        self.padding, data_format, self.use_bias = self.validated(
            padding=padding, data_format=data_format, use_bias=use_bias
        )
        self.data_format = data_format or config.image_data_format()
        self.activation = self.resolved(activations.get, activation)
        self.bias_initializer = self.resolved(initializers.get, bias_initializer)
        self.bias_regularizer = self.resolved(regularizers.get, bias_regularizer)
        self.bias_constraint = self.resolved(weight_constraints.get, bias_constraint)
        self.input_spec = InputSpec(min_ndim=rank + 2)
        self.bias: Variable | None = None

    def _check_steps(self) -> None:
        if max(self.strides) > 1 and max(self.dilation_rate) > 1:
            raise ValueError(
                f"{type(self).__name__}: `strides > 1` not supported in conjunction with "
                f"`dilation_rate > 1`. Received: strides={self.strides} and "
                f"dilation_rate={self.dilation_rate}"
            )

    @property
    def _channel_axis(self) -> int:
        return -1 if self.data_format == "channels_last" else 1

    # Building

    def _built_channels(self, input_shape: Any) -> int:
        """Return the number of input channels, which later inputs must have too."""
        channels = input_shape[self._channel_axis]
        if channels is None:
            raise ValueError(
                f"{self.name} ({type(self).__name__}): the number of channels must be known, got "
                f"input shape {tuple(input_shape)}."
            )
        self.input_spec = InputSpec(min_ndim=self.rank + 2, axes={self._channel_axis: channels})
        return int(channels)

    def _kernel_weight(self, name: str, shape: tuple[int, ...], role: str = "") -> Variable:
        """Make a kernel with the settings whose names begin with `role` (or else with `name`)."""
        role = role or name
        return self.add_weight(
            name=name,
            shape=shape,
            initializer=getattr(self, f"{role}_initializer"),
            regularizer=getattr(self, f"{role}_regularizer"),
            constraint=getattr(self, f"{role}_constraint"),
        )

    def _build_bias(self, filters: int) -> None:
        if self.use_bias:
            self.bias = self._kernel_weight("bias", (filters,))

    # Calling

    def call(self, inputs: Any) -> Any:
        """Compute the outputs of the convolution and the activation."""
        images = channels_last(self._as_float(inputs), self.data_format)
        outputs = self.activation(self._convolve(images))
        return channels_restored(outputs, self.data_format)

    def _convolve(self, images: Tensor) -> Tensor:
        """Convolve channels-last data and add the bias."""
        raise NotImplementedError

    @property
    def _bias_value(self) -> Tensor | None:
        return None if self.bias is None else self.bias.value

    # Shapes

    def _sizes(self, spatial: Sequence[int | None]) -> Shape:
        """Return the output's spatial sizes; less than 1 where the window does not fit."""
        return tuple(
            window_output_size(size, window, stride, dilation, self.padding)
            for size, window, stride, dilation in zip(
                spatial, self.kernel_size, self.strides, self.dilation_rate, strict=True
            )
        )

    def _output_shape(self, input_shape: Any, filters: int | None) -> Shape:
        shape = tuple(input_shape)
        if len(shape) != self.rank + 2:
            raise ValueError(
                f"{self.name} ({type(self).__name__}): inputs must have {self.rank + 2} axes, got "
                f"shape {shape}."
            )
        last = self.data_format == "channels_last"
        spatial = shape[1:-1] if last else shape[2:]
        sizes = self._sizes(spatial)
        if any(size is not None and size < 1 for size in sizes):
            raise ValueError(
                f"{self.name} ({type(self).__name__}): kernel {joined_sizes(self.kernel_size)} "
                f"does not fit into input {joined_sizes(spatial)} with padding={self.padding!r}."
                "\n  Computed output size would be zero or negative. Use padding='same', a "
                "smaller kernel_size, or larger inputs."
            )
        return (shape[0], *sizes, filters) if last else (shape[0], filters, *sizes)

    # Settings

    def _window_config(self) -> dict[str, Any]:
        return {
            "kernel_size": self.kernel_size,
            "strides": self.strides,
            "padding": self.padding,
            "data_format": self.data_format,
            "dilation_rate": self.dilation_rate,
        }

    def _weight_config(self, *roles: str) -> dict[str, Any]:
        """Return activation and the settings of the weights named by `roles`."""
        roles = (*roles, "bias")
        return {
            "activation": activations.serialize(self.activation),
            "use_bias": self.use_bias,
            **{
                f"{role}_initializer": initializers.serialize(getattr(self, f"{role}_initializer"))
                for role in roles
            },
            **{
                f"{role}_regularizer": regularizers.serialize(getattr(self, f"{role}_regularizer"))
                for role in (*roles, "activity")
            },
            **{
                f"{role}_constraint": weight_constraints.serialize(
                    getattr(self, f"{role}_constraint")
                )
                for role in roles
            },
        }

    def _set_kernel_roles(self, **settings: Any) -> None:
        """Resolve settings such as `kernel_initializer="zeros"` and keep them."""
        getters = {
            "initializer": initializers.get,
            "regularizer": regularizers.get,
            "constraint": weight_constraints.get,
        }
        for name, identifier in settings.items():
            setattr(self, name, self.resolved(getters[name.rpartition("_")[2]], identifier))


class BaseConv(SpatialConv, LowRankKernel):
    """What `Conv1D`, `Conv2D` and `Conv3D` share.

    Args:
        rank: number of spatial axes.
        lora_rank: columns of the matrices of low-rank adaptation (see `enable_lora`), which then
            begins when the layer is built; None for none.
        lora_alpha: its scale times `lora_rank`; `lora_rank` when None.
        The rest: as in `Conv2D`.
    """

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
        lora_rank: int | None = None,
        lora_alpha: float | None = None,
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
        self.groups = self._checked_groups(groups)
        self._set_kernel_roles(
            kernel_initializer=kernel_initializer,
            kernel_regularizer=kernel_regularizer,
            kernel_constraint=kernel_constraint,
        )
        self._init_lora(lora_rank, lora_alpha)
        self._check_steps()
        if self.padding == "causal" and self.data_format == "channels_first":
            raise ValueError(
                f"{type(self).__name__}: padding='causal' needs data_format='channels_last'."
            )

    def _checked_groups(self, groups: Any) -> int:
        owner = type(self).__name__
        if not isinstance(groups, int) or groups < 1:
            raise ValueError(
                f"{owner}: The number of groups must be a positive integer. Received: "
                f"groups={groups!r}."
            )
        if self.filters % groups:
            raise ValueError(
                f"{owner}: The number of filters must be evenly divisible by the number of "
                f"groups. Received: groups={groups}, filters={self.filters}."
            )
        return groups

    def build(self, input_shape: Any) -> None:
        channels = self._built_channels(input_shape)
        if channels % self.groups:
            raise ValueError(
                f"{self.name} ({type(self).__name__}): {channels} input channels cannot be split "
                f"into groups={self.groups}."
            )
        shape = (*self.kernel_size, channels // self.groups, self.filters)
        self._set_kernel(self._kernel_weight("kernel", shape))
        self._build_bias(self.filters)
        if self.lora_rank:
            self.enable_lora(self.lora_rank, self.lora_alpha)
        self.compute_output_shape(input_shape)

    def convolution_op(self, inputs: Any, kernel: Any) -> Any:
        """Convolve inputs of the layer's data format with a kernel; the bias comes after.

        A subclass may define it anew, for instance to standardize the kernel first.
        """
        images = channels_last(self._as_float(inputs), self.data_format)
        return channels_restored(self._convolved(images, kernel), self.data_format)

    def call(self, inputs: Any) -> Any:
        if type(self).convolution_op is BaseConv.convolution_op:
            return super().call(inputs)
        outputs = channels_last(self.convolution_op(inputs, self.kernel), self.data_format)
        if self.bias is not None:
            outputs = outputs + self.bias.value
        return channels_restored(self.activation(outputs), self.data_format)

    def _convolve(self, images: Tensor) -> Tensor:
        return self._convolved(images, self.kernel, self._bias_value)

    def _convolved(self, images: Tensor, kernel: Any, bias: Tensor | None = None) -> Tensor:
        return convolution.convolve(
            images,
            self._as_float(ops.convert_to_tensor(kernel)),
            bias,
            strides=self.strides,
            dilations=self.dilation_rate,
            padding=self.padding,
            groups=self.groups,
        )

    def compute_output_shape(self, input_shape: Any) -> Shape:
        return self._output_shape(input_shape, self.filters)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "filters": self.filters,
            **self._window_config(),
            "groups": self.groups,
            **self._weight_config("kernel"),
            **self._lora_config(),
        }
