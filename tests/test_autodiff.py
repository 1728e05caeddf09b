"""GradientTape, grad and value_and_grad, eagerly and inside lamina.function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import lamina
from lamina import GradientTape, layers, ops

RUNS: list[Callable[[Any], Any]] = [lambda fn: fn, lamina.function]
BOTH = pytest.mark.parametrize("run", RUNS, ids=["eager", "traced"])


def tensor(value: Any) -> Any:
    return ops.convert_to_tensor(np.asarray(value, "float32"))


@BOTH
def test_gradient_of_a_watched_tensor(run: Any) -> None:
    @run
    def slope(x: Any) -> Any:
        with GradientTape() as tape:
            tape.watch(x)
            y = ops.sum(x * x * x)
        return tape.gradient(y, x)

    np.testing.assert_allclose(slope(tensor([1.0, 2.0])), [3.0, 12.0], rtol=1e-6)


@BOTH
def test_variables_are_watched_and_structures_kept(run: Any) -> None:
    v, w, other = (lamina.Variable(value) for value in (2.0, 5.0, 7.0))

    @run
    def gradients() -> Any:
        with GradientTape(persistent=True) as tape:
            z = v * v * w
        zeros = tape.gradient(z, [other], unconnected_gradients="zero")
        return tape.gradient(z, {"v": v, "rest": (w, other)}), zeros

    found, zeros = gradients()
    assert float(found["v"]) == 20.0
    assert float(found["rest"][0]) == 4.0
    assert found["rest"][1] is None
    assert float(zeros[0]) == 0.0


@BOTH
def test_targets_are_summed_and_weighed(run: Any) -> None:
    v = lamina.Variable(3.0)

    @run
    def gradients(factors: Any) -> Any:
        with GradientTape(persistent=True) as tape:
            a, b = v * np.array([1.0, 2.0], "float32"), v * v
        return (
            tape.gradient(a, v),
            tape.gradient(a, v, output_gradients=factors),
            tape.gradient([a, b], v),
        )

    plain, weighed, several = gradients(tensor([1.0, 10.0]))
    assert (float(plain), float(weighed), float(several)) == (3.0, 21.0, 9.0)


@BOTH
def test_the_value_at_the_time_of_the_tape_counts(run: Any) -> None:
    v = lamina.Variable(5.0)

    @run
    def step() -> Any:
        with GradientTape() as tape:
            loss = v * v
        v.assign(100.0)
        return tape.gradient(loss, v)

    assert float(step()) == 10.0
    assert float(v.numpy()) == 100.0


def test_only_what_is_watched() -> None:
    v, w = lamina.Variable(2.0), lamina.Variable(3.0)
    with GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(v)
        z = v * w
    assert tape.watched_variables() == (v,)
    gradients = tape.gradient(z, [v, w])
    assert float(gradients[0]) == 3.0
    assert gradients[1] is None


def test_tensors_are_ordinary_after_the_tape() -> None:
    x = tensor(3.0)
    with GradientTape() as tape:
        tape.watch(x)
        y = x * x
    later = y * 2.0  # not recorded
    assert x._tracer is None
    assert y._tracer is None
    with pytest.raises(ValueError, match="not computed inside the tape"):
        tape.gradient(later, x)
    assert float(tape.gradient(y, x)) == 6.0


def test_tape_and_traced_function_of_a_model_agree_with_fit() -> None:
    x = np.random.RandomState(0).normal(size=(16, 4)).astype("float32")
    y = x[:, :1] * 2.0

    def model() -> Any:
        made = lamina.Sequential([lamina.Input((4,)), layers.Dense(5, "tanh"), layers.Dense(1)])
        generator = np.random.RandomState(3)
        made.set_weights([generator.normal(size=w.shape) for w in made.get_weights()])
        return made

    loss_fn = lamina.losses.MeanSquaredError()
    reference = model()
    reference.compile(lamina.optimizers.Adam(0.01), "mse")
    for _ in range(5):
        reference.train_on_batch(x, y)
    for run in RUNS:
        mine, optimizer = model(), lamina.optimizers.Adam(0.01)

        def step(x: Any, y: Any, mine: Any = mine, optimizer: Any = optimizer) -> Any:
            with GradientTape() as tape:
                loss = loss_fn(y, mine(x, training=True))
            weights = mine.trainable_variables
            optimizer.apply(tape.gradient(loss, weights), weights)
            return loss

        traced = run(step)
        for _ in range(5):
            traced(tensor(x), tensor(y))
        for a, b in zip(mine.get_weights(), reference.get_weights(), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


SECOND: dict[str, tuple[Callable[[Any], Any], float]] = {
    "power": (lambda x: x**3, 6 * 0.7),
    "product": (lambda x: x * x * x, 6 * 0.7),
    "tanh": (ops.tanh, -2 * np.tanh(0.7) * (1 - np.tanh(0.7) ** 2)),
    "exp": (ops.exp, np.exp(0.7)),
    "log": (ops.log, -1 / 0.7**2),
    "sigmoid": (
        ops.sigmoid,
        (lambda s: s * (1 - s) * (1 - 2 * s))(1 / (1 + np.exp(-0.7))),
    ),
    "reciprocal": (lambda x: 1 / x, 2 / 0.7**3),
    "square": (ops.square, 2.0),
    "relu_square": (lambda x: ops.relu(x) ** 2, 2.0),
}


@BOTH
@pytest.mark.parametrize("name", SECOND)
def test_second_derivatives(name: str, run: Any) -> None:
    fn, expected = SECOND[name]
    second = run(lamina.grad(lamina.grad(fn)))
    np.testing.assert_allclose(float(second(tensor(0.7))), expected, rtol=1e-4)


@BOTH
def test_gradient_penalty(run: Any) -> None:
    critic = lamina.Sequential(
        [lamina.Input((3,)), layers.Dense(6), layers.LeakyReLU(), layers.Dense(1)]
    )
    x = tensor(np.random.RandomState(0).normal(size=(5, 3)))

    def penalty(x: Any) -> Any:
        with GradientTape() as tape:
            tape.watch(x)
            score = critic(x)
        norm = ops.sqrt(ops.sum(ops.square(tape.gradient(score, x)), axis=1))
        return ops.mean(ops.square(norm - 1.0))

    @run
    def slopes(x: Any) -> Any:
        with GradientTape() as tape:
            value = penalty(x)
        return value, tape.gradient(value, critic.trainable_variables)

    value, gradients = slopes(x)
    kernel = critic.layers[0].kernel
    bumped, step = kernel.numpy(), 1e-2
    bumped[1, 2] += step
    kernel.assign(bumped)
    up = float(penalty(x))
    bumped[1, 2] -= 2 * step
    kernel.assign(bumped)
    down = float(penalty(x))
    np.testing.assert_allclose(
        np.asarray(gradients[0])[1, 2], (up - down) / (2 * step), rtol=2e-2, atol=1e-3
    )
    assert np.isfinite(float(value))


def test_an_op_without_second_derivative_is_named() -> None:
    with pytest.raises(NotImplementedError, match="gelu_grad"):
        lamina.grad(lamina.grad(ops.gelu))(0.5)


def test_grad_and_value_and_grad() -> None:
    value, slope = lamina.value_and_grad(lambda x: x**2)(3.0)
    assert (float(value), float(slope)) == (9.0, 6.0)
    assert float(lamina.grad(lambda x: 5.0)(3.0)) == 0.0
    gradients = lamina.grad(lambda a, b: ops.sum(a["u"] * b), argnums=(0, 1))(
        {"u": np.ones(3, "float32"), "v": 2.0}, np.arange(3.0)
    )
    np.testing.assert_array_equal(gradients[0]["u"], [0.0, 1.0, 2.0])
    assert float(gradients[0]["v"]) == 0.0
    np.testing.assert_array_equal(gradients[1], np.ones(3))
    (value, aux), slope = lamina.value_and_grad(lambda x: (x * x, "aux"), has_aux=True)(2.0)
    assert (float(value), aux, float(slope)) == (4.0, "aux", 4.0)
    slope, aux = lamina.grad(lambda x: (x * x, x + 1), has_aux=True)(2.0)
    assert (float(slope), float(aux)) == (4.0, 3.0)
    weights = [lamina.Variable(2.0), lamina.Variable([1.0, 2.0])]
    by_weights = lamina.grad(lambda w, x: ops.sum(w[0] * w[1]) * x)(weights, 3.0)
    assert float(by_weights[0]) == 9.0
    np.testing.assert_array_equal(by_weights[1], [6.0, 6.0])


def test_the_callers_tensor_is_left_alone() -> None:
    x = tensor(2.0)
    lamina.grad(lambda x: x * x)(x)
    assert x._tracer is None


def never_recorded() -> Any:
    return GradientTape().gradient(tensor(1.0), tensor(1.0))


def used_twice() -> None:
    v = lamina.Variable(1.0)
    with GradientTape() as tape:
        z = v * 2.0
    tape.gradient(z, v)
    tape.gradient(z, v)


def in_tape(fn: Callable[[Any, Any], Any]) -> Callable[[], Any]:
    def run() -> Any:
        v = lamina.Variable(1.0)
        with GradientTape() as tape:
            z = v * 2.0
            fn(tape, z)

    return run


ERRORS: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "no_block": (never_recorded, RuntimeError, "nothing was recorded"),
    "twice": (used_twice, RuntimeError, "persistent=True"),
    "array": (in_tape(lambda t, z: t.watch(np.ones(3))), TypeError, "convert_to_tensor"),
    "integers": (in_tape(lambda t, z: t.watch(ops.arange(3))), TypeError, "floating point"),
    "source": (in_tape(lambda t, z: t.gradient(z, 3)), TypeError, "sources must be"),
    "target": (in_tape(lambda t, z: t.gradient(tensor(1.0), [])), ValueError, "not computed"),
    "unconnected": (in_tape(lambda t, z: t.gradient(z, [], None, "ones")), ValueError, "'ones'"),
    "no_function": (lambda: lamina.grad(3), TypeError, "must be a function"),  # type: ignore
    "not_scalar": (lambda: lamina.grad(lambda x: x)(np.ones(3)), ValueError, "single number"),
    "int_argument": (lambda: lamina.grad(lambda x: x)(3), TypeError, "int32"),
    "position": (lambda: lamina.grad(lambda x: x, 1)(3.0), ValueError, "argnums=1"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name: str) -> None:
    call, error, words = ERRORS[name]
    with pytest.raises(error, match=words):
        call()
    assert lamina.tracing.current_tracer() is None
