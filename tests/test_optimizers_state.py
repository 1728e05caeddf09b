"""Optimizers: steps as functions of values, subclasses of built-in rules, narrow types, errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import lamina
from lamina import ops, optimizers


def weights_of(*values: list[float]) -> list[Any]:
    return [lamina.Variable(np.array(v, "float32"), name=f"w{i}") for i, v in enumerate(values)]


def numbers(variables: Any) -> list[np.ndarray]:
    return [np.array(v.numpy()) for v in variables]


MAKERS = {
    "adam": lambda: optimizers.Adam(0.1, weight_decay=0.1),
    "momentum": lambda: optimizers.SGD(0.1, momentum=0.9, use_ema=True),
    "scaled": lambda: optimizers.LossScaleOptimizer(optimizers.RMSprop(0.1), 4.0, 1),
    "several": lambda: optimizers.MultiOptimizer(
        optimizers.OptimizerMap(optimizers.SGD(0.5), {"w0": optimizers.Adam(0.1)})
    ),
}  # fmt: skip


@pytest.mark.parametrize("traced", [False, True])
@pytest.mark.parametrize("name", MAKERS)
def test_stateless_apply_gives_what_apply_does_and_changes_nothing(name: str, traced: bool) -> None:
    weights, others = weights_of([1.0, -2.0], [3.0]), weights_of([1.0, -2.0], [3.0])
    grads = [ops.convert_to_tensor([0.5, -1.0]), ops.convert_to_tensor([2.0])]
    optimizer, reference = MAKERS[name](), MAKERS[name]()
    optimizer.build(weights)
    reference.apply(grads, others)
    before = numbers([*weights, *optimizer.variables])
    own = [ops.convert_to_tensor(v.numpy()) for v in optimizer.variables]
    values = [ops.convert_to_tensor(v.numpy()) for v in weights]
    if traced:
        after, own_after = traced_step(optimizer, own, grads, values)
    else:
        after, own_after = optimizer.stateless_apply(own, grads, values)
    for now, old in zip(numbers([*weights, *optimizer.variables]), before, strict=True):
        np.testing.assert_array_equal(now, old)
    expected = numbers([*others, *reference.variables])
    for value, wanted in zip([*after, *own_after], expected, strict=True):
        np.testing.assert_allclose(np.asarray(value), wanted, rtol=1e-6)


def traced_step(optimizer: Any, own: Any, grads: Any, values: Any) -> tuple[list[Any], list[Any]]:
    from lamina import tracing

    tensors = [*own, *grads, *values]
    with tracing.Tracer() as tracer:
        inputs = [tracer.input(list(t.shape), t.dtype) for t in tensors]
        a, b = len(own), len(own) + len(grads)
        after, own_after = optimizer.stateless_apply(inputs[:a], inputs[a:b], inputs[b:])
        for tensor in (*after, *own_after):
            tracer.output(tensor)
    out = tracer.program().run([t._buffer for t in tensors])
    results = [np.asarray(tracing.Tensor._of(buffer)) for buffer in out]
    return results[: len(after)], results[len(after) :]


def test_stateless_apply_names_what_is_missing() -> None:
    optimizer = optimizers.SGD()
    with pytest.raises(ValueError, match="build"):
        optimizer.stateless_apply([], [], [])
    optimizer.build(weights_of([1.0]))
    with pytest.raises(ValueError, match="optimizer_variables must hold 2"):
        optimizer.stateless_apply([0], [[1.0]], [[1.0]])


def test_a_subclass_of_adam_sees_single_weights_and_their_slots() -> None:
    class Halved(optimizers.Adam):
        def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
            momentum = self._momentums[self._get_variable_index(variable)]
            super().update_step(gradient, variable, learning_rate)
            self.assign(momentum, momentum * 0.5)

    weights = weights_of([1.0, 2.0], [3.0])
    optimizer = Halved(0.1, weight_decay=0.5)
    optimizer.apply([ops.ones((2,)), ops.ones((1,))], weights)
    np.testing.assert_allclose(weights[0].numpy(), [1 - 0.05 - 0.1, 2 - 0.1 - 0.1], rtol=1e-5)
    np.testing.assert_allclose(optimizer._momentums[1].numpy(), [0.05], rtol=1e-5)


def test_a_decay_of_the_users_own() -> None:
    class Constant(optimizers.SGD):
        def _apply_weight_decay(self, variables: Any) -> None:
            for variable in variables:
                if "w0" in variable.path:
                    variable.assign(variable - 1.0)

    weights = weights_of([1.0, 2.0], [3.0])
    Constant(0.5).apply([ops.zeros((2,)), ops.ones((1,))], weights)
    np.testing.assert_allclose(weights[0].numpy(), [0.0, 1.0])
    np.testing.assert_allclose(weights[1].numpy(), [2.5])


def test_update_step_alone_does_not_decay() -> None:
    (weight,) = weights_of([1.0])
    optimizer = optimizers.SGD(0.1, weight_decay=0.5)
    optimizer.build([weight])
    optimizer.update_step(ops.ones((1,)), weight, 0.1)
    np.testing.assert_allclose(weight.numpy(), [0.9], rtol=1e-6)
    optimizer._apply_weight_decay([weight])
    np.testing.assert_allclose(weight.numpy(), [0.9 * 0.95], rtol=1e-6)


def test_weights_may_leave_the_decay_after_the_first_step() -> None:
    weights = weights_of([1.0], [1.0])
    optimizer = optimizers.SGD(0.1, weight_decay=1.0)
    grads = [ops.zeros((1,))] * 2
    optimizer.apply(grads, weights)
    optimizer.exclude_from_weight_decay([weights[1]])
    optimizer.apply(grads, weights)
    np.testing.assert_allclose([w.numpy()[0] for w in weights], [0.81, 0.9], rtol=1e-6)


def test_clipping_takes_arrays_and_missing_gradients() -> None:
    grads = [np.array([3.0, 4.0], "float32"), None]
    for kwargs, expected in (
        (dict(clipnorm=1.0), [0.6, 0.8]),
        (dict(global_clipnorm=10.0), [3.0, 4.0]),
        (dict(clipvalue=3.5), [3.0, 3.5]),
        ({}, [3.0, 4.0]),
    ):
        clipped = optimizers.SGD(**kwargs)._clip_gradients(grads)
        np.testing.assert_allclose(np.asarray(clipped[0]), expected, rtol=1e-6)
        assert clipped[1] is None


@pytest.mark.parametrize("name", ["SGD", "Adam", "RMSprop", "Nadam", "Lion", "Muon",
                                  "Lamb", "Adamax", "Adafactor"])  # fmt: skip
def test_weights_of_sixteen_bits(name: str) -> None:
    weights = [
        lamina.Variable(ops.convert_to_tensor(np.ones(n), dtype="bfloat16"), dtype="bfloat16")
        for n in ((3, 2), (5,))
    ]
    optimizer = getattr(optimizers, name)(learning_rate=0.25)
    for _ in range(2):
        optimizer.apply([ops.ones(w.shape, "bfloat16") for w in weights], weights)
    for weight in weights:
        values = np.asarray(ops.cast(weight, "float32"))
        assert weight.dtype == "bfloat16" and np.isfinite(values).all()
        assert (values < 1.0).all()


def test_loss_scale_arguments() -> None:
    inner = optimizers.SGD(loss_scale_factor=8.0)
    optimizer = optimizers.LossScaleOptimizer(inner, dynamic=True, use_ema=False)
    assert inner.loss_scale_factor is None
    assert float(optimizer.scale_loss(1.0)) == 2.0**15
    with pytest.raises(ValueError, match="inner_optimizer"):
        optimizers.LossScaleOptimizer(inner, clipnorm=1.0)
    with pytest.raises(ValueError, match="`foo`"):
        optimizers.LossScaleOptimizer(inner, foo=1.0)
    with pytest.raises(ValueError, match="loss_scale_factor"):
        optimizers.LossScaleOptimizer(inner, dynamic=False)


def test_an_optimizer_among_several_is_a_plain_one() -> None:
    sgd = optimizers.SGD()
    scaled, several = optimizers.LossScaleOptimizer(sgd), optimizers.MultiOptimizer(sgd)
    for nested in (scaled, several):
        kind = type(nested).__name__
        with pytest.raises(ValueError, match=f"cannot be {kind}"):
            optimizers.OptimizerMap(sgd, {"x": nested})
        with pytest.raises(ValueError, match=f"{kind} cannot be used inside"):
            optimizers.MultiOptimizer(lambda _, each=nested: each).build(weights_of([1.0]))
    with pytest.raises(ValueError, match="must return the Optimizer"):
        optimizers.MultiOptimizer(lambda _: "sgd").build(weights_of([1.0]))  # type: ignore[return-value]
    with pytest.raises(TypeError, match="optimizer_map"):
        optimizers.MultiOptimizer("sgd")  # type: ignore[arg-type]


def test_several_share_a_loss_scale() -> None:
    one, other = optimizers.SGD(loss_scale_factor=2.0), optimizers.Adam()
    several = optimizers.MultiOptimizer(
        optimizers.OptimizerMap(one, {"x": other}), loss_scale_factor=8.0
    )
    assert [each.loss_scale_factor for each in several.optimizers] == [8.0, 8.0]
    several.loss_scale_factor = None
    assert one.loss_scale_factor is None and other.loss_scale_factor is None


@pytest.mark.parametrize("name", optimizers.legacy.__all__)
def test_optimizers_of_keras_2_say_what_to_use(name: str) -> None:
    with pytest.raises(ImportError, match=f"Use optimizers.{name}"):
        getattr(optimizers.legacy, name)(learning_rate=0.1)


def test_values_of_the_variables_need_a_built_optimizer() -> None:
    optimizer = optimizers.Adam()
    with pytest.raises(ValueError, match="build"):
        optimizer.set_weights([0, 0.1])
    optimizer.build(weights_of([1.0]))
    with pytest.raises(ValueError, match="2 values .* 4 variables"):
        optimizer.set_weights([0, 0.1])
    assert optimizers.get(None) is None


def test_averages_of_one_optimizer_among_several_are_swapped() -> None:
    several = optimizers.MultiOptimizer(
        optimizers.OptimizerMap(optimizers.SGD(0.1), {".*kernel": optimizers.SGD(use_ema=True)})
    )
    model = lamina.Sequential([lamina.Input((2,)), lamina.layers.Dense(1)])
    model.compile(several, "mse")
    model.fit(np.ones((2, 2)), np.ones((2, 1)), verbose=0)
    (average,) = several.optimizers[0]._model_variables_moving_average
    average.assign(np.full((2, 1), 7.0))
    kernel, bias = model.get_weights()
    swap = lamina.callbacks.SwapEMAWeights()
    swap.set_model(model)
    swap.on_test_begin()
    np.testing.assert_array_equal(model.get_weights()[0], np.full((2, 1), 7.0))
    np.testing.assert_array_equal(model.get_weights()[1], bias)
    swap.on_test_end()
    np.testing.assert_array_equal(model.get_weights()[0], kernel)
