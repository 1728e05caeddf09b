"""Variable: state that a step reads and assigns (a weight, a statistic, an optimizer slot ...)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lamina import _core, allowance, dtypes, names
from lamina.tensor import Operators, Tensor
from lamina.tracing import apply, convert, current_tracer, eager_scope
from lamina.tracing import thread_state as _state

_AGGREGATIONS = (None, "none", "mean", "sum", "only_first_replica")


class Variable(Operators):
    """A named tensor whose value can change.

    Args:
        initializer: the first value: a number, an array, or a function `(shape, dtype) -> tensor`
            (then `shape` is needed); a string names an initializer.
        shape: tuple of sizes, only with a function.
        dtype: `floatx()` for a function, else the value's own type.
        trainable: whether training changes it.
        autocast: whether a layer that computes in another float type reads it in that one.
        aggregation: "none", "mean", "sum" or "only_first_replica", for distributed training.
        name: by default "variable", numbered.

    Raises:
        ValueError: for a function without a shape, or a value of another shape than `shape`.

    Source: https://keras.io/api/utils/... `keras.Variable`.
    """

    def __init__(
        self,
        initializer: Any,
        shape: Sequence[int] | None = None,
        dtype: str | None = None,
        trainable: bool = True,
        autocast: bool = True,
        aggregation: str | None = "none",
        synchronization: str | None = "auto",
        name: str | None = None,
    ) -> None:
        if aggregation not in _AGGREGATIONS:
            raise ValueError(
                f"Variable: aggregation must be one of {_AGGREGATIONS}. Got {aggregation!r}."
            )
        self.name = name or names.auto_name("variable")
        if not isinstance(self.name, str) or "/" in self.name:
            raise ValueError(f"Variable: name must be a string without '/'. Got {name!r}.")
        self.path = names.join_path(names.current_path(), self.name)
        self._trainable = bool(trainable)
        self.autocast = bool(autocast)
        self.aggregation = aggregation
        self.synchronization = synchronization
        self.regularizer: Any = None
        self.constraint: Any = None
        self.overwrite_with_gradient = False
        with eager_scope():  # a layer may be built while a step is traced; its weights are real
            if shape is not None:
                allowance.spend(shape, self.path)
            value = self._first_value(initializer, shape, dtype)
        self.handle = _core.Variable(self.path, value._buffer)
        self.shape: tuple[int, ...] = self.handle.shape  # type: ignore[assignment]
        self._dtype: str = self.handle.dtype

    @staticmethod
    def _first_value(initializer: Any, shape: Sequence[int] | None, dtype: str | None) -> Tensor:
        if isinstance(initializer, str):
            from lamina import initializers

            initializer = initializers.get(initializer)
        if not callable(initializer):
            value = convert(initializer, None if dtype is None else dtypes.engine_dtype(dtype))
            if shape is not None and tuple(shape) != value.shape:
                raise ValueError(
                    f"Variable: the value has shape {value.shape}, not shape={tuple(shape)}."
                )
            return value
        if shape is None:
            raise ValueError("Variable: an initializer that is a function needs shape=.")
        sizes = tuple(int(d) for d in shape)
        if any(d < 0 for d in sizes):
            raise ValueError(f"Variable: sizes must not be negative. Got shape={sizes}.")
        dtype = dtypes.engine_dtype(dtype)
        return convert(initializer(sizes, dtype=dtype), dtype)

    @property
    def dtype(self) -> str:
        """The type; inside the call of a layer that casts its weights, the one they are read in."""
        return self._dtype if _state.autocast is None else self._read_dtype()

    def _read_dtype(self) -> str:
        wanted = _state.autocast
        if wanted is None or not self.autocast or not dtypes.is_float_dtype(self._dtype):
            return self._dtype
        return wanted

    @property
    def value(self) -> Tensor:
        """The value now; during a trace, the symbolic one at this point of the step."""
        state = _state
        tracer = state.tracer
        value = None if state.stateless is None else state.stateless.get_current_value(self)
        if value is None:
            value = Tensor._of(self.handle.value) if tracer is None else tracer.read(self)
        if state.autocast is None or state.autocast == self._dtype:
            return value
        wanted = self._read_dtype()
        return value if wanted == self._dtype else apply("cast", value, dtype=wanted)

    def assign(self, value: Any) -> Any:
        """Take a new value of the same shape; it is converted to the variable's dtype."""
        tensor = convert(value, self._dtype)
        if tensor.shape != self.shape:
            raise ValueError(
                f"variable {self.path!r} has shape {self.shape} and cannot take a value of shape "
                f"{tensor.shape}."
            )
        if _state.stateless is not None:
            _state.stateless.add_update((self, tensor))
            return tensor
        tracer = current_tracer()
        if tracer is not None:
            tracer.assign(self, tensor)
            return tensor
        if tensor.is_symbolic:
            raise RuntimeError(
                f"variable '{self.path}' cannot keep a symbolic tensor after its trace"
            )
        self.handle.assign(tensor._buffer)
        return tensor

    def assign_add(self, value: Any) -> Any:
        return self.assign(self + value)

    def assign_sub(self, value: Any) -> Any:
        return self.assign(self - value)

    def numpy(self) -> np.ndarray:
        """A copy of the value."""
        if _state.stateless is not None:
            return self.value.numpy().copy()
        return dtypes.to_numpy(self.handle.value).copy()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        array = self.numpy()
        return array if dtype is None else array.astype(dtype, copy=False)

    @property
    def trainable(self) -> bool:
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self._trainable = bool(value)

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def T(self) -> Any:
        return self.value.T

    def item(self) -> Any:
        return self.value.item()

    def __float__(self) -> float:
        return float(self.value)

    def __int__(self) -> int:
        return int(self.value)

    def __bool__(self) -> bool:
        return bool(self.value)

    def __index__(self) -> int:
        return self.value.__index__()

    def __len__(self) -> int:
        return len(self.value)

    def __format__(self, spec: str) -> str:
        return format(self.value, spec)

    def __repr__(self) -> str:
        value = np.array2string(dtypes.to_numpy(self.handle.value), threshold=100)
        return (
            f"<Variable path={self.path}, shape={self.shape}, dtype={self._dtype}, value={value}>"
        )

    def __deepcopy__(self, memo: Any) -> Variable:
        clone = Variable(
            self.numpy(),
            dtype=self._dtype,
            trainable=self.trainable,
            autocast=self.autocast,
            aggregation=self.aggregation,
            name=self.name,
        )
        clone.path = self.path
        clone.regularizer, clone.constraint = self.regularizer, self.constraint
        clone.overwrite_with_gradient = self.overwrite_with_gradient
        memo[id(self)] = clone
        return clone

    def __reduce__(self) -> Any:
        arguments = (self.numpy(), self._dtype, self.name, self.path, self.trainable)
        kept = ("autocast", "overwrite_with_gradient")
        return (_restore, arguments, {name: getattr(self, name) for name in kept})


def _restore(value: np.ndarray, dtype: str, name: str, path: str, trainable: bool) -> Variable:
    variable = Variable(value, dtype=dtype, trainable=trainable, name=name)
    variable.path = path
    return variable


def pack_variables(variables: Sequence[Variable], name: str) -> Variable:
    """Move variables of one dtype into one contiguous buffer.

    Returns a flat Variable over the whole buffer; the given variables go on as views of it. Each
    begins at a multiple of 64 bytes (as the results of the op `pack` do).
    """
    flat = object.__new__(Variable)
    flat.__init__(np.zeros(0), dtype=variables[0]._dtype, trainable=False, name=name)  # type: ignore[misc]
    flat.handle = _core.pack([v.handle for v in variables], flat.path)
    flat.shape = flat.handle.shape  # type: ignore[assignment]
    return flat
