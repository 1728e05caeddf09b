"""Weights spread over several files, and the `.weights.json` that tells what is where.

Each file holds groups as a `.weights.h5` does; a group may go on in the next one.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import warnings
from typing import Any

import numpy as np

from lamina.saving.atomic import replaced
from lamina.saving.hdf5 import check_plain
from lamina.saving.weights import parts_of, require_h5py, write_array, write_part

_INDEX = ".weights.json"
_FILE = ".weights.h5"
_GIGABYTE = 1 << 30
_GREATEST_INDEX = 32 << 20
_MOST_FILES = 10_000


def index_path(path: str) -> str:
    """Return the path of the index for weights that are saved at `path`.

    Raises:
        ValueError: for a path of another kind.
    """
    if path.endswith(_INDEX):
        return path
    if path.endswith(_FILE):
        index = path.removesuffix(_FILE) + _INDEX
        warnings.warn(
            f"save_weights: with max_shard_size the file is named {index!r}, for it is an index "
            "of several.",
            stacklevel=4,
        )
        return index
    raise ValueError(
        f"save_weights: with max_shard_size the file name must end in {_INDEX!r}. Got {path!r}."
    )


# Writing


def write_shards(path: str, model: Any, max_shard_size: float, objects_to_skip: Any) -> None:
    """Write the weights of a model into files beside `path`, and the index at `path`.

    The index appears last, and names files that were not there before: a kill at any moment leaves
    the old weights or the new ones whole.

    Args:
        path: of the index.
        model: the model.
        max_shard_size: greatest size of the arrays of one file, in gigabytes.
        objects_to_skip: layers to leave out.

    Raises:
        ValueError: when one array is larger than that.
    """
    if isinstance(max_shard_size, bool) or not isinstance(max_shard_size, (int, float)):
        raise ValueError(f"save_weights: max_shard_size must be a number. Got {max_shard_size!r}.")
    folder, stem = os.path.split(path.removesuffix(_INDEX))
    old = _files_of(folder, stem)
    numbers = [int(name.removesuffix(_FILE)[-5:]) for name in old]
    start = 0 if 0 not in numbers else max(numbers) + 1
    with contextlib.ExitStack() as open_files:
        writer = _ShardWriter(open_files, folder, stem, start, int(max_shard_size * _GIGABYTE))
        for part_path, part in parts_of(model, objects_to_skip):
            writer.begin(f"{part_path}/vars".lstrip("/"), getattr(part, "name", None))
            write_part(writer, part)
    index = {"metadata": {"total_size": float(writer.total)}, "weight_map": writer.places}
    with replaced(path) as temporary, open(temporary, "w", encoding="utf-8") as file:
        json.dump(index, file, indent=4)
    for name in old:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(folder, name))


def _files_of(folder: str, stem: str) -> list[str]:
    pattern = re.compile(re.escape(stem) + r"_\d{5}" + re.escape(_FILE))
    return [name for name in os.listdir(folder or ".") if pattern.fullmatch(name)]


class _ShardWriter:
    """The dict that parts put their weights into; it goes on to a new file when one is full."""

    def __init__(
        self, open_files: contextlib.ExitStack, folder: str, stem: str, number: int, limit: int
    ) -> None:
        self._open_files = open_files
        self._folder, self._stem, self._number, self._limit = folder, stem, number, limit
        self._group_path = ""
        self.total = 0
        self.places: dict[str, list[str]] = {}
        self._next_file()

    def _next_file(self) -> None:
        self._name = f"{self._stem}_{self._number:05d}{_FILE}"
        self._number += 1
        path = os.path.join(self._folder, self._name)
        temporary = self._open_files.enter_context(replaced(path))
        self._file = self._open_files.enter_context(require_h5py().File(temporary, "w"))
        self._used = 0

    def begin(self, group_path: str, name: Any) -> None:
        """Begin a group: what comes next belongs to it."""
        self._group_path = group_path
        group = self._file.create_group(group_path)
        if isinstance(name, str):
            group.attrs["name"] = name

    def __setitem__(self, key: str, value: Any) -> None:
        array = np.asarray(value.numpy() if hasattr(value, "numpy") else value)
        if array.nbytes > self._limit:
            raise ValueError(
                f"save_weights: array {key!r} of {self._group_path!r} has {array.nbytes} bytes, "
                "which exceeds the maximum shard size. Pass a greater max_shard_size."
            )
        if self._used + array.nbytes > self._limit:
            self._next_file()
        self._used += array.nbytes
        self.total += array.nbytes
        write_array(self._file.require_group(self._group_path), key, array)
        names = self.places.setdefault(f"/{self._group_path}", [])
        if self._name not in names:
            names.append(self._name)


# Reading


class Shards:
    """Open files of weights, found through their index; a context manager.

    Args:
        path: of the index.

    Raises:
        ValueError: when the index or a file is damaged or malicious; only files beside the index
            with a plain name are opened.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._folder = os.path.dirname(path)
        self._places = self._read_index()
        self._open_files = contextlib.ExitStack()
        self._files: dict[str, Any] = {}

    def __enter__(self) -> Shards:
        try:
            for names in self._places.values():
                for name in names:
                    if name not in self._files:
                        self._files[name] = self._opened(name)
        except BaseException:
            self._open_files.close()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        self._open_files.close()

    def files_with(self, inner_path: str) -> list[Any]:
        """Return the open files that hold the weights of one part of a model."""
        place = f"/{inner_path}/vars" if inner_path else "/vars"
        return [self._files[name] for name in self._places.get(place, ())]

    def visititems(self, visit: Any) -> Any:
        """Call `visit(name, item)` for what the files hold, until it returns something."""
        for file in self._files.values():
            found = file.visititems(visit)
            if found is not None:
                return found
        return None

    def _read_index(self) -> dict[str, list[str]]:
        with open(self._path, "rb") as file:
            data = file.read(_GREATEST_INDEX + 1)
        try:
            if len(data) > _GREATEST_INDEX:
                raise ValueError("it is too large")
            index = json.loads(data)
            places = index["weight_map"]
            listed = {key: [v] if isinstance(v, str) else list(v) for key, v in places.items()}
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            raise ValueError(f"{self._path!r} is not an index of weights ({error}).") from None
        names = {name for shards in listed.values() for name in shards}
        for name in names:
            if not isinstance(name, str) or not re.fullmatch(r"[^/\\:\0]+\.h5", name):
                raise ValueError(f"{self._path!r}: {str(name)[:200]!r} is not a file beside it.")
        if len(names) > _MOST_FILES:
            raise ValueError(f"{self._path!r}: {len(names)} files are too many.")
        return listed

    def _opened(self, name: str) -> Any:
        path = os.path.join(self._folder, name)
        try:
            if os.path.islink(path):
                raise ValueError("it is a link")
            file = self._open_files.enter_context(require_h5py().File(path, "r"))
            check_plain(file, os.path.getsize(path))
        except (ValueError, OSError, RuntimeError, LookupError) as error:
            raise ValueError(f"{self._path!r}: file {name!r}: {error}") from None
        return file
