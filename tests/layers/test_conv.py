"""Conv2D against real Keras, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest

import lamina
from tests.conftest import check_golden, golden_names

PREFIXES = ("conv2d_",)


@pytest.mark.parametrize("name", [n for n in golden_names("layers") if n.startswith(PREFIXES)])
def test_like_keras(name: str) -> None:
    check_golden("layers", name)


def images(*shape: int) -> np.ndarray:
    return np.random.RandomState(0).normal(size=shape).astype("float32")


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("strides", [1, 2, (2, 3)])
def test_declared_shape_is_the_real_one(padding: str, strides: int | tuple[int, int]) -> None:
    layer = lamina.layers.Conv2D(3, (3, 2), strides=strides, padding=padding)
    real = layer(images(2, 7, 8, 2)).shape
    assert tuple(layer.compute_output_shape((2, 7, 8, 2))) == tuple(real)
    assert layer.compute_output_shape((None, None, None, 2))[0] is None


@pytest.mark.parametrize(
    ("kwargs", "words"),
    [
        (dict(filters=0, kernel_size=3), ["filters", "0"]),
        (dict(filters=4, kernel_size=0), ["kernel_size"]),
        (dict(filters=4, kernel_size=(3, 3, 3)), ["kernel_size"]),
        (dict(filters=4, kernel_size=3, strides=0), ["strides"]),
        (dict(filters=4, kernel_size=3, padding="sane"), ["padding", "sane", "same"]),
        (dict(filters=4, kernel_size=3, padding="causal"), ["causal"]),
        (dict(filters=4, kernel_size=3, data_format="last"), ["data_format", "last"]),
        (dict(filters=4, kernel_size=3, groups=3), ["groups", "3"]),
        (dict(filters=4, kernel_size=3, strides=2, dilation_rate=2), ["strides", "dilation_rate"]),
    ],
)
def test_bad_arguments(kwargs: dict[str, object], words: list[str]) -> None:
    with pytest.raises(ValueError) as caught:
        lamina.layers.Conv2D(**kwargs)
    for word in words:
        assert word in str(caught.value)


def test_channels_must_divide_into_groups() -> None:
    with pytest.raises(ValueError, match="groups"):
        lamina.layers.Conv2D(4, 3, groups=2)(images(1, 5, 5, 3))


def test_kernel_larger_than_the_image_names_both() -> None:
    with pytest.raises(ValueError) as caught:
        lamina.Sequential([lamina.Input((4, 4, 1)), lamina.layers.Conv2D(2, 5, name="big")])
    assert "big" in str(caught.value) and "5" in str(caught.value) and "4" in str(caught.value)


def test_an_image_without_channels_is_refused() -> None:
    with pytest.raises(ValueError, match="conv2d"):
        lamina.layers.Conv2D(4, 3, name="conv2d")(images(2, 8, 8))


def test_other_channels_than_built_for() -> None:
    layer = lamina.layers.Conv2D(4, 3, name="c")
    layer(images(1, 5, 5, 2))
    with pytest.raises(ValueError, match="c"):
        layer(images(1, 5, 5, 3))


def test_row_alone_equals_row_in_batch_bitwise() -> None:
    layer = lamina.layers.Conv2D(5, 3, activation="relu")
    x = images(6, 9, 9, 3)
    whole = np.asarray(layer(x))
    for i in range(len(x)):
        np.testing.assert_array_equal(np.asarray(layer(x[i : i + 1]))[0], whole[i])
