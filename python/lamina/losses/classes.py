"""Losses as objects, with their arguments and their reduction.

Every class takes `reduction`, `name` and `dtype` as `Loss` does; see the functions of the same
names for the formulas and the other arguments.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from lamina.losses import functions, sequences
from lamina.losses.base import Loss, LossFunctionWrapper
from lamina.validation import Axes, Boolean, Integer, Real, check_argument


class _Configured(LossFunctionWrapper):
    """A loss class whose function's further arguments are attributes too."""

    def __init__(
        self,
        fn: Callable[..., Any],
        reduction: str | None,
        name: str | None,
        dtype: Any,
        **kwargs: Any,
    ) -> None:
        super().__init__(fn, reduction, name, dtype, **kwargs)
        for argument, value in kwargs.items():
            setattr(self, argument, value)


class MeanSquaredError(LossFunctionWrapper):
    """Mean of squared errors."""

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "mean_squared_error",
        dtype: Any = None,
    ) -> None:
        super().__init__(functions.mean_squared_error, reduction, name, dtype)


class MeanAbsoluteError(LossFunctionWrapper):
    """Mean of absolute errors."""

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "mean_absolute_error",
        dtype: Any = None,
    ) -> None:
        super().__init__(functions.mean_absolute_error, reduction, name, dtype)


class MeanAbsolutePercentageError(LossFunctionWrapper):
    """Mean of absolute errors relative to the target, in percent."""

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "mean_absolute_percentage_error",
        dtype: Any = None,
    ) -> None:
        super().__init__(functions.mean_absolute_percentage_error, reduction, name, dtype)


class MeanSquaredLogarithmicError(LossFunctionWrapper):
    """Mean of squared differences of log(1 + y)."""

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "mean_squared_logarithmic_error",
        dtype: Any = None,
    ) -> None:
        super().__init__(functions.mean_squared_logarithmic_error, reduction, name, dtype)


class LogCosh(LossFunctionWrapper):
    """Mean of log(cosh(error)): squares near 0, absolute values far away."""

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "log_cosh",
        dtype: Any = None,
    ) -> None:
        super().__init__(functions.log_cosh, reduction, name, dtype)


class Hinge(LossFunctionWrapper):
    """Mean of max(1 - y_true * y_pred, 0)."""

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "hinge",
        dtype: Any = None,
    ) -> None:
        super().__init__(functions.hinge, reduction, name, dtype)


class SquaredHinge(LossFunctionWrapper):
    """Mean of max(1 - y_true * y_pred, 0) ** 2."""

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "squared_hinge",
        dtype: Any = None,
    ) -> None:
        super().__init__(functions.squared_hinge, reduction, name, dtype)


class CategoricalHinge(LossFunctionWrapper):
    """How far the best wrong class comes near the right one, plus 1."""

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "categorical_hinge",
        dtype: Any = None,
    ) -> None:
        super().__init__(functions.categorical_hinge, reduction, name, dtype)


class KLDivergence(LossFunctionWrapper):
    """Sum of y_true * log(y_true / y_pred)."""

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "kl_divergence",
        dtype: Any = None,
    ) -> None:
        super().__init__(functions.kl_divergence, reduction, name, dtype)


class Poisson(LossFunctionWrapper):
    """Mean of y_pred - y_true * log(y_pred)."""

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "poisson",
        dtype: Any = None,
    ) -> None:
        super().__init__(functions.poisson, reduction, name, dtype)


class Huber(LossFunctionWrapper):
    """Squares of errors up to `delta`, a line above (see `huber`)."""

    def __init__(
        self,
        delta: float = 1.0,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "huber_loss",
        dtype: Any = None,
    ) -> None:
        delta = check_argument("Huber", "delta", delta, Real(0))
        super().__init__(functions.huber, reduction, name, dtype, delta=delta)

    def get_config(self) -> dict[str, Any]:
        return Loss.get_config(self)  # as Keras writes it, without delta


class CosineSimilarity(LossFunctionWrapper):
    """Minus the cosine of the angle between targets and predictions."""

    def __init__(
        self,
        axis: int = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "cosine_similarity",
        dtype: Any = None,
    ) -> None:
        axis = check_argument("CosineSimilarity", "axis", axis, Integer())
        super().__init__(functions.cosine_similarity, reduction, name, dtype, axis=axis)

    def get_config(self) -> dict[str, Any]:
        return Loss.get_config(self)  # as Keras writes it, without axis


def _checked_alpha(alpha: Any) -> Any:
    """Return the weight of all classes, or one for each."""
    if np.ndim(alpha) == 0:
        return check_argument("CategoricalFocalCrossentropy", "alpha", alpha, Real())
    for each in np.ravel(alpha):
        check_argument("CategoricalFocalCrossentropy", "alpha", each, Real())
    return alpha


def _crossentropy_arguments(
    owner: str, from_logits: bool, label_smoothing: float, axis: int
) -> dict[str, Any]:
    return {
        "from_logits": check_argument(owner, "from_logits", from_logits, Boolean()),
        "label_smoothing": check_argument(owner, "label_smoothing", label_smoothing, Real(0, 1)),
        "axis": check_argument(owner, "axis", axis, Integer()),
    }


class BinaryCrossentropy(_Configured):
    """Cross-entropy of independent yes-or-no predictions (see `binary_crossentropy`)."""

    def __init__(
        self,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "binary_crossentropy",
        dtype: Any = None,
    ) -> None:
        kwargs = _crossentropy_arguments(
            "BinaryCrossentropy", from_logits, label_smoothing, axis
        )  # fmt: skip
        super().__init__(functions.binary_crossentropy, reduction, name, dtype, **kwargs)


