"""Normalization over features, groups of features, and rows."""

from __future__ import annotations

from typing import Any

from lamina import constraints as weight_constraints
from lamina import initializers, ops, regularizers
from lamina.layers.axes import AXES, axis_positions
from lamina.layers.base import Layer
from lamina.layers.building import is_default_build
from lamina.layers.spec import InputSpec
from lamina.validation import Boolean, Integer, Real, check_argument

AFFINE = {"epsilon": Real(0), "center": Boolean(), "scale": Boolean()}


class BaseNormalization(Layer):
    """What the layers that scale by gamma and shift by beta share."""

    axis: Any

    def _take_affine(
        self,
        *,
        epsilon: float,
        center: bool,
        scale: bool,
        beta_initializer: Any,
        gamma_initializer: Any,
        beta_regularizer: Any,
        gamma_regularizer: Any,
        beta_constraint: Any,
        gamma_constraint: Any,
    ) -> None:
        self.epsilon, self.center, self.scale = self.validated(
            epsilon=epsilon, center=center, scale=scale
        )
        self.beta_initializer = self.resolved(initializers.get, beta_initializer)
        self.gamma_initializer = self.resolved(initializers.get, gamma_initializer)
        self.beta_regularizer = self.resolved(regularizers.get, beta_regularizer)
        self.gamma_regularizer = self.resolved(regularizers.get, gamma_regularizer)
        self.beta_constraint = self.resolved(weight_constraints.get, beta_constraint)
        self.gamma_constraint = self.resolved(weight_constraints.get, gamma_constraint)
        self.supports_masking = True
        self.gamma: Any = None
        self.beta: Any = None

    def _make_affine(self, shape: tuple[int | None, ...]) -> None:
        if self.scale:
            self.gamma = self.add_weight(
                name="gamma",
                shape=shape,
                initializer=self.gamma_initializer,
                regularizer=self.gamma_regularizer,
                constraint=self.gamma_constraint,
            )
        if self.center:
            self.beta = self.add_weight(
                name="beta",
                shape=shape,
                initializer=self.beta_initializer,
                regularizer=self.beta_regularizer,
                constraint=self.beta_constraint,
            )

    def _known_size(self, input_shape: Any, position: int) -> int:
        size = input_shape[position]
        if size is None:
            raise ValueError(
                f"{self.name} ({type(self).__name__}): axis {position} of the input tensor should "
                "have a defined dimension but the layer received an input with shape "
                f"{tuple(input_shape)}."
            )
        return size

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        axis_positions(self.axis, len(input_shape), self)
        return tuple(input_shape)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "epsilon": self.epsilon,
            "center": self.center,
            "scale": self.scale,
            "beta_initializer": initializers.serialize(self.beta_initializer),
            "gamma_initializer": initializers.serialize(self.gamma_initializer),
            "beta_regularizer": regularizers.serialize(self.beta_regularizer),
            "gamma_regularizer": regularizers.serialize(self.gamma_regularizer),
            "beta_constraint": weight_constraints.serialize(self.beta_constraint),
            "gamma_constraint": weight_constraints.serialize(self.gamma_constraint),
        }


def _require_axes(owner: str, axis: Any) -> None:
    if not isinstance(axis, (int, list, tuple)):
        raise TypeError(
            f"{owner}: Expected an int or a list/tuple of ints for the argument 'axis'. "
            f"Got {axis!r}."
        )


