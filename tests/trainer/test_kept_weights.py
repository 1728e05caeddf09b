"""What predict keeps of the weights between calls is made anew whenever they change."""

from __future__ import annotations

import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import lamina
from lamina import layers

RNG = np.random.RandomState(0)
X = RNG.normal(size=(6, 16, 16, 8)).astype("float32")
Y = RNG.normal(size=(6, 10)).astype("float32")


def build() -> Any:
    lamina.utils.set_random_seed(3)
    model = lamina.Sequential(
        [
            lamina.Input((16, 16, 8)),
            layers.Conv2D(16, 3, padding="same", use_bias=False),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.Conv2D(16, 3, padding="same", activation="relu"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(10),
        ]
    )
    model.compile("sgd", "mse", metrics=["mae"])
    return model


def assign_to_layer(model: Any) -> None:
    model.layers[3].kernel.assign(model.layers[3].kernel * 2)


def add_to_layer(model: Any) -> None:
    model.layers[0].kernel.assign_add(np.ones((3, 3, 8, 16), "float32"))


def set_weights(model: Any) -> None:
    model.set_weights([w + 0.5 for w in model.get_weights()])


def set_weights_of_layer(model: Any) -> None:
    model.layers[1].set_weights([w + 0.5 for w in model.layers[1].get_weights()])


def fit(model: Any) -> None:
    model.fit(X, Y, epochs=1, batch_size=3, verbose=0)


def train_on_batch(model: Any) -> None:
    model.train_on_batch(X, Y)


def apply_gradients(model: Any) -> None:
    with lamina.GradientTape() as tape:
        loss = lamina.ops.mean(model(X, training=True) ** 2)
    model.optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)


def new_statistics(model: Any) -> None:
    model(X + 1, training=True)


def load_weights(model: Any, folder: pathlib.Path) -> None:
    other = build()
    set_weights(other)
    other.save_weights(folder / "kept.weights.h5")
    model.load_weights(folder / "kept.weights.h5")


CHANGES: list[Callable[..., None]] = [
    assign_to_layer, add_to_layer, set_weights, set_weights_of_layer, fit, train_on_batch,
    apply_gradients, new_statistics, load_weights,
]  # fmt: skip


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
@pytest.mark.parametrize("trained", [False, True])
def test_a_change_is_seen(change: Any, trained: bool, tmp_path: pathlib.Path) -> None:
    model = build()
    if trained:  # then the weights lie in one block
        fit(model)
    row = X[:1]
    for _ in range(3):
        old, old_call = model.predict(row, verbose=0), np.array(model(row))
    change(model, tmp_path) if change is load_weights else change(model)
    new, new_call = model.predict(row, verbose=0), np.array(model(row))
    fresh = build()
    fresh.set_weights(model.get_weights())
    np.testing.assert_array_equal(new, fresh.predict(row, verbose=0))
    np.testing.assert_array_equal(new_call, new)
    assert not np.array_equal(new, old)
    assert not np.array_equal(new_call, old_call)
    np.testing.assert_array_equal(model.predict(X, verbose=0)[:1], new)


def test_evaluate_between_predictions() -> None:
    model = build()
    row = X[:1]
    before = model.predict(row, verbose=0)
    first = model.evaluate(X, Y, batch_size=2, verbose=0)
    assert model.evaluate(X, Y, batch_size=2, verbose=0) == first
    np.testing.assert_array_equal(model.predict(row, verbose=0), before)
    set_weights(model)
    assert model.evaluate(X, Y, batch_size=2, verbose=0) != first


def test_numpy_views_of_weights_cannot_be_written() -> None:
    kernel = build().layers[0].kernel
    view = kernel.value.numpy()
    for array in (view, np.asarray(kernel.value), lamina.ops.reshape(kernel.value, (-1,)).numpy()):
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0
    with pytest.raises(ValueError, match="WRITEABLE"):
        view.setflags(write=True)
    through_another = lamina.ops.convert_to_tensor(view).numpy()
    assert not (through_another.flags.writeable and np.shares_memory(through_another, view))
    copy = kernel.numpy()
    copy[...] = 0
    assert np.any(kernel.numpy() != 0)
