"""Running the engine's ops: at once on concrete tensors, into a graph on symbolic ones.

One door, `apply`, leads to C++. Which of the drivers takes an op follows from its operands.
"""

from __future__ import annotations

import functools
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from lamina import _core, config, dtypes
from lamina.tensor import KerasTensor, Tensor

if TYPE_CHECKING:
    from lamina.variable import Variable

_ENGINE_DTYPES = frozenset(dtypes.DTYPES)
# NumPy's own types that the engine takes without a copy.
_ARRAY_DTYPES = frozenset(
    np.dtype(name) for name in dtypes.DTYPES if not name.startswith(("bfloat", "float8"))
)


class _State(threading.local):
    tracer: Tracer | None = None
    origin: str = ""
    autocast: str | None = None  # what floating variables are read as, inside a layer's call
    stateless: Any = None  # the innermost StatelessScope, which stands in for the variables


# What holds in the running thread. The layers and variables above set and read it.
thread_state = _State()
_state = thread_state

# Set by lamina.models: records a call of an op function on KerasTensors as a node of the model.
_op_recorder: Callable[..., Any] | None = None


def install_op_recorder(recorder: Callable[..., Any]) -> None:
    """`recorder(fn, args, kwargs)` makes a functional node of a call on KerasTensors."""
    global _op_recorder
    _op_recorder = recorder


_T = TypeVar("_T", bound="Tracer")


class Tracer:
    """One traced function: its graph, and what each variable holds at the present point of it."""

    def __init__(self) -> None:
        self.graph = _core.Graph()
        self._reads: dict[int, tuple[Variable, int, Tensor]] = {}
        self._superseded: dict[int, Callable[[], Tensor]] = {}
        self.assigned: list[Variable] = []
        self.has_seam = False
        self._has_gradients = False

    def __enter__(self: _T) -> _T:
        self._outer = _state.tracer
        _state.tracer = self
        return self

    def __exit__(self, *_: Any) -> None:
        _state.tracer = self._outer

    def input(self, shape: Sequence[int | None], dtype: str) -> Tensor:
        return Tensor._symbolic(self, self.graph.input(dtype, list(shape)))

    def lies_in(self, tracer: Tracer) -> bool:
        """Whether this is the trace of a body that is part of `tracer`'s graph."""
        return False

    def read(self, variable: Variable) -> Tensor:
        """The variable's value at this point: what was last assigned in the trace, if anything."""
        known = self._reads.get(id(variable))
        if known is None:
            known = self._reads[id(variable)] = self._first_read(variable)
        make = self._superseded.pop(id(variable), None)
        if make is not None:
            known = (variable, known[1], make())
            self._reads[id(variable)] = known
        return known[2]

    def _first_read(self, variable: Variable) -> tuple[Variable, int, Tensor]:
        handle = self.graph.variable(variable.handle)
        return variable, handle, Tensor._symbolic(self, handle)

    def reads(self) -> dict[int, Tensor]:
        """What each variable that was read holds at this point, by the variable's id."""
        return {key: tensor for key, (_, _, tensor) in self._reads.items()}

    def first_reads(self) -> dict[int, Tensor]:
        """What each variable held when it was first read, by the variable's id."""
        return {key: self.tensor_of(handle) for key, (_, handle, _) in self._reads.items()}

    def read_variables(self) -> list[Variable]:
        """The variables that were read or assigned."""
        return [variable for variable, _, _ in self._reads.values()]

    def supersede(self, variable: Variable, make: Callable[[], Tensor]) -> None:
        """Reads from here on see `make()`; what changes the variable is its packed buffer."""
        self._superseded[id(variable)] = make

    def assign(self, variable: Variable, value: Tensor) -> None:
        """The variable takes `value` at the end of the step."""
        self.read(variable)
        _, handle, _ = self._reads[id(variable)]
        if value._tracer is None:
            value = self.lift(value)
        self.graph.assign(handle, value._id)
        if dtypes.is_float_dtype(value.dtype):
            # What is read later is a new value: no gradient goes through.
            value = self.emit("stop_gradient", [value], {})
        self._reads[id(variable)] = (variable, handle, value)
        self.assigned.append(variable)

    def lift(self, tensor: Tensor) -> Tensor:
        """A concrete tensor as a constant of the graph."""
        return Tensor._symbolic(self, self.graph.constant(tensor._buffer))

    def emit(self, op: str, inputs: Sequence[Tensor], attrs: dict[str, Any]) -> Any:
        ids = []
        for t in inputs:
            if t._tracer is not self and t._buffer is not None:
                ids.append(self.graph.constant(t._buffer))
            elif t._tracer is not self:
                raise RuntimeError(
                    f"{op}: a tensor of another trace was used. A symbolic tensor lives only "
                    "during the call in which it was made: do not keep it in an attribute."
                )
            else:
                ids.append(t._id)
        out = [Tensor._symbolic(self, id) for id in self.graph.emit(op, ids, attrs, _state.origin)]
        return out[0] if len(out) == 1 else tuple(out)

    def tensor_of(self, id: int) -> Tensor:
        """The tensor of a value of the graph."""
        return Tensor._symbolic(self, id)

    def gradients_of(self, loss: Tensor, ids: Sequence[int]) -> list[Tensor | None]:
        """Append the reverse pass; the gradient of each value, None where there is none.

        Raises:
            NotImplementedError: for a gradient of a gradient through an op that has no second
                derivative here.
        """
        self._check_order(loss)
        found = self.graph.gradients(loss._id, list(ids))
        return [None if i is None else Tensor._symbolic(self, i) for i in found]

    def _check_order(self, loss: Tensor) -> None:
        if not self._has_gradients:
            self._has_gradients = True
            return
        seen, pending = set(), [loss._id]
        while pending:
            found = self.graph.producer(pending.pop())
            if found is None or found[0] == "stop_gradient":
                continue
            op, _, inputs = found
            if not _core.op_is_differentiable(op):
                if not op.endswith("_grad"):
                    continue
                raise NotImplementedError(
                    f"a gradient of a gradient goes through the op {op!r}, which has no derivative "
                    "of its own. Use another activation or layer there, or ops.stop_gradient."
                )
            pending += [id for id in inputs if id not in seen]
            seen.update(inputs)

    def output(self, tensor: Tensor) -> None:
        if tensor._tracer is None:
            tensor = self.lift(tensor)
        wanted = dtypes.outgoing(tensor.dtype)
        if wanted != tensor.dtype:
            tensor = self.emit("cast", [tensor], {"dtype": wanted})
        self.graph.output(tensor._id)

    def py_call(
        self, fn: Callable[..., Any], inputs: Sequence[Tensor], shape: Sequence[int], dtype: str
    ) -> Tensor:
        """A node that calls `fn` with NumPy arrays when the graph runs; it has no gradient."""
        key = _core.register_function(fn)
        weakref.finalize(self, _core.forget_function, key)
        return self.emit("py_call", inputs, {"id": key, "dtype": dtype, "shape": list(shape)})

    def program(self, **options: bool) -> _core.Program:
        return _core.Program(self.graph, **options)