class LayerNormalization(BaseNormalization):
    """Bring each row to mean 0 and variance 1 along `axis`, then scale and shift it.

    outputs = (inputs - mean) / sqrt(variance + epsilon) * gamma + beta

    Args:
        axis: axis or axes to normalize over, usually the features.
        epsilon: added to the variance.
        center, scale: whether beta and gamma are used.
        beta_initializer, gamma_initializer: first values.
        beta_regularizer, gamma_regularizer: penalties added to the loss.
        beta_constraint, gamma_constraint: applied after each update.
        rms_scaling: divide by the standard deviation only, without centring; beta is not used.

    Input and output shape: any. Weights: gamma, beta, of the sizes of `axis`.
    """

    constraints = {**AFFINE, "axis": AXES, "rms_scaling": Boolean()}

    def __init__(
        self,
        axis: Any = -1,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        beta_regularizer: Any = None,
        gamma_regularizer: Any = None,
        beta_constraint: Any = None,
        gamma_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        rms_scaling = kwargs.pop("rms_scaling", False)
        super().__init__(**kwargs)
        _require_axes(type(self).__name__, axis)
        self.axis, self.rms_scaling = self.validated(axis=axis, rms_scaling=rms_scaling)
        self._take_affine(
            epsilon=epsilon,
            center=center,
            scale=scale,
            beta_initializer=beta_initializer,
            gamma_initializer=gamma_initializer,
            beta_regularizer=beta_regularizer,
            gamma_regularizer=gamma_regularizer,
            beta_constraint=beta_constraint,
            gamma_constraint=gamma_constraint,
        )

    def build(self, input_shape: Any) -> None:
        positions = axis_positions(self.axis, len(input_shape), self)
        self.axis = sorted(self.axis) if isinstance(self.axis, list) else [self.axis]
        if self.scale or self.center or self.rms_scaling:
            shape = tuple(self._known_size(input_shape, position) for position in positions)
            if self.rms_scaling:
                self.gamma = self.add_weight(
                    name="gamma", shape=shape, initializer=self.gamma_initializer
                )
            else:
                self._make_affine(shape)

    def call(self, inputs: Any) -> Any:
        x = self._as_float(inputs)
        axes = axis_positions(self.axis, len(x.shape), self)
        if not self.rms_scaling:
            return ops.layer_normalization(
                x, gamma=self.gamma, beta=self.beta, axis=axes, epsilon=self.epsilon
            )
        deviation = ops.sqrt(ops.var(x, axis=axes, keepdims=True) + self.epsilon)
        sizes = [size if i in axes else 1 for i, size in enumerate(x.shape)]
        return x / deviation * ops.reshape(self.gamma, sizes)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "axis": self.axis, "rms_scaling": self.rms_scaling}


class GroupNormalization(BaseNormalization):
    """Bring groups of channels of each row to mean 0 and variance 1, then scale and shift.

    Args:
        groups: number of groups, a divisor of the channels; -1 for one group per channel.
        axis: the axis of the channels.
        epsilon: added to the variance.
        center, scale: whether beta and gamma are used.
        beta_initializer, gamma_initializer: first values.
        beta_regularizer, gamma_regularizer: penalties added to the loss.
        beta_constraint, gamma_constraint: applied after each update.

    Input and output shape: `(batch, ..., channels)`. Weights: gamma, beta (channels,).
    """

    constraints = {**AFFINE, "groups": Integer(min=-1), "axis": Integer()}

    def __init__(
        self,
        groups: int = 32,
        axis: int = -1,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        beta_regularizer: Any = None,
        gamma_regularizer: Any = None,
        beta_constraint: Any = None,
        gamma_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.autocast = False  # large numbers would overflow as float16 before they are normalized
        self.axis = self.validated(axis=axis)
        self.groups = check_argument(
            type(self).__name__, "argument `groups`", groups, self.constraints["groups"]
        )
        if self.groups == 0:
            raise ValueError(
                "GroupNormalization: argument `groups` must be at least 1, or -1 for one group "
                "per channel. Got 0."
            )
        self._take_affine(
            epsilon=epsilon,
            center=center,
            scale=scale,
            beta_initializer=beta_initializer,
            gamma_initializer=gamma_initializer,
            beta_regularizer=beta_regularizer,
            gamma_regularizer=gamma_regularizer,
            beta_constraint=beta_constraint,
            gamma_constraint=gamma_constraint,
        )

    def build(self, input_shape: Any) -> None:
        rank = len(input_shape)
        (position,) = axis_positions(self.axis, rank, self)
        if position == 0:
            raise ValueError(
                f"{self.name} (GroupNormalization): axis {self.axis} is the batch axis of an "
                f"input of {rank} axes."
            )
        channels = self._known_size(input_shape, position)
        if self.groups == -1:
            self.groups = channels
        if self.groups > channels:
            raise ValueError(
                f"{self.name} (GroupNormalization): groups={self.groups} cannot be more than the "
                f"number of channels ({channels}). Input shape {tuple(input_shape)}."
            )
        if channels % self.groups:
            raise ValueError(
                f"{self.name} (GroupNormalization): groups={self.groups} times the channels of a "
                f"group must be a multiple of the number of channels ({channels}): groups must "
                f"divide it. Input shape {tuple(input_shape)}."
            )
        self.input_spec = InputSpec(ndim=rank, axes={self.axis: channels})
        self._make_affine((channels,))

    def call(self, inputs: Any) -> Any:
        x = inputs
        if x.dtype not in ("float32", "float64"):  # sums of squares would overflow
            x = ops.cast(x, "float32")
        (position,) = axis_positions(self.axis, len(x.shape), self)
        centred = x - self._group_mean(x, position)
        variance = self._group_mean(ops.square(centred), position)
        sizes = [size if i == position else 1 for i, size in enumerate(x.shape)]
        factor = ops.rsqrt(variance + self.epsilon)
        if self.gamma is not None:
            factor = factor * ops.reshape(ops.cast(self.gamma, x.dtype), sizes)
        outputs = centred * factor
        if self.beta is not None:
            outputs = outputs + ops.reshape(ops.cast(self.beta, x.dtype), sizes)
        return ops.cast(outputs, self.compute_dtype)

    def _group_mean(self, x: Any, position: int) -> Any:
        """Return the mean over each row's group, repeated for the channels of the group.

        Groups are of equal size, so the mean over the places comes first: what is left is small,
        and its only unknown size can be the batch.
        """
        places = [axis for axis in range(1, len(x.shape)) if axis != position]
        means = ops.mean(x, axis=places, keepdims=True) if places else x
        shape = means.shape
        members = shape[position] // self.groups
        means = ops.mean(ops.reshape(means, (-1, self.groups, members)), axis=2, keepdims=True)
        return ops.reshape(ops.repeat(means, members, axis=2), (-1, *shape[1:]))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "groups": self.groups, "axis": self.axis}


