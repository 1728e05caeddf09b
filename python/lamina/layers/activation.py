"""Activation functions that have arguments or weights, as layers."""

from __future__ import annotations

import warnings
from typing import Any

from lamina import activations, initializers, ops, regularizers
from lamina import constraints as weight_constraints
from lamina.layers.axes import AXES, AxisList
from lamina.layers.base import Layer
from lamina.layers.building import is_default_build, stack_level_of_user
from lamina.layers.spec import InputSpec
from lamina.validation import Either, Integer, Real


class BaseActivation(Layer):
    """An elementwise function: the shape and the mask pass on."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True
        self.built = is_default_build(type(self).build)

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        return tuple(input_shape)


class ReLU(BaseActivation):
    """Keep values above `threshold`, at most `max_value`; below, follow a line.

    outputs = max_value                           where inputs >= max_value
              inputs                              where threshold <= inputs < max_value
              negative_slope * (inputs - threshold)   elsewhere

    Args:
        max_value: upper bound, at least 0, or None.
        negative_slope: slope below the threshold, at least 0.
        threshold: where the line begins, at least 0.

    Input and output shape: any.
    """

    constraints = {
        "max_value": Real(0, optional=True),
        "negative_slope": Real(0),
        "threshold": Real(0),
    }
    explanations = {
        "max_value": "The max_value of a ReLU layer cannot be a negative value.",
        "negative_slope": (
            "The negative_slope of a ReLU layer cannot be None or a negative value."
        ),
        "threshold": "The threshold of a ReLU layer cannot be None or a negative value.",
    }

    def __init__(
        self,
        max_value: float | None = None,
        negative_slope: float = 0.0,
        threshold: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.max_value, self.negative_slope, self.threshold = self.validated(
            max_value=max_value, negative_slope=negative_slope, threshold=threshold
        )

    def call(self, inputs: Any) -> Any:
        return activations.relu(
            inputs,
            negative_slope=self.negative_slope,
            max_value=self.max_value,
            threshold=self.threshold,
        )

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "max_value": self.max_value,
            "negative_slope": self.negative_slope,
            "threshold": self.threshold,
        }


class LeakyReLU(BaseActivation):
    """Keep positive values, multiply negative ones by `negative_slope`.

    Args:
        negative_slope: at least 0.

    Input and output shape: any.
    """

    constraints = {"negative_slope": Real(0)}
    explanations = {
        "negative_slope": (
            "The negative_slope value of a Leaky ReLU layer cannot be None; it is 0 or more."
        )
    }

    def __init__(self, negative_slope: float = 0.3, **kwargs: Any) -> None:
        if "alpha" in kwargs:
            negative_slope = kwargs.pop("alpha")
            warnings.warn(
                "LeakyReLU: the argument `alpha` is deprecated. Use `negative_slope`.",
                stacklevel=stack_level_of_user(),
            )
        super().__init__(**kwargs)
        self.negative_slope = self.validated(negative_slope=negative_slope)

    def call(self, inputs: Any) -> Any:
        return ops.leaky_relu(inputs, self.negative_slope)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "negative_slope": self.negative_slope}


class ELU(BaseActivation):
    """Keep positive values; negative ones become alpha * (exp(inputs) - 1).

    Args:
        alpha: minus the limit for very negative values.

    Input and output shape: any.
    """

    constraints = {"alpha": Real()}

    def __init__(self, alpha: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.alpha = self.validated(alpha=alpha)

    def call(self, inputs: Any) -> Any:
        return ops.elu(inputs, self.alpha)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "alpha": self.alpha}


class PReLU(Layer):
    """Keep positive values, multiply negative ones by a weight.

    Args:
        alpha_initializer: first values.
        alpha_regularizer: penalty added to the loss.
        alpha_constraint: applied after each update.
        shared_axes: axes, counted from 1, along which the weight is the same: (1, 2) gives one
            weight per channel of an image.

    Input and output shape: any. Weights: alpha, of the shape of a row, 1 on shared axes.
    """

    constraints = {"shared_axes": Either(Integer(min=1), AxisList(min=1), optional=True)}

    def __init__(
        self,
        alpha_initializer: Any = "Zeros",
        alpha_regularizer: Any = None,
        alpha_constraint: Any = None,
        shared_axes: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.alpha_initializer = self.resolved(initializers.get, alpha_initializer)
        self.alpha_regularizer = self.resolved(regularizers.get, alpha_regularizer)
        self.alpha_constraint = self.resolved(weight_constraints.get, alpha_constraint)
        shared = self.validated(shared_axes=shared_axes)
        self.shared_axes = [shared] if isinstance(shared, int) else shared
        self.supports_masking = True
        self.alpha: Any = None

    def build(self, input_shape: Any) -> None:
        shape = list(input_shape[1:])
        for axis in self.shared_axes or ():
            if axis > len(shape):
                raise ValueError(
                    f"{self.name} (PReLU): shared_axes {self.shared_axes} must lie from 1 to "
                    f"{len(shape)} for input shape {tuple(input_shape)}."
                )
            shape[axis - 1] = 1
        self.alpha = self.add_weight(
            name="alpha",
            shape=tuple(shape),
            initializer=self.alpha_initializer,
            regularizer=self.alpha_regularizer,
            constraint=self.alpha_constraint,
        )
        own = {
            axis: size
            for axis, size in enumerate(input_shape)
            if axis > 0 and axis not in (self.shared_axes or ())
        }
        self.input_spec = InputSpec(ndim=len(input_shape), axes=own)

    def call(self, inputs: Any) -> Any:
        x = self._as_float(inputs)
        return ops.relu(x) - self.alpha * ops.relu(-x)

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        return tuple(input_shape)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "alpha_initializer": initializers.serialize(self.alpha_initializer),
            "alpha_regularizer": regularizers.serialize(self.alpha_regularizer),
            "alpha_constraint": weight_constraints.serialize(self.alpha_constraint),
            "shared_axes": self.shared_axes,
        }


class Softmax(BaseActivation):
    """Turn numbers into shares that sum to 1 along `axis`.

    outputs = exp(inputs) / sum(exp(inputs))

    Args:
        axis: axis or axes of the sum.

    Input and output shape: any. Where the `mask` of a call is False, the share is 0; the mask
    broadcasts to the inputs.
    """

    constraints = {"axis": AXES}

    def __init__(self, axis: Any = -1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.axis = self.validated(axis=axis)

    def call(self, inputs: Any, mask: Any = None) -> Any:
        x = self._as_float(inputs)
        if mask is None:
            return ops.softmax(x, axis=self.axis)
        self._check_mask(tuple(mask.shape), tuple(x.shape))
        counts = ops.cast(mask, "bool")
        shares = ops.softmax(ops.where(counts, x, -1e9), axis=self.axis)
        return ops.where(counts, shares, 0.0)

    def _check_mask(self, mask: tuple[int | None, ...], shape: tuple[int | None, ...]) -> None:
        pairs = zip(reversed(mask), reversed(shape), strict=False)
        if len(mask) > len(shape):
            problem = "must not have more dimensions than"
        elif any(m not in (1, None, size) and size is not None for m, size in pairs):
            problem = "must be broadcastable to"
        else:
            return
        raise ValueError(
            f"{self.name} (Softmax): the mask {problem} the inputs. Got mask of shape {mask} for "
            f"inputs {shape}."
        )

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "axis": self.axis}
