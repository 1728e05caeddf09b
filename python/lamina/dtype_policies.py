"""Which dtype a layer computes in and which its weights have."""

from __future__ import annotations

from typing import Any

from lamina import config

_DTYPES = ("float32", "float64", "int32", "int64", "uint8", "bool")


class DTypePolicy:
    """Compute and weight dtype of a layer, known by its name.

    Args:
        name: "float32" or "float64" (integer names are accepted for layers without weights).

    Raises:
        ValueError: for a dtype the engine does not compute in, such as "mixed_float16".
    """

    def __init__(self, name: str | None = None) -> None:
        name = config.floatx() if name is None else name
        if name not in _DTYPES:
            raise ValueError(
                f"DTypePolicy: lamina computes in float32 and float64, got {name!r}. "
                f"Use one of {', '.join(map(repr, _DTYPES))}."
            )
        self._name = name

    @property
    def name(self) -> str:
        """The policy's name."""
        return self._name

    @property
    def compute_dtype(self) -> str:
        """Dtype that floating point inputs are converted to."""
        return self._name

    @property
    def variable_dtype(self) -> str:
        """Dtype of new weights."""
        return self._name

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {"name": self._name}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> DTypePolicy:
        """Make a policy from `get_config()`."""
        return cls(**config)

    def __repr__(self) -> str:
        return f'<DTypePolicy "{self._name}">'

    def __eq__(self, other: object) -> bool:
        return isinstance(other, DTypePolicy) and other._name == self._name

    def __hash__(self) -> int:
        return hash(("DTypePolicy", self._name))


def serialize(policy: DTypePolicy) -> dict[str, Any]:
    """Return the form a policy has in a layer's config."""
    return {
        "module": "keras",
        "class_name": "DTypePolicy",
        "config": policy.get_config(),
        "registered_name": None,
    }


def get(identifier: Any) -> DTypePolicy:
    """Return the policy for None (the default dtype), a dtype name, a config or a policy."""
    if isinstance(identifier, DTypePolicy):
        return identifier
    if isinstance(identifier, dict):
        return DTypePolicy(**identifier.get("config", {}))
    if identifier is None or isinstance(identifier, str):
        return DTypePolicy(identifier)
    name = getattr(identifier, "__name__", None) or getattr(identifier, "name", None)
    if isinstance(name, str):
        return DTypePolicy(name)
    raise ValueError(f"dtype must be a name such as 'float32'. Got {identifier!r}.")
