"""Shifting and scaling of inputs by the mean and variance of data seen before training."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from lamina import config, ops
from lamina.layers.axes import AXES
from lamina.layers.base import Layer
from lamina.tensor import Tensor
from lamina.utils.dataset import PyDataset
from lamina.validation import ArrayLike, Boolean, Either

_OPTIONAL_AXES = Either(*AXES.alternatives, optional=True)


class Normalization(Layer):
    """Bring features to mean 0 and variance 1, with statistics that are no matter of training.

    outputs = (inputs - mean) / max(sqrt(variance), epsilon)

    Args:
        axis: axis or axes that have a mean and a variance for each position, usually the
            features; None for one of each.
        mean, variance: the statistics, of the sizes of `axis` or broadcast to them; both are
            found by `adapt(data)` when None.
        invert: whether the layer takes normalized values back:
            inputs * max(sqrt(variance), epsilon) + mean.

    Input and output shape: any. Weights, unless the statistics are given: mean, variance, count.
    """

    constraints = {
        "axis": _OPTIONAL_AXES,
        "mean": ArrayLike(optional=True),
        "variance": ArrayLike(optional=True),
        "invert": Boolean(),
    }

    def __init__(
        self,
        axis: Any = -1,
        mean: Any = None,
        variance: Any = None,
        invert: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        no_axes = isinstance(axis, (list, tuple)) and not axis
        axis = self.validated(axis=None if no_axes else axis)
        self.axis: tuple[int, ...] = (
            () if axis is None else (axis,) if isinstance(axis, int) else tuple(axis)
        )
        self.invert = self.validated(invert=invert)
        self.input_mean, self.input_variance = self.validated(mean=mean, variance=variance)
        self.supports_masking = True
        self._given_moments: tuple[Any, Any] | None = None
        self._check_statistics()

    def _check_statistics(self) -> None:
        owner = type(self).__name__
        mean, variance = self.input_mean, self.input_variance
        if (mean is None) != (variance is None):
            raise ValueError(
                f"{owner}: both `mean` and `variance` must be set, or neither. "
                f"Got mean={mean}, variance={variance}."
            )
        if mean is None:
            return
        shapes = np.shape(mean), np.shape(variance)
        if shapes[0] != shapes[1]:
            raise ValueError(
                f"{owner}: `mean` {shapes[0]} and `variance` {shapes[1]} must have the same shape."
            )
        if len(shapes[0]) > len(self.axis):
            raise ValueError(
                f"{owner}: the rank of `mean` is at most {len(self.axis)}, one axis for each in "
                f"axis={self.axis}. Got shape {shapes[0]}."
            )

    # Building

    def build(self, input_shape: Any) -> None:
        if input_shape is None:
            return
        rank = len(input_shape)
        if any(not -rank <= axis < rank for axis in self.axis):
            raise ValueError(
                f"{self.name} ({type(self).__name__}): All `axis` values must be in the range "
                f"[{-rank}, {rank}) for inputs of {rank} axes. Got {self.axis}."
            )
        self._keep_axis = tuple(sorted(axis % rank for axis in self.axis))
        self._reduce_axis = tuple(axis for axis in range(rank) if axis not in self._keep_axis)
        kept = tuple(input_shape[axis] for axis in self._keep_axis)
        if None in kept:
            raise ValueError(
                f"{self.name} ({type(self).__name__}): All `axis` values to be kept need a "
                f"size. Got axis {self.axis} for input shape {tuple(input_shape)}."
            )
        self._kept_sizes = kept
        self._broadcast_shape = tuple(
            input_shape[axis] if axis in self._keep_axis else 1 for axis in range(rank)
        )
        if self.input_mean is not None:
            given = self._given(self.input_mean), self._given(self.input_variance)
            self._given_moments = given
            return
        self.adapt_mean = self.add_weight(
            name="mean", shape=kept, initializer="zeros", trainable=False
        )
        self.adapt_variance = self.add_weight(
            name="variance", shape=kept, initializer="ones", trainable=False
        )
        # Files of earlier versions have it.
        self.count = self.add_weight(
            name="count", shape=(), dtype="int32", initializer="zeros", trainable=False
        )

    def _given(self, statistic: Any) -> Any:
        """Return a given statistic with the axes of the inputs; its own align from the right."""
        array = np.asarray(statistic, dtype="float64")
        sizes = [1] * len(self._broadcast_shape)
        for place, size in zip(reversed(self._keep_axis), reversed(array.shape), strict=False):
            sizes[place] = size
        array = np.broadcast_to(array.reshape(sizes), self._broadcast_shape)
        return ops.cast(np.ascontiguousarray(array), self.compute_dtype)

    @property
    def mean(self) -> Any:
        """The mean, with the axes of the inputs; None before the layer is built."""
        return self._moment(0)

    @property
    def variance(self) -> Any:
        """The variance, with the axes of the inputs; None before the layer is built."""
        return self._moment(1)

    def _moment(self, which: int) -> Any:
        if not self.built:
            return None
        if self._given_moments is not None:
            return self._given_moments[which]
        weight = (self.adapt_mean, self.adapt_variance)[which]
        return ops.reshape(weight.value, self._broadcast_shape)

    # Statistics

    def adapt(self, data: Any) -> None:
        """Find the mean and the variance of data; earlier ones are forgotten.

        Args:
            data: array or tensor of all rows, or an iterable of batches: arrays, or tuples whose
                first item counts, such as those of a data loader or a `PyDataset`.

        Raises:
            ValueError: when there is no batch, or the sizes of `axis` differ from those the
                layer was built for.
            TypeError: when a batch is not an array.
        """
        if self.input_mean is not None:
            raise ValueError(
                f"{self.name} ({type(self).__name__}): adapt() has nothing to find, as mean and "
                "variance were given."
            )
        batches = _batches(data)
        first = next(batches, None)
        if first is None:
            raise ValueError(
                f"{self.name} ({type(self).__name__}): adapt() got an empty iterable, without a "
                "batch."
            )
        if not self.built:
            self.build(first.shape)
        mean, variance, count = self._moments(first)
        for batch in batches:
            batch_mean, batch_variance, batch_count = self._moments(batch)
            count += batch_count
            share = batch_count / count
            merged = mean * (1 - share) + batch_mean * share
            variance = (variance + (mean - merged) ** 2) * (1 - share) + (
                batch_variance + (batch_mean - merged) ** 2
            ) * share
            mean = merged
        self.adapt_mean.assign(mean.astype(self.variable_dtype))
        self.adapt_variance.assign(variance.astype(self.variable_dtype))

    def _moments(self, batch: np.ndarray[Any, Any]) -> tuple[Any, Any, int]:
        """Return mean, population variance and number of values of each kept position."""
        kept = tuple(batch.shape[axis] for axis in self._keep_axis if axis < batch.ndim)
        if batch.ndim != len(self._broadcast_shape) or kept != self._kept_sizes:
            raise ValueError(
                f"{self.name} ({type(self).__name__}): adapt() got data of an incompatible shape, "
                f"{batch.shape}: the layer was built for sizes {self._kept_sizes} of axis "
                f"{self.axis}."
            )
        values = batch.astype("float64")
        count = math.prod(batch.shape[axis] for axis in self._reduce_axis)
        return values.mean(axis=self._reduce_axis), values.var(axis=self._reduce_axis), count

    # Computing

    def call(self, inputs: Any) -> Any:
        if not self.built:
            raise ValueError(
                f"{self.name} ({type(self).__name__}): call adapt(data) or build(input_shape) "
                "before the layer is used on data."
            )
        inputs = self._as_float(inputs)
        mean, variance = (ops.cast(s, inputs.dtype) for s in (self.mean, self.variance))
        deviation = ops.maximum(ops.sqrt(variance), config.epsilon())
        return mean + inputs * deviation if self.invert else (inputs - mean) / deviation

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        return tuple(input_shape)

    def get_config(self) -> dict[str, Any]:
        def plain(statistic: Any) -> Any:
            return None if statistic is None else np.asarray(statistic).tolist()

        return {
            **super().get_config(),
            "axis": self.axis,
            "invert": self.invert,
            "mean": plain(self.input_mean),
            "variance": plain(self.input_variance),
        }


def _batches(data: Any) -> Iterator[np.ndarray[Any, Any]]:
    """Yield the arrays of data: itself, or those of an iterable of batches."""
    if isinstance(data, (np.ndarray, Tensor)):
        yield np.asarray(data)
        return
    if isinstance(data, PyDataset):
        data = map(data.__getitem__, range(data.num_batches or 0))
    if not isinstance(data, Iterable):
        raise TypeError(
            f"Normalization.adapt: data must be an array, a tensor or an iterable of batches. "
            f"Got {type(data).__name__}."
        )
    for batch in data:
        values = batch[0] if isinstance(batch, (list, tuple)) else batch
        if not hasattr(values, "shape"):
            raise TypeError(
                "Normalization.adapt: an iterable must yield arrays or tensors, with a `.shape`. "
                f"Got {type(values).__name__}."
            )
        yield np.asarray(values)
