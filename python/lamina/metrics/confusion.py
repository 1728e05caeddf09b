"""Counts of right and wrong yes-or-no decisions at thresholds, and rates made of them."""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from typing import Any

import numpy as np

from lamina import ops
from lamina.losses.base import squeeze_or_expand
from lamina.metrics.base import Metric
from lamina.tensor import Tensor
from lamina.validation import Integer, check_argument

KINDS = ("true_positives", "false_positives", "true_negatives", "false_negatives")
_LOWEST = -1e10  # below every score


def standard_thresholds(owner: str, thresholds: Any, default: float = 0.5) -> list[float]:
    """Return thresholds as a list of floats in [0, 1]; None is the default one."""
    if thresholds is None:
        return [default]
    values = np.ravel(np.array(thresholds, dtype=object)).tolist()
    wrong = [v for v in values if not isinstance(v, numbers.Real) or not 0.0 <= float(v) <= 1.0]
    if wrong:
        raise ValueError(
            f"{owner}: thresholds: Threshold values must be in [0, 1]. Received: {wrong}"
        )
    return [float(v) for v in values]


def even_thresholds(count: int, epsilon: float) -> list[float]:
    """Return `count` thresholds evenly over [0, 1], the outer ones moved out by `epsilon`."""
    inner = [(i + 1) / (count - 1) for i in range(count - 2)]
    return [0.0 - epsilon, *inner, 1.0 + epsilon]


def column(class_id: int, *arrays: Tensor | None) -> tuple[Any, ...]:
    """Return one column of each array (samples, classes); None stays.

    Raises:
        ValueError: if an array has other axes, or too few columns.
    """
    for array in arrays:
        if array is None:
            continue
        if array.ndim != 2:
            raise ValueError(
                "When class_id is provided, y_pred must be a 2D array with shape (num_samples, "
                f"num_classes), found shape: {array.shape}"
            )
        if class_id >= array.shape[-1]:
            raise ValueError(f"class_id={class_id} is out of range for {array.shape[-1]} classes.")
    return tuple(None if array is None else array[:, class_id] for array in arrays)


def keep_top_k(scores: Tensor, k: int) -> Tensor:
    """Replace all but the `k` best scores of a row by a number below every threshold."""
    ids = ops.top_k(scores, k).indices
    hits = ops.sum(ops.one_hot(ids, scores.shape[-1], dtype=scores.dtype), axis=-2)
    return scores * hits + _LOWEST * (1.0 - hits)


def aligned(y_true: Any, y_pred: Any, sample_weight: Any, dtype: str) -> tuple[Any, Any, Any]:
    """Convert, bring to one shape, and spread the weights over it."""
    y_true, y_pred = squeeze_or_expand(ops.cast(y_true, dtype), ops.cast(y_pred, dtype))
    if sample_weight is None:
        return y_true, y_pred, None
    weights = ops.cast(sample_weight, dtype)
    y_pred, weights = squeeze_or_expand(y_pred, weights)
    missing = y_pred.ndim - weights.ndim
    if missing > 0:
        weights = ops.expand_dims(weights, list(range(weights.ndim, y_pred.ndim)))
    return y_true, y_pred, ops.ones_like(y_pred) * weights


def confusion_counts(
    y_true: Tensor, y_pred: Tensor, weights: Tensor | None, thresholds: Sequence[float]
) -> dict[str, Tensor]:
    """Count decisions at every threshold.

    Args:
        y_true: labels (samples,) or (samples, labels).
        y_pred: scores of that shape; above a threshold they mean yes.
        weights: of that shape, or None.
        thresholds: numbers.

    Returns:
        For each of `KINDS`, counts (thresholds,) or (thresholds, labels).
    """
    edges = ops.reshape(
        ops.convert_to_tensor(np.asarray(thresholds), dtype=y_pred.dtype),
        (-1, *[1] * y_pred.ndim),
    )
    said_yes = ops.expand_dims(y_pred, 0) > edges
    is_yes = ops.expand_dims(ops.cast(y_true, "bool"), 0)
    return _sums(is_yes, said_yes, weights, y_pred.dtype)


def _sums(
    is_yes: Tensor, said_yes: Tensor, weights: Tensor | None, dtype: str
) -> dict[str, Tensor]:
    no, said_no = ops.logical_not(is_yes), ops.logical_not(said_yes)
    pairs = zip(KINDS, ((is_yes, said_yes), (no, said_yes), (no, said_no), (is_yes, said_no)),
                strict=True)  # fmt: skip
    counts = {}
    for kind, (a, b) in pairs:
        hits = ops.cast(ops.logical_and(a, b), dtype)
        counts[kind] = ops.sum(hits if weights is None else hits * weights, axis=1)
    return counts


