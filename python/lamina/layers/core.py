"""Inputs and the layers that almost every model has."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable
from typing import Any

from lamina import activations, initializers, ops, regularizers, serialization, tracing
from lamina import constraints as weight_constraints
from lamina.layers.base import Layer
from lamina.layers.building import is_default_build, stack_level_of_user
from lamina.layers.node import Node
from lamina.layers.spec import InputSpec
from lamina.tensor import KerasTensor
from lamina.validation import (
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
            shape = kwargs.pop("input_shape")
        if "batch_input_shape" in kwargs:
            batch_shape = kwargs.pop("batch_input_shape")
        if kwargs:
            raise ValueError(f"InputLayer: unknown keyword arguments {kwargs}.")
        if sparse or ragged:
            raise ValueError("InputLayer: sparse and ragged inputs are not available.")
        shape, batch_size, batch_shape, self.optional = self.validated(
            shape=shape, batch_size=batch_size, batch_shape=batch_shape, optional=optional
        )
        if input_tensor is not None:
            if not isinstance(input_tensor, KerasTensor):
                raise ValueError(
                    f"InputLayer: input_tensor must be a symbolic tensor. Got {input_tensor!r}."
                )
            batch_shape, dtype = input_tensor.shape, input_tensor.dtype
        elif batch_shape is None:
            if shape is None:
                raise ValueError("InputLayer: pass a shape.")
            batch_shape = (batch_size, *((shape,) if isinstance(shape, int) else shape))
        elif shape is not None or batch_size is not None:
            raise ValueError("InputLayer: pass either batch_shape, or shape and batch_size.")
        self.batch_shape = tuple(batch_shape)
        self._dtype = getattr(dtype, "name", dtype) or self.compute_dtype
        self.supports_masking = True
        self.built = True
        output = input_tensor
        if output is None:
            output = KerasTensor(self.batch_shape, dtype=self._dtype, name=self.name)
        Node(self, (), {}, output)

    @property
    def dtype(self) -> str:
        """Dtype of the data."""
        return self._dtype

    @property
    def batch_size(self) -> int | None:
        """Number of rows, or None."""
        return self.batch_shape[0]

    def call(self) -> Any:
        """An input has nothing to compute."""
        raise NotImplementedError("InputLayer cannot be called.")

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


class Dense(Layer):
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

    Input shape: `(batch, ..., features)`. Output shape: `(batch, ..., units)`.
    Weights: kernel (features, units), glorot uniform; bias (units,), zeros.
    """

    constraints = {"units": Integer(min=1), "use_bias": Boolean()}

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
        **kwargs: Any,
    ) -> None:
        super().__init__(activity_regularizer=activity_regularizer, **kwargs)
        self.units, self.use_bias = self.validated(units=units, use_bias=use_bias)
        self.activation = self.resolved(activations.get, activation)
        self.kernel_initializer = self.resolved(initializers.get, kernel_initializer)
        self.bias_initializer = self.resolved(initializers.get, bias_initializer)
        self.kernel_regularizer = self.resolved(regularizers.get, kernel_regularizer)
        self.bias_regularizer = self.resolved(regularizers.get, bias_regularizer)
        self.kernel_constraint = self.resolved(weight_constraints.get, kernel_constraint)
        self.bias_constraint = self.resolved(weight_constraints.get, bias_constraint)
        self.input_spec = InputSpec(min_ndim=2)
        self.supports_masking = True
        self.kernel: Any = None
        self.bias: Any = None

    def build(self, input_shape: Any) -> None:
        features = input_shape[-1]
        self.kernel = self.add_weight(
            name="kernel",
            shape=(features, self.units),
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

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        del training
        operands = [self._as_float(inputs), self.kernel.value]
        if self.bias is not None:
            operands.append(self.bias.value)
        return self.activation(tracing.apply("dense", *operands))

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


class Embedding(Layer):
    """Look up one row of a table for each integer.

    Args:
        input_dim: number of rows; inputs must lie in [0, input_dim).
        output_dim: length of a row.
        embeddings_initializer: first values.
        embeddings_regularizer: penalty added to the loss.
        embeddings_constraint: applied after each update.
        mask_zero: whether 0 means "no value here"; the output then carries a mask.
        weights: table to start from, an array or a list that holds one.

    Input shape: `(batch, ...)` of integers. Output shape: `(batch, ..., output_dim)`.
    Weights: embeddings (input_dim, output_dim), uniform in [-0.05, 0.05].
    Raises: ValueError, naming the id, when an id is out of range.
    """

    constraints = {
        "input_dim": Integer(min=1),
        "output_dim": Integer(min=1),
        "mask_zero": Boolean(),
    }

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        embeddings_initializer: Any = "uniform",
        embeddings_regularizer: Any = None,
        embeddings_constraint: Any = None,
        mask_zero: bool = False,
        weights: Any = None,
        **kwargs: Any,
    ) -> None:
        if kwargs.pop("input_length", None) is not None:
            warnings.warn(
                "Embedding: the argument `input_length` is deprecated and has no effect. "
                "Remove it.",
                stacklevel=stack_level_of_user(),
            )
        super().__init__(**kwargs)
        self.input_dim, self.output_dim, self.mask_zero = self.validated(
            input_dim=input_dim, output_dim=output_dim, mask_zero=mask_zero
        )
        self.embeddings_initializer = self.resolved(initializers.get, embeddings_initializer)
        self.embeddings_regularizer = self.resolved(regularizers.get, embeddings_regularizer)
        self.embeddings_constraint = self.resolved(weight_constraints.get, embeddings_constraint)
        self.supports_masking = self.mask_zero
        self.autocast = False
        self.embeddings: Any = None
        if weights is not None:
            self.build(None)
            self.set_weights(weights if isinstance(weights, (list, tuple)) else [weights])

    @property
    def input_dtype(self) -> str:
        """Dtype of the ids."""
        return "int32"

    def build(self, input_shape: Any = None) -> None:
        del input_shape
        if self.embeddings is not None:
            return
        self.embeddings = self.add_weight(
            name="embeddings",
            shape=(self.input_dim, self.output_dim),
            initializer=self.embeddings_initializer,
            regularizer=self.embeddings_regularizer,
            constraint=self.embeddings_constraint,
        )

    def call(self, inputs: Any) -> Any:
        ids = inputs if inputs.dtype in ("int32", "int64") else ops.cast(inputs, "int32")
        return tracing.apply("embedding", self.embeddings.value, ids)

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        del previous_mask
        return ops.not_equal(inputs, 0) if self.mask_zero else None

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        return (*tuple(input_shape), self.output_dim)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "input_dim": self.input_dim,
            "output_dim": self.output_dim,
            "embeddings_initializer": initializers.serialize(self.embeddings_initializer),
            "embeddings_regularizer": regularizers.serialize(self.embeddings_regularizer),
            "activity_regularizer": regularizers.serialize(self.activity_regularizer),
            "embeddings_constraint": weight_constraints.serialize(self.embeddings_constraint),
            "mask_zero": self.mask_zero,
        }


