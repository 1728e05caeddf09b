"""lamina.function: a Python function on tensors, run as one program of the engine."""

from __future__ import annotations

import functools
import sys
import warnings
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np

from lamina import _core, structure
from lamina.tensor import KerasTensor, Tensor
from lamina.tracing import Tracer, convert, current_tracer
from lamina.variable import Variable

_MOST_PROGRAMS = 64  # of one function; the least recently used go first
_MANY_TRACES = 16  # after so many the user is told why it is slow

# Arrays that the engine takes as they are; `dtype.name` is slow to ask.
_DTYPE_NAMES = {
    np.dtype(name): name for name in ("float32", "float64", "int32", "int64", "uint8", "bool")
}
_PLAIN = (bool, int, float, complex, str, bytes, type(None))


class _Slot:
    """Where a tensor of the program stands in the structure of arguments or results."""

    __slots__ = ("position",)

    def __init__(self, position: int) -> None:
        self.position = position


class Program:
    """What one signature was traced to."""

    def __init__(self, program: _core.Program, result: Any, count: int, kept: Any) -> None:
        self._run = program.run
        self.program = program
        self._result = result
        self._is_one = isinstance(result, _Slot)
        self._count = count
        self._kept = kept  # what the signature knows by id must live as long

    def __call__(self, inputs: list[_core.Tensor]) -> Any:
        buffers = self._run(inputs)
        if self._is_one:
            return Tensor._of(buffers[0])
        if self._count == 0:
            return self._result

        def filled(leaf: Any) -> Any:
            return Tensor._of(buffers[leaf.position]) if isinstance(leaf, _Slot) else leaf

        return structure.map_structure(filled, self._result)


class TracedFunction:
    """What `function` returns: call it like the Python function it was made of.

    Attributes:
        python_function: the function as written.
        trace_count: how often it was traced.
    """

    def __init__(self, fn: Callable[..., Any]) -> None:
        functools.update_wrapper(self, fn)
        self.python_function = fn
        self.trace_count = 0
        self._programs: OrderedDict[Any, Program] = OrderedDict()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if current_tracer() is not None:  # part of a larger trace, or of a tape's recording
            return self.python_function(*args, **kwargs)
        inputs: list[_core.Tensor] = []
        kept: list[Any] = []
        key: Any = tuple([_signature(value, inputs, kept) for value in args])
        if kwargs:
            named = [(name, _signature(kwargs[name], inputs, kept)) for name in sorted(kwargs)]
            key = (key, tuple(named))
        program = self._programs.get(key)
        if program is None:
            if _has_place((args, kwargs)):
                return self.python_function(*args, **kwargs)
            program = self._trace(key, args, kwargs, kept)
        return program(inputs)

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        """As a method: each object has programs of its own, which live as long as it does."""
        if instance is None:
            return self
        name = f"_traced_{self.python_function.__name__}"
        bound = vars(instance).get(name)
        if bound is None:
            method = self.python_function.__get__(instance, owner)
            bound = vars(instance)[name] = TracedFunction(method)
        return bound

    def __repr__(self) -> str:
        return f"<lamina.function of {getattr(self.python_function, '__qualname__', '?')}>"

    def __deepcopy__(self, memo: Any) -> TracedFunction:
        return TracedFunction(self.python_function)  # programs belong to the original's variables

    def __reduce__(self) -> Any:
        fn = self.python_function
        module, name = getattr(fn, "__module__", ""), getattr(fn, "__qualname__", "")
        if getattr(sys.modules.get(module), name, None) is self:
            return name  # a decorated function is found by its name
        return (TracedFunction, (fn,))

    def program_of(self, array: np.ndarray) -> Program | None:
        """The program of a call with this array, where it takes the array's memory as it is."""
        if array.dtype not in _DTYPE_NAMES or not array.flags.c_contiguous:
            return None
        return self._programs.get((_signature(array, [], []),))

    def text(self, *args: Any, **kwargs: Any) -> str:
        """Return the program for these arguments as text, tracing it if need be."""
        inputs: list[_core.Tensor] = []
        kept: list[Any] = []
        key: Any = tuple([_signature(value, inputs, kept) for value in args])
        if kwargs:
            named = [(name, _signature(kwargs[name], inputs, kept)) for name in sorted(kwargs)]
            key = (key, tuple(named))
        program = self._programs.get(key) or self._trace(key, args, kwargs, kept)
        return program.program.text

    def _trace(self, key: Any, args: Any, kwargs: Any, kept: list[Any]) -> Program:
        self.trace_count += 1
        if self.trace_count == _MANY_TRACES:
            warnings.warn(
                f"{self!r} was traced {self.trace_count} times, for as many shapes or Python "
                "values of its arguments. Pass numbers that change as arrays (np.float32(x)), and "
                "batches of equal shape.",
                stacklevel=3,
            )
        tracer = Tracer()
        symbolic_args, symbolic_kwargs = (
            _symbolic(tracer, args),
            {name: _symbolic(tracer, kwargs[name]) for name in sorted(kwargs)},
        )
        with tracer:
            result = self.python_function(
                *symbolic_args, **{name: symbolic_kwargs[name] for name in kwargs}
            )
            count = 0

            def leave(leaf: Any) -> Any:
                nonlocal count
                if isinstance(leaf, Variable):
                    leaf = leaf.value
                if not isinstance(leaf, Tensor):
                    return leaf
                node = tracer.lift(leaf) if leaf._tracer is None else leaf
                if node._tracer is not tracer:
                    raise RuntimeError(
                        f"{self!r} returned a tensor of another trace: a symbolic tensor lives "
                        "only during the call in which it was made."
                    )
                tracer.graph.output(node._id)
                count += 1
                return _Slot(count - 1)

            result = structure.map_structure(leave, result)
        # What changes no variable may read its inputs where they lie.
        compiled = tracer.program(borrow=not tracer.assigned)
        program = Program(compiled, result, count, (kept, tracer))
        self._programs[key] = program
        if len(self._programs) > _MOST_PROGRAMS:
            self._programs.popitem(last=False)
        return program


