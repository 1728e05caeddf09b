"""Intersection over union: how well predicted areas of classes cover the true ones."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

from lamina import config, ops
from lamina.dtypes import standardize_dtype
from lamina.metrics.base import Metric
from lamina.tensor import Tensor
from lamina.validation import Boolean, Integer, Real, check_argument, short_repr


class IoU(Metric):
    """Mean over some classes of hits / (hits + false positives + false negatives).

    Args:
        num_classes: number of classes.
        target_class_ids: the classes that the mean is over.
        name: as for `Metric`.
        dtype: type of the counts, by default int32; sample weights are converted to it, so that
            fractions need a float type.
        ignore_class: targets of this class do not count; or None.
        sparse_y_true: whether targets are class ids; if not, scores of the classes.
        sparse_y_pred: whether predictions are class ids; if not, scores of the classes.
        axis: of the scores.
    """

    def __init__(
        self,
        num_classes: int,
        target_class_ids: Sequence[int],
        name: str | None = None,
        dtype: Any = None,
        ignore_class: int | None = None,
        sparse_y_true: bool = True,
        sparse_y_pred: bool = True,
        axis: int = -1,
    ) -> None:
        super().__init__("int32" if dtype is None else dtype, name)
        owner = type(self).__name__
        self.num_classes = check_argument(owner, "num_classes", num_classes, Integer(1))
        try:
            self.target_class_ids = [int(i) for i in target_class_ids]
        except (TypeError, ValueError):
            raise ValueError(
                f"{owner}: target_class_ids must be a list of integers. "
                f"Got {short_repr(target_class_ids)}."
            ) from None
        if any(not 0 <= i < num_classes for i in self.target_class_ids):
            raise ValueError(
                f"{owner}: target_class_ids must be in [0, {num_classes}). "
                f"Got {short_repr(target_class_ids)}."
            )
        self.ignore_class = check_argument(
            owner, "ignore_class", ignore_class, Integer(optional=True)
        )
        self.sparse_y_true = check_argument(owner, "sparse_y_true", sparse_y_true, Boolean())
        self.sparse_y_pred = check_argument(owner, "sparse_y_pred", sparse_y_pred, Boolean())
        self.axis = check_argument(owner, "axis", axis, Integer())
        self.total_cm = self.add_variable((num_classes, num_classes), name="total_confusion_matrix")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Take one batch of equally shaped class ids (or scores) into account."""
        y_true = self._class_ids(y_true, self.sparse_y_true)
        y_pred = self._class_ids(y_pred, self.sparse_y_pred)
        dtype = self.dtype if self.dtype in config.FLOAT_TYPES else config.floatx()
        weights = ops.ones(y_true.shape, dtype)
        if sample_weight is not None:
            self._warn_of_fractions(sample_weight)
            given = ops.cast(ops.cast(sample_weight, self.dtype), dtype)
            missing = list(range(given.ndim, y_true.ndim))
            weights = weights * (ops.expand_dims(given, missing) if missing else given)
        if self.ignore_class is not None:
            weights = ops.where(ops.not_equal(y_true, self.ignore_class), weights, 0.0)
        rows, columns = (
            ops.one_hot(ops.ravel(ids), self.num_classes, dtype=dtype) for ids in (y_true, y_pred)
        )
        rows = rows * ops.reshape(weights, (-1, 1))
        counts = ops.matmul(ops.transpose(rows), columns)
        self.total_cm.assign_add(ops.cast(counts, self.dtype))

    def _warn_of_fractions(self, sample_weight: Any) -> None:
        given = getattr(sample_weight, "dtype", float)
        if "int" in self.dtype and "float" in standardize_dtype(given):
            warnings.warn(
                f"{type(self).__name__}: sample_weight has a float type but the counts are "
                f"{self.dtype}: casting cuts the fractions off. Pass dtype='float32'.",
                stacklevel=3,
            )

    def _class_ids(self, y: Any, is_sparse: bool) -> Tensor:
        return ops.cast(y if is_sparse else ops.argmax(y, axis=self.axis), "int32")

    def result(self) -> Any:
        counts = ops.cast(self.total_cm, config.floatx())
        hits = ops.diagonal(counts)
        union = ops.sum(counts, axis=0) + ops.sum(counts, axis=1) - hits
        if len(self.target_class_ids) < self.num_classes:
            ids = ops.convert_to_tensor(self.target_class_ids, dtype="int32")
            hits, union = ops.take(hits, ids, axis=0), ops.take(union, ids, axis=0)
        occurring = ops.sum(ops.cast(union > 0, union.dtype))
        return ops.divide_no_nan(ops.sum(ops.divide_no_nan(hits, union)), occurring)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_classes": self.num_classes,
            "target_class_ids": self.target_class_ids,
            "ignore_class": self.ignore_class,
            "sparse_y_true": self.sparse_y_true,
            "sparse_y_pred": self.sparse_y_pred,
            "axis": self.axis,
        }


