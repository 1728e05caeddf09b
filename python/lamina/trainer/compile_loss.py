"""The losses given to `compile`, laid over the structure of the model's outputs."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from lamina import losses as losses_module
from lamina import metrics as metrics_module
from lamina import ops, structure
from lamina.trainer.alignment import aligned, is_label_kind, spread_weights
from lamina.validation import did_you_mean

Path = tuple[Any, ...]


class _Given(NamedTuple):
    """One loss as the user wrote it, with its weight. (No list: a leaf of the structure.)"""

    loss: Any
    weight: Any


class _Leaf:
    """Keeps a `_Given` from being walked into."""

    __slots__ = ("given",)

    def __init__(self, loss: Any, weight: Any) -> None:
        self.given = _Given(loss, weight)


class _Entry(NamedTuple):
    path: Path  # where in the outputs and the labels the loss looks
    loss: Any
    weight: float | None
    name: str


class _FittingCrossentropy(losses_module.Loss):
    """The cross-entropy that labels and outputs are shaped for: binary, sparse or categorical."""

    integer_targets = True

    def call(self, y_true: Any, y_pred: Any) -> Any:
        binary, sparse = is_label_kind(y_true, y_pred)
        if binary:
            return losses_module.binary_crossentropy(y_true, y_pred)
        if sparse:
            return losses_module.sparse_categorical_crossentropy(y_true, y_pred)
        return losses_module.categorical_crossentropy(y_true, y_pred)


def resolve_loss(identifier: Any) -> Any:
    """A Loss object for what the user wrote."""
    if identifier is None or isinstance(identifier, losses_module.Loss):
        return identifier
    if isinstance(identifier, str) and identifier.lower() in ("crossentropy", "ce"):
        return _FittingCrossentropy(name=identifier)
    found = losses_module.get(identifier)
    if isinstance(found, losses_module.Loss):
        return found
    if isinstance(found, type):
        return found()
    own = getattr(found, "__name__", type(found).__name__)
    name = identifier if isinstance(identifier, str) else own
    return losses_module.LossFunctionWrapper(found, name=name)


def is_loss_config(value: Any) -> bool:
    """Whether a dict describes one loss (as in a saved model), not losses by output."""
    return isinstance(value, Mapping) and "class_name" in value and "config" in value


def output_names_of(model_names: Sequence[str], y_pred: Any) -> list[str | None]:
    """The model's names of the outputs, when they are as many as `y_pred` has tensors."""
    count = len(structure.flatten(y_pred))
    return list(model_names) if len(model_names) == count else [None] * count


def at_path(value: Any, path: Path) -> Any:
    """What stands at a path of keys and indices."""
    for key in path:
        value = value[key]
    return value


class CompileLoss:
    """The losses of all outputs and their weighted sum.

    A loss stands where the output stands that it is for: one for all outputs, a list or dict as
    the outputs are, or nested as they are. A list where the outputs have another kind of container
    means several losses of the same part; such a loss gets the part's structure of labels and
    outputs.

    Args:
        loss, loss_weights: as given to `compile`.
        y_pred: structure of the outputs.
        names: names of the outputs in flattened order.

    Raises:
        ValueError: for other names than the outputs', or another number of weights than losses.
        KeyError: for a place that the outputs do not have.
    """

    def __init__(
        self, loss: Any, loss_weights: Any, y_pred: Any, names: Sequence[str | None]
    ) -> None:
        if is_loss_config(loss):
            loss = resolve_loss(loss)
        self.names = list(names)
        if isinstance(loss, (list, tuple)) and len(loss) > 1 and len(self.names) == 1:
            raise ValueError(
                f"compile(): loss has {len(loss)} entries, the model has 1 output. For the sum of "
                "several losses pass a function of (y_true, y_pred)."
            )
        weighted = _with_weights(loss, loss_weights, self.names)
        by_place = _laid_over(weighted, y_pred, self.names)
        packed_names = structure.pack(y_pred, self.names)
        self._entries = list(_entries(by_place, y_pred, packed_names, ()))
        many = len(self._entries) > 1
        self.trackers: list[Any] = [
            metrics_module.Mean(name=f"{entry.name}_loss") for entry in self._entries if many
        ]
        # Which outputs need a label, where every output has one loss or none.
        self.is_used = [leaf.given.loss is not None for leaf in structure.flatten(by_place)]

    def __call__(
        self, y_true: Any, y_pred: Any, sample_weight: Any
    ) -> tuple[Any, list[tuple[Any, Any]]]:
        """The total loss, and (tracker, value) pairs of the single ones."""
        y_true = aligned(y_true, y_pred, self.names, "y", self.is_used)
        if sample_weight is not None:
            sample_weight = spread_weights(sample_weight, y_pred, self.names)
        total, tracked = None, []
        for i, (path, loss, weight, _) in enumerate(self._entries):
            true, pred = at_path(y_true, path), at_path(y_pred, path)
            if true is None:
                continue
            sample = None if sample_weight is None else _one_weight(at_path(sample_weight, path))
            if not structure.is_nested(pred):
                _check_labels(loss, true, pred)
            value = loss(true, pred, sample_weight=sample)
            value = ops.cast(value, structure.flatten(pred)[0].dtype)
            if self.trackers:
                tracked.append((self.trackers[i], value))
            if weight is not None:
                value = value * weight
            total = value if total is None else total + value
        return total, tracked


