"""lamina.random: distributions, seeds, generators, and bits that depend on nothing else."""

from __future__ import annotations

import numpy as np
import pytest

import lamina
from lamina import random

COUNT = 40_000
# name -> (call, mean, standard deviation, low, high); bounds include what may be reached
DRAWS = {
    "uniform": (lambda s: random.uniform((COUNT,), seed=s), 0.5, 12**-0.5, 0.0, 1.0),
    "uniform_range": (lambda s: random.uniform((COUNT,), -2.0, 4.0, seed=s), 1.0, 3**0.5, -2.0,
                      4.0),
    "normal": (lambda s: random.normal((COUNT,), seed=s), 0.0, 1.0, -7.0, 7.0),
    "normal_args": (lambda s: random.normal((COUNT,), 3.0, 0.1, seed=s), 3.0, 0.1, 2.2, 3.8),
    "truncated_normal": (lambda s: random.truncated_normal((COUNT,), seed=s), 0.0, 0.87962566,
                         -2.0, 2.0),
    "randint": (lambda s: random.randint((COUNT,), 2, 12, seed=s), 6.5, (99 / 12) ** 0.5, 2, 11),
    "binomial_dropout": (lambda s: random.dropout(np.ones(COUNT, "float32"), 0.25, seed=s), 1.0,
                         (1 / 3) ** 0.5, 0.0, 4 / 3 + 1e-6),
    "gamma": (lambda s: random.gamma((COUNT,), 4.0, seed=s), 4.0, 2.0, 0.0, 40.0),
    "gamma_small": (lambda s: random.gamma((COUNT,), 0.25, seed=s), 0.25, 0.5, 0.0, 20.0),
    "beta": (lambda s: random.beta((COUNT,), 2.0, 6.0, seed=s), 0.25, (12 / 576) ** 0.5, 0.0, 1.0),
    "binomial": (lambda s: random.binomial((COUNT,), 10.0, 0.3, seed=s), 3.0, 2.1**0.5, 0, 10),
    "binomial_long": (lambda s: random.binomial((COUNT,), 1000.0, 0.3, seed=s), 300.0, 210**0.5,
                      200, 400),
}  # fmt: skip


@pytest.mark.parametrize("name", DRAWS)
def test_moments_and_bounds(name: str) -> None:
    call, mean, deviation, low, high = DRAWS[name]
    x = np.asarray(call(3)).astype("float64")
    assert abs(x.mean() - mean) < 5 * deviation / COUNT**0.5  # five standard errors
    assert abs(x.std() / deviation - 1) < 0.03
    assert x.min() >= low and x.max() <= high


@pytest.mark.parametrize("name", DRAWS)
def test_an_integer_seed_repeats_and_another_differs(name: str) -> None:
    call = DRAWS[name][0]
    np.testing.assert_array_equal(np.asarray(call(3)), np.asarray(call(3)))
    assert (np.asarray(call(3)) != np.asarray(call(4))).any()


def test_a_generator_advances_and_two_of_one_seed_agree() -> None:
    first, second = random.SeedGenerator(7), random.SeedGenerator(7)
    a = [np.asarray(random.normal((5,), seed=first)) for _ in range(3)]
    b = [np.asarray(random.normal((5,), seed=second)) for _ in range(3)]
    np.testing.assert_array_equal(a, b)
    assert (a[0] != a[1]).any()


def test_without_a_seed_the_global_one_counts() -> None:
    drawn = []
    for _ in range(2):
        lamina.utils.set_random_seed(9)
        drawn.append([np.asarray(random.uniform((4,))) for _ in range(2)])
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert (drawn[0][0] != drawn[0][1]).any()


def test_an_element_depends_on_its_position_only() -> None:
    long = np.asarray(random.normal((1000,), seed=5))
    for size in (1, 3, 17, 255):
        np.testing.assert_array_equal(np.asarray(random.normal((size,), seed=5)), long[:size])


def test_neighbours_and_seeds_are_uncorrelated() -> None:
    x = np.asarray(random.normal((COUNT,), seed=1))
    y = np.asarray(random.normal((COUNT,), seed=2))
    for a, b in ((x[:-1], x[1:]), (x, y), (x[::2], x[1::2])):
        assert abs(np.corrcoef(a, b)[0, 1]) < 5 / len(a) ** 0.5


def test_categorical_frequencies() -> None:
    logits = np.log(np.array([[0.2, 0.5, 0.3]], "float32"))
    drawn = np.asarray(random.categorical(logits, COUNT, seed=1))
    shares = np.bincount(drawn.ravel(), minlength=3) / COUNT
    np.testing.assert_allclose(shares, [0.2, 0.5, 0.3], atol=5 * 0.5 / COUNT**0.5)


def test_shuffle_keeps_every_value() -> None:
    shuffled = np.asarray(random.shuffle(np.arange(50), seed=1))
    assert (shuffled != np.arange(50)).any()
    np.testing.assert_array_equal(np.sort(shuffled), np.arange(50))


@pytest.mark.parametrize("bad", ["1", 1.5, [1]])
def test_bad_seed(bad: object) -> None:
    with pytest.raises((ValueError, TypeError), match="seed"):
        random.SeedGenerator(bad)


def test_parameters_without_end_give_an_answer() -> None:
    """A draw by rejection that nothing satisfies would never return."""
    infinite = np.array([np.inf, 1.0, np.nan, -1.0], "float32")
    drawn = np.asarray(random.gamma((4,), infinite, seed=1))
    assert drawn[0] == np.inf and np.isfinite(drawn[1]) and np.isnan(drawn[2:]).all()
    counts = np.array([np.inf, 5.0, np.nan], "float32")
    drawn = np.asarray(random.binomial((3,), counts, 0.5, seed=1))
    assert np.isnan(drawn[0]) and 0 <= drawn[1] <= 5 and np.isnan(drawn[2])
