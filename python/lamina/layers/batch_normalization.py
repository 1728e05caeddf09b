"""Batch normalization: statistics of the batch while training, their moving means otherwise."""

from __future__ import annotations

from typing import Any

from lamina import config, initializers, ops
from lamina.layers.axes import axis_positions
from lamina.layers.normalization import AFFINE, BaseNormalization
from lamina.layers.spec import InputSpec
from lamina.ops.normalization import normalize_batch
from lamina.validation import Boolean, Integer, Real, check_argument

_CLIPPING = ("dmax", "rmax", "rmin")


class BatchNormalization(BaseNormalization):
    """Bring each channel to mean 0 and variance 1, then scale and shift it.

    While training the mean and the population variance are those of the batch, over all axes but
    `axis`, and the moving ones follow them:

        moving = moving * momentum + batch * (1 - momentum)

    At inference, and always when the layer is not trainable, the moving ones are used and stay.
    Masked steps are normalized but do not count in the statistics.

    Args:
        axis: the axis of the channels.
        momentum: share of the old moving statistics in the new ones, in [0, 1].
        epsilon: added to the variance.
        center, scale: whether beta and gamma are used.
        beta_initializer, gamma_initializer: first values of the weights.
        moving_mean_initializer, moving_variance_initializer: first moving statistics.
        beta_regularizer, gamma_regularizer: penalties added to the loss.
        beta_constraint, gamma_constraint: applied after each update.
        renorm: correct the batch's statistics towards moving ones while training.
        renorm_clipping: dict of the bounds "rmin", "rmax" and "dmax" of that correction.
        renorm_momentum: momentum of the moving statistics that `renorm` compares with.
        synchronized: must be False; one process holds the whole batch.

    Input and output shape: any. Weights: gamma, beta, moving_mean, moving_variance (channels,);
    with `renorm` also moving_stddev, renorm_mean, renorm_stddev.
    Source: Ioffe, Szegedy. Batch normalization. 2015; Ioffe. Batch renormalization. 2017.
    """

    constraints = {
        **AFFINE,
        "axis": Integer(),
        "momentum": Real(0, 1),
        "renorm": Boolean(),
        "renorm_momentum": Real(0, 1),
        "synchronized": Boolean(),
    }

    def __init__(
        self,
        axis: int = -1,
        momentum: float = 0.99,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        moving_mean_initializer: Any = "zeros",
        moving_variance_initializer: Any = "ones",
        beta_regularizer: Any = None,
        gamma_regularizer: Any = None,
        beta_constraint: Any = None,
        gamma_constraint: Any = None,
        renorm: bool = False,
        renorm_clipping: dict[str, float] | None = None,
        renorm_momentum: float = 0.99,
        synchronized: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.axis, self.momentum, self.renorm, self.renorm_momentum, self.synchronized = (
            self.validated(
                axis=axis,
                momentum=momentum,
                renorm=renorm,
                renorm_momentum=renorm_momentum,
                synchronized=synchronized,
            )
        )
        if self.synchronized:
            raise ValueError(
                "BatchNormalization: synchronized=True needs several replicas; one process holds "
                "the whole batch here."
            )
        self.renorm_clipping = _checked_clipping(renorm_clipping)
        if self.renorm and self.renorm_clipping is None:
            self.renorm_clipping = {}
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
        self.moving_mean_initializer = self.resolved(initializers.get, moving_mean_initializer)
        self.moving_variance_initializer = self.resolved(
            initializers.get, moving_variance_initializer
        )

    def build(self, input_shape: Any) -> None:
        rank = len(input_shape)
        (position,) = axis_positions(self.axis, rank, self)
        channels = self._known_size(input_shape, position)
        self._make_affine((channels,))
        self.moving_mean = self._add_statistic(
            "moving_mean", channels, self.moving_mean_initializer
        )
        self.moving_variance = self._add_statistic(
            "moving_variance", channels, self.moving_variance_initializer
        )
        if self.renorm:
            self.moving_stddev = self._add_statistic(
                "moving_stddev", channels, self._first_deviation
            )
            self.renorm_mean = self._add_statistic(
                "renorm_mean", channels, self.moving_mean_initializer
            )
            self.renorm_stddev = self._add_statistic(
                "renorm_stddev", channels, self._first_deviation
            )
        self.input_spec = InputSpec(ndim=rank, axes={position: channels})

    def _add_statistic(self, name: str, channels: int, initializer: Any) -> Any:
        return self.add_weight(
            name=name, shape=(channels,), initializer=initializer, trainable=False
        )

    def _first_deviation(self, shape: Any, dtype: Any = None) -> Any:
        return ops.sqrt(self.moving_variance_initializer(shape, dtype=dtype))

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        x = self._as_float(inputs)
        if mask is not None and len(mask.shape) != len(x.shape) - 1:
            raise ValueError(
                f"{self.name} (BatchNormalization): the mask must have one axis less than the "
                f"inputs. Got mask of shape {tuple(mask.shape)} for inputs {tuple(x.shape)}."
            )
        scale, offset = self.gamma, self.beta
        if not (training and self.trainable):
            mean, variance = self.moving_mean, self.moving_variance
        elif self._is_plain(x, mask):
            y, mean, variance = normalize_batch(x, scale, offset, self.epsilon)
            _follow(self.moving_mean, mean, self.momentum)
            _follow(self.moving_variance, variance, self.momentum)
            return y
        else:
            mean, variance = self._batch_statistics(x, mask)
            if self.renorm:
                scale, offset = self._renormed(mean, variance)
                self._follow_renormed(mean, variance)
            else:
                _follow(self.moving_mean, mean, self.momentum)
                _follow(self.moving_variance, variance, self.momentum)
        return ops.batch_normalization(
            x, mean, variance, self.axis, offset=offset, scale=scale, epsilon=self.epsilon
        )

    def _is_plain(self, x: Any, mask: Any) -> bool:
        """Whether all rows of the last axis count and nothing corrects their statistics."""
        rank = len(x.shape)
        return mask is None and not self.renorm and rank > 1 and self.axis % rank == rank - 1

    def _batch_statistics(self, x: Any, mask: Any) -> tuple[Any, Any]:
        """Return mean and population variance of each channel, over the steps that count."""
        rank = len(x.shape)
        position = self.axis % rank
        axes = [axis for axis in range(rank) if axis != position]
        if mask is None:
            return ops.moments(x, axes)
        weights = ops.expand_dims(ops.cast(mask, x.dtype), axis=-1) * ops.ones_like(x)
        total = ops.sum(weights, axis=axes, keepdims=True) + config.epsilon()
        mean = ops.sum(x * weights, axis=axes, keepdims=True) / total
        squares = ops.sum(ops.square(x - mean) * weights, axis=axes, keepdims=True) / total
        return ops.squeeze(mean, axis=axes), ops.squeeze(squares, axis=axes)

    def _renormed(self, mean: Any, variance: Any) -> tuple[Any, Any]:
        """Return scale and offset that carry the correction towards the moving statistics."""
        deviation = ops.sqrt(variance + self.epsilon)
        r = deviation / self.renorm_stddev
        d = (mean - self.renorm_mean) / self.renorm_stddev
        bounds = self.renorm_clipping or {}
        if "rmin" in bounds:
            r = ops.maximum(r, bounds["rmin"])
        if "rmax" in bounds:
            r = ops.minimum(r, bounds["rmax"])
        if "dmax" in bounds:
            d = ops.clip(d, -bounds["dmax"], bounds["dmax"])
        scale, offset = ops.stop_gradient(r), ops.stop_gradient(d)
        if self.gamma is not None:
            scale, offset = scale * self.gamma, offset * self.gamma
        return scale, offset if self.beta is None else offset + self.beta

    def _follow_renormed(self, mean: Any, variance: Any) -> None:
        deviation = ops.sqrt(variance + self.epsilon)
        _follow(self.renorm_mean, mean, self.renorm_momentum)
        _follow(self.renorm_stddev, deviation, self.renorm_momentum)
        _follow(self.moving_mean, mean, self.momentum)
        _follow(self.moving_stddev, deviation, self.momentum)
        self.moving_variance.assign(ops.square(self.moving_stddev) - self.epsilon)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "axis": self.axis,
            "momentum": self.momentum,
            "moving_mean_initializer": initializers.serialize(self.moving_mean_initializer),
            "moving_variance_initializer": initializers.serialize(self.moving_variance_initializer),
            "renorm": self.renorm,
            "renorm_clipping": self.renorm_clipping,
            "renorm_momentum": self.renorm_momentum,
            "synchronized": self.synchronized,
        }


