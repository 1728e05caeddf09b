"""What the kernels reach of what this machine can do.

Products against the multiply-adds a second that registers alone allow; kernels that only pass over
memory against a copy of as many bytes. Both yardsticks are measured in the same run, on one thread
and on all. LAMINA_ISA=v3 (if this lamina has that level) shows the AVX2 kernels.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

SECONDS = 0.1  # of each measurement


class Product(NamedTuple):
    """C[m, n] = A B; the flags say which operand lies transposed."""

    name: str
    m: int
    n: int
    k: int
    transpose_a: bool = False
    transpose_b: bool = False


PRODUCTS = (
    Product("128 cubed", 128, 128, 128),
    Product("128 cubed, B transposed", 128, 128, 128, transpose_b=True),
    Product("512 cubed", 512, 512, 512),
    Product("512 cubed, A transposed", 512, 512, 512, transpose_a=True),
    Product("1024 cubed", 1024, 1024, 1024),
    Product("mlp_big forward", 128, 512, 784),
    Product("mlp_big dW", 784, 512, 128, transpose_a=True),
    Product("mlp_big dX", 128, 512, 512, transpose_b=True),
    Product("head", 128, 10, 512),
    Product("head dW", 512, 10, 128, transpose_a=True),
    Product("head dX", 128, 512, 10, transpose_b=True),
    Product("cnn_seed dense", 32, 128, 5408),
    Product("cnn_seed dense dW", 5408, 128, 32, transpose_a=True),
    Product("cnn_seed dense dX", 32, 5408, 128, transpose_b=True),
    Product("autoencoder encoder", 32, 64, 784),
    Product("autoencoder decoder", 32, 784, 64),
    Product("autoencoder dX", 32, 64, 784, transpose_b=True),
    Product("lstm_seed input", 3200, 256, 128),
    Product("lstm_seed dU", 64, 256, 3200, transpose_a=True),
    Product("lstm_seed dX", 3200, 128, 256, transpose_b=True),
    Product("transformer ffn", 4096, 256, 64),
    Product("transformer ffn dX", 4096, 64, 256, transpose_b=True),
    Product("transformer ffn dW", 64, 256, 4096, transpose_a=True),
    Product("one row", 1, 512, 784),
    Product("one row, B transposed", 1, 512, 784, transpose_b=True),
    Product("one column", 784, 1, 512),
)
WORKING_SETS = (1 << 19, 1 << 23, 1 << 26)  # bytes: second and third level of cache, memory


Arrays = list[np.ndarray]


def run(_options: argparse.Namespace) -> dict[str, Any]:
    """For one thread and for all: a table of products, and one of passes over memory."""
    import lamina
    from lamina import _core

    available = lamina.num_threads()
    tables: dict[str, Any] = {"level": _core.isa_level()}
    try:
        for threads in sorted({1, available}):
            lamina.set_num_threads(threads)
            limits = _core.measure_limits()
            team = threads > 1
            peak = limits["gflops_team" if team else "gflops_thread"]
            copies = {size: speeds[team] for size, *speeds in limits["copies"]}
            tables[f"{threads} threads"] = {
                "peak": peak,
                "products": _print_products(peak, threads),
                "passes": _print_passes(copies, threads),
            }
    finally:
        lamina.set_num_threads(available)
    return tables


def _print_products(peak: float, threads: int) -> dict[str, float]:
    print(f"| product, {threads} thread(s) | m | n | k | GFLOP/s | of {peak:.0f} |")
    print("| --- |" + " ---: |" * 5)
    shares = {}
    for p in PRODUCTS:
        speed = 2 * p.m * p.n * p.k / _seconds(*_product(p)) / 1e9
        shares[p.name] = speed / peak
        print(f"| {p.name} | {p.m} | {p.n} | {p.k} | {speed:.1f} | {speed / peak:.0%} |")
    print()
    return shares


def _print_passes(copies: dict[int, float], threads: int) -> dict[str, list[float]]:
    """Each beside a copy of the same number of bytes."""
    names = " | ".join(f"{size >> 10} KiB: GB/s | of copy" for size in WORKING_SETS)
    print(f"| pass, {threads} thread(s) | {names} |")
    print("| --- |" + " ---: |" * (2 * len(WORKING_SETS)))
    shares = {}
    for name, make in PASSES.items():
        speeds = []
        for size in WORKING_SETS:
            program, arrays, moved = make(size)
            speeds.append(moved / _seconds(program, arrays) / 1e9)
        shares[name] = [v / copies[size] for v, size in zip(speeds, WORKING_SETS, strict=True)]
        cells = (f"{v:.0f} | {s:.0%}" for v, s in zip(speeds, shares[name], strict=True))
        print(f"| {name} | {' | '.join(cells)} |")
    print(f"| copy | {' | '.join(f'{copies[size]:.0f} | 100%' for size in WORKING_SETS)} |\n")
    return shares


def _seconds(program: Any, arrays: Arrays) -> float:
    """The least time of the program's first step."""
    from lamina import _core

    program(arrays)
    recording = _core.record(program, 1)
    end = time.perf_counter() + SECONDS
    while time.perf_counter() < end:
        program(arrays)
    _core.stop_recording(program)
    return recording.totals[0][2] * 1e-9


