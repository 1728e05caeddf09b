"""Losses: every class under every reduction, with sample weights, and the function forms."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np

from tests.golden.cases import Result, add, as_numpy, integers, normal, one_hot, uniform

LABELS = integers(5, 6, seed=2)
PROBABILITIES = uniform(6, 5, seed=3, low=0.01)
PROBABILITIES /= PROBABILITIES.sum(-1, keepdims=True)
LOGITS = normal(6, 5, seed=4) * 3
BINARY = integers(2, 6, 4, seed=5).astype("float32")
UNIT = uniform(6, 4, seed=6)
EDGES = np.array([[0.0, 1.0], [1.0, 0.0]], "float32")  # probabilities that must be clipped
SHARED_LABELS = np.array([0, 1, 0, 2, 1, 0], "int32")
DIRECTIONS = normal(6, 4, seed=12)
DIRECTIONS /= np.linalg.norm(DIRECTIONS, axis=-1, keepdims=True)
PADDED_LABELS = np.array([[1, 2, 0], [3, 3, 4], [0, 0, 0], [4, 0, 0]], "int32")
STEPS = normal(4, 7, 5, seed=13) * 2

TABLE: dict[str, tuple[str, dict[str, Any], np.ndarray, np.ndarray]] = {
    "mse": ("MeanSquaredError", {}, normal(6, 4, seed=8), normal(6, 4, seed=9)),
    "mse_rank3": ("MeanSquaredError", {}, normal(2, 3, 4, seed=8), normal(2, 3, 4, seed=9)),
    "mae": ("MeanAbsoluteError", {}, normal(6, 4, seed=8), normal(6, 4, seed=9)),
    "bce": ("BinaryCrossentropy", {}, BINARY, UNIT),
    "bce_smoothing": ("BinaryCrossentropy", dict(label_smoothing=0.2), BINARY, UNIT),
    "bce_logits": ("BinaryCrossentropy", dict(from_logits=True), BINARY, LOGITS[:, :4]),
    "bce_logits_smoothing": ("BinaryCrossentropy", dict(from_logits=True, label_smoothing=0.2),
                             BINARY, LOGITS[:, :4]),
    "bce_clipped": ("BinaryCrossentropy", {}, EDGES, EDGES[::-1].copy()),
    "bce_large_logits": ("BinaryCrossentropy", dict(from_logits=True), EDGES, 200 * EDGES - 100),
    "cce": ("CategoricalCrossentropy", {}, one_hot(LABELS, 5), PROBABILITIES),
    "cce_unnormalized": ("CategoricalCrossentropy", {}, one_hot(LABELS, 5), 3 * PROBABILITIES),
    "cce_smoothing": ("CategoricalCrossentropy", dict(label_smoothing=0.1), one_hot(LABELS, 5),
                      PROBABILITIES),
    "cce_logits": ("CategoricalCrossentropy", dict(from_logits=True), one_hot(LABELS, 5), LOGITS),
    "cce_logits_smoothing": ("CategoricalCrossentropy",
                             dict(from_logits=True, label_smoothing=0.3),
                             one_hot(LABELS, 5), LOGITS),
    "cce_soft_targets": ("CategoricalCrossentropy", {}, PROBABILITIES[::-1].copy(), PROBABILITIES),
    "cce_clipped": ("CategoricalCrossentropy", {}, EDGES, EDGES[::-1].copy()),
    "cce_axis1": ("CategoricalCrossentropy", dict(axis=1),
                  np.moveaxis(one_hot(integers(5, 3, 2, seed=2), 5), -1, 1),
                  uniform(3, 5, 2, seed=3, low=0.05)),
    "scce": ("SparseCategoricalCrossentropy", {}, LABELS, PROBABILITIES),
    "scce_column": ("SparseCategoricalCrossentropy", {}, LABELS[:, None], PROBABILITIES),
    "scce_float_labels": ("SparseCategoricalCrossentropy", {}, LABELS.astype("float32"),
                          PROBABILITIES),
    "scce_logits": ("SparseCategoricalCrossentropy", dict(from_logits=True), LABELS, LOGITS),
    "scce_large_logits": ("SparseCategoricalCrossentropy", dict(from_logits=True), LABELS,
                          50 * LOGITS),
    "scce_rank3": ("SparseCategoricalCrossentropy", dict(from_logits=True),
                   integers(5, 2, 3, seed=2), LOGITS.reshape(2, 3, 5)),
    "mape": ("MeanAbsolutePercentageError", {}, normal(6, 4, seed=8), normal(6, 4, seed=9)),
    "msle": ("MeanSquaredLogarithmicError", {}, UNIT, UNIT[::-1].copy()),
    "huber": ("Huber", dict(delta=0.7), normal(6, 4, seed=8), normal(6, 4, seed=9)),
    "log_cosh": ("LogCosh", {}, normal(6, 4, seed=8), normal(6, 4, seed=9)),
    "hinge": ("Hinge", {}, BINARY, normal(6, 4, seed=9)),
    "squared_hinge": ("SquaredHinge", {}, 2 * BINARY - 1, normal(6, 4, seed=9)),
    "categorical_hinge": ("CategoricalHinge", {}, one_hot(LABELS, 5), PROBABILITIES),
    "kld": ("KLDivergence", {}, PROBABILITIES[::-1].copy(), PROBABILITIES),
    "poisson": ("Poisson", {}, UNIT, UNIT[::-1].copy()),
    "cosine": ("CosineSimilarity", {}, normal(6, 4, seed=8), normal(6, 4, seed=9)),
    "focal": ("BinaryFocalCrossentropy", dict(apply_class_balancing=True, gamma=1.5), BINARY,
              UNIT),
    "categorical_focal": ("CategoricalFocalCrossentropy", dict(alpha=0.4, gamma=1.5),
                          one_hot(LABELS, 5), PROBABILITIES),
    "generalized": ("CategoricalGeneralizedCrossEntropy", dict(q=0.6), LABELS, PROBABILITIES),
    "generalized_zeros": ("CategoricalGeneralizedCrossEntropy", dict(q=0.4), LABELS,
                          one_hot(LABELS[::-1].copy(), 5)),
    "dice": ("Dice", dict(axis=(1,)), BINARY, UNIT),
    "tversky": ("Tversky", dict(alpha=0.3, beta=0.6, axis=(1,)), BINARY, UNIT),
    "circle": ("Circle", dict(gamma=8.0), SHARED_LABELS, DIRECTIONS),
    "circle_args": ("Circle", dict(gamma=5.0, margin=0.1, remove_diagonal=False),
                    SHARED_LABELS[:, None], DIRECTIONS),
    "ctc": ("CTC", {}, PADDED_LABELS, STEPS),
    "scce_ignore_class": ("SparseCategoricalCrossentropy", dict(ignore_class=1), LABELS,
                          PROBABILITIES),
}  # fmt: skip


def loss_case(key: str) -> None:
    name, kwargs, y_true, y_pred = TABLE[key]
    # A weight a row, whatever the rank of the row's loss.
    rank = 3 if y_pred.ndim == 3 and name != "CTC" else 2
    weights = uniform(len(y_true), *[1] * (rank - 2), seed=11, low=0.1, high=2.0)

    def run(keras: Any) -> Result:
        result: Result = {}
        make = getattr(keras.losses, name)
        for reduction in ("sum_over_batch_size", "sum", "mean", "mean_with_sample_weight", None):
            loss = make(reduction=reduction, **kwargs)
            result[f"{reduction}"] = as_numpy(loss(y_true, y_pred))
            result[f"{reduction}_weighted"] = as_numpy(loss(y_true, y_pred, weights))
        result["name"] = make(**kwargs).name
        return result

    add("losses", key, run)


for each in TABLE:
    loss_case(each)

FUNCTIONS = {
    "mean_squared_error": "mse", "mse": "mse", "MSE": "mse", "mean_absolute_error": "mae",
    "mae": "mae", "MAE": "mae", "binary_crossentropy": "bce", "categorical_crossentropy": "cce",
    "sparse_categorical_crossentropy": "scce",
}  # fmt: skip


def functions(keras: Any) -> Result:
    result: Result = {}
    for name, key in FUNCTIONS.items():
        _, _, y_true, y_pred = TABLE[key]
        result[name] = as_numpy(keras.losses.get(name)(y_true, y_pred))
    return result


add("losses", "functions", functions)


def in_fit(keras: Any) -> Result:
    """Weights after three steps, which follow from the gradients."""
    tables = {"Circle": (dict(gamma=8.0), SHARED_LABELS, DIRECTIONS),
              "CTC": ({}, PADDED_LABELS, STEPS)}  # fmt: skip
    result: Result = {}
    for name, (kwargs, y, x) in tables.items():
        size = x.shape[-1]
        model = keras.Sequential([keras.Input(x.shape[1:]), keras.layers.Dense(size)])
        model.set_weights([normal(size, size, seed=3), normal(size, seed=4) / 4])
        model.compile(keras.optimizers.SGD(0.01), getattr(keras.losses, name)(**kwargs))
        model.fit(x, y, batch_size=len(x), epochs=3, shuffle=False, verbose=0)
        result[name] = np.concatenate([w.ravel() for w in model.get_weights()])
    return result


add("losses", "in_fit", in_fit, rtol=1e-4, atol=1e-5)


def configs(keras: Any) -> Result:
    given: dict[str, dict[str, Any]] = {
        "BinaryFocalCrossentropy": dict(alpha=0.4, label_smoothing=0.1),
        "CategoricalCrossentropy": dict(axis=1, dtype="float64"),
        "CosineSimilarity": dict(axis=1),
        "Huber": dict(delta=2.0, name="h"),
        "SparseCategoricalCrossentropy": dict(axis=1, ignore_class=3),
        "Tversky": dict(alpha=0.3, reduction="sum"),
    }
    classes = [
        name
        for name, value in vars(keras.losses).items()
        if inspect.isclass(value) and issubclass(value, keras.losses.Loss)
        if name not in ("Loss", "LossFunctionWrapper")
    ]
    return {n: getattr(keras.losses, n)(**given.get(n, {})).get_config() for n in sorted(classes)}


add("losses", "configs", configs)
