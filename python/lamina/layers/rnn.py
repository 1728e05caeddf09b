"""The general loop of a recurrent layer over any cell."""

from __future__ import annotations

from typing import Any

from lamina import ops, serialization, structure
from lamina.layers.base import Layer
from lamina.layers.dropout_rnn_cell import DropoutRNNCell
from lamina.layers.stacked_rnn_cells import (
    StackedRNNCells,
    call_cell,
    cell_output_size,
    first_states,
    require_cell,
)
from lamina.validation import Boolean
from lamina.variable import Variable


class RNN(Layer):
    """Run a cell over a sequence.

    Args:
        cell: layer with `call(inputs_of_one_step, states) -> (output, new_states)` and an
            attribute `state_size` (an integer, or a list of them); or a list of cells, of which
            each reads the output of the one before.
        return_sequences: whether the outputs of all steps are returned, not only the last.
        return_state: whether the last states are returned too: `(output, *states)`.
        go_backwards: whether the sequence is read from its end; outputs come in that order.
        stateful: whether the last states are the first states of the next batch.
        unroll: accepted for compatibility; every sequence is compiled for its length.
        zero_output_for_mask: whether masked steps give zeros; they repeat the previous output
            otherwise.

    Call arguments: sequences, initial_state (list of tensors, nested as the cell's states are),
        mask (batch, time), training.
    Input shape: `(batch, time, ...)`.
    Output shape: `(batch, units)`, or `(batch, time, units)` with `return_sequences`.
    """

    constraints = {
        "return_sequences": Boolean(),
        "return_state": Boolean(),
        "go_backwards": Boolean(),
        "stateful": Boolean(),
        "unroll": Boolean(),
        "zero_output_for_mask": Boolean(),
    }

    def __init__(
        self,
        cell: Any,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        unroll: bool = False,
        zero_output_for_mask: bool = False,
        **kwargs: Any,
    ) -> None:
        if isinstance(cell, (list, tuple)):
            cell = StackedRNNCells(cell)
        require_cell(type(self).__name__, cell)
        super().__init__(**kwargs)
        (
            self.return_sequences,
            self.return_state,
            self.go_backwards,
            self.stateful,
            self.unroll,
            self.zero_output_for_mask,
        ) = RNN.validated(
            self,
            return_sequences=return_sequences,
            return_state=return_state,
            go_backwards=go_backwards,
            stateful=stateful,
            unroll=unroll,
            zero_output_for_mask=zero_output_for_mask,
        )
        self.cell = cell
        self.supports_masking = True
        self._set_states(None)

    # States

    @property
    def state_size(self) -> list[Any]:
        """The length of each state; a list stands for the states of one of several cells."""
        size = self.cell.state_size
        return list(size) if structure.is_nested(size) else [size]

    @property
    def states(self) -> list[Any] | None:
        """The kept states, variables nested as the cell's states are; None without `stateful`."""
        kept: list[Any] | None = self.__dict__["_kept_states"]
        return kept

    def _set_states(self, states: list[Any] | None) -> None:
        self.__dict__["_kept_states"] = states  # not weights: past the attribute tracking

    def _first_states(self, sequences: Any, initial_state: Any) -> list[Any]:
        if initial_state is not None:
            given = initial_state if structure.is_nested(initial_state) else [initial_state]
            wanted = len(self.state_size)
            if len(given) != wanted:
                raise ValueError(
                    f"{self.name} ({type(self).__name__}): expected {wanted} initial states, "
                    f"got {len(given)}."
                )
            return list(structure.map_structure(self._as_float, given))
        if self.stateful:
            self._check_batch(sequences.shape[0])
            return list(
                structure.map_structure(lambda kept: self._as_float(kept.value), self.states)
            )
        return self.get_initial_state(sequences)

    def _check_batch(self, batch: int | None) -> None:
        expected = next(structure.iterate(self.states)).shape[0]
        if batch is not None and batch != expected:
            raise ValueError(
                f"{self.name} ({type(self).__name__}): a stateful layer keeps the batch size it "
                f"was built with: expected {expected} rows, got {batch}."
            )

    def get_initial_state(self, batch_size: Any) -> list[Any]:
        """Return the states before the first step, zeros unless the cell says otherwise.

        Args:
            batch_size: number of rows, or the sequences (batch, time, ...) themselves.
        """
        if not hasattr(batch_size, "shape"):
            return first_states(self.cell, batch_size, self.compute_dtype)
        sequences = batch_size
        if sequences.shape[0] is not None:
            return first_states(self.cell, sequences.shape[0], self.compute_dtype)
        # Shapes only: the states of one row, for an unknown number of rows.
        rows = ops.zeros_like(sequences[(slice(None), 0) + (0,) * (sequences.ndim - 2)])

        def spread(state: Any) -> Any:
            return state + ops.reshape(rows, (-1,) + (1,) * (state.ndim - 1))

        one_row = first_states(self.cell, 1, self.compute_dtype)
        return list(structure.map_structure(spread, one_row))

    def reset_state(self) -> None:
        """Set the kept states of a stateful layer to zero."""
        for state in structure.iterate(self.states or ()):
            state.assign(ops.zeros(state.shape, dtype=state.dtype))

    reset_states = reset_state

    # Building and calling

    def build(self, sequences_shape: Any, initial_state_shape: Any = None) -> None:
        del initial_state_shape
        batch = sequences_shape[0]
        if isinstance(self.cell, Layer) and not self.cell.built:
            self.cell.build((batch, *sequences_shape[2:]))
        if not self.stateful:
            return
        if batch is None:
            raise ValueError(
                f"{self.name} ({type(self).__name__}): a stateful layer needs a known batch "
                "size: use Input(batch_shape=(rows, steps, features))."
            )
        if self.states is not None:
            self.reset_state()
            return

        def kept(value: Any) -> Variable:
            return Variable(value, trainable=False, dtype=self.variable_dtype, name="rnn_state")

        self._set_states(list(structure.map_structure(kept, self.get_initial_state(batch))))

    def call(
        self,
        sequences: Any,
        initial_state: Any = None,
        mask: Any = None,
        training: bool = False,
    ) -> Any:
        sequences = self._as_float(sequences)
        if isinstance(mask, (list, tuple)):
            mask = mask[0]
        if self.unroll and sequences.shape[1] is None:
            raise ValueError(
                f"{self.name} ({type(self).__name__}): unroll=True needs a known number of steps. "
                "Give the input a shape without None on its time axis."
            )
        states = self._first_states(sequences, initial_state)
        _reset_dropout(self.cell)
        try:
            output, states = self._run_steps(sequences, states, mask, training)
        finally:
            _reset_dropout(self.cell)
        if self.stateful:
            for state, value in zip(
                structure.iterate(self.states), structure.iterate(states), strict=True
            ):
                state.assign(value)
        output = self._as_float(output)
        if not self.return_state:
            return output
        return (output, *structure.map_structure(self._as_float, states))

    def _run_steps(
        self, sequences: Any, states: list[Any], mask: Any, training: bool
    ) -> tuple[Any, list[Any]]:
        """Call the cell once per step."""
        steps = sequences.shape[1]
        if steps is None:
            return self._unknown_steps(sequences, states, training)
        outputs: list[Any] = []
        for step in reversed(range(steps)) if self.go_backwards else range(steps):
            output, new_states = self._call_cell(sequences[:, step], states, training)
            if mask is not None:
                valid = ops.cast(mask[:, step], "bool")
                previous = outputs[-1] if outputs and not self.zero_output_for_mask else None
                output = _where(
                    valid, output, ops.zeros_like(output) if previous is None else previous
                )
                new_states = structure.map_structure(
                    lambda new, old, valid=valid: _where(valid, new, old), new_states, states
                )
            states = new_states
            outputs.append(output)
        return (ops.stack(outputs, axis=1) if self.return_sequences else outputs[-1]), states

    def _unknown_steps(
        self, sequences: Any, states: list[Any], training: bool
    ) -> tuple[Any, list[Any]]:
        """Return outputs of the right shapes: those of one step, for any number of steps."""
        output, states = self._call_cell(sequences[:, 0], states, training)
        if self.return_sequences:
            steps = ops.zeros_like(
                sequences[(slice(None), slice(None)) + (0,) * (sequences.ndim - 2)]
            )
            for _ in range(output.ndim - 1):
                steps = ops.expand_dims(steps, axis=-1)
            output = ops.expand_dims(output, axis=1) + steps
        return output, states

    def _call_cell(self, inputs: Any, states: list[Any], training: bool) -> tuple[Any, list[Any]]:
        output, new_states = call_cell(self.cell, inputs, states, training)
        return output, list(new_states) if structure.is_nested(new_states) else [new_states]

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        del inputs
        mask = next(structure.iterate(mask))
        output_mask = mask if self.return_sequences else None
        return [output_mask, *(None for _ in self.state_size)] if self.return_state else output_mask

    def compute_output_shape(self, sequences_shape: Any, initial_state_shape: Any = None) -> Any:
        del initial_state_shape
        batch, steps = sequences_shape[0], sequences_shape[1]
        units = cell_output_size(self.cell)
        output = (batch, steps, units) if self.return_sequences else (batch, units)
        if not self.return_state:
            return output
        return (output, *structure.map_structure(lambda size: (batch, size), self.state_size))

    def _loop_config(self) -> dict[str, Any]:
        return {
            "return_sequences": self.return_sequences,
            "return_state": self.return_state,
            "go_backwards": self.go_backwards,
            "stateful": self.stateful,
            "unroll": self.unroll,
            "zero_output_for_mask": self.zero_output_for_mask,
        }

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            **self._loop_config(),
            "cell": serialization.serialize_keras_object(self.cell),
        }

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None
    ) -> Any:
        config = dict(config)
        if isinstance(config.get("cell"), dict):
            config["cell"] = serialization.deserialize_keras_object(config["cell"], custom_objects)
        return super().from_config(config)


def _reset_dropout(cell: Any) -> None:
    """Let the next sequence draw new dropout masks."""
    if isinstance(cell, StackedRNNCells):
        for inner in cell.cells:
            _reset_dropout(inner)
    elif isinstance(cell, DropoutRNNCell):
        cell.reset_dropout_mask()
        cell.reset_recurrent_dropout_mask()


def _where(valid: Any, new: Any, old: Any) -> Any:
    """Return `new` in the rows, or places, where the step counts, `old` in the others."""
    for _ in range(new.ndim - valid.ndim):
        valid = ops.expand_dims(valid, axis=-1)
    return ops.where(valid, new, old)
