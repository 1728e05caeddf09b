"""The state of a layer: weights, sublayers, losses, and how they are found by attribute."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from lamina import structure
from lamina.layers.revision import note_replaced, revision
from lamina.scopes import get_stateless_scope
from lamina.variable import Variable

if TYPE_CHECKING:
    from lamina.layers.base import Layer


class CallContext(threading.local):
    """What a running outer layer hands to the layers it calls, per thread."""

    training: bool | None = None
    depth = 0
    discard_losses = False
    arguments: dict[str, Any] | None = None  # other arguments that reach the layers inside
    loss_owners: list[Any] | None = None


context = CallContext()

# Attributes of every layer that hold no part of it.
_NO_PARTS = frozenset(
    ("_loss_owners", "_init_arguments", "_inbound_nodes")  # hold layers around this one
    + ("_trainable_variables", "_non_trainable_variables", "_losses", "_build_shapes")  # hold none
)
# What most attributes are: values that hold nothing.
_PLAIN = frozenset((bool, int, float, str, type(None)))


def _find(values: Iterable[Any], kind: type, found: dict[int, Any]) -> None:
    """Add the objects of `kind` among the values, also inside lists and dicts, by their id."""
    for value in values:
        if value.__class__ in _PLAIN:
            continue
        if isinstance(value, kind):
            found[id(value)] = value
        elif isinstance(value, (list, tuple)):
            _find(value, kind, found)
        elif isinstance(value, dict):
            _find([value[key] for key in structure.sorted_keys(value)], kind, found)


class StateLock:
    """Whether a layer takes new weights and sublayers: it does until it is built."""

    def __init__(self, layer: LayerState) -> None:
        self._layer = layer

    @property
    def locked(self) -> bool:
        """Whether new state is refused."""
        return self._layer._is_locked

    def lock(self) -> None:
        """Refuse new state."""
        self._layer._is_locked = True

    def unlock(self) -> None:
        """Take new state, of a layer that changes itself after it was built."""
        self._layer._is_locked = False


class LayerState:
    """Weights, sublayers and losses. `Layer` adds building, calling and configuration."""

    _not_children: frozenset[str] = frozenset()  # attributes that hold no part of the layer
    _trainable_variables: list[Variable]
    _non_trainable_variables: list[Variable]
    _losses: list[Any]
    _trainable: bool
    _is_locked: bool
    _is_open_after_build: bool
    name: str

    def _init_state(self) -> None:
        self.__dict__.update(
            _trainable_variables=[],
            _non_trainable_variables=[],
            _losses=[],
            _loss_owners=[],
            _trainable=True,
            _is_locked=False,
            _inbound_nodes=[],
        )

    @property
    def _tracker(self) -> StateLock:
        return StateLock(self)

    # Finding what belongs to the layer

    def __setattr__(self, name: str, value: Any) -> None:
        known = self.__dict__
        if name in known and known.get("built") and not context.depth and name[0] != "_":
            parts = isinstance(value, LayerState) or isinstance(known[name], LayerState)
            note_replaced(known[name], value, self._is_open_after_build, parts)
        if isinstance(value, Variable):
            self._track_variable(value)
        elif isinstance(value, LayerState):
            self._check_unlocked(name)
        elif structure.is_nested(value) and not name.startswith("_"):
            for leaf in structure.iterate(value):
                if isinstance(leaf, Variable):
                    self._track_variable(leaf)
        object.__setattr__(self, name, value)

    def __delattr__(self, name: str) -> None:
        value = self.__dict__.get(name)
        object.__delattr__(self, name)
        for leaf in structure.iterate(value):
            if isinstance(leaf, Variable):
                self._untrack_variable(leaf)

    def _check_unlocked(self, name: str) -> None:
        if self._is_locked and name not in self.__dict__:
            raise ValueError(
                f"{self.name} ({type(self).__name__}): cannot add new elements of state (here "
                f"{name!r}) to a layer that is built. Make weights and sublayers in __init__() or "
                "build()."
            )

    def _track_variable(self, variable: Variable) -> None:
        for known in (*self._trainable_variables, *self._non_trainable_variables):
            if known is variable:
                return
        self._check_unlocked(variable.name)
        if not variable.trainable:
            self._non_trainable_variables.append(variable)
            return
        self._trainable_variables.append(variable)
        variable.trainable = self._trainable  # a layer that was frozen before it was built

    def _untrack_variable(self, variable: Variable) -> None:
        for own in (self._trainable_variables, self._non_trainable_variables):
            own[:] = [known for known in own if known is not variable]

    def _children(self, kind: type) -> list[Any]:
        """Return the objects of `kind` held by attributes, also inside lists and dicts."""
        found: dict[int, Any] = {}
        parts = [
            value
            for name, value in self.__dict__.items()
            if value.__class__ not in _PLAIN
            and name not in _NO_PARTS
            and name not in self._not_children
            and not name.startswith("_trainer")
        ]
        _find(parts, kind, found)
        return list(found.values())

    @property
    def _layers(self) -> list[Layer]:
        """Direct sublayers in the order of assignment."""
        return self._children(LayerState)

    @property
    def _metrics(self) -> list[Any]:
        from lamina.metrics import Metric

        return self._children(Metric)

    @property
    def _seed_generators(self) -> list[Any]:
        from lamina.random import SeedGenerator

        return self._children(SeedGenerator)

    def _flatten_layers(self, include_self: bool = True, recursive: bool = True) -> list[Layer]:
        """Return the layer and everything below it, outer before inner, each once."""
        found: dict[int, Any] = {}

        def visit(layer: LayerState) -> None:
            found[id(layer)] = layer
            for child in layer._layers if recursive or layer is self else ():
                if id(child) not in found:
                    visit(child)

        visit(self)
        layers = list(found.values())
        return layers if include_self else layers[1:]

    # Weights

    @property
    def variables(self) -> list[Variable]:
        """All state of the layer and its sublayers: weights, then seed generators."""
        return self._collect(with_seeds=True)

    @property
    def weights(self) -> list[Variable]:
        """All weights in the order `get_weights()` uses; random seeds are not weights."""
        return self._collect(with_seeds=False)

    def _collect(self, with_seeds: bool) -> list[Variable]:
        found: dict[int, Variable] = {}
        self._collect_into(found, set(), with_seeds)
        return list(found.values())

    def _collect_into(self, found: dict[int, Variable], seen: set[int], with_seeds: bool) -> None:
        seen.add(id(self))
        own = [*self._trainable_variables, *self._non_trainable_variables]
        if with_seeds:
            own += [generator.state for generator in self._seed_generators]
        for variable in own:
            found.setdefault(id(variable), variable)
        for layer in self._layers:
            if id(layer) not in seen:
                layer._collect_into(found, seen, with_seeds)

    @property
    def trainable_variables(self) -> list[Variable]:
        """Variables that training changes; empty when the layer is frozen."""
        return [v for v in self.variables if v.trainable] if self.trainable else []

    @property
    def non_trainable_variables(self) -> list[Variable]:
        """Variables that training leaves alone; all of them when the layer is frozen."""
        return [v for v in self.variables if not v.trainable] if self.trainable else self.variables

    @property
    def trainable_weights(self) -> list[Variable]:
        """Weights that training changes; empty when the layer is frozen."""
        return [v for v in self.weights if v.trainable] if self.trainable else []

    @property
    def non_trainable_weights(self) -> list[Variable]:
        """Weights that training leaves alone; all of them when the layer is frozen."""
        return [v for v in self.weights if not v.trainable] if self.trainable else self.weights

    @property
    def trainable(self) -> bool:
        """Whether training changes the layer. Setting it reaches all sublayers.

        In `fit` a change takes effect at the next `compile()`.
        """
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        value = bool(value)
        self._trainable = value
        revision.trainable += 1
        for variable in self._trainable_variables:
            variable.trainable = value
        for layer in self._layers:
            layer.trainable = value

    def get_weights(self) -> list[np.ndarray[Any, Any]]:
        """Return the weights as a list of arrays."""
        return [np.asarray(variable.numpy()) for variable in self.weights]

    def set_weights(self, weights: Any) -> None:
        """Set the weights from a list of arrays in the order of `get_weights()`.

        Raises:
            ValueError: if the number of arrays or a shape differs; nothing is changed then.
        """
        variables = self.weights
        values = [np.asarray(value) for value in weights]
        who = f"{self.name} ({type(self).__name__})"
        if len(values) != len(variables):
            shapes = [tuple(value.shape) for value in values]
            raise ValueError(
                f"{who}: set_weights() got {len(values)} arrays with shapes {shapes}, but the "
                f"layer has {len(variables)} weights with shapes "
                f"{[tuple(variable.shape) for variable in variables]}."
            )
        for variable, value in zip(variables, values, strict=True):
            if tuple(variable.shape) != value.shape:
                raise ValueError(
                    f"{who}: weight {variable.path!r} has shape {tuple(variable.shape)}, but "
                    f"set_weights() got an array of shape {value.shape}."
                )
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)

    def count_params(self) -> int:
        """Return the number of numbers in all weights.

        Raises:
            ValueError: if the layer is not built yet.
        """
        if not self.built:  # type: ignore[attr-defined]
            raise ValueError(
                f"{self.name} ({type(self).__name__}): count_params() needs a built layer. "
                "Call it on data or use build(input_shape) first."
            )
        return sum(int(np.prod(variable.shape)) for variable in self.weights)

    def save_own_variables(self, store: Any) -> None:
        """Put the layer's own weights into `store` under "0", "1", and so on."""
        own = [*self._trainable_variables, *self._non_trainable_variables]
        for index, variable in enumerate(own):
            store[str(index)] = np.asarray(variable.numpy())

    def load_own_variables(self, store: Any) -> None:
        """Set the layer's own weights from `store`.

        Raises:
            ValueError: if the number of weights or a shape differs.
        """
        own = [*self._trainable_variables, *self._non_trainable_variables]
        who = f"{self.name} ({type(self).__name__})"
        if len(store.keys()) != len(own):
            hint = "" if self.built else " The layer is not built: call the model on data first."  # type: ignore[attr-defined]
            raise ValueError(
                f"{who}: the file holds {len(store.keys())} weights for this layer, which has "
                f"{len(own)}: {[variable.name for variable in own]}.{hint}"
            )
        for index, variable in enumerate(own):
            value = np.asarray(store[str(index)])
            if value.shape != tuple(variable.shape):
                raise ValueError(
                    f"{who}: weight {variable.path!r} has shape {tuple(variable.shape)}, the file "
                    f"has {value.shape}."
                )
            variable.assign(value)

    # Losses and metrics

    @property
    def metrics(self) -> list[Any]:
        """Metrics held by the layer and its sublayers."""
        found = {id(m): m for layer in self._flatten_layers() for m in layer._metrics}
        return list(found.values())

    @property
    def metrics_variables(self) -> list[Variable]:
        """State of all metrics."""
        return [variable for metric in self.metrics for variable in metric.variables]

    def add_loss(self, loss: Any) -> None:
        """Add a scalar to the training loss; call it inside `call()`.

        Args:
            loss: scalar tensor, or a list of them. Losses of the previous call are dropped.

        Raises:
            ValueError: for a string or a function.
        """
        for value in structure.iterate(loss):
            if isinstance(value, str) or callable(value):
                raise ValueError(
                    f"{self.name}: add_loss() takes a scalar tensor computed in call(). "
                    f"Got {value!r}."
                )
        if context.discard_losses:
            return
        scope = get_stateless_scope()
        if scope is not None and scope.collect_losses:
            for value in structure.iterate(loss):
                scope.add_loss((value, self.name))
        owners = context.loss_owners
        if owners is not None and not any(layer is self for layer in owners):
            self._losses.clear()  # of an earlier call that began at another layer
            owners.append(self)
        self._losses.extend(structure.iterate(loss))

    @property
    def losses(self) -> list[Any]:
        """Scalars added by `add_loss`, activity regularizers and weight regularizers."""
        added = [loss for layer in self._flatten_layers() for loss in layer._losses]
        return added + list(self._regularization_losses())

    def _regularization_losses(self) -> Iterator[Any]:
        for variable in self.trainable_weights:
            if variable.regularizer is not None:
                yield variable.regularizer(variable)

    def _clear_losses(self) -> None:
        """Forget what `add_loss` collected, here and below."""
        for layer in self._flatten_layers():
            layer._losses.clear()
