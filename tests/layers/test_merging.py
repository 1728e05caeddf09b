"""Add, Concatenate and operators between layer outputs."""

from __future__ import annotations

import numpy as np
import pytest

import lamina
from tests.conftest import check_golden, golden_names

PREFIXES = ("add", "concatenate", "operators")


@pytest.mark.parametrize("name", [n for n in golden_names("layers") if n.startswith(PREFIXES)])
def test_like_keras(name: str) -> None:
    check_golden("layers", name)


def test_shapes_that_do_not_merge_are_both_named() -> None:
    a, b = np.zeros((2, 3), "float32"), np.zeros((2, 4), "float32")
    with pytest.raises(ValueError) as caught:
        lamina.layers.Add()([a, b])
    assert "3" in str(caught.value) and "4" in str(caught.value)
    with pytest.raises(ValueError) as caught:
        lamina.layers.Concatenate(axis=0)([a, b])
    assert "3" in str(caught.value) and "4" in str(caught.value)


def test_merging_wants_a_list() -> None:
    with pytest.raises(ValueError, match="list"):
        lamina.layers.Add()(np.zeros((2, 3), "float32"))


def test_functional_forms() -> None:
    a, b = np.ones((2, 3), "float32"), np.full((2, 3), 2.0, "float32")
    np.testing.assert_array_equal(np.asarray(lamina.layers.add([a, b])), a + b)
    joined = np.asarray(lamina.layers.concatenate([a, b], axis=-1))
    np.testing.assert_array_equal(joined, np.concatenate([a, b], -1))