def function(fn: Callable[..., Any] | None = None) -> Any:
    """Make a function run as one compiled program instead of op by op.

    At the first call with arguments of some shapes and dtypes `fn` runs once on symbolic tensors
    (it is traced); the program that comes out does the work, then and at later calls. So Python
    in `fn` (prints, appends, `if` on plain values) happens while tracing only, and a decision on
    a tensor's numbers needs `lamina.ops.where` or `cond`.

    - Arrays and Tensors among the arguments (also in lists, tuples and dicts) are inputs.
    - Plain Python values and all other objects (models, Variables, functions) are part of the
      signature: another value means another trace.
    - Variables that `fn` reads are read at each call, and what it assigns is assigned at its end:
      so it may hold forward pass, `GradientTape`, `optimizer.apply` and `metric.update_state`.
    - Inside another traced function, a `train_step` or a recording `GradientTape`, `fn` is simply
      called.

    Args:
        fn: the function; None to use `function()` as a decorator.

    Returns:
        A callable with the arguments of `fn`. Tensors in what `fn` returns are Tensors; other
        values are those of the trace.

    Raises:
        TypeError: if `fn` cannot be called; at a call, for a Python decision on a tensor.

    >>> @lamina.function
    ... def train_step(x, y):
    ...     with lamina.GradientTape() as tape:
    ...         loss = loss_fn(y, model(x, training=True))
    ...     grads = tape.gradient(loss, model.trainable_variables)
    ...     optimizer.apply(grads, model.trainable_variables)
    ...     return loss
    """
    if fn is None:
        return function
    if isinstance(fn, TracedFunction):
        return fn
    if not callable(fn):
        raise TypeError(f"lamina.function takes a function. Got {fn!r}.")
    return TracedFunction(fn)


def _signature(value: Any, inputs: list[_core.Tensor], kept: list[Any]) -> Any:
    """What distinguishes a value for the trace; buffers of tensors go to `inputs`."""
    kind = type(value)
    if kind is Tensor:
        inputs.append(value._buffer)
        if value.mask is None:
            return (value.shape, value.dtype)
        inputs.append(value.mask._buffer)
        return (value.shape, value.dtype, value.mask.shape)
    if kind is np.ndarray and value.dtype in _DTYPE_NAMES and value.flags.c_contiguous:
        inputs.append(_core.Tensor(value))
        return (value.shape, _DTYPE_NAMES[value.dtype])
    if kind is np.ndarray or isinstance(value, np.generic):
        buffer = convert(value)._buffer
        inputs.append(buffer)
        return (buffer.shape, buffer.dtype)
    if kind in _PLAIN:
        return (kind, value)
    if isinstance(value, dict):
        return (kind, *((k, _signature(value[k], inputs, kept)) for k in _keys(value)))
    if isinstance(value, (list, tuple)):
        return (kind, *[_signature(item, inputs, kept) for item in value])
    if hasattr(value, "__array__") and not isinstance(value, (Variable, type, KerasTensor)):
        return _signature(convert(np.asarray(value)), inputs, kept)
    kept.append(value)
    return (kind, id(value))


def _keys(value: dict[Any, Any]) -> list[Any]:
    return structure.sorted_keys(value)


def _symbolic(tracer: Tracer, value: Any) -> Any:
    """The value with graph inputs in place of tensors, in the order of `_signature`."""

    def enter(leaf: Any) -> Any:
        if isinstance(leaf, (Variable, type, KerasTensor)) or type(leaf) in _PLAIN:
            return leaf
        if not isinstance(leaf, (Tensor, np.ndarray, np.generic)):
            if not hasattr(leaf, "__array__"):
                return leaf
            leaf = np.asarray(leaf)
        tensor = convert(leaf)
        symbolic = tracer.input(tensor.shape, tensor.dtype)
        if tensor.mask is not None:
            symbolic.mask = tracer.input(tensor.mask.shape, tensor.mask.dtype)
        return symbolic

    return structure.map_structure(enter, value)


def _has_place(value: Any) -> bool:
    return any(isinstance(leaf, KerasTensor) for leaf in structure.iterate(value))
