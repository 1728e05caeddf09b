"""Gradients for code that users write: GradientTape, grad, value_and_grad.

A tape works wherever its code runs. Inside `lamina.function` or a `train_step`, where tensors are
symbolic, the graph is there already and a gradient is more of it. Elsewhere the tape records: each
op runs at once and becomes a node as well.
"""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable, Sequence
from typing import Any

from lamina import structure
from lamina.tensor import KerasTensor, Tensor
from lamina.tracing import Recorder, Tracer, apply, convert, current_tracer
from lamina.variable import Variable

_FLOATS = ("float16", "bfloat16", "float32", "float64")


class _TapeRecorder(Recorder):
    """A recorder whose tensors become ordinary ones when it is closed."""

    def __init__(self) -> None:
        super().__init__()
        self._made: list[weakref.ref[Tensor]] = []

    def _recorded(self, id: int, buffer: Any) -> Tensor:
        tensor = super()._recorded(id, buffer)
        self._made.append(weakref.ref(tensor))
        return tensor

    def watch(self, tensor: Tensor) -> None:
        tensor._tracer, tensor._id = self, self.graph.constant(tensor._buffer)
        self._values[tensor._id] = tensor._buffer
        self._made.append(weakref.ref(tensor))

    def close(self) -> dict[int, tuple[weakref.ref[Tensor], int]]:
        """Let go of the tensors; returns the node of each that still lives, by `id(tensor)`."""
        nodes = {}
        for reference in self._made:
            tensor = reference()
            if tensor is not None and tensor._tracer is self:
                nodes[id(tensor)] = (reference, tensor._id)
                tensor._tracer, tensor._id = None, -1
        self._made.clear()
        return nodes


