"""Layers as plain values, and back."""

from __future__ import annotations

import inspect
from typing import Any

from lamina import dtype_policies, regularizers, structure


class LayerConfiguration:
    """`get_config` and `from_config` of a layer."""

    name: str
    trainable: bool
    autocast: bool
    activity_regularizer: Any
    _dtype_policy: dtype_policies.DTypePolicy

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments as plain values.

        Raises:
            NotImplementedError: when the subclass has arguments that cannot be described; it
                must then define `get_config` itself.
        """
        config: dict[str, Any] = {"name": self.name, "trainable": self.trainable}
        config["dtype"] = dtype_policies.serialize(self._dtype_policy)
        if self.activity_regularizer is not None:
            config["activity_regularizer"] = regularizers.serialize(self.activity_regularizer)
        if type(self).get_config is not LayerConfiguration.get_config:
            return config
        config = {**captured_arguments(self), **config}
        if "activity_regularizer" in inspect.signature(type(self).__init__).parameters:
            config.setdefault("activity_regularizer", None)
        if "autocast" in inspect.signature(type(self).__init__).parameters:
            config["autocast"] = self.autocast
        return config

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """Make a layer from `get_config()`.

        Keys that this class does not know are dropped when they are None, and refused by name
        otherwise.
        """
        config = dict(config)
        config.update(_plain_dtype(config.get("dtype")))
        parameters = inspect.signature(cls.__init__).parameters
        if config.get("quantization_config", 0) is None and "quantization_config" not in parameters:
            del config["quantization_config"]
        try:
            return cls(**config)
        except (TypeError, ValueError) as error:
            raise TypeError(f"{cls.__name__}.from_config: {error}.") from error


def captured_arguments(operation: Any) -> dict[str, Any]:
    """Return what the constructor was called with, for classes without `get_config`."""
    args, kwargs = operation.__dict__["_init_arguments"]
    try:
        bound = inspect.signature(type(operation).__init__).bind(operation, *args, **kwargs)
    except TypeError:
        return {}
    bound.apply_defaults()
    arguments: dict[str, Any] = {}
    for parameter in list(bound.signature.parameters.values())[1:]:
        value = bound.arguments.get(parameter.name)
        if parameter.kind is parameter.VAR_KEYWORD:
            arguments.update(value or {})
        elif parameter.kind is not parameter.VAR_POSITIONAL:
            arguments[parameter.name] = value
    for own in ("name", "trainable", "dtype", "activity_regularizer", "autocast"):
        arguments.pop(own, None)
    for name, value in arguments.items():
        if not _is_plain(value):
            raise NotImplementedError(
                f"{type(operation).__name__} needs a get_config() method: its argument "
                f"{name!r} is a {type(value).__name__}, which has no plain form."
            )
    return arguments


def _plain_dtype(dtype: Any) -> dict[str, Any]:
    """`dtype` of a config as constructors have always known it: a name, where one says it all."""
    if not isinstance(dtype, dict):
        return {}
    policy = dtype_policies.deserialize(dtype)
    is_name = type(policy) is dtype_policies.DTypePolicy
    return {"dtype": policy.name if is_name else policy}


def _is_plain(value: Any) -> bool:
    return all(
        leaf is None or isinstance(leaf, (bool, int, float, str))
        for leaf in structure.iterate(value)
    )
