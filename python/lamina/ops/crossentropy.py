"""Cross-entropies of tensors.

Where the output comes straight from a softmax or sigmoid the loss is taken from the input of that
function: the same value, but exact and cheaper.
"""

from __future__ import annotations

from lamina import config
from lamina.ops.core import (
    TensorLike,
    normalize_axis,
    reshape_to,
    to_dtype,
    to_float,
)
from lamina.tensor import Tensor
from lamina.tracing import apply, convert, symbolic_op


def _number(value: float, like: Tensor) -> Tensor:
    return convert(value, dtype=like.dtype)


def _logits_of(output: Tensor, activation: str) -> Tensor | None:
    from lamina import tracing

    made_by = tracing.producer(output)
    if made_by is None:
        return None
    name, attrs, inputs = made_by
    if name != activation:
        return None
    is_last = attrs.get("axis", -1) in (-1, output.ndim - 1)
    return inputs[0] if name == "sigmoid" or is_last else None


def _same_shape(op: str, target: Tensor, output: Tensor) -> None:
    differ = len(target.shape) != len(output.shape) or any(
        None not in (t, o) and t != o for t, o in zip(target.shape, output.shape, strict=True)
    )
    if differ:
        raise ValueError(
            f"{op}: target {target.shape} and output {output.shape} must have the same shape."
        )


def _probabilities(output: Tensor, axis: int) -> Tensor:
    total = apply("sum", output, axes=[axis], keepdims=True)
    epsilon = config.epsilon()
    return apply("clip", apply("divide", output, total), min=epsilon, max=1.0 - epsilon)


@symbolic_op
def categorical_crossentropy(
    target: TensorLike, output: TensorLike, from_logits: bool = False, axis: int = -1
) -> Tensor:
    """Return -sum(target * log(output)) along `axis`.

    Args:
        target: probabilities, e.g. one-hot rows, of the shape of `output`.
        output: probabilities, divided by their sum and clipped at epsilon; or logits.
        from_logits: whether `output` holds logits.
        axis: the axis of the classes.

    Returns:
        Tensor with the shape of `output` without `axis`.
    """
    from lamina.ops.layout import moveaxis

    output = to_float(output)
    target = to_dtype(convert(target), output.dtype)
    if target.ndim < 1:
        raise ValueError("categorical_crossentropy: target and output must have at least one axis.")
    _same_shape("categorical_crossentropy", target, output)
    place = normalize_axis(axis, output.ndim, "categorical_crossentropy")
    is_last = place == output.ndim - 1
    logits = output if from_logits else _logits_of(output, "softmax") if is_last else None
    if logits is not None:
        rows = (moveaxis(t, place, -1) for t in (logits, target))
        return apply("softmax_cross_entropy", *rows)
    logs = apply("log", _probabilities(output, place))
    weighed = apply("multiply", target, logs)
    return apply("negative", apply("sum", weighed, axes=[place], keepdims=False))


@symbolic_op
def sparse_categorical_crossentropy(
    target: TensorLike, output: TensorLike, from_logits: bool = False, axis: int = -1
) -> Tensor:
    """Return -log(output[target]): the cross-entropy for class ids.

    Args:
        target: integers with the shape of `output` without `axis`, or with size 1 there.
        output: probabilities, clipped at epsilon; or logits.
        from_logits: whether `output` holds logits.
        axis: the axis of the classes.

    Returns:
        Tensor with the shape of `output` without `axis`.
    """
    from lamina.ops.layout import moveaxis

    output, target = to_float(output), convert(target)
    if target.dtype not in ("int32", "int64"):
        target = to_dtype(target, "int64")
    if output.ndim < 1:
        raise ValueError("sparse_categorical_crossentropy: output must have at least one axis.")
    place = normalize_axis(axis, output.ndim, "sparse_categorical_crossentropy")
    rows = [d for i, d in enumerate(output.shape) if i != place]
    if target.ndim == output.ndim and target.shape[place] == 1:
        target = reshape_to(target, rows)
    if target.ndim != len(rows) or any(
        None not in (t, r) and t != r for t, r in zip(target.shape, rows, strict=True)
    ):
        raise ValueError(
            "sparse_categorical_crossentropy: target must have the shape of output without its "
            f"class axis. Got target {target.shape} and output {output.shape}, axis {axis}."
        )
    is_last = place == output.ndim - 1
    logits = output if from_logits else _logits_of(output, "softmax") if is_last else None
    if logits is not None:
        return apply("sparse_softmax_cross_entropy", moveaxis(logits, place, -1), target)
    logs = apply("log", _probabilities(moveaxis(output, place, -1), output.ndim - 1))
    ids = reshape_to(target, [*rows, 1])
    picked = apply("take_along_axis", logs, ids, axis=output.ndim - 1)
    return apply("negative", reshape_to(picked, rows))


@symbolic_op
def binary_crossentropy(
    target: TensorLike, output: TensorLike, from_logits: bool = False
) -> Tensor:
    """Return -target * log(output) - (1 - target) * log(1 - output), elementwise.

    Args:
        target: probabilities of the shape of `output`.
        output: probabilities, clipped to [epsilon, 1 - epsilon]; or logits.
        from_logits: whether `output` holds logits.
    """
    output = to_float(output)
    target = to_dtype(convert(target), output.dtype)
    _same_shape("binary_crossentropy", target, output)
    logits = output if from_logits else _logits_of(output, "sigmoid")
    if logits is not None:
        return apply("sigmoid_cross_entropy", logits, target)
    epsilon = config.epsilon()
    p = apply("clip", output, min=epsilon, max=1.0 - epsilon)
    one = _number(1.0, p)
    hit = apply("multiply", target, apply("log", p))
    miss = apply(
        "multiply", apply("subtract", one, target), apply("log", apply("subtract", one, p))
    )
    return apply("negative", apply("add", hit, miss))


__all__ = [
    "binary_crossentropy",
    "categorical_crossentropy",
    "sparse_categorical_crossentropy",
]
