"""Penalties on weights, which training adds to the loss."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lamina import ops, serialization
from lamina.registry import Registry, named
from lamina.tensor import Tensor
from lamina.validation import Real, check_argument


class Regularizer:
    """Base of all regularizers: subclasses define `__call__(x)`, which returns a scalar."""

    def __call__(self, x: Any) -> Any:
        return 0.0

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        raise NotImplementedError(f"{type(self).__name__} does not implement get_config()")

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Regularizer:
        """Build a regularizer from what `get_config` returned."""
        return cls(**config)


def _factor(owner: str, name: str, value: float | None) -> float:
    return check_argument(owner, name, 0.0 if value is None else value, Real(0))


class L1L2(Regularizer):
    """l1 * sum(|x|) + l2 * sum(x ** 2).

    Args:
        l1, l2: factors >= 0.
    """

    def __init__(self, l1: float = 0.0, l2: float = 0.0) -> None:
        self.l1, self.l2 = _factor("L1L2", "l1", l1), _factor("L1L2", "l2", l2)

    def __call__(self, x: Any) -> Any:
        penalty: Any = 0.0
        if self.l1:
            penalty = self.l1 * ops.sum(ops.abs(x))
        if self.l2:
            penalty = penalty + self.l2 * ops.sum(ops.square(x))
        return ops.convert_to_tensor(penalty)

    def get_config(self) -> dict[str, Any]:
        return {"l1": self.l1, "l2": self.l2}


class L1(Regularizer):
    """l1 * sum(|x|): drives weights to exactly 0.

    Args:
        l1: factor >= 0.
    """

    def __init__(self, l1: float = 0.01) -> None:
        self.l1 = _factor("L1", "l1", 0.01 if l1 is None else l1)

    def __call__(self, x: Any) -> Tensor:
        return self.l1 * ops.sum(ops.abs(x))

    def get_config(self) -> dict[str, Any]:
        return {"l1": self.l1}


class L2(Regularizer):
    """l2 * sum(x ** 2): keeps weights small.

    Args:
        l2: factor >= 0.
    """

    def __init__(self, l2: float = 0.01) -> None:
        self.l2 = _factor("L2", "l2", 0.01 if l2 is None else l2)

    def __call__(self, x: Any) -> Tensor:
        return self.l2 * ops.sum(ops.square(x))

    def get_config(self) -> dict[str, Any]:
        return {"l2": self.l2}


class OrthogonalRegularizer(Regularizer):
    """Mean absolute cosine between different rows (or columns) of a matrix, times `factor`.

    Args:
        factor: number >= 0.
        mode: "rows" or "columns".
    """

    def __init__(self, factor: float = 0.01, mode: str = "rows") -> None:
        self.factor = _factor("OrthogonalRegularizer", "factor", factor)
        if mode not in ("rows", "columns"):
            raise ValueError(
                'Invalid value for argument `mode`. Expected one of {"rows", "columns"}. '
                f"Received: mode={mode}"
            )
        self.mode = mode

    def __call__(self, x: Any) -> Tensor:
        if len(x.shape) != 2:
            raise ValueError(
                "Inputs to OrthogonalRegularizer must have rank 2. "
                f"Received: inputs.shape={tuple(x.shape)}"
            )
        vectors = ops.normalize(x if self.mode == "rows" else ops.transpose(x), axis=1)
        count = vectors.shape[0]
        cosines = ops.matmul(vectors, ops.transpose(vectors)) * (1.0 - ops.eye(count))
        pairs = max(count * (count - 1) / 2.0, 1.0)
        return self.factor * 0.5 * ops.sum(ops.abs(cosines)) / pairs

    def get_config(self) -> dict[str, Any]:
        return {"factor": self.factor, "mode": self.mode}


l1 = L1
l2 = L2
l1_l2 = L1L2
orthogonal_regularizer = OrthogonalRegularizer

_registry = Registry(
    "regularizer",
    named(L1, L1L2, L2, OrthogonalRegularizer, l1_l2=L1L2),
    Regularizer,
)


def get(identifier: Any) -> Any:
    """Return the regularizer that a name, configuration, class or function stands for.

    Raises:
        ValueError: if nothing has that name; suggests the nearest one.
    """
    return _registry.get(identifier)


def serialize(regularizer: Any) -> Any:
    """Return the configuration of a regularizer."""
    return serialization.serialize_keras_object(regularizer)


def deserialize(config: Any, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """Build the regularizer that `serialize` described."""
    return _registry.deserialize(config, custom_objects)
