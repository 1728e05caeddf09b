"""`.weights.h5` files in Keras 3's layout.

Each object is an HDF5 group with its own weights in `vars/0`, `vars/1` ..., and its parts in
groups named by attribute. Layers in lists are named by class and number (`layers/dense_1`).
"""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np

from lamina import dtypes
from lamina.layers.base import Layer
from lamina.layers.quantization.stored import StoredByMode
from lamina.layers.state import LayerState
from lamina.names import to_snake_case
from lamina.saving.atomic import replaced

if TYPE_CHECKING:
    from lamina.models import Functional, Sequential

_SUFFIX = ".weights.h5"
_MOST_NAMES = 4  # under which one part of a model is looked for
# Attributes of our own models that hold the same layers once more, or belong to training.
_INTERNAL = frozenset((
    "_stack", "_functional", "_operations", "_graph", "operations", "_compile_arguments",
))  # fmt: skip


def save_weights(
    model: Any,
    filepath: Any,
    overwrite: bool = True,
    max_shard_size: float | None = None,
    objects_to_skip: Any = None,
) -> None:
    """Write the model's weights, and its optimizer's state if it is compiled.

    The file appears complete or not at all: it is written beside its place, flushed to disk, and
    renamed.

    Args:
        model: the model.
        filepath: path that ends in `.weights.h5`; with `max_shard_size` in `.weights.json`.
        overwrite: whether an existing file may be replaced.
        max_shard_size: greatest size of one file in gigabytes. The weights are spread over
            several beside a `.weights.json` that tells what is where; None: one file.
        objects_to_skip: layers to leave out.

    Raises:
        ValueError: for another ending, an unbuilt model, or when the file exists and `overwrite`
            is False.
        ImportError: when h5py is not installed.
    """
    h5py = require_h5py()
    if max_shard_size is None:
        path = _checked_path(filepath, "save_weights")
    else:
        from lamina.saving.shards import index_path

        path = index_path(os.fspath(filepath))
    if not overwrite and os.path.exists(path):
        raise ValueError(f"save_weights: {path!r} exists. Pass overwrite=True to replace it.")
    if not getattr(model, "built", True):
        raise ValueError(
            f"save_weights: model {model.name!r} has no weights yet. Call it on data, or build it "
            "with build(input_shape)."
        )
    if max_shard_size is not None:
        from lamina.saving.shards import write_shards

        return write_shards(path, model, max_shard_size, objects_to_skip)
    with replaced(path) as temporary, h5py.File(temporary, "w") as file:
        write_parts(file, model, objects_to_skip)


def load_weights(
    model: Any,
    filepath: Any,
    skip_mismatch: bool = False,
    objects_to_skip: Any = None,
    by_name: bool | None = None,
) -> None:
    """Read weights written by `save_weights` or by Keras.

    Nothing is changed unless everything fits (or `skip_mismatch` is set). The optimizer's state
    is read when the model's optimizer has the same state.

    Args:
        model: the model.
        filepath: path of a `.weights.h5`, `.weights.json`, `.keras` or (older) `.h5` file.
        skip_mismatch: whether what does not fit is left as it is, with a warning.
        objects_to_skip: layers to leave as they are; for `.weights.h5` only.
        by_name: whether layers are found by their names; for older `.h5` files only.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when a layer is missing or a shape differs, and for links out of the file.
        ImportError: when h5py is not installed.
    """
    require_h5py()
    path = os.fspath(filepath)
    is_legacy = path.endswith((".h5", ".hdf5")) and not path.endswith(_SUFFIX)
    is_one_file = path.endswith((_SUFFIX, ".weights.json"))
    if objects_to_skip is not None and not is_one_file:
        raise ValueError(f"load_weights: objects_to_skip only supports loading {_SUFFIX!r} files.")
    if by_name is not None and not is_legacy:
        raise ValueError(
            "load_weights: by_name goes with old files, which end in '.h5' or '.hdf5'."
        )
    if path.endswith(".keras"):
        from lamina.saving.model import load_model_weights

        return load_model_weights(model, path, skip_mismatch)
    if is_legacy:
        from lamina.saving.legacy_model import load_h5_weights

        return load_h5_weights(model, path, by_name=bool(by_name), skip_mismatch=skip_mismatch)
    if not path.endswith(".weights.json"):
        _checked_path(path, "load_weights")
    if not os.path.exists(path):
        raise FileNotFoundError(f"load_weights: there is no file {path!r}.")
    with opened_weights(path) as file:
        try:
            read_parts(file, model, skip_mismatch, objects_to_skip)
        except (ValueError, OSError, RuntimeError, LookupError) as error:
            raise ValueError(f"load_weights: {path!r}: {error}") from error


