"""Using a layer on symbolic tensors: its outputs' shapes, and its place in a functional graph."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from lamina import structure, tracing
from lamina.layers.building import is_default_build
from lamina.layers.conversion import shapes_of
from lamina.layers.masking import MaskPassing
from lamina.layers.node import Node, Operation
from lamina.layers.signature import CallSignature, call_signature, shape_arguments
from lamina.layers.state import context
from lamina.tensor import KerasTensor


class SymbolicUse(MaskPassing, Operation):
    """The part of a layer that makes functional models of it."""

    built: bool
    _path: str | None
    _inbound_nodes: list[Node]
    _run: Callable[[CallSignature, tuple[Any, ...], dict[str, Any]], Any]
    _name_scope: Callable[[], AbstractContextManager[None]]

    if TYPE_CHECKING:  # what the other parts of a layer bring

        @property
        def compute_dtype(self) -> str: ...

        @property
        def _layers(self) -> list[Any]: ...

        def build(self, input_shape: Any) -> None: ...

        def call(self, *args: Any, **kwargs: Any) -> Any: ...

    def _record(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Work out the outputs' shapes and note the use in the functional graph."""
        if is_default_build(type(self).build) and any(not layer.built for layer in self._layers):
            self._infer(args, kwargs)  # builds the sublayers, whatever the shape rule
        with self._name_scope(), tracing.origin(self._path or self.name):
            outputs = self.compute_output_spec(*args, **kwargs)
        Node(self, args, kwargs, outputs)
        return outputs

    def symbolic_call(self, *args: Any, **kwargs: Any) -> Any:
        """Record the layer on symbolic tensors."""
        return self._record(args, kwargs)

    def compute_output_spec(self, *args: Any, **kwargs: Any) -> Any:
        """Return symbolic tensors with the shapes and dtypes of the outputs."""
        if type(self).compute_output_shape is SymbolicUse.compute_output_shape:
            return self._infer(args, kwargs)
        shape_rule = type(self).compute_output_shape
        call = call_signature(type(self).call)
        wanted = shape_arguments(shape_rule)
        if wanted:
            given = call.named(args, kwargs)
            shapes = {name: shapes_of(given.get(name[: -len("_shape")])) for name in wanted}
            output_shape = self.compute_output_shape(**shapes)
        else:
            output_shape = self.compute_output_shape(shapes_of(call.first(args, kwargs)))
        outputs = structure.map_shapes(
            lambda shape: KerasTensor(shape, dtype=self.compute_dtype), output_shape
        )
        self._pass_symbolic_mask(call.first(args, kwargs), outputs)
        return outputs

    def compute_output_shape(self, *args: Any, **kwargs: Any) -> Any:
        """Return the shape of the output for the shape of the input, without computing."""
        from lamina.layers.base import Layer

        has_call = type(self).call is not Layer.call
        if not has_call or (not self.built and not is_default_build(type(self).build)):
            raise NotImplementedError(
                f"Layer {type(self).__name__} does not have a `compute_output_shape` method "
                "implemented. Write compute_output_shape(input_shape), or build the layer first."
            )

        def symbolic(shape: tuple[int | None, ...]) -> KerasTensor:
            return KerasTensor(shape, dtype=self.compute_dtype)

        args = tuple(structure.map_shapes(symbolic, argument) for argument in args)
        kwargs = {
            name.removesuffix("_shape"): structure.map_shapes(symbolic, argument)
            for name, argument in kwargs.items()
        }
        if not args:
            args, kwargs = tuple(kwargs.values()), {}
        return structure.map_structure(lambda out: tuple(out.shape), self._infer(args, kwargs))

    def _infer(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run `call` on shapes only and return symbolic tensors like its outputs."""
        call = call_signature(type(self).call)

        def run(*args: Any, **kwargs: Any) -> Any:
            return self._run(call, args, kwargs)

        outer = context.discard_losses
        context.discard_losses = True
        try:
            return tracing.infer_outputs(run, *args, **kwargs)
        finally:
            context.discard_losses = outer
