"""evaluate, predict and the on-batch calls."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import numpy as np
import pytest

import lamina

X = np.random.RandomState(0).normal(size=(37, 4)).astype("float32")
Y = X[:, :2] * 2


def model_of(outputs: int = 1, **compile_args: Any) -> Any:
    inputs = lamina.Input((4,))
    h = lamina.layers.Dense(6, "tanh")(inputs)
    made = [lamina.layers.Dense(2, name=f"out{i}")(h) for i in range(outputs)]
    model = lamina.Model(inputs, made[0] if outputs == 1 else made)
    model.compile(**{"optimizer": "sgd", "loss": "mse", **compile_args})
    return model


def test_predict_returns_numpy_of_every_row() -> None:
    y = model_of().predict(X, batch_size=10, verbose=0)
    assert isinstance(y, np.ndarray) and y.shape == (37, 2) and y.dtype == np.float32


@pytest.mark.parametrize("batch_size", [1, 2, 7, 32, 37, 100])
def test_bits_do_not_depend_on_the_batch_size(batch_size: int) -> None:
    model = model_of()
    np.testing.assert_array_equal(
        model.predict(X, batch_size=batch_size, verbose=0), model.predict(X, verbose=0)
    )


def test_one_row_again_and_again() -> None:
    model = model_of()
    whole = model.predict(X, verbose=0)
    for i in range(len(X)):
        np.testing.assert_array_equal(model.predict(X[i : i + 1], verbose=0)[0], whole[i])


def test_one_large_batch_again_and_again() -> None:
    model = model_of()
    whole = model.predict(X, batch_size=5, verbose=0)
    for batch_size in (64, 64, None, 10, 64):
        np.testing.assert_array_equal(model.predict(X, batch_size=batch_size, verbose=0), whole)
    with pytest.raises(ValueError, match="batch_size"):
        model.predict(X, batch_size=0, verbose=0)


def test_the_result_is_the_callers() -> None:
    model = model_of()
    first = model.predict(X[:3], verbose=0)
    kept = first.copy()
    second = model.predict(X[3:6], verbose=0)
    np.testing.assert_array_equal(first, kept)
    first[...] = 0
    np.testing.assert_array_equal(model.predict(X[3:6], verbose=0), second)


def test_the_result_dies_with_its_last_reference() -> None:
    model = model_of()
    gc.collect()
    gc.disable()
    try:
        whole = weakref.ref(model.predict(X, batch_size=10, verbose=0))
        assert whole() is None
    finally:
        gc.enable()


def test_rows_are_read_wherever_they_lie() -> None:
    model = model_of()
    shifted = np.zeros(X.nbytes + 1, np.uint8)[1:].view(np.float32).reshape(X.shape)
    shifted[...] = X
    assert not shifted.flags.aligned
    for x in (shifted, np.asfortranarray(X), np.repeat(X, 2, axis=0)[::2]):
        for rows in (len(x), 3, 3):
            np.testing.assert_array_equal(
                model.predict(x[:rows], batch_size=10, verbose=0),
                model.predict(X[:rows].copy(), verbose=0),
            )


def test_predict_keeps_no_activations() -> None:
    """Two buffers take turns, however many layers there are."""

    def arena_bytes(depth: int) -> int:
        layers = [lamina.layers.Dense(64, "relu") for _ in range(depth)]
        model = lamina.Sequential([lamina.Input((64,)), *layers])
        return model._step("predict", (np.zeros((128, 64), np.float32),)).program.arena_bytes

    assert arena_bytes(20) == arena_bytes(2) <= 2 * 128 * 64 * 4


def test_several_outputs_give_a_list_and_a_dict_gives_a_dict() -> None:
    made = model_of(2).predict(X, verbose=0)
    assert isinstance(made, list) and [m.shape for m in made] == [(37, 2)] * 2
    inputs = lamina.Input((4,))
    named = lamina.Model(inputs, {"a": lamina.layers.Dense(1)(inputs), "b": inputs})
    made = named.predict(X, verbose=0)
    assert sorted(made) == ["a", "b"] and made["a"].shape == (37, 1)


def test_several_outputs_of_a_call_stay_several() -> None:
    class Two(lamina.Model):
        def __init__(self) -> None:
            super().__init__()
            self.dense = lamina.layers.Dense(3)

        def call(self, x: Any) -> Any:
            y = self.dense(x)
            return y, y * 2

    model = Two()
    for _ in range(3):
        first, second = model.predict(X[:2], verbose=0)
        assert first.shape == second.shape == (2, 3)
        np.testing.assert_array_equal(second, first * 2)


def test_many_rows_again_and_again() -> None:
    model = model_of()
    whole = model.predict(X, batch_size=5, verbose=0)
    other = model.predict(X + 1, batch_size=5, verbose=0)
    for _ in range(3):
        np.testing.assert_array_equal(model.predict(X, batch_size=5, verbose=0), whole)
        np.testing.assert_array_equal(model.predict(X + 1, batch_size=5, verbose=0), other)
        np.testing.assert_array_equal(
            model.predict(X.astype("float64")[::-1], batch_size=5, verbose=0), whole[::-1]
        )
    model.set_weights([w * 0 for w in model.get_weights()])
    np.testing.assert_array_equal(model.predict(X, batch_size=5, verbose=0), whole * 0)
    lamina.config.set_max_steps_per_epoch(2)
    try:
        assert model.predict(X, batch_size=5, verbose=0).shape == (10, 2)
    finally:
        lamina.config.set_max_steps_per_epoch(None)
    assert model.predict(X, batch_size=5, verbose=0).shape == (37, 2)


def test_ids_out_of_range_are_refused_every_time() -> None:
    layers = [lamina.layers.Embedding(7, 3), lamina.layers.GlobalAveragePooling1D()]
    model = lamina.Sequential([lamina.Input((4,), dtype="int32"), *layers])
    ids = np.zeros((9, 4), np.int32)
    bad = ids.copy()
    bad[8, 3] = 7
    for batch_size in (4, 9):
        for _ in range(3):
            assert model.predict(ids, batch_size=batch_size, verbose=0).shape == (9, 3)
            with pytest.raises(ValueError, match=r"predict\(\): x holds the value 7, .* 0 to 6"):
                model.predict(bad, batch_size=batch_size, verbose=0)


def test_predict_needs_no_compile_and_no_labels() -> None:
    inputs = lamina.Input((4,))
    model = lamina.Model(inputs, lamina.layers.Dense(1)(inputs))
    assert model.predict(X, verbose=0).shape == (37, 1)


@pytest.mark.filterwarnings("ignore:.*data ended before")
def test_predict_with_steps_and_generator() -> None:
    model = model_of()

    def batches() -> Any:
        for start in range(0, 37, 10):
            yield (X[start : start + 10],)

    np.testing.assert_array_equal(model.predict(batches(), verbose=0), model.predict(X, verbose=0))
    assert model.predict(X, batch_size=10, steps=2, verbose=0).shape == (20, 2)


def test_predict_on_batch_equals_predict() -> None:
    model = model_of()
    np.testing.assert_array_equal(
        np.asarray(model.predict_on_batch(X)), model.predict(X, verbose=0)
    )


def test_evaluate_forms() -> None:
    assert isinstance(model_of().evaluate(X, Y, verbose=0), float)
    model = model_of(metrics=["mae"])
    loss, mae = model.evaluate(X, Y, verbose=0)
    named = model.evaluate(X, Y, verbose=0, return_dict=True)
    assert named == {"loss": loss, "mae": mae}
    predicted = model.predict(X, verbose=0)
    assert loss == pytest.approx(float(((predicted - Y) ** 2).mean()), rel=1e-5)
    assert mae == pytest.approx(float(np.abs(predicted - Y).mean()), rel=1e-5)


def test_evaluate_changes_no_weights_and_no_optimizer() -> None:
    model = model_of()
    before = model.get_weights()
    model.evaluate(X, Y, verbose=0)
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert int(np.asarray(model.optimizer.iterations)) == 0


def test_evaluate_in_batches_is_weighted_by_rows() -> None:
    model = model_of()
    whole = model.evaluate(X, Y, batch_size=64, verbose=0)
    for batch_size in (1, 5, 36):
        # another order of the same float32 sum of 74 terms
        assert model.evaluate(X, Y, batch_size=batch_size, verbose=0) == pytest.approx(
            whole, rel=1e-5
        )


def test_evaluate_weighted() -> None:
    model = model_of()
    weights = np.linspace(0, 2, 37)
    predicted = model.predict(X, verbose=0)
    expected = float((((predicted - Y) ** 2).mean(1) * weights).mean())
    assert model.evaluate(X, Y, sample_weight=weights, batch_size=64, verbose=0) == pytest.approx(
        expected, rel=1e-5
    )


def test_on_batch_calls_reset_metrics() -> None:
    model = model_of(metrics=["mae"], optimizer=lamina.optimizers.SGD(0.0))
    first = model.test_on_batch(X, Y)
    model.train_on_batch(X[:3], Y[:3])
    assert [float(v) for v in model.test_on_batch(X, Y)] == [float(v) for v in first]
    assert sorted(model.test_on_batch(X, Y, return_dict=True)) == ["loss", "mae"]


def test_train_on_batch_equals_a_fit_of_one_batch() -> None:
    a, b = model_of(), model_of()
    b.set_weights(a.get_weights())
    a.train_on_batch(X, Y)
    b.fit(X, Y, batch_size=64, shuffle=False, verbose=0)
    for left, right in zip(a.get_weights(), b.get_weights(), strict=True):
        np.testing.assert_array_equal(left, right)


def test_empty_input() -> None:
    with pytest.raises(ValueError):
        model_of().predict(np.zeros((0, 4)), verbose=0)


def test_integer_inputs_are_cast() -> None:
    model = model_of()
    ints = np.arange(8).reshape(2, 4)
    np.testing.assert_array_equal(
        model.predict(ints, verbose=0), model.predict(ints.astype("float32"), verbose=0)
    )
