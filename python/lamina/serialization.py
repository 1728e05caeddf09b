"""Turn objects into plain configs and back, in the form Keras 3 writes.

An object becomes `{"module", "class_name", "config", "registered_name"}`. lamina's own classes
are written under `keras.*`, so that configs and files travel both ways; `keras.*`, `tf_keras.*`
and `lamina.*` are all read. Reading never imports a module: a class or function that is not
lamina's must be registered, or be passed as a custom object.
"""

from __future__ import annotations

import base64
import importlib
import inspect
import marshal
import threading
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np

from lamina.validation import did_you_mean, short_repr

T = TypeVar("T")

_objects_by_name: dict[str, Any] = {}
_names_by_object: dict[Any, str] = {}
_PLAIN_TYPES = (str, int, float, bool)
_FAMILIES = (
    "layers",
    "models",
    "initializers",
    "regularizers",
    "constraints",
    "activations",
    "losses",
    "metrics",
    "optimizers",
    "optimizers.schedules",
    "random",
    "dtype_policies",
    "callbacks",
    "quantizers",
)


class _State(threading.local):
    custom_objects: dict[str, Any]
    unsafe = False
    shared: dict[Any, Any] | None = None  # layers, or their numbers, while a file is made or read

    def __init__(self) -> None:
        self.custom_objects = {}


_state = _State()


# Registration


def register_keras_serializable(
    package: str = "Custom", name: str | None = None
) -> Callable[[T], T]:
    """Register a class or function under `package>name`, so that configs can name it.

    Args:
        package: prefix that keeps projects apart.
        name: registered name; the object's own name when None.

    Raises:
        ValueError: for a class without `get_config`.
    """

    def decorator(target: T) -> T:
        registered_name = f"{package}>{name or target.__name__}"  # type: ignore[attr-defined]
        if inspect.isclass(target) and not hasattr(target, "get_config"):
            raise ValueError(
                f"register_keras_serializable: class {target.__name__} needs a get_config() method."
            )
        _objects_by_name[registered_name] = target
        _names_by_object[target] = registered_name
        return target

    return decorator


def get_registered_name(obj: Any) -> str:
    """Return the name `obj` was registered under, or its own name."""
    try:
        registered = _names_by_object.get(obj)
    except TypeError:  # unhashable
        registered = None
    return registered or obj.__name__


def get_registered_object(
    name: str,
    custom_objects: dict[str, Any] | None = None,
    module_objects: dict[str, Any] | None = None,
) -> Any:
    """Return the class or function registered as `name`, or None."""
    for known in (_state.custom_objects, _objects_by_name, custom_objects, module_objects):
        if known and name in known:
            return known[name]
    return None


def get_custom_objects() -> dict[str, Any]:
    """Return the live dict of registered objects by name."""
    return _objects_by_name


class CustomObjectScope:
    """Make names known while a `with` block runs.

    Args:
        custom_objects: dict from name to class or function.
    """

    def __init__(self, custom_objects: dict[str, Any] | None) -> None:
        self._added = dict(custom_objects or {})
        self._outer: dict[str, Any] = {}

    def __enter__(self) -> CustomObjectScope:
        self._outer = _state.custom_objects
        _state.custom_objects = {**self._outer, **self._added}
        return self

    def __exit__(self, *exception: object) -> None:
        _state.custom_objects = self._outer


custom_object_scope = CustomObjectScope


def enable_unsafe_deserialization() -> None:
    """Allow configs to carry Python code (lambdas) in this thread. Only for files you trust."""
    _state.unsafe = True


@contextmanager
def _safe_mode(safe: bool) -> Iterator[None]:
    outer = _state.unsafe
    _state.unsafe = outer or not safe
    try:
        yield
    finally:
        _state.unsafe = outer


@contextmanager
def object_sharing() -> Iterator[None]:
    """Mark each layer that is written with a number, and read equal numbers as one layer."""
    outer = _state.shared
    _state.shared = {}
    try:
        yield
    finally:
        _state.shared = outer


# Writing


