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


SPACE = (
    "cropping", "zero_padding", "up_sampling", "flatten", "spatial", "resize", "gaussian",
    "extract", "depth", "space", "fold",
)  # fmt: skip


@pytest.mark.parametrize("name", [n for n in golden_names("space") if n.startswith(SPACE)])
def test_in_a_model_like_keras(name: str) -> None:
    check_golden("space", name)


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
        ("UpSampling1D", dict(size=3), (2, 3, 4), [dict(size=0), dict(size=-2)]),
        ("UpSampling2D", dict(size=(1, 2), interpolation="lanczos3"), (2, 3, 4, 2),
         [dict(size=0), dict(size=(2, 2.5)), dict(interpolation="area"), dict(size=(1, 2, 3))]),
        ("UpSampling3D", dict(size=(1, 2, 2)), (2, 2, 3, 4, 1),
         [dict(size=(2, 0, 1)), dict(size="ab"), dict(data_format="last")]),
        ("ZeroPadding3D", dict(padding=(1, 0, 2)), (2, 2, 3, 4, 1),
         [dict(padding=-1), dict(padding=(1, 2)), dict(padding=((1, 2), (3, 4), (5, -6)))]),
        ("Cropping3D", dict(cropping=((1, 0), (0, 1), (1, 1))), (2, 3, 4, 5, 2),
         [dict(cropping=-1), dict(cropping=(1, 2)), dict(cropping=((1, 2), (3, 4), "5"))]),
        ("SpatialDropout3D", dict(rate=0.3), (2, 2, 3, 4, 5),
         [dict(rate=1.5), dict(data_format="last")]),
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


@pytest.mark.parametrize("value", ["2", 2.5, True, [2]])
def test_repetitions_are_integers(value: Any) -> None:
    with pytest.raises(TypeError, match="UpSampling1D: size"):
        L.UpSampling1D(value)
    with pytest.raises(TypeError, match="RepeatVector: n"):
        L.RepeatVector(value)


@pytest.mark.parametrize("method", ["bilinear", "bicubic", "lanczos5"])
def test_bilinear_upsampling_of_unknown_sizes(method: str) -> None:
    inputs = lamina.Input((None, None, 2))
    model = lamina.Model(inputs, L.UpSampling2D((2, 3), interpolation=method)(inputs))
    assert model.output_shape == (None, None, None, 2)
    for height, width in ((4, 3), (2, 5)):
        x = np.random.RandomState(0).normal(size=(2, height, width, 2)).astype("float32")
        wanted = lamina.ops.image.resize(x, (2 * height, 3 * width), method)
        np.testing.assert_array_equal(model.predict(x, verbose=0), np.asarray(wanted))


def test_whole_channels_of_volumes_are_dropped() -> None:
    for data_format, axes in (("channels_last", (1, 2, 3)), ("channels_first", (2, 3, 4))):
        layer = L.SpatialDropout3D(0.5, data_format=data_format, seed=3)
        dropped = np.asarray(layer(np.ones((3, 4, 4, 4, 4), "float32"), training=True))
        totals = dropped.sum(axis=axes)
        assert set(np.unique(totals)) == {0.0, 128.0}


def test_another_rank_is_refused() -> None:
    names = ("Cropping1D", "ZeroPadding1D", "UpSampling1D", "Cropping2D", "Cropping3D",
             "ZeroPadding3D", "UpSampling3D")  # fmt: skip
    for layer in (*(getattr(L, name)() for name in names), L.SpatialDropout3D(0.5)):
        with pytest.raises(ValueError, match="axes"):
            layer(np.zeros((2, 3), "float32"))
