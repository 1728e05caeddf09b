"""Derivatives that are not the engine's own: custom gradients and forward mode."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from lamina.dtypes import is_float_dtype
from lamina.ops.bodies import Body, as_tensors, map_leaves, rebuild
from lamina.ops.core import filled, to_dtype
from lamina.tensor import Tensor
from lamina.tracing import Recorder, Tracer, apply, convert, current_tracer, gradients, symbolic_op


@symbolic_op
def _call_custom(f: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    values, grad_fn = f(*map_leaves(convert, args), **kwargs)
    tracer = current_tracer()
    if tracer is None:
        return values
    results, arguments = as_tensors(values), as_tensors(args)
    with Body(tracer) as body:
        floating = [t for t in results if is_float_dtype(t.dtype)]
        upstream = body.begin(floating)
        found = grad_fn(*upstream)
        grads = list(found) if isinstance(found, (list, tuple)) else [found]
        for argument, d in zip(arguments, grads, strict=False):
            body.output(_shaped_like(convert(0.0 if d is None else d), argument))
    attrs = {"pullback": body.graph, "results": len(results), "arguments": len(arguments)}
    out = tracer.emit("custom_gradient", [*results, *arguments, *body.captured], attrs)
    return rebuild(values, list(out) if isinstance(out, tuple) else [out])


def _shaped_like(d: Tensor, argument: Tensor) -> Tensor:
    d = to_dtype(d, argument.dtype)
    if d.shape == argument.shape:
        return d
    return apply("broadcast_to", d, shape=[-1 if n is None else n for n in argument.shape])


def custom_gradient(f: Callable[..., Any]) -> Callable[..., Any]:
    """Let `f` define its own gradient.

    Args:
        f: takes tensors and returns (values, grad_fn); `grad_fn` takes the gradients that arrive
            at the values and returns those of the arguments of `f`, in order (or one, not in a
            list, for one argument).

    Returns:
        A function that takes what `f` takes and returns its values.
    """

    @functools.wraps(f)
    def call(*args: Any, **kwargs: Any) -> Any:
        return _call_custom(f, args, kwargs)

    return call


def jvp(fun: Callable[..., Any], primals: Any, tangents: Any, has_aux: bool = False) -> Any:
    """Return the values of `fun` and their derivative in the direction `tangents`.

    Args:
        fun: takes the `primals` and returns a tensor or structure of tensors.
        primals: list or tuple of tensors, the arguments.
        tangents: the direction, like `primals`.
        has_aux: whether `fun` returns (values, extra); the extra is passed through.

    Returns:
        (values, derivatives), or (values, derivatives, extra).
    """
    return _call_jvp(fun, primals, tangents, has_aux)


@symbolic_op
def _call_jvp(fun: Callable[..., Any], primals: Any, tangents: Any, has_aux: bool) -> Any:
    if current_tracer() is None:
        with Recorder():
            return map_leaves(_plain, _jvp(fun, primals, tangents, has_aux))
    return _jvp(fun, primals, tangents, has_aux)


def _plain(t: Any) -> Any:
    return Tensor._of(t._buffer) if isinstance(t, Tensor) else t


def _own(tracer: Tracer, t: Tensor) -> Tensor:
    return t if t._tracer is tracer else tracer.lift(t)


def _jvp(fun: Callable[..., Any], primals: Any, tangents: Any, has_aux: bool) -> Any:
    tracer = current_tracer()
    assert tracer is not None
    points = [_own(tracer, apply("identity", t)) for t in as_tensors(primals)]
    directions = [to_dtype(t, p.dtype) for t, p in zip(as_tensors(tangents), points, strict=True)]
    found = fun(*rebuild(primals, points))
    values, aux = found if has_aux else (found, None)
    results = as_tensors(values)
    derivatives = [_directional(tracer, y, points, directions) for y in results]
    out = (values, rebuild(values, derivatives))
    return (*out, aux) if has_aux else out


def _directional(
    tracer: Tracer, y: Tensor, points: list[Tensor], directions: list[Tensor]
) -> Tensor:
    """The reverse pass is linear in what arrives at y; its own derivative is the forward one."""
    zero = filled(0, y.shape, y.dtype, y)
    if y._tracer is not tracer:
        return zero
    arriving = _own(tracer, zero)
    back = gradients(apply("sum", apply("multiply", y, arriving)), points)
    parts = [
        apply("sum", apply("multiply", d, direction))
        for d, direction in zip(back, directions, strict=True)
        if d is not None
    ]
    if not parts:
        return zero
    total = functools.reduce(lambda a, b: apply("add", a, b), parts)
    derivative = gradients(total, [arriving])[0]
    return zero if derivative is None else derivative


__all__ = ["custom_gradient", "jvp"]
