"""Long short-term memory over images: convolutions in place of matrix products."""

from __future__ import annotations

from typing import Any

from lamina import activations, config, ops
from lamina.layers.built_in_rnn import BuiltInRNN, cell_of_layer
from lamina.layers.conv import window_output_size
from lamina.layers.recurrent_cell import CELL_CONSTRAINTS, RecurrentCell
from lamina.layers.spec import InputSpec
from lamina.validation import Boolean, Integer, Integers, OneOf

_GATES = 4  # in the order i, f, c, o
_WINDOW = ("filters", "kernel_size", "strides", "padding", "data_format", "dilation_rate")


def _constraints(rank: int) -> dict[str, Any]:
    return {
        **CELL_CONSTRAINTS,
        "filters": Integer(min=1),
        "kernel_size": Integers(rank, min=1),
        "strides": Integers(rank, min=1),
        "dilation_rate": Integers(rank, min=1),
        "padding": OneOf("valid", "same"),
        "data_format": OneOf("channels_last", "channels_first", optional=True),
        "unit_forget_bias": Boolean(),
    }


_CONSTRAINTS = {rank: _constraints(rank) for rank in (1, 2, 3)}


class ConvLSTMCell(RecurrentCell):
    """One step of a `ConvLSTM` of any rank: `(images, [h, c]) -> (h, [h, c])`."""

    gates = _GATES
    state_count = 2

    def __init__(
        self,
        rank: int,
        filters: int,
        kernel_size: Any,
        strides: Any = 1,
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: Any = 1,
        activation: Any = "tanh",
        recurrent_activation: Any = "sigmoid",
        use_bias: bool = True,
        unit_forget_bias: bool = True,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        seed: int | None = None,
        *,
        weight_settings: dict[str, Any],
        **kwargs: Any,
    ) -> None:
        self.constraints = _CONSTRAINTS[rank]
        checked = self.validated(filters=filters)
        super().__init__(
            checked,
            activation,
            use_bias,
            dropout,
            recurrent_dropout,
            seed,
            weight_settings,
            implementation=1,  # a mask for each gate in any case
            **kwargs,
        )
        self.rank = rank
        self.filters, self.kernel_size, self.strides, self.dilation_rate = self.validated(
            filters=filters, kernel_size=kernel_size, strides=strides, dilation_rate=dilation_rate
        )
        self.padding, data_format, self.unit_forget_bias = self.validated(
            padding=padding, data_format=data_format, unit_forget_bias=unit_forget_bias
        )
        self.data_format = data_format or config.image_data_format()
        if max(self.strides) > 1 and max(self.dilation_rate) > 1:
            raise ValueError(
                f"{type(self).__name__}: Specifying `strides > 1` is not compatible with "
                f"`dilation_rate > 1`: one of them must be 1. Got strides={self.strides}, "
                f"dilation_rate={self.dilation_rate}."
            )
        self.recurrent_activation = self.resolved(activations.get, recurrent_activation)
        self._image_shape: tuple[int, ...] = ()

    # Shapes

    @property
    def channel_axis(self) -> int:
        """The axis of the channels of a step's images."""
        return -1 if self.data_format == "channels_last" else 1

    def state_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        """Return the shape of h and c for a step's images of this shape."""
        sizes = input_shape[1:-1] if self.channel_axis == -1 else input_shape[2:]
        outer = tuple(
            window_output_size(size, window, stride, dilation, self.padding)
            for size, window, stride, dilation in zip(
                sizes, self.kernel_size, self.strides, self.dilation_rate, strict=True
            )
        )
        if self.channel_axis == -1:
            return (input_shape[0], *outer, self.filters)
        return (input_shape[0], self.filters, *outer)

    def build(self, input_shape: Any) -> None:
        if any(size is None for size in input_shape[1:]):
            raise ValueError(
                f"{self.name} ({type(self).__name__}): the images' sizes and channels must be "
                f"known. Got shape {tuple(input_shape)} for a step."
            )
        self._image_shape = tuple(input_shape[1:])
        columns = self.gates * self.filters
        channels = input_shape[self.channel_axis]
        self.kernel = self._add_cell_weight(
            "kernel", "kernel", (*self.kernel_size, channels, columns)
        )
        self.recurrent_kernel = self._add_cell_weight(
            "recurrent_kernel", "recurrent", (*self.kernel_size, self.filters, columns)
        )
        if self.use_bias:
            self.bias = self._add_cell_weight("bias", "bias", (columns,))

    def _initializer(self, role: str) -> Any:
        if role != "bias" or not self.unit_forget_bias:
            return super()._initializer(role)
        return self.bias_with_open_forget_gate

    def get_initial_state(self, batch_size: int | None = None) -> list[Any]:
        """Return zeros for h and c."""
        shape: Any = self.state_shape((batch_size, *self._image_shape))
        return [ops.zeros(shape, dtype=self.compute_dtype) for _ in range(self.state_count)]

    # Computing

    def _convolve(self, images: Any, kernel: Any, entering: bool) -> Any:
        return ops.conv(
            images,
            kernel,
            strides=self.strides if entering else (1,) * self.rank,
            padding=self.padding if entering else "same",
            data_format=self.data_format,
            dilation_rate=self.dilation_rate if entering else (1,) * self.rank,
        )

    def _products(self, images: Any, kernel: Any, entering: bool) -> Any:
        """Convolve images, or a list with each gate's; the gates' channels stand side by side."""
        if not isinstance(images, list):
            return self._convolve(images, kernel, entering)
        kernels = ops.split(kernel, self.gates, axis=-1)
        parts = [self._convolve(x, k, entering) for x, k in zip(images, kernels, strict=True)]
        return ops.concatenate(parts, axis=self.channel_axis)

    def project(self, images: Any) -> Any:
        """Return what the inputs contribute to the gates; `images` may be a list, one a gate."""
        products = self._products(images, self.kernel.value, entering=True)
        if self.bias is None:
            return products
        sizes = [1] * (self.rank + 2)
        sizes[self.channel_axis] = -1
        return products + ops.reshape(self.bias.value, sizes)

    def step(self, projected: Any, states: Any, training: bool) -> Any:
        """Return h and the new states from what the inputs contribute."""
        hidden, carry = states
        masks = self.recurrent_masks(hidden, training)
        entering = hidden if masks is None else [hidden * mask for mask in masks]
        total = projected + self._products(entering, self.recurrent_kernel.value, entering=False)
        i, f, c, o = ops.split(total, self.gates, axis=self.channel_axis)
        kept = self.recurrent_activation(f) * carry
        carry = kept + self.recurrent_activation(i) * self.activation(c)
        hidden = self.recurrent_activation(o) * self.activation(carry)
        return hidden, [hidden, carry]

    def call(self, inputs: Any, states: Any, training: bool = False) -> Any:
        return self.step(self.project(self.dropped_inputs(inputs, training)), states, training)

    def cell_config(self) -> dict[str, Any]:
        settings = super().cell_config()
        del settings["units"]
        return {
            **settings,
            **{name: getattr(self, name) for name in _WINDOW},
            "recurrent_activation": activations.serialize(self.recurrent_activation),
            "unit_forget_bias": self.unit_forget_bias,
        }


