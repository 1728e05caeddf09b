"""Models as folders: the members of a `.keras` archive as files of their own."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from typing import IO, Any

from lamina.saving.archive import CONFIG, GREATEST_TEXT, METADATA, WEIGHTS


def write_folder(path: str, texts: dict[str, str], write_weights: Callable[[Any], None]) -> None:
    """Write a model's members into a folder, which takes its place when it is complete.

    Args:
        path: folder to write; what it held before is removed.
        texts: the JSON members by name.
        write_weights: puts the weights into the open binary file it is given.
    """
    whole = os.path.abspath(path)
    aside = tempfile.mkdtemp(dir=os.path.dirname(whole), prefix=".", suffix=".part")
    new, old = os.path.join(aside, "new"), os.path.join(aside, "old")
    try:
        os.mkdir(new)
        for name, text in texts.items():
            with open(os.path.join(new, name), "w", encoding="utf-8") as file:
                file.write(text)
                _flush(file)
        with open(os.path.join(new, WEIGHTS), "w+b") as weights:
            write_weights(weights)
            _flush(weights)
        if os.path.lexists(whole):
            os.rename(whole, old)
        os.rename(new, whole)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _flush(file: IO[Any]) -> None:
    file.flush()
    os.fsync(file.fileno())


class Folder:
    """A model's folder that is being read; a context manager, used like an `Archive`.

    Raises:
        ValueError: when a member is missing, a link or too large.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        for name in (CONFIG, METADATA, WEIGHTS):
            member = os.path.join(path, name)
            if os.path.islink(member):
                raise ValueError(f"{path!r}: member {name!r} is a link or a device, not a file.")
            if not os.path.isfile(member):
                raise ValueError(f"{path!r} is not a Keras model: member {name!r} is missing.")
            if self.size(name) > GREATEST_TEXT.get(name, self.size(name)):
                raise ValueError(f"{path!r}: member {name!r} is too large.")

    def __enter__(self) -> Folder:
        return self

    def __exit__(self, *exception: object) -> None:
        pass

    def size(self, name: str) -> int:
        """Return the size of a member in bytes."""
        return os.path.getsize(os.path.join(self.path, name))

    def text(self, name: str) -> str:
        """Return a JSON member."""
        with open(os.path.join(self.path, name), "rb") as file:
            data = file.read(GREATEST_TEXT[name])
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError as error:
            raise ValueError(f"{self.path!r}: member {name!r} is damaged ({error}).") from None

    def weights(self) -> tuple[IO[bytes], int]:
        """Return the weights as an open binary file, and their size in bytes."""
        return open(os.path.join(self.path, WEIGHTS), "rb"), self.size(WEIGHTS)
