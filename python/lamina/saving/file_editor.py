"""Looking into weights files and changing what they hold, without the model."""

from __future__ import annotations

import json
import os
from typing import Any

import numpy as np

from lamina.saving.archive import CONFIG, METADATA, WEIGHTS, Archive
from lamina.saving.atomic import replaced
from lamina.saving.hdf5 import check_plain
from lamina.saving.untrusted import parse_config, parse_object
from lamina.saving.weights import (
    opened_weights,
    parts_of,
    read_array,
    require_h5py,
    write_array,
    write_part,
)
from lamina.utils.messages import print_message

_SUFFIX = ".weights.h5"
Arrays = dict[str, np.ndarray[Any, Any]]


class KerasFileEditor:
    """The weights in a file, by the objects (layers, optimizers) they belong to.

    An object is named by its path ("layers/dense_1") or by its last part ("dense_1") where only
    one object has it.

    Args:
        filepath: path of a `.keras` or `.weights.h5` file.

    Attributes:
        weights_dict: nested dict: the parts of the paths, then arrays by name.
        object_metadata: dict from path to what the file says of the object (its name).
        config, metadata: of the model, from a `.keras` file; else None.

    Raises:
        ValueError: for another kind of file, or when it is damaged or malicious.

    Source: https://keras.io/api/ `keras.saving.KerasFileEditor`.
    """

    def __init__(self, filepath: Any) -> None:
        self.filepath = os.fspath(filepath)
        self.metadata: dict[str, Any] | None = None
        self.config: dict[str, Any] | None = None
        self._objects: dict[str, Arrays] = {}
        self.object_metadata: dict[str, dict[str, Any]] = {}
        if self.filepath.endswith(".keras"):
            self._read_archive()
        elif self.filepath.endswith(_SUFFIX):
            with opened_weights(self.filepath) as file:
                self._read(file)
        else:
            raise ValueError(
                f"KerasFileEditor: the file name must end in '.keras' or {_SUFFIX!r}. "
                f"Got {self.filepath!r}."
            )

    def _read_archive(self) -> None:
        with Archive(self.filepath) as archive:
            self.config = parse_config(archive.text(CONFIG))
            self.metadata = parse_object(archive.text(METADATA))
            source, size = archive.weights()
            try:
                with source, require_h5py().File(source, "r") as file:
                    check_plain(file, size)
                    self._read(file)
            except (ValueError, OSError, RuntimeError, LookupError) as error:
                raise ValueError(f"{self.filepath!r}: member {WEIGHTS!r}: {error}") from error

    def _read(self, file: Any) -> None:
        def visit(path: str, item: Any) -> None:
            folder, _, name = path.rpartition("/")
            if name == "vars" and hasattr(item, "keys"):
                if dict(item.attrs):
                    self.object_metadata[folder] = {
                        key: str(value) for key, value in item.attrs.items()
                    }
                arrays = {key: read_array(data) for key, data in item.items()}
                if arrays:
                    self._objects[folder] = arrays

        file.visititems(visit)

    # Looking

    @property
    def weights_dict(self) -> dict[str, Any]:
        """The arrays, nested by the parts of their objects' paths."""
        nested: dict[str, Any] = {}
        for path, arrays in self._objects.items():
            level = nested
            for part in path.split("/") if path else ():
                level = level.setdefault(part, {})
            level.update(arrays)
        return nested

    def summary(self) -> None:
        """Print the objects and their weights."""
        lines = ["Weights structure"]
        shown: tuple[str, ...] = ()
        for path, arrays in sorted(self._objects.items()):
            parts = tuple(path.split("/")) if path else ()
            same = len(os.path.commonprefix([shown, parts]))
            lines += [f"{'    ' * (depth + 1)}{parts[depth]}" for depth in range(same, len(parts))]
            indent = "    " * (len(parts) + 1)
            lines += [
                f"{indent}{key}: shape={a.shape}, dtype={a.dtype}" for key, a in arrays.items()
            ]
            shown = parts
        print_message("\n".join(lines))

    def compare(self, reference_model: Any) -> dict[str, Any]:
        """Tell whether the weights would fit a model, and print what does not.

        Args:
            reference_model: a built model. What its optimizer keeps is not compared.

        Returns:
            A dict with "status" ("success" or "error"), "error_count" and "match_count".
        """
        wanted = _objects_of(reference_model)
        own = {path: a for path, a in self._objects.items() if path.split("/")[0] != "optimizer"}
        problems, matches = [], 0
        for path in sorted({*wanted, *own}):
            if path not in own:
                problems.append(f"{path!r} is missing in the file")
            elif path not in wanted:
                problems.append(f"{path!r} is in the file, and the model has no such object")
            else:
                found = _differences(path, own[path], wanted[path])
                problems += found
                matches += len({*own[path], *wanted[path]}) - len(found)
        is_fit = not problems
        end = "The file fits the model." if is_fit else f"{len(problems)} problems."
        print_message("\n".join([*problems, f"{end} Matching weights: {matches}."]))
        return {
            "status": "success" if is_fit else "error",
            "error_count": len(problems),
            "match_count": matches,
        }

    # Changing

    def rename_object(self, object_name: str, new_name: str) -> None:
        """Give an object another name: the last part of its path changes.

        Raises:
            ValueError: when there is no such object, or several, or the new name is taken.
        """
        path = self._path_of(object_name)
        folder, _, _ = path.rpartition("/")
        new_path = f"{folder}/{new_name}".lstrip("/")
        if new_path in self._objects:
            raise ValueError(f"KerasFileEditor: there is already an object {new_path!r}.")
        for table in (self._objects, self.object_metadata):
            for old in [key for key in table if key == path or key.startswith(f"{path}/")]:
                table[new_path + old[len(path) :]] = table.pop(old)

    def delete_object(self, object_name: str) -> None:
        """Remove an object with all its parts."""
        path = self._path_of(object_name)
        for table in (self._objects, self.object_metadata):
            for old in [key for key in table if key == path or key.startswith(f"{path}/")]:
                del table[old]

    def add_object(self, object_path: str, weights: dict[str, Any]) -> None:
        """Add an object.

        Args:
            object_path: its whole path.
            weights: arrays by name ("0", "1", ...).

        Raises:
            ValueError: when it is already there.
        """
        path = object_path.strip("/")
        if path in self._objects:
            raise ValueError(f"KerasFileEditor: there is already an object {path!r}.")
        self._objects[path] = {str(key): np.asarray(value) for key, value in weights.items()}

    def add_weights(self, object_name: str, weights: dict[str, Any]) -> None:
        """Add weights to an object that is there, or replace them."""
        arrays = {str(key): np.asarray(value) for key, value in weights.items()}
        self._objects[self._path_of(object_name)].update(arrays)

    def delete_weight(self, object_name: str, weight_name: str) -> None:
        """Remove one array of an object."""
        arrays = self._objects[self._path_of(object_name)]
        if weight_name not in arrays:
            raise ValueError(
                f"KerasFileEditor: {object_name!r} has no weight {weight_name!r}. "
                f"It has {list(arrays)}."
            )
        del arrays[weight_name]

    def save(self, filepath: Any) -> None:
        """Write the weights to a `.weights.h5` file, complete or not at all."""
        path = os.fspath(filepath)
        if not path.endswith(_SUFFIX):
            raise ValueError(
                f"KerasFileEditor.save: the file name must end in {_SUFFIX!r}. Got {path!r}."
            )
        with replaced(path) as temporary, require_h5py().File(temporary, "w") as file:
            for object_path in {**self.object_metadata, **self._objects}:
                group = file.create_group(f"{object_path}/vars".lstrip("/"))
                group.attrs.update(self.object_metadata.get(object_path, {}))
                for key, array in self._objects.get(object_path, {}).items():
                    write_array(group, key, array)

    resave_weights = save

    def _path_of(self, object_name: str) -> str:
        """Return the path of the one object that a name means."""
        name = object_name.strip("/")
        if name in self._objects:
            return name
        paths = {
            "/".join(parts[: place + 1])
            for parts in (path.split("/") for path in self._objects)
            for place, part in enumerate(parts)
            if part == name or "/".join(parts[: place + 1]) == name
        }
        if len(paths) != 1:
            known = sorted(paths or self._objects)
            problem = "names several objects" if paths else "names no object"
            raise ValueError(f"KerasFileEditor: {object_name!r} {problem}: {json.dumps(known)}.")
        return paths.pop()


def _objects_of(model: Any) -> dict[str, Arrays]:
    """Return the arrays of a model by the paths of its objects."""
    objects: dict[str, Arrays] = {}
    for path, part in parts_of(model):
        store: dict[str, Any] = {}
        write_part(store, part)
        if store and path.split("/")[0] != "optimizer":
            objects[path] = {
                key: np.asarray(v.numpy() if hasattr(v, "numpy") else v) for key, v in store.items()
            }
    return objects


def _differences(path: str, own: Arrays, wanted: Arrays) -> list[str]:
    problems = []
    for key in sorted({*own, *wanted}):
        if key not in own:
            problems.append(f"{path!r}: weight {key!r} is missing in the file")
        elif key not in wanted:
            problems.append(f"{path!r}: the model has no weight {key!r}")
        elif own[key].shape != wanted[key].shape:
            problems.append(
                f"{path!r}: weight {key!r} has shape {own[key].shape} in the file and "
                f"{wanted[key].shape} in the model"
            )
    return problems
