"""The plain recurrent layer."""

from __future__ import annotations

from typing import Any

from lamina import tracing
from lamina.layers.built_in_rnn import cell_of_layer
from lamina.layers.engine_rnn import EngineRNN
from lamina.layers.recurrent_cell import RecurrentCell


class SimpleRNNCell(RecurrentCell):
    """One step of a `SimpleRNN`: `(inputs, [h]) -> (h, [h])`. Arguments as there."""

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
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

    def call(self, sequence: Any, states: Any, training: bool = False) -> Any:
        hidden = states[0] if isinstance(states, (list, tuple)) else states
        total = self.input_products(sequence, training) + self.state_products(hidden, training)
        hidden = self.activation(total if self.bias is None else total + self.bias.value)
        return hidden, [hidden] if isinstance(states, (list, tuple)) else hidden


class SimpleRNN(EngineRNN):
    """A recurrent layer whose output is its state.

    h' = activation(x @ W + h @ U + b)

    Args:
        units: length of the state and of the output.
        activation: activation function.
        use_bias: whether a bias is added.
        kernel_initializer, recurrent_initializer, bias_initializer: first values.
        kernel_regularizer, recurrent_regularizer, bias_regularizer: penalties.
        activity_regularizer: penalty of the output.
        kernel_constraint, recurrent_constraint, bias_constraint: applied after each update.
        dropout: probability of dropping an input feature (one mask for all steps).
        recurrent_dropout: the same for the state.
        return_sequences, return_state, go_backwards, stateful, unroll: as in `RNN`.
        seed: integer for repeatable dropout.

    Input shape: `(batch, time, features)`.
    Output shape: `(batch, units)`, or `(batch, time, units)` with `return_sequences`;
        `[output, h]` with `return_state`.
    Weights: kernel (features, units), recurrent_kernel (units, units), bias (units,).
    """

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
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
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        unroll: bool = False,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        cell = cell_of_layer(
            type(self),
            SimpleRNNCell,
            units,
            activation=activation,
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
            seed=seed,
            dtype=kwargs.get("dtype"),
            trainable=kwargs.get("trainable", True),
            name="simple_rnn_cell",
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

    def _engine_op(self, operands: list[Any], attrs: dict[str, Any]) -> tuple[Any, list[Any]]:
        output, hidden, *_ = tracing.apply("simple_rnn", *operands, **attrs)
        return output, [hidden]

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        del config["seed"]  # Keras leaves it out for this layer
        return config
