"""Long short-term memory."""

from __future__ import annotations

from typing import Any

from lamina import activations, ops, tracing
from lamina.layers.built_in_rnn import cell_of_layer
from lamina.layers.engine_rnn import EngineRNN
from lamina.layers.recurrent_cell import CELL_CONSTRAINTS, RecurrentCell
from lamina.layers.rnn import RNN
from lamina.validation import Boolean, Either, OneOf

_CONSTRAINTS = {**CELL_CONSTRAINTS, "unit_forget_bias": Boolean()}


class LSTMCell(RecurrentCell):
    """One step of an `LSTM`: `(inputs, [h, c]) -> (h, [h, c])`. Arguments as there."""

    constraints = _CONSTRAINTS
    gates = 4
    state_count = 2

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        recurrent_activation: Any = "sigmoid",
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
        unit_forget_bias: bool = True,
        kernel_regularizer: Any = None,
        recurrent_regularizer: Any = None,
        bias_regularizer: Any = None,
        kernel_constraint: Any = None,
        recurrent_constraint: Any = None,
        bias_constraint: Any = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
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
        self.unit_forget_bias = self.validated(unit_forget_bias=unit_forget_bias)

    def _initializer(self, role: str) -> Any:
        if role != "bias" or not self.unit_forget_bias:
            return super()._initializer(role)
        return self.bias_with_open_forget_gate

    def call(self, inputs: Any, states: Any, training: bool = False) -> Any:
        hidden, carry = states
        total = self.input_products(inputs, training) + self.state_products(hidden, training)
        if self.bias is not None:
            total = total + self.bias.value
        i, f, c, o = ops.split(total, 4, axis=-1)
        input_gate = self.recurrent_activation(i)
        forget_gate = self.recurrent_activation(f)
        carry = forget_gate * carry + input_gate * self.activation(c)
        hidden = self.recurrent_activation(o) * self.activation(carry)
        return hidden, [hidden, carry]

    def cell_config(self) -> dict[str, Any]:
        return {
            **super().cell_config(),
            "recurrent_activation": activations.serialize(self.recurrent_activation),
            "unit_forget_bias": self.unit_forget_bias,
        }


class LSTM(EngineRNN):
    """Long short-term memory: a recurrent layer with an input, a forget and an output gate.

    i, f, o = recurrent_activation(x @ W + h @ U + b) for their quarters
    c' = f * c + i * activation(x @ W_c + h @ U_c + b_c);  h' = o * activation(c')

    Args:
        units: length of the state and of the output.
        activation: activation of the carry and of the output.
        recurrent_activation: activation of the gates.
        use_bias: whether biases are added.
        kernel_initializer, recurrent_initializer, bias_initializer: first values.
        unit_forget_bias: whether the forget gate's bias starts at 1.
        kernel_regularizer, recurrent_regularizer, bias_regularizer: penalties.
        activity_regularizer: penalty of the output.
        kernel_constraint, recurrent_constraint, bias_constraint: applied after each update.
        dropout: probability of dropping an input feature (one mask for all steps).
        recurrent_dropout: the same for the state; every gate then has masks of its own.
        seed: integer for repeatable dropout.
        return_sequences, return_state, go_backwards, stateful, unroll: as in `RNN`.
        use_cudnn: accepted for compatibility.

    Input shape: `(batch, time, features)`.
    Output shape: `(batch, units)`, or `(batch, time, units)` with `return_sequences`;
        `[output, h, c]` with `return_state`.
    Weights, gates in the order i, f, c, o: kernel (features, 4 units), recurrent_kernel
        (units, 4 units), bias (4 units,).
    Source: Hochreiter, Schmidhuber. Long short-term memory. 1997.
    """

    constraints = {**RNN.constraints, "use_cudnn": Either(Boolean(), OneOf("auto"))}
    cell: LSTMCell

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        recurrent_activation: Any = "sigmoid",
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
        unit_forget_bias: bool = True,
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
        use_cudnn: Any = "auto",
        **kwargs: Any,
    ) -> None:
        cell = cell_of_layer(
            type(self),
            LSTMCell,
            units,
            activation=activation,
            recurrent_activation=recurrent_activation,
            use_bias=use_bias,
            kernel_initializer=kernel_initializer,
            recurrent_initializer=recurrent_initializer,
            bias_initializer=bias_initializer,
            unit_forget_bias=unit_forget_bias,
            kernel_regularizer=kernel_regularizer,
            recurrent_regularizer=recurrent_regularizer,
            bias_regularizer=bias_regularizer,
            kernel_constraint=kernel_constraint,
            recurrent_constraint=recurrent_constraint,
            bias_constraint=bias_constraint,
            dropout=dropout,
            recurrent_dropout=recurrent_dropout,
            seed=seed,
            implementation=kwargs.pop("implementation", 2),
            dtype=kwargs.get("dtype"),
            trainable=kwargs.get("trainable", True),
            name="lstm_cell",
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

    def _engine_activations(self) -> dict[str, Any]:
        return {
            **super()._engine_activations(),
            "recurrent_activation": activations.serialize(self.cell.recurrent_activation),
        }

    def _engine_op(self, operands: list[Any], attrs: dict[str, Any]) -> tuple[Any, list[Any]]:
        output, hidden, carry, *_ = tracing.apply("lstm", *operands, **attrs)
        return output, [hidden, carry]
