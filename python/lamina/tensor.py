"""Tensor (concrete, or a value of the graph being traced) and KerasTensor (a place in a model)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from lamina import _core, dtypes

if TYPE_CHECKING:
    from lamina.tracing import Tracer

Shape = tuple["int | None", ...]

# `lamina.ops` puts itself here when it is imported: operators are its functions, and this floor
# must not import a higher one.
_ops: Any = None


def install_operators(ops: Any) -> None:
    """Let `+`, `[]` and the other operators call the functions of the module `ops`."""
    global _ops
    _ops = ops


def _unary(name: str) -> Callable[[Any], Any]:
    return lambda self: getattr(_ops, name)(self)


def _binary(name: str) -> Callable[[Any, Any], Any]:
    return lambda self, other: getattr(_ops, name)(self, other)


def _reflected(name: str) -> Callable[[Any, Any], Any]:
    return lambda self, other: getattr(_ops, name)(other, self)


class Operators:
    """The arithmetic, comparison and indexing operators of everything that holds numbers."""

    __slots__ = ()
    __array_priority__ = 100  # numpy_array + tensor is ours

    @property
    def _keras_mask(self) -> Any:
        """The mask, by the name under which Keras's guides read it."""
        return self.mask  # type: ignore[attr-defined]

    __neg__ = _unary("negative")
    __pos__ = _unary("identity_op")
    __abs__ = _unary("abs")
    __invert__ = _unary("logical_not")
    __add__, __radd__ = _binary("add"), _reflected("add")
    __sub__, __rsub__ = _binary("subtract"), _reflected("subtract")
    __mul__, __rmul__ = _binary("multiply"), _reflected("multiply")
    __truediv__, __rtruediv__ = _binary("true_divide"), _reflected("true_divide")
    __floordiv__, __rfloordiv__ = _binary("floor_divide"), _reflected("floor_divide")
    __mod__, __rmod__ = _binary("mod"), _reflected("mod")
    __pow__, __rpow__ = _binary("power"), _reflected("power")
    __matmul__, __rmatmul__ = _binary("matmul"), _reflected("matmul")
    __lt__, __le__ = _binary("less"), _binary("less_equal")
    __gt__, __ge__ = _binary("greater"), _binary("greater_equal")
    __and__, __rand__ = _binary("logical_and"), _reflected("logical_and")
    __or__, __ror__ = _binary("logical_or"), _reflected("logical_or")
    __xor__, __rxor__ = _binary("logical_xor"), _reflected("logical_xor")

    def __eq__(self, other: object) -> Any:
        return _ops.equal(self, other)

    def __ne__(self, other: object) -> Any:
        return _ops.not_equal(self, other)

    def __getitem__(self, key: Any) -> Any:
        return _ops.get_item(self, key)

    __hash__ = object.__hash__


class Tensor(Operators):
    """An n-dimensional array of the engine.

    Concrete (it has numbers) or symbolic (it stands for a value of the graph that is being traced:
    then it has a dtype and a shape, in which `None` is a size that is not known yet).

    Attributes:
        shape: tuple of sizes.
        dtype: the name of one of `lamina.dtypes.DTYPES`, "float32" for example.
        mask: boolean Tensor (batch, time) that says which steps count, or None.
    """

    __slots__ = ("_buffer", "_tracer", "_id", "shape", "dtype", "mask", "__weakref__")

    _buffer: Any  # the engine's tensor; None when symbolic
    _tracer: Tracer | None
    _id: int
    shape: Any
    dtype: str
    mask: Any

    def __init__(self, value: Any, dtype: str | None = None) -> None:
        from lamina.tracing import convert

        other = convert(value, dtype)
        self._buffer, self._tracer, self._id = other._buffer, other._tracer, other._id
        self.shape, self.dtype, self.mask = other.shape, other.dtype, other.mask

    @staticmethod
    def _of(buffer: _core.Tensor) -> Tensor:
        tensor = object.__new__(Tensor)
        tensor._buffer, tensor._tracer, tensor._id = buffer, None, -1
        tensor.shape, tensor.dtype, tensor.mask = buffer.shape, buffer.dtype, None
        return tensor

    @staticmethod
    def _symbolic(tracer: Tracer, id: int) -> Tensor:
        tensor = object.__new__(Tensor)
        tensor._buffer, tensor._tracer, tensor._id = None, tracer, id
        tensor.dtype, tensor.shape = tracer.graph.spec(id)
        tensor.mask = None
        return tensor

    @property
    def is_symbolic(self) -> bool:
        """Whether the tensor has no numbers yet."""
        return self._buffer is None

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int | None:
        size = 1
        for dim in self.shape:
            if dim is None:
                return None
            size *= dim
        return size

    @property
    def T(self) -> Tensor:
        return _ops.transpose(self)

    def numpy(self) -> np.ndarray:
        """The numbers as a NumPy array on the same memory; of a variable's memory read-only.

        NumPy has no bfloat16: those numbers come as ml_dtypes' type where that package is
        installed, else as a float32 array of their own.
        """
        if self._buffer is None:
            self._no_value("its numbers")
        return dtypes.to_numpy(self._buffer)

    def item(self) -> Any:
        """The single number of a tensor of size 1."""
        return self.numpy().item()

    def tolist(self) -> Any:
        return self.numpy().tolist()

    def astype(self, dtype: str) -> Tensor:
        return _ops.cast(self, dtype)

    def reshape(self, *shape: Any) -> Tensor:
        newshape = shape[0] if len(shape) == 1 and isinstance(shape[0], (tuple, list)) else shape
        return _ops.reshape(self, newshape)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        array = self.numpy()
        if dtype is not None and array.dtype != dtype:
            return array.astype(dtype)
        return array.copy() if copy else array

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("a tensor of shape () has no length")
        if self.shape[0] is None:
            raise TypeError(
                "the first size of this symbolic tensor is not known, so it has no length"
            )
        return self.shape[0]

    def __iter__(self) -> Iterator[Tensor]:
        return (self[i] for i in range(len(self)))

    def __float__(self) -> float:
        self._need_value("float()")
        return float(self.item())

    def __int__(self) -> int:
        self._need_value("int()")
        return int(self.item())

    def __index__(self) -> int:
        self._need_value("an index")
        if not self.dtype.startswith(("int", "uint")):
            raise TypeError(
                f"only integer tensors can be used as an index, this one is {self.dtype}"
            )
        return int(self.item())

    def __bool__(self) -> bool:
        self._need_value("a Python 'if', 'while', 'and', 'or' or 'not'")
        return bool(self.item())

    def _need_value(self, use: str) -> None:
        if self._buffer is None:
            self._no_value(use)

    def _no_value(self, use: str) -> NoReturn:
        raise TypeError(
            f"{use} needs the tensor's value, but this tensor (shape {self.shape}, {self.dtype}) "
            "has none while the model is being traced. Use lamina.ops.where(condition, a, b) in "
            "place of 'if', or compile(..., run_eagerly=True)."
        )

    def __repr__(self) -> str:
        if self._buffer is None:
            return f"<Tensor shape={self.shape}, dtype={self.dtype}, symbolic>"
        text = np.array2string(self.numpy(), separator=", ", prefix="Tensor(")
        return f"Tensor({text}, dtype={self.dtype})"

    def __format__(self, spec: str) -> str:
        return (
            format(self.item(), spec) if self._buffer is not None and not self.shape else repr(self)
        )

    def __deepcopy__(self, memo: Any) -> Tensor:
        return self if self._buffer is None else Tensor._of(self._buffer.clone())

    def __reduce__(self) -> Any:
        return (Tensor, (np.array(self.numpy()), self.dtype))