class GradientTape:
    """Records a computation, to ask for gradients of its results afterwards.

    Args:
        persistent: whether `gradient` may be called more than once.
        watch_accessed_variables: whether every Variable that is read counts as a source; False:
            only what `watch` names.

    Variables are recorded when they are read, other tensors from `watch` on. Inside
    `lamina.function` all of this costs nothing at run time. Tapes nest: a gradient that is taken
    inside an outer tape can be differentiated again, as far as the ops have second derivatives.

    >>> x = lamina.ops.convert_to_tensor(3.0)
    >>> with lamina.GradientTape() as tape:
    ...     tape.watch(x)
    ...     y = x * x
    >>> tape.gradient(y, x)
    Tensor(6., dtype=float32)

    Source: https://www.tensorflow.org/api_docs/python/tf/GradientTape
    """

    def __init__(self, persistent: bool = False, watch_accessed_variables: bool = True) -> None:
        self._persistent = bool(persistent)
        self._watches_variables = bool(watch_accessed_variables)
        self._tracer: Any = None
        self._is_recording = False
        self._is_owner = False
        self._was_used = False
        # By id: (the tensor, weakly; its node). Of those that are ordinary tensors again.
        self._nodes: dict[int, tuple[weakref.ref[Tensor], int]] = {}
        self._lent: list[Tensor] = []  # ordinary tensors that are nodes while the tape is open
        self._at_entry: dict[int, Tensor] = {}  # what variables held that were read before
        self._reads: dict[int, Tensor] = {}  # what they held when they were read, once closed
        self._watched: dict[int, Variable] = {}

    def __enter__(self) -> GradientTape:
        if self._tracer is not None:
            raise RuntimeError("GradientTape: a tape records one `with` block only; make another.")
        outer = current_tracer()
        self._is_owner = outer is None
        self._tracer = _TapeRecorder() if outer is None else outer
        if self._is_owner:
            self._tracer.__enter__()
        self._at_entry = self._tracer.reads()
        self._is_recording = True
        return self

    def __exit__(self, *exception: Any) -> None:
        self._is_recording = False
        self._reads = self._values_read()
        if self._is_owner:
            self._tracer.__exit__(*exception)
            self._nodes = self._tracer.close()
        for tensor in self._lent:
            if tensor._tracer is self._tracer:
                self._nodes[id(tensor)] = (weakref.ref(tensor), tensor._id)
                tensor._tracer, tensor._id = None, -1
        self._lent.clear()

    def watch(self, tensor: Any) -> None:
        """Record what is computed from a tensor (or from each of a nested structure) from here on.

        Raises:
            TypeError: for what is no Tensor or Variable of a floating point dtype.
            RuntimeError: outside the `with` block.
        """
        if not self._is_recording:
            raise RuntimeError("GradientTape.watch() works inside the tape's `with` block.")
        for leaf in structure.iterate(tensor):
            if not isinstance(leaf, (Tensor, Variable)):
                raise TypeError(
                    "GradientTape.watch() takes Tensors and Variables. Got "
                    f"{type(leaf).__name__}: lamina.ops.convert_to_tensor(x) makes a Tensor."
                )
            if leaf.dtype not in _FLOATS:
                raise TypeError(
                    "GradientTape.watch(): gradients need a floating point dtype. Got "
                    f"{leaf.dtype}."
                )
            if isinstance(leaf, Variable):
                self._watched[id(leaf)] = leaf
            elif leaf._tracer is None:
                self._lend(leaf)

    def _lend(self, tensor: Tensor) -> None:
        tracer = self._tracer
        if isinstance(tracer, _TapeRecorder):
            tracer.watch(tensor)
            return
        node = tracer.lift(tensor)
        tensor._tracer, tensor._id = tracer, node._id
        self._lent.append(tensor)

    def watched_variables(self) -> tuple[Variable, ...]:
        """The variables that the tape knows as sources."""
        if not self._watches_variables:
            return tuple(self._watched.values())
        read = self._tracer.read_variables() if self._tracer is not None else []
        return tuple(variable for variable in read if variable.trainable)

    def gradient(
        self,
        target: Any,
        sources: Any,
        output_gradients: Any = None,
        unconnected_gradients: str = "none",
    ) -> Any:
        """Return the gradients of a target with respect to sources.

        Args:
            target: tensor, or nested structure of them; what is no single number is summed up.
            sources: Variable or watched Tensor, or a nested structure of them.
            output_gradients: factors of the targets' elements, in the structure of `target`.
            unconnected_gradients: what stands for a source that the target does not depend on:
                "none" (None) or "zero".

        Returns:
            One Tensor for each source, in the structure of `sources`.

        Raises:
            RuntimeError: at the second call, unless the tape is persistent.
            ValueError: for a target that was not computed inside the tape.
            TypeError: for a source that is no Tensor or Variable.
        """
        if unconnected_gradients not in ("none", "zero"):
            raise ValueError(
                "GradientTape.gradient(): unconnected_gradients must be 'none' or 'zero'. Got "
                f"{unconnected_gradients!r}."
            )
        if self._was_used and not self._persistent:
            raise RuntimeError(
                "GradientTape.gradient() was called already. For several calls make the tape with "
                "GradientTape(persistent=True)."
            )
        if self._tracer is None:
            raise RuntimeError("GradientTape.gradient(): nothing was recorded (`with tape:`).")
        loss = self._sum_of(target, output_gradients)
        flat = structure.flatten(sources)
        nodes = [self._node_of_source(source) for source in flat]
        wanted = [node for node in nodes if node is not None]
        found = dict(zip(wanted, self._tracer.gradients_of(loss, wanted), strict=True))
        results = [self._result(None if node is None else found[node]) for node in nodes]
        if unconnected_gradients == "zero":
            results = [
                _zeros_like(source) if result is None else result
                for source, result in zip(flat, results, strict=True)
            ]
        self._was_used = True
        if not self._persistent and not self._is_recording:
            self._forget()
        return structure.pack(sources, results)

    def _values_read(self) -> dict[int, Tensor]:
        """What each variable held when the tape first saw it."""
        return {**self._tracer.first_reads(), **self._at_entry}

    def _forget(self) -> None:
        """Free what was recorded."""
        self._tracer = _NOTHING
        self._nodes, self._reads, self._at_entry = {}, {}, {}

    def _result(self, gradient: Tensor | None) -> Tensor | None:
        if gradient is None or not self._is_owner or self._is_recording:
            return gradient
        return Tensor._of(gradient._buffer)

    def _node_of(self, tensor: Tensor) -> int | None:
        """The node of a tensor of this tape."""
        if tensor._tracer is not None:
            return tensor._id if tensor._tracer is self._tracer else None
        reference, node = self._nodes.get(id(tensor), (None, -1))
        return node if reference is not None and reference() is tensor else None

    def _node_of_source(self, source: Any) -> int | None:
        if isinstance(source, Variable):
            if not self._watches_variables and id(source) not in self._watched:
                return None
            read = self._values_read() if self._is_recording else self._reads
            tensor = read.get(id(source))
            return None if tensor is None else self._node_of(tensor)
        if isinstance(source, Tensor):
            return self._node_of(source)
        raise TypeError(
            "GradientTape.gradient(): sources must be Variables or watched Tensors. Got "
            f"{type(source).__name__}."
        )

    def _sum_of(self, target: Any, output_gradients: Any) -> Tensor:
        tracer = self._tracer
        targets = structure.flatten(target)
        factors = [None] * len(targets)
        if output_gradients is not None:
            factors = structure.flatten(output_gradients)
        loss: Tensor | None = None
        for one, factor in zip(targets, factors, strict=True):
            tensor = self._target(one)
            if factor is not None:
                factor = convert(factor, tensor.dtype)
                tensor = tracer.emit("multiply", [tensor, factor], {})
            if tensor.shape != ():
                tensor = tracer.emit("sum", [tensor], {})
            if loss is not None and tensor.dtype != loss.dtype:
                tensor = tracer.emit("cast", [tensor], {"dtype": loss.dtype})
            loss = tensor if loss is None else tracer.emit("add", [loss, tensor], {})
        if loss is None:
            raise ValueError("GradientTape.gradient(): there is no target.")
        return loss

    def _target(self, target: Any) -> Tensor:
        if isinstance(target, Variable):
            node = self._node_of_source(target)
        else:
            node = self._node_of(target) if isinstance(target, Tensor) else None
        if node is None:
            raise ValueError(
                "GradientTape.gradient(): the target was not computed inside the tape from a "
                f"Variable or a watched Tensor. Got {target!r}."
            )
        tensor: Tensor = self._tracer.tensor_of(node)
        if tensor.dtype not in _FLOATS:
            raise ValueError(
                "GradientTape.gradient(): the target must be of a floating point dtype. Got "
                f"{tensor.dtype}."
            )
        return tensor