def public_module(target: Any) -> str | None:
    """Return the module a class or function is written under: `keras.layers` for lamina's own.

    None for those of a script, whose "__main__" another process has under another meaning.
    """
    parts = (target.__module__ or "").split(".")
    if parts[0] != "lamina":
        return None if target.__module__ == "__main__" else target.__module__
    family = parts[1] if len(parts) > 1 else ""
    if target.__name__ == "Functional":
        return "keras.src.models.functional"
    if family in ("models", "dtype_policies"):
        return "keras"
    if family == "optimizers" and "schedule" in ".".join(parts[2:]):
        return "keras.optimizers.schedules"
    return f"keras.{family}"


def serialize_keras_object(obj: Any) -> Any:
    """Return a JSON-able description of `obj`.

    Plain values stay, containers are walked, arrays become lists with their dtype, functions
    become their registered name, and objects with `get_config` become a config dict.

    Raises:
        ValueError: for an object that has no `get_config`.
    """
    from lamina.tensor import KerasTensor, Tensor
    from lamina.variable import Variable

    if obj is None or isinstance(obj, _PLAIN_TYPES):
        return obj
    if isinstance(obj, (list, tuple)):
        return type(obj)(serialize_keras_object(item) for item in obj)
    if isinstance(obj, dict):
        return {key: serialize_keras_object(value) for key, value in obj.items()}
    if isinstance(obj, bytes):
        return {"class_name": "__bytes__", "config": {"value": obj.decode("utf-8")}}
    if obj is Ellipsis:
        return {"class_name": "__ellipsis__", "config": {}}
    if isinstance(obj, slice):
        ends = (serialize_keras_object(end) for end in (obj.start, obj.stop, obj.step))
        return {
            "class_name": "__slice__",
            "config": dict(zip(("start", "stop", "step"), ends, strict=True)),
        }
    if isinstance(obj, KerasTensor):
        operation, node_index, tensor_index = obj.history
        return {
            "class_name": "__keras_tensor__",
            "config": {
                "shape": list(obj.shape),
                "dtype": obj.dtype,
                "keras_history": [operation.name, node_index, tensor_index],
            },
        }
    if isinstance(obj, (Tensor, Variable)):
        array = np.asarray(obj.numpy())
        return {
            "class_name": "__tensor__",
            "config": {"value": array.tolist(), "dtype": array.dtype.name},
        }
    if isinstance(obj, (np.ndarray, np.generic)):
        if np.ndim(obj) == 0:
            return obj.item()
        return {
            "class_name": "__numpy__",
            "config": {"value": obj.tolist(), "dtype": obj.dtype.name},
        }
    if isinstance(obj, np.dtype):
        return obj.name
    if isinstance(obj, types.FunctionType):
        return _serialize_function(obj)
    if hasattr(obj, "serialized_form"):  # a recorded op of a functional graph
        return obj.serialized_form()
    if inspect.isclass(obj) or not callable(getattr(obj, "get_config", None)):
        if hasattr(obj, "__name__"):
            return _described(obj, "function", obj.__name__)
        raise ValueError(
            f"serialize_keras_object: {short_repr(obj)} of type {type(obj).__name__} has no "
            "get_config() method."
        )
    return _serialize_instance(obj)


def _described(target: Any, class_name: str, config: Any) -> dict[str, Any]:
    return {
        "module": public_module(target),
        "class_name": class_name,
        "config": config,
        "registered_name": get_registered_name(target),
    }


def _serialize_function(function: types.FunctionType) -> dict[str, Any]:
    if function.__name__ != "<lambda>":
        return {
            "module": "builtins",
            "class_name": "function",
            "config": get_registered_name(function),
            "registered_name": "function",
        }
    closure = [cell.cell_contents for cell in function.__closure__ or ()]
    return {
        "class_name": "__lambda__",
        "config": {
            "code": base64.b64encode(marshal.dumps(function.__code__)).decode("ascii"),
            "defaults": serialize_keras_object(function.__defaults__),
            "closure": serialize_keras_object(closure) or None,
        },
    }


