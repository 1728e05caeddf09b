"""Optimizers: trajectories against real Keras; slots, learning rate, errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import lamina
from tests.conftest import check_golden, golden_names
from tests.golden.optimizers_cases import SLOTS


@pytest.mark.parametrize("name", golden_names("optimizers"))
def test_like_keras(name: str) -> None:
    check_golden("optimizers", name)


@pytest.mark.parametrize(("typo", "meant"), [("adamm", "adam"), ("rmspro", "rmsprop"),
                                             ("sdg", "sgd")])  # fmt: skip
def test_typo(typo: str, meant: str) -> None:
    with pytest.raises(ValueError) as caught:
        lamina.optimizers.get(typo)
    assert typo in str(caught.value) and meant in str(caught.value).lower()


@pytest.mark.parametrize(
    ("name", "kwargs", "word"),
    [
        ("SGD", dict(momentum=1.5), "momentum"),
        ("SGD", dict(momentum=-0.1), "momentum"),
        ("SGD", dict(momentum="0.9"), "momentum"),
        ("Adam", dict(clipnorm=-1.0), "clipnorm"),
        ("Adam", dict(clipnorm=1.0, clipvalue=1.0), "clip"),
        ("Adam", dict(clipnorm=1.0, global_clipnorm=1.0), "clip"),
        ("Adam", dict(use_ema=True, ema_momentum=1.5), "ema_momentum"),
        ("Adam", dict(lr=0.1), "lr"),
        ("RMSprop", dict(rhoo=0.1), "rhoo"),
        ("Adadelta", dict(rho=1.5), "rho"),
        ("Adagrad", dict(initial_accumulator_value=-1.0), "initial_accumulator_value"),
        ("Adafactor", dict(clip_threshold=0.0), "clip_threshold"),
        ("Ftrl", dict(learning_rate_power=0.5), "learning_rate_power"),
        ("Lion", dict(beta_1=0.0), "beta_1"),
        ("Muon", dict(ns_steps=-1), "ns_steps"),
        ("LossScaleOptimizer", dict(inner_optimizer="sgd"), "inner_optimizer"),
    ],
)
def test_bad_arguments(name: str, kwargs: dict[str, Any], word: str) -> None:
    with pytest.raises((ValueError, TypeError), match=word):
        getattr(lamina.optimizers, name)(**kwargs)


def small(optimizer: Any) -> Any:
    model = lamina.Sequential([lamina.Input((3,)), lamina.layers.Dense(2)])
    model.compile(optimizer, "mse")
    return model


def test_learning_rate_can_be_read_and_set_between_fits() -> None:
    model = small(lamina.optimizers.SGD(0.1))
    x, y = np.ones((4, 3), "float32"), np.ones((4, 2), "float32")
    model.fit(x, y, verbose=0)
    assert float(model.optimizer.learning_rate) == pytest.approx(0.1)
    model.optimizer.learning_rate = 0.0
    before = model.get_weights()
    model.fit(x, y, verbose=0)
    np.testing.assert_array_equal(model.get_weights()[0], before[0])
    model.optimizer.learning_rate.assign(0.5)
    model.fit(x, y, verbose=0)
    assert (model.get_weights()[0] != before[0]).any()


def test_iterations_count_steps() -> None:
    model = small("adam")
    model.fit(np.ones((10, 3)), np.ones((10, 2)), batch_size=4, epochs=2, verbose=0)
    assert int(np.asarray(model.optimizer.iterations)) == 6


def test_slots_go_on_through_a_second_fit() -> None:
    x = np.random.RandomState(0).normal(size=(12, 3)).astype("float32")
    y = x[:, :2] * 2
    start = [np.full((3, 2), 0.1, "float32"), np.zeros(2, "float32")]
    once, twice = small("adam"), small("adam")
    once.set_weights(start)
    twice.set_weights(start)
    once.fit(x, y, epochs=4, shuffle=False, verbose=0)
    twice.fit(x, y, epochs=2, shuffle=False, verbose=0)
    twice.fit(x, y, epochs=2, shuffle=False, verbose=0)
    np.testing.assert_array_equal(once.get_weights()[0], twice.get_weights()[0])


def test_recompiling_drops_the_slots() -> None:
    model = small("adam")
    x, y = np.ones((4, 3)), np.ones((4, 2))
    model.fit(x, y, epochs=3, verbose=0)
    model.compile("adam", "mse")
    assert int(np.asarray(model.optimizer.iterations)) == 0


def test_variables_of_adam_in_keras_order() -> None:
    model = small("adam")
    model.fit(np.ones((4, 3)), np.ones((4, 2)), verbose=0)
    shapes = [tuple(v.shape) for v in model.optimizer.variables]
    assert shapes == [(), (), (3, 2), (3, 2), (2,), (2,)]


@pytest.mark.parametrize("name", SLOTS)
def test_config_round_trip(name: str) -> None:
    optimizer = getattr(lamina.optimizers, name)(learning_rate=0.03, clipnorm=2.0)
    again = lamina.optimizers.deserialize(lamina.optimizers.serialize(optimizer))
    assert again.get_config() == optimizer.get_config()


def test_an_optimizer_written_in_ops() -> None:
    class SignDescent(lamina.optimizers.Optimizer):
        def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
            self.assign_sub(variable, learning_rate * lamina.ops.sign(gradient))

    model = small(SignDescent(learning_rate=0.125))
    model.set_weights([np.zeros((3, 2)), np.zeros(2)])
    model.fit(np.ones((4, 3)), np.ones((4, 2)), epochs=2, verbose=0)
    np.testing.assert_array_equal(model.get_weights()[0], np.full((3, 2), 0.25))


@pytest.mark.filterwarnings("ignore:.*(nan|inf|finite)")
def test_loss_scale_in_a_traced_step_undoes_bad_steps() -> None:
    model = lamina.Sequential([lamina.Input((2,)), lamina.layers.Dense(1, use_bias=False)])
    model.set_weights([np.array([[1.0], [-1.0]])])
    inner = lamina.optimizers.Adam(0.1)
    optimizer = lamina.optimizers.LossScaleOptimizer(inner, 8.0, 3)
    model.compile(optimizer, "mse")

    def step(x: float) -> list[np.ndarray]:
        model.fit(np.full((2, 2), x), np.full((2, 1), -9.0), batch_size=2, verbose=0)
        return [model.get_weights()[0], *(v.numpy() for v in inner.variables)]

    good = step(1.0)
    np.testing.assert_allclose(good[0], [[0.9], [-1.1]], rtol=1e-5)
    for old, now in zip(good, step(np.inf), strict=True):
        np.testing.assert_array_equal(now, old)
    assert float(optimizer.scale_loss(1.0)) == 4.0
    assert (step(1.0)[0] < good[0]).all()
    again = lamina.optimizers.deserialize(lamina.optimizers.serialize(optimizer))
    assert again.get_config() == optimizer.get_config()


@pytest.mark.parametrize("run_eagerly", [False, True])
def test_a_step_reads_the_new_weights_after_the_update(run_eagerly: bool) -> None:
    class Watched(lamina.Sequential):
        def train_step(self, data: Any) -> Any:
            logs = super().train_step(data)
            sums = [lamina.ops.sum(v) for v in self.trainable_variables]
            return {**logs, **{f"sum_{i}": total for i, total in enumerate(sums)}}

    model = Watched([lamina.Input((3,)), lamina.layers.Dense(5), lamina.layers.Dense(2)])
    model.compile(lamina.optimizers.Adam(0.1), "mse", run_eagerly=run_eagerly)
    logs = model.fit(np.ones((4, 3)), np.ones((4, 2)), batch_size=4, verbose=0).history
    for i, weight in enumerate(model.get_weights()):
        assert logs[f"sum_{i}"][0] == pytest.approx(weight.sum(), rel=1e-5, abs=1e-6)


def test_several_in_fit() -> None:
    chosen = lamina.optimizers.OptimizerMap(
        lamina.optimizers.SGD(0.0), {".*/kernel": lamina.optimizers.Adam(0.1)}
    )
    optimizer = lamina.optimizers.MultiOptimizer(chosen)
    again = lamina.optimizers.deserialize(lamina.optimizers.serialize(optimizer))
    assert again.get_config() == optimizer.get_config()
    model = small(optimizer)
    before = model.get_weights()
    model.fit(np.ones((4, 3)), np.ones((4, 2)), epochs=2, verbose=0)
    after = model.get_weights()
    assert (after[0] != before[0]).all()
    np.testing.assert_array_equal(after[1], before[1])
    assert [type(each).__name__ for each in optimizer.optimizers] == ["Adam", "SGD"]
    assert not hasattr(optimizer, "learning_rate")


def test_a_path_that_two_entries_match() -> None:
    adam, sgd = lamina.optimizers.Adam(), lamina.optimizers.SGD()
    chosen = lamina.optimizers.OptimizerMap(sgd, {"a.*": adam, "ab": sgd, ".*b": sgd})
    assert chosen["ab"] is sgd and chosen["a"] is adam and chosen["c"] is sgd
    with pytest.raises(ValueError, match="acb"):
        chosen["acb"]
    with pytest.raises(ValueError, match="a.*"):
        chosen["a.*"] = sgd


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_float64_weights_are_updated_in_float64(dtype: str) -> None:
    variable = lamina.Variable(np.array([1.0, -2.0], dtype), dtype=dtype)
    optimizer = lamina.optimizers.Adam(0.01)
    optimizer.apply([lamina.ops.convert_to_tensor(np.array([0.3, -0.4], dtype))], [variable])
    assert np.asarray(variable.value).dtype == dtype
    np.testing.assert_allclose(np.asarray(variable.value), [0.99, -1.99], rtol=1e-6)
