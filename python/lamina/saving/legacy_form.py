"""Configs as `.h5` files have them: class names and settings, without modules."""

from __future__ import annotations

import inspect
from typing import Any

from lamina import layers, serialization

Form = dict[str, Any]


def legacy_form(obj: Any) -> Any:
    """Return a model, or the parts of a compile config, as an `.h5` file describes them.

    Layers, losses, metrics and the optimizer are described by registered name and settings.
    What layers hold (initializers, wrapped layers ...) is described as in a `.keras` file.
    """
    if isinstance(obj, dict) and not _is_form(obj):
        return {key: legacy_form(value) for key, value in obj.items()}
    if isinstance(obj, (list, tuple)):
        return [legacy_form(item) for item in obj]
    if obj is None or isinstance(obj, (str, int, float)):
        return obj
    return _bare(obj if isinstance(obj, dict) else serialization.serialize_keras_object(obj))


def _is_form(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("class_name"), str)


def _bare(form: Form) -> Any:
    if form["class_name"] == "function":
        return form["config"]
    settings = form["config"]
    if isinstance(settings, dict) and isinstance(settings.get("layers"), list):
        settings = {**settings, "layers": [_bare(layer) for layer in settings["layers"]]}
    bare = {"class_name": _class_name(form), "config": settings}
    return {**bare, **{key: form[key] for key in ("name", "inbound_nodes") if key in form}}


def _class_name(form: Form) -> str:
    """Return the registered name of the user's class, else the class's own."""
    registered = form.get("registered_name")
    if registered and registered != "function":
        return str(registered)
    own = getattr(layers, form["class_name"], None)  # its public name may be another
    return own.__name__ if inspect.isclass(own) else str(form["class_name"])


# Single objects, as keras.legacy.saving has them


def serialize_keras_object(instance: Any) -> Any:
    """Return an object in the older form: `{"class_name", "config"}`, or a function's name.

    Raises:
        ValueError: for an object without `get_config` and without a name.
    """
    if instance is None:
        return None
    if hasattr(instance, "get_config") and not inspect.isclass(instance):
        name = serialization.get_registered_name(type(instance))
        try:
            settings = instance.get_config()
        except NotImplementedError:
            return {"class_name": name}
        return {"class_name": name, "config": {k: _described(v) for k, v in settings.items()}}
    if hasattr(instance, "__name__"):
        return serialization.get_registered_name(instance)
    raise ValueError(
        f"serialize_keras_object: {instance!r} has no get_config() method, and no name."
    )


def _described(value: Any) -> Any:
    """Return a setting in plain values; functions become names."""
    if isinstance(value, str) or value is None:
        return value
    if hasattr(value, "get_config") or inspect.isfunction(value):
        return serialize_keras_object(value)
    return value


def deserialize_keras_object(
    identifier: Any,
    module_objects: dict[str, Any] | None = None,
    custom_objects: dict[str, Any] | None = None,
    printable_module_name: str = "object",
) -> Any:
    """Make the object that `serialize_keras_object` described.

    Args:
        identifier: config dict, or the name of a function or class; None stays None.
        module_objects: dict from name to class or function among which to look.
        custom_objects: dict from name to the user's own, looked up first.
        printable_module_name: what the messages call such an object.

    Raises:
        ValueError: when nothing has that name, or the config is none.
    """
    if identifier is None:
        return None
    if isinstance(identifier, dict):
        if "class_name" not in identifier or "config" not in identifier:
            raise ValueError(
                f"deserialize_keras_object: Improper config format for {identifier}: it needs "
                "'class_name' and 'config'."
            )
        name, settings = identifier["class_name"], identifier["config"]
        cls = _found(name, module_objects, custom_objects, printable_module_name)
        with serialization.CustomObjectScope(custom_objects):
            if not hasattr(cls, "from_config"):
                return cls(**settings)
            if "custom_objects" in inspect.signature(cls.from_config).parameters:
                return cls.from_config(settings, custom_objects=dict(custom_objects or {}))
            return cls.from_config(settings)
    if isinstance(identifier, str):
        found = _found(identifier, module_objects, custom_objects, printable_module_name)
        return found() if inspect.isclass(found) else found
    if inspect.isfunction(identifier):
        return identifier
    raise ValueError(
        f"deserialize_keras_object: Could not interpret serialized {printable_module_name}: "
        f"{identifier!r}"
    )


def _found(
    name: str,
    module_objects: dict[str, Any] | None,
    custom_objects: dict[str, Any] | None,
    kind: str,
) -> Any:
    found = serialization.get_registered_object(name, custom_objects, module_objects)
    if found is None and module_objects is None:
        found = serialization._own_class("", name) or serialization._own_function("", name)
    if found is None:
        raise ValueError(
            f"deserialize_keras_object: Unknown {kind}: {name!r}. If it is your own, pass it in "
            "custom_objects or use a custom_object_scope."
        )
    return found
