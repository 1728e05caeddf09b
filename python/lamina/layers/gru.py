"""Gated recurrent unit."""

from __future__ import annotations

from typing import Any

from lamina import activations, ops, tracing
from lamina.layers.rnn import CELL_CONSTRAINTS, RNN, EngineRNN, RecurrentCell, cell_of_layer
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
        kwargs.pop("implementation", None)
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

    def recurrent_mask(self, state: Any, training: bool) -> Any:
        """Return the dropout masks (3, batch, units) of the state, one for each gate, or None."""
        if not training or self.recurrent_dropout == 0:
            return None
        return super().recurrent_mask(ops.stack([state] * self.gates, axis=0), training)

    def call(self, inputs: Any, states: Any, training: bool = False) -> Any:
        state = states[0] if isinstance(states, (list, tuple)) else states
        mask = self.input_mask(inputs, training)
        if mask is not None:
            inputs = inputs * mask
        from_inputs = ops.matmul(inputs, self.kernel.value)
        bias = self.bias_value
        x_update, x_reset, x_candidate = ops.split(
            from_inputs + (bias[0] if self.reset_after else bias), 3, axis=-1
        )
        masks = self.recurrent_mask(state, training)
        kernels = ops.split(self.recurrent_kernel.value, 3, axis=-1)
        biases = ops.split(bias[1], 3) if self.reset_after else (0.0, 0.0, 0.0)

        def product(gate: int, entering: Any) -> Any:
            dropped = entering if masks is None else entering * masks[gate]
            return ops.matmul(dropped, kernels[gate]) + biases[gate]

        update = self.recurrent_activation(x_update + product(0, state))
        reset = self.recurrent_activation(x_reset + product(1, state))
        inner = reset * product(2, state) if self.reset_after else product(2, reset * state)
        state = update * state + (1.0 - update) * self.activation(x_candidate + inner)
        return state, [state] if isinstance(states, (list, tuple)) else state

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
        recurrent_dropout: the same for the state (a mask for each gate).
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
        kwargs.pop("implementation", None)
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
