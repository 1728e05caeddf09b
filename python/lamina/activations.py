"""Activation functions of layers, by name or as functions.

Each takes a tensor of any shape and returns one of the same shape, unless it says otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from lamina import ops, serialization
from lamina.ops import nn
from lamina.registry import Registry, named
from lamina.tensor import Tensor
from lamina.tracing import symbolic_op

Activation = Callable[..., Any]

celu = ops.celu
elu = ops.elu
glu = ops.glu
hard_shrink = ops.hard_shrink
hard_sigmoid = ops.hard_sigmoid
hard_silu = ops.hard_silu
hard_tanh = ops.hard_tanh
leaky_relu = ops.leaky_relu
log_sigmoid = ops.log_sigmoid
log_softmax = ops.log_softmax
mish = nn.mish
relu6 = ops.relu6
selu = ops.selu
sigmoid = ops.sigmoid
silu = ops.silu
soft_shrink = ops.soft_shrink
softmax = ops.softmax
softplus = ops.softplus
softsign = ops.softsign
sparse_plus = ops.sparse_plus
sparse_sigmoid = ops.sparse_sigmoid
sparsemax = ops.sparsemax
squareplus = ops.squareplus
tanh = ops.tanh
tanh_shrink = ops.tanh_shrink
threshold = ops.threshold
hard_swish = hard_silu
swish = silu


@symbolic_op
def relu(
    x: Any,
    negative_slope: float = 0.0,
    max_value: float | None = None,
    threshold: float = 0.0,
) -> Tensor:
    """Keep values above `threshold`, at most `max_value`; below, follow a line.

    y = max_value                          where x >= max_value
    y = x                                  where threshold <= x < max_value
    y = negative_slope * (x - threshold)   elsewhere

    Args:
        x: tensor.
        negative_slope: slope of the line.
        max_value: upper bound, or None.
        threshold: where the line begins.

    >>> lamina.activations.relu([-1.0, 2.0])
    Tensor([0., 2.], dtype=float32)
    """
    if threshold == 0.0 and max_value is None:
        return ops.relu(x) if negative_slope == 0.0 else ops.leaky_relu(x, negative_slope)
    x = ops.convert_to_tensor(x)
    upper = ops.where(x > threshold, x, 0.0) if threshold else ops.relu(x)
    if max_value is not None:
        upper = ops.minimum(upper, max_value)
    if negative_slope == 0.0:
        return upper
    return upper - negative_slope * ops.relu(threshold - x)


@symbolic_op
def gelu(x: Any, approximate: bool = False) -> Tensor:
    """Return x times the normal distribution function of x, or its tanh approximation."""
    return ops.gelu(x, approximate)


@symbolic_op
def linear(x: Any) -> Any:
    """Return `x` unchanged."""
    return x


@symbolic_op
def exponential(x: Any) -> Tensor:
    """Return e to the power of each element."""
    return ops.exp(x)


_registry = Registry(
    "activation",
    named(
        celu,
        elu,
        exponential,
        gelu,
        glu,
        hard_shrink,
        hard_sigmoid,
        hard_silu,
        hard_tanh,
        leaky_relu,
        linear,
        log_sigmoid,
        log_softmax,
        mish,
        relu,
        relu6,
        selu,
        sigmoid,
        silu,
        soft_shrink,
        softmax,
        softplus,
        softsign,
        sparse_plus,
        sparse_sigmoid,
        sparsemax,
        squareplus,
        tanh,
        tanh_shrink,
        threshold,
        hard_swish=hard_silu,
        swish=silu,
    ),
)


def get(identifier: str | Activation | Mapping[str, Any] | None) -> Activation:
    """Return the activation that a name, function, layer or configuration stands for.

    None stands for `linear`.

    Raises:
        ValueError: if nothing has that name; suggests the nearest one.
    """
    return linear if identifier is None else _registry.get(identifier)


def serialize(activation: Activation) -> Any:
    """Return the name of an activation, or the configuration of one of the user's own."""
    name = getattr(activation, "__name__", None)
    if name is not None and _registry.objects.get(name) is activation:
        return name
    return serialization.serialize_keras_object(activation)


def deserialize(config: Any, custom_objects: Mapping[str, Any] | None = None) -> Activation:
    """Return the activation that `serialize` described."""
    return linear if config is None else _registry.deserialize(config, custom_objects)
