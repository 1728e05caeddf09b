"""Cropping, padding and repeating along space and time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import lamina
from lamina.testing import check_layer
from tests.conftest import check_golden, golden_names

PREFIXES = ("cropping", "zero_padding1d", "up_sampling1d")
L = lamina.layers


@pytest.mark.parametrize("name", [n for n in golden_names("layers_more") if n.startswith(PREFIXES)])
def test_like_keras(name: str) -> None:
    check_golden("layers_more", name)


@pytest.mark.parametrize(
    ("name", "kwargs", "shape", "bad"),
    [
        ("Cropping1D", dict(cropping=(1, 2)), (2, 6, 3),
         [dict(cropping=(-1, 2)), dict(cropping=(1, 2, 3)), dict(cropping="a"),
          dict(cropping=1.5)]),
        ("Cropping2D", dict(cropping=((1, 0), (0, 2))), (2, 4, 5, 3),
         [dict(cropping=(1,)), dict(cropping=-1), dict(cropping=((1, 2), (3,))),
          dict(cropping="ab"), dict(data_format="middle")]),
        ("ZeroPadding1D", dict(padding=(2, 1)), (2, 3, 4),
         [dict(padding=-1), dict(padding=(1, 2, 3)), dict(padding=None),
          dict(data_format="first")]),
        ("UpSampling1D", dict(size=3), (2, 3, 4),
         [dict(size=0), dict(size=-2), dict(size=2.5), dict(size="2"), dict(size=True)]),
    ],
)  # fmt: skip
def test_contract(
    name: str, kwargs: dict[str, Any], shape: tuple[int, ...], bad: list[dict[str, Any]]
) -> None:
    check_layer(getattr(L, name), kwargs, input_shape=shape, bad_kwargs=bad)


def test_unknown_sizes() -> None:
    steps, image = lamina.Input((None, 4)), lamina.Input((None, 6, 1))
    assert L.Cropping1D((1, 2))(steps).shape == (None, None, 4)
    assert L.ZeroPadding1D(2)(steps).shape == (None, None, 4)
    assert L.UpSampling1D(2)(steps).shape == (None, None, 4)
    assert L.Cropping2D(2)(image).shape == (None, None, 2, 1)


def test_a_model_of_sequences_of_any_length() -> None:
    inputs = lamina.Input((None, 2))
    h = L.UpSampling1D(2)(L.Cropping1D((1, 0))(inputs))
    model = lamina.Model(inputs, L.ZeroPadding1D((0, 1))(h))
    for steps in (2, 5):
        x = np.random.RandomState(0).normal(size=(3, steps, 2)).astype("float32")
        expected = np.pad(np.repeat(x[:, 1:], 2, axis=1), [(0, 0), (0, 1), (0, 0)])
        np.testing.assert_array_equal(model.predict(x, verbose=0), expected)


def test_the_data_format_comes_from_the_configuration() -> None:
    lamina.config.set_image_data_format("channels_first")
    try:
        assert L.Cropping2D().data_format == L.ZeroPadding1D().data_format == "channels_first"
    finally:
        lamina.config.set_image_data_format("channels_last")


@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (lambda: L.Cropping1D((2, 2), name="cut"), (4, 3)),
        (lambda: L.Cropping1D(3, name="cut"), (5, 3)),
        (lambda: L.Cropping2D(((0, 0), (1, 3)), name="cut"), (5, 4, 1)),
        (lambda: L.Cropping2D(2, data_format="channels_first", name="cut"), (1, 4, 9)),
    ],
)
def test_cropping_everything_is_refused(make: Any, shape: tuple[int, ...]) -> None:
    for inputs in (lamina.Input(shape), np.zeros((2, *shape), "float32")):
        with pytest.raises(ValueError) as caught:
            make()(inputs)
        assert "cut" in str(caught.value) and "cropping" in str(caught.value)


def test_another_rank_is_refused() -> None:
    for layer in (L.Cropping1D(), L.ZeroPadding1D(), L.UpSampling1D(), L.Cropping2D()):
        with pytest.raises(ValueError, match="axes"):
            layer(np.zeros((2, 3), "float32"))