@contextlib.contextmanager
def opened_weights(path: str) -> Iterator[Any]:
    """Open a weights file, or the files that a `.weights.json` lists, and check what they hold.

    Raises:
        ValueError: when it is damaged or malicious.
    """
    from lamina.saving.hdf5 import check_plain

    if path.endswith(".json"):
        from lamina.saving.shards import Shards

        with Shards(path) as shards:
            yield shards
        return
    try:
        file = require_h5py().File(path, "r")
    except OSError as error:
        raise ValueError(f"load_weights: {path!r} is not an HDF5 file ({error}).") from None
    with file:
        try:
            check_plain(file, os.path.getsize(path))
        except (ValueError, OSError, RuntimeError, LookupError) as error:
            raise ValueError(f"load_weights: {path!r}: {error}") from error
        yield file


def write_parts(file: Any, model: Any, objects_to_skip: Any = None) -> None:
    """Write everything with weights in a model into an open HDF5 file."""
    _write(file, "", model, {id(one): one for one in objects_to_skip or ()})


def read_parts(
    file: Any, model: Any, skip_mismatch: bool = False, objects_to_skip: Any = None
) -> None:
    """Read what `write_parts` wrote; change nothing unless everything fits.

    Raises:
        ValueError: when a layer is missing or a shape differs, and for links out of the file.
    """
    if not model.built and not model.variables and not _is_empty(file):
        raise ValueError(
            f"model {model.name!r} has no weights yet. Call it on data, or build it with "
            "build(input_shape), then load."
        )
    problems: dict[int, str] = {}
    loads: list[Callable[[], None]] = []
    tries: dict[int, int] = {}
    visited = {id(one): one for one in objects_to_skip or ()}
    for inner_path, part in _parts(model, "", visited):
        store = None
        try:
            store = _Store(file, inner_path)
            loads.append(_prepared(part, store))
            problems.pop(id(part), None)
        except ValueError as error:
            if not _is_optimizer(part):
                problems.setdefault(id(part), str(error))
                tries[id(part)] = tries.get(id(part), 0) + 1
                if tries[id(part)] < _MOST_NAMES:  # the file may know it by another attribute
                    visited.pop(id(part), None)
            elif not skip_mismatch and not _never_ran(store):
                warnings.warn(f"The optimizer's state was not loaded: {error}", stacklevel=4)
    if problems and not skip_mismatch:
        first = next(iter(problems.values()))
        more = f"\n  ... and {len(problems) - 1} more." if len(problems) > 1 else ""
        raise ValueError(f"the file does not fit the model. {first}{more}")
    for problem in problems.values():
        warnings.warn(f"load_weights: skipped: {problem}", stacklevel=4)
    for load in loads:
        load()


# Walking a model


def _parts(root: Any, root_path: str, visited: dict[int, Any]) -> Iterator[tuple[str, Any]]:
    """Yield every object with weights and the group it has in the file, in Keras's order.

    `visited` keeps what it has seen alive: the id of a freed list would soon be another's.
    """
    if id(root) in visited:
        return
    visited[id(root)] = root
    yield root_path, root
    for name, child in _attributes(root):
        yield from _part_or_container(child, _join(root_path, name), visited)


def _part_or_container(child: Any, path: str, visited: dict[int, Any]) -> Iterator[tuple[str, Any]]:
    if _has_weights(child):
        yield from _parts(child, path, visited)
    elif isinstance(child, (list, tuple, dict)) and id(child) not in visited:
        visited[id(child)] = child
        used: dict[str, int] = {}
        for item in child.values() if isinstance(child, dict) else child:
            if _has_weights(item):
                name = _numbered(to_snake_case(type(item).__name__), used)
            elif isinstance(item, (list, tuple, dict)):
                name = _numbered("container", used)
            else:
                continue
            yield from _part_or_container(item, _join(path, name), visited)