class Recorder(Tracer):
    """The third driver: every op runs at once *and* becomes a node, so that gradients can follow.

    Inside `with Recorder():` tensors computed from variables have numbers, and `gradients` works
    on them. Assigns happen at once.
    """

    def __init__(self) -> None:
        super().__init__()
        self._values: dict[Any, _core.Tensor] = {}
        self._first: dict[int, Tensor] = {}

    def _recorded(self, id: int, buffer: _core.Tensor) -> Tensor:
        self._values[id] = buffer
        tensor = Tensor._of(buffer)
        tensor._tracer, tensor._id = self, id
        return tensor

    def _first_read(self, variable: Variable) -> tuple[Variable, int, Tensor]:
        handle = self.graph.variable(variable.handle)
        value = variable.handle.value.clone()  # a later assign writes into the variable
        first = self._first[id(variable)] = self._recorded(handle, value)
        return variable, handle, first

    def first_reads(self) -> dict[int, Tensor]:
        return dict(self._first)

    def assign(self, variable: Variable, value: Tensor) -> None:
        variable.handle.assign(value._buffer)
        handle = self.graph.variable(variable.handle)
        self._superseded.pop(id(variable), None)
        self._reads[id(variable)] = (variable, handle, value)

    def lift(self, tensor: Tensor) -> Tensor:
        return self._recorded(self.graph.constant(tensor._buffer), tensor._buffer)

    def emit(self, op: str, inputs: Sequence[Tensor], attrs: dict[str, Any]) -> Any:
        lifted = [t if t._tracer is self else self.lift(t) for t in inputs]
        first = self.graph.node_count()
        ids = self.graph.emit(op, [t._id for t in lifted], attrs, _state.origin)
        if self.graph.node_count() == first + 1:
            buffers = _core.eager(op, [t._buffer for t in lifted], attrs)
        else:  # casts around an op on narrow types: the gradient needs what lies between
            made = self.graph.run_nodes(first, {t._id: t._buffer for t in lifted})
            self._values.update(made)
            buffers = [made[id] for id in ids]
        out = [self._recorded(id, buffer) for id, buffer in zip(ids, buffers, strict=True)]
        return out[0] if len(out) == 1 else tuple(out)

    def gradients_of(self, loss: Tensor, ids: Sequence[int]) -> list[Tensor | None]:
        self._check_order(loss)
        first = self.graph.node_count()
        found = self.graph.gradients(loss._id, list(ids))
        self._values = self.graph.run_nodes(first, self._values)
        return [None if i is None else self.tensor_of(i) for i in found]

    def tensor_of(self, id: int) -> Tensor:
        value = self._values.get(id)
        return self._recorded(id, self.graph.constant_value(id) if value is None else value)


