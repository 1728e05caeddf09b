"""Activations against real Keras; names, configurations and errors."""

from __future__ import annotations

import numpy as np
import pytest

import lamina
from tests.conftest import check_golden, golden_names


@pytest.mark.parametrize("name", golden_names("activations"))
def test_like_keras(name: str) -> None:
    check_golden("activations", name)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 33, 100])
@pytest.mark.parametrize("name", ["exponential", "tanh", "sigmoid", "gelu", "softplus", "elu"])
def test_bits_do_not_depend_on_the_position(name: str, size: int) -> None:
    x = np.random.RandomState(0).normal(size=200).astype("float32") * 3
    f = lamina.activations.get(name)
    whole = np.asarray(f(lamina.ops.convert_to_tensor(x)))
    for start in (0, 1, 5):
        part = np.asarray(f(lamina.ops.convert_to_tensor(x[start : start + size].copy())))
        np.testing.assert_array_equal(part, whole[start : start + size])


@pytest.mark.parametrize("name", ["relu", "tanh", "softmax", "leaky_relu"])
def test_get_and_serialize(name: str) -> None:
    f = lamina.activations.get(name)
    assert callable(f)
    assert lamina.activations.serialize(f) == name
    assert lamina.activations.deserialize(name) is f
    assert lamina.activations.get(f) is f


def test_none_is_linear() -> None:
    assert lamina.activations.get(None) is lamina.activations.linear


@pytest.mark.parametrize(("typo", "meant"), [("rleu", "relu"), ("sigmod", "sigmoid"),
                                             ("sofmax", "softmax"), ("tahn", "tanh")])  # fmt: skip
def test_typo(typo: str, meant: str) -> None:
    with pytest.raises(ValueError) as caught:
        lamina.activations.get(typo)
    assert typo in str(caught.value) and meant in str(caught.value)


@pytest.mark.parametrize("bad", [3, 2.5, object()])
def test_something_else(bad: object) -> None:
    with pytest.raises((ValueError, TypeError)):
        lamina.activations.get(bad)


def test_softmax_of_huge_values_does_not_overflow() -> None:
    y = np.asarray(lamina.activations.softmax(lamina.ops.convert_to_tensor([[1e4, 0.0, -1e4]])))
    np.testing.assert_array_equal(y, [[1.0, 0.0, 0.0]])
