"""What every test module shares: a fresh session, and the comparison with real Keras."""

from __future__ import annotations

import functools
import gc
import importlib
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import lamina
from tests.golden import cases


@pytest.fixture(autouse=True)
def fresh_session() -> Iterator[None]:
    """Automatic names start again and random numbers repeat, whatever ran before."""
    lamina.utils.clear_session()
    lamina.utils.set_random_seed(1)
    yield


def pytest_collection_finish() -> None:
    """What the collection made lives to the end: each session's clearing need not walk it."""
    gc.collect()
    gc.freeze()


@functools.cache
def stored(family: str) -> dict[str, cases.Result]:
    return cases.load(family)


def golden_names(family: str) -> list[str]:
    """The case names of a family, for `pytest.mark.parametrize`."""
    importlib.import_module(f"tests.golden.{family}_cases")
    return list(cases.CASES[family])


def check_golden(family: str, name: str) -> None:
    """Run one golden case with lamina and compare all it returns with what Keras returned."""
    importlib.import_module(f"tests.golden.{family}_cases")
    case = cases.CASES[family][name]
    actual, expected = case.run(lamina), stored(family)[name]
    assert sorted(actual) == sorted(expected), "the case returns other entries than the file has"
    for key, value in expected.items():
        if isinstance(value, np.ndarray):
            check_close(actual[key], value, case.rtol, case.atol, f"{name}: {key}")
        else:
            check_equal(json.loads(json.dumps(actual[key])), value, case.rtol, f"{name}: {key}")


def check_close(actual: Any, expected: Any, rtol: float, atol: float, what: str = "") -> None:
    """Arrays close to each other; a failure shows shapes, the worst place and both values."""
    a, e = np.asarray(actual), np.asarray(expected)
    assert a.shape == e.shape, f"{what}: shape {a.shape}, expected {e.shape}"
    if a.size == 0 or np.allclose(a, e, rtol=rtol, atol=atol, equal_nan=True):
        return
    with np.errstate(invalid="ignore"):
        error = np.nan_to_num(np.abs(a.astype("float64") - e.astype("float64")), nan=np.inf)
    worst = np.unravel_index(np.argmax(error - rtol * np.abs(np.nan_to_num(e))), a.shape)
    where = tuple(int(i) for i in worst)
    raise AssertionError(
        f"{what}: shape {a.shape}, worst at {where}: {a[worst]!r}, expected {e[worst]!r} "
        f"(error {error[worst]:.3g}, rtol {rtol:g}, atol {atol:g})"
    )


def check_equal(actual: Any, expected: Any, rtol: float, what: str) -> None:
    """Equal structures; numbers that are not whole may differ by a rounding."""
    if isinstance(expected, dict):
        assert isinstance(actual, dict) and sorted(actual) == sorted(expected), (
            f"{what}: {actual} has other keys than {expected}"
        )
        for key in expected:
            check_equal(actual[key], expected[key], rtol, f"{what}[{key!r}]")
    elif isinstance(expected, list):
        assert isinstance(actual, list) and len(actual) == len(expected), (
            f"{what}: {actual}, expected {expected}"
        )
        for i, (a, e) in enumerate(zip(actual, expected, strict=True)):
            check_equal(a, e, rtol, f"{what}[{i}]")
    elif isinstance(expected, float):
        assert actual == pytest.approx(expected, rel=rtol, abs=1e-9, nan_ok=True), what
    else:
        assert actual == expected, f"{what}: {actual!r}, expected {expected!r}"
