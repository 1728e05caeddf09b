"""
The compiled engine: tensors, graphs, programs, epochs.
"""

from __future__ import annotations

import collections.abc
import typing

import numpy
import numpy.typing

__all__: list[str] = [
    "Graph",
    "Program",
    "Recording",
    "Tensor",
    "Variable",
    "compiler",
    "eager",
    "eigen_version",
    "empty_array",
    "forget_function",
    "input_specs",
    "isa",
    "isa_level",
    "measure_limits",
    "num_threads",
    "op_is_differentiable",
    "op_names",
    "openmp_runtime",
    "pack",
    "placements",
    "record",
    "register_function",
    "run_epoch",
    "set_num_threads",
    "set_to_zero",
    "shuffled_order",
    "step_details",
    "stop_recording",
    "version",
]

class Tensor:
    """
    Numbers in aligned memory; shares it with NumPy both ways.
    """
    @staticmethod
    def of_bits(array: numpy.ndarray, dtype: str) -> Tensor:
        """
        A tensor on the array's memory, whose bits are numbers of `dtype`.
        """
    def __init__(self, array: numpy.ndarray) -> None:
        """
        A tensor on the array's memory, without a copy where that is aligned.
        """
    def clone(self) -> Tensor: ...
    def to_numpy(self) -> numpy.ndarray:
        """
        The values, without a copy; of a type that NumPy lacks (bfloat16, float8), its bits.
        """
    @property
    def dtype(self) -> str: ...
    @property
    def shape(self) -> tuple[int | None, ...]: ...
    @property
    def size(self) -> int: ...

class Variable:
    """
    State that a step reads and assigns.
    """
    def __init__(self, name: str, value: Tensor) -> None: ...
    def assign(self, value: Tensor) -> None: ...
    @property
    def dtype(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def shape(self) -> tuple[int | None, ...]: ...
    @property
    def value(self) -> Tensor:
        """
        The current value; shares memory.
        """

class Graph:
    """
    The op graph of one traced function.
    """
    def __init__(self) -> None: ...
    def assign(
        self,
        variable: typing.SupportsInt | typing.SupportsIndex,
        value: typing.SupportsInt | typing.SupportsIndex,
    ) -> None: ...
    def constant(self, value: Tensor) -> int: ...
    def constant_value(self, id: typing.SupportsInt | typing.SupportsIndex) -> Tensor: ...
    def emit(
        self,
        op: str,
        inputs: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex],
        attrs: dict[str, typing.Any],
        origin: str,
    ) -> list[int]: ...
    def find_nonfinite(self, inputs: collections.abc.Sequence[numpy.ndarray]) -> typing.Any:
        """
        (op, origin) of the first value that is not finite, or None.
        """
    def gradients(
        self,
        loss: typing.SupportsInt | typing.SupportsIndex,
        wrt: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex],
    ) -> list[int | None]: ...
    def input(self, dtype: str, shape: collections.abc.Iterable[typing.Any]) -> int: ...
    def mark_seam(self) -> None:
        """
        Nodes added from here on change state.
        """
    def node_count(self) -> int: ...
    def output(self, id: typing.SupportsInt | typing.SupportsIndex) -> None: ...
    def producer(self, id: typing.SupportsInt | typing.SupportsIndex) -> typing.Any:
        """
        (op, attrs, inputs) of the node that makes a value, or None.
        """
    def run_nodes(
        self,
        first: typing.SupportsInt | typing.SupportsIndex,
        values: collections.abc.Mapping[typing.SupportsInt | typing.SupportsIndex, Tensor],
    ) -> dict[int, Tensor]:
        """
        Run the nodes from `first` on; returns the values by id with those added.
        """
    def spec(
        self, id: typing.SupportsInt | typing.SupportsIndex
    ) -> tuple[str, tuple[int | None, ...]]: ...
    def text(self) -> str: ...
    def variable(self, variable: Variable) -> int: ...

