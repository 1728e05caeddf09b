"""What all losses share: conversion, masks, sample weights, reduction."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from lamina import config, dtype_policies, names, ops, serialization, structure
from lamina.dtypes import standardize_dtype
from lamina.ops.core import to_dtype
from lamina.tensor import Tensor
from lamina.tracing import convert
from lamina.validation import Function, Text, check_argument, did_you_mean

REDUCTIONS = ("sum", "sum_over_batch_size", "mean", "mean_with_sample_weight", "none", None)


def squeeze_or_expand(x1: Any, x2: Any) -> tuple[Any, Any]:
    """Make the ranks equal when they differ by one last axis of size 1.

    A vector is given that axis; of a larger tensor it is taken away.
    """
    rank1, rank2 = len(x1.shape), len(x2.shape)
    if rank1 < rank2:
        x2, x1 = squeeze_or_expand(x2, x1)
    elif rank1 == rank2 + 1 and x1.shape[-1] == 1:
        if rank2 == 1:
            x2 = ops.expand_dims(x2, -1)
        else:
            x1 = ops.squeeze(x1, -1)
    return x1, x2


def _spread_last(weights: Any, rank: int) -> Any:
    """Give weights trailing axes of size 1 up to `rank`, so that they broadcast over samples."""
    places = list(range(len(weights.shape), rank))
    return ops.expand_dims(weights, places) if places else weights


def apply_mask(sample_weight: Any, mask: Any, dtype: str, reduction: str | None) -> Any:
    """Return the weights that leave out the masked elements.

    Under a mean the valid elements weigh all / valid, so that the result is their own mean.
    """
    if mask is None:
        return sample_weight
    mask = ops.cast(mask, dtype)
    if reduction in ("mean", "sum_over_batch_size"):
        total = ops.cast(math.prod(mask.shape), dtype) if None not in mask.shape else 1.0
        mask = mask * (total / (ops.sum(mask) + config.epsilon()))
    if sample_weight is None:
        return mask
    sample_weight, mask = squeeze_or_expand(ops.cast(sample_weight, dtype), mask)
    return _spread_last(sample_weight, len(mask.shape)) * mask


def reduce_weighted(
    values: Tensor, sample_weight: Any, mask: Any, reduction: str | None, dtype: str
) -> Tensor:
    """Weigh the losses of the samples and reduce them to one number.

    Args:
        values: losses (batch, ...).
        sample_weight: weights that broadcast over `values`, or None.
        mask: boolean, False where an element does not count, or None.
        reduction: one of `REDUCTIONS`.
        dtype: float type of the weights.
    """
    sample_weight = apply_mask(sample_weight, mask, dtype, reduction)
    if sample_weight is not None:
        sample_weight = ops.cast(sample_weight, values.dtype)
        values, sample_weight = squeeze_or_expand(values, sample_weight)
        if sample_weight.shape:
            sample_weight = _spread_last(sample_weight, len(values.shape))
        values = values * sample_weight
    if reduction in (None, "none") or values.shape == ():
        return values
    if reduction == "sum":
        return ops.sum(values)
    if reduction == "mean_with_sample_weight" and sample_weight is not None:
        return ops.divide_no_nan(ops.sum(values), ops.sum(sample_weight))
    return ops.mean(values)


def compute_dtype(dtype: Any) -> str:
    """Return the type that a loss or metric computes in.

    Args:
        dtype: None (floatx), a type, a policy, or the name of one such as "mixed_float16".

    Raises:
        ValueError: for any other.
    """
    if isinstance(dtype, str) and dtype.startswith("mixed"):
        dtype = dtype_policies.get(dtype)
    return standardize_dtype(getattr(dtype, "compute_dtype", dtype))


def _without_numbers(value: Any) -> Any:
    """Return nested lists of nothing but numbers as one array, other structures as they are."""
    if not isinstance(value, (list, tuple)):
        return value
    is_array = all(isinstance(leaf, (int, float)) for leaf in structure.flatten(value))
    return convert(value) if is_array else value


class Loss:
    """Base of all losses: subclasses define `call(y_true, y_pred)`.

    Args:
        name: shown in logs; by default from the class.
        reduction: of the losses of the batch: "sum_over_batch_size" (or "mean") divides the sum
            by their number, "mean_with_sample_weight" by the sum of the weights, "sum" adds them
            up, "none" (or None) leaves them.
        dtype: float type to compute in; None is floatx.

    `loss(y_true, y_pred, sample_weight=None)` weighs, masks and reduces what `call` returns.
    """

    # Whether targets are class ids, which must stay integers.
    integer_targets = False

    def __init__(
        self,
        name: str | None = None,
        reduction: str | None = "sum_over_batch_size",
        dtype: Any = None,
    ) -> None:
        if reduction not in REDUCTIONS:
            hint = did_you_mean(reduction, [r for r in REDUCTIONS if r])
            raise ValueError(
                f"Invalid value for argument `reduction`: {type(self).__name__} takes one of "
                f"{REDUCTIONS}. Got {reduction!r}.{hint}"
            )
        name = check_argument(type(self).__name__, "name", name, Text(optional=True))
        self.name = names.auto_name(type(self).__name__) if name is None else name
        self.reduction = reduction
        self._dtype = compute_dtype(dtype)

    @property
    def dtype(self) -> str:
        """Float type that the loss is computed in."""
        return self._dtype

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Return the losses of the samples (batch, ...)."""
        raise NotImplementedError(f"{type(self).__name__} must define call(y_true, y_pred).")

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Tensor:
        mask = getattr(y_pred, "mask", None)
        y_pred = structure.map_structure(
            lambda x: to_dtype(convert(x), self.dtype), _without_numbers(y_pred)
        )
        y_true = structure.map_structure(self._target, _without_numbers(y_true))
        values = convert(self.call(y_true, y_pred))
        if values.mask is not None:
            mask = values.mask if mask is None else ops.logical_and(mask, values.mask)
        return reduce_weighted(values, sample_weight, mask, self.reduction, self.dtype)

    def _target(self, y: Any) -> Any:
        if y is None:
            return None
        y = convert(y)
        return y if self.integer_targets else to_dtype(y, self.dtype)

    def get_config(self) -> dict[str, Any]:
        """Return name and reduction; as in Keras, without the dtype."""
        return {"name": self.name, "reduction": self.reduction}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Loss:
        """Build a loss from what `get_config` returned."""
        return cls(**config)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name}>"


