"""Gated recurrent unit."""

from __future__ import annotations

from typing import Any

from lamina import activations, ops, tracing
from lamina.layers.built_in_rnn import cell_of_layer
from lamina.layers.engine_rnn import EngineRNN
from lamina.layers.recurrent_cell import CELL_CONSTRAINTS, RecurrentCell
from lamina.layers.rnn import RNN
from lamina.validation import Boolean, Either, OneOf


class GRUCell(RecurrentCell):
    """One step of a `GRU`: `(inputs, [h]) -> (h, [h])`. Arguments as there."""

    constraints = {**CELL_CONSTRAINTS, "reset_after": Boolean()}
    gates = 3

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        recurrent_activation: Any = "sigmoid",
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        recurrent_regularizer: Any = None,
        bias_regularizer: Any = None,
        kernel_constraint: Any = None,
        recurrent_constraint: Any = None,
        bias_constraint: Any = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        reset_after: bool = True,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            units,
            activation,
            use_bias,
            dropout,
            recurrent_dropout,
            seed,
            {
                "kernel_initializer": kernel_initializer,
                "recurrent_initializer": recurrent_initializer,
                "bias_initializer": bias_initializer,
                "kernel_regularizer": kernel_regularizer,
                "recurrent_regularizer": recurrent_regularizer,
                "bias_regularizer": bias_regularizer,
                "kernel_constraint": kernel_constraint,
                "recurrent_constraint": recurrent_constraint,
                "bias_constraint": bias_constraint,
            },
            **kwargs,
        )
        self.recurrent_activation = self.resolved(activations.get, recurrent_activation)
        self.reset_after = self.validated(reset_after=reset_after)

    @property
    def _bias_shape(self) -> tuple[int, ...]:
        columns = self.gates * self.units
        return (2, columns) if self.reset_after else (columns,)

    def build(self, input_shape: Any) -> None:
        columns = self.gates * self.units
        self.kernel = self._add_cell_weight("kernel", "kernel", (input_shape[-1], columns))
        self.recurrent_kernel = self._add_cell_weight(
            "recurrent_kernel", "recurrent", (self.units, columns)
        )
        if self.use_bias:
            self.bias = self._add_cell_weight("bias", "bias", self._bias_shape)

    @property
    def bias_value(self) -> Any:
        """The bias, or zeros for a cell without one."""
        if self.bias is not None:
            return self.bias.value
        return ops.zeros(self._bias_shape, dtype=self.compute_dtype)

    def call(self, inputs: Any, states: Any, training: bool = False) -> Any:
        state = states[0] if isinstance(states, (list, tuple)) else states
        bias = self.bias_value
        from_inputs = self.input_products(inputs, training)
        from_inputs = from_inputs + (bias[0] if self.reset_after else bias)
        x_update, x_reset, x_candidate = ops.split(from_inputs, 3, axis=-1)
        if self.reset_after:
            from_state = self.state_products(state, training) + bias[1]
            h_update, h_reset, h_candidate = ops.split(from_state, 3, axis=-1)
        else:
            entering = self._entering(state, training)
            kernels = ops.split(self.recurrent_kernel.value, 3, axis=-1)
            h_update = ops.matmul(entering[0], kernels[0])
            h_reset = ops.matmul(entering[1], kernels[1])
        update = self.recurrent_activation(x_update + h_update)
        reset = self.recurrent_activation(x_reset + h_reset)
        if self.reset_after:
            inner = reset * h_candidate
        else:
            inner = ops.matmul(reset * entering[2], kernels[2])
        state = update * state + (1.0 - update) * self.activation(x_candidate + inner)
        return state, [state] if isinstance(states, (list, tuple)) else state

    def _entering(self, state: Any, training: bool) -> list[Any]:
        """Return what dropout leaves of the state for each gate."""
        masks = self.recurrent_masks(state, training)
        return [state] * self.gates if masks is None else [state * mask for mask in masks]

    def cell_config(self) -> dict[str, Any]:
        return {
            **super().cell_config(),
            "recurrent_activation": activations.serialize(self.recurrent_activation),
            "reset_after": self.reset_after,
        }


