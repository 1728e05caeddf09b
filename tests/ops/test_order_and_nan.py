"""Quantiles, bins and ranks of data with NaN and infinities, and arguments out of range."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lamina import ops

NAN, INF = float("nan"), float("inf")
ROWS = np.array([[1.0, NAN, 3.0, 2.0], [4.0, 1.0, 3.0, 2.0], [1.0, INF, 2.0, -INF]], "float32")


@pytest.mark.parametrize("method", ["linear", "lower", "higher", "midpoint", "nearest"])
@pytest.mark.parametrize("q", [0.0, 0.3, 0.5, 1.0, [0.25, 0.6]])
@pytest.mark.parametrize("name", ["quantile", "nanquantile"])
def test_quantiles_are_numpys(name: str, q: Any, method: str) -> None:
    rows = ROWS[:2] if method in ("linear", "midpoint") else ROWS  # inf - inf has no middle
    found = np.asarray(getattr(ops, name)(rows, q, axis=1, method=method))
    want = getattr(np, name)(rows, q, axis=1, method=method)
    np.testing.assert_allclose(found, want, rtol=1e-6)


def test_a_nan_shows_in_the_median() -> None:
    np.testing.assert_array_equal(np.asarray(ops.median(ROWS[:2], axis=1)), [NAN, 2.5])
    np.testing.assert_array_equal(np.asarray(ops.nanmedian(ROWS[:2], axis=1)), [2.0, 2.5])
    assert np.isnan(np.asarray(ops.percentile(ROWS, 50)))


@pytest.mark.parametrize("side", ["left", "right"])
def test_nan_is_inserted_last(side: str) -> None:
    edges = np.array([1.0, 2.0, INF], "float32")
    values = np.array([NAN, 2.0, INF, 0.0], "float32")
    found = np.asarray(ops.searchsorted(edges, values, side=side))
    np.testing.assert_array_equal(found, np.searchsorted(edges, values, side=side))


def test_a_histogram_leaves_nan_out() -> None:
    x = np.array([NAN, 0.5, 1.5, 9.0, 2.0], "float32")
    for bins in (1, 4):
        found, edges = ops.histogram(x, bins, range=(0.0, 2.0))
        want, want_edges = np.histogram(x, bins, range=(0.0, 2.0))
        np.testing.assert_array_equal(np.asarray(found), want)
        np.testing.assert_allclose(np.asarray(edges), want_edges)


@pytest.mark.parametrize(
    ("call", "word"),
    [
        (lambda: ops.quantile(ROWS, 1.5), "[0, 1]"),
        (lambda: ops.nanquantile(ROWS, -0.1), "[0, 1]"),
        (lambda: ops.percentile(ROWS, 101), "[0, 1]"),
        (lambda: ops.quantile(ROWS, NAN), "[0, 1]"),
        (lambda: ops.quantile(ROWS, 0.5, method="best"), "method"),
        (lambda: ops.histogram(ROWS[0], 3), "finite"),
        (lambda: ops.bincount(np.array([-1, 2])), "negative"),
        (lambda: ops.arange(0, 1, 0), "step"),
    ],
)
def test_arguments_out_of_range_are_refused(call: Any, word: str) -> None:
    with pytest.raises(ValueError, match=word.replace("[", r"\[")):
        call()