def current_tracer() -> Tracer | None:
    """The trace that this thread is in, if any."""
    return _state.tracer


def is_tracing() -> bool:
    """Whether this thread runs Python code on tensors without numbers, to get a graph of it."""
    return _state.tracer is not None and not isinstance(_state.tracer, Recorder)


@contextmanager
def eager_scope() -> Iterator[None]:
    """Inside, variables have their real values even during a trace (for building layers)."""
    outer, _state.tracer = _state.tracer, None
    try:
        yield
    finally:
        _state.tracer = outer


def origin_now() -> str:
    """The layer whose code runs, by its path."""
    return _state.origin


@contextmanager
def origin(name: str) -> Iterator[None]:
    """Nodes made inside carry `name` (a layer's path), which error messages show."""
    outer, _state.origin = _state.origin, name
    try:
        yield
    finally:
        _state.origin = outer


def apply(op: str, *inputs: Tensor, **attrs: Any) -> Any:
    """Apply an engine op: the one door to C++.

    Returns a Tensor, or a tuple of them where the op has several results.
    """
    for t in inputs:
        tracer = t._tracer
        if tracer is not None:
            inner = _state.tracer  # the body of a loop or branch takes in values from around it
            if inner is not tracer and inner is not None and inner.lies_in(tracer):
                tracer = inner
            return tracer.emit(op, inputs, attrs)
    out = _core.eager(op, [t._buffer for t in inputs], attrs)
    if len(out) == 1:
        return Tensor._of(out[0])
    return tuple(Tensor._of(b) for b in out)


def _buffer_of(x: Any, dtype: str | None) -> _core.Tensor:
    """The engine's tensor of anything that NumPy makes an array of, with Keras's default types."""
    python_value = not isinstance(x, (np.ndarray, np.generic)) and not hasattr(x, "__array__")
    try:
        array = np.asarray(x)
    except ValueError as error:
        raise ValueError(
            f"this value cannot be made a tensor: its parts differ in shape ({error})"
        ) from None
    kind = array.dtype.kind
    if kind not in "fiub" and array.dtype.name not in _ENGINE_DTYPES:
        raise TypeError(
            f"numbers are needed, got an array of dtype {array.dtype}"
            + (" (complex numbers are not taken)" if kind == "c" else "")
            + (": convert it first, for example with astype('float32')" if kind in "OUS" else "")
        )
    if dtype is None:
        if python_value and kind == "f":
            dtype = config.floatx()
        elif python_value and kind == "i":
            dtype = "int32" if array.size == 0 or np.abs(array).max() <= 0x7FFFFFFF else "int64"
    return dtypes.from_numpy(array, dtype)


def convert(x: Any, dtype: str | None = None) -> Tensor:
    """Make a Tensor of a number, (nested) list, NumPy array, Variable or Tensor.

    Python floats become `floatx`, Python integers int32; arrays keep their dtype (uint64 becomes
    int64). Memory is shared where it can be.

    Raises:
        TypeError: for complex numbers, strings and objects.
        ValueError: for ragged lists, and for a KerasTensor, which has no numbers.
    """
    if isinstance(x, Tensor):
        tensor = x
    elif type(x) is np.ndarray and x.dtype in _ARRAY_DTYPES and x.flags.c_contiguous:
        tensor = Tensor._of(_core.Tensor(x))
    elif hasattr(x, "handle") and hasattr(x, "value"):  # a Variable: a class above this module
        tensor = x.value
    elif isinstance(x, KerasTensor):
        raise ValueError(
            f"{x!r} is a place in a model and has no numbers: it can only be passed to layers and "
            "lamina.ops functions."
        )
    elif isinstance(x, (list, tuple)) and any(
        isinstance(item, Tensor) and item._tracer is not None for item in x
    ):
        tensor = _stack([convert(item) for item in x])
    else:
        if dtype is not None and dtype not in _ENGINE_DTYPES:
            dtype = dtypes.engine_dtype(dtype)
        return Tensor._of(_buffer_of(x, dtype))
    if dtype is not None and tensor.dtype != dtype:
        return apply("cast", tensor, dtype=dtypes.engine_dtype(dtype))
    return tensor


