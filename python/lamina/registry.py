"""Finding the objects of a family (losses, activations ...) by the names users write."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from lamina.names import to_snake_case
from lamina.validation import did_you_mean, short_repr


class Registry:
    """The named members of one family and the functions every family offers.

    Args:
        family: what messages call a member, e.g. "activation".
        objects: member classes and functions by every name they answer to.
        base: the class whose instances are members; None for a family of functions.
    """

    def __init__(self, family: str, objects: Mapping[str, Any], base: type | None = None) -> None:
        self.family = family
        self.objects = dict(objects)
        self.base = base

    def find(self, name: str, custom_objects: Mapping[str, Any] | None = None) -> Any:
        """Return the class or function called `name`, the user's registered ones first.

        Raises:
            ValueError: if nothing has that name; names the nearest one that exists.
        """
        from lamina import serialization  # a higher floor

        custom = serialization.get_registered_object(name, dict(custom_objects or {}))
        if custom is not None:
            return custom
        found = self.objects.get(name, self.objects.get(name.lower()))
        if found is None:
            raise ValueError(f"Unknown {self.family} {name!r}.{did_you_mean(name, self.objects)}")
        return found

    def get(self, identifier: Any) -> Any:
        """Turn a name, configuration, class, instance or function into a member; None stays."""
        if identifier is None or (self.base is not None and isinstance(identifier, self.base)):
            return identifier
        if isinstance(identifier, str):
            return self._instance(self.find(identifier))
        if isinstance(identifier, Mapping):
            return self.deserialize(identifier)
        if callable(identifier):
            return self._instance(identifier)
        raise ValueError(
            f"{self.family}: must be a name, configuration, class or function. "
            f"Got {short_repr(identifier)} of type {type(identifier).__name__}."
        )

    def deserialize(self, config: Any, custom_objects: Mapping[str, Any] | None = None) -> Any:
        """Build the member that `config`, a name or a Keras configuration, describes."""
        if config is None or (self.base is not None and isinstance(config, self.base)):
            return config
        if isinstance(config, str):
            return self._instance(self.find(config, custom_objects))
        if not isinstance(config, Mapping) or "class_name" not in config:
            raise ValueError(
                f"{self.family}: a configuration is a name or a dict with 'class_name' and "
                f"'config'. Got {short_repr(config)}."
            )
        from lamina import serialization  # a higher floor

        return serialization.deserialize_keras_object(
            dict(config), custom_objects=dict(custom_objects or {}), module_objects=self.objects
        )

    @staticmethod
    def _instance(member: Any) -> Any:
        return member() if inspect.isclass(member) else member


def named(*members: Any, **aliases: Any) -> dict[str, Any]:
    """Build a registry's names: each member under its own name, classes in snake_case too."""
    names: dict[str, Any] = {}
    for member in members:
        names[member.__name__] = member
        if inspect.isclass(member):
            names.setdefault(to_snake_case(member.__name__), member)
    names.update(aliases)
    return names
