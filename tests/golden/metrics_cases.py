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
            "pixels": lambda n=n, s=seed: (integers(3, n, 3, seed=s),
                                           integers(3, n, 3, seed=s + 10)),
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
    "auc_label_weights": ("AUC", dict(label_weights=[1.0, 2.0, 0.5, 3.0]), "multilabel"),
    "auc_multilabel_weights": (
        "AUC",
        dict(multi_label=True, num_labels=4, label_weights=[1.0, 2.0, 0.5, 3.0]),
        "multilabel",
    ),
    "auc_gain": ("AUC", dict(curve="PRGAIN", num_thresholds=20), "multilabel"),
    "auc_gain_minoring": (
        "AUC",
        dict(curve="PRGAIN", summation_method="minoring", num_thresholds=9),
        "multilabel",
    ),
    "auc_gain_majoring": (
        "AUC",
        dict(curve="PRGAIN", summation_method="majoring", num_thresholds=9),
        "multilabel",
    ),
    "accuracy_pixels": ("Accuracy", {}, "pixels"),
    "auc_thresholds": ("AUC", dict(thresholds=[0.25, 0.5, 0.75]), "binary"),
    "iou": ("IoU", dict(num_classes=4, target_class_ids=[0, 2]), "pixels"),
    "iou_float": ("IoU", dict(num_classes=3, target_class_ids=[1], dtype="float32"), "pixels"),
    "iou_scores": (
        "IoU",
        dict(num_classes=4, target_class_ids=[0, 3], sparse_y_pred=False),
        "sparse",
    ),
    "mean_iou": ("MeanIoU", dict(num_classes=3, dtype="float32"), "pixels"),
    "mean_iou_ignore": ("MeanIoU", dict(num_classes=3, ignore_class=1), "pixels"),
    "one_hot_iou": (
        "OneHotIoU",
        dict(num_classes=4, target_class_ids=[0, 1], dtype="float32"),
        "onehot",
    ),
    "one_hot_mean_iou": ("OneHotMeanIoU", dict(num_classes=4, dtype="float32"), "onehot"),
    "binary_iou": ("BinaryIoU", dict(dtype="float32"), "multilabel"),
    "binary_iou_threshold": ("BinaryIoU", dict(target_class_ids=[1], threshold=0.3), "binary"),
    "fbeta": ("FBetaScore", dict(beta=2.0), "onehot"),
    "fbeta_threshold": ("FBetaScore", dict(beta=0.5, threshold=0.4), "multilabel"),
    "fbeta_micro": ("FBetaScore", dict(average="micro", threshold=0.4), "multilabel"),
    "f1_macro": ("F1Score", dict(average="macro"), "onehot"),
    "f1_weighted": ("F1Score", dict(average="weighted"), "ties"),
    "r2": ("R2Score", {}, "real"),
    "r2_weighted": ("R2Score", dict(class_aggregation="variance_weighted_average"), "real"),
    "r2_each_adjusted": ("R2Score", dict(class_aggregation=None, num_regressors=2), "real"),
    "sensitivity": ("SensitivityAtSpecificity", dict(specificity=0.4), "binary"),
    "specificity": ("SpecificityAtSensitivity", dict(sensitivity=0.4, num_thresholds=20), "binary"),
    "precision_at_recall": ("PrecisionAtRecall", dict(recall=0.6), "multilabel"),
    "recall_at_precision": ("RecallAtPrecision", dict(precision=0.5), "binary"),
    "top_k": ("TopKCategoricalAccuracy", dict(k=2), "onehot"),
    "sparse_top_k": ("SparseTopKCategoricalAccuracy", dict(k=2), "sparse"),
    "false_negatives": ("FalseNegatives", dict(thresholds=[0.3, 0.6]), "multilabel"),
    "false_positives": ("FalsePositives", {}, "multilabel"),
    "true_negatives": ("TrueNegatives", {}, "binary"),
    "true_positives": ("TruePositives", {}, "multilabel"),
    "cosine": ("CosineSimilarity", {}, "real"),
    "pearson": ("PearsonCorrelation", {}, "real"),
    "concordance": ("ConcordanceCorrelation", {}, "real"),
    "kld": ("KLDivergence", {}, "onehot"),
    "poisson": ("Poisson", {}, "multilabel"),
    "log_cosh": ("LogCoshError", {}, "real"),
    "hinge": ("Hinge", {}, "multilabel"),
    "squared_hinge": ("SquaredHinge", {}, "multilabel"),
    "categorical_hinge": ("CategoricalHinge", {}, "onehot"),
    "mape": ("MeanAbsolutePercentageError", {}, "real"),
    "msle": ("MeanSquaredLogarithmicError", {}, "multilabel"),
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
            # F-scores have no result before the first update.
            values = [] if "Score" in name else [as_numpy(metric.result())]
            for i, (y_true, y_pred) in enumerate(batches(kind)):
                weights = uniform(len(y_true), seed=i + 20, low=0.1, high=2.0)
                if kind == "pixels" or name == "BinaryIoU":
                    weights = np.broadcast_to(weights[:, None], y_true.shape)
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


def stateless(keras: Any) -> Result:
    """Values of a metric's state, passed along; the metric keeps its own."""
    metric = keras.metrics.Mean()
    metric.update_state([1.0, 5.0])
    values = metric.stateless_reset_state()
    for batch in ([3.0, 4.0], [8.0]):
        values = metric.stateless_update_state(values, keras.ops.convert_to_tensor(batch))
    return {
        "values": np.array([float(v) for v in values], "float32"),
        "result": float(metric.stateless_result(values)),
        "own": float(metric.result()),
    }


add("metrics", "stateless", stateless)


def configs(keras: Any) -> Result:
    result: Result = {}
    for key in TABLE:
        name, kwargs, _ = TABLE[key]
        config = getattr(keras.metrics, name)(**kwargs, name=key).get_config()
        result[key] = {k: v for k, v in config.items() if k not in ("fn", "y_true", "y_pred")}
        if result[key].get("label_weights") is not None:  # of Keras a tensor
            result[key]["label_weights"] = as_numpy(result[key]["label_weights"]).tolist()
    return result


add("metrics", "configs", configs)
