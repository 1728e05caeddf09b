"""The switch of Winograd's way to convolve, seen from Python."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

import lamina
from lamina import config, layers, ops

RNG = np.random.RandomState(5)
IMAGES = RNG.standard_normal((2, 16, 16, 16)).astype("float32")
KERNEL = RNG.standard_normal((3, 3, 16, 24)).astype("float32")


@pytest.fixture(autouse=True)
def _enabled_again() -> Iterator[None]:
    yield
    config.enable_winograd()


def test_plain_sums_on_request() -> None:
    exact = ops.conv(IMAGES.astype("float64"), KERNEL.astype("float64"), padding="same").numpy()
    size = np.sqrt(np.mean(exact**2))

    def error() -> float:
        y = ops.conv(IMAGES, KERNEL, padding="same").numpy()
        return float(np.sqrt(np.mean((y - exact) ** 2)) / size)

    assert config.is_winograd_enabled()
    fast = error()
    config.disable_winograd()
    assert not config.is_winograd_enabled()
    plain = error()
    assert plain < fast < 2e-6
    config.enable_winograd()
    assert error() == fast


def test_series_take_it_too() -> None:
    series = RNG.standard_normal((3, 30, 16)).astype("float32")
    for taps in (3, 4, 5, 6):
        kernel = RNG.standard_normal((taps, 16, 24)).astype("float32")
        for padding in ("valid", "same", "causal"):
            layer = layers.Conv1D(24, taps, padding=padding, use_bias=False)
            layer.build((None, 30, 16))
            layer.set_weights([kernel])
            config.enable_winograd()
            fast = layer(series).numpy()
            config.disable_winograd()
            plain = layer(series).numpy()
            assert np.any(fast != plain)
            np.testing.assert_allclose(fast, plain, atol=5e-5)


def test_transposed_convolution_follows_the_switch() -> None:
    kernel = np.swapaxes(KERNEL, 2, 3).copy()

    def result() -> np.ndarray:
        y: np.ndarray = ops.conv_transpose(IMAGES, kernel, padding="same").numpy()
        return y

    fast = result()
    config.disable_winograd()
    plain = result()
    assert np.any(fast != plain)
    np.testing.assert_allclose(fast, plain, atol=1e-4)


def test_compile_traces_with_the_setting_of_its_time() -> None:
    def trained() -> np.ndarray:
        lamina.utils.set_random_seed(1)
        model = lamina.Sequential([layers.Input((16, 16, 16)), layers.Conv2D(16, 3)])
        model.compile("sgd", "mse")
        model.fit(IMAGES, np.zeros((2, 14, 14, 16), "float32"), verbose=0)
        kernel: np.ndarray = model.get_weights()[0]
        return kernel

    fast = trained()
    config.disable_winograd()
    plain = trained()
    assert np.any(fast != plain)
    np.testing.assert_allclose(fast, plain, rtol=1e-4, atol=1e-6)