_NOTHING: Any = Tracer()  # stands for a recording that was freed


def _zeros_like(source: Any) -> Tensor:
    value = source.value if isinstance(source, Variable) else source
    return apply("multiply", value, convert(0.0, value.dtype))


# Functions of functions


def value_and_grad(
    fn: Callable[..., Any], argnums: int | Sequence[int] = 0, has_aux: bool = False
) -> Callable[..., Any]:
    """Return a function that computes `fn` and its gradient.

    Args:
        fn: returns a single number; with `has_aux` a pair of it and anything else.
        argnums: position(s) of the arguments to differentiate by. Such an argument may be a
            number, array, Tensor, Variable, or nested lists and dicts of them (so that
            `model.trainable_variables` can be one).
        has_aux: whether `fn` returns a pair.

    Returns:
        A function of the same arguments that returns `(value, gradient)`, or
        `((value, aux), gradient)`. The gradient has the structure of the argument; a tuple of them
        when `argnums` is a sequence. What `fn` does not depend on has gradient zero.

    Raises:
        TypeError: (when called) for an argument that is no floating point number.
        ValueError: (when called) if `fn` does not return a single number, or lacks the position.

    >>> lamina.value_and_grad(lambda x: x**2)(3.0)
    (Tensor(9., dtype=float32), Tensor(6., dtype=float32))

    `lamina.function(lamina.value_and_grad(fn))` runs as one compiled program.
    """
    if not callable(fn):
        raise TypeError(f"value_and_grad: fn must be a function. Got {fn!r}.")
    positions = (argnums,) if isinstance(argnums, int) else tuple(argnums)

    @functools.wraps(fn, updated=())
    def call(*args: Any, **kwargs: Any) -> Any:
        given = list(args)
        for position in positions:
            if not -len(given) <= position < len(given):
                raise ValueError(
                    f"grad: argnums={argnums} needs more positional arguments, got {len(given)}."
                )
            given[position] = structure.map_structure(_source, given[position])
        with GradientTape() as tape:
            sources = [given[position] for position in positions]
            tape.watch(sources)
            result = fn(*given, **kwargs)
            value, aux = result if has_aux else (result, None)
            value = _single_number(value, fn)
        gradients = _gradients_or_zeros(tape, value, sources)
        gradient = gradients[0] if isinstance(argnums, int) else tuple(gradients)
        return ((value, aux) if has_aux else value), gradient

    return call


def grad(
    fn: Callable[..., Any], argnums: int | Sequence[int] = 0, has_aux: bool = False
) -> Callable[..., Any]:
    """Return a function that computes the gradient of `fn`; see `value_and_grad`.

    Returns:
        A function of the same arguments that returns the gradient, or `(gradient, aux)`.

    >>> lamina.grad(lambda x: x**3)(2.0)
    Tensor(12., dtype=float32)
    >>> lamina.grad(lamina.grad(lambda x: x**3))(2.0)
    Tensor(12., dtype=float32)
    """
    both = value_and_grad(fn, argnums, has_aux)

    @functools.wraps(fn, updated=())
    def call(*args: Any, **kwargs: Any) -> Any:
        value, gradient = both(*args, **kwargs)
        return (gradient, value[1]) if has_aux else gradient

    return call


def _source(value: Any) -> Any:
    """A Variable, or a Tensor that can be watched without changing what the caller holds."""
    if isinstance(value, Variable):
        return value
    if isinstance(value, KerasTensor):
        raise TypeError(f"grad: {value!r} is a place in a model and has no gradient.")
    tensor = convert(value)
    if tensor.dtype not in _FLOATS:
        raise TypeError(
            f"grad: the argument to differentiate by must be floating point, got {tensor.dtype}."
        )
    return Tensor._of(tensor._buffer) if tensor._tracer is None else tensor


def _single_number(value: Any, fn: Any) -> Tensor:
    tensor = convert(value)
    if tensor.shape != ():
        raise ValueError(
            f"grad: {getattr(fn, '__name__', 'the function')} must return a single number, got "
            f"shape {tensor.shape}. Reduce it with lamina.ops.sum or mean."
        )
    return tensor


def _gradients_or_zeros(tape: GradientTape, value: Tensor, sources: list[Any]) -> list[Any]:
    if tape._node_of(value) is None:  # depends on none of them
        return [structure.map_structure(_zeros_like, source) for source in sources]
    found: list[Any] = tape.gradient(value, sources, unconnected_gradients="zero")
    return found
