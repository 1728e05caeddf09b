"""Gradients of composed ops as training sees them, by central differences in float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import lamina
from lamina import ops

X = np.random.RandomState(3).uniform(0.2, 0.9, size=(3, 4))

FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "polynomial": lambda x: x**3 - 2 * x * x + 1 / x,
    "broadcast": lambda x: x * x[:1] + x[:, 2:3],
    "softmax_product": lambda x: ops.softmax(x) * ops.log_softmax(x, axis=0),
    "norms": lambda x: ops.sqrt(ops.sum(x * x, axis=1, keepdims=True)) + ops.norm(x),
    "moments": lambda x: (x - ops.mean(x, axis=0)) / ops.std(x, axis=0),
    "logsumexp": lambda x: ops.logsumexp(x, axis=-1) * ops.prod(x, axis=1),
    "matmul": lambda x: ops.matmul(x, ops.transpose(x)) @ x,
    "layout": lambda x: ops.reshape(ops.concatenate([x, ops.flip(x, 1)], axis=0), (4, -1)) ** 2,
    "pad_slice": lambda x: ops.pad(x, ((1, 2), (0, 1)))[1:4, ::2] * 3.0,
    "take": lambda x: ops.take(x, np.array([2, 0, 2], "int32"), axis=0) * x,
    "where": lambda x: ops.where(x > 0.5, ops.exp(x), ops.tanh(x)),
    "clip": lambda x: ops.clip(x, 0.3, 0.7) * x,
    "activations": lambda x: ops.gelu(x) + ops.selu(x - 0.5) + ops.silu(x) + ops.softplus(-x),
    "cumulative": lambda x: ops.cumsum(x, axis=1) * x,
    "stack": lambda x: ops.stack([x, x * 2.0], axis=1) / ops.expand_dims(x + 1.0, 1),
    "maximum": lambda x: ops.maximum(x, 0.5) * ops.minimum(x, 0.6) + ops.max(x, axis=0),
    "arc": lambda x: ops.arcsin(x) + ops.arctan2(x, x[::1] + 1.0) + ops.erf(x),
    "repeat": lambda x: ops.repeat(x, 2, axis=0) * ops.tile(x, (2, 1)),
}


class Applied(lamina.layers.Layer):
    """loss = sum(c * f(w)) with one weight: a step of SGD(1) subtracts its gradient."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        super().__init__(dtype="float64")
        self.function = function
        self.w = self.add_weight(shape=X.shape, initializer="zeros", name="w")

    def call(self, inputs: Any) -> Any:
        y = self.function(self.w.value)
        c = ops.reshape(ops.cos(ops.arange(int(np.prod(y.shape)), dtype="float64")), y.shape)
        return ops.sum(y * c) + 0.0 * ops.sum(inputs)


def value_at(layer: Applied, w: np.ndarray) -> float:
    layer.w.assign(w)
    return float(np.asarray(layer(np.zeros((1, 1)))))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_gradient(name: str) -> None:
    layer = Applied(FUNCTIONS[name])
    inputs = lamina.Input((1,), dtype="float64")
    model = lamina.Model(inputs, ops.reshape(layer(inputs), (1, 1)))
    model.compile(lamina.optimizers.SGD(1.0), lambda y_true, y_pred: ops.sum(y_pred, axis=-1))
    layer.w.assign(X)
    model.train_on_batch(np.zeros((1, 1)), np.zeros((1, 1)))
    gradient = X - np.asarray(layer.w.value)
    expected = np.zeros_like(X)
    step = 1e-6
    for index in np.ndindex(*X.shape):
        high, low = X.copy(), X.copy()
        high[index] += step
        low[index] -= step
        expected[index] = (value_at(layer, high) - value_at(layer, low)) / (2 * step)
    # central differences of float64 at this step are good to about nine digits
    np.testing.assert_allclose(gradient, expected, rtol=2e-6, atol=2e-7)


def test_ties_of_a_maximum_share_the_gradient() -> None:
    layer = Applied(lambda w: ops.max(w, axis=1) * 1.0)
    inputs = lamina.Input((1,), dtype="float64")
    model = lamina.Model(inputs, ops.reshape(layer(inputs), (1, 1)))
    model.compile(lamina.optimizers.SGD(1.0), lambda y_true, y_pred: ops.sum(y_pred, axis=-1))
    layer.w.assign(np.zeros(X.shape))
    model.train_on_batch(np.zeros((1, 1)), np.zeros((1, 1)))
    shares = -np.asarray(layer.w.value)
    np.testing.assert_allclose(shares, np.cos([[0.0], [1.0], [2.0]]) / 4 * np.ones((3, 4)))


def test_stop_gradient() -> None:
    layer = Applied(lambda w: w * ops.stop_gradient(w))
    inputs = lamina.Input((1,), dtype="float64")
    model = lamina.Model(inputs, ops.reshape(layer(inputs), (1, 1)))
    model.compile(lamina.optimizers.SGD(1.0), lambda y_true, y_pred: ops.sum(y_pred, axis=-1))
    layer.w.assign(X)
    model.train_on_batch(np.zeros((1, 1)), np.zeros((1, 1)))
    expected = X - X * np.cos(np.arange(12)).reshape(3, 4)
    np.testing.assert_allclose(np.asarray(layer.w.value), expected, rtol=1e-12)
