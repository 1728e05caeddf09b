"""Initializers: statistics against real Keras, exact ones exactly, seeds, errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import lamina
from lamina import ops
from tests.conftest import check_golden, golden_names, stored
from tests.golden.cases import CASES
from tests.golden.initializers_cases import RANDOM, SHAPES

UNBOUNDED = ("random_normal", "random_normal_args", "variance_scaling")


@pytest.mark.parametrize("name", [n for n in golden_names("initializers") if n not in RANDOM])
def test_like_keras(name: str) -> None:
    check_golden("initializers", name)


@pytest.mark.parametrize("name", RANDOM)
def test_statistics_like_keras(name: str) -> None:
    actual, expected = CASES["initializers"][name].run(lamina), stored("initializers")[name]
    for label, shape in SHAPES.items():
        count = np.prod(shape)
        mean, deviation, reach = actual[label]
        known_mean, known_deviation, known_reach = expected[label]
        # Both are samples: five standard errors of the difference of two means and deviations.
        assert abs(mean - known_mean) < 5 * known_deviation * (2 / count) ** 0.5
        assert abs(deviation / known_deviation - 1) < 5 / count**0.5
        if name not in UNBOUNDED:
            assert reach == pytest.approx(known_reach, rel=0.01)


@pytest.mark.parametrize("name", [*RANDOM, "orthogonal"])
def test_seeds(name: str) -> None:
    cls, kwargs = RANDOM.get(name, ("Orthogonal", {}))
    make = getattr(lamina.initializers, cls)

    def draw(seed: int | None) -> np.ndarray:
        return np.asarray(make(seed=seed, **kwargs)((6, 5)))

    np.testing.assert_array_equal(draw(3), draw(3))
    assert (draw(3) != draw(4)).any()
    fixed = make(seed=3, **kwargs)
    np.testing.assert_array_equal(np.asarray(fixed((6, 5))), np.asarray(fixed((6, 5))))
    assert (draw(None) != draw(None)).any()


@pytest.mark.parametrize("name", ["glorot_uniform", "orthogonal", "random_normal"])
def test_set_random_seed_repeats(name: str) -> None:
    drawn = []
    for _ in range(2):
        lamina.utils.set_random_seed(5)
        drawn.append([np.asarray(lamina.initializers.get(name)((4, 4))) for _ in range(2)])
    np.testing.assert_array_equal(drawn[0][0], drawn[1][0])
    np.testing.assert_array_equal(drawn[0][1], drawn[1][1])
    assert (drawn[0][0] != drawn[0][1]).any()


@pytest.mark.parametrize(
    ("typo", "meant"),
    [("glorot_unifrom", "glorot_uniform"), ("hee_normal", "he_normal"), ("zeroes", "zeros")],
)
def test_typo(typo: str, meant: str) -> None:
    with pytest.raises(ValueError) as caught:
        lamina.initializers.get(typo)
    assert typo in str(caught.value) and meant in str(caught.value).lower()


@pytest.mark.parametrize(
    ("kwargs", "word"),
    [
        (dict(scale=0.0), "scale"),
        (dict(scale=-1.0), "scale"),
        (dict(mode="fan_middle"), "mode"),
        (dict(distribution="cauchy"), "distribution"),
    ],
)
def test_bad_variance_scaling(kwargs: dict[str, object], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        lamina.initializers.VarianceScaling(**kwargs)


def test_an_array_is_for_weights_of_its_shape() -> None:
    given = np.arange(6.0).reshape(2, 3)
    first = lamina.initializers.get(given)
    np.testing.assert_array_equal(np.asarray(first((2, 3))), given)
    with pytest.raises(ValueError, match="Expected `shape`"):
        first((4, 2, 3))
    assert lamina.initializers.Constant(given)((4, 2, 3)).shape == (4, 2, 3)


@pytest.mark.parametrize(
    ("kwargs", "shape", "word"),
    [
        (dict(side="imaginary"), None, "side"),
        (dict(scaling="l2"), None, "scaling"),
        (dict(), (4, 3), "three axes"),
        (dict(window=[1.0, 2.0]), (4, 1, 3), "window must have 4 values"),
    ],
)
def test_bad_stft(kwargs: dict[str, Any], shape: Any, word: str) -> None:
    with pytest.raises(ValueError, match=word):
        lamina.initializers.STFT(**kwargs)(shape)


def test_variance_of_an_einsum_kernel_counts_its_own_axes() -> None:
    layer = lamina.layers.EinsumDense(
        "abc,cde->abde", (None, 8, 16), kernel_initializer="lecun_normal"
    )
    layer.build((None, 10, 32))
    assert float(ops.std(layer.kernel)) == pytest.approx((1 / 32) ** 0.5, rel=0.05)


def test_orthogonal_wants_two_axes() -> None:
    with pytest.raises(ValueError, match="2|two"):
        lamina.initializers.Orthogonal()((3,))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_dtype(dtype: str) -> None:
    for name in ("glorot_uniform", "he_normal", "orthogonal", "zeros", "ones", "identity"):
        assert np.asarray(lamina.initializers.get(name)((3, 3), dtype=dtype)).dtype == dtype


def test_config_round_trip() -> None:
    made = lamina.initializers.VarianceScaling(2.0, "fan_out", "uniform", seed=3)
    again = lamina.initializers.deserialize(lamina.initializers.serialize(made))
    np.testing.assert_array_equal(np.asarray(made((4, 5))), np.asarray(again((4, 5))))
