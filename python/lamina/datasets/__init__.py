"""Small real datasets, each with a `load_data()` that returns (x_train, y_train), (x_test, y_test).

`digits`, `breast_cancer`, `wine`, `iris` and `diabetes` come with scikit-learn; the others are
downloaded once and kept in the cache directory ($LAMINA_HOME/datasets, else ~/.lamina/datasets).
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # for editors; a program loads a dataset's module when it first names it
    from lamina.datasets import (
        boston_housing,
        breast_cancer,
        california_housing,
        cifar10,
        cifar100,
        diabetes,
        digits,
        fashion_mnist,
        imdb,
        iris,
        mnist,
        reuters,
        wine,
    )

__all__ = [
    "boston_housing",
    "breast_cancer",
    "california_housing",
    "cifar10",
    "cifar100",
    "diabetes",
    "digits",
    "fashion_mnist",
    "imdb",
    "iris",
    "mnist",
    "reuters",
    "wine",
]


def __getattr__(name: str) -> ModuleType:
    if name in __all__:
        return importlib.import_module(f"lamina.datasets.{name}")
    raise AttributeError(f"module 'lamina.datasets' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