def _has_weights(value: Any) -> bool:
    return isinstance(value, LayerState) or _is_optimizer(value) or _is_metric(value)


def _is_optimizer(value: Any) -> bool:
    from lamina.optimizers import Optimizer

    return isinstance(value, Optimizer)


def _is_metric(value: Any) -> bool:
    from lamina.metrics import Metric

    return isinstance(value, Metric)


def _attributes(part: Any) -> Iterator[tuple[str, Any]]:
    """Yield a part's own attributes: public ones first, then by name."""
    if not isinstance(part, LayerState):
        return
    if _is_stack(part):
        yield "layers", part.layers
    names = {name for name in dir(part) if not name.startswith("__")} - _base_names()
    for name in sorted(names, key=lambda name: f"~{name}" if name.startswith("_") else name):
        try:
            value = getattr(part, name)
        except Exception:  # a property of the user's may not be ready; it holds no state then
            continue
        if name.startswith("_") and _is_metric(value):
            continue  # what compile() made
        yield name, value


def _is_stack(part: Any) -> TypeGuard[Functional | Sequential]:
    from lamina.models import Functional, Sequential

    return isinstance(part, (Functional, Sequential))


@lru_cache(maxsize=1)
def _base_names() -> frozenset[str]:
    """Names that every layer or model has, and that are not the user's."""
    from lamina.models import Model

    names = frozenset((*dir(Layer), *dir(Model), *vars(Layer(name="any")), *_INTERNAL))
    return names - {"optimizer", "layers"}  # these two are parts, and Keras visits both by name


def _numbered(name: str, used: dict[str, int]) -> str:
    count = used.get(name)
    used[name] = 0 if count is None else count + 1
    return name if count is None else f"{name}_{count + 1}"


def _join(*parts: str) -> str:
    return "/".join(part for part in parts if part)


# Writing and reading one part


def _write(file: Any, root_path: str, model: Any, visited: dict[int, Any]) -> None:
    for path, part in _parts(model, root_path, visited):
        group = file.create_group(_join(path, "vars"))
        if isinstance(getattr(part, "name", None), str):
            group.attrs["name"] = part.name
        write_part(_Writer(group), part)


def parts_of(model: Any, objects_to_skip: Any = None) -> Iterator[tuple[str, Any]]:
    """Yield everything with weights in a model, with the name of its group in a file."""
    return _parts(model, "", {id(one): one for one in objects_to_skip or ()})


def write_part(store: Any, part: Any) -> None:
    """Put the weights of one part, without those of its parts, into a dict-like store."""
    if hasattr(part, "save_own_variables"):
        part.save_own_variables(store)
        return
    for index, variable in enumerate(part.variables):
        store[str(index)] = variable


def write_array(group: Any, key: str, value: np.ndarray[Any, Any]) -> None:
    """Store an array in an HDF5 group.

    HDF5 knows no bfloat16: as in Keras, such an array becomes opaque bytes and the type's name.
    """
    if value.dtype.name in dtypes.DTYPES and value.dtype.kind == "V":
        data = group.create_dataset(key, data=value.view(f"V{value.dtype.itemsize}"))
        data.attrs["dtype"] = value.dtype.name
    else:
        group[key] = value


def read_array(data: Any) -> np.ndarray[Any, Any]:
    """Return an HDF5 data set as `write_array` got it."""
    name = dtypes.bits_name(data.dtype, data.attrs.get("dtype"))
    return data[()] if name is None else dtypes.from_bits(np.asarray(data[()]), name)


class _Writer:
    """The dict a part puts its weights into."""

    def __init__(self, group: Any) -> None:
        self._group = group

    def __setitem__(self, key: str, value: Any) -> None:
        write_array(
            self._group, key, np.asarray(value.numpy() if hasattr(value, "numpy") else value)
        )


