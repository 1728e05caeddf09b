"""The recorded driver: the same numbers as the traced one, with Python running at every batch."""

from __future__ import annotations

import numpy as np
import pytest

import lamina
from lamina import layers, ops

X = np.random.default_rng(0).random((50, 6), dtype=np.float32)
Y = (X[:, :1] > 0.5).astype(np.float32)


def trained(run_eagerly: bool) -> tuple[dict[str, list[float]], np.ndarray]:
    lamina.utils.set_random_seed(3)
    model = lamina.Sequential(
        [
            layers.Input((6,)),
            layers.Dense(8, "relu", kernel_regularizer="l2"),
            layers.Dropout(0.3),
            layers.Dense(1, "sigmoid"),
        ]
    )
    model.compile("adam", "binary_crossentropy", metrics=["accuracy"], run_eagerly=run_eagerly)
    history = model.fit(X, Y, epochs=3, batch_size=16, validation_split=0.2, verbose=0)
    return history.history, model.predict(X, verbose=0)


def test_equals_the_traced_run() -> None:
    history, outputs = trained(run_eagerly=False)
    eager_history, eager_outputs = trained(run_eagerly=True)
    assert list(history) == list(eager_history)
    for name, values in history.items():
        np.testing.assert_allclose(eager_history[name], values, rtol=1e-6)
    # The same kernels on the same numbers; only elementwise fusion differs, which keeps the bits.
    np.testing.assert_allclose(eager_outputs, outputs, rtol=1e-6)


class Doubling(layers.Layer):
    """Decides on its numbers, which only a run with numbers can."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def call(self, x: lamina.Tensor) -> lamina.Tensor:
        self.calls += 1
        return x * 2.0 if ops.sum(x) > 0 else x


class Deciding(lamina.Model):
    def __init__(self) -> None:
        super().__init__()
        self.doubling = Doubling()
        self.head = layers.Dense(1)

    def call(self, x: lamina.Tensor) -> lamina.Tensor:
        return self.head(self.doubling(x))


def test_python_decisions_need_it_and_get_it() -> None:
    model = Deciding()
    model.compile("sgd", "mse")
    with pytest.raises(TypeError, match="run_eagerly"):
        model.fit(X, Y, verbose=0)
    model.compile(lamina.optimizers.SGD(0.05), "mse", run_eagerly=True)
    before = model.doubling.calls
    loss = model.fit(X, Y, epochs=4, batch_size=25, verbose=0).history["loss"]
    assert model.doubling.calls == before + 8
    assert loss[-1] < loss[0]
    assert model.evaluate(X, Y, verbose=0) == pytest.approx(model.test_on_batch(X, Y), rel=1e-5)
    assert model.predict(X[:3], verbose=0).shape == (3, 1)
