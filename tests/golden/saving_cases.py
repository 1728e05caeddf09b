"""Model files: real Keras trains and saves a model; whoever loads the file goes on training it.

Each case gives what the loaded model predicts and evaluates to, and the weights and optimizer
state after one more step, so that it shows whether the whole state travelled.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tests.golden import saving_layers
from tests.golden.cases import HERE, Result, add, fill, flat, integers, normal

Data = tuple[Any, Any]


def fixture_path(name: str) -> Path:
    return HERE / f"keras_{name}.keras"


def custom_objects(keras: Any) -> dict[str, Any]:
    """The user's own classes and functions, registered with `keras`."""
    register = keras.saving.register_keras_serializable(package="tests")

    @register
    class Scale(keras.layers.Layer):
        def __init__(self, factor: float = 1.0, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self.factor = factor

        def build(self, input_shape: Any) -> None:
            self.gain = self.add_weight(shape=(input_shape[-1],), initializer="ones", name="gain")

        def call(self, x: Any) -> Any:
            return x * self.gain * self.factor

        def get_config(self) -> dict[str, Any]:
            return {**super().get_config(), "factor": self.factor}

    @register
    class Net(keras.Model):
        def __init__(self, units: int = 2, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self.units = units
            self.first = keras.layers.Dense(units, activation="tanh")
            self.blocks = [keras.layers.Dense(units), Scale(0.5)]
            self.last = keras.layers.Dense(1)

        def call(self, x: Any) -> Any:
            h = self.first(x)
            for block in self.blocks:
                h = block(h)
            return self.last(h)

        def get_config(self) -> dict[str, Any]:
            return {**super().get_config(), "units": self.units}

    @register
    def power_loss(y_true: Any, y_pred: Any) -> Any:
        return keras.ops.mean(keras.ops.square(y_true - y_pred) * 1.5, axis=-1)

    return {"Scale": Scale, "Net": Net, "power_loss": power_loss}


def sequential(keras: Any) -> Any:
    k = keras.layers
    model = keras.Sequential(
        [
            keras.Input((6, 6, 1)),
            k.Conv2D(2, 3, activation="relu", kernel_regularizer=keras.regularizers.L2(0.01)),
            k.MaxPooling2D(2),
            k.Flatten(),
            k.Dense(3, "softmax"),
        ],
        name="cnn",
    )
    model.compile(
        keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    return model


def functional(keras: Any) -> Any:
    """Two inputs and outputs, a shared layer, a nested model, a user's layer, an operator."""
    k = keras.layers
    left, right = keras.Input((4,), name="left"), keras.Input((4,), name="right")
    shared = k.Dense(3, activation="tanh", name="shared")
    block = keras.Sequential(
        [keras.Input((3,)), k.Dense(4, "relu"), custom_objects(keras)["Scale"](2.0)], name="block"
    )
    h = k.Concatenate(name="joined")([block(shared(left)), shared(right)])
    h = h * 2.0 + keras.ops.mean(h, axis=-1, keepdims=True)
    outputs = [k.Dense(2, name="a")(h), k.Dense(1, activation="sigmoid", name="b")(h)]
    model = keras.Model([left, right], outputs, name="joint")
    rate = keras.optimizers.schedules.ExponentialDecay(0.1, 3, 0.5)
    model.compile(
        keras.optimizers.SGD(rate, momentum=0.9, nesterov=True),
        loss=[keras.losses.MeanSquaredError(), "binary_crossentropy"],
        loss_weights=[1.0, 0.5],
        metrics=[["mae"], [keras.metrics.MeanSquaredError(name="squared")]],
    )
    return model


def recurrent(keras: Any) -> Any:
    k = keras.layers
    inputs = keras.Input((5,), dtype="int32")
    h = k.LSTM(3)(k.Embedding(9, 4, mask_zero=True)(inputs))
    model = keras.Model(inputs, k.Dense(2)(h), name="reader")
    loss = custom_objects(keras)["power_loss"]
    model.compile(keras.optimizers.RMSprop(0.01), loss, metrics=[keras.metrics.MeanAbsoluteError()])
    return model


def subclass(keras: Any) -> Any:
    model = custom_objects(keras)["Net"](3, name="net")
    model(normal(2, 4))
    model.compile(keras.optimizers.AdamW(0.01), "mse")
    return model


def encoders(keras: Any) -> Any:
    """A functional model used twice, whose second result is an output; attention between both."""
    k = keras.layers
    inputs = keras.Input((3, 4))
    encoder = keras.Model(inputs, k.LayerNormalization()(k.Dense(4)(inputs)), name="encoder")
    left, right = keras.Input((3, 4)), keras.Input((3, 4))
    first, second = encoder(left), encoder(right)
    h = k.MultiHeadAttention(2, 3, name="attention")(first, second)
    model = keras.Model([left, right], [second, k.Dense(1, name="score")(h)], name="encoders")
    model.compile("adam", ["mse", "mae"])
    return model


def quantized(keras: Any) -> Any:
    """A layer in each quantization mode, two of them adapted by low rank."""
    k, q = keras.layers, keras.quantizers
    inputs = keras.Input((5,), dtype="int32")
    h = k.Embedding(9, 4, name="table")(inputs)
    h = k.EinsumDense("abc,cd->abd", (5, 6), bias_axes="d", name="blocks")(h)
    h = k.Dense(6, activation="tanh", name="columns")(k.Flatten()(h))
    h = k.Dense(5, activation="relu", name="bytes")(h)
    model = keras.Model(inputs, k.Dense(2, name="floats")(h), name="small")
    fill(model)
    model.get_layer("bytes").enable_lora(2, lora_alpha=3.0)
    model.get_layer("table").quantize("int8")
    model.get_layer("blocks").quantize(config=q.Int4QuantizationConfig(block_size=2))
    model.get_layer("columns").quantize(config=q.Int4QuantizationConfig(block_size=None))
    model.get_layer("columns").enable_lora(3)
    model.get_layer("bytes").quantize("int8")
    model.get_layer("floats").quantize("float8")
    for name in ("columns", "bytes"):
        matrix = model.get_layer(name).lora_kernel_a
        matrix.assign(0.4 * normal(*matrix.shape))
    model.compile(keras.optimizers.SGD(0.05, momentum=0.9), "mse")
    return model


def data(name: str) -> Data:
    if name in saving_layers.MODELS:
        return saving_layers.data(name)
    if name == "sequential":
        return normal(8, 6, 6, 1), integers(3, 8)
    if name == "functional":
        return [normal(8, 4), normal(8, 4, seed=2)], [
            normal(8, 2),
            integers(2, 8, 1).astype("f"),
        ]
    if name == "encoders":
        return [normal(8, 3, 4), normal(8, 3, 4, seed=2)], [normal(8, 3, 4), normal(8, 3, 1)]
    if name in ("recurrent", "quantized"):
        return integers(9, 8, 5), normal(8, 2)
    return normal(8, 4), normal(8, 1)


MODELS = {
    "sequential": sequential,
    "functional": functional,
    "recurrent": recurrent,
    "subclass": subclass,
    "encoders": encoders,
    "quantized": quantized,
    **saving_layers.MODELS,
}


def trained(keras: Any, name: str) -> Any:
    """A compiled model after two steps."""
    model = MODELS[name](keras)
    if name != "quantized":
        fill(model)
    if name == "normalizers":  # variances are not negative
        model.set_weights([np.abs(weight) + 0.2 for weight in model.get_weights()])
    x, y = data(name)
    for _ in range(2):
        model.train_on_batch(x, y)
    return model


def described(model: Any, name: str) -> Result:
    """What a loaded model computes, before and after a further step."""
    x, y = data(name)
    predicted = model.predict(x, verbose=0)
    before = [np.ravel(p) for p in (predicted if isinstance(predicted, list) else [predicted])]
    losses = model.evaluate(x, y, verbose=0)
    model.train_on_batch(x, y)
    state = [np.asarray(v.numpy(), "float32") for v in model.optimizer.variables]
    return {
        "predictions": np.concatenate(before),
        "losses": np.asarray(losses, "float32").ravel(),
        "weights": flat(model.get_weights()),
        "optimizer": flat(state),
    }


def case(name: str) -> None:
    def run(keras: Any) -> Result:
        custom_objects(keras)
        if keras.__name__ == "keras":
            trained(keras, name).save(fixture_path(name))
        return described(keras.saving.load_model(fixture_path(name)), name)

    add("saving", name, run, 1e-4, 1e-5)


for one in MODELS:
    case(one)
