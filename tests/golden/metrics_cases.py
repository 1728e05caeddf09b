"""Metrics: the result after each of several updates, with and without weights."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.golden.cases import Result, add, as_numpy, integers, normal, one_hot, uniform

Batch = tuple[np.ndarray, np.ndarray]


def batches(kind: str) -> list[Batch]:
    made = []
    for seed in (1, 2, 3):
        n = (5, 8, 2)[seed - 1]
        labels = integers(4, n, seed=seed)
        scores = uniform(n, 4, seed=seed + 10, low=0.01)
        scores /= scores.sum(-1, keepdims=True)
        made.append({
            "real": lambda n=n, s=seed: (normal(n, 3, seed=s), normal(n, 3, seed=s + 10)),
            "binary": lambda n=n, s=seed: (integers(2, n, 1, seed=s).astype("float32"),
                                           uniform(n, 1, seed=s + 10)),
            "binary_flat": lambda n=n, s=seed: (integers(2, n, seed=s), uniform(n, seed=s + 10)),
            "multilabel": lambda n=n, s=seed: (integers(2, n, 4, seed=s).astype("float32"),
                                               uniform(n, 4, seed=s + 10)),
            "onehot": lambda y=labels, p=scores: (one_hot(y, 4), p),
            "sparse": lambda y=labels, p=scores: (y, p),
            "sparse_column": lambda y=labels, p=scores: (y[:, None], p),
            "perfect": lambda y=labels: (one_hot(y, 4), one_hot(y, 4)),
            "ties": lambda y=labels, n=n: (one_hot(y, 4), np.full((n, 4), 0.25, "float32")),
        }[kind]())  # fmt: skip
    return made


TABLE: dict[str, tuple[str, dict[str, Any], str]] = {
    "accuracy": ("Accuracy", {}, "perfect"),
    "binary_accuracy": ("BinaryAccuracy", {}, "binary"),
    "binary_accuracy_flat": ("BinaryAccuracy", {}, "binary_flat"),
    "binary_accuracy_threshold": ("BinaryAccuracy", dict(threshold=0.7), "multilabel"),
    "categorical_accuracy": ("CategoricalAccuracy", {}, "onehot"),
    "categorical_accuracy_ties": ("CategoricalAccuracy", {}, "ties"),
    "sparse_categorical_accuracy": ("SparseCategoricalAccuracy", {}, "sparse"),
    "sparse_categorical_accuracy_column": ("SparseCategoricalAccuracy", {}, "sparse_column"),
    "precision": ("Precision", {}, "binary"),
    "precision_threshold": ("Precision", dict(thresholds=0.3), "multilabel"),
    "precision_thresholds": ("Precision", dict(thresholds=[0.2, 0.5, 0.8]), "binary"),
    "precision_class": ("Precision", dict(class_id=2), "onehot"),
    "precision_top_k": ("Precision", dict(top_k=2), "onehot"),
    "recall": ("Recall", {}, "binary"),
    "recall_thresholds": ("Recall", dict(thresholds=[0.2, 0.5, 0.8]), "multilabel"),
    "recall_class": ("Recall", dict(class_id=1), "onehot"),
    "recall_top_k": ("Recall", dict(top_k=2), "onehot"),
    "auc": ("AUC", {}, "binary"),
    "auc_20": ("AUC", dict(num_thresholds=20), "binary"),
    "auc_pr": ("AUC", dict(curve="PR"), "binary"),
    "auc_minoring": ("AUC", dict(summation_method="minoring"), "binary"),
    "auc_majoring": ("AUC", dict(summation_method="majoring"), "binary"),
    "auc_multilabel": ("AUC", dict(multi_label=True, num_labels=4), "multilabel"),
    "auc_flattened": ("AUC", {}, "multilabel"),
    "auc_thresholds": ("AUC", dict(thresholds=[0.25, 0.5, 0.75]), "binary"),
    "mse": ("MeanSquaredError", {}, "real"),
    "rmse": ("RootMeanSquaredError", {}, "real"),
    "mae": ("MeanAbsoluteError", {}, "real"),
    "bce": ("BinaryCrossentropy", {}, "binary"),
    "cce": ("CategoricalCrossentropy", {}, "onehot"),
    "scce": ("SparseCategoricalCrossentropy", {}, "sparse"),
}


def metric_case(key: str) -> None:
    name, kwargs, kind = TABLE[key]

    def run(keras: Any) -> Result:
        result: Result = {}
        for weighted in (False, True):
            metric = getattr(keras.metrics, name)(**kwargs)
            values = [as_numpy(metric.result())]
            for i, (y_true, y_pred) in enumerate(batches(kind)):
                weights = uniform(len(y_true), seed=i + 20, low=0.1, high=2.0)
                metric.update_state(y_true, y_pred, *([weights] if weighted else []))
                values.append(as_numpy(metric.result()))
            result["weighted" if weighted else "plain"] = np.stack(values).astype("float32")
            metric.reset_state()
            result["after_reset"] = np.asarray(as_numpy(metric.result()), "float32")
        result["name"] = metric.name
        return result

    add("metrics", key, run, rtol=2e-5, atol=2e-6)


for each in TABLE:
    metric_case(each)


def averages(keras: Any) -> Result:
    result: Result = {}
    for name in ("Mean", "Sum"):
        metric = getattr(keras.metrics, name)()
        values = [float(metric.result())]
        for value, weight in ((3.0, None), ([1.0, 5.0], None), ([2.0, 8.0], [1.0, 0.25])):
            metric.update_state(value, sample_weight=weight)
            values.append(float(metric.result()))
        result[name] = np.array(values, "float32")
    return result


add("metrics", "averages", averages)
