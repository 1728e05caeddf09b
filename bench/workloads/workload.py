"""What a workload is: its data, and the same model for Keras-like modules and for PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

Data = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Workload:
    """One program.

    Attributes:
        data: gives x and y.
        build: a compiled model through a module with the Keras API.
        torch: (module, loss) that PyTorch users would write for it. Images come channels-first
            (stored channels-last, which is its fastest layout), labels of classes as indices.
    """

    name: str
    batch_size: int
    data: Callable[[], Data]
    build: Callable[[Any], Any]
    torch: Callable[[Any], tuple[Any, Any]]

    def with_batch(self, batch_size: int, rows: int) -> Workload:
        """The same model on `rows` rows (the data again and again) in batches of another size."""
        x, y = self.data()
        indices = np.arange(rows) % len(x)
        data = x[indices], y[indices]
        return replace(self, batch_size=batch_size, data=lambda: data)

    def steps_per_epoch(self, rows: int) -> int:
        """Batches in one pass, the last one possibly smaller."""
        return -(-rows // self.batch_size)


def random() -> np.random.RandomState:
    """The generator of all made-up data."""
    return np.random.RandomState(0)


def uniform(*shape: int) -> np.ndarray:
    """float32 numbers in [0, 1)."""
    return random().random_sample(shape).astype(np.float32)


def classes(rows: int, count: int) -> np.ndarray:
    """One-hot labels."""
    return np.eye(count, dtype=np.float32)[random().randint(count, size=rows)]


def zeros_and_ones(rows: int) -> np.ndarray:
    """Labels of a yes/no question, shape (rows, 1)."""
    return random().randint(2, size=(rows, 1)).astype(np.float32)
