"""Layer: the contract between a model and everything it is made of."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from lamina import constraints as weight_constraints
from lamina import dtype_policies, dtypes, initializers, names, regularizers, structure, tracing
from lamina.layers.building import (
    argument_of,
    checked_init,
    is_default_build,
    recorded_build,
    take_input_shape,
)
from lamina.layers.call_arguments import CallContextArguments, check_positional, weight_arguments
from lamina.layers.configuration import LayerConfiguration
from lamina.layers.conversion import as_shapes, convert_argument, shapes_of
from lamina.layers.masking import MaskPassing
from lamina.layers.node import has_symbolic
from lamina.layers.precision import Precision
from lamina.layers.quantization.contract import Quantization
from lamina.layers.signature import CallSignature, call_signature, shape_arguments
from lamina.layers.spec import InputSpec, check_inputs
from lamina.layers.state import LayerState, context
from lamina.layers.symbolic import SymbolicUse
from lamina.remat import current_remat_mode, remat
from lamina.stateless import call_with_values
from lamina.validation import Boolean, Constraint, Text, check_argument, did_you_mean
from lamina.variable import Variable


class Layer(
    LayerState, LayerConfiguration, Precision, Quantization, CallContextArguments, SymbolicUse
):
    """A step of a model: weights made by `build`, mathematics in `call`.

    A subclass keeps its settings in `__init__` (after `super().__init__(**kwargs)`), makes
    weights in `build(input_shape)` with `add_weight`, computes in `call(inputs)` with
    `lamina.ops`, and returns its settings from `get_config`. Layers, variables, metrics and seed
    generators assigned to attributes (also in lists and dicts) belong to the layer.

    Args:
        activity_regularizer: regularizer of the output, added to the loss; None for none.
        trainable: whether training changes the weights.
        dtype: name of a dtype for computation and weights, or a `DTypePolicy` or its name, such
            as "mixed_bfloat16"; the global policy when None.
        autocast: whether floating point inputs and weights are converted to the compute dtype.
        name: unique name in a model; made from the class name when None.

    Raises:
        ValueError: for an unknown argument or a value outside what is allowed.
    """

    constraints: dict[str, Constraint] = {}
    explanations: dict[str, str] = {}  # sentences that begin the message about an argument
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
        if not isinstance(trainable, (bool, np.bool_)):
            raise ValueError(f"{owner}: trainable has to be a boolean. Got {trainable!r}.")
        self._trainable = bool(trainable)
        self.autocast = check_argument(owner, "autocast", autocast, Boolean())
        self._dtype_policy = self.resolved(dtype_policies.get, dtype)
        self.activity_regularizer = self.resolved(regularizers.get, activity_regularizer)
        self._path: str | None = None
        self._build_shapes: dict[str, Any] | None = None
        self._is_building = False
        self._convert_input_args = True
        self._allow_non_tensor_positional_args = False
        self._remat_mode = current_remat_mode()
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
        say = self.explanations.get
        values = [
            check_argument(owner, argument, value, self.constraints[argument], say(argument, ""))
            for argument, value in arguments.items()
        ]
        return values[0] if len(values) == 1 else values

    def resolved(
        self, get: Callable[[Any], Any], identifier: Any, argument: str | None = None
    ) -> Any:
        """Return `get(identifier)`; an error names this layer's class and the argument."""
        try:
            return get(identifier)
        except (ValueError, TypeError) as error:
            argument = argument or argument_of(self, identifier)
            where = [type(self).__name__, *([argument] if argument else [])]
            kind = TypeError if isinstance(error, TypeError) else ValueError
            raise kind(": ".join([*where, str(error)])) from None

    # Names

    @property
    def path(self) -> str | None:
        """Where the layer sits, such as "model/dense"; None before it is built."""
        return self._path

    # Building

    def build(self, input_shape: Any) -> None:
        """Make the weights for inputs of this shape (None where a size is not known)."""
        del input_shape
        self.built = True

    build.is_default = True  # type: ignore[attr-defined]

    def add_weight(
        self,
        *args: Any,
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
            *args: shape, initializer and dtype may be given by position.
            shape: tuple of sizes; scalar when None.
            initializer: initializer object or name; "glorot_uniform" for floats and "zeros" for
                other dtypes when None.
            dtype: dtype name; the layer's when None.
            trainable: whether training changes it.
            autocast: whether `call` reads it in the compute dtype.
            regularizer: penalty added to the loss.
            constraint: projection applied after each update.
            aggregation: kept for compatibility.
            overwrite_with_gradient: whether an update replaces the value by its gradient.
            name: name of the weight; automatic when None.

        Raises:
            ValueError: if a size is unknown.
            TypeError: for more than three positional arguments.
        """
        self._check_initialised()
        shape, initializer, dtype = weight_arguments(args, shape, initializer, dtype)
        sizes = () if shape is None else (shape,) if isinstance(shape, int) else tuple(shape)
        if any(size is None for size in sizes):
            raise ValueError(
                f"{self.name} ({type(self).__name__}): weight {name!r} needs known sizes, "
                f"got shape {sizes}. Give the input a shape without None on these axes."
            )
        dtype = self.variable_dtype if dtype is None else dtypes.standardize_dtype(dtype)
        if initializer is None:
            initializer = "glorot_uniform" if dtypes.is_float_dtype(dtype) else "zeros"
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
            self._build_at_init()
            return
        wanted = shape_arguments(build)
        if not wanted:
            self.build(shapes_of(call.first(args, kwargs)))
            return
        call.check_shape_arguments(wanted, f"{type(self).__name__}.build()")
        given = call.named(args, kwargs)
        self.build(**{name: shapes_of(given.get(name[: -len("_shape")])) for name in wanted})

    def _build_at_init(self) -> None:
        """Mark a layer built that has nothing to build; its weights, if any, are made already."""
        if is_default_build(type(self).build):
            self.built = True
            self._is_locked = not self._is_open_after_build

    # Calling

    def call(self, *args: Any, **kwargs: Any) -> Any:
        """Compute the outputs from the inputs. To be written by the subclass."""
        raise NotImplementedError(
            f"Layer {type(self).__name__} does not have a `call` method implemented."
        )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Compute on arrays or tensors, or record the layer on symbolic tensors."""
        self._check_initialised()
        call = call_signature(type(self).call)
        if self._convert_input_args:
            args = tuple([convert_argument(self._convert, argument) for argument in args])
            if not self._allow_non_tensor_positional_args:
                check_positional(args, type(self).__name__)
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
        self._called = True
        if has_symbolic(args, kwargs):
            return self._record(args, kwargs)
        return self._run(call, args, kwargs)

    def rematerialized_call(
        self, layer_call: Callable[..., Any], *args: Any, **kwargs: Any
    ) -> Callable[..., Any]:
        """Return `layer_call`, wrapped by `remat` where a RematScope asked it of this layer."""
        asked = self._remat_mode
        if asked is None:
            return layer_call
        wanted = {
            "full": True,
            "list_of_layers": self.name in asked.layer_names,
            "larger_than": False,
        }.get(asked.mode or "", False)
        if asked.mode == "larger_than":
            spec = self.compute_output_spec(*args, **kwargs)
            wanted = any(
                None not in leaf.shape and math.prod(leaf.shape) > asked.output_size_threshold
                for leaf in structure.iterate(spec)
            )
        return remat(layer_call) if wanted else layer_call

    def stateless_call(
        self,
        trainable_variables: Any,
        non_trainable_variables: Any,
        *args: Any,
        return_losses: bool = False,
        **kwargs: Any,
    ) -> tuple[Any, ...]:
        """Call the layer as a function of its state, which stays as it is.

        Args:
            trainable_variables, non_trainable_variables: a value for each of the layer's.
            *args, **kwargs: arguments of the call.
            return_losses: whether the losses are returned too.

        Returns:
            (outputs, non_trainable_variables) or (outputs, non_trainable_variables, losses).

        Raises:
            ValueError: if the layer is not built, or the numbers of values differ.
        """
        if not self.built:
            raise ValueError(
                f"{self.name} ({type(self).__name__}): stateless_call() needs a built layer."
            )
        for what, given, own in (
            ("trainable_variables", trainable_variables, self.trainable_variables),
            ("non_trainable_variables", non_trainable_variables, self.non_trainable_variables),
        ):
            if len(given) != len(own):
                raise ValueError(
                    f"{self.name} ({type(self).__name__}): stateless_call() takes {len(own)} "
                    f"values as {what}, got {len(given)}."
                )
        variables = [*self.trainable_variables, *self.non_trainable_variables]

        def run() -> Any:
            outputs = self(*args, **kwargs)
            return outputs, list(self.losses) if return_losses else []

        (outputs, losses), values = call_with_values(
            run, variables, [*trainable_variables, *non_trainable_variables]
        )
        changed = values[len(trainable_variables) :]
        return (outputs, changed, losses) if return_losses else (outputs, changed)

    def _check_initialised(self) -> None:
        if "_dtype_policy" not in self.__dict__:
            raise RuntimeError(
                f"Layer {type(self).__name__}: call super().__init__() first in __init__()."
            )

    def _run(self, call: CallSignature, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call on tensors: resolve training and masks, keep losses, pass the mask on."""
        kwargs = dict(kwargs)
        state = tracing.thread_state
        outer_arguments = context.arguments
        if len(self._call_context_args) > 1 or outer_arguments:
            self._resolve_context_arguments(call, kwargs)
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
        outer_dtype, state.autocast = state.autocast, self._autocast_dtype()
        try:
            if not tracing.is_tracing():
                return self._compute(call, args, kwargs)
            with tracing.origin(self._path):
                return self._compute(call, args, kwargs)
        except ValueError as error:
            self._name_in(error)
            raise
        finally:
            state.autocast = outer_dtype
            names.scope.path = outer_path
            context.depth -= 1
            context.training, context.loss_owners = outer
            context.arguments = outer_arguments

    def _compute(self, call: CallSignature, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        inputs = call.first(args, kwargs)
        masks = self._masks_of(call, inputs, args, kwargs)
        layer_call = self.call if self.quantization_mode is None else self.quantized_call
        if self._remat_mode is not None:
            layer_call = self.rematerialized_call(layer_call, *args, **kwargs)
        outputs = layer_call(*args, **kwargs)
        if self.activity_regularizer is not None:
            self._add_activity_losses(outputs)
        self._pass_mask(inputs, masks, outputs)
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
        state = bool(self.__dict__.get("built"))
        return f"<{type(self).__name__} name={self.__dict__.get('name')}, built={state}>"


__all__ = ["InputSpec", "Layer"]
