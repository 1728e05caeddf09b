"""AlphaDropout: mean and variance stay what they are."""

from __future__ import annotations

import numpy as np
import pytest

import lamina
from lamina.testing import check_layer
from tests.conftest import check_golden, golden_names

PREFIXES = ("alpha_dropout_",)
AlphaDropout = lamina.layers.AlphaDropout
COUNT = 200_000


@pytest.mark.parametrize("name", [n for n in golden_names("layers_more") if n.startswith(PREFIXES)])
def test_like_keras(name: str) -> None:
    check_golden("layers_more", name)


@pytest.mark.parametrize("rate", [0.1, 0.3, 0.5])
def test_mean_variance_and_rate(rate: float) -> None:
    x = np.random.RandomState(0).normal(size=(COUNT // 100, 100)).astype("float32")
    y = np.asarray(AlphaDropout(rate, seed=3)(x, training=True))
    values, counts = np.unique(y, return_counts=True)
    # five standard deviations of a mean, a share and a variance (fourth moment below ten)
    assert abs(counts.max() / COUNT - rate) < 5 * (rate * (1 - rate) / COUNT) ** 0.5
    assert abs(y.mean()) < 5 / COUNT**0.5
    assert abs(y.var() - 1) < 5 * (10 / COUNT) ** 0.5
    a = ((1 - rate) * (1 + rate * 1.7580993408473766**2)) ** -0.5
    limit = -1.7580993408473766
    assert values[counts.argmax()] == pytest.approx(a * limit - a * rate * limit, rel=1e-5)


def test_inference_seeds_and_config() -> None:
    x = np.ones((20, 30), "float32")
    layer = AlphaDropout(0.5, seed=4)
    np.testing.assert_array_equal(np.asarray(layer(x)), x)
    first = np.asarray(layer(x, training=True))
    assert (np.asarray(layer(x, training=True)) != first).any()
    again = AlphaDropout.from_config(layer.get_config())
    np.testing.assert_array_equal(np.asarray(again(x, training=True)), first)
    assert layer.weights == [] and len(layer.variables) == 1


def test_noise_shape_is_shared_along_an_axis() -> None:
    layer = AlphaDropout(0.5, noise_shape=(None, 1, 10), seed=1)
    y = np.asarray(layer(np.ones((20, 5, 10), "float32"), training=True))
    np.testing.assert_array_equal(y, np.broadcast_to(y[:, :1], y.shape))
    assert len(np.unique(y)) == 2
    with pytest.raises(ValueError, match="noise_shape"):
        layer(np.ones((20, 5), "float32"), training=True)


def test_training_in_a_model_draws_anew_at_each_step() -> None:
    x, y = np.ones((8, 4), "float32"), np.zeros((8, 4), "float32")
    layers = [lamina.layers.Dense(4), AlphaDropout(0.5, seed=2)]
    model = lamina.Sequential([lamina.Input((4,)), *layers])
    model.compile(lamina.optimizers.SGD(0.0), "mse")
    losses = {float(np.ravel(model.train_on_batch(x, y))[0]) for _ in range(4)}
    assert len(losses) > 1


def test_contract() -> None:
    bad = [dict(rate=-0.5), dict(rate=1.5), dict(rate=1.0), dict(rate="a"), dict(seed=0.5),
           dict(noise_shape=3)]  # fmt: skip
    check_layer(AlphaDropout, dict(rate=0.4, seed=1), input_shape=(3, 4), bad_kwargs=bad)


def test_masks_pass() -> None:
    masked = lamina.layers.Masking()(np.array([[[1.0], [0.0]]], "float32"))
    np.testing.assert_array_equal(np.asarray(AlphaDropout(0.3)(masked).mask), [[True, False]])