def _serialize_instance(obj: Any) -> dict[str, Any]:
    cls = type(obj)
    module = public_module(cls)
    built_in = cls.__module__.split(".")[0] == "lamina" and cls not in _names_by_object
    registered = None if built_in and cls.__name__ != "Functional" else get_registered_name(cls)
    form: dict[str, Any] = {
        "module": module,
        "class_name": cls.__dict__.get("_public_name", cls.__name__),
        "config": serialize_keras_object(obj.get_config()),
        "registered_name": registered,
    }
    for key in ("build_config", "compile_config"):
        getter = getattr(obj, f"get_{key}", None)
        value = getter() if getter is not None else None
        if value is not None:
            form[key] = serialize_keras_object(value)
    if _state.shared is not None and _is_layer(cls):
        form["shared_object_id"] = _state.shared.setdefault(id(obj), len(_state.shared))
    return form


def _is_layer(cls: Any) -> bool:
    from lamina.layers.base import Layer

    return inspect.isclass(cls) and issubclass(cls, Layer)


# Reading


def deserialize_keras_object(
    config: Any,
    custom_objects: dict[str, Any] | None = None,
    safe_mode: bool = True,
    **kwargs: Any,
) -> Any:
    """Make the object that `serialize_keras_object` described.

    Args:
        config: what `serialize_keras_object` returned.
        custom_objects: dict from name to class or function, for this call.
        safe_mode: when True, refuse configs that carry Python code.

    Raises:
        TypeError: when the class is unknown or the config does not fit it.
        ValueError: when the config carries code and `safe_mode` is on.
    """
    module_objects = kwargs.pop("module_objects", None)
    if kwargs:
        raise TypeError(f"deserialize_keras_object: unknown argument {next(iter(kwargs))!r}.")
    with CustomObjectScope(custom_objects), _safe_mode(safe_mode):
        return _deserialize(config, module_objects)


def _deserialize(config: Any, module_objects: dict[str, Any] | None = None) -> Any:
    if config is None or isinstance(config, (int, float, bool, bytes)):
        return config
    if isinstance(config, str):
        found = get_registered_object(config, module_objects=module_objects)
        return config if found is None else found
    if isinstance(config, (list, tuple)):
        return type(config)(_deserialize(item) for item in config)
    if not isinstance(config, dict):
        raise TypeError(f"deserialize_keras_object: cannot read {short_repr(config)}.")
    if "class_name" not in config or "config" not in config:
        return {key: _deserialize(value) for key, value in config.items()}
    special = _SPECIAL.get(config["class_name"])
    if special is not None:
        return special(config["config"])
    if config["class_name"] == "function":
        if not isinstance(config["config"], str):
            raise TypeError(
                "deserialize_keras_object: the 'config' of a function is its name. Got "
                f"{short_repr(config['config'])}."
            )
        return _find(config, config["config"], is_function=True, module_objects=module_objects)
    cls = _find(config, config["class_name"], is_function=False, module_objects=module_objects)
    if inspect.isfunction(cls):
        return cls
    return _instantiate(cls, config)


def _instantiate(cls: Any, config: dict[str, Any]) -> Any:
    if not hasattr(cls, "from_config"):
        raise TypeError(
            f"deserialize_keras_object: Unable to reconstruct an instance of {cls.__name__}: the "
            "class has no from_config()."
        )
    shared = config.get("shared_object_id") if _is_layer(cls) else None
    if _state.shared is not None and isinstance(_state.shared.get(shared), cls):
        return _state.shared[shared]
    instance = _from_config(cls, config["config"])
    build_config = config.get("build_config")
    if build_config and hasattr(instance, "build_from_config"):
        instance.build_from_config(_deserialize(build_config))
    compile_config = config.get("compile_config")
    if compile_config and hasattr(instance, "compile_from_config"):
        instance.compile_from_config(compile_config)
    if _state.shared is not None and shared is not None:
        _state.shared[shared] = instance
    return instance


def _from_config(cls: Any, config: Any) -> Any:
    if not isinstance(config, dict):
        raise TypeError(
            f"deserialize_keras_object: Expected 'config' to be a dict for class {cls.__name__}, "
            f"got {short_repr(config)}."
        )
    try:
        return cls.from_config(config)
    except TypeError as error:
        if cls.__module__.startswith("lamina."):
            raise
        raise TypeError(
            f"{cls.__name__}.from_config() failed: {error}. If its config holds layers or other "
            "objects, make sure that they are explicitly deserialized in from_config()."
        ) from error


