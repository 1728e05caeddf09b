"""Model: a layer that can be trained, summarised and saved."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lamina import serialization, structure
from lamina.layers.base import Layer
from lamina.layers.configuration import captured_arguments
from lamina.layers.conversion import shapes_of
from lamina.models.direct_call import DirectCalls
from lamina.models.pickling import portable_state, restore_model
from lamina.models.state_tree import assign_state, state_tree
from lamina.tensor import KerasTensor, Tensor
from lamina.trainer import Trainer


class Model(Trainer, Layer):
    """A group of layers with training, evaluation and prediction.

    Three ways to make one: `Model(inputs, outputs)` from symbolic tensors, `Sequential([...])`,
    or a subclass that makes its layers in `__init__` and computes in `call(inputs)`.

    Args:
        inputs: symbolic input(s) from `Input()`.
        outputs: symbolic output(s).
        name: name of the model.
        trainable, dtype: as in `Layer`.
    """

    _is_open_after_build = True
    # What compile() was given belongs to training, not to the model's parts.
    _not_children = frozenset(("_compile_arguments", "loss", "optimizer"))

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        if cls is Model and (len(args) >= 2 or _is_functional_call(args, kwargs)):
            from lamina.models.functional import Functional

            return super().__new__(Functional, *args, **kwargs)
        return super().__new__(cls, *args, **kwargs)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if _is_functional_call(args, kwargs):
            _become_functional(type(self))
            from lamina.models.functional import Functional

            Functional.__init__(self, *args, **kwargs)  # type: ignore[arg-type]
            return
        if args:
            raise TypeError(
                f"{type(self).__name__}: Model takes inputs and outputs that are symbolic tensors "
                f"(from Input()), or no positional arguments. Got {args!r}."
            )
        self._init_trainer()
        Layer.__init__(self, **kwargs)
        self._direct_calls = DirectCalls()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Compute on arrays or tensors, or record the model on symbolic tensors."""
        outputs = self._direct_calls.run(self, Layer.__call__, args, kwargs)
        return super().__call__(*args, **kwargs) if outputs is None else outputs

    def call(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError(f"Model {type(self).__name__} has no call() method.")

    def build(self, input_shape: Any) -> None:
        """Make the weights of all layers for inputs of this shape, by running `call` on shapes.

        Args:
            input_shape: shape with the batch axis first (None where unknown), or a list or dict
                of shapes.
        """
        if type(self).call is Model.call:
            raise NotImplementedError(f"Model {type(self).__name__} has no call() method.")
        if not structure.flatten_shapes(input_shape):
            raise ValueError(f"build(): input_shape must be a tuple of sizes. Got {input_shape!r}.")
        symbolic = structure.map_shapes(
            lambda shape: KerasTensor(shape, dtype=self.compute_dtype), input_shape
        )
        self._infer((symbolic,), {})

    build.is_default = True  # type: ignore[attr-defined]

    def _build_for(self, call: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        super()._build_for(call, args, kwargs)
        if not self._build_shapes:  # a file must tell them, so that loading can build the parts
            self._build_shapes = {"input_shape": shapes_of(call.first(args, kwargs))}

    # Parts

    @property
    def layers(self) -> list[Layer]:
        """The model's direct layers."""
        return self._flatten_layers(include_self=False, recursive=False)

    @layers.setter
    def layers(self, _: Any) -> None:
        raise AttributeError(
            "`Model.layers` attribute is reserved for the list of the model's layers: choose "
            "another name."
        )

    def get_layer(self, name: str | None = None, index: int | None = None) -> Layer:
        """Return one layer by name or by position.

        Raises:
            ValueError: when there is no such layer, or not exactly one of both is given.
        """
        layers = self.layers
        if index is not None and name is not None:
            raise ValueError(
                f"get_layer(): give name or index, not both. Got name={name!r}, index={index}."
            )
        if index is not None:
            if index >= len(layers):
                raise ValueError(
                    f"get_layer(): there is no layer {index}; the model has {len(layers)} layers."
                )
            return layers[index]
        if name is None:
            raise ValueError("get_layer() needs name= or index=.")
        for layer in layers:
            if layer.name == name:
                return layer
        names = [layer.name for layer in layers]
        raise ValueError(f"No such layer: {name}. Existing layers are: {names}.")

    def reset_states(self) -> None:
        """Set the kept states of stateful recurrent layers to zero."""
        for layer in self._flatten_layers(include_self=False):
            reset = getattr(layer, "reset_state", None)
            if reset is not None and getattr(layer, "stateful", False):
                reset()

    # State as a tree

    def get_state_tree(self, value_format: str = "backend_tensor") -> dict[str, dict[str, Any]]:
        """Return the values of all variables, nested by their paths.

        Args:
            value_format: "backend_tensor" for Tensors, "numpy_array" for arrays.

        Returns:
            A dict with "trainable_variables", "non_trainable_variables", "optimizer_variables"
            and "metrics_variables", each a dict nested by the parts of the paths.

        Raises:
            ValueError: for another format, or when two variables have the same path.
        """
        if value_format not in ("backend_tensor", "numpy_array"):
            raise ValueError(
                "get_state_tree(): value_format must be 'backend_tensor' or 'numpy_array'. "
                f"Got {value_format!r}."
            )
        return {
            kind: state_tree(variables, as_arrays=value_format == "numpy_array")
            for kind, variables in self._state_groups().items()
        }

    def set_state_tree(self, state_tree: dict[str, dict[str, Any]]) -> None:
        """Set variables from (a part of) what `get_state_tree` returns.

        Raises:
            ValueError: for a kind or a path of variables that the model does not have.
        """
        groups = self._state_groups()
        for kind, values in state_tree.items():
            if kind not in groups:
                raise ValueError(
                    f"set_state_tree(): {kind!r} is no kind of variable. Allowed: {list(groups)}."
                )
            assign_state(groups[kind], values)

    def _state_groups(self) -> dict[str, list[Any]]:
        return {
            "trainable_variables": self.trainable_variables,
            "non_trainable_variables": self.non_trainable_variables,
            "optimizer_variables": [] if self.optimizer is None else self.optimizer.variables,
            "metrics_variables": self.metrics_variables,
        }

    # Printing

    def summary(
        self,
        line_length: int | None = None,
        positions: list[float] | None = None,
        print_fn: Callable[[str], Any] | None = None,
        expand_nested: bool = False,
        show_trainable: bool = False,
        layer_range: list[str] | tuple[str, str] | None = None,
    ) -> None:
        """Print a table of the layers with their output shapes and parameter counts.

        Args:
            line_length: width of the table.
            positions: where the columns end, as fractions of the width.
            print_fn: called with the whole text instead of printing it.
            expand_nested: whether the layers of nested models are listed.
            show_trainable: whether a column says which layers are trained.
            layer_range: names (or patterns) of the first and last layer to list.
        """
        from lamina.models.summary import summary_text

        text = summary_text(
            self,
            line_length=line_length,
            positions=positions,
            expand_nested=expand_nested,
            show_trainable=show_trainable,
            layer_range=layer_range,
        )
        if print_fn is None:
            print(text, end="")
        else:
            print_fn(text)

    # Files

    def save(
        self, filepath: Any, overwrite: bool = True, zipped: bool | None = None, **kwargs: Any
    ) -> None:
        """Write the whole model to a `.keras` (or older `.h5`) file that Keras can read too.

        The file holds the config, the weights and, after `compile`, the optimizer and its state;
        `lamina.saving.load_model` makes the model from it.

        Args:
            filepath: path that ends in `.keras`, or in `.h5` or `.hdf5` for the older format.
            overwrite: whether an existing file may be replaced.
            zipped: accepted; the file is always one archive.

        Raises:
            ValueError: for another ending, or when the file exists and `overwrite` is False.
            ImportError: when h5py is not installed.
        """
        from lamina.saving.model import save_model

        save_model(self, filepath, overwrite=overwrite, zipped=zipped, **kwargs)

    def save_weights(self, filepath: Any, overwrite: bool = True, **kwargs: Any) -> None:
        """Write all weights to a `.weights.h5` file that Keras can read too.

        Args:
            filepath: path that ends in `.weights.h5`, with `max_shard_size` in `.weights.json`.
            overwrite: whether an existing file may be replaced.
            max_shard_size: greatest size of one file in gigabytes; None: one file for all.
            objects_to_skip: layers to leave out.

        Raises:
            ValueError: for another ending, or when the file exists and `overwrite` is False.
            ImportError: when h5py is not installed.
        """
        from lamina.saving.weights import save_weights

        save_weights(self, filepath, overwrite=overwrite, **kwargs)

    def load_weights(self, filepath: Any, skip_mismatch: bool = False, **kwargs: Any) -> None:
        """Read all weights from a file written by lamina or Keras.

        Args:
            filepath: path of a `.weights.h5`, `.weights.json`, `.keras` or older `.h5` file.
            skip_mismatch: whether layers that do not fit are left as they are, with a warning.
            objects_to_skip: layers to leave as they are; for `.weights.h5` files.
            by_name: whether layers are found by name, not by order; for older `.h5` files.

        Raises:
            ValueError: when a layer or shape does not fit; the model is unchanged then.
            FileNotFoundError: when there is no such file.
        """
        from lamina.saving.weights import load_weights

        unknown = set(kwargs) - {"objects_to_skip", "by_name"}
        if unknown:
            raise ValueError(f"load_weights: Invalid keyword arguments: {sorted(unknown)}.")
        load_weights(self, filepath, skip_mismatch=skip_mismatch, **kwargs)

    def export(
        self,
        filepath: Any,
        format: str = "tf_saved_model",
        verbose: bool | None = None,
        input_signature: Any = None,
        **kwargs: Any,
    ) -> None:
        """Write the model's inference for other runtimes.

        Args:
            filepath: path of the file.
            format: "onnx". (Keras's other formats are parts of other frameworks.)
            verbose: whether a line says where the file is; None means yes.
            input_signature: InputSpecs of the inputs; by default those of the model, with an open
                batch size.
            kwargs: `opset_version` of ONNX (18 or more).

        Raises:
            ValueError: for an unknown format, or a model whose inputs are not known.
            NotImplementedError: for a format of another framework, and for an op without a form in
                ONNX; names the layer.
            ImportError: when onnx is not installed.

        Source: https://keras.io/api/models/model_saving_apis/export/
        """
        from lamina.export import export_model

        export_model(self, filepath, format, verbose, input_signature, **kwargs)

    def quantize(  # type: ignore[override]
        self, mode: str | None = None, config: Any = None, filters: Any = None, **kwargs: Any
    ) -> None:
        """Quantize every layer that can be; the others stay, with a warning.

        Args:
            mode: "int8", "int4", "float8", "gptq" or "awq"; the mode of `config` when None.
            config: `lamina.quantizers.QuantizationConfig` of the mode; its default when None.
            filters: regular expression, or list of them, for the names of layers to quantize, or
                a function from a layer to whether it is quantized; all when None.
            type_check: whether subclasses of layers, written by the user, are left as they are.

        Raises:
            ValueError: for an unbuilt layer, an unknown mode, or unknown arguments.

        A model that was compiled must be compiled again to be trained.
        """
        from lamina.models.quantizing import quantize_model

        type_check = kwargs.pop("type_check", True)
        if kwargs:
            raise ValueError(f"quantize: Unrecognized keyword arguments {kwargs}.")
        quantize_model(self, mode, config, filters, type_check)

    def get_quantization_layer_structure(self, mode: str | None = None) -> dict[str, Any] | None:
        """Tell "gptq" and "awq" how data go through the model. To be written by the subclass.

        Returns:
            A dict with "pre_block_layers", the layers before the first block, and
            "sequential_blocks", the blocks whose layers are quantized; None when not known.
        """
        del mode
        return None

    def to_json(self, **kwargs: Any) -> str:
        """Return the model's config as JSON; `model_from_json` makes an untrained model of it."""
        import json

        return json.dumps(serialization.serialize_keras_object(self), **kwargs)

    # Pickles and copies

    def __reduce_ex__(self, protocol: Any) -> Any:
        is_inner = self.__dict__.pop("_goes_by_object", False)
        state = None if is_inner else portable_state(self)
        return super().__reduce_ex__(protocol) if state is None else (restore_model, state)

    def __getstate__(self) -> dict[str, Any]:
        # Models inside go object by object too: others may hold the same layers.
        inner = [*self._flatten_layers(include_self=False), self.__dict__.get("_functional")]
        for model in inner:
            if isinstance(model, Model):
                model.__dict__["_goes_by_object"] = True
        for layer in self._flatten_layers():  # losses of a trace have no numbers
            layer._losses[:] = [loss for loss in layer._losses if not _is_symbolic(loss)]
        return {**self.__dict__, "_trainer_predict": {}}  # the functions in it are of this model

    # Configuration

    def get_config(self) -> dict[str, Any]:
        config = Layer.get_config(self)
        if type(self).get_config is Model.get_config:
            config = {**captured_arguments(self), **config}
        return config

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        """Make a model from `get_config()`."""
        if "input_layers" in config and "output_layers" in config:
            from lamina.models.functional import Functional

            return Functional.from_config.__func__(  # type: ignore[attr-defined]
                cls, config, custom_objects
            )
        with serialization.CustomObjectScope(custom_objects):
            return Layer.from_config.__func__(cls, config)  # type: ignore[attr-defined]


def _is_symbolic(loss: Any) -> bool:
    return isinstance(loss, Tensor) and loss.is_symbolic


def model_from_json(json_string: str, custom_objects: dict[str, Any] | None = None) -> Model:
    """Make an untrained model from `Model.to_json()`."""
    import json

    config = json.loads(json_string)
    return serialization.deserialize_keras_object(config, custom_objects=custom_objects)


def _is_functional_call(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether constructor arguments are symbolic inputs and outputs."""
    if len(args) >= 2:
        given = args[:2]
    elif len(args) == 1 and "outputs" in kwargs:
        given = (args[0], kwargs["outputs"])
    elif "inputs" in kwargs and "outputs" in kwargs:
        given = (kwargs["inputs"], kwargs["outputs"])
    else:
        return False
    return any(isinstance(leaf, KerasTensor) for leaf in structure.iterate(given))


def _become_functional(cls: type) -> None:
    """Put Functional in the place of Model among the bases of a user's class.

    A subclass may call `super().__init__(inputs, outputs)`; only then is it known to be functional.
    """
    from lamina.models.functional import Functional

    if issubclass(cls, Functional) or cls is Model:
        return
    if Model in cls.__bases__:
        cls.__bases__ = tuple(Functional if base is Model else base for base in cls.__bases__)
        return
    for base in cls.__bases__:
        if issubclass(base, Model):
            _become_functional(base)