class Program:
    """
    A graph made ready to run.
    """
    def __call__(self, inputs: collections.abc.Sequence[numpy.ndarray]) -> list[typing.Any]:
        """
        Run once: arrays in, new arrays out.
        """
    def __init__(
        self, graph: Graph, fuse: bool = True, reuse: bool = True, borrow: bool = False
    ) -> None: ...
    def read_numbers(self) -> list[typing.Any]:
        """
        Run once without inputs; the outputs, single numbers, as floats.
        """
    def run(self, inputs: collections.abc.Sequence[Tensor]) -> list[Tensor]:
        """
        Run once: tensors in, new tensors out.
        """
    @property
    def arena_bytes(self) -> int: ...
    @property
    def input_bounds(self) -> list[int]:
        """
        Smallest exclusive bound that an op demands of each input as an index, or -1.
        """
    @property
    def step_count(self) -> int: ...
    @property
    def steps(self) -> list[typing.Any]:
        """
        (op, origin, inputs, outputs, flops) of each step.
        """
    @property
    def text(self) -> str: ...

class Recording:
    """
    What the steps of a program took.
    """
    @property
    def runs(self) -> list[typing.Any]:
        """
        The last runs: arrays of rows (step, thread, begin, end, time with the team
        at work, time in chunks), in nanoseconds.
        """
    @property
    def totals(self) -> list[typing.Any]:
        """
        (runs, nanoseconds, least nanoseconds) of each step; then of gathering
        the batch and of copying assigned values.
        """

def compiler() -> str: ...
def eager(
    op: str, inputs: collections.abc.Sequence[Tensor], attrs: dict[str, typing.Any]
) -> list[Tensor]:
    """
    Run one op now.
    """

def eigen_version() -> str: ...
def empty_array(shape: collections.abc.Iterable[typing.Any], dtype: str) -> numpy.ndarray:
    """
    An array of any values, in the engine's own memory.
    """

def forget_function(id: typing.SupportsInt | typing.SupportsIndex) -> None: ...
def input_specs(program: Program) -> list[str]:
    """
    Shape and dtype of each input.
    """

def isa() -> str:
    """
    Level the loaded engine was compiled for.
    """

def isa_level() -> int: ...
def measure_limits() -> dict[str, typing.Any]:
    """
    Multiply-adds and copies a second, of one thread and of all.
    """

def num_threads() -> int:
    """
    Threads the next step may use.
    """

def op_is_differentiable(name: str) -> bool: ...
def op_names() -> list[str]: ...
def openmp_runtime() -> str: ...
def pack(variables: collections.abc.Sequence[Variable], name: str) -> Variable:
    """
    Move variables of one dtype into one buffer; returns the whole of it.
    """

def placements(program: Program) -> list[typing.Any]:
    """
    The buffers of the arena: (offset, bytes, first step, last step, input, value or scratch).
    """

def record(program: Program, kept_runs: typing.SupportsInt | typing.SupportsIndex) -> Recording:
    """
    Time the steps of the program's runs that begin from now on.
    """

def register_function(function: typing.Any) -> int:
    """
    An id for the op py_call.
    """

def run_epoch(
    main: Program,
    tail: Program,
    columns: collections.abc.Sequence[numpy.ndarray],
    rows: typing.SupportsInt | typing.SupportsIndex,
    batch: typing.SupportsInt | typing.SupportsIndex,
    order: typing.Annotated[numpy.typing.ArrayLike, numpy.int64] | None = None,
    first_batch: typing.SupportsInt | typing.SupportsIndex = 0,
    last_batch: typing.SupportsInt | typing.SupportsIndex = -1,
    before: typing.Any = None,
    after: typing.Any = None,
    every_batch: bool = False,
    interval_ms: typing.SupportsFloat | typing.SupportsIndex = 50.0,
    watch_loss: bool = False,
    on_nonfinite: typing.Any = None,
    sinks: collections.abc.Sequence[numpy.ndarray | None] = [],
) -> tuple[typing.Any, ...]:
    """
    Run the batches of an epoch; returns (batches run, stopped by a hook).
    """

def set_num_threads(n: typing.SupportsInt | typing.SupportsIndex) -> None: ...
def set_to_zero(variables: collections.abc.Sequence[Variable]) -> None:
    """
    Fill variables with zeros.
    """

def shuffled_order(
    rows: typing.SupportsInt | typing.SupportsIndex,
    seed: typing.SupportsInt | typing.SupportsIndex,
    epoch: typing.SupportsInt | typing.SupportsIndex,
) -> numpy.typing.NDArray[numpy.int64]: ...
def step_details(program: Program) -> list[typing.Any]:
    """
    Each step: (ops, origins, phase, inputs, outputs, flops, bytes read, bytes written).
    """

def stop_recording(program: Program) -> None: ...
def version() -> str: ...