class LossFunctionWrapper(Loss):
    """A loss from a function `fn(y_true, y_pred, **kwargs)`.

    Args:
        fn: returns the losses of the samples.
        reduction, name, dtype: as for `Loss`.
        kwargs: further arguments of `fn`.
    """

    def __init__(
        self,
        fn: Callable[..., Any],
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
        dtype: Any = None,
        **kwargs: Any,
    ) -> None:
        check_argument(type(self).__name__, "fn", fn, Function())
        fallback = getattr(fn, "__name__", None)
        super().__init__(name=name or fallback, reduction=reduction, dtype=dtype)
        self.fn = fn
        self._fn_kwargs = kwargs
        self.integer_targets = getattr(fn, "takes_class_ids", False)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        if not (self.integer_targets or structure.is_nested(y_true)):
            y_true, y_pred = squeeze_or_expand(y_true, y_pred)
        return self.fn(y_true, y_pred, **self._fn_kwargs)

    def get_config(self) -> dict[str, Any]:
        described = super().get_config()
        if type(self) is LossFunctionWrapper:
            described["fn"] = serialization.serialize_keras_object(self.fn)
        return {**described, **self._fn_kwargs}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Loss:
        if "fn" in config:
            config = {**config, "fn": serialization.deserialize_keras_object(config["fn"])}
        return cls(**config)