def _with_weights(loss: Any, weights: Any, names: list[str | None]) -> Any:
    """The losses as `_Leaf`s that know their weights."""
    count = len(structure.flatten(loss))
    if weights is None or isinstance(weights, (int, float)):
        flat = [weights] * count
    elif isinstance(weights, Mapping) and set(weights) == set(names):
        ordered = sorted(names) if isinstance(loss, Mapping) else names  # type: ignore[type-var]
        flat = [weights[name] for name in ordered]
    else:
        flat = structure.flatten(weights)
    if len(flat) != count:
        raise ValueError(
            f"compile(): each loss has one weight; got {count} losses and {len(flat)} loss_weights."
        )
    for weight in flat:
        if weight is not None and not isinstance(weight, (int, float)):
            raise ValueError(f"compile(): loss_weights must be numbers. Got {weight!r}.")
    remaining = iter(flat)
    return structure.map_structure(lambda one: _Leaf(one, next(remaining)), loss)


def _laid_over(loss: Any, y_pred: Any, names: list[str | None]) -> Any:
    """One loss for all outputs, or losses by output name, in the outputs' structure."""
    if isinstance(loss, _Leaf):
        return structure.map_structure(lambda _: loss, y_pred)
    if isinstance(loss, Mapping) and not isinstance(y_pred, Mapping):
        if set(loss) != set(names):
            unknown = next((key for key in loss if key not in names), None)
            known = [name for name in names if name is not None]
            hint = did_you_mean(unknown, known) if isinstance(unknown, str) else ""
            raise ValueError(
                f"compile(): the loss is given by output. Expected keys {names}, got "
                f"{list(loss)}.{hint}"
            )
        return structure.pack(y_pred, [loss[name] for name in names])
    return loss


def _entries(loss: Any, y_pred: Any, names: Any, path: Path) -> Iterator[_Entry]:
    """The losses of the part of the outputs at `path`, depth first."""
    if isinstance(loss, (list, tuple)):
        flat = all(isinstance(one, _Leaf) for one in loss)
        if flat and len(loss) == len(structure.flatten(y_pred)):
            loss = structure.pack(y_pred, loss)
        elif not isinstance(y_pred, type(loss)):
            for one in loss:  # several losses of the same part
                yield from _entries(one, y_pred, names, path)
            return
    if isinstance(loss, _Leaf):
        resolved = resolve_loss(loss.given.loss)
        if resolved is not None:
            weight = None if loss.given.weight is None else float(loss.given.weight)
            yield _Entry(path, resolved, weight, _log_name(path, names, resolved))
        return
    if not isinstance(loss, type(y_pred)):
        raise KeyError(
            f"compile(): the place {path} in the `loss` argument, can't be found in the model's "
            f"outputs: there is a {type(loss).__name__} of losses and a {type(y_pred).__name__}."
        )
    for key, one in loss.items() if isinstance(loss, dict) else enumerate(loss):
        if isinstance(one, _Leaf) and one.given.loss is None:
            continue
        if not _has(y_pred, key):
            keys = list(y_pred) if isinstance(y_pred, dict) else len(y_pred)
            raise KeyError(
                f"compile(): the place {(*path, key)} in the `loss` argument, can't be found in "
                f"either the model's outputs or the labels; there the outputs have {keys}."
            )
        yield from _entries(one, y_pred[key], names[key], (*path, key))


def _has(value: Any, key: Any) -> bool:
    return key in value if isinstance(value, dict) else key < len(value)


def _log_name(path: Path, names: Any, loss: Any) -> str:
    """What the loss is called in logs: by the output's name, else by its place."""
    shown = path
    if not structure.is_nested(names):
        own = loss.name if names is None else names
        if not path:
            shown = (own,)
        elif isinstance(path[-1], int):
            shown = (*path[:-1], own)
    if shown:
        return "/".join(str(key) for key in shown)
    parts = list(names) if isinstance(names, dict) else structure.flatten(names)
    return "_".join(str(part) for part in parts)


def _one_weight(weights: Any) -> Any:
    """The weights of a loss over one output, or over several with the same weights."""
    flat = structure.flatten(weights)
    if any(weight is not flat[0] for weight in flat):
        raise ValueError(
            "sample_weight: a loss over several outputs at once takes one array of weights, "
            f"got {len(flat)}."
        )
    return flat[0]


# Losses whose labels have a shape of their own: class numbers, or sequences.
_OWN_LABELS = (
    "sparse_categorical_crossentropy",
    "categorical_generalized_cross_entropy",
    "circle",
    "ctc",
)


def _check_labels(loss: Any, y_true: Any, y_pred: Any) -> None:
    """Warn of labels that are stretched over the outputs, as Keras stretches them silently.

    Raises:
        ValueError: with both shapes, for labels that do not fit at all.
    """
    fn: Any = getattr(loss, "fn", None)
    if getattr(fn, "__module__", "") != "lamina.losses.functions" or fn.__name__ in _OWN_LABELS:
        return
    true, pred = tuple(y_true.shape), tuple(y_pred.shape)
    if len(true) + 1 == len(pred) and pred[-1] == 1:
        true = (*true, 1)
    elif len(true) == len(pred) + 1 and true[-1] == 1:
        true = true[:-1]
    if true == pred:
        return
    message = (
        f"{loss.name}: labels of shape {tuple(y_true.shape)} do not match predictions of shape "
        f"{pred}. The last layer's units (or y) should be such that the two are alike."
    )
    if len(true) != len(pred) or any(
        t != p and 1 not in (t, p) for t, p in zip(true[1:], pred[1:], strict=True)
    ):
        raise ValueError(message)
    warnings.warn(message + " They are broadcast.", stacklevel=2)
