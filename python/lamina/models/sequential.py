"""Sequential: a stack of layers, each fed by the one before."""

from __future__ import annotations

from typing import Any

from lamina import serialization, structure
from lamina.layers.base import Layer
from lamina.layers.core import InputLayer
from lamina.layers.signature import call_signature
from lamina.models.functional import Functional
from lamina.models.model import Model
from lamina.tensor import KerasTensor


class Sequential(Model):
    """A stack of layers.

    The weights are made at once when the first layer says what comes in (`Input(shape)`, or
    `input_shape=` on the layer), else at the first call or `fit`.

    Args:
        layers: list of layers; more can follow with `add`.
        trainable: whether training changes the weights.
        name: name of the model.

    >>> model = Sequential([Input((4,)), Dense(3, activation="relu"), Dense(1)])
    """

    _not_children = Model._not_children | {"_functional", "_owner"}

    def __init__(
        self,
        layers: Any = None,
        trainable: bool = True,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(trainable=trainable, name=name, **kwargs)
        self._functional: Functional | None = None  # made when it is asked for
        self._has_inferred_input = False
        self._stack: list[Layer] = []
        self._taken: set[str] = set()  # names in the stack
        # What the first layers of the stack make of each other's outputs; adding a layer goes on
        # from the last, so that a stack takes time in proportion to its layers.
        self._chain: list[KerasTensor] = []
        if layers:
            if not isinstance(layers, (list, tuple)):
                raise ValueError(f"Sequential: layers must be a list of layers. Got {layers!r}.")
            for layer in layers:
                self.add(layer, rebuild=False)
            self._maybe_rebuild()

    def add(self, layer: Any, rebuild: bool = True) -> None:
        """Put a layer on top of the stack.

        Raises:
            ValueError: for something that is not a layer, for a second input, and for a name that
                another layer has.
        """
        if isinstance(layer, KerasTensor) and isinstance(layer.history[0], InputLayer):
            layer = layer.history[0]
        if not isinstance(layer, Layer):
            raise ValueError(
                f"Sequential: Only instances of `Layer` can be added. Got {layer} of type "
                f"{type(layer)}."
            )
        if layer.name in self._taken and any(layer.name == other.name for other in self._stack):
            raise ValueError(
                f"Sequential: the layers should have unique names, and {layer.name!r} is taken. "
                "Give the layer another name=."
            )
        if isinstance(layer, InputLayer) and self._stack and self._has_input():
            raise ValueError(
                f"Sequential {self.name!r} has already been configured for inputs of shape "
                f"{self._input_batch_shape()}. A second Input cannot be added."
            )
        self._taken.add(layer.name)
        was_empty = not self._stack
        if was_empty and layer._input_shape_arg is not None:
            dtype = layer.input_dtype
            self._stack.append(InputLayer(batch_shape=layer._input_shape_arg, dtype=dtype))
        if isinstance(layer, InputLayer):
            self._put_input(layer)
        else:
            self._stack.append(layer)
        if not rebuild:
            self._reset()
            return
        try:
            self._maybe_rebuild()
        except Exception:  # the layer does not fit: the model stays as it was
            self._chain.clear()
            self._stack.clear() if was_empty else self._stack.remove(layer)
            self._maybe_rebuild()
            raise

    def pop(self, rebuild: bool = True) -> Layer:
        """Take the last layer off the stack and return it."""
        if not self.layers:
            raise IndexError(f"{self.name} (Sequential): there is no layer left to pop.")
        layer = self._stack.pop()
        self._reset()
        if rebuild:
            self._maybe_rebuild()
        return layer

    def _put_input(self, layer: InputLayer) -> None:
        self._stack.insert(0, layer)
        self._chain.clear()

    def _has_input(self) -> bool:
        return bool(self._stack) and isinstance(self._stack[0], InputLayer)

    def _input_batch_shape(self) -> tuple[int | None, ...]:
        first = self._stack[0]
        assert isinstance(first, InputLayer)
        return first.batch_shape

    def _reset(self) -> None:
        self._functional = None
        del self._chain[len(self._stack) :]
        self.built = False
        self._forget_programs()

    def _maybe_rebuild(self) -> None:
        """Build again if the input's shape is known."""
        self._reset()
        if self._has_input():
            if len(self._stack) > 1:
                self.build(self._input_batch_shape())
        elif self._stack and isinstance(self._stack[0], (Functional, Sequential)):
            shape = getattr(self._stack[0], "input_shape", None)
            if shape is not None:
                self.build(shape)

    def build(self, input_shape: Any = None) -> None:
        """Make the weights of all layers for inputs of this shape (batch axis first).

        A stack whose first layer takes several tensors, or with a layer that cannot tell its
        output's shape, is built at its first call instead.

        Raises:
            ValueError: without layers, for a shape other than that of the stack's Input, and for
                a layer whose `call` needs more than one tensor.
        """
        if not self._stack:
            raise ValueError(f"Sequential {self.name!r} has no layers to build: add() some first.")
        if not self._has_input():
            if input_shape is None:
                raise ValueError(f"Sequential {self.name!r}: build() needs input_shape.")
            if not structure.is_shape(input_shape):
                return  # several inputs: the layers run one after the other as they are
            dtype = self._stack[0].input_dtype
            self._put_input(InputLayer(batch_shape=input_shape, dtype=dtype))
            self._has_inferred_input = True
        elif input_shape is not None and not self._has_inferred_input:
            self._check_input_shape(input_shape)
        added = self._stack[len(self._chain) :]
        for layer in added:
            _check_call(layer)
        for layer in added:
            try:
                self._chain.append(layer(self._chain[-1]) if self._chain else layer.output)
            except NotImplementedError:
                return  # a shape that only running the layer tells

    def _check_input_shape(self, input_shape: Any) -> None:
        own = self._input_batch_shape()
        if not structure.is_shape(input_shape) or tuple(input_shape) != tuple(own):
            raise ValueError(
                f"Sequential {self.name!r} has already been configured for inputs of shape {own}. "
                f"It cannot be built for {input_shape}."
            )

    # The functional model behind

    @property
    def _is_connected(self) -> bool:
        """Whether every layer has been called on the output of the one before."""
        return 0 < len(self._stack) == len(self._chain)

    def _as_functional(self) -> Functional | None:
        if self._functional is None and self._is_connected:
            self._functional = Functional(self._chain[0], self._chain[-1])
            self._functional.__dict__["_owner"] = self
            # The first data do not bind the sizes of later ones: the layers know what they need.
            self._functional.__dict__["_checks_sizes"] = not self._has_inferred_input
        return self._functional

    def _built_functional(self, attribute: str) -> Functional:
        functional = self._as_functional()
        if functional is None:
            raise AttributeError(
                f"Sequential model {self.name!r} has no attribute {attribute!r} yet: it is not "
                "built. Start it with Input(shape), call it on data, or use build(input_shape)."
            )
        return functional

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Run the layers one after the other."""
        functional = self._as_functional()
        if functional is None:
            outputs = inputs
            for layer in self.layers:
                outputs = layer(outputs)
            return outputs
        return functional.call(inputs, training=training, mask=mask)

    def compute_output_spec(
        self, inputs: Any, training: bool | None = None, mask: Any = None
    ) -> Any:
        return self._infer((inputs,), {})

    def compute_output_shape(self, input_shape: Any) -> Any:
        functional = self._as_functional()
        if functional is not None:
            return functional.compute_output_shape(input_shape)
        for layer in self._stack:
            input_shape = layer.compute_output_shape(input_shape)
        return input_shape

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        return None  # the layers set the outputs' masks themselves

    @property
    def layers(self) -> list[Layer]:
        """The layers of the stack; the input is not one of them."""
        return self._stack[1:] if self._has_input() else list(self._stack)

    @layers.setter
    def layers(self, _: Any) -> None:
        raise AttributeError(
            "`Sequential.layers` attribute is reserved for the list of the model's layers. Use "
            "`add()` and `pop()` to change them."
        )

    @property
    def inputs(self) -> list[KerasTensor]:
        """The symbolic input, in a list."""
        return self._built_functional("inputs").inputs

    @property
    def outputs(self) -> list[KerasTensor]:
        """The symbolic outputs."""
        return self._built_functional("outputs").outputs

    @property
    def input(self) -> Any:
        """The symbolic input."""
        return self._built_functional("input").input

    @property
    def output(self) -> Any:
        """The symbolic output."""
        return self._built_functional("output").output

    @property
    def input_names(self) -> list[str]:
        """Name of the input, in a list."""
        return self._built_functional("input_names").input_names

    @property
    def output_names(self) -> list[str]:
        """Names of the layers that make the outputs."""
        return self._built_functional("output_names").output_names

    @property
    def input_shape(self) -> Any:
        """Shape of the input."""
        return self._built_functional("input_shape").input_shape

    @property
    def output_shape(self) -> Any:
        """Shape of the output."""
        return self._built_functional("output_shape").output_shape

    @property
    def input_dtype(self) -> str:
        """Dtype of the input."""
        return self._stack[0].dtype if self._has_input() else super().input_dtype

    # Configuration

    def get_config(self) -> dict[str, Any]:
        config = Layer.get_config(self)
        config["layers"] = [serialization.serialize_keras_object(layer) for layer in self._stack]
        if self._is_connected:
            config["build_input_shape"] = self._input_batch_shape()
        return config

    def get_build_config(self) -> dict[str, Any] | None:
        return {"input_shape": self._input_batch_shape()} if self._is_connected else None

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        """Make a model from `get_config()`."""
        if "layers" not in config:
            return super().from_config(config, custom_objects)
        settings = {key: config[key] for key in ("name", "trainable", "dtype") if key in config}
        model = cls(**settings)
        with serialization.CustomObjectScope(custom_objects):
            for form in config["layers"]:
                model.add(serialization._deserialize(form), rebuild=False)
        model._maybe_rebuild()
        shape: Any = config.get("build_input_shape")
        if not model._is_connected and model._stack and structure.is_shape(shape):
            model.build(tuple(shape))
        return model


def _check_call(layer: Layer) -> None:
    """Refuse a layer whose `call` cannot do with one tensor alone."""
    needed = call_signature(type(layer).call).needed
    if len(needed) > 1:
        raise ValueError(
            "Sequential: call() of a layer can only have a single positional argument without a "
            f"default. That of {layer.name} ({type(layer).__name__}) needs {needed}."
        )
