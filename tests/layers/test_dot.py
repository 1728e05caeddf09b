"""Dot: the product of two tensors row by row."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import lamina
from lamina.testing import check_layer
from tests.conftest import check_golden, golden_names

PREFIXES = ("dot_",)
Dot = lamina.layers.Dot


@pytest.mark.parametrize("name", [n for n in golden_names("layers_more") if n.startswith(PREFIXES)])
def test_like_keras(name: str) -> None:
    check_golden("layers_more", name)


def rows(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.RandomState(seed).normal(size=shape).astype("float32")


@pytest.mark.parametrize(
    ("a", "b", "axes", "expected"),
    [
        ((2, 3), (2, 3), 1, (2, 1)),
        ((2, 3, 4), (2, 5, 4), 2, (2, 3, 5)),
        ((2, 3, 4), (2, 5, 3), (1, 2), (2, 4, 5)),
        ((2, 4), (2, 5, 4), (1, 2), (2, 5)),
        ((2, 5, 4), (2, 4), (2, 1), (2, 5)),
        ((2, 3, 4, 5), (2, 6, 5), (3, 2), (2, 3, 4, 6)),
        ((2, 3, 4, 5), (2, 5, 6, 7), [3, 1], (2, 3, 4, 6, 7)),
        ((1, 3, 2), (1, 1, 2, 3), (-2, -1), (1, 2, 1, 2)),
    ],
)
def test_shapes_and_values(a: Any, b: Any, axes: Any, expected: tuple[int, ...]) -> None:
    x, y, layer = rows(*a), rows(*b, seed=1), Dot(axes)
    out = np.asarray(layer([x, y]))
    assert out.shape == expected
    assert layer([lamina.Input(a[1:]), lamina.Input(b[1:])]).shape == (None, *expected[1:])
    first, second = (axes, axes) if isinstance(axes, int) else axes
    for i in range(len(x)):
        by_hand = np.tensordot(x[i], y[i], (first % x.ndim - 1, second % y.ndim - 1))
        np.testing.assert_allclose(out[i], by_hand.reshape(expected[1:]), rtol=1e-5, atol=1e-6)


def test_unknown_sizes() -> None:
    a, b = lamina.Input((None, 4)), lamina.Input((None, 4))
    model = lamina.Model([a, b], Dot(2)([a, b]))
    assert model.output_shape == (None, None, None)
    assert model.predict([rows(2, 3, 4), rows(2, 5, 4)], verbose=0).shape == (2, 3, 5)


def test_contract() -> None:
    bad = [dict(axes="a"), dict(axes=(1, 2, 3)), dict(axes=(1, 0.5)), dict(axes=None),
           dict(normalize="yes")]  # fmt: skip
    for kwargs in (dict(axes=1), dict(axes=[-1, 1], normalize=True)):
        check_layer(Dot, kwargs, input_data=[rows(3, 4), rows(3, 4)], bad_kwargs=bad)


@pytest.mark.parametrize(
    ("inputs", "axes", "word"),
    [
        ([rows(2, 3), rows(2, 4)], 1, "(2, 4)"),
        ([rows(2, 3), rows(2, 3)], 0, "batch axis"),
        ([rows(2, 3), rows(2, 3)], 5, "axes 5"),
        ([rows(1, 3), rows(2, 3)], 1, "(1, 3)"),
        ([rows(2, 3)], 1, "2 inputs"),
        ([rows(2, 3)] * 3, 1, "2 inputs"),
        (rows(2, 3), 1, "list"),
    ],
)
def test_inputs_that_do_not_fit(inputs: Any, axes: int, word: str) -> None:
    with pytest.raises(ValueError) as caught:
        Dot(axes, name="product")(inputs)
    assert word in str(caught.value) and "product" in str(caught.value)


def test_normalized_is_the_cosine() -> None:
    x, y = rows(3, 4), rows(3, 4, seed=1)
    cosine = (x * y).sum(1) / np.linalg.norm(x, axis=1) / np.linalg.norm(y, axis=1)
    out = np.asarray(lamina.layers.dot([x, y], axes=-1, normalize=True))
    np.testing.assert_allclose(out[:, 0], cosine, rtol=1e-5)


def test_the_mask_ends_here() -> None:
    masked = lamina.layers.Masking()(rows(2, 3, 4))
    assert Dot(2)([masked, masked]).mask is None