def bucket_counts(
    y_true: Tensor, y_pred: Tensor, weights: Tensor | None, count: int
) -> dict[str, Tensor]:
    """Count decisions at `count` thresholds spread evenly over [0, 1], in one pass.

    Each score falls between two thresholds; running sums over the buckets give the counts.
    Arguments and result are those of `confusion_counts`, with scores in [0, 1].
    """
    is_vector = y_pred.ndim == 1
    labels = 1 if is_vector else y_pred.shape[-1]
    dtype = y_pred.dtype
    yes = ops.cast(ops.cast(y_true, "bool"), dtype)
    yes_weight = yes if weights is None else yes * weights
    no_weight = (1.0 - yes) if weights is None else (1.0 - yes) * weights
    place = ops.cast(ops.relu(ops.ceil(y_pred * (count - 1.0)) - 1.0), "int64")
    if labels > 1:
        place = place + ops.arange(labels, dtype="int64") * count
    place = ops.reshape(place, (-1,))
    summed = []
    for weight in (yes_weight, no_weight):
        buckets = ops.segment_sum(ops.reshape(weight, (-1,)), place, labels * count)
        table = ops.reshape(buckets, (labels, count))
        above = ops.flip(ops.cumsum(ops.flip(table, 1), axis=1), 1)
        total = ops.reshape(ops.sum(weight, axis=0), (labels, 1))
        summed += [above, total - above]
    true_positives, false_negatives, false_positives, true_negatives = (
        ops.reshape(s, (count,)) if is_vector else ops.transpose(s) for s in summed
    )
    found = (true_positives, false_positives, true_negatives, false_negatives)
    return dict(zip(KINDS, found, strict=True))


class _Counting(Metric):
    """Keeps some of the four counts at thresholds.

    Args:
        kinds: which counts.
        thresholds: numbers in [0, 1].
        top_k: only the best scores of a row count as candidates, or None.
        class_id: only this column of the targets and scores counts, or None.
    """

    def __init__(
        self,
        kinds: Sequence[str],
        thresholds: Any,
        name: str | None,
        dtype: Any,
        top_k: int | None = None,
        class_id: int | None = None,
    ) -> None:
        super().__init__(dtype, name)
        owner = type(self).__name__
        self.init_thresholds = thresholds
        self.top_k = check_argument(owner, "top_k", top_k, Integer(1, optional=True))
        self.class_id = check_argument(owner, "class_id", class_id, Integer(0, optional=True))
        default = _LOWEST if top_k is not None else 0.5
        self.thresholds = standard_thresholds(owner, thresholds, default)
        self._kinds = tuple(kinds)
        for kind in kinds:
            # Keras calls the variable of a lone count its accumulator.
            variable_name = "accumulator" if len(kinds) == 1 else kind
            variable = self.add_variable((len(self.thresholds),), name=variable_name)
            object.__setattr__(self, kind, variable)

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Take one batch into account.

        Args:
            y_true: labels 0 and 1 (batch, ...).
            y_pred: scores in [0, 1] of that shape.
            sample_weight: weights that broadcast over them, or None.
        """
        y_true, y_pred, weights = aligned(y_true, y_pred, sample_weight, self.dtype)
        if self.top_k is not None:
            y_pred = keep_top_k(y_pred, self.top_k)
        if self.class_id is not None:
            y_true, y_pred, weights = column(self.class_id, y_true, y_pred, weights)
        weights = None if weights is None else ops.ravel(weights)
        counts = confusion_counts(ops.ravel(y_true), ops.ravel(y_pred), weights, self.thresholds)
        for kind in self._kinds:
            getattr(self, kind).assign_add(counts[kind])

    def _scalar(self, value: Tensor) -> Tensor:
        return value[0] if len(self.thresholds) == 1 else value


class _OneCount(_Counting):
    kind: str

    def __init__(self, thresholds: Any = None, name: str | None = None, dtype: Any = None) -> None:
        super().__init__((self.kind,), thresholds, name, dtype)

    def result(self) -> Any:
        return self._scalar(ops.convert_to_tensor(getattr(self, self.kind)))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "thresholds": self.init_thresholds}


class TruePositives(_OneCount):
    """Number of yes decisions that are right."""

    kind = "true_positives"


class TrueNegatives(_OneCount):
    """Number of no decisions that are right."""

    kind = "true_negatives"


class FalsePositives(_OneCount):
    """Number of yes decisions that are wrong."""

    kind = "false_positives"


class FalseNegatives(_OneCount):
    """Number of no decisions that are wrong."""

    kind = "false_negatives"


class _Share(_Counting):
    other: str

    def __init__(
        self,
        thresholds: Any = None,
        top_k: int | None = None,
        class_id: int | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        kinds = ("true_positives", self.other)
        super().__init__(kinds, thresholds, name, dtype, top_k, class_id)

    def result(self) -> Any:
        hits = ops.convert_to_tensor(self.true_positives)  # type: ignore[attr-defined]
        return self._scalar(ops.divide_no_nan(hits, hits + getattr(self, self.other)))

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "thresholds": self.init_thresholds,
            "top_k": self.top_k,
            "class_id": self.class_id,
        }


class Precision(_Share):
    """Share of yes decisions that are right: hits / (hits + false positives).

    Args:
        thresholds: number or list in [0, 1] above which a score means yes; None: 0.5.
        top_k: with it, only the `top_k` best scores of a row mean yes.
        class_id: with it, only this column counts.
        name, dtype: as for `Metric`.
    """

    other = "false_positives"


class Recall(_Share):
    """Share of labels 1 that are found: hits / (hits + false negatives).

    Args:
        thresholds, top_k, class_id, name, dtype: as for `Precision`.
    """

    other = "false_negatives"
