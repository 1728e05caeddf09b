"""Models for `.h5` files, written so that Keras 2 (tf_keras), Keras 3 and lamina all run them.

Each case gives what a loaded model predicts, and its weights after three more steps, so that it
shows whether the optimizer's state travelled.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tests.golden.cases import HERE, Result, fill, flat, integers, normal, uniform

REFERENCE = HERE / "h5.npz"
KERAS_2, KERAS_3 = "keras2", "keras3"


def fixture_path(origin: str, name: str) -> Path:
    return HERE / f"{origin}_{name}.h5"


def custom_objects(keras: Any) -> dict[str, Any]:
    """The user's own layer and functions; none is registered."""

    class Scale(keras.layers.Layer):
        def __init__(self, factor: float = 1.0, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self.factor = factor

        def build(self, input_shape: Any) -> None:
            self.gain = self.add_weight(shape=(input_shape[-1],), initializer="ones", name="gain")
            super().build(input_shape)

        def call(self, x: Any) -> Any:
            return x * self.gain * self.factor

        def get_config(self) -> dict[str, Any]:
            return {**super().get_config(), "factor": self.factor}

    def bent(x: Any) -> Any:
        return keras.activations.tanh(x) + 0.1 * x

    def steep_loss(y_true: Any, y_pred: Any) -> Any:
        return 1.5 * keras.losses.mean_squared_error(y_true, y_pred)

    return {"Scale": Scale, "bent": bent, "steep_loss": steep_loss}


def dense(keras: Any) -> Any:
    k = keras.layers
    kernel = keras.regularizers.L1L2(0.01, 0.01)
    model = keras.Sequential(
        [
            keras.Input((4,)),
            k.Dense(5, "relu", kernel_regularizer=kernel, kernel_constraint="max_norm"),
            k.Dropout(0.0),
            k.Dense(3, "softmax"),
        ]
    )
    rate = keras.optimizers.schedules.ExponentialDecay(0.05, 3, 0.5)
    model.compile(
        keras.optimizers.Adam(rate, amsgrad=True),
        keras.losses.SparseCategoricalCrossentropy(),
        metrics=["accuracy"],
    )
    return model


def convolution(keras: Any) -> Any:
    k = keras.layers
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            k.Conv2D(3, 3, padding="same"),
            k.BatchNormalization(epsilon=0.01),
            k.LeakyReLU(0.1),
            k.MaxPooling2D(2),
            k.DepthwiseConv2D(2),
            k.SeparableConv2D(2, 2),
            k.Conv2DTranspose(2, 2, strides=2),
            k.GlobalAveragePooling2D(),
            k.Dense(2),
        ]
    )
    model.compile(
        keras.optimizers.SGD(0.05, momentum=0.9, nesterov=True), keras.losses.MeanSquaredError()
    )
    return model


def reader(keras: Any) -> Any:
    k = keras.layers
    ids = keras.Input((6,), dtype="int32", name="ids")
    h = k.Embedding(9, 4, mask_zero=True)(ids)
    h = k.Bidirectional(k.LSTM(3, return_sequences=True))(h)
    h = k.GRU(2)(h)
    model = keras.Model(ids, k.Dense(1, "sigmoid")(h), name="reader")
    model.compile(keras.optimizers.RMSprop(0.01), keras.losses.MeanSquaredError())
    return model


def outputs(keras: Any) -> Any:
    """Two inputs and outputs; a shared layer, models inside, one of them partly frozen."""
    k = keras.layers
    left, right = keras.Input((4,), name="left"), keras.Input((4,), name="right")
    shared = k.Dense(3, "tanh", name="shared")
    block = keras.Sequential([keras.Input((3,)), k.Dense(3), k.BatchNormalization()], name="block")
    a, b = keras.Input((3,)), keras.Input((3,))
    pair = keras.Model([a, b], [k.Add()([a, b]), k.Dense(2)(b)], name="pair")
    block.layers[0].trainable = False
    added, other = pair([block(shared(left)), block(shared(right))])
    again, _ = pair([added, block(added)])
    heads = [k.Dense(2, name="a")(again), k.Concatenate(name="b")([other, added])]
    model = keras.Model([left, right], heads, name="joint")
    model.compile(
        keras.optimizers.Adagrad(0.05),
        loss=[keras.losses.MeanSquaredError(), keras.losses.Huber()],
        loss_weights=[1.0, 0.5],
        metrics=[
            [keras.metrics.MeanAbsoluteError(name="mae")],
            [keras.metrics.MeanSquaredError(name="squared")],
        ],
    )
    return model


