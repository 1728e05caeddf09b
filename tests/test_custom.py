"""Losses, metrics, layers and activations written in Python: traced once, then C++ alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import lamina
from lamina import ops

X = np.random.RandomState(0).normal(size=(64, 4)).astype("float32")
Y = X[:, :1] - X[:, 1:2]
TRACES = 6  # shapes and drivers of one fit: full batch, last batch, building, each perhaps twice


class Calls:
    """Counts how often Python was entered."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> None:
        self.count += 1


def test_a_custom_loss_is_called_while_tracing_only() -> None:
    calls = Calls()

    def loss(y_true: Any, y_pred: Any) -> Any:
        calls()
        return ops.mean(ops.log(ops.cosh(y_true - y_pred)), axis=-1)

    model = lamina.Sequential([lamina.Input((4,)), lamina.layers.Dense(1)])
    model.compile(lamina.optimizers.Adam(0.05), loss)
    history = model.fit(X, Y, batch_size=8, epochs=20, verbose=0).history
    assert calls.count <= TRACES  # 160 steps
    assert history["loss"][-1] < history["loss"][0] / 4


def test_a_custom_metric_layer_and_activation_too() -> None:
    calls = {"metric": Calls(), "layer": Calls(), "activation": Calls(), "regularizer": Calls()}

    def within(y_true: Any, y_pred: Any) -> Any:
        calls["metric"]()
        return ops.cast(ops.abs(y_true - y_pred) < 0.5, "float32")

    def bump(x: Any) -> Any:
        calls["activation"]()
        return x * ops.exp(-ops.square(x))

    def penalty(w: Any) -> Any:
        calls["regularizer"]()
        return 0.001 * ops.sum(ops.abs(w))

    class Square(lamina.layers.Layer):
        def call(self, inputs: Any) -> Any:
            calls["layer"]()
            return ops.concatenate([inputs, ops.square(inputs)], axis=-1)

    model = lamina.Sequential([lamina.Input((4,)), Square(),
                               lamina.layers.Dense(8, activation=bump, kernel_regularizer=penalty),
                               lamina.layers.Dense(1)])  # fmt: skip
    model.compile("adam", "mse", metrics=[within])
    before = {name: c.count for name, c in calls.items()}
    history = model.fit(X, Y, batch_size=8, epochs=20, verbose=0).history
    assert "within" in history
    for name, counted in calls.items():
        assert 0 < counted.count - before[name] <= TRACES, name


def test_the_value_of_a_custom_metric() -> None:
    def largest(y_true: Any, y_pred: Any) -> Any:
        return ops.max(ops.abs(y_true - y_pred), axis=-1)

    model = lamina.Sequential([lamina.Input((4,)), lamina.layers.Dense(1)])
    model.compile("sgd", "mse", metrics=[largest])
    _, value = model.evaluate(X, Y, batch_size=10, verbose=0)
    expected = np.abs(model.predict(X, verbose=0) - Y).max(axis=-1).mean()
    assert value == pytest.approx(float(expected), rel=1e-5)