def _numbers(*shape: int) -> np.ndarray:
    """Random numbers, at the beginning of a cache line like whatever a program computes."""
    size = math.prod(shape)
    room = np.empty(size + 16, np.float32)
    skip = -room.ctypes.data % 64 // room.itemsize
    numbers = room[skip : skip + size].reshape(shape)
    np.random.default_rng(0).random(out=numbers, dtype=np.float32)
    numbers -= np.float32(0.5)
    return numbers


def _program_of(
    op: str, shapes: list[tuple[int, ...]], attrs: dict[str, Any]
) -> tuple[Any, Arrays]:
    """One op as a program of its own. Its results go where the planner wants them: an output of
    one element keeps the copy of large results out of the program."""
    from lamina import _core

    graph = _core.Graph()
    inputs = [graph.input("float32", shape) for shape in shapes]
    made = graph.emit(op, inputs, attrs, "")[0]
    origin = [0] * len(graph.spec(made)[1])
    one = {"begin": origin, "end": [1] * len(origin), "strides": [1] * len(origin)}
    graph.output(graph.emit("slice", [made], one, "")[0])
    return _core.Program(graph, borrow=True), [_numbers(*shape) for shape in shapes]


def _product(p: Product) -> tuple[Any, Arrays]:
    a = (p.k, p.m) if p.transpose_a else (p.m, p.k)
    b = (p.n, p.k) if p.transpose_b else (p.k, p.n)
    attrs = {"transpose_a": p.transpose_a, "transpose_b": p.transpose_b}
    return _program_of("matmul", [a, b], attrs)


def _relu(size: int) -> tuple[Any, Arrays, int]:
    return *_program_of("relu", [(size // 8,)], {}), size


def _add(size: int) -> tuple[Any, Arrays, int]:
    n = size // 12
    return *_program_of("add", [(n,), (n,)], {}), 12 * n


def _batch_norm(size: int) -> tuple[Any, Arrays, int]:
    """Reads x for the statistics and again for the results."""
    rows = size // (8 * 64)
    program, arrays = _program_of("batch_norm", [(rows, 64), (64,), (64,)], {"epsilon": 1e-3})
    return program, arrays, 12 * rows * 64


def _batch_norm_grad(size: int) -> tuple[Any, Arrays, int]:
    """Reads dy and x for the sums and again for the gradient."""
    rows = size // (12 * 64)
    shapes: list[tuple[int, ...]] = [(rows, 64), (rows, 64), (64,), (64,), (64,), (64,)]
    program, arrays = _program_of("batch_norm_grad", shapes, {"epsilon": 1e-3})
    arrays[5] = np.abs(arrays[5])  # a variance
    return program, arrays, 20 * rows * 64


def _layer_norm(size: int) -> tuple[Any, Arrays, int]:
    rows = size // (8 * 256)
    program, arrays = _program_of("layer_norm", [(rows, 256), (256,), (256,)], {"epsilon": 1e-3})
    return program, arrays, 8 * rows * 256


def _relu_grad(size: int) -> tuple[Any, Arrays, int]:
    n = size // 12
    return *_program_of("relu_grad", [(n,), (n,)], {}), 12 * n


def _concat(size: int) -> tuple[Any, Arrays, int]:
    """Two images of 16 channels side by side."""
    rows = size // (8 * 32)
    return *_program_of("concat", [(rows, 16), (rows, 16)], {"axis": -1}), 8 * rows * 32


def _adam(size: int) -> tuple[Any, Arrays, int]:
    """Reads parameter, both moments and gradient; writes all but the gradient, in place."""
    from lamina import _core

    n = size // 16
    graph = _core.Graph()
    states = []
    for name in "pmv":
        numbers = _numbers(n)
        np.abs(numbers, out=numbers)
        states.append(graph.variable(_core.Variable(name, _core.Tensor(numbers))))
    gradient = graph.input("float32", (n,))
    constants: Arrays = [np.array(1e-3, np.float32), np.array(7, np.int64)]
    rest = [graph.constant(_core.Tensor(value)) for value in constants]
    graph.mark_seam()  # from here on states are written where they lie
    made = graph.emit("adam_update", [*states, gradient, *rest], {}, "")
    for state, value in zip(states, made, strict=True):
        graph.assign(state, value)
    return _core.Program(graph, borrow=True), [_numbers(n)], 28 * n


PASSES: dict[str, Callable[[int], tuple[Any, Arrays, int]]] = {
    "relu": _relu,
    "add": _add,
    "ReLU's gradient": _relu_grad,
    "concatenation": _concat,
    "batch normalization": _batch_norm,
    "its gradient": _batch_norm_grad,
    "layer normalization": _layer_norm,
    "Adam": _adam,
}
