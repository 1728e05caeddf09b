"""MultiOptimizer: different optimizers for different weights."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, Sequence
from typing import Any, NoReturn

from lamina import serialization
from lamina.optimizers.base import Optimizer
from lamina.validation import short_repr
from lamina.variable import Variable


def _checked(argument: str, value: Any) -> Optimizer:
    if not isinstance(value, Optimizer):
        raise TypeError(f"OptimizerMap: {argument} must be an Optimizer. Got {short_repr(value)}.")
    return value


class OptimizerMap(MutableMapping[str, Optimizer]):
    """Which optimizer updates the weight of a path.

    `map[path]` is the entry of that very name, else the one whose name, a regular expression,
    matches the whole path, else the default.

    Args:
        default_optimizer: for weights without an entry.
        optimizer_map: first entries, or None.
    """

    def __init__(
        self, default_optimizer: Optimizer, optimizer_map: Mapping[str, Optimizer] | None = None
    ) -> None:
        self._default = _checked("default_optimizer", default_optimizer)
        self._entries: dict[str, Optimizer] = {}
        for key, optimizer in (optimizer_map or {}).items():
            self[key] = optimizer

    @property
    def default_optimizer(self) -> Optimizer:
        """The optimizer for weights without an entry."""
        return self._default

    def __getitem__(self, key: str) -> Optimizer:
        if key in self._entries:
            return self._entries[key]
        found = [pattern for pattern in self._entries if re.fullmatch(pattern, key)]
        if len(found) > 1:
            raise ValueError(f"OptimizerMap: {key!r} matches more than one entry: {found}.")
        return self._entries[found[0]] if found else self._default

    def __setitem__(self, key: str, optimizer: Optimizer) -> None:
        if not isinstance(key, str):
            raise ValueError(f"OptimizerMap: a key must be a string. Got {short_repr(key)}.")
        if key in self._entries:
            raise ValueError(f"OptimizerMap: {key!r} has an entry already; delete it first.")
        if not isinstance(optimizer, Optimizer):
            raise ValueError(
                f"OptimizerMap: the entry {key!r} must be an Optimizer. "
                f"Got {short_repr(optimizer)}."
            )
        self._entries[key] = optimizer

    def __delitem__(self, key: str) -> None:
        del self._entries[key]

    def __contains__(self, key: object) -> bool:
        return key in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        describe = serialization.serialize_keras_object
        return {
            "default_optimizer": describe(self._default),
            "optimizer_map": {key: describe(each) for key, each in self._entries.items()},
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> OptimizerMap:
        """Build a map from what `get_config` returned."""
        from lamina import optimizers

        entries = (config["optimizer_map"] or {}).items()
        return cls(
            optimizers.deserialize(config["default_optimizer"], custom_objects),
            {key: optimizers.deserialize(each, custom_objects) for key, each in entries},
        )


class MultiOptimizer(Optimizer):
    """Several optimizers, each for its own weights.

    Args:
        optimizer_map: an `OptimizerMap`, or a function that returns the optimizer of a Variable.
        loss_scale_factor: of all the optimizers; None leaves theirs.
        name: by default from the class.

    There is no common `learning_rate`: see `optimizers`.
    """

    def __init__(
        self,
        optimizer_map: OptimizerMap | Callable[[Variable], Optimizer],
        loss_scale_factor: float | None = None,
        name: str | None = None,
    ) -> None:
        if not (isinstance(optimizer_map, OptimizerMap) or callable(optimizer_map)):
            raise TypeError(
                f"{type(self).__name__}: optimizer_map must be an OptimizerMap or a function of a "
                f"Variable. Got {short_repr(optimizer_map)}."
            )
        super().__init__(0.0, loss_scale_factor=loss_scale_factor, name=name)
        self._optimizer_map = optimizer_map
        self._inner: list[Optimizer] = []

    @property
    def optimizers(self) -> list[Optimizer]:
        """The optimizers in use, in the order of their first weights; empty before `build`."""
        return self._inner[:]

    @property
    def learning_rate(self) -> NoReturn:
        """Each of `optimizers` has its own."""
        raise AttributeError(
            f"{type(self).__name__} has no learning rate of its own: read those of its "
            "`optimizers`."
        )

    @learning_rate.setter
    def learning_rate(self, rate: Any) -> NoReturn:
        raise AttributeError(
            f"{type(self).__name__} has no learning rate of its own: set those of its `optimizers`."
        )

    def _optimizer_of(self, variable: Variable) -> Optimizer:
        if isinstance(self._optimizer_map, OptimizerMap):
            return self._optimizer_map[variable.path]
        return _checked("the function's result", self._optimizer_map(variable))

    def build(self, variables: Sequence[Variable]) -> None:
        """Give every weight to its optimizer, and build them."""
        if self.built:
            return
        super().build(variables)
        shares: dict[int, tuple[Optimizer, list[Variable]]] = {}
        for variable in variables:
            optimizer = self._optimizer_of(variable)
            shares.setdefault(id(optimizer), (optimizer, []))[1].append(variable)
        for optimizer, share in shares.values():
            if self.loss_scale_factor is not None:
                optimizer.loss_scale_factor = self.loss_scale_factor
            optimizer.build(share)
            self._inner.append(optimizer)

    @property
    def variables(self) -> list[Variable]:
        """The own ones, then those of each optimizer."""
        return [*self._variables, *(v for each in self._inner for v in each.variables)]

    def apply(
        self, grads: Sequence[Any], trainable_variables: Sequence[Variable] | None = None
    ) -> None:
        """Update weights by their gradients (see `Optimizer.apply`)."""
        variables = self._variables_for(list(grads), trainable_variables)
        if all(g is None for g in grads):
            raise ValueError("No gradients provided for any variable.")
        for optimizer in self._inner:
            pairs = [
                (g, v)
                for g, v in zip(grads, variables, strict=True)
                if id(v) in optimizer._positions
            ]
            if any(g is not None for g, _ in pairs):
                optimizer.apply_gradients(pairs)
        self._iterations.assign_add(1)

    def release(self) -> None:
        for optimizer in self._inner:
            optimizer.release()

    def finalize_variable_values(self, var_list: Iterable[Variable]) -> None:
        """Let each optimizer give its weights the values of their averages."""
        weights = list(var_list)
        for optimizer in self._inner:
            share = [v for v in weights if id(v) in optimizer._positions]
            optimizer.finalize_variable_values(share)

    def get_config(self) -> dict[str, Any]:
        return {
            "optimizer_map": serialization.serialize_keras_object(self._optimizer_map),
            "loss_scale_factor": self.loss_scale_factor,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Optimizer:
        """Build an optimizer from what `get_config` returned."""
        chosen = serialization.deserialize_keras_object(
            config["optimizer_map"],
            custom_objects=custom_objects,
            module_objects={"OptimizerMap": OptimizerMap},
        )
        return cls(**{**config, "optimizer_map": chosen})
