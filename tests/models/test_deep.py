"""Models of a thousand layers: nothing about a model may recurse. One of 10^8 parameters."""

from __future__ import annotations

import os
import pickle
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lamina
from lamina import layers
from tests.processes import run_python

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


def available_bytes() -> int:
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's memory counters")
@pytest.mark.skipif(available_bytes() < 4 << 30, reason="needs 4 GB of free memory")
def test_a_hundred_million_parameters_train() -> None:
    """In the memory of the weights, their gradients and Adam's two slots, and little more."""
    sizes = run_python("""
import resource
import numpy as np
import lamina
from lamina import layers
hidden = [layers.Dense(10_000, activation="relu"), layers.Dense(5_000, activation="relu")]
model = lamina.Sequential([lamina.Input((5_000,)), *hidden, layers.Dense(1)])
model.compile("adam", "mse")
x = np.random.RandomState(0).normal(size=(16, 5_000)).astype("float32")
losses = model.fit(x, x[:, :1], batch_size=8, epochs=2, verbose=0).history["loss"]
assert np.isfinite(losses).all()
print(model.count_params(), 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
""")
    parameters, peak = map(int, sizes.split())
    assert parameters > 10**8
    assert peak < 4.4 * 4 * parameters
