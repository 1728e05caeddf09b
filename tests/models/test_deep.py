"""Models of a thousand layers: nothing about a model may recurse, or grow faster than the depth."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lamina
from lamina import layers

DEPTH = 1000
X = np.random.RandomState(0).normal(size=(8, 16)).astype("float32")
Y = X[:, :1].copy()


def sequential() -> Any:
    hidden = [layers.Dense(16, activation="tanh") for _ in range(DEPTH)]
    return lamina.Sequential([lamina.Input((16,)), *hidden, layers.Dense(1)])


def functional() -> Any:
    inputs = x = lamina.Input((16,))
    for _ in range(DEPTH):
        x = x + 0.01 * layers.Dense(16, activation="tanh")(x)
    return lamina.Model(inputs, layers.Dense(1)(x))


class Subclass(lamina.Model):
    def __init__(self) -> None:
        super().__init__()
        self.hidden = [layers.Dense(16, activation="tanh") for _ in range(DEPTH)]
        self.head = layers.Dense(1)

    def call(self, x: Any) -> Any:
        for layer in self.hidden:
            x = x + 0.01 * layer(x)
        return self.head(x)


@pytest.fixture(autouse=True)
def little_room() -> Iterator[None]:
    """A limit that a frame per layer would break: half of them."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(DEPTH // 2)
    yield
    sys.setrecursionlimit(limit)


@pytest.mark.parametrize("make", [sequential, functional, Subclass])
def test_trains(make: Callable[[], Any]) -> None:
    model = make()
    model.compile("adam", "mse")
    losses = model.fit(X, Y, batch_size=4, epochs=2, verbose=0).history["loss"]
    assert np.isfinite(losses).all() and losses[0] != losses[1]
    np.testing.assert_allclose(model(X).numpy(), model.predict(X, verbose=0), rtol=1e-5)
    lines: list[str] = []
    model.summary(print_fn=lambda line, **_: lines.append(line))
    assert f"dense_{DEPTH - 1}" in "\n".join(lines)


@pytest.mark.parametrize("make", [sequential, functional])
def test_is_copied_and_kept(make: Callable[[], Any], tmp_path: Path) -> None:
    model = make()
    expected = model.predict(X, verbose=0)
    copies = [pickle.loads(pickle.dumps(model)), lamina.models.model_from_json(model.to_json())]
    copies[1].set_weights(model.get_weights())
    if make is sequential:  # files take seconds: one kind will do
        model.save(tmp_path / "deep.keras")
        copies.append(lamina.models.load_model(tmp_path / "deep.keras"))
    for copy in copies:
        np.testing.assert_array_equal(copy.predict(X, verbose=0), expected)
