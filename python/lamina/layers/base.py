"""Layer: the contract between a model and everything it is made of."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from lamina import constraints as weight_constraints
from lamina import dtype_policies, initializers, names, regularizers, structure, tracing
from lamina.layers.building import (
    checked_init,
    is_default_build,
    recorded_build,
    take_input_shape,
)
from lamina.layers.configuration import LayerConfiguration
from lamina.layers.conversion import as_shapes, cast_keeping_mask, convert_argument, shapes_of
from lamina.layers.masking import MaskPassing
from lamina.layers.node import has_symbolic
from lamina.layers.signature import CallSignature, call_signature, shape_arguments
from lamina.layers.spec import InputSpec, check_inputs
from lamina.layers.state import LayerState, context
from lamina.layers.symbolic import SymbolicUse
from lamina.tensor import KerasTensor, Tensor
from lamina.validation import Boolean, Constraint, Text, check_argument, did_you_mean
from lamina.variable import Variable

_FLOAT_DTYPES = ("float16", "bfloat16", "float32", "float64")


class Layer(LayerState, LayerConfiguration, SymbolicUse):
    """A step of a model: weights made by `build`, mathematics in `call`.

    A subclass keeps its settings in `__init__` (after `super().__init__(**kwargs)`), makes
    weights in `build(input_shape)` with `add_weight`, computes in `call(inputs)` with
    `lamina.ops`, and returns its settings from `get_config`. Layers, variables, metrics and seed
    generators assigned to attributes (also in lists and dicts) belong to the layer.

    Args:
        activity_regularizer: regularizer of the output, added to the loss; None for none.
        trainable: whether training changes the weights.
        dtype: compute and weight dtype, "float32" or "float64"; the global default when None.
        autocast: whether floating point inputs are converted to that dtype.
        name: unique name in a model; made from the class name when None.

    Raises:
        ValueError: for an unknown argument or a value outside what is allowed.
    """

    constraints: dict[str, Constraint] = {}
    _is_open_after_build = False  # models may still grow

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "__init__" in cls.__dict__:
            cls.__init__ = checked_init(cls.__dict__["__init__"])  # type: ignore[method-assign]
        if "build" in cls.__dict__:
            cls.build = recorded_build(cls.__dict__["build"])  # type: ignore[method-assign]

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        layer = super().__new__(cls)
        layer._init_state()
        layer.__dict__["_init_arguments"] = (args, kwargs)
        return layer

    def __init__(
        self,
        *,
        activity_regularizer: Any = None,
        trainable: bool = True,
        dtype: Any = None,
        autocast: bool = True,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        owner = type(self).__name__
        name = check_argument(owner, "name", name, Text(optional=True))
        if name is not None and "/" in name:
            raise ValueError(f"{owner}: name must not contain '/'. Got {name!r}.")
        self.name = names.auto_name(owner) if name is None else name
        self._trainable = check_argument(owner, "trainable", trainable, Boolean())
        self.autocast = check_argument(owner, "autocast", autocast, Boolean())
        self._dtype_policy = self.resolved(dtype_policies.get, dtype)
        self.activity_regularizer = self.resolved(regularizers.get, activity_regularizer)
        self._path: str | None = None
        self._build_shapes: dict[str, Any] | None = None
        self._is_building = False
        self._convert_input_args = True
        self.built = False
        self.input_spec: Any = None
        self.supports_masking = type(self).compute_mask is not MaskPassing.compute_mask
        self.supports_jit = True
        self._input_shape_arg = take_input_shape(kwargs)
        if kwargs:
            known = {*inspect.signature(type(self).__init__).parameters, "name", "dtype"}
            unknown = next(iter(kwargs))
            raise ValueError(
                f"{owner}: unknown keyword arguments {kwargs}."
                f"{did_you_mean(unknown, known - {'self', 'kwargs', 'args'})}"
            )

    # Arguments

    def validated(self, **arguments: Any) -> Any:
        """Check constructor arguments against the class's `constraints`.

        Returns:
            The normalised values in order; a single value for a single argument.
        """
        owner = type(self).__name__
        values = [
            check_argument(owner, argument, value, self.constraints[argument])
            for argument, value in arguments.items()
        ]
        return values[0] if len(values) == 1 else values

    def resolved(self, get: Callable[[Any], Any], identifier: Any) -> Any:
        """Return `get(identifier)`; an error names this layer's class."""
        try:
            return get(identifier)
        except (ValueError, TypeError) as error:
            text = str(error)
            raise ValueError(f"{type(self).__name__}: {text[:1].lower()}{text[1:]}") from None

    # Names and dtypes

    @property
    def path(self) -> str | None:
        """Where the layer sits, such as "model/dense"; None before it is built."""
        return self._path

    @property
    def dtype_policy(self) -> dtype_policies.DTypePolicy:
        """Compute and weight dtypes."""
        return self._dtype_policy

    @dtype_policy.setter
    def dtype_policy(self, value: Any) -> None:
        self._dtype_policy = dtype_policies.get(value)

    @property
    def dtype(self) -> str:
        """Dtype of the weights."""
        return self._dtype_policy.variable_dtype

    @property
    def variable_dtype(self) -> str:
        """Dtype of the weights."""
        return self._dtype_policy.variable_dtype

    @property
    def compute_dtype(self) -> str:
        """Dtype of the computation."""
        return self._dtype_policy.compute_dtype

    @property
    def input_dtype(self) -> str:
        """Dtype that floating point inputs are converted to."""
        return self._dtype_policy.compute_dtype

    # Building

    def build(self, input_shape: Any) -> None:
        """Make the weights for inputs of this shape (None where a size is not known)."""
        del input_shape
        self.built = True

    build.is_default = True  # type: ignore[attr-defined]

    def add_weight(
        self,
        shape: Any = None,
        initializer: Any = None,
        dtype: Any = None,
        trainable: bool = True,
        autocast: bool = True,
        regularizer: Any = None,
        constraint: Any = None,
        aggregation: str = "none",
        overwrite_with_gradient: bool = False,
        name: str | None = None,
    ) -> Variable:
        """Make a weight that belongs to the layer.

        Args:
            shape: tuple of sizes; scalar when None.
            initializer: initializer object or name; "glorot_uniform" for floats and "zeros" for
                other dtypes when None.
            dtype: dtype name; the layer's when None.
            trainable: whether training changes it.
            autocast: kept for compatibility.
            regularizer: penalty added to the loss.
            constraint: projection applied after each update.
            aggregation: kept for compatibility.
            overwrite_with_gradient: whether an update replaces the value by its gradient.
            name: name of the weight; automatic when None.

        Raises:
            ValueError: if a size is unknown.
        """
        self._check_initialised()
        if isinstance(shape, str):
            raise ValueError(
                f"add_weight: pass the name by keyword: add_weight(shape=..., name={shape!r})."
            )
        sizes = () if shape is None else (shape,) if isinstance(shape, int) else tuple(shape)
        if any(size is None for size in sizes):
            raise ValueError(
                f"{self.name} ({type(self).__name__}): weight {name!r} needs known sizes, "
                f"got shape {sizes}. Give the input a shape without None on these axes."
            )
        dtype = getattr(dtype, "name", dtype) or self.variable_dtype
        if initializer is None:
            initializer = "glorot_uniform" if "float" in dtype else "zeros"
        with self._name_scope():
            variable = Variable(
                initializer=self.resolved(initializers.get, initializer),
                shape=sizes,
                dtype=dtype,
                trainable=check_argument("add_weight", "trainable", trainable, Boolean()),
                autocast=autocast,
                aggregation=aggregation,
                name=name,
            )
        variable.regularizer = self.resolved(regularizers.get, regularizer)
        variable.constraint = self.resolved(weight_constraints.get, constraint)
        variable.overwrite_with_gradient = overwrite_with_gradient
        self._track_variable(variable)
        return variable

    def add_variable(self, *args: Any, **kwargs: Any) -> Variable:
        """Alias of `add_weight`."""
        return self.add_weight(*args, **kwargs)

    def get_build_config(self) -> dict[str, Any] | None:
        """Return the shapes the layer was built with, for files; None when it was not."""
        shapes = self._build_shapes
        if not shapes:
            return None
        if len(shapes) == 1:
            return {"input_shape": next(iter(shapes.values()))}
        return {"shapes_dict": shapes}

    def build_from_config(self, config: dict[str, Any]) -> None:
        """Build with the shapes of `get_build_config()`."""
        if self.built or not config:
            return
        if config.get("input_shape") is not None:
            self.build(as_shapes(config["input_shape"]))
        elif config.get("shapes_dict"):
            shapes = config["shapes_dict"]
            self.build(**{name: as_shapes(shape) for name, shape in shapes.items()})

    @contextmanager
    def _name_scope(self) -> Iterator[None]:
        """Put names made inside under the layer's path, which is fixed by its first use."""
        if self._path is None:
            self._path = names.join_path(names.current_path(), self.name)
        outer = names.scope.path
        names.scope.path = self._path
        try:
            yield
        finally:
            names.scope.path = outer

    def _build_for(
        self, call: CallSignature, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        build = type(self).build
        if is_default_build(build):
            self.built = True
            return
        wanted = shape_arguments(build)
        if not wanted:
            self.build(shapes_of(call.first(args, kwargs)))
            return
        given = call.named(args, kwargs)
        self.build(**{name: shapes_of(given.get(name[: -len("_shape")])) for name in wanted})

    # Calling

    def call(self, *args: Any, **kwargs: Any) -> Any:
        """Compute the outputs from the inputs. To be written by the subclass."""
        raise NotImplementedError(f"Layer {type(self).__name__} has no call() method.")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Compute on arrays or tensors, or record the layer on symbolic tensors."""
        self._check_initialised()
        call = call_signature(type(self).call)
        if self._convert_input_args:
            args = tuple([convert_argument(self._convert, argument) for argument in args])
            if kwargs:
                kwargs = {
                    name: convert_argument(self._convert, argument, numbers_are_data=False)
                    for name, argument in kwargs.items()
                }
        if self.input_spec is not None:
            first = call.first(args, kwargs)
            check_inputs(self.input_spec, first, self.name, type(self).__name__)
        if not self.built:
            with self._name_scope():
                self._build_for(call, args, kwargs)
        if has_symbolic(args, kwargs):
            return self._record(args, kwargs)
        return self._run(call, args, kwargs)

    def _as_float(self, tensor: Any) -> Any:
        """Return `tensor` in the compute dtype; integer inputs become floating point."""
        return (
            tensor
            if tensor.dtype == self.compute_dtype
            else cast_keeping_mask(tensor, self.compute_dtype)
        )

    def _check_initialised(self) -> None:
        if "_dtype_policy" not in self.__dict__:
            raise RuntimeError(
                f"Layer {type(self).__name__}: call super().__init__() first in __init__()."
            )

    def _convert(self, value: Any) -> Any:
        """Turn array data into a tensor of the compute dtype; leave everything else."""
        if isinstance(value, Variable):
            value = value.value
        if isinstance(value, (Tensor, KerasTensor)):
            dtype = value.dtype
            if dtype != self.compute_dtype and self.autocast and dtype in _FLOAT_DTYPES:
                return cast_keeping_mask(value, self.compute_dtype)
            return value
        if value is None or isinstance(value, (bool, int, float, str)):
            return value
        if isinstance(value, np.ndarray) or (
            hasattr(value, "__array__") and not isinstance(value, type)
        ):
            return self._convert_array(np.asarray(value))
        return value

    def _convert_array(self, array: np.ndarray[Any, Any]) -> Tensor:
        kind = array.dtype.kind
        if kind == "f" and self.autocast:
            return tracing.convert(array, self.compute_dtype)
        if kind in "USOcV":
            raise TypeError(
                f"{self.name} ({type(self).__name__}): inputs must be numbers, got an array "
                f"of dtype {array.dtype}."
            )
        return tracing.convert(array)

    def _run(self, call: CallSignature, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call on tensors: resolve training and masks, keep losses, pass the mask on."""
        kwargs = dict(kwargs)
        training = self._resolve_training(call, args, kwargs)
        if call.mask_of:
            self._fill_masks(call, args, kwargs)
        is_entry = context.depth == 0
        outer = (context.training, context.loss_owners)
        if is_entry:
            self._start_losses()
        outer_path = names.scope.path
        if self._path is None:
            self._path = names.join_path(outer_path, self.name)
        names.scope.path = self._path
        context.training = training
        context.depth += 1
        try:
            if not tracing.is_tracing():
                return self._compute(call, args, kwargs)
            with tracing.origin(self._path):
                return self._compute(call, args, kwargs)
        except ValueError as error:
            self._name_in(error)
            raise
        finally:
            names.scope.path = outer_path
            context.depth -= 1
            context.training, context.loss_owners = outer

    def _compute(self, call: CallSignature, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        outputs = self.call(*args, **kwargs)
        if self.activity_regularizer is not None:
            self._add_activity_losses(outputs)
        self._pass_mask(call.first(args, kwargs), outputs)
        return outputs

    def _add_activity_losses(self, outputs: Any) -> None:
        """Add the penalties of the outputs: a mean over the rows, like the loss itself."""
        if context.discard_losses:
            return
        for output in structure.iterate(outputs):
            rows = output.shape[0] if output.shape else 1
            self.add_loss(self.activity_regularizer(output) / max(rows, 1))

    def _name_in(self, error: ValueError) -> None:
        """Say in which layer an error arose, unless an inner layer or the message does."""
        if getattr(error, "names_layer", False):
            return
        text = str(error)
        if self.name not in text:
            error.args = (f"{self.name} ({type(self).__name__}): {text}",)
        error.names_layer = True  # type: ignore[attr-defined]

    def _start_losses(self) -> None:
        """Drop what the previous outermost call added to the losses."""
        owners = self.__dict__["_loss_owners"]
        for layer in owners:
            layer._losses.clear()
        owners.clear()
        self._losses.clear()
        context.loss_owners = owners

    @staticmethod
    def _resolve_training(
        call: CallSignature, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> bool:
        """Explicit value, else the enclosing layer's, else the default of `call`, else False."""
        position = call.training_position
        if position is not None and position < len(args):
            explicit = args[position]
            return bool(context.training if explicit is None else explicit)
        training = kwargs.pop("training", None)
        if training is None:
            training = context.training
        if training is None:
            training = call.training_default
        training = bool(training)
        if call.has_training:
            kwargs["training"] = training
        return training

    def __repr__(self) -> str:
        state = "" if self.__dict__.get("built") else ", built=False"
        return f"<{type(self).__name__} name={self.__dict__.get('name')}{state}>"


__all__ = ["InputSpec", "Layer"]
