"""Whole models: graph topologies, sharing, nesting, deferred building, subclasses, names."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.golden.cases import Result, add, as_numpy, fill, flat, integers, normal

TOLERANCE = dict(rtol=5e-5, atol=5e-6)


def trained(keras: Any, model: Any, x: Any, targets: Any, **compile_args: Any) -> Result:
    """Outputs before, and loss and weights after one step."""
    predicted = model.predict(x, verbose=0)
    if isinstance(predicted, dict):
        outputs = {f"output_{k}": v for k, v in predicted.items()}
    else:
        many = predicted if isinstance(predicted, (list, tuple)) else [predicted]
        outputs = {f"output_{i}": p for i, p in enumerate(many)}
    model.compile(keras.optimizers.SGD(0.5), **{"loss": "mse", **compile_args})
    loss = np.ravel(as_numpy(model.train_on_batch(x, targets)))[0]
    return {
        **outputs,
        "loss": float(loss),
        "after": flat(model.get_weights()),
        "paths": [w.path for w in model.weights],
        "layers": [layer.name for layer in model.layers],
        "counts": [layer.count_params() for layer in model.layers],
        "total": model.count_params(),
    }


def siamese(keras: Any) -> Result:
    a, b = keras.Input((4,), name="a"), keras.Input((4,), name="b")
    tower = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, "tanh")], name="tower")
    merged = keras.layers.Concatenate()([tower(a), tower(b)])
    model = keras.Model([a, b], keras.layers.Dense(1)(merged))
    fill(model)
    return trained(keras, model, [normal(5, 4), normal(5, 4, seed=2)], normal(5, 1, seed=3))


add("models", "siamese_nested", siamese, **TOLERANCE)


def shared_layer(keras: Any) -> Result:
    inputs = keras.Input((4,))
    dense = keras.layers.Dense(4, "relu", name="shared")
    outputs = keras.layers.Add()([dense(inputs), dense(dense(inputs)), inputs])
    model = keras.Model(inputs, outputs)
    fill(model)
    return trained(keras, model, normal(5, 4), normal(5, 4, seed=3))


add("models", "shared_layer", shared_layer, **TOLERANCE)


def two_outputs(keras: Any) -> Result:
    inputs = keras.Input((4,), name="x")
    h = keras.layers.Dense(6, "relu", name="trunk")(inputs)
    outputs = [keras.layers.Dense(1, name="left")(h),
               keras.layers.Dense(3, "softmax", name="right")(h)]  # fmt: skip
    model = keras.Model(inputs, outputs)
    fill(model)
    return trained(keras, model, normal(5, 4), [normal(5, 1, seed=3), integers(3, 5, seed=4)],
                   loss=["mse", "sparse_categorical_crossentropy"],
                   loss_weights=[0.5, 2.0])  # fmt: skip


add("models", "two_outputs", two_outputs, **TOLERANCE)


def dict_io(keras: Any) -> Result:
    inputs = {"u": keras.Input((3,), name="u"), "v": keras.Input((2,), name="v")}
    h = keras.layers.Concatenate()([inputs["u"], inputs["v"]])
    outputs = {"p": keras.layers.Dense(2, name="p")(h), "q": keras.layers.Dense(1, name="q")(h)}
    model = keras.Model(inputs, outputs)
    fill(model)
    return trained(keras, model, {"u": normal(4, 3), "v": normal(4, 2, seed=2)},
                   {"p": normal(4, 2, seed=3), "q": normal(4, 1, seed=4)},
                   loss={"p": "mse", "q": "mae"})  # fmt: skip


add("models", "dict_inputs_outputs", dict_io, **TOLERANCE)


def residual_cnn(keras: Any) -> Result:
    k = keras.layers
    inputs = keras.Input((8, 8, 2))
    h = k.Conv2D(4, 3, padding="same", activation="relu")(inputs)
    h = k.Add()([h, k.Conv2D(4, 3, padding="same")(h)])
    h = k.MaxPooling2D()(k.Activation("relu")(h))
    model = keras.Model(inputs, k.Dense(3, "softmax")(k.Flatten()(h)))
    fill(model, scale=0.2)
    return trained(keras, model, normal(3, 8, 8, 2), integers(3, 3, seed=2),
                   loss="sparse_categorical_crossentropy")  # fmt: skip


add("models", "residual_cnn", residual_cnn, **TOLERANCE)


def deferred(keras: Any) -> Result:
    model = keras.Sequential([keras.layers.Dense(5, "relu"), keras.layers.Dense(1)])
    built_before = bool(model.built)
    model.build((None, 4))
    fill(model)
    return {**trained(keras, model, normal(6, 4), normal(6, 1, seed=2)),
            "built_before": built_before}  # fmt: skip


add("models", "sequential_deferred", deferred, **TOLERANCE)


def add_and_pop(keras: Any) -> Result:
    model = keras.Sequential(name="growing")
    model.add(keras.Input((4,)))
    model.add(keras.layers.Dense(3, "relu"))
    model.add(keras.layers.Dense(9))
    model.pop()
    model.add(keras.layers.Dense(2, name="last"))
    fill(model)
    return {**trained(keras, model, normal(6, 4), normal(6, 2, seed=2)), "name": model.name}


add("models", "sequential_add_pop", add_and_pop, **TOLERANCE)


def subclass(keras: Any) -> Result:
    class Scale(keras.layers.Layer):
        def build(self, input_shape: Any) -> None:
            self.gain = self.add_weight(shape=(input_shape[-1],), initializer="ones", name="gain")

        def call(self, inputs: Any) -> Any:
            return inputs * self.gain

    class Net(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.first = keras.layers.Dense(4, "tanh")
            self.scale = Scale()
            self.heads = [keras.layers.Dense(1), keras.layers.Dense(1)]

        def call(self, inputs: Any) -> Any:
            h = self.scale(self.first(inputs))
            return self.heads[0](h) + self.heads[1](h)

    model = Net()
    x = normal(6, 4)
    model(x)
    fill(model)
    return trained(keras, model, x, normal(6, 1, seed=2))


add("models", "subclass", subclass, **TOLERANCE)


def frozen(keras: Any) -> Result:
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(5, "relu", trainable=False),
                              keras.layers.Dense(1)])  # fmt: skip
    fill(model)
    result = trained(keras, model, normal(6, 4), normal(6, 1, seed=2))
    result["trainable"] = [w.path for w in model.trainable_weights]
    return result


add("models", "frozen_layer", frozen, **TOLERANCE)


def submodel(keras: Any) -> Result:
    inputs = keras.Input((4,))
    h = keras.layers.Dense(5, "relu", name="features")(inputs)
    model = keras.Model(inputs, keras.layers.Dense(2)(h))
    fill(model)
    inner = keras.Model(model.inputs, model.get_layer("features").output)
    return {"y": inner.predict(normal(3, 4), verbose=0),
            "index": model.get_layer(index=2).name}  # fmt: skip


add("models", "feature_extractor", submodel, **TOLERANCE)


def automatic_names(keras: Any) -> Result:
    k = keras.layers
    layers = [k.Dense(1), k.Dense(1), k.Conv2D(1, 1), k.MaxPooling2D(), k.LSTM(1), k.SimpleRNN(1),
              k.GlobalAveragePooling2D(), k.Embedding(2, 2), k.Dense(1), k.Flatten()]  # fmt: skip
    models = [keras.Sequential(), keras.Sequential()]
    inputs = keras.Input((2,))
    models.append(keras.Model(inputs, k.Dense(1)(inputs)))
    return {"names": [entry.name for entry in layers + models]}


add("models", "automatic_names", automatic_names)


def layer_configs(keras: Any) -> Result:
    k = keras.layers
    made = [k.Dense(3, "relu", kernel_regularizer="l2"), k.Conv2D(4, 3, padding="same"),
            k.MaxPooling2D((2, 2)), k.AveragePooling2D(2), k.LSTM(4, return_sequences=True),
            k.SimpleRNN(4), k.Embedding(5, 2, mask_zero=True), k.Dropout(0.5, seed=3),
            k.Flatten(), k.Reshape((2, 3)), k.Activation("tanh"), k.Rescaling(2.0, 1.0), k.Add(),
            k.Concatenate(axis=1), k.GlobalMaxPooling2D(),
            k.InputLayer(shape=(3,))]  # fmt: skip
    return {type(entry).__name__: {key: value for key, value in entry.get_config().items()
                                   if key not in ("quantization_config",)}
            for entry in made}  # fmt: skip


add("models", "layer_configs", layer_configs)
