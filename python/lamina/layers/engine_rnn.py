"""Recurrent layers that the engine runs as one op."""

from __future__ import annotations

from typing import Any

from lamina import activations, ops
from lamina.layers.built_in_rnn import BuiltInRNN
from lamina.layers.recurrent_cell import RecurrentCell
from lamina.layers.spec import InputSpec

# Activations the engine's recurrent ops know; any other runs through the loop over the cell.
ENGINE_ACTIVATIONS = frozenset(
    ("tanh", "sigmoid", "relu", "linear", "hard_sigmoid", "softsign", "softplus", "elu")
)


class EngineRNN(BuiltInRNN):
    """An RNN whose cell has an op of its own that runs the whole sequence."""

    def __init__(self, cell: RecurrentCell, **kwargs: Any) -> None:
        super().__init__(cell, **kwargs)
        self.input_spec = InputSpec(ndim=3)

    def _engine_activations(self) -> dict[str, Any]:
        """Return the op's activation attributes by name."""
        return {"activation": activations.serialize(self.cell.activation)}

    def _engine_op(self, operands: list[Any], attrs: dict[str, Any]) -> tuple[Any, list[Any]]:
        """Run the op; return the outputs and the last states."""
        raise NotImplementedError

    def _run_steps(
        self, sequences: Any, states: list[Any], mask: Any, training: bool
    ) -> tuple[Any, list[Any]]:
        chosen = self._engine_activations()
        if not all(isinstance(n, str) and n in ENGINE_ACTIVATIONS for n in chosen.values()):
            return super()._run_steps(sequences, states, mask, training)
        cell = self.cell
        sequences, kernel = self._dropped(sequences, training)
        masks = cell.recurrent_masks(states[0], training)
        recurrent_mask = ops.stack(masks, axis=0) if isinstance(masks, list) else masks
        operands = [
            sequences,
            kernel,
            cell.recurrent_kernel.value,
            cell.bias_value,
            *states,
        ]
        if mask is not None:
            operands.append(ops.cast(mask, "bool"))
        if recurrent_mask is not None:
            operands.append(recurrent_mask)
        return self._engine_op(
            operands,
            {
                **chosen,
                "has_mask": mask is not None,
                "has_recurrent_mask": recurrent_mask is not None,
                "return_sequences": self.return_sequences,
                "go_backwards": self.go_backwards,
                "zero_output_for_mask": self.zero_output_for_mask,
            },
        )

    def _dropped(self, sequences: Any, training: bool) -> tuple[Any, Any]:
        """Return the sequences after dropout and the kernel that goes with them.

        With a mask for each gate the features stand side by side once for each gate, and the
        kernel keeps each gate's columns beside that gate's features only.
        """
        cell = self.cell
        kernel = cell.kernel.value
        if not training or not 0 < cell.dropout < 1:
            return sequences, kernel
        masks = cell.get_dropout_mask(sequences[:, 0])
        if not isinstance(masks, list):
            return sequences * ops.expand_dims(masks, axis=1), kernel
        dropped = [sequences * ops.expand_dims(mask, axis=1) for mask in masks]
        units, others = cell.units, (cell.gates - 1) * cell.units
        blocks = [
            ops.pad(columns, [[0, 0], [gate * units, others - gate * units]])
            for gate, columns in enumerate(ops.split(kernel, cell.gates, axis=-1))
        ]
        return ops.concatenate(dropped, axis=-1), ops.concatenate(blocks, axis=0)
