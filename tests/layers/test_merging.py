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


SPACE = ("add_", "subtract_", "multiply_", "average_mask", "average_ranks", "maximum_", "minimum_",
         "concatenate_")  # fmt: skip


@pytest.mark.parametrize("name", [n for n in golden_names("space") if n.startswith(SPACE)])
def test_masks_and_ranks_like_keras(name: str) -> None:
    check_golden("space", name)


def masked(values: list[list[float]], mask: list[int]) -> lamina.Tensor:
    tensor = lamina.ops.convert_to_tensor(np.array([values], "float32"))
    tensor.mask = lamina.ops.convert_to_tensor(np.array([mask], bool))
    return tensor


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Multiply", [[0, 0], [1, 2], [13, 14], [-45, 64]]),
        ("Maximum", [[5, -6], [1, 2], [13, 14], [3, 16]]),
        ("Minimum", [[5, -6], [1, 2], [13, 14], [-15, 4]]),
        ("Add", [[14, 4], [12, -10], [20, 22], [-12, 20]]),
    ],
)
def test_what_masked_steps_count_for(name: str, expected: list[list[float]]) -> None:
    """The values are those of Keras; a mask cannot be set through its public functions."""
    a = masked([[5, -6], [1, 2], [7, 8], [3, 4]], [0, 1, 0, 1])
    b = masked([[9, 10], [11, -12], [13, 14], [-15, 16]], [0, 0, 1, 1])
    made = getattr(lamina.layers, name)()([a, b])
    np.testing.assert_array_equal(np.asarray(made)[0], expected)
    np.testing.assert_array_equal(np.asarray(made.mask)[0], [0, 1, 1, 1])


def test_masks_must_be_lists() -> None:
    a, b = lamina.Input((4, 5)), lamina.Input((4, 5))
    mask = np.ones((2, 4), bool)
    for layer in (lamina.layers.Add(), lamina.layers.Concatenate()):
        assert layer.compute_mask([a, b], None) is None
        assert layer.compute_mask([a, b], [None, None]) is None
        for inputs, masks, word in (([a, b], mask, "mask"), (a, [mask], "inputs"),
                                    ([a, b], [mask], "same length")):  # fmt: skip
            with pytest.raises(ValueError, match=word):
                layer.compute_mask(inputs, masks)


def test_concatenated_masks_of_unknown_length() -> None:
    L = lamina.layers
    a, b = lamina.Input((None, 2)), lamina.Input((None, 2))
    joined = L.Concatenate(axis=1)([L.Masking()(a), b])
    assert joined.mask.shape == (None, None)
    model = lamina.Model([a, b], L.GlobalAveragePooling1D()(joined))
    x = np.array([[[0, 0], [1, 2]]], "float32")
    np.testing.assert_array_equal(np.asarray(model([x, x[:, :1]])), [[0.5, 1.0]])


def test_a_single_input_passes() -> None:
    x = np.ones((2, 3), "float32")
    np.testing.assert_array_equal(np.asarray(lamina.layers.Add()([x])), x)
    for name in ("Subtract", "Dot"):
        layer = getattr(lamina.layers, name)(**(dict(axes=1) if name == "Dot" else {}))
        with pytest.raises(ValueError, match="exactly 2 inputs"):
            layer([x])


def test_unknown_sizes_stay_unknown() -> None:
    layer = lamina.layers.Add()
    assert layer.compute_output_shape([(None, 3), (2, 1)]) == (2, 3)
    assert layer.compute_output_shape([(None, 3), (None, None)]) == (None, None)
    with pytest.raises(ValueError, match="batch"):
        layer.compute_output_shape([(2, 3), (3, 3)])


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