def _read_lambda(config: dict[str, Any]) -> Callable[..., Any]:
    if not _state.unsafe:
        raise ValueError(
            "deserialize_keras_object: this config carries a Python lambda, and loading it means "
            "arbitrary code execution. Pass safe_mode=False if you trust where it comes from."
        )
    code = marshal.loads(base64.b64decode(config["code"]))
    defaults = _deserialize(config["defaults"])
    closure = tuple(types.CellType(_deserialize(item)) for item in config.get("closure") or ())
    return types.FunctionType(
        code, {"__builtins__": __builtins__}, "<lambda>", tuple(defaults or ()) or None, closure
    )


def _read_tensor(config: dict[str, Any]) -> Any:
    from lamina.tracing import convert

    return convert(np.array(config["value"], dtype=config["dtype"]))


_SPECIAL: dict[str, Callable[[Any], Any]] = {
    "__bytes__": lambda config: config["value"].encode("utf-8"),
    "__ellipsis__": lambda config: Ellipsis,
    "__slice__": lambda config: slice(
        _deserialize(config["start"]),
        _deserialize(config["stop"]),
        _deserialize(config["step"]),
    ),
    "__numpy__": lambda config: np.array(config["value"], dtype=config["dtype"]),
    "__tensor__": _read_tensor,
    "__lambda__": _read_lambda,
}


# Configs that name a module under one of these mean a class of ours.
_OWN_ROOTS = ("keras", "tf_keras", "lamina", "tensorflow", "builtins", "")


def _find(
    config: dict[str, Any], name: str, *, is_function: bool, module_objects: dict[str, Any] | None
) -> Any:
    """Find the class or function a config names."""
    registered_name = config.get("registered_name")
    for key in (registered_name, name):
        found = get_registered_object(key, module_objects=module_objects) if key else None
        if found is not None:
            return found
    module = config.get("module") or ""
    own = _own_function if is_function else _own_class
    found = own(module, name) if module.split(".")[0] in _OWN_ROOTS else None
    if found is None and is_function:  # Keras 3.6 left the package out
        named = [key for key in _objects_by_name if key.endswith(f">{name}")]
        found = _objects_by_name[named[0]] if len(named) == 1 else None
    elif found is not None and registered_name not in (None, "", "function", name):
        raise ValueError(
            f"The config names {name!r} and registered_name {registered_name!r}, which is not "
            f"registered; {name!r} resolved to a Keras built-in, which has no such name."
        )
    if found is None:
        kind = "function" if is_function else "class"
        raise TypeError(
            f"Could not locate {kind} {name!r} (module {module!r}). If it is your own, register it "
            f"with register_keras_serializable() or pass custom_objects={{{name!r}: ...}}."
            f"{did_you_mean(name, _public_names())}"
        )
    return found


def _own_modules(module: str) -> Iterator[Any]:
    """Yield lamina's public modules, the ones named in `module` first."""
    named = [part for part in module.split(".") if part in _FAMILIES]
    for family in dict.fromkeys([*named, *_FAMILIES]):
        yield importlib.import_module(f"lamina.{family}")


def _own_class(module: str, name: str) -> Any:
    for family in _own_modules(module):
        found = None if name.startswith("_") else getattr(family, name, None)
        if inspect.isclass(found) and found.__module__.startswith("lamina."):
            return found
    return None


def _own_function(module: str, name: str) -> Any:
    """Find a function on tensors; the others (to save, load, look up) are not for configs."""
    del module
    for family in ("activations", "losses", "metrics"):
        public = importlib.import_module(f"lamina.{family}")
        members = {*public._registry.objects, *getattr(public, "__all__", ())}
        found = getattr(public, name, None) if name in members else None
        if callable(found) and name not in ("get", "serialize", "deserialize"):
            return found
    return None


def _public_names() -> list[str]:
    return [name for family in _own_modules("") for name in getattr(family, "__all__", ())]