class KerasTensor(Operators):
    """A place in a functional model: what `Input` and calling a layer on it return.

    Attributes:
        shape: tuple of sizes; `None` where any size will do (the batch).
        dtype: as of Tensor.
        name: unique name of the place.
    """

    __slots__ = (
        "shape", "dtype", "name", "sparse", "ragged", "mask", "history", "__weakref__",
    )  # fmt: skip
    _counter = 0

    def __init__(
        self,
        shape: Any,
        dtype: str = "float32",
        sparse: bool = False,
        ragged: bool = False,
        record_history: bool = True,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        if kwargs:
            raise TypeError(f"KerasTensor: unknown keyword arguments {kwargs}.")
        self.shape: Shape = tuple(None if d is None else int(d) for d in shape)
        self.dtype = dtypes.standardize_dtype(dtype)
        self.sparse = bool(sparse)  # kept for Keras's sake: the engine's tensors are dense
        self.ragged = bool(ragged)
        if name is None:
            KerasTensor._counter += 1
            name = (
                f"keras_tensor_{KerasTensor._counter}"
                if KerasTensor._counter > 1
                else "keras_tensor"
            )
        self.name = name
        self.mask: KerasTensor | None = None
        self.history: Any = None  # (operation, node index, tensor index)

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int | None:
        size = 1
        for dim in self.shape:
            if dim is None:
                return None
            size *= dim
        return size

    @property
    def _keras_history(self) -> Any:
        return self.history

    @property
    def T(self) -> Any:
        return _ops.transpose(self)

    def reshape(self, newshape: Any, *sizes: int) -> Any:
        return _ops.reshape(self, (newshape, *sizes) if sizes else newshape)

    def squeeze(self, axis: Any = None) -> Any:
        return _ops.squeeze(self, axis)

    def _no_value(self, use: str) -> NoReturn:
        raise ValueError(
            f"A KerasTensor is a place in a model and has no numbers: it cannot be used for {use}. "
            "Use it only as the input of layers and of lamina.ops functions."
        )

    def numpy(self) -> NoReturn:
        self._no_value("numpy()")

    def __array__(self, *args: Any, **kwargs: Any) -> NoReturn:
        self._no_value("a NumPy array")

    def __bool__(self) -> bool:
        raise TypeError(
            "A KerasTensor has no truth value: it is a place in a model, without numbers."
        )

    def __float__(self) -> float:
        self._no_value("float()")

    def __int__(self) -> int:
        self._no_value("int()")

    def __iter__(self) -> NoReturn:
        raise TypeError("A KerasTensor cannot be iterated over: use lamina.ops.split or unstack.")

    # As in Keras: places are compared by identity, so that they can be looked up in lists.
    __eq__ = object.__eq__
    __hash__ = object.__hash__

    def __repr__(self) -> str:
        return (
            f"<KerasTensor shape={self.shape}, dtype={self.dtype}, sparse={self.sparse}, "
            f"ragged={self.ragged}, name={self.name}>"
        )


def is_keras_tensor(x: Any) -> bool:
    """Whether `x` is a KerasTensor."""
    return isinstance(x, KerasTensor)