class Lambda(Layer):
    """Make a layer of a function.

    Args:
        function: takes the inputs (and `mask` or `training` if it wants them).
        output_shape: shape without the batch axis, or a function of the input shape; found by
            running the function on shapes when None.
        mask: mask to attach, or a function of (inputs, mask).
        arguments: further keyword arguments for the function.
    """

    constraints = {"function": Function()}

    def __init__(
        self,
        function: Callable[..., Any],
        output_shape: Any = None,
        mask: Any = None,
        arguments: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.function = self.validated(function=function)
        self.arguments = arguments or {}
        self.mask = mask
        self._output_shape = output_shape
        self.supports_masking = mask is not None
        self._accepted = set(inspect.signature(function).parameters)
        self.built = is_default_build(type(self).build)

    def call(self, inputs: Any, mask: Any = None, training: bool | None = None) -> Any:
        context = {"mask": mask, "training": training}
        wanted = {name: value for name, value in context.items() if name in self._accepted}
        return self.function(inputs, **{**wanted, **self.arguments})

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        return self.mask(inputs, previous_mask) if callable(self.mask) else self.mask

    def compute_output_spec(self, *args: Any, **kwargs: Any) -> Any:
        if self._output_shape is None:
            return self._infer(args, kwargs)
        shape = self.compute_output_shape(args[0].shape)
        return KerasTensor(shape, dtype=self.compute_dtype)

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        if self._output_shape is None:
            spec = self._infer((KerasTensor(input_shape, dtype=self.compute_dtype),), {})
            return tuple(spec.shape)
        if callable(self._output_shape):
            return tuple(self._output_shape(input_shape))
        return (input_shape[0], *self._output_shape)

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
    def from_config(cls, config: dict[str, Any]) -> Lambda:
        config = dict(config)
        for key in ("function", "output_shape", "mask", "arguments"):
            if isinstance(config.get(key), dict):
                config[key] = serialization._deserialize(config[key])
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

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        del previous_mask
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
