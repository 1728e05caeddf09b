"""Pickles and copies of models: they train on as the original does."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import lamina
from lamina import layers

X = np.random.RandomState(0).rand(24, 4).astype("float32")
Y = np.random.RandomState(1).rand(24, 1).astype("float32")


class Own(lamina.Model):
    def __init__(self, units: int = 3, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.inner, self.last = layers.Dense(units, "relu"), layers.Dense(1)

    def call(self, x: Any) -> Any:
        return self.last(self.inner(x))


def twice(y_true: Any, y_pred: Any) -> Any:
    return lamina.ops.mean(lamina.ops.square(y_true - y_pred), axis=-1) * 2.0


def sequential() -> Any:
    return lamina.Sequential([lamina.Input((4,)), layers.Dense(3, "relu"), layers.Dropout(0.2),
                              layers.BatchNormalization(), layers.Dense(1)])  # fmt: skip


def functional() -> Any:
    inputs = lamina.Input((4,))
    x = layers.Dense(3, "tanh")(inputs)
    return lamina.Model(inputs, layers.Dense(1)(lamina.ops.relu(x) + x))


def custom_layer() -> Any:
    class Scale(layers.Layer):
        pass

    return lamina.Sequential([lamina.Input((4,)), layers.Dense(3, activation=abs_of),
                              layers.Dense(1)])  # fmt: skip


def abs_of(x: Any) -> Any:
    return lamina.ops.abs(x)


MODELS: dict[str, Callable[[], Any]] = {
    "sequential": sequential,
    "deferred": lambda: lamina.Sequential([layers.Dense(3, "relu"), layers.Dense(1)]),
    "functional": functional,
    "subclass": Own,
    "own_activation": custom_layer,
}
WAYS: dict[str, Callable[[Any], Any]] = {
    "pickle": lambda model: pickle.loads(pickle.dumps(model)),
    "deepcopy": copy.deepcopy,
}
OPTIMIZERS: dict[str, Callable[[], Any]] = {
    "adam": lambda: lamina.optimizers.Adam(0.01),
    "momentum": lambda: lamina.optimizers.SGD(0.05, momentum=0.9, weight_decay=0.01),
    "clipped_ema": lambda: lamina.optimizers.AdamW(0.01, global_clipnorm=0.5, use_ema=True),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", MODELS)
def test_training_goes_on_equally(name: str, way: str) -> None:
    for made in OPTIMIZERS.values():
        lamina.utils.set_random_seed(3)
        model = MODELS[name]()
        model.compile(made(), twice, metrics=["mae"])
        model.fit(X, Y, epochs=2, verbose=0, shuffle=False)
        other = WAYS[way](model)
        assert type(other) is type(model)
        assert other.name == model.name
        assert int(other.optimizer.iterations) == 2
        before = [w.copy() for w in other.get_weights()]
        first = model.fit(X, Y, epochs=2, verbose=0, shuffle=False).history
        for old, now in zip(before, other.get_weights(), strict=True):
            np.testing.assert_array_equal(old, now)  # nothing is shared
        second = other.fit(X, Y, epochs=2, verbose=0, shuffle=False).history
        for key, values in first.items():
            np.testing.assert_allclose(values, second[key], rtol=1e-5, err_msg=key)
        np.testing.assert_allclose(
            model.predict(X, verbose=0), other.predict(X, verbose=0), rtol=1e-4, atol=1e-5
        )


@pytest.mark.parametrize("way", WAYS)
def test_raw_and_built(way: str) -> None:
    for build in MODELS.values():
        model = build()
        other = WAYS[way](model)
        assert not other.compiled
        model(X)
        other = WAYS[way](model)
        np.testing.assert_allclose(np.asarray(model(X)), np.asarray(other(X)), rtol=1e-6)


def test_a_deep_graph() -> None:
    inputs = x = lamina.Input((2,))
    for _ in range(300):
        x = layers.Dense(2)(x)
    model = lamina.Model(inputs, x)
    other = pickle.loads(pickle.dumps(model))
    assert len(other.layers) == 301
    np.testing.assert_array_equal(other.get_weights()[-2], model.get_weights()[-2])


def test_frozen_layers_and_lambdas() -> None:
    model = sequential()
    model.layers[0].trainable = False
    other = pickle.loads(pickle.dumps(model))
    assert [layer.trainable for layer in other.layers][:2] == [False, True]
    odd = lamina.Sequential([lamina.Input((2,)), layers.Lambda(lambda x: x * 2)])
    np.testing.assert_array_equal(np.asarray(copy.deepcopy(odd)(np.ones((1, 2)))), [[2, 2]])


def test_inner_models_go_on_sharing_layers() -> None:
    class Wrapper(lamina.Model):
        def __init__(self) -> None:
            super().__init__()
            self.base = functional()
            self.first = self.base.layers[1]
            self.stack = sequential()

        def call(self, x: Any) -> Any:
            return self.base(x) + self.stack(x)

    model = Wrapper()
    model(X)
    other = copy.deepcopy(model)
    assert other.first is other.base.layers[1]
    assert other.stack._stack[1] is other.stack._functional.layers[1]
    assert len(other.weights) == len(model.weights)
    np.testing.assert_allclose(np.asarray(other(X)), np.asarray(model(X)), rtol=1e-6)
    assert type(copy.deepcopy(model.base)) is type(model.base)


def test_what_a_config_does_not_tell_is_kept() -> None:
    model = sequential()
    optimizer = lamina.optimizers.AdamW(0.01, weight_decay=0.5)
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    model.compile(optimizer, "mse")
    model.fit(X, Y, verbose=0, shuffle=False)
    other = copy.deepcopy(model)
    for one in (model, other):
        one.fit(X, Y, epochs=3, verbose=0, shuffle=False)
    for a, b in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5)


def test_after_a_traced_call_that_added_losses() -> None:
    model = Own()
    model.inner.activity_regularizer = lamina.regularizers.L2(0.1)
    run = lamina.function(lambda x: model(x))
    run(X)
    other = pickle.loads(pickle.dumps(model))
    np.testing.assert_allclose(np.asarray(other(X)), np.asarray(model(X)), rtol=1e-6)


PARTS: dict[str, Callable[[], Any]] = {
    "layer": lambda: layers.Dense(3),
    "optimizer": lambda: lamina.optimizers.Adam(0.3),
    "loss": lambda: lamina.losses.Huber(delta=2.0),
    "initializer": lambda: lamina.initializers.GlorotUniform(seed=3),
    "schedule": lambda: lamina.optimizers.schedules.ExponentialDecay(0.1, 10, 0.5),
    "seed": lambda: lamina.random.SeedGenerator(3),
}


@pytest.mark.parametrize("way", WAYS)
def test_parts(way: str) -> None:
    for build in PARTS.values():
        part = build()
        assert type(WAYS[way](part)) is type(part)
    metric = lamina.metrics.MeanSquaredError()
    metric.update_state([1.0, 2.0], [1.0, 3.0])
    assert float(WAYS[way](metric).result()) == 0.5
    cell = layers.LSTM(3, dropout=0.1)
    cell(np.zeros((1, 2, 3), "float32"))
    assert len(WAYS[way](cell).weights) == 3
    variable = WAYS[way](lamina.Variable([1.0, 2.0], name="v"))
    np.testing.assert_array_equal(variable.numpy(), [1.0, 2.0])
