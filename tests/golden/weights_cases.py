"""Weights files: what real Keras writes into .weights.h5, as a listing, and one file itself."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from tests.golden.cases import HERE, Result, add, fill, flat, integers, normal

FIXTURE = HERE / "keras.weights.h5"


def fixture_model(keras: Any) -> Any:
    k = keras.layers
    inputs = keras.Input((5,), dtype="int32")
    h = k.LSTM(3, return_sequences=True)(k.Embedding(9, 4)(inputs))
    h = k.SimpleRNN(3)(h)
    block = keras.Sequential([keras.Input((3,)), k.Dense(4, "relu"), k.Dense(2)], name="block")
    outputs = k.Concatenate()([block(h), k.Dense(2)(h)])
    return keras.Model(inputs, outputs)


def cnn(keras: Any) -> Any:
    k = keras.layers
    return keras.Sequential([keras.Input((6, 6, 1)), k.Conv2D(2, 3), k.Conv2D(2, 3),
                             k.Flatten(), k.Dense(2, use_bias=False), k.Dense(1)])  # fmt: skip


def subclass(keras: Any) -> Any:
    class Net(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.first = keras.layers.Dense(3)
            self.blocks = [keras.layers.Dense(2), keras.layers.Dense(2)]

        def call(self, x: Any) -> Any:
            h = self.first(x)
            return self.blocks[0](h) + self.blocks[1](h)

    model = Net()
    model(normal(2, 4))
    return model


def listing(path: Path) -> list[str]:
    import h5py

    entries: list[str] = []
    with h5py.File(path) as file:
        file.visititems(
            lambda name, item: entries.append(
                f"{name} {tuple(item.shape)} {item.dtype.kind}" if isinstance(item, h5py.Dataset)
                else name
            )
        )  # fmt: skip
    return sorted(entries)


def structure(name: str, build: Any, trained: bool) -> None:
    def run(keras: Any) -> Result:
        model = build(keras)
        if trained:
            model.compile("adam", "mse")
            shape = [1 if d is None else d for d in model.output_shape]
            x = integers(9, 1, 5) if build is fixture_model else normal(1, 6, 6, 1)
            model.train_on_batch(x, normal(*shape))
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "m.weights.h5"
            model.save_weights(path)
            return {"listing": listing(path)}

    add("weights", name, run)


structure("functional", fixture_model, trained=False)
structure("functional_trained", fixture_model, trained=True)
structure("sequential", cnn, trained=False)
structure("sequential_trained", cnn, trained=True)
structure("subclass", subclass, trained=False)


def fixture(keras: Any) -> Result:
    """What the model with the fixture file's weights computes; real Keras writes the file."""
    model = fixture_model(keras)
    if keras.__name__ == "keras":
        fill(model)
        model.save_weights(FIXTURE)
    else:
        model.load_weights(FIXTURE)
    x = integers(9, 3, 5)
    return {"y": model.predict(x, verbose=0), "weights": flat(model.get_weights())}


add("weights", "fixture", fixture, 5e-5, 5e-6)
