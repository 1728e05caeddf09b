"""fit, evaluate and predict: histories and final weights over a few epochs without shuffling."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tests.golden.cases import (
    Result,
    add,
    as_numpy,
    fill,
    flat,
    integers,
    normal,
    one_hot,
    uniform,
)

ROWS = 23  # with batches of 5 the last one is smaller
X = normal(ROWS, 6)
Y = normal(ROWS, 2, seed=2)
BITS = integers(2, ROWS, 1, seed=3).astype("float32")
LABELS = integers(3, ROWS, seed=4)
WEIGHTS = uniform(ROWS, seed=5, low=0.1, high=2.0)
EPOCHS = dict(epochs=3, batch_size=5, shuffle=False, verbose=0)
SEQUENCES = np.where(np.arange(7) < integers(8, ROWS, 1, seed=6, low=1),
                     integers(9, ROWS, 7, seed=7, low=1), 0).astype("int32")  # fmt: skip

Build = Callable[[Any], Any]


def regression(keras: Any) -> Any:
    return keras.Sequential([keras.Input((6,)), keras.layers.Dense(5, "tanh"),
                             keras.layers.Dense(2)])  # fmt: skip


def binary(keras: Any) -> Any:
    return keras.Sequential([keras.Input((6,)), keras.layers.Dense(5, "relu"),
                             keras.layers.Dense(1, "sigmoid")])  # fmt: skip


def classifier(keras: Any, activation: str | None = "softmax") -> Any:
    return keras.Sequential([keras.Input((6,)), keras.layers.Dense(5, "relu"),
                             keras.layers.Dense(3, activation)])  # fmt: skip


def regularized(keras: Any) -> Any:
    regularizers = keras.regularizers
    return keras.Sequential([
        keras.Input((6,)),
        keras.layers.Dense(5, "relu", kernel_regularizer=regularizers.L2(0.01),
                           activity_regularizer=regularizers.L1(0.02)),
        keras.layers.Dense(3, "softmax", kernel_regularizer=regularizers.OrthogonalRegularizer(),
                           bias_regularizer=regularizers.L1L2(0.1, 0.1)),
    ])  # fmt: skip


def two_heads(keras: Any) -> Any:
    inputs = keras.Input((6,))
    h = keras.layers.Dense(5, "tanh")(inputs)
    return keras.Model(inputs, [keras.layers.Dense(2, name="left")(h),
                                keras.layers.Dense(3, "softmax", name="right")(h)])  # fmt: skip


def masked(keras: Any) -> Any:
    return keras.Sequential([
        keras.Input((7,), dtype="int32"), keras.layers.Embedding(9, 4, mask_zero=True),
        keras.layers.LSTM(3), keras.layers.Dense(1, "sigmoid"),
    ])  # fmt: skip


def tagger(keras: Any) -> Any:
    return keras.Sequential([
        keras.Input((7,), dtype="int32"), keras.layers.Embedding(9, 4, mask_zero=True),
        keras.layers.SimpleRNN(3, return_sequences=True), keras.layers.Dense(2, "softmax"),
    ])  # fmt: skip


def digits_cnn(keras: Any) -> Any:
    k = keras.layers
    return keras.Sequential([
        keras.Input((8, 8, 1)), k.Conv2D(4, 3, activation="relu"), k.MaxPooling2D(2),
        k.Flatten(), k.Dense(6, "relu"), k.Dense(3, "softmax"),
    ])  # fmt: skip


def fit(
    name: str, build: Build, x: Any, y: Any, compile_args: dict[str, Any],
    rtol: float = 2e-4, atol: float = 2e-5, **fit_args: Any,
) -> None:  # fmt: skip
    """Tolerance: the rounding of fifteen updates, each of which sees the one before."""

    def run(keras: Any) -> Result:
        model = build(keras)
        fill(model, scale=0.5)
        made = {key: value(keras) if callable(value) else value
                for key, value in compile_args.items()}  # fmt: skip
        model.compile(**{"optimizer": keras.optimizers.Adam(0.02), **made})
        history = model.fit(x, y, **{**EPOCHS, **fit_args}).history
        result: Result = {f"history_{k}": np.array(v, "float32") for k, v in history.items()}
        result["keys"] = list(history)
        result["weights"] = flat(model.get_weights())
        shared = {k: v for k, v in fit_args.items() if k == "sample_weight"}
        scores = model.evaluate(x, y, batch_size=5, verbose=0, **shared)
        result["evaluate"] = np.ravel(np.array(scores, "float32"))
        named = model.evaluate(x, y, batch_size=5, verbose=0, return_dict=True)
        result["evaluate_keys"] = list(named)
        predicted = model.predict(x, batch_size=7, verbose=0)
        many = predicted if isinstance(predicted, (list, tuple)) else [predicted]
        result["predict"] = flat(list(many))
        result["metrics_names"] = list(model.metrics_names)
        return result

    add("fit", name, run, rtol, atol)


fit("mse", regression, X, Y, dict(loss="mse"))
fit("mse_sgd", regression, X, Y, dict(loss="mse", optimizer="sgd"))
fit("mse_rmsprop_metrics", regression, X, Y,
    dict(loss="mse", optimizer="rmsprop", metrics=["mae", "mse"]))  # fmt: skip
fit("mae", regression, X, Y, dict(loss="mae", metrics=["mean_squared_error"]))
fit("one_batch", regression, X, Y, dict(loss="mse"), batch_size=64)
fit("batch_size_1", regression, X, Y, dict(loss="mse"), batch_size=1, epochs=1)
fit("binary", binary, X, BITS, dict(loss="binary_crossentropy", metrics=["accuracy"]))
fit("binary_flat_labels", binary, X, BITS[:, 0].astype("int64"),
    dict(loss="binary_crossentropy", metrics=["accuracy"]))  # fmt: skip
fit("binary_auc", binary, X, BITS, dict(
    loss="binary_crossentropy",
    metrics=lambda k: ["acc", k.metrics.Precision(), k.metrics.Recall(), k.metrics.AUC()]),
)  # fmt: skip
fit("sparse", classifier, X, LABELS,
    dict(loss="sparse_categorical_crossentropy", metrics=["accuracy"]))  # fmt: skip
fit("categorical", classifier, X, one_hot(LABELS, 3),
    dict(loss="categorical_crossentropy", metrics=["accuracy"]))  # fmt: skip
fit("logits", lambda k: classifier(k, None), X, LABELS, dict(
    loss=lambda k: k.losses.SparseCategoricalCrossentropy(from_logits=True),
    metrics=["accuracy", "sparse_categorical_crossentropy"]))  # fmt: skip
fit("label_smoothing", classifier, X, one_hot(LABELS, 3), dict(
    loss=lambda k: k.losses.CategoricalCrossentropy(label_smoothing=0.1)))  # fmt: skip
fit("sum_reduction", regression, X, Y, dict(
    loss=lambda k: k.losses.MeanSquaredError(reduction="sum")))  # fmt: skip
fit("validation_split", classifier, X, LABELS, dict(
    loss="sparse_categorical_crossentropy", metrics=["accuracy"]),
    validation_split=0.3)  # fmt: skip
fit("validation_data", classifier, X, LABELS, dict(
    loss="sparse_categorical_crossentropy", metrics=["accuracy"]),
    validation_data=(X[:9] + 1, LABELS[:9]))  # fmt: skip
fit("validation_data_weighted", classifier, X, LABELS, dict(
    loss="sparse_categorical_crossentropy", weighted_metrics=["accuracy"]),
    validation_data=(X[:9] + 1, LABELS[:9], WEIGHTS[:9]))  # fmt: skip
fit("validation_freq", regression, X, Y, dict(loss="mse"), validation_split=0.3,
    validation_freq=2)  # fmt: skip
fit("sample_weight", regression, X, Y, dict(
    loss="mse", metrics=["mae"], weighted_metrics=["mae"]), sample_weight=WEIGHTS)  # fmt: skip
fit("sample_weight_validation", regression, X, Y, dict(loss="mse"), sample_weight=WEIGHTS,
    validation_split=0.3)  # fmt: skip
fit("class_weight", classifier, X, LABELS, dict(
    loss="sparse_categorical_crossentropy", metrics=["accuracy"], weighted_metrics=["accuracy"]),
    class_weight={0: 1.0, 1: 3.0, 2: 0.5})  # fmt: skip
fit("class_weight_one_hot", classifier, X, one_hot(LABELS, 3), dict(
    loss="categorical_crossentropy"), class_weight={0: 1.0, 1: 3.0, 2: 0.5})  # fmt: skip
fit("class_weight_partial", classifier, X, LABELS, dict(
    loss="sparse_categorical_crossentropy"), class_weight={1: 3.0})  # fmt: skip
fit("regularized", regularized, X, LABELS, dict(
    loss="sparse_categorical_crossentropy", metrics=["accuracy"]),
    validation_split=0.3)  # fmt: skip
fit("two_heads", two_heads, X, [Y, LABELS], dict(
    loss=["mse", "sparse_categorical_crossentropy"]), validation_split=0.3)  # fmt: skip
fit("two_heads_weights", two_heads, X, [Y, LABELS], dict(
    loss=["mse", "sparse_categorical_crossentropy"], loss_weights=[0.3, 2.0],
    metrics=[["mae"], ["accuracy"]]), validation_split=0.3)  # fmt: skip
fit("two_heads_dict", two_heads, X, {"left": Y, "right": LABELS}, dict(
    loss={"left": "mse", "right": "sparse_categorical_crossentropy"},
    loss_weights={"left": 0.3, "right": 2.0}, metrics={"right": ["accuracy"]}))  # fmt: skip
fit("two_heads_one_loss", two_heads, X, [Y, one_hot(LABELS, 3)], dict(loss="mse"))
fit("masked_sequence", masked, SEQUENCES, BITS, dict(
    loss="binary_crossentropy", metrics=["accuracy"]), validation_split=0.3)  # fmt: skip
fit("masked_tagger", tagger, SEQUENCES, (SEQUENCES % 2), dict(
    loss="sparse_categorical_crossentropy", metrics=["accuracy"],
    weighted_metrics=["accuracy"]))  # fmt: skip
fit("cnn", digits_cnn, uniform(ROWS, 8, 8, 1), LABELS, dict(
    loss="sparse_categorical_crossentropy", metrics=["accuracy"]),
    validation_split=0.3)  # fmt: skip
fit("initial_epoch", regression, X, Y, dict(loss="mse"), initial_epoch=1)
fit("steps_per_epoch", regression, X, Y, dict(loss="mse"), steps_per_epoch=2)
fit("clipped", regression, X, Y, dict(
    loss="mse", optimizer=lambda k: k.optimizers.SGD(0.1, momentum=0.9, clipnorm=0.3)))  # fmt: skip
fit("int_inputs", regression, (X * 4).astype("int64"), Y, dict(loss="mse"))
fit("float64_inputs", regression, X.astype("float64"), Y.astype("float64"), dict(loss="mse"))
fit("autoencoder", lambda k: k.Sequential([k.Input((6,)), k.layers.Dense(3, "relu"),
                                           k.layers.Dense(6, "sigmoid")]),
    uniform(ROWS, 6), uniform(ROWS, 6), dict(loss="mse"))  # fmt: skip


def train_on_batch(keras: Any) -> Result:
    model = classifier(keras)
    fill(model)
    model.compile(keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy",
                  metrics=["accuracy"])  # fmt: skip
    rows = [model.train_on_batch(X, LABELS), model.train_on_batch(X, LABELS, WEIGHTS),
            model.train_on_batch(X, LABELS, class_weight={0: 1.0, 1: 2.0, 2: 3.0}),
            model.test_on_batch(X, LABELS)]  # fmt: skip
    named = model.train_on_batch(X, LABELS, return_dict=True)
    return {
        "rows": np.array([[float(as_numpy(v)) for v in row] for row in rows], "float32"),
        "named_keys": sorted(named),
        "predict": as_numpy(model.predict_on_batch(X[:3])),
        "weights": flat(model.get_weights()),
    }


add("fit", "train_on_batch", train_on_batch, 2e-4, 2e-5)


def custom_loss(keras: Any) -> Result:
    ops = keras.ops

    def huber(y_true: Any, y_pred: Any) -> Any:
        error = ops.abs(y_true - y_pred)
        return ops.mean(ops.where(error < 0.5, error * error, error - 0.25), axis=-1)

    def worst(y_true: Any, y_pred: Any) -> Any:
        return ops.max(ops.abs(y_true - y_pred), axis=-1)

    model = regression(keras)
    fill(model)
    model.compile(keras.optimizers.Adam(0.02), huber, metrics=[worst])
    history = model.fit(X, Y, **EPOCHS).history
    return {"keys": list(history), "loss": np.array(history["loss"], "float32"),
            "worst": np.array(history["worst"], "float32"),
            "weights": flat(model.get_weights())}  # fmt: skip


add("fit", "custom_loss_and_metric", custom_loss, 2e-4, 2e-5)


def add_loss(keras: Any) -> Result:
    class Penalty(keras.layers.Layer):
        def call(self, inputs: Any) -> Any:
            self.add_loss(0.1 * keras.ops.mean(keras.ops.square(inputs)))
            return inputs

    inputs = keras.Input((6,))
    h = Penalty()(keras.layers.Dense(5, "tanh")(inputs))
    model = keras.Model(inputs, keras.layers.Dense(2)(h))
    fill(model)
    model.compile(keras.optimizers.SGD(0.1), "mse")
    history = model.fit(X, Y, **EPOCHS).history
    return {"loss": np.array(history["loss"], "float32"), "weights": flat(model.get_weights())}


add("fit", "add_loss", add_loss, 2e-4, 2e-5)


def callbacks(keras: Any) -> Result:
    seen: list[str] = []

    class Record(keras.callbacks.Callback):
        pass

    hooks = [f"on_{phase}_{edge}" for phase in ("train", "epoch", "train_batch", "test",
             "test_batch", "predict", "predict_batch") for edge in ("begin", "end")]  # fmt: skip
    logged: list[float] = []

    def make(hook: str) -> Any:
        def method(self: Any, *args: Any, logs: Any = None) -> None:
            indexed = "_batch_" in hook or "_epoch_" in hook
            index = f"({args[0]})" if indexed else ""
            logs = logs or (args[-1] if len(args) > indexed else None) or {}
            seen.append(f"{hook}{index} {','.join(sorted(logs))}")
            if hook == "on_train_batch_end":
                logged.append(float(logs["loss"]))

        return method

    for hook in hooks:
        setattr(Record, hook, make(hook))
    model = regression(keras)
    fill(model)
    model.compile(keras.optimizers.SGD(0.1), "mse", metrics=["mae"])
    model.fit(X, Y, epochs=2, batch_size=10, shuffle=False, verbose=0, callbacks=[Record()],
              validation_split=0.4)  # fmt: skip
    model.evaluate(X, Y, verbose=0, callbacks=[Record()])
    model.predict(X, verbose=0, callbacks=[Record()])
    return {"seen": seen, "running_means": np.array(logged, "float32")}


add("fit", "callback_order", callbacks, 2e-4, 2e-5)


def schedules(keras: Any) -> Result:
    model = regression(keras)
    fill(model)
    model.compile(keras.optimizers.SGD(0.1), "mse")
    history = model.fit(X, Y, **{**EPOCHS, "epochs": 6}, validation_split=0.3, callbacks=[
        keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate * 0.9),
        keras.callbacks.ReduceLROnPlateau(monitor="val_loss", factor=0.5, patience=1),
    ]).history  # fmt: skip
    return {"keys": list(history), "rate": np.array(history["learning_rate"], "float32"),
            "loss": np.array(history["loss"], "float32")}  # fmt: skip


add("fit", "learning_rate_callbacks", schedules, 2e-4, 2e-5)


def early_stopping(keras: Any) -> Result:
    model = regression(keras)
    fill(model)
    model.compile(keras.optimizers.SGD(0.5), "mse")
    stop = keras.callbacks.EarlyStopping("val_loss", patience=2, restore_best_weights=True)
    history = model.fit(X, Y, **{**EPOCHS, "epochs": 40}, validation_split=0.3,
                        callbacks=[stop]).history  # fmt: skip
    return {"epochs": len(history["loss"]), "stopped": int(stop.stopped_epoch),
            "weights": flat(model.get_weights())}  # fmt: skip


add("fit", "early_stopping", early_stopping, 1e-3, 1e-4)