class GRU(EngineRNN):
    """Gated recurrent unit: a recurrent layer with an update and a reset gate.

    z, r = recurrent_activation(x @ W + h @ U + b) for their thirds
    n = activation(x @ W_n + b_n + r * (h @ U_n + b'_n));  h' = z * h + (1 - z) * n

    Args:
        units: length of the state and of the output.
        activation: activation of the candidate n.
        recurrent_activation: activation of the gates.
        use_bias: whether biases are added.
        kernel_initializer, recurrent_initializer, bias_initializer: first values.
        kernel_regularizer, recurrent_regularizer, bias_regularizer: penalties.
        activity_regularizer: penalty of the output.
        kernel_constraint, recurrent_constraint, bias_constraint: applied after each update.
        dropout: probability of dropping an input feature (one mask for all steps).
        recurrent_dropout: the same for the state; every gate then has masks of its own.
        seed: integer for repeatable dropout.
        return_sequences, return_state, go_backwards, stateful, unroll: as in `RNN`.
        reset_after: whether r multiplies the recurrent product, as above, or the state before
            it: `(r * h) @ U_n`, with one bias.
        use_cudnn: accepted for compatibility.

    Input shape: `(batch, time, features)`.
    Output shape: `(batch, units)`, or `(batch, time, units)` with `return_sequences`;
        `[output, h]` with `return_state`.
    Weights, gates in the order z, r, n: kernel (features, 3 units), recurrent_kernel
        (units, 3 units), bias (2, 3 units), or (3 units,) without `reset_after`.
    Source: Cho et al. Learning phrase representations using RNN encoder-decoder. 2014.
    """

    cell: GRUCell
    constraints = {**RNN.constraints, "use_cudnn": Either(Boolean(), OneOf("auto"))}

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        recurrent_activation: Any = "sigmoid",
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        recurrent_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        recurrent_constraint: Any = None,
        bias_constraint: Any = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        seed: int | None = None,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        unroll: bool = False,
        reset_after: bool = True,
        use_cudnn: Any = "auto",
        **kwargs: Any,
    ) -> None:
        cell = cell_of_layer(
            type(self),
            GRUCell,
            units,
            activation=activation,
            recurrent_activation=recurrent_activation,
            use_bias=use_bias,
            kernel_initializer=kernel_initializer,
            recurrent_initializer=recurrent_initializer,
            bias_initializer=bias_initializer,
            kernel_regularizer=kernel_regularizer,
            recurrent_regularizer=recurrent_regularizer,
            bias_regularizer=bias_regularizer,
            kernel_constraint=kernel_constraint,
            recurrent_constraint=recurrent_constraint,
            bias_constraint=bias_constraint,
            dropout=dropout,
            recurrent_dropout=recurrent_dropout,
            reset_after=reset_after,
            seed=seed,
            implementation=kwargs.pop("implementation", 2),
            dtype=kwargs.get("dtype"),
            trainable=kwargs.get("trainable", True),
            name="gru_cell",
        )
        super().__init__(
            cell,
            return_sequences=return_sequences,
            return_state=return_state,
            go_backwards=go_backwards,
            stateful=stateful,
            unroll=unroll,
            activity_regularizer=activity_regularizer,
            **kwargs,
        )
        self.use_cudnn = self.validated(use_cudnn=use_cudnn)

    @property
    def reset_after(self) -> bool:
        """Whether the reset gate multiplies the recurrent product."""
        return self.cell.reset_after

    def _engine_activations(self) -> dict[str, Any]:
        return {
            **super()._engine_activations(),
            "recurrent_activation": activations.serialize(self.cell.recurrent_activation),
        }

    def _engine_op(self, operands: list[Any], attrs: dict[str, Any]) -> tuple[Any, list[Any]]:
        output, hidden, *_ = tracing.apply("gru", *operands, reset_after=self.reset_after, **attrs)
        return output, [hidden]
