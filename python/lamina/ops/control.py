"""Branches and loops.

Eagerly they are Python's own. In a traced model, where conditions and counters have no numbers yet,
each becomes one node of the graph that runs the functions given as bodies: only the branch that is
taken runs, and a loop repeats its body without Python. Variables may be assigned in bodies.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from lamina.ops.bodies import (
    Body,
    as_tensors,
    fitting,
    form_of,
    is_symbolic,
    leaves_of,
    map_leaves,
    rebuild,
)
from lamina.ops.core import TensorLike, promote, reshape_to, to_dtype
from lamina.tensor import Tensor
from lamina.tracing import Tracer, apply, convert, current_tracer, is_tracing, symbolic_op
from lamina.variable import Variable


def _tracer() -> Tracer:
    tracer = current_tracer()
    if tracer is None:
        raise RuntimeError("a symbolic tensor was used outside of the trace it belongs to")
    return tracer


def _results(found: Any) -> list[Tensor]:
    return list(found) if isinstance(found, tuple) else [found]


def _as_flag(x: Any) -> Tensor:
    return reshape_to(to_dtype(convert(x), "bool"), [])


def _add_new(variables: list[Variable], found: Sequence[Variable]) -> bool:
    """Add those of `found` that are not in the list; return whether there were any."""
    fresh = [v for v in found if not any(v is known for known in variables)]
    variables.extend(fresh)
    return len(fresh) > 0


@symbolic_op
def cond(pred: TensorLike, true_fn: Callable[[], Any], false_fn: Callable[[], Any]) -> Any:
    """Return `true_fn()` where `pred` holds, else `false_fn()`; only that function runs.

    Args:
        pred: one boolean.
        true_fn, false_fn: functions without arguments that return tensors of the same shapes, in
            the same structure.

    Raises:
        ValueError: in a traced model, if the results differ in structure or shape.
    """
    if is_symbolic(pred):
        return _branch(_as_flag(pred), true_fn, false_fn)
    chosen = pred.numpy() if hasattr(pred, "numpy") else pred
    return true_fn() if bool(chosen) else false_fn()


def _branch(pred: Tensor, true_fn: Callable[[], Any], false_fn: Callable[[], Any]) -> Any:
    outer = _tracer()
    bodies, structures, results = [], [], []
    for fn in (true_fn, false_fn):
        with Body(outer) as body:
            structure = fn()
            results.append(as_tensors(structure))
        bodies.append(body)
        structures.append(structure)
    if form_of(structures[0]) != form_of(structures[1]):
        raise ValueError(
            "cond: true_fn and false_fn must return the same structure. Got "
            f"{structures[0]!r} and {structures[1]!r}."
        )
    variables: list[Variable] = []
    for body in bodies:
        _add_new(variables, body.assigned)
    pairs = [_meet(*pair, *bodies) for pair in zip(*results, strict=True)]
    for i, body in enumerate(bodies):
        with body:
            for pair in pairs:
                body.output(pair[i])
            for variable in variables:
                body.output(body.read(variable))
    if not pairs and not variables:
        return structures[0]
    captured = [t for body in bodies for t in body.captured]
    graphs = {"then": bodies[0].graph, "else": bodies[1].graph}
    out = _results(outer.emit("cond", [pred, *captured], graphs))
    for variable, value in zip(variables, out[len(pairs) :], strict=True):
        outer.assign(variable, value)
    return rebuild(structures[0], out[: len(pairs)])


def _meet(a: Tensor, b: Tensor, first: Body, second: Body) -> tuple[Tensor, Tensor]:
    """Two results in one type and shape, each still in its own body."""
    from lamina.dtypes import result_type

    dtype = a.dtype if a.dtype == b.dtype else result_type(a.dtype, b.dtype)
    sizes = list(a.shape)
    if a.shape != b.shape and None not in a.shape and None not in b.shape:
        sizes = list(np.broadcast_shapes(a.shape, b.shape))
    out = []
    for t, body in ((a, first), (b, second)):
        with body:
            t = to_dtype(t, dtype)
            out.append(
                t if None in t.shape or list(t.shape) == sizes
                else apply("broadcast_to", t, shape=sizes)
            )  # fmt: skip
    return out[0], out[1]


@symbolic_op
def switch(index: TensorLike, branches: Sequence[Callable[..., Any]], *operands: Any) -> Any:
    """Return `branches[index](*operands)`; an index outside is clamped to the nearest."""
    last = len(branches) - 1
    if not is_symbolic(index):
        number = int(index.numpy() if hasattr(index, "numpy") else index)
        return branches[builtins.min(builtins.max(number, 0), last)](*operands)

    def choose(position: int) -> Any:
        if position == last:
            return branches[last](*operands)
        here = apply("less_equal", *promote(index, position))
        return cond(here, lambda: branches[position](*operands), lambda: choose(position + 1))

    return choose(0)


@symbolic_op
def while_loop(
    cond: Callable[..., Any],
    body: Callable[..., Any],
    loop_vars: Any,
    maximum_iterations: int | None = None,
) -> Any:
    """Repeat `body` while `cond` holds and return the last loop variables.

    Args:
        cond: takes the loop variables and returns one boolean.
        body: takes the loop variables and returns them, with the same shapes and types.
        loop_vars: one tensor, or a list or tuple of (structures of) tensors.
        maximum_iterations: most repetitions; None: no limit. In a traced model a loop whose
            length depends on data has a gradient only with a limit.

    Returns:
        Like `loop_vars`; a tuple for a list.
    """
    is_single = not isinstance(loop_vars, (list, tuple))
    values: Any = (loop_vars,) if is_single else tuple(loop_vars)
    done = 0
    while maximum_iterations is None or done < maximum_iterations:
        flag = None if is_symbolic(values) else cond(*values)
        if flag is None or is_symbolic(flag):
            left = -1 if maximum_iterations is None else int(maximum_iterations) - done
            values = _while_node(cond, body, values, left)
            break
        if not bool(flag.numpy() if hasattr(flag, "numpy") else flag):
            break
        result = body(*values)
        values = tuple(result) if isinstance(result, (list, tuple)) and not is_single else (result,)
        done += 1
    values = map_leaves(convert, values)
    return values[0] if is_single else values


def _while_node(
    cond: Callable[..., Any], body: Callable[..., Any], loop_vars: Any, maximum: int
) -> Any:
    outer = _tracer()
    initial = as_tensors(loop_vars)
    variables: list[Variable] = []
    while True:
        with Body(outer, variables) as test:
            test.output(_as_flag(cond(*rebuild(loop_vars, test.begin(initial)))))
        with Body(outer, variables) as step:
            result = body(*rebuild(loop_vars, step.begin(initial)))
            found = as_tensors(result)
            if len(found) != len(initial):
                raise ValueError(
                    f"while_loop: body must return the loop variables, {len(initial)} tensors. "
                    f"Got {len(found)}."
                )
            for i, (new, old) in enumerate(zip(found, initial, strict=True)):
                step.output(fitting(new, old, "while_loop", f"loop variable {i}"))
            for variable in variables:
                step.output(step.read(variable))
        if test.assigned:
            raise ValueError("while_loop: cond must not assign variables.")
        if not _add_new(variables, step.assigned):
            break
    operands = [*initial, *(outer.read(v) for v in variables), *test.captured, *step.captured]
    count = len(initial) + len(variables)
    attrs = {"cond": test.graph, "body": step.graph, "variables": count, "maximum": maximum}
    out = _results(outer.emit("while", operands, attrs))
    for variable, value in zip(variables, out[len(initial) :], strict=True):
        outer.assign(variable, value)
    return rebuild(loop_vars, out[: len(initial)])


@symbolic_op
def fori_loop(
    lower: TensorLike, upper: TensorLike, body_fun: Callable[[Any, Any], Any], init_val: Any
) -> Any:
    """Return the value after `value = body_fun(i, value)` for i from `lower` to `upper` - 1.

    In a traced model `i` is a tensor without a number. With bounds that are known while tracing
    the loop has a gradient.
    """
    if is_symbolic((lower, upper)):
        first = to_dtype(convert(lower), "int32")
        last = to_dtype(convert(upper), "int32")
        one = convert(1, dtype="int32")
        return while_loop(
            lambda i, value: apply("less", i, last),
            lambda i, value: (apply("add", i, one), body_fun(i, value)),
            (first, init_val),
        )[1]
    numbers = [int(n.numpy() if hasattr(n, "numpy") else n) for n in (lower, upper)]
    if is_tracing():
        steps = np.arange(numbers[0], builtins.max(numbers), dtype=np.int32)
        return scan(lambda value, i: (body_fun(i, value), None), init_val, convert(steps))[0]
    value = init_val
    for i in range(*numbers):
        value = body_fun(i, value)
    return value


@symbolic_op
def scan(
    f: Callable[[Any, Any], tuple[Any, Any]],
    init: Any,
    xs: Any = None,
    length: int | None = None,
    reverse: bool = False,
    unroll: int | bool = 1,
) -> tuple[Any, Any]:
    """Carry a value along the first axis of `xs` and stack what `f` returns at each step.

    Args:
        f: `(carry, x) -> (carry, y)`; the carry keeps its shape and type.
        init: first carry.
        xs: tensor or structure of tensors, or None with `length`.
        length: number of steps; by default the first size in `xs`.
        reverse: whether to go from the last element to the first.
        unroll: accepted for Keras's sake and changes nothing.

    Returns:
        The last carry, and the results stacked along a new first axis.
    """
    if not callable(f):
        raise TypeError(f"scan: f should be a callable. Got {f!r}.")
    if not isinstance(unroll, bool) and (not isinstance(unroll, int) or unroll < 1):
        raise ValueError(
            f"scan: unroll={unroll!r} is not allowed: it must be an positive integer or boolean."
        )
    xs = map_leaves(convert, xs)
    steps = _steps_of(xs, length)
    if is_tracing():
        return _scan_node(f, init, xs, steps, bool(reverse))
    assert steps is not None  # a tensor with numbers has sizes
    order = range(steps - 1, -1, -1) if reverse else range(steps)
    carry, outputs = init, []
    for i in order:
        x = None if xs is None else map_leaves(lambda leaf, i=i: leaf[i], xs)
        carry, y = f(carry, x)
        outputs.append(y)
    if reverse:
        outputs.reverse()
    return map_leaves(convert, carry), _stacked(outputs)


def _steps_of(xs: Any, length: int | None) -> int | None:
    """How often to run the function of a scan; None while a trace does not know."""
    leaves = leaves_of(xs)
    if not leaves and length is None:
        raise ValueError("scan: without `xs`, `length` must say how many steps there are.")
    if any(leaf.ndim == 0 for leaf in leaves):
        raise ValueError("scan: `xs` must have an axis to go along; it holds a scalar.")
    sizes = {leaf.shape[0] for leaf in leaves} - {None}
    if length is not None:
        sizes.add(int(length))
    if len(sizes) > 1:
        raise ValueError(
            "scan: the first axes of `xs`, and `length`, must have one size. "
            f"Got {', '.join(map(str, sorted(sizes)))}."
        )
    return sizes.pop() if sizes else None


def _stacked(outputs: list[Any]) -> Any:
    from lamina.ops.joining import stack

    return map_leaves(lambda *parts: stack(list(parts)), *outputs) if outputs else None


def _scan_node(
    f: Callable[[Any, Any], tuple[Any, Any]], init: Any, xs: Any, steps: int | None, reverse: bool
) -> tuple[Any, Any]:
    outer = _tracer()
    initial, stacks = as_tensors(init), leaves_of(xs)
    variables: list[Variable] = []
    while True:
        with Body(outer, variables) as body:
            carry = body.begin(initial)
            slices = [body.input(t.shape[1:], t.dtype) for t in stacks]
            new_carry, y = f(rebuild(init, carry), rebuild(xs, slices))
            found, results = as_tensors(new_carry), as_tensors(y)
            if len(found) != len(initial):
                raise ValueError(
                    f"scan: f must return the carry first, {len(initial)} tensors. "
                    f"Got {len(found)}."
                )
            for i, (new, old) in enumerate(zip(found, initial, strict=True)):
                body.output(fitting(new, old, "scan", f"carry {i}"))
            for variable in variables:
                body.output(body.read(variable))
            for result in results:
                body.output(result)
        if not _add_new(variables, body.assigned):
            break
    carries = len(initial) + len(variables)
    if carries + len(results) == 0:
        return init, y
    operands = [*initial, *(outer.read(v) for v in variables), *stacks, *body.captured]
    attrs = {
        "body": body.graph,
        "carries": carries,
        "xs": len(stacks),
        "length": -1 if steps is None else steps,
        "reverse": reverse,
    }
    out = _results(outer.emit("scan", operands, attrs))
    for variable, value in zip(variables, out[len(initial) : carries], strict=True):
        outer.assign(variable, value)
    return rebuild(init, out[: len(initial)]), rebuild(y, out[carries : carries + len(results)])


@symbolic_op
def map(f: Callable[[Any], Any], xs: Any) -> Any:  # noqa: A001
    """Apply `f` to each element along the first axis of `xs` and stack the results."""
    if not callable(f):
        raise TypeError(f"map: f should be a callable. Got {f!r}.")
    return scan(lambda carry, x: (carry, f(x)), None, xs)[1]


@symbolic_op
def vectorized_map(function: Callable[[Any], Any], elements: Any) -> Any:
    """Apply `function` to each element along the first axis of `elements`."""
    return map(function, elements)


@symbolic_op
def associative_scan(
    f: Callable[[Any, Any], Any], elems: Any, reverse: bool = False, axis: int = 0
) -> Any:
    """Return all partial combinations x0, f(x0, x1), f(f(x0, x1), x2) ... along `axis`.

    Args:
        f: combines two structures like `elems`, elementwise along the axis; it must be
            associative, since the number of its calls is only the logarithm of the length.
        elems: tensor or structure of tensors of one length along `axis`.
        reverse: whether to start at the end.
        axis: along which to combine.
    """
    from lamina.ops.joining import interval
    from lamina.ops.layout import flip

    if not callable(f):
        raise TypeError(f"associative_scan: f should be a callable. Got {f!r}.")
    elems = map_leaves(convert, elems)
    if reverse:
        elems = map_leaves(lambda x: flip(x, axis), elems)
    places = [axis % x.ndim for x in leaves_of(elems)]
    sizes = {x.shape[p] for x, p in zip(leaves_of(elems), places, strict=True)}
    if len(sizes) != 1:
        raise ValueError(
            "associative_scan: elems must agree in their first dimension (that of `axis`). "
            f"Got sizes {sorted(sizes, key=str)}."
        )
    length = sizes.pop()
    if length is None:
        return elems  # only shapes matter while sizes are unknown, and they do not change

    def part(begin: int, end: int) -> Any:
        cut = [interval(x, p, begin, end) for x, p in zip(leaves_of(elems), places, strict=True)]
        return rebuild(elems, cut)

    reach = 1
    while reach < length:
        # After this round every element combines its last 2 * reach ones.
        tail = leaves_of(f(part(0, length - reach), part(reach, length)))
        head = leaves_of(part(0, reach))
        rows = zip(head, tail, places, strict=True)
        joined = [apply("concat", *promote(a, b), axis=p) for a, b, p in rows]
        elems = rebuild(elems, joined)
        reach *= 2
    return map_leaves(lambda x: flip(x, axis), elems) if reverse else elems


__all__ = [
    "associative_scan",
    "cond",
    "fori_loop",
    "map",
    "scan",
    "switch",
    "vectorized_map",
    "while_loop",
]
