"""What a user may pass as data, brought into one of two forms: columns in memory, or a stream."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from lamina import _core, config, structure
from lamina.random import make_default_seed
from lamina.tensor import Tensor
from lamina.tracing import convert

DEFAULT_BATCH_SIZE = 32
Batch = tuple[Any, Any, Any]  # x, y, sample_weight: nested structures of arrays


def as_column(value: Any, name: str) -> np.ndarray:
    """One argument's array in an engine dtype; floats become `floatx`.

    Raises:
        TypeError: for complex numbers, strings and objects; names the argument.
        ValueError: for a ragged list or a scalar.
    """
    if hasattr(value, "to_numpy") and not isinstance(value, np.ndarray):  # pandas, polars
        value = value.to_numpy()
    if isinstance(value, np.ndarray) and value.dtype.kind == "f" and value.ndim > 0:
        return plain(value, config.floatx())
    try:
        array = value.numpy() if isinstance(value, Tensor) else convert(value).numpy()
    except TypeError as error:
        raise TypeError(f"{name}: {error}") from None
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
    if array.ndim == 0:
        raise ValueError(f"{name} must have a batch axis. Got the single number {array.item()!r}.")
    return plain(array, config.floatx() if array.dtype.kind == "f" else None)


def plain(array: np.ndarray, dtype: Any = None) -> np.ndarray:
    """The array as the engine reads it where it lies: contiguous and aligned."""
    return np.require(array, dtype, ["C", "A", "E"])


def _is_leaf_list(value: Any) -> bool:
    """A list of plain numbers (or rows of them) is one array, not several."""
    first = value
    while isinstance(first, (list, tuple)) and first:
        first = first[0]
    return isinstance(value, (list, tuple)) and isinstance(first, (int, float, bool, np.number))


def to_columns(value: Any, name: str) -> Any:
    """The structure with every leaf turned into a column."""
    if value is None:
        return None
    if isinstance(value, Mapping):
        return {key: to_columns(item, f"{name}[{key!r}]") for key, item in value.items()}
    if isinstance(value, (list, tuple)) and not _is_leaf_list(value):
        items = [to_columns(item, f"{name}[{i}]") for i, item in enumerate(value)]
        return (
            items[0]
            if len(items) == 1 and isinstance(value, list) and name == "x"
            else structure.rebuilt(value, items)
        )
    return as_column(value, name)


def leaves(value: Any) -> list[np.ndarray]:
    return [leaf for leaf in structure.flatten(value) if leaf is not None]


def row_count(who: str, **arguments: Any) -> int:
    """The common number of rows.

    Raises:
        ValueError: naming each argument with its rows, if they differ.
    """
    found = [(name, len(leaf)) for name, value in arguments.items() for leaf in leaves(value)]
    every = [rows for _, rows in found]
    if not every:
        raise ValueError(f"{who}: x holds no array.")
    if len(set(every)) > 1:
        counts = dict(found)
        told = " and ".join(f"{name} has {rows} rows" for name, rows in counts.items())
        if len(set(counts.values())) == 1:
            told = f"the arrays have {every} rows"
        raise ValueError(f"{who}: {told}; they must be equal.")
    return every[0]


class ArraySource:
    """Data in memory: rows that the engine gathers by index."""

    def __init__(
        self, x: Any, y: Any, sample_weight: Any, batch_size: int, shuffle: bool | str = False
    ) -> None:
        self.x, self.y, self.sample_weight = x, y, sample_weight
        self.batch_size = batch_size
        self.shuffle = shuffle  # "batch": whole batches change places
        self.rows = row_count("data", x=x, y=y, sample_weight=sample_weight)

    @property
    def steps(self) -> int:
        return -(-self.rows // self.batch_size)

    @property
    def columns(self) -> list[np.ndarray]:
        return leaves((self.x, self.y, self.sample_weight))

    def order(self, seed: tuple[int, int]) -> np.ndarray:
        """The rows in the order of an epoch, which `seed` decides."""
        if self.shuffle != "batch":
            return _core.shuffled_order(self.rows, *seed)
        whole = self.rows // self.batch_size
        order = np.arange(self.rows, dtype=np.int64)
        places = _core.shuffled_order(whole, *seed)
        cut = whole * self.batch_size
        order[:cut] = order[:cut].reshape(whole, self.batch_size)[places].reshape(-1)
        return order  # the rows left over stay at the end

    def batch_of(self, rows: int) -> Batch:
        """The first `rows` rows, to tell the shapes of a batch."""
        return _cut((self.x, self.y, self.sample_weight), 0, rows)

    # What a StreamSource has too, for run_eagerly: batches made in Python.

    def begin_epoch(self) -> None:
        pass

    def end_epoch(self) -> None:
        pass

    def epoch(self, steps: int | None, seed: tuple[int, int]) -> Iterator[Batch]:
        order = self.order(seed) if self.shuffle else np.arange(self.rows)
        for step in range(self.steps if steps is None else min(steps, self.steps)):
            rows = order[step * self.batch_size : (step + 1) * self.batch_size]
            yield _take((self.x, self.y, self.sample_weight), rows)


class StreamSource:
    """Data that Python makes batch by batch: a generator, a sequence of batches, an iterable."""

    def __init__(
        self,
        batches: Any,
        steps: int | None = None,
        class_weight: dict[int, float] | None = None,
    ) -> None:
        self.batches, self.steps, self.class_weight = batches, steps, class_weight
        self._iterator: Iterator[Any] | None = None
        self._has_peeked = False  # the iterator stands before its first batch
        if self.steps is None and hasattr(self.batches, "num_batches"):
            self.steps = self.batches.num_batches
        if self.steps is None and hasattr(self.batches, "__len__"):
            self.steps = len(self.batches)

    def epoch(self, steps: int | None, seed: tuple[int, int]) -> Iterator[Batch]:
        """The batches of one epoch; a limited epoch goes on where the last one stopped."""
        del seed  # the order is the source's own
        if self._iterator is None or (steps is None and not self._has_peeked):
            self._iterator = self._iterate()
        self._has_peeked = False
        taken = 0
        while steps is None or taken < steps:
            try:
                item = next(self._iterator)
            except StopIteration:
                self._iterator = None
                if steps is not None and taken < steps:
                    warn_ran_out()
                return
            yield self.prepared(item)
            taken += 1

    def first_batches(self, count: int) -> StreamSource:
        """A source of the next `count` batches, which it yields in every epoch anew."""
        return StreamSource(list(itertools.islice(self._iterate(), count)))

    def first(self) -> Batch:
        """The first batch, which the next epoch will yield again."""
        iterator = self._iterate()
        item = next(iterator)
        self._iterator = itertools.chain([item], iterator)
        self._has_peeked = True
        return self.prepared(item)

    def begin_epoch(self) -> None:
        if hasattr(self.batches, "on_epoch_begin"):
            self.batches.on_epoch_begin()

    def end_epoch(self) -> None:
        if hasattr(self.batches, "on_epoch_end"):
            self.batches.on_epoch_end()

    def _iterate(self) -> Iterator[Any]:
        if hasattr(self.batches, "__getitem__") and not hasattr(self.batches, "__next__"):
            count = self.steps if hasattr(self.batches, "num_batches") else len(self.batches)
            return (self.batches[i] for i in (range(count) if count else itertools.count()))
        return iter(self.batches)

    def prepared(self, item: Any) -> Batch:
        x, y, weight = unpack(item)
        x, y = to_columns(x, "x"), to_columns(y, "y")
        weight = to_columns(weight, "sample_weight")
        if self.class_weight:
            if weight is not None:
                raise ValueError(
                    "fit(): give class_weight or sample_weight, not both. Got "
                    f"class_weight={self.class_weight!r} and batches with a sample_weight."
                )
            weight = class_weights(y, self.class_weight)
        row_count("data", x=x, y=y, sample_weight=weight)
        return x, y, weight


def warn_ran_out() -> None:
    warnings.warn(
        "fit(): the data ended before the epoch had its steps; the epoch is shorter. A source for "
        "all epochs must yield steps_per_epoch times epochs batches.",
        stacklevel=3,
    )


def unpack(item: Any) -> Batch:
    """(x,), (x, y) or (x, y, sample_weight) of what a data source yields."""
    if isinstance(item, list):
        item = tuple(item)
    if not isinstance(item, tuple):
        return item, None, None
    if not 1 <= len(item) <= 3:
        raise ValueError(
            "a data source must yield (x,), (x, y) or (x, y, sample_weight). "
            f"Got {len(item)} parts."
        )
    return (*item, None, None)[:3]


def class_weights(y: Any, weights: Mapping[int, float]) -> np.ndarray:
    """Sample weights from the class of each row.

    Raises:
        ValueError: for several outputs, or labels that are no classes.
    """
    if isinstance(y, (list, tuple, dict)) and len(leaves(y)) > 1:
        raise ValueError(
            "class_weight works with one output; this model has several: use sample_weight."
        )
    labels = leaves(y)[0]
    if labels.ndim > 2:
        raise ValueError(
            f"class_weight needs labels of shape (rows,) or (rows, classes). Got {labels.shape}."
        )
    if labels.ndim == 2:
        labels = labels.argmax(axis=1) if labels.shape[1] > 1 else labels[:, 0]
    out = np.ones(len(labels), dtype=config.floatx())
    for label, weight in weights.items():
        out[np.round(labels) == label] = weight
    return out


def is_stream(x: Any) -> bool:
    """Whether x makes batches by itself: no array, no structure of arrays."""
    if isinstance(x, (np.ndarray, Tensor, Mapping, list, tuple)) or hasattr(x, "__array__"):
        return False
    if hasattr(x, "to_numpy"):
        return False
    return isinstance(x, Iterable) or hasattr(x, "__getitem__")


def source_of(
    x: Any,
    y: Any = None,
    sample_weight: Any = None,
    class_weight: Mapping[int, float] | None = None,
    batch_size: int | None = None,
    shuffle: bool | str = False,
    steps: int | None = None,
    who: str = "fit()",
) -> ArraySource | StreamSource:
    """Bring the data arguments of fit, evaluate or predict into one form.

    Raises:
        ValueError: if rows differ, or y is given beside a stream.
    """
    if x is None:
        raise ValueError(f"{who}: x is needed.")
    if is_stream(x):
        for name, value in (("y", y), ("sample_weight", sample_weight)):
            if value is not None:
                raise ValueError(
                    f"{who}: {name} must not be given when x is a {type(x).__name__}: its batches "
                    "bring their own."
                )
        return StreamSource(
            x, steps if not hasattr(x, "__len__") else None, dict(class_weight or {})
        )
    x, y = to_columns(x, "x"), to_columns(y, "y")
    weight = to_columns(sample_weight, "sample_weight")
    row_count(who, x=x, y=y, sample_weight=weight)
    if class_weight:
        if sample_weight is not None:
            raise ValueError(
                f"{who}: give class_weight or sample_weight, not both. "
                f"Got class_weight={class_weight!r} and a sample_weight."
            )
        if y is None:
            raise ValueError(f"{who}: class_weight needs y.")
        weight = class_weights(y, class_weight)
    batch_size = DEFAULT_BATCH_SIZE if batch_size is None else batch_size
    return ArraySource(x, y, weight, batch_size, shuffle)


def split_validation(
    source: ArraySource, fraction: float, class_weighted: bool = False
) -> tuple[ArraySource, ArraySource]:
    """The last rows, before any shuffling, are kept for validation.

    Weights that came from class_weight are for training: validation does without them.

    Raises:
        ValueError: if one of the parts would be empty.
    """
    at = int(source.rows * (1.0 - fraction) + 1e-9)
    if at == 0 or at == source.rows:
        raise ValueError(
            f"fit(): validation_split={fraction} of {source.rows} rows leaves no rows for "
            f"{'training' if at == 0 else 'validation'}."
        )

    def part(begin: int, end: int, shuffle: bool | str) -> ArraySource:
        parts = _cut((source.x, source.y, source.sample_weight), begin, end)
        return ArraySource(*parts, source.batch_size, shuffle)

    training, validation = part(0, at, source.shuffle), part(at, source.rows, False)
    if class_weighted:
        validation.sample_weight = None
    return training, validation


def shuffle_seed() -> tuple[int, int]:
    """A new order each time, repeatable through set_random_seed."""
    return make_default_seed(), 0


def _cut(parts: Batch, begin: int, end: int) -> Batch:
    """Rows [begin, end) of every array."""
    return _take(parts, slice(begin, end))


def _take(parts: Batch, rows: Any) -> Batch:
    """The rows of every array that an index selects."""

    def cut(array: Any) -> Any:
        return None if array is None else array[rows]

    return tuple(  # type: ignore[return-value]
        None if part is None else structure.map_structure(cut, part) for part in parts
    )
