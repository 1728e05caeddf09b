"""Several recurrent cells as one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from lamina import ops, serialization, structure
from lamina.layers.base import Layer
from lamina.layers.signature import call_signature


def require_cell(owner: str, cell: Any) -> None:
    """Raise ValueError unless `cell` has what `RNN` uses of a cell."""
    for attribute in ("call", "state_size"):
        if attribute not in dir(cell):
            raise ValueError(f"{owner}: cell must have `{attribute}`. Got {cell!r}.")


def call_cell(cell: Any, inputs: Any, states: list[Any], training: bool) -> tuple[Any, Any]:
    """Run one step of a cell; `training` is passed where it is taken."""
    call = cell if callable(cell) else cell.call
    if isinstance(cell, Layer) and call_signature(type(cell).call).has_training:
        return call(inputs, states, training=training)
    return call(inputs, states)


def cell_output_size(cell: Any) -> Any:
    """Return the length of a cell's output: what it says, else that of its first state."""
    size = getattr(cell, "output_size", None)
    return next(structure.iterate(cell.state_size)) if size is None else size


def first_states(cell: Any, batch_size: int, dtype: str) -> list[Any]:
    """Return the states before the first step: the cell's own, or zeros."""
    own = getattr(cell, "get_initial_state", None)
    if own is not None:
        states = own(batch_size=batch_size)
    else:
        states = structure.map_structure(
            lambda size: ops.zeros((batch_size, size), dtype=dtype), cell.state_size
        )
    return list(states) if structure.is_nested(states) else [states]


class StackedRNNCells(Layer):
    """A cell made of several: each gets the output of the one before.

    Args:
        cells: list of cells, the first one first.

    States: a list with an entry for each cell: a tensor for a cell of one state, a list of
    tensors for a cell of several.
    """

    def __init__(self, cells: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not isinstance(cells, Iterable):
            raise TypeError(f"{type(self).__name__}: cells must be a list of cells. Got {cells!r}.")
        for cell in cells:
            require_cell(type(self).__name__, cell)
        self.cells = list(cells)

    @property
    def state_size(self) -> list[Any]:
        """The lengths of the states of each cell."""
        return [cell.state_size for cell in self.cells]

    @property
    def output_size(self) -> Any:
        """The length of the last cell's output."""
        return cell_output_size(self.cells[-1])

    def get_initial_state(self, batch_size: int | None = None) -> list[Any]:
        """Return the first states of every cell: a list of lists."""
        return [
            list(first_states(cell, batch_size, self.compute_dtype))  # type: ignore[arg-type]
            for cell in self.cells
        ]

    def build(self, input_shape: Any) -> None:
        for cell in self.cells:
            if isinstance(cell, Layer) and not cell.built:
                cell.build(input_shape)
            input_shape = (input_shape[0], cell_output_size(cell))

    def call(self, inputs: Any, states: Any, training: bool = False) -> Any:
        new_states: list[Any] = []
        for cell, state in zip(self.cells, states, strict=True):
            given = list(state) if structure.is_nested(state) else [state]
            inputs, state = call_cell(cell, inputs, given, training)
            new_states.append(list(state) if structure.is_nested(state) else [state])
        return inputs, new_states

    def compute_output_shape(self, input_shape: Any, *_: Any) -> Any:
        def state_shape(size: int) -> tuple[Any, int]:
            return (input_shape[0], size)

        return state_shape(self.output_size), structure.map_structure(state_shape, self.state_size)

    def get_config(self) -> dict[str, Any]:
        cells = [serialization.serialize_keras_object(cell) for cell in self.cells]
        return {**super().get_config(), "cells": cells}

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None
    ) -> Any:
        make = serialization.deserialize_keras_object
        cells = [make(cell, custom_objects) for cell in config["cells"]]
        return super().from_config({**config, "cells": cells})