class ConvLSTM(BuiltInRNN):
    """What the layers of all ranks share; see `ConvLSTM2D`."""

    cell: ConvLSTMCell
    rank = 2
    _cell_settings = (BuiltInRNN._cell_settings | {*_WINDOW}) - {"units"}

    def __init__(
        self,
        filters: int,
        kernel_size: Any,
        strides: Any = 1,
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: Any = 1,
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
        **kwargs: Any,
    ) -> None:
        cell = cell_of_layer(
            type(self),
            ConvLSTMCell,
            self.rank,
            filters,
            kernel_size,
            strides=strides,
            padding=padding,
            data_format=data_format,
            dilation_rate=dilation_rate,
            activation=activation,
            recurrent_activation=recurrent_activation,
            use_bias=use_bias,
            unit_forget_bias=unit_forget_bias,
            dropout=dropout,
            recurrent_dropout=recurrent_dropout,
            seed=seed,
            weight_settings={
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
            dtype=kwargs.get("dtype"),
            trainable=kwargs.get("trainable", True),
            name="conv_lstm_cell",
        )
        super().__init__(
            cell,
            return_sequences=return_sequences,
            return_state=return_state,
            go_backwards=go_backwards,
            stateful=stateful,
            activity_regularizer=activity_regularizer,
            **kwargs,
        )
        self.input_spec = InputSpec(ndim=self.rank + 3)

    def _run_steps(
        self, sequences: Any, states: list[Any], mask: Any, training: bool
    ) -> tuple[Any, list[Any]]:
        """Convolve the inputs of all steps at once, then go through the steps."""
        cell = self.cell
        if not training or not 0 < cell.dropout < 1:
            dropped = self._as_rows(sequences)
        else:
            masks = cell.get_dropout_mask(sequences[:, 0])
            dropped = [self._as_rows(sequences * ops.expand_dims(m, axis=1)) for m in masks]
        projected = cell.project(dropped)
        steps = sequences.shape[1]
        projected = ops.reshape(projected, (-1, steps or 1, *projected.shape[1:]))
        return super()._run_steps(projected, states, mask, training)

    @staticmethod
    def _as_rows(sequences: Any) -> Any:
        return ops.reshape(sequences, (-1, *sequences.shape[2:]))

    def _call_cell(self, inputs: Any, states: list[Any], training: bool) -> tuple[Any, list[Any]]:
        output, new_states = self.cell.step(inputs, states, training)
        return output, new_states

    def compute_output_shape(self, sequences_shape: Any, initial_state_shape: Any = None) -> Any:
        del initial_state_shape
        batch, steps, *images = sequences_shape
        state = self.cell.state_shape((batch, *images))
        output = (batch, steps, *state[1:]) if self.return_sequences else state
        return (output, state, state) if self.return_state else output


class ConvLSTM1D(ConvLSTM):
    """Long short-term memory over rows of cells, with 1-D convolutions.

    Arguments as of `ConvLSTM2D`, with one size for an axis.

    Input shape: `(batch, time, steps, channels)`; `(batch, time, channels, steps)` channels
    first. Output shape: `(batch, new steps, filters)`, with `return_sequences`
    `(batch, time, new steps, filters)`.
    """

    rank = 1


class ConvLSTM2D(ConvLSTM):
    """Long short-term memory over images: a recurrent layer whose products are convolutions.

    i, f, o = recurrent_activation(conv(x, W) + conv(h, U) + b) for their quarters
    c' = f * c + i * activation(conv(x, W_c) + conv(h, U_c) + b_c);  h' = o * activation(c')

    Args:
        filters: channels of the state and of the output.
        kernel_size: size of the window, an integer or one for each axis.
        strides, dilation_rate, padding ("valid" or "same"): of the inputs' convolution; the
            states' has steps of 1 and keeps the size.
        data_format: "channels_last" or "channels_first"; the configured one when None.
        activation: activation of the carry and of the output.
        recurrent_activation: activation of the gates.
        use_bias: whether biases are added.
        kernel_initializer, recurrent_initializer, bias_initializer: first values.
        unit_forget_bias: whether the forget gate's bias starts at 1.
        kernel_regularizer, recurrent_regularizer, bias_regularizer: penalties.
        activity_regularizer: penalty of the output.
        kernel_constraint, recurrent_constraint, bias_constraint: applied after each update.
        dropout: probability of dropping an input (masks for each gate, the same at all steps).
        recurrent_dropout: the same for the state.
        seed: integer for repeatable dropout.
        return_sequences, return_state, go_backwards, stateful: as in `RNN`.

    Input shape: `(batch, time, height, width, channels)`; sizes and channels must be known.
    Output shape: `(batch, new height, new width, filters)`, or with the time axis with
        `return_sequences`; `(output, h, c)` with `return_state`.
    Weights, gates in the order i, f, c, o: kernel (*kernel_size, channels, 4 filters),
        recurrent_kernel (*kernel_size, filters, 4 filters), bias (4 filters,).
    Source: Shi et al. Convolutional LSTM network. 2015.
    """

    rank = 2


class ConvLSTM3D(ConvLSTM):
    """Long short-term memory over volumes, with 3-D convolutions.

    Arguments as of `ConvLSTM2D`, with three sizes for the axes.

    Input shape: `(batch, time, depth, height, width, channels)`. Output shape:
    `(batch, new depth, new height, new width, filters)`, with the time axis with
    `return_sequences`.
    """

    rank = 3