def test_subclass_of_loss() -> None:
    class Weighted(lamina.losses.Loss):
        def __init__(self, factor: float = 3.0, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self.factor = factor

        def call(self, y_true: Any, y_pred: Any) -> Any:
            return ops.mean(self.factor * ops.square(y_true - y_pred), axis=-1)

    model = lamina.Sequential([lamina.Input((4,)), lamina.layers.Dense(1)])
    model.compile("sgd", Weighted())
    expected = 3 * np.mean((model.predict(X, verbose=0) - Y) ** 2)
    assert model.evaluate(X, Y, verbose=0) == pytest.approx(float(expected), rel=1e-5)


def test_a_state_that_a_layer_keeps() -> None:
    class Count(lamina.layers.Layer):
        def build(self, input_shape: Any) -> None:
            self.total = self.add_weight(shape=(), initializer="zeros", trainable=False)

        def call(self, inputs: Any, training: bool = False) -> Any:
            if training:
                self.total.assign_add(ops.cast(ops.shape(inputs)[0], "float32"))
            return inputs

    counting = Count()
    model = lamina.Sequential([lamina.Input((4,)), counting, lamina.layers.Dense(1)])
    model.compile("sgd", "mse")
    model.fit(X, Y, batch_size=10, epochs=3, verbose=0)
    assert float(np.asarray(counting.total.value)) == 3 * 64


def test_a_loss_that_uses_numpy_says_why_it_cannot() -> None:
    model = lamina.Sequential([lamina.Input((4,)), lamina.layers.Dense(1)])
    model.compile("sgd", lambda y_true, y_pred: np.mean((np.asarray(y_true) - y_pred) ** 2))
    with pytest.raises(Exception, match="ops|traced|symbolic"):
        model.fit(X, Y, verbose=0)


def test_a_loss_without_a_gradient_is_refused_by_name() -> None:
    model = lamina.Sequential([lamina.Input((4,)), lamina.layers.Dense(1)])
    model.compile("sgd", lambda y_true, y_pred: ops.cast(ops.equal(y_true, y_pred), "float32"))
    before = model.get_weights()
    try:
        model.fit(X, Y, verbose=0)
    except ValueError as error:
        assert "gradient" in str(error) or "trainable weights" in str(error)
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


class OwnStep(lamina.Model):
    """A train_step of its own, which never goes through compute_loss."""

    def __init__(self) -> None:
        super().__init__()
        self.head = lamina.layers.Dense(1, kernel_initializer="ones")
        self.tracker = lamina.metrics.Mean(name="loss")

    def call(self, x: lamina.Tensor) -> lamina.Tensor:
        return self.head(x)

    def train_step(self, data: tuple[lamina.Tensor, lamina.Tensor]) -> dict[str, lamina.Tensor]:
        x, y = data
        y_pred = self(x, training=True)
        loss = ops.mean(ops.square(y - y_pred))
        gradients = lamina.gradients(loss, self.trainable_variables)
        self.optimizer.apply(gradients, self.trainable_variables)
        self.tracker.update_state(loss)
        return {"loss": self.tracker.result(), "mae": ops.mean(ops.abs(y - y_pred))}


def test_own_train_step_equals_the_built_in_one() -> None:
    x = np.random.default_rng(0).random((64, 3), dtype=np.float32)
    y = x.sum(axis=1, keepdims=True) * 2
    own = OwnStep()
    own.compile(lamina.optimizers.SGD(0.1))
    history = own.fit(x, y, epochs=3, shuffle=False, verbose=0).history
    assert list(history) == ["loss", "mae"]
    plain = lamina.Sequential([lamina.layers.Dense(1, kernel_initializer="ones")])
    plain.compile(lamina.optimizers.SGD(0.1), "mse")
    expected = plain.fit(x, y, epochs=3, shuffle=False, verbose=0).history
    np.testing.assert_allclose(own.get_weights()[0], plain.get_weights()[0], rtol=1e-6)
    np.testing.assert_allclose(history["loss"], expected["loss"], rtol=1e-6)


def test_a_loss_scale_leaves_the_update_as_it_is() -> None:
    x = np.ones((8, 3), np.float32)
    weights = []
    for factor in (None, 4.0):
        model = lamina.Sequential([lamina.layers.Dense(1, kernel_initializer="ones")])
        model.compile(lamina.optimizers.SGD(0.1, loss_scale_factor=factor), "mse")
        model.fit(x, x[:, :1], verbose=0)
        weights.append(model.get_weights()[0])
    np.testing.assert_allclose(weights[0], weights[1], rtol=1e-6)


class ExtraLog(OwnStep):
    def train_step(self, data: tuple[lamina.Tensor, lamina.Tensor]) -> dict[str, lamina.Tensor]:
        return {**super().train_step(data), "only_in_training": ops.ones(())}


def test_logs_of_an_own_train_step_stay_out_of_evaluation() -> None:
    x = np.ones((8, 3), np.float32)
    model = ExtraLog()
    model.compile("sgd", "mse")
    history = model.fit(x, x[:, :1], validation_data=(x, x[:, :1]), verbose=0).history
    assert "only_in_training" in history and "val_only_in_training" not in history
    assert "val_loss" in history
    assert "only_in_training" not in model.evaluate(x, x[:, :1], verbose=0, return_dict=True)


def test_add_loss_takes_tensors_only() -> None:
    for wrong in ("mse", lambda: 1.0):
        with pytest.raises(ValueError, match="scalar tensor"):
            lamina.layers.Layer().add_loss(wrong)


def test_classes_of_a_script_are_written_without_a_module() -> None:
    cls = type("OfScript", (lamina.layers.Layer,), {"__module__": "__main__"})
    assert lamina.saving.serialize_keras_object(cls())["module"] is None


def test_layers_deserialize_takes_a_dict() -> None:
    with pytest.raises(ValueError, match="Could not interpret"):
        lamina.layers.deserialize(3.5)


def test_losses_of_a_layers_own_call_stay_out_of_its_models() -> None:
    x = np.ones((2, 3), "float32")
    layer = lamina.layers.Dense(2, activity_regularizer="l2")
    layer(x)
    model = lamina.Sequential([lamina.Input((3,)), layer])
    model(x)
    assert len(model.losses) == 1
    layer(x)
    model.compile("sgd", lamina.losses.MeanSquaredError())
    y = np.asarray(model(x))
    expected = float(layer.activity_regularizer(y)) / 2
    np.testing.assert_allclose(model.evaluate(x, y, verbose=0), expected, rtol=1e-6)
