"""The registry of golden cases, and what their bodies share.

A case is a function of a Keras-like module. `make_golden.py` runs it with real Keras and stores
what it returns; the tests run the very same function with lamina and compare. So a case is
written once, and its inputs are never stored: they come from `rng`, whose bits NumPy froze.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

HERE = Path(__file__).parent
Result = dict[str, Any]  # name -> array or number (compared closely), str or list (exactly)


class Case(NamedTuple):
    family: str
    name: str
    run: Callable[[Any], Result]
    rtol: float
    atol: float


CASES: dict[str, dict[str, Case]] = {}


def add(
    family: str, name: str, run: Callable[[Any], Result], rtol: float = 2e-5, atol: float = 2e-6
) -> None:
    """Register one case. The default tolerance is a few float32 roundings of values near one."""
    table = CASES.setdefault(family, {})
    if name in table:
        raise ValueError(f"golden case {family}/{name} is registered twice")
    table[name] = Case(family, name, run, rtol, atol)


def rng(seed: int = 0) -> np.random.RandomState:
    return np.random.RandomState(seed)


def normal(*shape: int, seed: int = 1) -> np.ndarray:
    return rng(seed).normal(size=shape).astype("float32")


def uniform(*shape: int, seed: int = 1, low: float = 0.0, high: float = 1.0) -> np.ndarray:
    return rng(seed).uniform(low, high, size=shape).astype("float32")


def integers(high: int, *shape: int, seed: int = 1, low: int = 0) -> np.ndarray:
    return rng(seed).randint(low, high, size=shape).astype("int32")


def one_hot(ids: np.ndarray, classes: int) -> np.ndarray:
    return np.eye(classes, dtype="float32")[ids]


def fill(model: Any, seed: int = 7, scale: float = 0.4) -> list[list[int]]:
    """Give every weight reproducible values, in creation order; returns the weights' shapes."""
    generator = rng(seed)
    weights = [
        (scale * generator.normal(size=w.shape)).astype("float32") for w in model.get_weights()
    ]
    model.set_weights(weights)
    return [list(w.shape) for w in weights]


def flat(weights: list[np.ndarray]) -> np.ndarray:
    return np.concatenate([np.ravel(w) for w in weights] or [np.zeros(0, "float32")])


def as_numpy(value: Any) -> np.ndarray:
    """A concrete tensor of any backend as an array."""
    if isinstance(value, np.ndarray):
        return value
    if hasattr(value, "detach"):
        value = value.detach().cpu()
    return np.asarray(value)


# ---- Files: one .npz of arrays and one .json of everything else for each family.


def save(family: str, results: dict[str, Result]) -> None:
    arrays: dict[str, np.ndarray] = {}
    rest: dict[str, dict[str, Any]] = {}
    for name, result in results.items():
        rest[name] = {}
        for key, value in result.items():
            if isinstance(value, np.ndarray):
                arrays[f"{name}|{key}"] = value
            else:
                rest[name][key] = value
    np.savez_compressed(HERE / f"{family}.npz", **arrays)
    text = json.dumps(rest, indent=0, sort_keys=True, ensure_ascii=False)
    (HERE / f"{family}.json").write_text(text + "\n", encoding="utf-8")


def load(family: str) -> dict[str, Result]:
    results: dict[str, Result] = json.loads((HERE / f"{family}.json").read_text(encoding="utf-8"))
    with np.load(HERE / f"{family}.npz", allow_pickle=False) as arrays:
        for key in arrays.files:
            name, entry = key.rsplit("|", 1)
            results[name][entry] = arrays[key]
    return results
