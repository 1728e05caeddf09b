"""Layers around other layers."""

from __future__ import annotations

from typing import Any

from lamina import ops, serialization, structure
from lamina.layers.base import Layer
from lamina.layers.core import Lambda
from lamina.layers.signature import call_signature
from lamina.validation import OneOf


def _require_layer(owner: str, argument: str, value: Any) -> None:
    if not isinstance(value, Layer):
        raise ValueError(f"{owner}: {argument} must be a layer. Got {value!r}.")


def _with_inner_layers(
    config: dict[str, Any], custom_objects: dict[str, Any] | None, *names: str
) -> dict[str, Any]:
    """Return the config with the layers under `names` made of their configs."""
    config = dict(config)
    for name in names:
        if isinstance(config.get(name), dict):
            config[name] = serialization.deserialize_keras_object(config[name], custom_objects)
    return config


class Wrapper(Layer):
    """What layers around one other layer share; by itself it calls that layer.

    Args:
        layer: the layer inside.
    """

    def __init__(self, layer: Layer, **kwargs: Any) -> None:
        if not isinstance(layer, Layer):
            raise ValueError(
                f"{type(self).__name__}: layer must be a layer. Layer {layer!r} supplied to "
                "Wrapper isn't a supported layer type. Please ensure wrapped layer is a valid "
                "Keras layer."
            )
        super().__init__(**kwargs)
        self.layer = layer

    def build(self, input_shape: Any = None) -> None:
        if not self.layer.built:
            self.layer.build(input_shape)

    def call(self, *args: Any, **kwargs: Any) -> Any:
        return self.layer(*args, **kwargs)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "layer": serialization.serialize_keras_object(self.layer),
        }

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None
    ) -> Any:
        return super().from_config(_with_inner_layers(config, custom_objects, "layer"))


class TimeDistributed(Wrapper):
    """Apply a layer to every step of sequences.

    Args:
        layer: the layer inside; its weights are the same for all steps.

    Call arguments: inputs, training, mask (batch, time).
    Input shape: `(batch, time, ...)`. Output shape: `(batch, time, *the layer's output)`.
    """

    def __init__(self, layer: Layer, **kwargs: Any) -> None:
        super().__init__(layer, **kwargs)
        self.supports_masking = True

    def _step_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        if len(input_shape) < 3:
            raise ValueError(
                f"{self.name} (TimeDistributed): inputs must have at least 3 axes "
                f"(batch, time, ...). Got shape {tuple(input_shape)}."
            )
        return (input_shape[0], *tuple(input_shape)[2:])

    def build(self, input_shape: Any = None) -> None:
        super().build(self._step_shape(input_shape))

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        one = self.layer.compute_output_shape(self._step_shape(input_shape))
        return (one[0], input_shape[1], *tuple(one)[1:])

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        shape = tuple(inputs.shape)
        self._step_shape(shape)
        if mask is not None:
            self._check_mask(tuple(mask.shape), shape)
        call = call_signature(type(self.layer).call)
        settings = {"training": training} if call.has_training else {}
        takes_mask = mask is not None and "mask" in call.mask_of.values()
        if not takes_mask and self._rows_are_independent():
            rows = self.layer.call(ops.reshape(inputs, (-1, *shape[2:])), **settings)
            return self._in_compute_dtype(ops.reshape(rows, (-1, *shape[1:2], *rows.shape[1:])))
        if shape[1] is None:
            raise ValueError(
                f"{self.name} (TimeDistributed): this layer is called step by step, so the number "
                "of steps must be known."
            )
        outputs = []
        for step in range(shape[1]):
            if takes_mask:
                settings["mask"] = mask[:, step]
            outputs.append(self.layer.call(inputs[:, step], **settings))
        return self._in_compute_dtype(ops.stack(outputs, axis=1))

    def _in_compute_dtype(self, outputs: Any) -> Any:
        """Cast floating point outputs, whose dtype is the inner layer's; leave others."""
        return self._as_float(outputs) if "float" in outputs.dtype else outputs

    def _check_mask(self, mask_shape: tuple[Any, ...], shape: tuple[Any, ...]) -> None:
        sizes = zip(mask_shape, shape[:2], strict=False)
        if len(mask_shape) < 2 or any(None not in pair and pair[0] != pair[1] for pair in sizes):
            raise ValueError(
                f"{self.name} (TimeDistributed): The `mask` passed to the `TimeDistributed` layer "
                f"has a shape, {mask_shape}, that does not fit inputs of shape {shape}: it must "
                f"begin with {shape[:2]}, the rows and the steps."
            )

    def _rows_are_independent(self) -> bool:
        """Whether one call on the rows of all steps gives what a call for each step does.

        True of this library's layers, aside from those that keep a state or run a function of
        the user's, which may look at several rows.
        """
        from lamina.models.sequential import Sequential

        def is_known(layer: Layer) -> bool:
            if not (
                type(layer).__module__.startswith("lamina.layers.") or type(layer) is Sequential
            ):
                return False
            if isinstance(layer, Lambda) or layer._non_trainable_variables:
                return False
            return not getattr(layer, "stateful", False) and all(
                getattr(value, "__module__", "").startswith("lamina.")
                for value in vars(layer).values()
                if callable(value)
            )

        return all(is_known(layer) for layer in self.layer._flatten_layers())


