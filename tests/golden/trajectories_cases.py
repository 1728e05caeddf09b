"""Whole models from the same weights: twenty steps, the loss of each and the weights on the way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tests.golden.cases import Result, add, fill, flat, integers, normal, uniform

STEPS, ROWS = 20, 8
IDS = integers(12, STEPS, ROWS, 7, seed=11)
IMAGES = uniform(STEPS, ROWS, 9, 9, 2, seed=12)
SERIES = normal(STEPS, ROWS, 6, 5, seed=13)
TABLE = normal(STEPS, ROWS, 5, seed=14)
LABELS = integers(3, STEPS, ROWS, seed=15)
NUMBERS = normal(STEPS, ROWS, 2, seed=16)

Build = Callable[[Any], Any]


def dense(keras: Any) -> Any:
    k = keras.layers
    return keras.Sequential([
        keras.Input((5,)), k.Dense(8, "relu"), k.BatchNormalization(), k.Dense(6, "gelu"),
        k.LayerNormalization(), k.Dense(3),
    ])  # fmt: skip


def convolutional(keras: Any) -> Any:
    k = keras.layers
    inputs = keras.Input((9, 9, 2))
    x = k.Conv2D(4, 3, padding="same", use_bias=False)(inputs)
    x = k.Activation("relu")(k.BatchNormalization()(x))
    short = k.Conv2D(6, 1, strides=2)(x)
    x = k.Conv2D(6, 3, strides=2, padding="same", activation="relu")(x)
    x = k.add([x, k.DepthwiseConv2D(3, padding="same")(short)])
    x = k.MaxPooling2D(2, padding="same")(x)
    x = k.concatenate([k.GlobalAveragePooling2D()(x), k.Flatten()(k.AveragePooling2D(2)(x))])
    return keras.Model(inputs, k.Dense(3, "softmax")(x))


def recurrent(keras: Any) -> Any:
    k = keras.layers
    return keras.Sequential([
        keras.Input((6, 5)), k.Bidirectional(k.LSTM(4, return_sequences=True)),
        k.GRU(5, return_sequences=True), k.SimpleRNN(4), k.Dense(2),
    ])  # fmt: skip


def attention(keras: Any) -> Any:
    k = keras.layers
    inputs = keras.Input((7,), dtype="int32")
    x = k.Embedding(12, 6, mask_zero=True)(inputs)
    y = k.MultiHeadAttention(2, 3)(x, x, use_causal_mask=True)
    x = k.LayerNormalization(epsilon=1e-6)(k.Add()([x, y]))
    y = k.Dense(6)(k.Dense(10, "relu")(x))
    x = k.LayerNormalization(epsilon=1e-6)(k.Add()([x, y]))
    return keras.Model(inputs, k.Dense(3, "softmax")(k.GlobalAveragePooling1D()(x)))


def multi_output(keras: Any) -> Any:
    k = keras.layers
    table, series = keras.Input((5,), name="table"), keras.Input((6, 5), name="series")
    shared = k.Dense(4, "tanh", name="shared")
    a, b = shared(table), k.GRU(4)(shared(series))
    x = k.concatenate([a, b])
    left = k.Dense(2, name="left", kernel_regularizer="l2")(x)
    right = k.Dense(3, "softmax", name="right")(k.multiply([a, b]))
    return keras.Model({"table": table, "series": series}, {"left": left, "right": right})


def trajectory(
    name: str, build: Build, x: Any, y: Any, optimizer: Build, loss: Any, **compile_args: Any
) -> None:
    """Tolerance: twenty updates in float32, each of which sees the rounding of those before."""

    def at(value: Any, step: int) -> Any:
        if isinstance(value, dict):
            return {key: array[step] for key, array in value.items()}
        return value[step]

    def run(keras: Any) -> Result:
        model = build(keras)
        fill(model, scale=0.4)
        model.compile(optimizer(keras), loss, **compile_args)
        losses, weights = [], []
        for step in range(STEPS):
            model.reset_metrics()
            logs = model.train_on_batch(at(x, step), at(y, step), return_dict=True)
            losses.append(float(logs["loss"]))
            if step in (0, 4, STEPS - 1):
                weights.append(flat(model.get_weights()))
        return {"losses": np.array(losses, "float32"), "weights": np.stack(weights)}

    add("trajectories", name, run, 1e-3, 1e-4)


SPARSE = "sparse_categorical_crossentropy"
trajectory("dense_adamw", dense, TABLE, NUMBERS[..., :1], lambda k: k.optimizers.AdamW(0.01),
           lambda t, p: (t - p) ** 2)  # fmt: skip
trajectory("convolutional_sgd", convolutional, IMAGES, LABELS,
           lambda k: k.optimizers.SGD(0.05, momentum=0.9, nesterov=True), SPARSE)  # fmt: skip
trajectory("recurrent_rmsprop", recurrent, SERIES, NUMBERS, lambda k: k.optimizers.RMSprop(0.005),
           "mse")  # fmt: skip
trajectory("recurrent_clipped", recurrent, SERIES, NUMBERS,
           lambda k: k.optimizers.Adam(0.01, global_clipnorm=0.5), "huber")  # fmt: skip
trajectory("attention_adam", attention, IDS, LABELS, lambda k: k.optimizers.Adam(0.005), SPARSE)
trajectory("multi_output_adam", multi_output, {"table": TABLE, "series": SERIES},
           {"left": NUMBERS, "right": LABELS}, lambda k: k.optimizers.Adam(0.01),
           {"left": "mae", "right": SPARSE}, loss_weights={"left": 0.5, "right": 2.0})  # fmt: skip