class BinaryFocalCrossentropy(_Configured):
    """Binary cross-entropy that discounts easy samples (see `binary_focal_crossentropy`)."""

    def __init__(
        self,
        apply_class_balancing: bool = False,
        alpha: float = 0.25,
        gamma: float = 2.0,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "binary_focal_crossentropy",
        dtype: Any = None,
    ) -> None:
        owner = "BinaryFocalCrossentropy"
        super().__init__(
            functions.binary_focal_crossentropy,
            reduction,
            name,
            dtype,
            apply_class_balancing=check_argument(
                owner, "apply_class_balancing", apply_class_balancing, Boolean()
            ),
            alpha=check_argument(owner, "alpha", alpha, Real(0, 1)),
            gamma=check_argument(owner, "gamma", gamma, Real(0)),
            **_crossentropy_arguments(owner, from_logits, label_smoothing, axis),
        )


class CategoricalCrossentropy(_Configured):
    """Cross-entropy of one class among several, targets one-hot."""

    def __init__(
        self,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "categorical_crossentropy",
        dtype: Any = None,
    ) -> None:
        kwargs = _crossentropy_arguments(
            "CategoricalCrossentropy", from_logits, label_smoothing, axis
        )
        super().__init__(functions.categorical_crossentropy, reduction, name, dtype, **kwargs)


class CategoricalFocalCrossentropy(_Configured):
    """Categorical cross-entropy that discounts easy samples."""

    def __init__(
        self,
        alpha: Any = 0.25,
        gamma: float = 2.0,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "categorical_focal_crossentropy",
        dtype: Any = None,
    ) -> None:
        owner = "CategoricalFocalCrossentropy"
        super().__init__(
            functions.categorical_focal_crossentropy,
            reduction,
            name,
            dtype,
            alpha=_checked_alpha(alpha),
            gamma=check_argument(owner, "gamma", gamma, Real(0)),
            **_crossentropy_arguments(owner, from_logits, label_smoothing, axis),
        )


class CategoricalGeneralizedCrossEntropy(_Configured):
    """Cross-entropy that tolerates wrong labels; `q` in (0, 1)."""

    def __init__(
        self,
        q: float = 0.5,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "categorical_generalized_cross_entropy",
        dtype: Any = None,
    ) -> None:
        q = check_argument(type(self).__name__, "q", q, Real(0, 1, closed="none"))
        super().__init__(
            functions.categorical_generalized_cross_entropy, reduction, name, dtype, q=q
        )


class SparseCategoricalCrossentropy(_Configured):
    """Cross-entropy of one class among several, targets class ids."""

    def __init__(
        self,
        from_logits: bool = False,
        ignore_class: int | None = None,
        reduction: str | None = "sum_over_batch_size",
        axis: int = -1,
        name: str | None = "sparse_categorical_crossentropy",
        dtype: Any = None,
    ) -> None:
        owner = "SparseCategoricalCrossentropy"
        super().__init__(
            functions.sparse_categorical_crossentropy,
            reduction,
            name,
            dtype,
            from_logits=check_argument(owner, "from_logits", from_logits, Boolean()),
            ignore_class=check_argument(
                owner, "ignore_class", ignore_class, Integer(optional=True)
            ),
            axis=check_argument(owner, "axis", axis, Integer()),
        )

    def get_config(self) -> dict[str, Any]:
        described = super().get_config()
        del described["axis"]  # as Keras writes it
        return described


class Dice(_Configured):
    """1 - the Dice coefficient, for segmentation."""

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "dice",
        axis: Any = None,
        dtype: Any = None,
    ) -> None:
        axis = check_argument("Dice", "axis", axis, Axes(optional=True))
        super().__init__(functions.dice, reduction, name, dtype, axis=axis)


class Tversky(_Configured):
    """1 - the Tversky index, for segmentation of rare classes."""

    def __init__(
        self,
        alpha: float = 0.5,
        beta: float = 0.5,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "tversky",
        axis: Any = None,
        dtype: Any = None,
    ) -> None:
        alpha = check_argument("Tversky", "alpha", alpha, Real(0))
        beta = check_argument("Tversky", "beta", beta, Real(0))
        axis = check_argument("Tversky", "axis", axis, Axes(optional=True))
        super().__init__(
            functions.tversky, reduction, name, dtype, alpha=alpha, beta=beta, axis=axis
        )


class Circle(_Configured):
    """Circle loss of embeddings of length 1, targets class ids (see `circle`)."""

    def __init__(
        self,
        gamma: float = 80.0,
        margin: float = 0.4,
        remove_diagonal: bool = True,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "circle",
        dtype: Any = None,
    ) -> None:
        super().__init__(
            sequences.circle,
            reduction,
            name,
            dtype,
            gamma=check_argument("Circle", "gamma", gamma, Real()),
            margin=check_argument("Circle", "margin", margin, Real()),
            remove_diagonal=check_argument("Circle", "remove_diagonal", remove_diagonal, Boolean()),
        )


class CTC(LossFunctionWrapper):
    """Connectionist temporal classification: logits of steps, targets padded class ids."""

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "ctc",
        dtype: Any = None,
    ) -> None:
        super().__init__(sequences.ctc, reduction, name, dtype)
