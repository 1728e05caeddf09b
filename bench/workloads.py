"""The seven programs as workloads: their data, and their models through any Keras-like module."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Data = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Workload:
    """One program: `data()` gives x and y, `build(keras)` a compiled model."""

    name: str
    batch_size: int
    data: Callable[[], Data]
    build: Callable[[Any], Any]

    def steps_per_epoch(self, rows: int) -> int:
        """Batches in one pass, the last one possibly smaller."""
        return -(-rows // self.batch_size)


def _random() -> np.random.RandomState:
    return np.random.RandomState(0)


def xor_data() -> Data:
    x = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32)
    return x, np.array([[0], [1], [1], [0]], np.float32)


def build_xor(keras: Any) -> Any:
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((2,)),
            layers.Dense(4, activation="relu"),
            layers.Dense(1, activation="sigmoid"),
        ]
    )
    model.compile(loss="binary_crossentropy", optimizer="adam", metrics=["accuracy"])
    return model


def binary_data() -> Data:
    random = _random()
    x = random.random_sample((100, 10)).astype(np.float32)
    return x, random.randint(2, size=(100, 1)).astype(np.float32)


def build_binary(keras: Any) -> Any:
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((10,)),
            layers.Dense(8, activation="relu"),
            layers.Dense(1, activation="sigmoid"),
        ]
    )
    model.compile(loss="binary_crossentropy", optimizer="adam", metrics=["accuracy"])
    return model


def image_data() -> Data:
    random = _random()
    x = random.random_sample((640, 28, 28, 1)).astype(np.float32)
    return x, np.eye(10, dtype=np.float32)[random.randint(10, size=640)]


def build_cnn(keras: Any) -> Any:
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(32, (3, 3), activation="relu"),
            layers.MaxPooling2D((2, 2)),
            layers.Flatten(),
            layers.Dense(128, activation="relu"),
            layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile(optimizer="adam", loss="categorical_crossentropy", metrics=["accuracy"])
    return model


def sentence_data() -> Data:
    random = _random()
    x = random.randint(1, 5000, size=(320, 100)).astype(np.int32)
    return x, random.randint(2, size=(320, 1)).astype(np.float32)


def build_lstm(keras: Any) -> Any:
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((100,), dtype="int32"),
            layers.Embedding(input_dim=5000, output_dim=128),
            layers.LSTM(64),
            layers.Dense(1, activation="sigmoid"),
        ]
    )
    model.compile(optimizer="adam", loss="binary_crossentropy", metrics=["accuracy"])
    return model


def autoencoder_data() -> Data:
    x = _random().random_sample((3200, 784)).astype(np.float32)
    return x, x


def build_autoencoder(keras: Any) -> Any:
    layers = keras.layers
    inputs = keras.Input(shape=(784,))
    encoded = layers.Dense(64, activation="relu")(inputs)
    outputs = layers.Dense(784, activation="sigmoid")(encoded)
    model = keras.Model(inputs, outputs)
    model.compile(optimizer="adam", loss="mse")
    return model


def regularized_data() -> Data:
    random = _random()
    x = random.standard_normal((640, 30)).astype(np.float32)
    return x, random.randint(2, size=(640, 1)).astype(np.float32)


def build_regularized(keras: Any) -> Any:
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((30,)),
            layers.Dense(64, activation="relu", kernel_regularizer=keras.regularizers.L2(0.01)),
            layers.Dropout(0.5),
            layers.Dense(1, activation="sigmoid"),
        ]
    )
    model.compile(optimizer="adam", loss="binary_crossentropy", metrics=["accuracy"])
    return model


def deferred_data() -> Data:
    random = _random()
    return (
        random.standard_normal((640, 10)).astype(np.float32),
        random.standard_normal((640, 1)).astype(np.float32),
    )


def build_deferred(keras: Any) -> Any:
    layers = keras.layers
    model = keras.Sequential([layers.Dense(10, activation="relu"), layers.Dense(1)])
    model.compile(optimizer="adam", loss="mse")
    return model


WORKLOADS = {
    workload.name: workload
    for workload in (
        Workload("xor", 1, xor_data, build_xor),
        Workload("binary", 10, binary_data, build_binary),
        Workload("cnn", 32, image_data, build_cnn),
        Workload("lstm", 32, sentence_data, build_lstm),
        Workload("autoencoder", 32, autoencoder_data, build_autoencoder),
        Workload("regularized", 32, regularized_data, build_regularized),
        Workload("deferred", 32, deferred_data, build_deferred),
    )
}
