"""Layers that are changed after a program was made of them count as they are now."""

from __future__ import annotations

from typing import Any

import numpy as np

import lamina
from lamina import layers

X = np.random.RandomState(0).rand(8, 4).astype("float32")
Y = np.random.RandomState(1).rand(8, 1).astype("float32")


def model() -> Any:
    made = lamina.Sequential([
        lamina.Input((4,)), layers.Dense(3, "relu"), layers.BatchNormalization(), layers.Dense(1),
    ])  # fmt: skip
    made.compile("sgd", "mse")
    return made


def test_an_activation_replaced_after_predict_and_evaluate() -> None:
    made = model()
    before, loss = made.predict(X, verbose=0), made.evaluate(X, Y, verbose=0)
    made.layers[0].activation = lamina.activations.tanh
    after = made.predict(X, verbose=0)
    assert not np.allclose(before, after)
    np.testing.assert_allclose(after, np.asarray(made(X)), rtol=1e-5)
    assert loss != made.evaluate(X, Y, verbose=0)


def test_a_setting_of_an_own_layer_changed_between_epochs() -> None:
    class Scale(layers.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.beta = 0.0

        def call(self, x: Any) -> Any:
            self.add_loss(lamina.ops.convert_to_tensor(self.beta))
            return x

    scale = Scale()
    made = lamina.Sequential([lamina.Input((4,)), scale, layers.Dense(1)])
    made.compile(lamina.optimizers.SGD(0.0), "mse")
    warm = lamina.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: setattr(scale, "beta", float(epoch))
    )
    losses = made.fit(X, Y, epochs=3, verbose=0, callbacks=[warm]).history["loss"]
    np.testing.assert_allclose(np.diff(losses), [1.0, 1.0], rtol=1e-5)


def test_freezing_without_compiling_again() -> None:
    made = model()
    made.fit(X, Y, verbose=0)
    before = made.get_weights()
    made.layers[0].trainable = made.layers[1].trainable = False
    made.fit(X, Y, verbose=0)
    same = [np.array_equal(a, b) for a, b in zip(before, made.get_weights(), strict=True)]
    assert same == [True] * 6 + [False] * 2  # no moving statistics either
    made.layers[0].trainable = True
    made.fit(X, Y, verbose=0)
    assert not np.array_equal(before[0], made.get_weights()[0])


def test_going_to_and_fro_keeps_both_programs() -> None:
    calls = []

    class Counted(layers.Layer):
        def call(self, x: Any) -> Any:
            calls.append(1)
            return x

    made = lamina.Sequential([lamina.Input((4,)), Counted(), layers.Dense(1)])
    made.compile("sgd", "mse")
    for trainable in (True, False) * 2:
        made.layers[1].trainable = trainable
        if trainable:
            made.train_on_batch(X, Y)
        else:
            made.test_on_batch(X, Y)
    traced = len(calls)
    for trainable in (True, False) * 5:
        made.layers[1].trainable = trainable
        (made.train_on_batch if trainable else made.test_on_batch)(X, Y)
    assert len(calls) == traced


def test_what_models_and_callbacks_note_costs_no_trace() -> None:
    calls = []

    class Counted(layers.Layer):
        def call(self, x: Any) -> Any:
            calls.append(1)
            self.last = x
            return x

    made = lamina.Sequential([lamina.Input((4,)), Counted(), layers.Dense(1)])
    made.compile("sgd", "mse")
    made.predict(X, verbose=0)
    traced = len(calls)
    for step in range(3):
        made.note = step
        made.predict(X, verbose=0)
    assert len(calls) == traced


def test_shuffling_whole_batches() -> None:
    seen: list[list[float]] = []
    made = lamina.Sequential([lamina.Input((1,)), layers.Dense(1)])
    made.compile("sgd", "mse", run_eagerly=True)
    train_step = made.train_step

    def noting(data: Any) -> Any:
        seen.append(np.asarray(data[0])[:, 0].tolist())
        return train_step(data)

    made.train_step = noting
    rows = np.arange(10, dtype="float32")[:, None]
    made.fit(rows, rows, batch_size=3, shuffle="batch", verbose=0)
    assert seen[-1] == [9.0]
    assert sorted(seen[:3]) == [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0], [6.0, 7.0, 8.0]]


def test_the_first_fit_in_the_middle_of_a_prediction() -> None:
    """It moves the weights; the next batches are predicted from where they are then."""
    made = model()

    class Fit(lamina.callbacks.Callback):
        def on_predict_batch_end(self, batch: int, logs: Any = None) -> None:
            if batch == 0:
                made.fit(X, Y, verbose=0)

    before = made.predict(X, verbose=0)
    batches = made.predict(X, batch_size=1, verbose=0, callbacks=[Fit()])
    np.testing.assert_array_equal(batches[0], before[0])
    np.testing.assert_array_equal(batches[1:], made.predict(X, verbose=0)[1:])


def test_a_shared_layer_trained_by_another_model_between_batches() -> None:
    """The one optimizer moves weights that the other one updates, one by one, meanwhile."""

    class Plain(lamina.optimizers.SGD):
        def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
            variable.assign_sub(lamina.ops.cast(learning_rate, variable.dtype) * gradient)

    inputs = lamina.Input((4,))
    shared = layers.Dense(3, "tanh")(inputs)
    one, other = (lamina.Model(inputs, layers.Dense(1)(shared)) for _ in range(2))
    one.compile(Plain(0.1), "mse")
    other.compile("sgd", "mse")
    start = one.get_weights(), other.get_weights()

    def train_other(batch: int, logs: Any = None) -> None:
        other.train_on_batch(X[:3], Y[:3])

    between = lamina.callbacks.LambdaCallback(on_train_batch_end=train_other)
    one.fit(X, Y, batch_size=2, shuffle=False, verbose=0, callbacks=[between])
    trained = one.get_weights(), other.get_weights()
    one.set_weights(start[0])
    other.set_weights(start[1])
    for first in range(0, 8, 2):
        one.train_on_batch(X[first : first + 2], Y[first : first + 2])
        train_other(first)
    for got, expected in zip(trained, (one.get_weights(), other.get_weights()), strict=True):
        for a, b in zip(got, expected, strict=True):
            np.testing.assert_array_equal(a, b)
