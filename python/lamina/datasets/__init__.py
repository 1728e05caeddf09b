"""Small real datasets, each with a `load_data()` that returns (x_train, y_train), (x_test, y_test).

`digits`, `breast_cancer`, `wine`, `iris` and `diabetes` come with scikit-learn; the others are
downloaded once and kept in the cache directory ($LAMINA_HOME/datasets, else ~/.lamina/datasets).
"""

from __future__ import annotations

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