def _follow(moving: Any, batch: Any, momentum: float) -> None:
    """Move a statistic towards that of the batch; no gradient passes through it."""
    moving.assign(moving * momentum + ops.stop_gradient(batch) * (1.0 - momentum))


def _checked_clipping(bounds: Any) -> dict[str, float] | None:
    """Return the bounds of the correction, or say which key or value is not allowed."""
    if bounds is None:
        return None
    if not isinstance(bounds, dict) or not set(bounds) <= set(_CLIPPING):
        raise ValueError(
            "BatchNormalization: Received invalid keys for renorm_clipping, which must be a dict "
            f"with keys among {_CLIPPING}. Got {bounds!r}."
        )
    checked = {
        key: check_argument("BatchNormalization", f"renorm_clipping {key}", bound, Real())
        for key, bound in bounds.items()
    }
    for key, bound in checked.items():
        if bound < 0:
            raise ValueError(
                f"BatchNormalization: renorm_clipping {key} should be non-negative. Got {bound}."
            )
    if "rmin" in checked and "rmax" in checked and checked["rmin"] > checked["rmax"]:
        raise ValueError(
            "BatchNormalization: renorm_clipping rmax should be at least rmin. Got "
            f"rmin={checked['rmin']} and rmax={checked['rmax']}."
        )
    return checked
