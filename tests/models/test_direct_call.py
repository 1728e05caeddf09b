"""`model(x)` on numbers: one program from the second call on, and nobody can tell."""

from __future__ import annotations

import pickle
import threading
import warnings
from typing import Any

import numpy as np
import pytest

import lamina
from lamina import layers, ops
from lamina.models import direct_call

X = np.random.RandomState(0).normal(size=(3, 4)).astype("float32")


def make(*stack: Any) -> lamina.Model:
    return lamina.Sequential([lamina.Input((4,)), *stack, layers.Dense(2)])


def programs(model: lamina.Model) -> int:
    """How many programs direct calls have made."""
    function = model._direct_calls._programs.function
    return 0 if function is None else len(function._programs)


def test_the_program_gives_the_same_bits() -> None:
    model = make(layers.Dense(5, "relu"), layers.BatchNormalization(), layers.Dropout(0.5))
    first, second, third = model(X).numpy(), model(X).numpy(), model(X, training=False).numpy()
    assert programs(model) == 1
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(first, third)
    np.testing.assert_array_equal(first, model.predict(X, verbose=0))


def test_it_follows_weights_and_attributes() -> None:
    model = make(layers.Dense(5, "relu"))
    before = [model(X).numpy() for _ in range(3)][-1]
    model.layers[-1].bias.assign([1.0, 2.0])
    np.testing.assert_allclose(model(X).numpy(), before + [1.0, 2.0], rtol=1e-6)
    model.layers[0].activation = lamina.activations.tanh
    for _ in range(3):
        np.testing.assert_allclose(model(X).numpy(), model.predict(X, verbose=0), rtol=1e-6)
    assert not np.allclose(model(X).numpy(), before + [1.0, 2.0])


def test_another_thread_meets_no_program_of_before(monkeypatch: pytest.MonkeyPatch) -> None:
    model = make(layers.Dense(5, "relu"))
    before = [model(X).numpy() for _ in range(3)][-1]
    is_plain = direct_call._is_plain
    met: list[np.ndarray] = []

    def slow_is_plain(checked: Any) -> bool:
        monkeypatch.setattr(direct_call, "_is_plain", is_plain)
        other = threading.Thread(target=lambda: met.extend(model(X).numpy() for _ in range(3)))
        other.start()
        other.join()
        return is_plain(checked)

    monkeypatch.setattr(direct_call, "_is_plain", slow_is_plain)
    model.layers[0].activation = lamina.activations.tanh
    after = model(X).numpy()
    assert not np.allclose(after, before)
    for outputs in met:
        np.testing.assert_allclose(outputs, after, rtol=1e-6)
    assert len(met) == 3


def test_training_goes_op_by_op() -> None:
    model = make(layers.Dropout(0.5))
    outputs = [model(X, training=True).numpy() for _ in range(3)]
    assert programs(model) == 0
    assert not np.array_equal(outputs[1], outputs[2])


def test_tapes_see_through_it() -> None:
    model = make()
    for _ in range(3):
        with lamina.GradientTape() as tape:
            loss = ops.sum(model(X))
        gradients = tape.gradient(loss, model.trainable_variables)
    np.testing.assert_allclose(gradients[1].numpy(), [3.0, 3.0])


def test_python_of_the_user_runs_at_every_call() -> None:
    calls = []

    class Own(layers.Layer):
        def call(self, x: Any) -> Any:
            calls.append(x)
            return x

    for model in (make(Own()), make(layers.Activation(lambda x: calls.append(x) or x))):
        calls.clear()
        for _ in range(4):
            model(X)
        assert len(calls) >= 4
        assert programs(model) == 0


def test_masks_losses_and_states_stay() -> None:
    words = lamina.Sequential(
        [lamina.Input((3,), dtype="int32"), layers.Embedding(5, 2, mask_zero=True)]
    )
    ids = np.array([[1, 2, 0]], "int32")
    for _ in range(3):
        assert words(ids).mask.numpy().tolist() == [[True, True, False]]
    regularized = make(layers.Dense(3, activity_regularizer="l2"))
    for _ in range(3):
        regularized(X)
        assert len(regularized.losses) == 1
    stateful = lamina.Sequential(
        [lamina.Input(batch_shape=(1, 2, 4)), layers.LSTM(3, stateful=True)]
    )
    steps = X[None, :2]
    assert not np.allclose(*(stateful(steps).numpy() for _ in range(2)))
    assert programs(words) == programs(regularized) == programs(stateful) == 0


def test_changing_shapes_make_no_programs() -> None:
    model = make()
    for rows in range(1, 8):
        assert model(np.ones((rows, 4), "float32")).shape == (rows, 2)
    assert programs(model) == 0


def test_errors_name_the_layer_at_every_call() -> None:
    model = make()
    for _ in range(3):
        with pytest.raises(ValueError, match="expected 4 features, got 5|incompatible"):
            model(np.ones((2, 5), "float32"))


def test_it_survives_pickling() -> None:
    model = make()
    expected = [model(X).numpy() for _ in range(3)][-1]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = pickle.loads(pickle.dumps(model))
    for _ in range(3):
        np.testing.assert_array_equal(again(X).numpy(), expected)