class _Store:
    """The dict of one part's arrays, read from the file when asked for.

    Links that leave the group (soft, external) and data kept outside the file are refused: a
    weights file must not make us read other files.
    """

    def __init__(self, file: Any, inner_path: str) -> None:
        self.path = inner_path
        files = file.files_with(inner_path) if hasattr(file, "files_with") else [file]
        self._groups = [group for one in files if (group := self._found(one)) is not None]

    def _found(self, file: Any) -> Any:
        group = file
        for name in (*self.path.split("/"), "vars"):
            if name and group is not None:
                group = self._child(group, name)
        return group

    @staticmethod
    def _child(group: Any, name: str) -> Any:
        link = group.get(name, getlink=True)
        if link is None:
            return None
        if type(link).__name__ != "HardLink":
            raise ValueError(f"{_join(group.name, name)!r} is a link, which is not allowed.")
        return group[name]

    def keys(self) -> list[str]:
        """Return the names of the arrays."""
        return [key for group in self._groups for key in group]

    def __len__(self) -> int:
        return len(self.keys())

    def __contains__(self, key: str) -> bool:
        return key in self.keys()

    def dataset(self, key: str) -> Any:
        """Return the HDF5 data set `key` without reading it."""
        groups = [group for group in self._groups if key in group]
        data = self._child(groups[0], key) if groups else None
        if data is None or not hasattr(data, "dtype"):
            raise ValueError(f"the file has no array {_join(self.path, 'vars', key)!r}.")
        is_plain = data.dtype.kind in "fiub"
        is_plain = is_plain or dtypes.bits_name(data.dtype, data.attrs.get("dtype")) is not None
        if data.external or data.is_virtual or not is_plain:
            raise ValueError(f"{data.name!r} is not a plain array of numbers in this file.")
        return data

    def __getitem__(self, key: str) -> np.ndarray[Any, Any]:
        return read_array(self.dataset(key))


def _prepared(part: Any, store: _Store) -> Callable[[], None]:
    """Check that the store fits the part; return what loads it."""
    variables = _stored_variables(part)
    if variables is None:
        return lambda: part.load_own_variables(store)
    who = f"{getattr(part, 'name', '?')} ({type(part).__name__})"
    if len(store) != len(variables):
        raise ValueError(
            f"{who}: expected {len(variables)} variables, but received {len(store)} variables."
        )
    values = []
    for index, variable in enumerate(variables):
        data = store.dataset(str(index))
        if tuple(data.shape) != tuple(variable.shape):
            raise ValueError(
                f"{who}: shapes must match: weight {variable.path!r} has shape "
                f"{tuple(variable.shape)}, the file has {tuple(data.shape)}."
            )
        values.append(read_array(data))

    def load() -> None:
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)
        if isinstance(part, StoredByMode):
            part._loaded()

    return load


def _stored_variables(part: Any) -> list[Any] | None:
    """The weights a file holds of a part; None when a user's `load_own_variables` decides."""
    if not isinstance(part, Layer):
        return _own_variables(part)
    load = type(part).load_own_variables
    if isinstance(part, StoredByMode) and load is StoredByMode.load_own_variables:
        return part._stored_variables()
    return _own_variables(part) if load is Layer.load_own_variables else None


def _never_ran(store: _Store | None) -> bool:
    """Whether a stored optimizer has no state: only the iteration 0 and perhaps the rate."""
    if store is None or not 1 <= len(store) <= 2 or "0" not in store:
        return False
    iteration = store.dataset("0")
    return iteration.shape == () and not iteration[()]


def _own_variables(part: Any) -> list[Any]:
    if isinstance(part, LayerState):
        return [*part._trainable_variables, *part._non_trainable_variables]
    return list(part.variables)


# Files


def require_h5py() -> Any:
    """Return h5py, which only files of weights and models need."""
    try:
        import h5py  # type: ignore[import-untyped]
    except ImportError:
        raise ImportError("Weights files need h5py. Install it with: pip install h5py") from None
    return h5py


def _checked_path(filepath: Any, function: str) -> str:
    path = str(os.fspath(filepath))
    if not path.endswith(_SUFFIX):
        raise ValueError(
            f"{function}: File format not supported: the file name must end in {_SUFFIX!r}. "
            f"Got {path!r}."
        )
    return path


def _is_empty(file: Any) -> bool:
    """Whether the file holds no array of a layer, as one of a model that was never built."""

    def is_weight(name: str, item: Any) -> bool | None:
        return True if hasattr(item, "dtype") and not name.startswith("optimizer/") else None

    return not file.visititems(is_weight)
