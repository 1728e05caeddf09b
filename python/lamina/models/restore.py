"""Making a functional model's graph again from its config."""

from __future__ import annotations

from typing import Any

from lamina import ops, serialization, structure
from lamina.layers.node import OpCall
from lamina.validation import did_you_mean


def restore_graph(config: dict[str, Any]) -> tuple[Any, Any]:
    """Return the symbolic inputs and outputs that a functional config describes.

    Raises:
        ValueError: when the layers cannot be connected.
    """
    from lamina.models.functional import Functional

    operations = {form["name"]: _operation(form) for form in config["layers"]}
    pending = [
        (form["name"], _current_form(node))
        for form in config["layers"]
        for node in form.get("inbound_nodes", ())
    ]
    for _, node in pending:
        for source, _ in _sources(node):
            if source not in operations:
                raise ValueError(f"Cannot connect the layers of the config. Missing node: {source}")
    made: dict[tuple[str, int], list[Any]] = {}
    counts: dict[str, int] = {}
    for form in config["layers"]:
        if not form.get("inbound_nodes") and operations[form["name"]]._inbound_nodes:
            made[form["name"], 0] = operations[form["name"]]._inbound_nodes[0].output_tensors
    while pending:
        waiting = []
        blocked: set[str] = set()  # an operation's uses keep their order
        for name, node in pending:
            if name in blocked or not all(key in made for key in _sources(node)):
                waiting.append((name, node))
                blocked.add(name)
                continue
            index = counts.get(name, 0)
            counts[name] = index + 1
            args = _with_tensors(node.get("args", ()), made)
            kwargs = _with_tensors(node.get("kwargs", {}), made)
            if getattr(operations[name], "type_name", "") == "GetItem":
                args = (args[0], _as_key(args[1]))
            made[name, index] = structure.flatten(operations[name](*args, **kwargs))
        if len(waiting) == len(pending):
            raise ValueError(
                f"Cannot connect layer {waiting[0][0]!r}: the config has no source for it, or the "
                "layers form a loop."
            )
        pending = waiting

    def place(reference: Any) -> Any:
        name, node_index, tensor_index = reference
        # Keras counts a functional model's own graph as its first use, here only.
        offset = int(isinstance(operations[name], Functional))
        return made[name, node_index - offset][tensor_index]

    return (
        _map_references(place, config["input_layers"]),
        _map_references(place, config["output_layers"]),
    )


def _current_form(node: Any) -> dict[str, Any]:
    """A node as Keras 3 writes it: {"args", "kwargs"}.

    Keras 2 wrote a list of [layer name, node index, tensor index, keyword arguments], one for each
    tensor of the first argument.
    """
    if isinstance(node, dict):
        return node
    tensors = [_legacy_tensor(reference) for reference in node]
    keywords = node[0][3] if node and len(node[0]) > 3 else {}
    first = tensors[0] if len(tensors) == 1 else tensors
    return {
        "args": [first],
        "kwargs": {
            name: _legacy_tensor(value) if _is_legacy_tensor(value) else value
            for name, value in keywords.items()
        },
    }


def _legacy_tensor(reference: Any) -> dict[str, Any]:
    return {"class_name": "__keras_tensor__", "config": {"keras_history": list(reference[:3])}}


def _is_legacy_tensor(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) in (3, 4)
        and isinstance(value[0], str)
        and all(isinstance(index, int) for index in value[1:3])
    )


def _operation(form: dict[str, Any]) -> Any:
    module = form.get("module") or ""
    if module.startswith(("keras.ops", "keras.src.ops", "lamina.ops")):
        return _recorded_op(form)
    layer = serialization._deserialize(form)
    if not hasattr(layer, "_inbound_nodes"):
        raise ValueError(f"The config's layer {form.get('name')!r} is no layer: {form}.")
    if layer.name != form["name"]:
        layer.name = form["name"]
    return layer


def _recorded_op(form: dict[str, Any]) -> OpCall:
    """Find the op function; settings that Keras keeps in the config become keyword arguments."""
    known = {name.replace("_", "").lower(): name for name in dir(ops) if not name.startswith("_")}
    name = known.get(form["class_name"].replace("_", "").lower())
    if name is None:
        hint = did_you_mean(form["class_name"], known)
        raise ValueError(f"The config names an unknown op {form['class_name']!r}.{hint}")
    settings = {
        key: serialization._deserialize(value)
        for key, value in form["config"].items()
        if key not in ("name", "dtype")
    }
    return OpCall(getattr(ops, name), form["name"], settings)


def _as_key(key: Any) -> Any:
    """Return an index as it was written: JSON turns its tuple into a list."""
    return tuple(key) if isinstance(key, list) else key


def _is_tensor(value: Any) -> bool:
    return isinstance(value, dict) and value.get("class_name") == "__keras_tensor__"


def _sources(value: Any) -> list[tuple[str, int]]:
    """Return which uses of which operations a node's arguments come from."""
    if _is_tensor(value):
        name, node_index, _ = value["config"]["keras_history"]
        return [(name, node_index)]
    if isinstance(value, dict):
        return [source for item in value.values() for source in _sources(item)]
    if isinstance(value, (list, tuple)):
        return [source for item in value for source in _sources(item)]
    return []


def _with_tensors(value: Any, made: dict[tuple[str, int], list[Any]]) -> Any:
    if _is_tensor(value):
        name, node_index, tensor_index = value["config"]["keras_history"]
        return made[name, node_index][tensor_index]
    if isinstance(value, dict):
        if "class_name" in value and "config" in value:
            return serialization._deserialize(value)
        return {key: _with_tensors(item, made) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_with_tensors(item, made) for item in value)
    return value


def _map_references(place: Any, value: Any) -> Any:
    """Apply `place` to each [name, node index, tensor index] of a nested structure."""
    is_reference = (
        isinstance(value, (list, tuple))
        and len(value) == 3
        and isinstance(value[0], str)
        and isinstance(value[1], int)
    )
    if is_reference:
        return place(value)
    if isinstance(value, dict):
        return {key: _map_references(place, item) for key, item in value.items()}
    return type(value)(_map_references(place, item) for item in value)