class Bidirectional(Layer):
    """Run a recurrent layer over sequences from both ends and join the outputs.

    Args:
        layer: `RNN`, `LSTM`, `GRU`, `SimpleRNN`, or a layer with their attributes; copied.
        merge_mode: "concat" (last axis), "sum", "mul", "ave", or None for a tuple of both.
        weights: accepted for compatibility.
        backward_layer: layer that reads from the end; a copy of `layer` when None.

    Call arguments: sequences, initial_state (the forward layer's states, then the backward
    layer's), mask, training.
    With `return_state`, the states of both layers follow the output.
    """

    constraints = {"merge_mode": OneOf("concat", "sum", "mul", "ave", optional=True)}
    _not_children = frozenset(("_init_arguments",))  # the layer that was copied is no part of it

    def __init__(
        self,
        layer: Any,
        merge_mode: str | None = "concat",
        weights: Any = None,
        backward_layer: Any = None,
        **kwargs: Any,
    ) -> None:
        del weights
        owner = type(self).__name__
        _require_layer(owner, "layer", layer)
        if backward_layer is not None:
            _require_layer(owner, "backward_layer", backward_layer)
        super().__init__(**kwargs)
        self.merge_mode = self.validated(merge_mode=merge_mode)
        self.forward_layer = self._copy_of(layer, "forward")
        if backward_layer is None:
            backward_layer = self._copy_of(layer, "backward", go_backwards=not layer.go_backwards)
        self.backward_layer = backward_layer
        self._check_directions()
        self.stateful = layer.stateful
        self.return_sequences = layer.return_sequences
        self.return_state = layer.return_state
        # The two outputs of a masked step must not be what different steps left behind.
        for inner in (self.forward_layer, self.backward_layer):
            if self.return_sequences and hasattr(inner, "zero_output_for_mask"):
                inner.zero_output_for_mask = True
        self.supports_masking = True
        self.input_spec = layer.input_spec

    def _copy_of(self, layer: Any, direction: str, **changes: Any) -> Any:
        for attribute in ("go_backwards", "return_sequences", "return_state", "stateful"):
            if not hasattr(layer, attribute):
                raise ValueError(
                    f"Bidirectional: layer must be a recurrent layer, with `{attribute}`. "
                    f"Got {layer!r}."
                )
        name = f"{direction}_{layer.name.removeprefix('forward_')}"
        copy = type(layer).from_config({**layer.get_config(), "name": name, **changes})
        if hasattr(layer, "use_cudnn"):
            copy.use_cudnn = layer.use_cudnn  # not part of the config
        return copy

    def _check_directions(self) -> None:
        forward, backward = self.forward_layer, self.backward_layer
        if forward.go_backwards == backward.go_backwards:
            raise ValueError(
                "Bidirectional: layer and backward_layer must differ in go_backwards. "
                f"Got {forward.go_backwards} for both."
            )
        for attribute in ("stateful", "return_sequences", "return_state"):
            values = getattr(forward, attribute), getattr(backward, attribute)
            if values[0] != values[1]:
                raise ValueError(
                    f"Bidirectional: layer and backward_layer must agree in {attribute}. "
                    f"Got {values[0]} and {values[1]}."
                )

    def build(self, sequences_shape: Any, initial_state_shape: Any = None) -> None:
        del initial_state_shape
        for inner in (self.forward_layer, self.backward_layer):
            if not inner.built:
                inner.build(sequences_shape)

    def call(
        self,
        sequences: Any,
        initial_state: Any = None,
        mask: Any = None,
        training: bool | None = None,
    ) -> Any:
        states: tuple[Any, Any] = (None, None)
        if initial_state is not None:
            if len(initial_state) % 2:
                raise ValueError(
                    f"{self.name} (Bidirectional): initial_state must hold as many states for the "
                    f"backward layer as for the forward layer. Got {len(initial_state)} in all."
                )
            half = len(initial_state) // 2
            states = (list(initial_state[:half]), list(initial_state[half:]))
        settings = {"mask": mask, "training": training}
        forward = self.forward_layer(sequences, initial_state=states[0], **settings)
        backward = self.backward_layer(sequences, initial_state=states[1], **settings)
        last_states: list[Any] = []
        if self.return_state:
            states_in_order = [*forward[1:], *backward[1:]]
            last_states = structure.map_structure(self._as_float, states_in_order)
            forward, backward = forward[0], backward[0]
        forward, backward = self._as_float(forward), self._as_float(backward)
        if self.return_sequences:
            backward = ops.flip(backward, axis=1)
        if self.merge_mode is None:
            return (forward, backward, *last_states)
        output = self._merged(forward, backward)
        return (output, *last_states) if self.return_state else output

    def _merged(self, forward: Any, backward: Any) -> Any:
        if self.merge_mode == "concat":
            return ops.concatenate([forward, backward], axis=-1)
        if self.merge_mode == "mul":
            return forward * backward
        total = forward + backward
        return total / 2.0 if self.merge_mode == "ave" else total

    def reset_state(self) -> None:
        """Set the kept states of stateful layers to zero."""
        self.forward_layer.reset_state()
        self.backward_layer.reset_state()

    reset_states = reset_state

    @property
    def states(self) -> Any:
        """The kept states of both layers; None unless they are stateful."""
        if not self.stateful:
            return None
        return (self.forward_layer.states, self.backward_layer.states)

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        del inputs
        mask = mask[0] if isinstance(mask, (list, tuple)) else mask
        output_mask = mask if self.return_sequences else None
        masks = [output_mask] * (2 if self.merge_mode is None else 1)
        if not self.return_state:
            return tuple(masks) if self.merge_mode is None else masks[0]
        states = 2 * len(self.forward_layer.state_size)
        return (*masks, *(None for _ in range(states)))

    def compute_output_shape(self, sequences_shape: Any, initial_state_shape: Any = None) -> Any:
        del initial_state_shape
        forward = self.forward_layer.compute_output_shape(sequences_shape)
        state_shapes: list[Any] = []
        if self.return_state:
            forward, *state_shapes = forward
        if self.merge_mode == "concat":
            backward = self.backward_layer.compute_output_shape(sequences_shape)
            backward = backward[0] if self.return_state else backward
            forward = (*forward[:-1], forward[-1] + backward[-1])
        outputs = (forward, forward) if self.merge_mode is None else (forward,)
        if self.merge_mode is not None and not self.return_state:
            return forward
        return (*outputs, *state_shapes, *state_shapes)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "merge_mode": self.merge_mode,
            "layer": serialization.serialize_keras_object(self.forward_layer),
            "backward_layer": serialization.serialize_keras_object(self.backward_layer),
        }

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None
    ) -> Any:
        return super().from_config(
            _with_inner_layers(config, custom_objects, "layer", "backward_layer")
        )
