"""MultiOptimizer: different optimizers for different weights."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, NoReturn

from lamina import serialization
from lamina.optimizers.base import Optimizer
from lamina.optimizers.loss_scale import LossScaleOptimizer
from lamina.validation import short_repr
from lamina.variable import Variable


def _nested(optimizer: Any) -> str | None:
    """Return the name of a kind of optimizer that can't be one of several, None for the others."""
    for kind in (LossScaleOptimizer, MultiOptimizer):
        if isinstance(optimizer, kind):
            return kind.__name__
    return None


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
        if not isinstance(default_optimizer, Optimizer):
            raise TypeError(
                "OptimizerMap: default_optimizer must be an Optimizer. "
                f"Got {short_repr(default_optimizer)}."
            )
        self._default = default_optimizer
        self._optimizer_map: dict[str, Optimizer] = {}
        if not isinstance(optimizer_map or {}, Mapping):
            raise TypeError(
                f"OptimizerMap: optimizer_map must be a dict. Got {short_repr(optimizer_map)}."
            )
        for key, optimizer in (optimizer_map or {}).items():
            self[key] = optimizer

    @property
    def default_optimizer(self) -> Optimizer:
        """The optimizer for weights without an entry."""
        return self._default

    def __call__(self, variable: Variable) -> Optimizer:
        """Return the optimizer of a weight, by its path."""
        return self[variable.path]

    def __getitem__(self, key: str) -> Optimizer:
        if key in self._optimizer_map:
            return self._optimizer_map[key]
        found = [pattern for pattern in self._optimizer_map if re.fullmatch(pattern, key)]
        if len(found) > 1:
            raise ValueError(f"OptimizerMap: {key!r} matches more than one entry: {found}.")
        return self._optimizer_map[found[0]] if found else self._default

    def __setitem__(self, key: str, optimizer: Optimizer) -> None:
        if not isinstance(key, str):
            raise ValueError(f"OptimizerMap: a key must be a string. Got {short_repr(key)}.")
        if key in self._optimizer_map:
            raise ValueError(f"OptimizerMap: {key!r} has an entry already; delete it first.")
        if not isinstance(optimizer, Optimizer):
            raise ValueError(
                f"OptimizerMap: the entry {key!r} must be an Optimizer. "
                f"Got {short_repr(optimizer)}."
            )
        nested = _nested(optimizer)
        if nested is not None:
            raise ValueError(f"OptimizerMap: {key!r}: the optimizer cannot be {nested}.")
        self._optimizer_map[key] = optimizer

    def __delitem__(self, key: str) -> None:
        del self._optimizer_map[key]

    def __contains__(self, key: object) -> bool:
        return key in self._optimizer_map

    def __iter__(self) -> Iterator[str]:
        return iter(self._optimizer_map)

    def __len__(self) -> int:
        return len(self._optimizer_map)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        describe = serialization.serialize_keras_object
        return {
            "default_optimizer": describe(self._default),
            "optimizer_map": {key: describe(each) for key, each in self._optimizer_map.items()},
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
        optimizer_map: an `OptimizerMap`, or a function that returns the optimizer of a Variable;
            an Optimizer stands for one that always returns it.
        loss_scale_factor: that of all the optimizers, in the place of their own.
        name: by default from the class.

    There is no common `learning_rate`: see `optimizers`.
    """

    def __init__(
        self,
        optimizer_map: OptimizerMap | Callable[[Variable], Optimizer] | Optimizer,
        loss_scale_factor: float | None = None,
        name: str | None = None,
    ) -> None:
        if isinstance(optimizer_map, Optimizer):
            optimizer_map = OptimizerMap(optimizer_map)
        if not callable(optimizer_map):
            raise TypeError(
                f"{type(self).__name__}: optimizer_map must be an OptimizerMap or a function of a "
                f"Variable. Got {short_repr(optimizer_map)}."
            )
        self._optimizer_map = optimizer_map
        self._inner_optimizers: list[Optimizer] = []
        self._var_to_optimizer_idx: dict[int, int] = {}
        if isinstance(optimizer_map, OptimizerMap):
            for optimizer in (*optimizer_map.values(), optimizer_map.default_optimizer):
                self._position_of(optimizer)
        super().__init__(0.0, loss_scale_factor=loss_scale_factor, name=name)

    @property
    def optimizers(self) -> list[Optimizer]:
        """The optimizers: those of the map, then its default, or those that the function chose."""
        return self._inner_optimizers[:]

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

    @property
    def loss_scale_factor(self) -> float | None:
        """What the loss is multiplied by; setting it sets that of all `optimizers`."""
        return self._loss_scale_factor

    @loss_scale_factor.setter
    def loss_scale_factor(self, factor: float | None) -> None:
        self._loss_scale_factor = factor
        for optimizer in self._inner_optimizers:
            optimizer.loss_scale_factor = factor

    def _position_of(self, optimizer: Optimizer) -> int:
        """Return the position among `optimizers`, at the end of which a new one is put."""
        for i, known in enumerate(self._inner_optimizers):
            if known is optimizer:
                return i
        self._inner_optimizers.append(optimizer)
        return len(self._inner_optimizers) - 1

    def _optimizer_of(self, variable: Variable) -> Optimizer:
        optimizer = self._optimizer_map(variable)
        if not isinstance(optimizer, Optimizer):
            raise ValueError(
                f"{type(self).__name__}: the function must return the Optimizer of "
                f"{variable.path!r}. Got {short_repr(optimizer)}."
            )
        nested = _nested(optimizer)
        if nested is not None:
            raise ValueError(f"{nested} cannot be used inside an {type(self).__name__}.")
        return optimizer

    def build(self, var_list: Sequence[Variable]) -> None:
        """Give every weight to its optimizer, and build them."""
        if self.built:
            return
        chosen = [self._optimizer_of(variable) for variable in var_list]
        super().build(var_list)
        for variable, optimizer in zip(var_list, chosen, strict=True):
            self._var_to_optimizer_idx[self._var_key(variable)] = self._position_of(optimizer)
        self.loss_scale_factor = self._loss_scale_factor  # the function's optimizers get it too
        for optimizer, share in self._shares(var_list):
            optimizer.build(share)

    def _shares(self, variables: Sequence[Variable]) -> Iterator[tuple[Optimizer, list[Variable]]]:
        """Return every optimizer with those of the weights that are its own."""
        owners = [self._var_to_optimizer_idx[self._var_key(v)] for v in variables]
        for i, optimizer in enumerate(self._inner_optimizers):
            yield optimizer, [v for v, owner in zip(variables, owners, strict=True) if owner == i]

    @property
    def variables(self) -> list[Variable]:
        """The own ones, then those of each optimizer."""
        return [*self._variables, *(v for each in self._inner_optimizers for v in each.variables)]

    def apply(
        self, grads: Sequence[Any], trainable_variables: Sequence[Variable] | None = None
    ) -> None:
        """Update weights by their gradients (see `Optimizer.apply`)."""
        grads = list(grads)
        variables = self._variables_for(grads, trainable_variables)
        by_key = {self._var_key(v): g for v, g in zip(variables, grads, strict=True)}
        for optimizer, share in self._shares(variables):
            optimizer.apply([by_key[self._var_key(v)] for v in share], share)
        self._iterations.assign_add(1)

    @contextmanager
    def _weight_by_weight(self) -> Iterator[None]:
        with ExitStack() as stack:
            for optimizer in self._inner_optimizers:
                stack.enter_context(optimizer._weight_by_weight())
            yield

    def exclude_from_weight_decay(
        self, var_list: Iterable[Variable] | None = None, var_names: Iterable[str] | None = None
    ) -> None:
        """Leave weights out of the decay of every optimizer."""
        weights, patterns = list(var_list or ()), list(var_names or ())
        for optimizer in self._inner_optimizers:
            optimizer.exclude_from_weight_decay(weights, patterns)

    def release(self) -> None:
        for optimizer in self._inner_optimizers:
            optimizer.release()

    def finalize_variable_values(self, var_list: Iterable[Variable]) -> None:
        """Let each optimizer give its weights the values of their averages."""
        for optimizer, share in self._shares(list(var_list)):
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
