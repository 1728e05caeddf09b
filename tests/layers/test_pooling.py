"""Pooling against real Keras, and the corners its torch backend gets wrong."""

from __future__ import annotations

import numpy as np
import pytest

import lamina
from tests.conftest import check_golden, golden_names

PREFIXES = ("max_pooling2d_", "average_pooling2d_", "global_")
SPACE = ("max_pooling", "average_pooling", "global_", "adaptive_")


@pytest.mark.parametrize("name", [n for n in golden_names("layers") if n.startswith(PREFIXES)])
def test_like_keras(name: str) -> None:
    check_golden("layers", name)


@pytest.mark.parametrize("name", [n for n in golden_names("space") if n.startswith(SPACE)])
def test_all_ranks_like_keras(name: str) -> None:
    check_golden("space", name)


def averages_by_hand(x: np.ndarray, size: int, stride: int) -> np.ndarray:
    """ "same" average pooling over the valid cells only; the odd padding cell goes to the end."""
    rows, columns = (-(-n // stride) for n in x.shape[1:3])
    out = np.zeros((len(x), rows, columns, x.shape[3]), "float64")
    starts = [
        max((count - 1) * stride + size - n, 0) // 2
        for count, n in ((rows, x.shape[1]), (columns, x.shape[2]))
    ]
    for i in range(rows):
        for j in range(columns):
            top, left = i * stride - starts[0], j * stride - starts[1]
            window = x[:, max(top, 0) : top + size, max(left, 0) : left + size]
            out[:, i, j] = window.mean(axis=(1, 2), dtype="float64")
    return out


@pytest.mark.parametrize(("size", "stride"), [(2, 2), (3, 2), (3, 1), (2, 3), (4, 3)])
def test_same_average_divides_by_the_valid_cells(size: int, stride: int) -> None:
    x = np.random.RandomState(0).normal(size=(2, 5, 7, 3)).astype("float32")
    layer = lamina.layers.AveragePooling2D(size, strides=stride, padding="same")
    # float32 means of at most sixteen values
    np.testing.assert_allclose(
        np.asarray(layer(x)), averages_by_hand(x, size, stride), rtol=1e-5, atol=1e-6
    )


def test_same_averages_of_volumes() -> None:
    """Where depth or height has one cell, a volume is an image or a sequence."""
    x = np.random.RandomState(1).normal(size=(2, 5, 7, 3)).astype("float32")
    wanted = averages_by_hand(x, 3, 2)
    volume = lamina.layers.AveragePooling3D((1, 3, 3), strides=(1, 2, 2), padding="same")
    np.testing.assert_allclose(np.asarray(volume(x[:, None]))[:, 0], wanted, rtol=1e-5, atol=1e-6)
    line = lamina.layers.AveragePooling1D(3, strides=2, padding="same")
    rows = averages_by_hand(x[:, :1], 3, 2)[:, 0]
    np.testing.assert_allclose(np.asarray(line(x[:, 0])), rows, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", ["Max", "Average"])
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_channels_first_moves_axes_only(kind: str, rank: int) -> None:
    x = np.random.RandomState(2).normal(size=(2, *range(5, 5 + rank), 3)).astype("float32")
    first = np.moveaxis(x, -1, 1)
    for name, size in ((f"{kind}Pooling{rank}D", 2), (f"Adaptive{kind}Pooling{rank}D", 3)):
        make = getattr(lamina.layers, name)
        last = np.asarray(make(size, data_format="channels_last")(x))
        moved = np.asarray(make(size, data_format="channels_first")(first))
        np.testing.assert_array_equal(np.moveaxis(moved, 1, -1), last)


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("kind", ["Max", "Average"])
def test_adaptive_pooling_refuses(kind: str, rank: int) -> None:
    layer = getattr(lamina.layers, f"Adaptive{kind}Pooling{rank}D")
    for bad in (0, -1, 2.5, "3", (2,) * (rank + 1), None):
        with pytest.raises(ValueError, match="output_size"):
            layer(bad)
    with pytest.raises(ValueError, match="data_format"):
        layer(2, data_format="first")
    with pytest.raises(ValueError, match="axes"):
        layer(2)(np.zeros((2, 3), "float32"))


@pytest.mark.parametrize("name", ["MaxPooling2D", "AveragePooling2D"])
@pytest.mark.parametrize(
    ("kwargs", "word"),
    [
        (dict(pool_size=0), "pool_size"),
        (dict(pool_size=(2, 2, 2)), "pool_size"),
        (dict(pool_size=2, strides=0), "strides"),
        (dict(pool_size=2, padding="full"), "padding"),
        (dict(pool_size=2, data_format="first"), "data_format"),
    ],
)
def test_bad_arguments(name: str, kwargs: dict[str, object], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        getattr(lamina.layers, name)(**kwargs)


def test_average_pooling_requires_a_size() -> None:
    with pytest.raises(TypeError, match="pool_size"):
        lamina.layers.AveragePooling2D()


def test_aliases() -> None:
    layers = lamina.layers
    for rank in (1, 2, 3):
        for short in ("MaxPool", "AvgPool", "GlobalAvgPool", "GlobalMaxPool"):
            full = short.replace("Avg", "Average") + "ing"
            assert getattr(layers, f"{short}{rank}D") is getattr(layers, f"{full}{rank}D")


def test_maximum_keeps_nan_and_infinity() -> None:
    x = np.array([1.0, np.nan, 2.0, -np.inf], "float32").reshape(1, 2, 2, 1)
    assert np.isnan(np.asarray(lamina.layers.MaxPooling2D()(x))).all()
    x[0, 0, 1, 0] = np.inf
    assert np.asarray(lamina.layers.MaxPooling2D()(x)).item() == np.inf
