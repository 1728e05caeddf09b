"""Inputs and the layers that almost every model has."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from lamina import (
    activations,
    dtypes,
    initializers,
    ops,
    regularizers,
    serialization,
    structure,
    tracing,
)
from lamina import constraints as weight_constraints
from lamina.layers.base import Layer
from lamina.layers.building import is_default_build, stack_level_of_user
from lamina.layers.node import Node
from lamina.layers.quantization.kernel import QuantizedKernel
from lamina.layers.spec import InputSpec
from lamina.tensor import KerasTensor
from lamina.validation import (
    ArrayLike,
    Boolean,
    Either,
    Function,
    Integer,
    Real,
    Sizes,
)


class InputLayer(Layer):
    """The place where data enters a model. Usually made by `Input()`.

    Args:
        shape: sizes without the batch axis, None where unknown.
        batch_size: number of rows, or None.
        dtype: dtype of the data.
        sparse, ragged: must be False; kept for compatibility.
        batch_shape: sizes with the batch axis, instead of `shape` and `batch_size`.
        input_tensor: symbolic tensor to use as the output.
        optional: whether None may be passed.
        name: name of the input.

    Output shape: `(batch_size, *shape)`.
    """

    constraints = {
        "shape": Either(Sizes(None), Integer(min=0), optional=True),
        "batch_size": Integer(min=0, optional=True),
        "batch_shape": Sizes(None, optional=True),
        "optional": Boolean(),
    }

    def __init__(
        self,
        shape: Any = None,
        batch_size: int | None = None,
        dtype: Any = None,
        sparse: bool | None = None,
        ragged: bool | None = None,
        batch_shape: Any = None,
        input_tensor: Any = None,
        optional: bool = False,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name)
        if "input_shape" in kwargs:
            warnings.warn(
                "InputLayer: Argument `input_shape` is deprecated. Use `shape` instead.",
                stacklevel=stack_level_of_user(),
            )
            shape = kwargs.pop("input_shape")
        if "batch_input_shape" in kwargs:
            batch_shape = kwargs.pop("batch_input_shape")
        if kwargs:
            raise ValueError(f"InputLayer: unknown keyword arguments {kwargs}.")
        if input_tensor is not None:
            self._check_tensor(input_tensor, shape, batch_size, batch_shape, dtype, sparse, ragged)
        for kind, asked in (("sparse", sparse), ("ragged", ragged)):
            if asked:
                raise ValueError(
                    f"InputLayer: `{kind}=True` is not supported: lamina's tensors are dense."
                )
        shape, batch_size, batch_shape, self.optional = self.validated(
            shape=shape, batch_size=batch_size, batch_shape=batch_shape, optional=optional
        )
        if input_tensor is not None:
            batch_shape, dtype = input_tensor.shape, input_tensor.dtype
        elif batch_shape is None:
            if shape is None:
                raise ValueError("InputLayer: pass a `shape` argument.")
            batch_shape = (batch_size, *((shape,) if isinstance(shape, int) else shape))
        elif shape is not None or batch_size is not None:
            other = "shape" if shape is not None else "batch_size"
            raise ValueError(
                f"InputLayer: you cannot pass both `{other}` and `batch_shape` at the same time: "
                "batch_shape says both."
            )
        self.batch_shape = tuple(batch_shape)
        self._dtype = self.compute_dtype if dtype is None else dtypes.standardize_dtype(dtype)
        self.sparse = self.ragged = False
        self.supports_masking = True
        self.built = True
        output = input_tensor
        if output is None:
            output = KerasTensor(self.batch_shape, dtype=self._dtype, name=self.name)
        Node(self, (), {}, output)

    @staticmethod
    def _check_tensor(
        tensor: Any, shape: Any, batch_size: Any, batch_shape: Any, dtype: Any, sparse: Any,
        ragged: Any,
    ) -> None:  # fmt: skip
        """Raise a `ValueError` where other arguments contradict `input_tensor`."""
        if not isinstance(tensor, KerasTensor):
            raise ValueError(
                f"InputLayer: Argument `input_tensor` must be a KerasTensor. Got {tensor!r}."
            )
        own_size = tensor.shape[0] if tensor.shape else None
        for argument, given, own in (
            ("batch_size", batch_size, own_size),
            ("shape", None if shape is None else tuple(shape), tensor.shape[1:]),
            ("batch_shape", None if batch_shape is None else tuple(batch_shape), tensor.shape),
            ("dtype", None if dtype is None else dtypes.standardize_dtype(dtype), tensor.dtype),
            ("sparse", sparse, tensor.sparse),
            ("ragged", ragged, tensor.ragged),
        ):
            if given is not None and given != own:
                raise ValueError(
                    "InputLayer: together with `input_tensor` you cannot provide an incompatible "
                    f"`{argument}`: the tensor has {own!r}, got {given!r}."
                )

    @property
    def dtype(self) -> str:
        """Dtype of the data."""
        return self._dtype

    @property
    def batch_size(self) -> int | None:
        """Number of rows, or None."""
        return self.batch_shape[0]

    def call(self) -> None:
        """An input has nothing to compute."""

    def get_config(self) -> dict[str, Any]:
        return {
            "batch_shape": self.batch_shape,
            "dtype": self.dtype,
            "sparse": False,
            "ragged": False,
            "name": self.name,
            "optional": self.optional,
        }


def Input(
    shape: Any = None,
    batch_size: int | None = None,
    dtype: Any = None,
    sparse: bool | None = None,
    ragged: bool | None = None,
    batch_shape: Any = None,
    name: str | None = None,
    tensor: Any = None,
    optional: bool = False,
) -> KerasTensor:
    """Return a symbolic tensor that stands for a model's input.

    Args:
        shape: sizes without the batch axis, None where unknown: `Input((28, 28, 1))`.
        batch_size: number of rows, or None.
        dtype: dtype of the data; the default float dtype when None.
        sparse, ragged: must be False; kept for compatibility.
        batch_shape: sizes with the batch axis, instead of `shape`.
        name: name of the input.
        tensor: symbolic tensor to use.
        optional: whether None may be passed.

    Raises:
        ValueError: when no shape is given or a size is not valid.
    """
    layer = InputLayer(
        shape=shape,
        batch_size=batch_size,
        dtype=dtype,
        sparse=sparse,
        ragged=ragged,
        batch_shape=batch_shape,
        name=name,
        input_tensor=tensor,
        optional=optional,
    )
    return layer.output


class Dense(QuantizedKernel):
    """Multiply the last axis by a matrix, add a bias, apply an activation.

    outputs = activation(inputs @ kernel + bias)

    Args:
        units: size of the output's last axis, at least 1.
        activation: function or name; linear when None.
        use_bias: whether a bias is added.
        kernel_initializer, bias_initializer: first values.
        kernel_regularizer, bias_regularizer: penalties added to the loss.
        activity_regularizer: penalty of the output.
        kernel_constraint, bias_constraint: applied after each update.
        lora_rank, lora_alpha: as for `enable_lora`, which `build` then calls; None for none.
        quantization_config: settings of the quantization that the dtype policy asks for; the
            mode's own when None.

    Input shape: `(batch, ..., features)`. Output shape: `(batch, ..., units)`.
    Weights: kernel (features, units), glorot uniform; bias (units,), zeros.
    """

    constraints = {"use_bias": Boolean()}

    def __init__(
        self,
        units: int,
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
        quantization_config: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(activity_regularizer=activity_regularizer, **kwargs)
        self._init_lora(lora_rank, lora_alpha)
        self._init_quantization(quantization_config)
        if isinstance(units, bool) or not isinstance(units, (int, np.integer)) or units < 1:
            raise ValueError(f"Dense: units must be a positive integer. Got {units!r}.")
        self.units, self.use_bias = int(units), self.validated(use_bias=use_bias)
        self.activation = self.resolved(activations.get, activation)
        self.kernel_initializer = self.resolved(initializers.get, kernel_initializer)
        self.bias_initializer = self.resolved(initializers.get, bias_initializer)
        self.kernel_regularizer = self.resolved(regularizers.get, kernel_regularizer)
        self.bias_regularizer = self.resolved(regularizers.get, bias_regularizer)
        self.kernel_constraint = self.resolved(weight_constraints.get, kernel_constraint)
        self.bias_constraint = self.resolved(weight_constraints.get, bias_constraint)
        self.input_spec = InputSpec(min_ndim=2)
        self.supports_masking = True
        self.bias: Any = None

    def build(self, input_shape: Any) -> None:
        features = input_shape[-1]
        shape = (features, self.units)
        if self._built_quantized(shape):
            self._kernel = self.add_weight(
                name="kernel",
                shape=shape,
                initializer=self.kernel_initializer,
                regularizer=self.kernel_regularizer,
                constraint=self.kernel_constraint,
            )
        if self.use_bias:
            self.bias = self.add_weight(
                name="bias",
                shape=(self.units,),
                initializer=self.bias_initializer,
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
            )
        self.input_spec = InputSpec(min_ndim=2, axes={-1: features})
        if self.lora_rank:
            self.enable_lora(self.lora_rank, self.lora_alpha)

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        del training
        operands = [self._as_float(inputs), tracing.convert(self.kernel)]
        if self.bias is not None:
            operands.append(self.bias.value)
        outputs = tracing.apply("dense", *operands)
        return outputs if self.activation is None else self.activation(outputs)

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        return (*tuple(input_shape)[:-1], self.units)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "units": self.units,
            "activation": activations.serialize(self.activation),
            "use_bias": self.use_bias,
            "kernel_initializer": initializers.serialize(self.kernel_initializer),
            "bias_initializer": initializers.serialize(self.bias_initializer),
            "kernel_regularizer": regularizers.serialize(self.kernel_regularizer),
            "bias_regularizer": regularizers.serialize(self.bias_regularizer),
            "kernel_constraint": weight_constraints.serialize(self.kernel_constraint),
            "bias_constraint": weight_constraints.serialize(self.bias_constraint),
            **self._quantization_config(),
        }


class Activation(Layer):
    """Apply an activation function elementwise (softmax: along the last axis).

    Args:
        activation: function or name.

    Output shape: the input's.
    """

    def __init__(self, activation: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.activation = self.resolved(activations.get, activation)
        self.supports_masking = True
        self.built = is_default_build(type(self).build)

    def call(self, inputs: Any) -> Any:
        return self.activation(inputs)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "activation": activations.serialize(self.activation)}


class Lambda(Layer):
    """Make a layer of a function.

    Args:
        function: takes the inputs (and `mask` or `training` if it wants them).
        output_shape: shape without the batch axis, or a function of the input shape; found by
            running the function on shapes when None.
        mask: mask to attach, or a function of (inputs, mask).
        arguments: further keyword arguments for the function.
    """

    constraints = {
        "function": Function(),
        "output_shape": Either(Function(), Sizes(None), optional=True),
        "mask": Either(Function(), ArrayLike(), optional=True),
    }

    def __init__(
        self,
        function: Callable[..., Any],
        output_shape: Any = None,
        mask: Any = None,
        arguments: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.function, self.mask, _ = self.validated(
            function=function, mask=mask, output_shape=output_shape
        )
        if not isinstance(arguments or {}, dict):
            raise TypeError(f"Lambda: arguments must be a dict. Got {arguments!r}.")
        self.arguments = arguments or {}
        self._output_shape = output_shape
        self.supports_masking = mask is not None
        self._accepted = set(inspect.signature(function).parameters)
        self.built = is_default_build(type(self).build)

    def call(self, inputs: Any, mask: Any = None, training: bool | None = None) -> Any:
        context = {"mask": mask, "training": training}
        wanted = {name: value for name, value in context.items() if name in self._accepted}
        return self.function(inputs, **{**wanted, **self.arguments})

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        return self.mask(inputs, mask) if callable(self.mask) else self.mask

    def compute_output_spec(self, *args: Any, **kwargs: Any) -> Any:
        if self._output_shape is None:
            return self._infer(args, kwargs)
        inputs = args[0] if args else next(iter(kwargs.values()))
        shape = self.compute_output_shape(structure.map_structure(lambda x: x.shape, inputs))
        return KerasTensor(shape, dtype=self.compute_dtype)

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        if self._output_shape is None:
            spec = self._infer((KerasTensor(input_shape, dtype=self.compute_dtype),), {})
            return tuple(spec.shape)
        if callable(self._output_shape):
            return tuple(self._output_shape(input_shape))
        batch = structure.flatten(input_shape)[0]  # of the first input, if there are several
        return (batch, *self._output_shape)

    def get_config(self) -> dict[str, Any]:
        shape = self._output_shape
        return {
            **super().get_config(),
            "function": serialization.serialize_keras_object(self.function),
            "output_shape": serialization.serialize_keras_object(shape)
            if callable(shape)
            else shape,
            "mask": serialization.serialize_keras_object(self.mask),
            "arguments": serialization.serialize_keras_object(self.arguments),
        }

    def copy(self) -> Lambda:
        """Return a layer with the same function, which need not be describable."""
        settings = Layer.get_config(self)
        return type(self)(
            self.function, self._output_shape, self.mask, dict(self.arguments), **settings
        )

    @classmethod
    def from_config(
        cls,
        config: dict[str, Any],
        custom_objects: dict[str, Any] | None = None,
        safe_mode: bool | None = None,
    ) -> Lambda:
        """Make the layer of its config.

        Args:
            config: what `get_config` returned.
            custom_objects: functions by name, for those that the config only names.
            safe_mode: whether to refuse a config that carries Python code; by default as the
                loading around it does, and yes outside of any.

        Raises:
            ValueError: for code where it is refused.
        """
        config = dict(config)
        for key in ("function", "output_shape", "mask", "arguments"):
            if not isinstance(config.get(key), dict):
                continue
            try:
                config[key] = serialization.deserialize_keras_object(
                    config[key],
                    custom_objects=custom_objects,
                    safe_mode=safe_mode is not False,
                )
            except ValueError as error:
                raise ValueError(f"Lambda: {error}") from None
        return cls(**config)


class Masking(Layer):
    """Mark time steps whose features all equal a value as missing, and set them to zero.

    Args:
        mask_value: the value that means "no data".

    Input and output shape: `(batch, time, features)`.
    """

    constraints = {"mask_value": Real()}

    def __init__(self, mask_value: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.mask_value = self.validated(mask_value=mask_value)
        self.supports_masking = True
        self.built = is_default_build(type(self).build)

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        del mask
        return ops.any(ops.not_equal(inputs, self.mask_value), axis=-1)

    def call(self, inputs: Any) -> Any:
        valid = ops.any(ops.not_equal(inputs, self.mask_value), axis=-1, keepdims=True)
        outputs = inputs * ops.cast(valid, inputs.dtype)
        outputs.mask = ops.squeeze(valid, axis=-1)
        return outputs

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "mask_value": self.mask_value}


class Identity(Layer):
    """Return the inputs unchanged."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True
        self.built = is_default_build(type(self).build)

    def call(self, inputs: Any) -> Any:
        return inputs
