"""PyDataset: a data source that makes its batches in Python."""

from __future__ import annotations

from typing import Any

from lamina.validation import Boolean, Integer, check_argument


class PyDataset:
    """Base class of data sources with numbered batches.

    A subclass defines `__len__` (batches per epoch; or `num_batches`, None for endless) and
    `__getitem__(index)`, which returns `(x,)`, `(x, y)` or `(x, y, sample_weight)`.

    Args:
        workers: accepted for Keras's sake; batches are made in the calling thread.
        use_multiprocessing: likewise.
        max_queue_size: likewise.

    Source: https://keras.io/api/utils/python_utils/
    """

    def __init__(
        self, workers: int = 1, use_multiprocessing: bool = False, max_queue_size: int = 10
    ) -> None:
        self.workers = check_argument("PyDataset", "workers", workers, Integer(0))
        self.use_multiprocessing = check_argument(
            "PyDataset", "use_multiprocessing", use_multiprocessing, Boolean()
        )
        self.max_queue_size = check_argument(
            "PyDataset", "max_queue_size", max_queue_size, Integer(1)
        )

    def __getitem__(self, index: int) -> Any:
        """Return batch `index`."""
        raise NotImplementedError(f"{type(self).__name__} must define __getitem__(index).")

    @property
    def num_batches(self) -> int | None:
        """Batches per epoch; None when there is no end."""
        if hasattr(self, "__len__"):
            return len(self)
        raise NotImplementedError(f"{type(self).__name__} must define __len__() or num_batches.")

    def on_epoch_begin(self) -> None:
        """Called before every epoch."""

    def on_epoch_end(self) -> None:
        """Called after every epoch, for example to shuffle."""


Sequence = PyDataset  # its older name