def _stack(items: list[Tensor]) -> Tensor:
    parts = [apply("reshape", t, shape=[1, *t.shape]) for t in items]
    return apply("concat", *parts, axis=0)


def _has_keras_tensor(values: Any) -> bool:
    for v in values:
        if isinstance(v, KerasTensor):
            return True
        if isinstance(v, (list, tuple)) and _has_keras_tensor(v):
            return True
        if isinstance(v, dict) and _has_keras_tensor(v.values()):
            return True
    return False


_F = TypeVar("_F", bound=Callable[..., Any])


def symbolic_op(fn: _F) -> _F:
    """Let a public op function take KerasTensors too: such a call becomes a node of the model."""

    @functools.wraps(fn)
    def call(*args: Any, **kwargs: Any) -> Any:
        if _has_keras_tensor(args) or (kwargs and _has_keras_tensor(kwargs.values())):
            if _op_recorder is None:
                raise RuntimeError("functional models need lamina.models to be imported")
            return _op_recorder(call, args, kwargs)
        return fn(*args, **kwargs)

    return call  # type: ignore[return-value]


def map_tensors(fn: Callable[[Any], Any], value: Any, kind: type | tuple[type, ...]) -> Any:
    """`value` with every leaf of type `kind` (in lists, tuples, dicts) replaced by `fn(leaf)`."""
    if isinstance(value, kind):
        return fn(value)
    if isinstance(value, dict):
        return {key: map_tensors(fn, item, kind) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        items = [map_tensors(fn, item, kind) for item in value]
        return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
    return value


def infer_outputs(fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """The KerasTensors that `fn` would return for these arguments.

    Runs `fn` once on symbolic tensors with the shapes of the KerasTensors among the arguments
    (unknown sizes stay unknown). Nothing that `fn` assigns lasts.
    """
    with Tracer() as tracer:

        def enter(t: KerasTensor) -> Tensor:
            tensor = tracer.input(t.shape, t.dtype)
            if t.mask is not None:
                tensor.mask = tracer.input(t.mask.shape, t.mask.dtype)
            return tensor

        args, kwargs = map_tensors(enter, (args, kwargs), KerasTensor)
        result = fn(*args, **kwargs)

        def leave(t: Tensor) -> KerasTensor:
            out = KerasTensor(t.shape, t.dtype)
            if t.mask is not None:
                out.mask = KerasTensor(t.mask.shape, t.mask.dtype)
            return out

        return map_tensors(leave, result, Tensor)


def producer(tensor: Tensor) -> tuple[str, dict[str, Any], list[Tensor]] | None:
    """(op, attrs, inputs) of the node that made a traced tensor; None for anything else."""
    tracer = tensor._tracer
    if tracer is None:
        return None
    found = tracer.graph.producer(tensor._id)
    if found is None:
        return None
    op, attrs, ids = found
    return op, attrs, [tracer.tensor_of(id) for id in ids]


def gradients(loss: Tensor, wrt: Sequence[Any]) -> list[Tensor | None]:
    """Gradients of a traced scalar with respect to traced tensors or Variables.

    Returns one Tensor per entry of `wrt`, None where the loss does not depend on it.
    """
    tracer = loss._tracer
    if tracer is None:
        return [None for _ in wrt]
    ids = []
    for x in wrt:
        tensor = x if isinstance(x, Tensor) else tracer.read(x)
        ids.append(tensor._id if tensor._tracer is tracer else -1)
    wanted = [i for i in ids if i >= 0]
    found = dict(zip(wanted, tracer.gradients_of(loss, wanted), strict=True))
    return [found.get(i) for i in ids]


def mark_seam() -> None:
    """From here on the step changes state. The first mark of a trace counts."""
    tracer = _state.tracer
    if tracer is not None and not tracer.has_seam:
        tracer.has_seam = True
        tracer.graph.mark_seam()
