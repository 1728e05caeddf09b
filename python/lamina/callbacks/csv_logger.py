"""One line per epoch in a CSV file."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

import numpy as np

from lamina.callbacks.callback import Callback, Logs
from lamina.validation import Boolean, FilePath, Text, check_argument


class CSVLogger(Callback):
    """Write the logs of every epoch to a CSV file: the epoch (from 0), then the logs by name.

    Args:
        filename: name of the file.
        separator: what stands between two values.
        append: whether to continue an existing file instead of replacing it.
    """

    def __init__(
        self, filename: str | os.PathLike[str], separator: str = ",", append: bool = False
    ) -> None:
        super().__init__()
        self.filename = check_argument("CSVLogger", "filename", filename, FilePath())
        self.sep = check_argument("CSVLogger", "separator", separator, Text())
        self.append = check_argument("CSVLogger", "append", append, Boolean())
        self.append_header = True
        self.keys: list[str] | None = None
        self.writer: Any = None
        self.csv_file: Any = None

    def on_train_begin(self, logs: Logs | None = None) -> None:
        if self.append and os.path.exists(self.filename):
            self.append_header = os.path.getsize(self.filename) == 0
        self._close()
        # The file stays open through the training; the csv module ends the lines.
        self.csv_file = open(self.filename, "a" if self.append else "w", newline="")
        self.writer = None
        self.keys = None

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        logs = logs or {}
        if self.keys is None:
            self.keys = sorted(logs)
            if not any(key.startswith("val_") for key in self.keys):
                # Validation may start at a later epoch: its columns wait from the beginning.
                self.keys += [f"val_{key}" for key in self.keys]
        if self.writer is None:
            import csv

            names = ["epoch", *self.keys]
            self.writer = csv.DictWriter(self.csv_file, fieldnames=names, delimiter=self.sep)
            if self.append_header:
                self.writer.writeheader()
        row = {key: _cell(logs.get(key, "NA")) for key in self.keys}
        self.writer.writerow({"epoch": epoch, **row})
        self.csv_file.flush()

    def on_train_end(self, logs: Logs | None = None) -> None:
        self._close()
        self.writer = None

    def _close(self) -> None:
        if self.csv_file is not None and not self.csv_file.closed:
            self.csv_file.close()


def _cell(value: Any) -> Any:
    is_scalar = isinstance(value, str) or getattr(value, "ndim", None) == 0
    if not is_scalar and isinstance(value, (Iterable, np.ndarray)):
        return f'"[{", ".join(map(str, value))}]"'
    return value
