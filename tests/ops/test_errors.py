"""What ops refuse: the right exception, which names the op and both shapes, and no crash."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import lamina
from lamina import ops

A = np.zeros((3, 4), "float32")

REFUSED: dict[str, tuple[Callable[[], Any], list[str]]] = {
    "add": (lambda: ops.add(A, np.zeros((2, 4), "float32")), ["add", "3", "2"]),
    "matmul": (lambda: ops.matmul(A, A), ["matmul", "(3, 4)"]),
    "reshape": (lambda: ops.reshape(A, (5, 2)), ["reshape", "5"]),
    "reshape_two_unknown": (lambda: ops.reshape(A, (-1, -1)), ["-1"]),
    "transpose": (lambda: ops.transpose(A, (0, 0)), ["0, 0"]),
    "concatenate": (lambda: ops.concatenate([A, np.zeros((2, 5), "float32")], axis=0), ["4", "5"]),
    "sum_axis": (lambda: ops.sum(A, axis=2), ["axis", "2"]),
    "mean_axis": (lambda: ops.mean(A, axis=-3), ["axis", "-3"]),
    "softmax_axis": (lambda: ops.softmax(A, axis=5), ["axis", "5"]),
    "broadcast_to": (lambda: ops.broadcast_to(A, (3, 5)), ["3, 4", "3, 5"]),
    "expand_dims": (lambda: ops.expand_dims(A, 4), ["4"]),
    "squeeze": (lambda: ops.squeeze(A, 0), ["3"]),
    "split": (lambda: ops.split(A, 3, axis=1), ["4", "3"]),
    "top_k": (lambda: ops.top_k(A, 9), ["9", "4"]),
    "cast": (lambda: ops.cast(A, "float23"), ["float23", "float32"]),
    "conv_channels": (
        lambda: ops.conv(np.zeros((1, 5, 5, 3), "float32"), np.zeros((3, 3, 2, 4), "float32")),
        ["3", "2"],
    ),
    "pool": (lambda: ops.max_pool(np.zeros((1, 2, 2, 1), "float32"), 3), ["3", "2"]),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    call, words = REFUSED[name]
    with pytest.raises((ValueError, TypeError)) as caught:
        np.asarray(call())
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize("bad", [4, -5, 2**40])
def test_ids_out_of_range(bad: int) -> None:
    with pytest.raises((ValueError, IndexError)) as caught:
        np.asarray(ops.take(A, np.array([0, bad]), axis=1))
    assert str(bad) in str(caught.value)


@pytest.mark.parametrize(
    "value", [np.array([1 + 2j]), np.array(["a"]), np.array([object()]), "text", {"a": 1}]
)
def test_values_that_are_no_numbers(value: object) -> None:
    with pytest.raises((TypeError, ValueError)):
        ops.convert_to_tensor(value)


def test_ragged_lists() -> None:
    with pytest.raises((TypeError, ValueError)):
        ops.convert_to_tensor([[1.0, 2.0], [3.0]])


def test_one_hot_out_of_range_is_zero() -> None:
    y = np.asarray(ops.one_hot(np.array([0, 2, 3, -1]), 3))
    np.testing.assert_array_equal(y, [[1, 0, 0], [0, 0, 1], [0, 0, 0], [0, 0, 0]])


def test_division_of_integers_by_zero_does_not_kill_the_process() -> None:
    for op in (ops.floor_divide, ops.mod):
        np.asarray(op(np.array([1, -1, 0], "int32"), np.zeros(3, "int32")))
    low = np.array([np.iinfo("int32").min], "int32")
    np.asarray(ops.floor_divide(low, np.array([-1], "int32")))
    np.asarray(ops.mod(low, np.array([-1], "int32")))


@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0)])
def test_empty_tensors(shape: tuple[int, ...]) -> None:
    x = np.zeros(shape, "float32")
    assert np.asarray(ops.exp(x)).shape == shape
    assert float(np.asarray(ops.sum(x))) == 0.0
    assert np.asarray(ops.concatenate([x, x], axis=0)).shape[0] == 2 * shape[0]


def test_product_over_an_empty_axis_is_zero() -> None:
    y = ops.matmul(np.zeros((2, 0), "float32"), np.zeros((0, 3), "float32"))
    np.testing.assert_array_equal(np.asarray(y), np.zeros((2, 3)))


def test_condition_on_a_traced_tensor_says_what_to_do() -> None:
    class Branch(lamina.layers.Layer):
        def call(self, inputs: Any) -> Any:
            return inputs if ops.sum(inputs) > 0 else -inputs

    inputs = lamina.Input((2,))
    with pytest.raises(Exception, match="where|cond|run_eagerly"):
        lamina.Model(inputs, Branch()(inputs))


def test_an_empty_matrix_has_no_full_factors() -> None:
    empty = np.zeros((3, 0), "float32")
    with pytest.raises(ValueError, match="no full factors"):
        ops.svd(empty)
    u, s, vt = ops.svd(empty, full_matrices=False)
    assert (u.shape, s.shape, vt.shape) == ((3, 0), (0,), (0, 0))