def attention(keras: Any) -> Any:
    k = keras.layers
    x, y = keras.Input((3, 4), name="x"), keras.Input((5, 4), name="y")
    h = k.MultiHeadAttention(2, 3, name="heads")(x, y)
    h = k.LayerNormalization()(k.Add()([h, x]))
    h = k.Attention(use_scale=True)([h, y])
    state = k.GlobalAveragePooling1D()(h)
    last = k.SimpleRNN(4)(y, initial_state=[state])
    model = keras.Model([x, y], k.Dense(2)(k.Concatenate()([k.Flatten()(h), last])))
    model.compile(keras.optimizers.SGD(0.01, momentum=0.5), keras.losses.MeanSquaredError())
    return model


def custom(keras: Any) -> Any:
    k, own = keras.layers, custom_objects(keras)
    model = keras.Sequential(
        [keras.Input((4,)), k.Dense(3, activation=own["bent"]), own["Scale"](0.5), k.Dense(1)]
    )
    model.compile(keras.optimizers.AdamW(0.05, weight_decay=0.1), own["steep_loss"])
    return model


def operators(keras: Any) -> Any:
    """Arithmetic on symbolic tensors; Keras 3 does not read its own `.h5` files with these."""
    k = keras.layers
    x, y = keras.Input((4,)), keras.Input((4,))
    h = 1.0 - 2.0 * x / (y * y + 1.0) - y
    model = keras.Model([x, y], k.Dense(2)(k.Concatenate()([h, h[:, 1:3], -x])))
    model.compile(keras.optimizers.SGD(0.05), "mse")
    return model


def former(keras: Any) -> Any:
    """What only Keras 2 had: its older optimizers, and another hard_sigmoid."""
    k = keras.layers
    model = keras.Sequential(
        [
            keras.Input((4, 3)),
            k.GRU(3, reset_after=False, recurrent_activation="hard_sigmoid"),
            k.ThresholdedReLU(0.05),
            k.Dense(2),
        ]
    )
    model.compile(keras.optimizers.legacy.Adam(0.05, decay=0.1), "mse")
    return model


MODELS = {
    f.__name__: f
    for f in (dense, convolution, reader, outputs, attention, custom, operators, former)
}
ORIGINS = [
    (origin, name)
    for origin in (KERAS_2, KERAS_3)
    for name in MODELS
    if not (origin == KERAS_3 and name == "former")
]
# What real Keras 3 can read: no arithmetic, no Attention (it takes the setting "dot" for a layer),
# and no loss or metric called "mse".
READ_BY_KERAS_3 = [name for name in MODELS if name not in ("operators", "former", "attention")]


def data(name: str) -> tuple[Any, Any]:
    pair = [normal(8, 4), normal(8, 4, seed=2)]
    return {
        "dense": lambda: (normal(8, 4), integers(3, 8)),
        "convolution": lambda: (normal(8, 8, 8, 1), normal(8, 2, seed=2)),
        "reader": lambda: (integers(9, 8, 6), uniform(8, 1)),
        "outputs": lambda: (pair, [normal(8, 2), normal(8, 5)]),
        "attention": lambda: ([normal(8, 3, 4), normal(8, 5, 4, seed=2)], normal(8, 2)),
        "custom": lambda: (normal(8, 4), normal(8, 1)),
        "operators": lambda: (pair, normal(8, 2)),
        "former": lambda: (normal(8, 4, 3), normal(8, 2)),
    }[name]()


def trained(keras: Any, name: str) -> Any:
    """A compiled model after two steps."""
    model = MODELS[name](keras)
    fill(model)
    model.set_weights(
        [np.abs(w) + 0.2 if "variance" in v.name else w
         for v, w in zip(model.weights, model.get_weights(), strict=True)]
    )  # fmt: skip
    x, y = data(name)
    for _ in range(2):
        model.train_on_batch(x, y)
    return model


def predictions(model: Any, name: str) -> np.ndarray:
    predicted = model.predict(data(name)[0], verbose=0)
    parts = predicted if isinstance(predicted, list) else [predicted]
    return np.concatenate([np.ravel(part) for part in parts])


def described(model: Any, name: str) -> Result:
    """What a loaded model computes, before and after three further steps."""
    before = predictions(model, name)
    for _ in range(3):
        model.train_on_batch(*data(name))
    return {"predictions": before, "weights": flat(model.get_weights())}