class RMSNormalization(Layer):
    """Divide each row by its root mean square along `axis`, then scale it.

    outputs = inputs / sqrt(mean(inputs ** 2) + epsilon) * scale

    Args:
        axis: axis or axes to normalize over.
        epsilon: added to the mean square.

    Input and output shape: any. Weights: scale, of the sizes of `axis`, ones.
    """

    constraints = {"axis": AXES, "epsilon": Real(0)}

    def __init__(self, axis: Any = -1, epsilon: float = 1e-6, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        _require_axes(type(self).__name__, axis)
        self.axis, self.epsilon = self.validated(axis=axis, epsilon=epsilon)
        self.scale: Any = None

    def build(self, input_shape: Any) -> None:
        positions = axis_positions(self.axis, len(input_shape), self)
        self.axis = sorted(self.axis) if isinstance(self.axis, list) else [self.axis]
        shape = tuple(input_shape[position] for position in positions)
        self.scale = self.add_weight(name="scale", shape=shape, initializer="ones")

    def call(self, x: Any) -> Any:
        x = self._as_float(x)
        axes = axis_positions(self.axis, len(x.shape), self)
        return ops.rms_normalization(x, scale=self.scale, axis=axes, epsilon=self.epsilon)

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        axis_positions(self.axis, len(input_shape), self)
        return tuple(input_shape)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "axis": self.axis, "epsilon": self.epsilon}


class UnitNormalization(Layer):
    """Divide each row by its length, so that the squares along `axis` sum to 1.

    Args:
        axis: axis or axes to normalize over.

    Input and output shape: any. Rows of zeros stay zeros.
    """

    constraints = {"axis": AXES}

    def __init__(self, axis: Any = -1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not isinstance(axis, (int, list, tuple)):
            raise TypeError(
                f"{type(self).__name__}: Invalid value for `axis` argument: expected an int or a "
                f"list/tuple of ints. Got {axis!r}."
            )
        self.axis = self.validated(axis=axis)
        self.supports_masking = True
        self.built = is_default_build(type(self).build)

    def call(self, inputs: Any) -> Any:
        x = self._as_float(inputs)
        axes = axis_positions(self.axis, len(x.shape), self)
        return ops.normalize(x, axis=axes, order=2, epsilon=1e-12)

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        axis_positions(self.axis, len(input_shape), self)
        return tuple(input_shape)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "axis": self.axis}
