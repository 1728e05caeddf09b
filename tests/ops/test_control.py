"""Branches and loops in traced models, derivatives of one's own, complex numbers refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import lamina
from lamina import _core, ops
from lamina.tracing import Tracer, gradients

X = np.array([1.0, 2.0, 3.0], "float32")


def traced(fn: Callable[..., Any], *arrays: np.ndarray) -> list[np.ndarray]:
    """Trace `fn`, which returns a list of tensors, and run its graph on the arrays."""
    with Tracer() as tracer:
        for out in fn(*[tracer.input(a.shape, str(a.dtype)) for a in arrays]):
            tracer.output(out)
    found = tracer.program().run([_core.Tensor(a) for a in arrays])
    return [np.asarray(f if isinstance(f, np.ndarray) else f.to_numpy()) for f in found]


def with_gradient(y: Any, x: Any) -> list[Any]:
    return [y, gradients(ops.sum(y), [x])[0]]


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_cond_takes_the_branch_of_the_data(sign: float) -> None:
    def fn(x: Any) -> list[Any]:
        return with_gradient(ops.cond(ops.sum(x) > 5, lambda: x * 2.0, lambda: ops.sin(x)), x)

    y, dx = traced(fn, sign * X)
    want = (X * 2, np.full(3, 2.0)) if sign > 0 else (np.sin(-X), np.cos(-X))
    np.testing.assert_allclose(y, want[0], rtol=1e-6)
    np.testing.assert_allclose(dx, want[1], rtol=1e-6)


def test_cond_assigns_in_the_branch_that_runs_only() -> None:
    count = lamina.Variable(0.0)

    def fn(x: Any) -> list[Any]:
        def add() -> Any:
            count.assign(count + 1.0)
            return x * count

        return [ops.cond(ops.sum(x) > 0, add, lambda: x)]

    np.testing.assert_allclose(traced(fn, X)[0], X)
    assert float(count.numpy()) == 1.0
    traced(fn, -X)
    assert float(count.numpy()) == 1.0


def test_cond_names_branches_that_differ() -> None:
    with pytest.raises(ValueError, match="same structure"):
        traced(lambda x: [ops.cond(ops.sum(x) > 0, lambda: x, lambda: (x, x))], X)


def test_while_runs_as_long_as_the_data_say() -> None:
    def fn(x: Any) -> list[Any]:
        i, v = ops.while_loop(lambda i, v: ops.sum(v) < 100, lambda i, v: (i + 1, v * 2), (0, x))
        return [i, v]

    steps, value = traced(fn, X)
    assert int(steps) == 5
    np.testing.assert_allclose(value, X * 32)


def test_while_has_a_gradient_with_a_limit_only() -> None:
    def fn(x: Any, limit: int | None) -> list[Any]:
        y = ops.while_loop(lambda v: ops.sum(v) < 100, lambda v: v * v + v, x, limit)
        return with_gradient(y, x)

    y, dx = traced(lambda x: fn(x, 20), X * 0.5)
    v, slope = X * 0.5, np.ones(3)
    while v.sum() < 100:
        v, slope = v * v + v, slope * (2 * v + 1)
    np.testing.assert_allclose(y, v, rtol=1e-5)
    np.testing.assert_allclose(dx, slope, rtol=1e-5)
    with pytest.raises(ValueError, match="maximum_iterations"):
        traced(lambda x: fn(x, None), X)


def test_loops_inside_loops_have_gradients() -> None:
    def fn(x: Any) -> list[Any]:
        def step(c: Any, v: Any) -> tuple[Any, Any]:
            c = ops.fori_loop(0, 2, lambda i, z: z * v + x[1], c)
            return ops.cond(v > 1.5, lambda: c * 2.0, lambda: c), c

        c, _ = ops.scan(step, ops.convert_to_tensor(np.float32(1.0)), x)
        return with_gradient(c, x)

    def plain(x: np.ndarray) -> float:
        c = 1.0
        for v in x:
            c = (c * v + x[1]) * v + x[1]
            c = c * 2 if v > 1.5 else c
        return c

    y, dx = traced(fn, X)
    np.testing.assert_allclose(y, plain(X), rtol=1e-6)
    slopes = [
        (plain(X.astype("d") + e) - plain(X.astype("d") - e)) / 2e-5 for e in np.eye(3) * 1e-5
    ]
    np.testing.assert_allclose(dx, slopes, rtol=1e-4)


def test_every_step_of_a_loop_draws_other_numbers() -> None:
    seed = lamina.random.SeedGenerator(3)
    (drawn,) = traced(
        lambda x: [ops.map(lambda v: lamina.random.uniform((2,), seed=seed) + 0.0 * v, x)], X
    )
    assert len(np.unique(drawn)) == 6


def test_slices_at_places_known_when_the_graph_runs() -> None:
    def fn(x: Any) -> list[Any]:
        start = ops.cast(x[0], "int32")
        return [ops.slice(x, [start], [2]), ops.slice_update(x, [start], x[:1] * 0.0)]

    cut, written = traced(fn, X)
    np.testing.assert_array_equal(cut, X[1:])
    np.testing.assert_array_equal(written, [1.0, 0.0, 3.0])


def test_a_model_trains_through_a_scan() -> None:
    class Decay(lamina.layers.Layer):
        def build(self, shape: Any) -> None:
            self.rate = self.add_weight(shape=(shape[-1],), initializer="ones")

        def call(self, x: Any) -> Any:
            steps = ops.transpose(x, (1, 0, 2))
            return ops.scan(
                lambda c, v: (c * self.rate + v, None), ops.zeros_like(steps[0]), steps
            )[0]

    model = lamina.Sequential([lamina.Input((5, 3)), Decay(), lamina.layers.Dense(1)])
    model.compile("sgd", "mse")
    rng = np.random.RandomState(0)
    x, y = rng.normal(size=(16, 5, 3)), rng.normal(size=(16, 1))
    losses = model.fit(x, y, epochs=8, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    assert not np.allclose(model.layers[0].rate.numpy(), 1.0)


def test_custom_gradient_is_taken_as_it_is() -> None:
    @ops.custom_gradient
    def log1pexp(x: Any) -> Any:
        e = ops.exp(x)
        return ops.log(1 + e), lambda upstream: upstream * (1 - 1 / (1 + e))

    _, dx = traced(lambda x: with_gradient(log1pexp(x), x), X * 50)
    np.testing.assert_allclose(dx, np.ones(3))
    np.testing.assert_allclose(np.asarray(log1pexp(X)), np.log1p(np.exp(X)), rtol=1e-6)


def test_jvp_is_the_slope_in_a_direction() -> None:
    direction = np.array([1.0, -1.0, 0.5], "float32")
    want = (np.cos(X) * X + np.sin(X)) * direction

    def fn(x: Any) -> list[Any]:
        return list(ops.jvp(lambda v: ops.sin(v) * v, (x,), (direction,)))

    for y, dy in (fn(X), traced(fn, X)):
        np.testing.assert_allclose(np.asarray(y), np.sin(X) * X, rtol=1e-6)
        np.testing.assert_allclose(np.asarray(dy), want, rtol=1e-5)


def test_complex_numbers_are_refused_with_a_way_out() -> None:
    with pytest.raises(TypeError, match=r"ops\.cos"):
        ops.polar(X, X)
    with pytest.raises(TypeError, match="complex"):
        ops.view_as_complex(X)
    with pytest.raises(TypeError, match="complex eigenvalues"):
        ops.eig(np.array([[0.0, 1.0], [-1.0, 0.0]], "float32"))
    np.testing.assert_array_equal(np.asarray(ops.imag(X)), 0 * X)
    np.testing.assert_array_equal(np.asarray(ops.view_as_real(X))[:, 0], X)


@pytest.mark.parametrize("op", ["inv", "cholesky"])
def test_singular_matrices_raise(op: str) -> None:
    with pytest.raises(ValueError, match="singular|positive definite"):
        getattr(ops, op)(np.zeros((2, 2), "float32"))


def test_random_distributions_have_their_moments() -> None:
    draw = lamina.random
    gamma = np.asarray(draw.gamma((4000,), 3.0, seed=1))
    beta = np.asarray(draw.beta((4000,), 2.0, 6.0, seed=2))
    binomial = np.asarray(draw.binomial((4000,), 50.0, 0.2, seed=3))
    np.testing.assert_allclose(
        [gamma.mean(), gamma.var(), beta.mean(), binomial.mean(), binomial.var()],
        [3.0, 3.0, 0.25, 10.0, 8.0], rtol=0.1,
    )  # fmt: skip


def test_branches_may_name_their_results_in_another_order() -> None:
    def fn(x: Any) -> list[Any]:
        out = ops.cond(
            ops.sum(x) > 5,
            lambda: {"a": x, "b": x * 2.0},
            lambda: {"b": x * 4.0, "a": x * 3.0},
        )
        return [out["a"], out["b"]]

    a, b = traced(fn, X)
    np.testing.assert_array_equal([a, b], [X, X * 2] if X.sum() > 5 else [X * 3, X * 4])
    a, b = traced(fn, -X)
    np.testing.assert_array_equal([a, b], [-X * 3, -X * 4])


@pytest.mark.parametrize("runs_traced", [False, True])
@pytest.mark.parametrize(
    ("xs", "length"),
    [((np.ones(3, "float32"), np.ones(4, "float32")), None), (X, 2), (np.float32(1.0), 3)],
)
def test_scan_wants_one_number_of_steps(xs: Any, length: int | None, runs_traced: bool) -> None:
    def fn(x: Any) -> list[Any]:
        return [ops.scan(lambda c, _: (c, c), ops.sum(x), xs, length)[0]]

    with pytest.raises(ValueError, match="scan: "):
        traced(fn, X) if runs_traced else fn(ops.convert_to_tensor(X))
