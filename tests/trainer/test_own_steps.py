"""Steps written by the user, in the ways Keras's guides write them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import lamina
from lamina import GradientTape, layers, ops

X = np.random.RandomState(0).rand(20, 4).astype("float32")
Y = np.random.RandomState(1).rand(20, 1).astype("float32")
FIT: dict[str, Any] = {"batch_size": 6, "epochs": 2, "shuffle": False, "verbose": 0}
EAGER = pytest.mark.parametrize("run_eagerly", [False, True], ids=["traced", "eager"])


class Guide(lamina.Model):
    """Updates the compiled metrics one by one and returns what each says."""

    def _logs(self, y: Any, y_pred: Any, loss: Any) -> dict[str, Any]:
        for metric in self.metrics:
            if metric.name == "loss":
                metric.update_state(loss, sample_weight=float(y.shape[0]))
            else:
                metric.update_state(y, y_pred)
        return {metric.name: metric.result() for metric in self.metrics}

    def train_step(self, data: Any) -> dict[str, Any]:
        x, y = data
        with GradientTape() as tape:
            y_pred = self(x, training=True)
            loss = self.compute_loss(y=y, y_pred=y_pred)
        weights = self.trainable_variables
        self.optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))
        return self._logs(y, y_pred, loss)

    def test_step(self, data: Any) -> dict[str, Any]:
        x, y = data
        y_pred = self(x, training=False)
        return self._logs(y, y_pred, self.compute_loss(y=y, y_pred=y_pred))


def made(cls: type, **compile_args: Any) -> Any:
    inputs = lamina.Input((4,))
    model = cls(inputs, layers.Dense(1)(layers.Dense(3, "tanh")(inputs)))
    generator = np.random.RandomState(3)
    model.set_weights([generator.normal(size=w.shape) for w in model.get_weights()])
    model.compile(lamina.optimizers.Adam(0.01), **compile_args)
    return model


@EAGER
def test_the_guides_step_does_what_fit_does(run_eagerly: bool) -> None:
    own = made(Guide, loss="mse", metrics=["mae"], run_eagerly=run_eagerly)
    plain = made(lamina.Model, loss="mse", metrics=["mae"])
    logs = [m.fit(X, Y, validation_data=(X, Y), **FIT).history for m in (own, plain)]
    assert sorted(logs[0]) == sorted(logs[1])
    for key, values in logs[1].items():
        np.testing.assert_allclose(logs[0][key], values, rtol=1e-5, err_msg=key)
    scores = [m.evaluate(X, Y, verbose=0, return_dict=True) for m in (own, plain)]
    for key, value in scores[1].items():
        np.testing.assert_allclose(scores[0][key], value, rtol=1e-5)


@EAGER
def test_own_metrics_and_loss(run_eagerly: bool) -> None:
    class Tracked(lamina.Model):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.tracker = lamina.metrics.Mean(name="mine")

        def compute_loss(
            self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None,
            training: bool = True,
        ) -> Any:  # fmt: skip
            loss = ops.mean(ops.abs(y - y_pred)) * 3.0
            self.tracker.update_state(loss, sample_weight=float(y.shape[0]))
            return loss

        @property
        def metrics(self) -> list[Any]:
            return [self.tracker]

    model = made(Tracked, run_eagerly=run_eagerly)
    history = model.fit(X, Y, **FIT).history
    assert list(history) == ["mine"]
    expected = 3.0 * np.abs(model.predict(X, verbose=0) - Y).mean()
    np.testing.assert_allclose(model.evaluate(X, Y, verbose=0), expected, rtol=1e-5)


@EAGER
def test_compute_metrics_and_predict_step(run_eagerly: bool) -> None:
    class More(lamina.Model):
        def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> Any:
            logs = super().compute_metrics(x, y, y_pred, sample_weight)
            return {**logs, "seven": ops.convert_to_tensor(7.0)}

        def predict_step(self, data: Any) -> Any:
            return super().predict_step(data) + 10.0

    model = made(More, loss="mse", metrics=["mae"], run_eagerly=run_eagerly)
    history = model.fit(X, Y, **FIT).history
    assert sorted(history) == ["loss", "mae", "seven"]
    assert history["seven"] == [7.0, 7.0]
    shifted = model.predict(X, verbose=0)
    np.testing.assert_allclose(shifted, np.asarray(model(X)) + 10.0, rtol=1e-5)
    np.testing.assert_allclose(model.predict_on_batch(X), shifted, rtol=1e-6)


@EAGER
def test_a_gradient_penalty_in_compute_loss(run_eagerly: bool) -> None:
    class Penalised(lamina.Model):
        def compute_loss(self, x: Any = None, y: Any = None, y_pred: Any = None,
                         sample_weight: Any = None, training: bool = True) -> Any:  # fmt: skip
            loss = super().compute_loss(x, y, y_pred, sample_weight, training)
            with GradientTape() as tape:
                tape.watch(x)
                out = ops.sum(self(x))
            return loss + ops.mean(ops.square(tape.gradient(out, x)))

    model = made(Penalised, loss="mse", run_eagerly=run_eagerly)
    slope = np.square(slopes(model)).mean()
    model.fit(X, Y, batch_size=20, epochs=60, verbose=0)
    assert np.square(slopes(model)).mean() < slope / 2


def slopes(model: Any) -> np.ndarray:
    return np.asarray(lamina.grad(lambda x: ops.sum(model(x)))(X))


def test_metrics_are_listed_after_compile() -> None:
    model = made(lamina.Model, loss="mse", metrics=["mae"])
    assert [metric.name for metric in model.metrics] == ["loss", "compile_metrics"]