def _without(described: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in described.items() if name not in names}


class BinaryIoU(IoU):
    """`IoU` of classes 0 and 1, predicted by scores.

    Args:
        target_class_ids: [0], [1] or both.
        threshold: scores from it on mean 1; in [0, 1].
        name, dtype: as for `IoU`.
    """

    def __init__(
        self,
        target_class_ids: Sequence[int] = (0, 1),
        threshold: float = 0.5,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(2, target_class_ids, name, dtype)
        self.threshold = check_argument("BinaryIoU", "threshold", threshold, Real(0, 1))

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Take one batch of labels 0 and 1 and scores of the same shape into account."""
        decided = ops.convert_to_tensor(y_pred) >= self.threshold
        super().update_state(y_true, decided, sample_weight)

    def get_config(self) -> dict[str, Any]:
        described = super().get_config()
        return {
            "target_class_ids": self.target_class_ids,
            "threshold": self.threshold,
            "name": described["name"],
            "dtype": described["dtype"],
        }


class MeanIoU(IoU):
    """`IoU` of all classes; the arguments are those of `IoU`."""

    def __init__(
        self,
        num_classes: int,
        name: str | None = None,
        dtype: Any = None,
        ignore_class: int | None = None,
        sparse_y_true: bool = True,
        sparse_y_pred: bool = True,
        axis: int = -1,
    ) -> None:
        num_classes = check_argument(type(self).__name__, "num_classes", num_classes, Integer(1))
        super().__init__(
            num_classes,
            range(num_classes),
            name,
            dtype,
            ignore_class,
            sparse_y_true,
            sparse_y_pred,
            axis,
        )

    def get_config(self) -> dict[str, Any]:
        return _without(super().get_config(), "target_class_ids")


class OneHotIoU(IoU):
    """`IoU` with one-hot targets; the arguments are those of `IoU`."""

    def __init__(
        self,
        num_classes: int,
        target_class_ids: Sequence[int],
        name: str | None = None,
        dtype: Any = None,
        ignore_class: int | None = None,
        sparse_y_pred: bool = False,
        axis: int = -1,
    ) -> None:
        super().__init__(
            num_classes, target_class_ids, name, dtype, ignore_class, False, sparse_y_pred, axis
        )

    def get_config(self) -> dict[str, Any]:
        return _without(super().get_config(), "sparse_y_true")


class OneHotMeanIoU(MeanIoU):
    """`MeanIoU` with one-hot targets; the arguments are those of `IoU`."""

    def __init__(
        self,
        num_classes: int,
        name: str | None = None,
        dtype: Any = None,
        ignore_class: int | None = None,
        sparse_y_pred: bool = False,
        axis: int = -1,
    ) -> None:
        super().__init__(num_classes, name, dtype, ignore_class, False, sparse_y_pred, axis)

    def get_config(self) -> dict[str, Any]:
        return _without(super().get_config(), "sparse_y_true")
