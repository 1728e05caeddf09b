"""Stacks of Dense layers: from four rows of two numbers to a wide table."""

from __future__ import annotations

from typing import Any

import numpy as np

from bench.workloads.workload import Data, Workload, classes, random, uniform, zeros_and_ones


def _stack(keras: Any, size: int, *layers: Any) -> Any:
    return keras.Sequential([keras.Input((size,)), *layers])


def xor_data() -> Data:
    x = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32)
    return x, np.array([[0], [1], [1], [0]], np.float32)


def build_xor(keras: Any) -> Any:
    dense = keras.layers.Dense
    model = _stack(keras, 2, dense(4, activation="relu"), dense(1, activation="sigmoid"))
    model.compile(loss="binary_crossentropy", optimizer="adam", metrics=["accuracy"])
    return model


def torch_xor(torch: Any) -> tuple[Any, Any]:
    nn = torch.nn
    model = nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 1))
    return model, nn.BCEWithLogitsLoss()


def mlp_small_data() -> Data:
    return uniform(100, 10), zeros_and_ones(100)


def build_mlp_small(keras: Any) -> Any:
    dense = keras.layers.Dense
    model = _stack(keras, 10, dense(8, activation="relu"), dense(1, activation="sigmoid"))
    model.compile(loss="binary_crossentropy", optimizer="adam", metrics=["accuracy"])
    return model


def torch_mlp_small(torch: Any) -> tuple[Any, Any]:
    nn = torch.nn
    model = nn.Sequential(nn.Linear(10, 8), nn.ReLU(), nn.Linear(8, 1))
    return model, nn.BCEWithLogitsLoss()


def mlp_big_data() -> Data:
    return uniform(2560, 784), classes(2560, 10)


def build_mlp_big(keras: Any) -> Any:
    layers = keras.layers
    model = _stack(
        keras,
        784,
        layers.Dense(512, activation="relu"),
        layers.Dropout(0.2),
        layers.Dense(512, activation="relu"),
        layers.Dropout(0.2),
        layers.Dense(10, activation="softmax"),
    )
    model.compile(loss="categorical_crossentropy", optimizer="adam", metrics=["accuracy"])
    return model


def torch_mlp_big(torch: Any) -> tuple[Any, Any]:
    nn = torch.nn
    hidden = [nn.Linear(784, 512), nn.ReLU(), nn.Dropout(0.2)]
    hidden += [nn.Linear(512, 512), nn.ReLU(), nn.Dropout(0.2)]
    return nn.Sequential(*hidden, nn.Linear(512, 10)), nn.CrossEntropyLoss()


def autoencoder_data() -> Data:
    x = uniform(3200, 784)
    return x, x


def build_autoencoder(keras: Any) -> Any:
    layers = keras.layers
    inputs = keras.Input(shape=(784,))
    encoded = layers.Dense(64, activation="relu")(inputs)
    outputs = layers.Dense(784, activation="sigmoid")(encoded)
    model = keras.Model(inputs, outputs)
    model.compile(optimizer="adam", loss="mse")
    return model


def torch_autoencoder(torch: Any) -> tuple[Any, Any]:
    nn = torch.nn
    model = nn.Sequential(nn.Linear(784, 64), nn.ReLU(), nn.Linear(64, 784), nn.Sigmoid())
    return model, nn.MSELoss()


def regularized_data() -> Data:
    return uniform(640, 30), zeros_and_ones(640)


def build_regularized(keras: Any) -> Any:
    layers = keras.layers
    model = _stack(
        keras,
        30,
        layers.Dense(64, activation="relu", kernel_regularizer=keras.regularizers.L2(0.01)),
        layers.Dropout(0.5),
        layers.Dense(1, activation="sigmoid"),
    )
    model.compile(optimizer="adam", loss="binary_crossentropy", metrics=["accuracy"])
    return model


def torch_regularized(torch: Any) -> tuple[Any, Any]:
    nn = torch.nn
    hidden = nn.Linear(30, 64)
    model = nn.Sequential(hidden, nn.ReLU(), nn.Dropout(0.5), nn.Linear(64, 1))
    plain = nn.BCEWithLogitsLoss()
    return model, lambda out, y: plain(out, y) + 0.01 * hidden.weight.square().sum()


def deferred_data() -> Data:
    return uniform(640, 10), uniform(640, 1)


def build_deferred(keras: Any) -> Any:
    dense = keras.layers.Dense
    model = keras.Sequential([dense(10, activation="relu"), dense(1)])
    model.compile(optimizer="adam", loss="mse")
    return model


def torch_deferred(torch: Any) -> tuple[Any, Any]:
    nn = torch.nn
    return nn.Sequential(nn.Linear(10, 10), nn.ReLU(), nn.Linear(10, 1)), nn.MSELoss()


def tabular_data() -> Data:
    x = random().standard_normal((5120, 200)).astype(np.float32)
    return x, zeros_and_ones(5120)


def build_tabular(keras: Any) -> Any:
    dense = keras.layers.Dense
    hidden = [dense(256, activation="relu") for _ in range(3)]
    model = _stack(keras, 200, *hidden, dense(1, activation="sigmoid"))
    model.compile(optimizer="adam", loss="binary_crossentropy", metrics=["accuracy"])
    return model


def torch_tabular(torch: Any) -> tuple[Any, Any]:
    nn = torch.nn
    layers = [nn.Linear(200, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU()]
    layers += [nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 1)]
    return nn.Sequential(*layers), nn.BCEWithLogitsLoss()


WORKLOADS = (
    Workload("xor", 1, xor_data, build_xor, torch_xor),
    Workload("mlp_small", 10, mlp_small_data, build_mlp_small, torch_mlp_small),
    Workload("mlp_big", 128, mlp_big_data, build_mlp_big, torch_mlp_big),
    Workload("autoencoder", 32, autoencoder_data, build_autoencoder, torch_autoencoder),
    Workload("tabular", 256, tabular_data, build_tabular, torch_tabular),
    Workload("regularized", 32, regularized_data, build_regularized, torch_regularized),
    Workload("deferred", 32, deferred_data, build_deferred, torch_deferred),
)
