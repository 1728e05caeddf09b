"""List the public names of real Keras 3, with signatures and members, into keras_names.json.

Command: KERAS_BACKEND=torch python tools/compatibility/keras_names.py   (where Keras is installed)

Only facts about the interface are kept: names, argument names and default values.
"""

from __future__ import annotations

import inspect
import json
import os
import types
from pathlib import Path
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "torch")

HERE = Path(__file__).parent
# Pretrained networks are named as a whole, not one by one.
WHOLE = ("applications",)
# Members that exist only because Keras runs on another framework here.
FOREIGN = ("torch_params", "forward", "named_parameters")


def default_text(value: Any) -> str:
    """A default as text; objects without a stable text become their class's name."""
    simple = value is None or isinstance(value, (bool, int, float, str))
    if simple or (isinstance(value, (tuple, list, dict)) and "0x" not in repr(value)):
        return repr(value)
    return getattr(value, "__name__", type(value).__name__)


def signature_of(obj: Any) -> list[str] | None:
    """["units", "activation=None", "*args", "*", "name=None", "**kwargs"] without self.

    None where Python knows no signature. A lone "*" comes before arguments given by name only.
    """
    try:
        parameters = list(inspect.signature(obj).parameters.values())
    except (TypeError, ValueError):
        return None
    marks = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}
    texts: list[str] = []
    for p in parameters:
        if p.name == "self":
            continue
        if p.kind is p.KEYWORD_ONLY and not any(t.startswith("*") for t in texts):
            texts.append("*")
        default = "" if p.default is p.empty else "=" + default_text(p.default)
        texts.append(marks.get(p.kind, "") + p.name + default)
    return texts


def members_of(cls: type, package: str) -> dict[str, Any]:
    """Public methods (with signatures) and properties that classes of `package` define."""
    found: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        if not base.__module__.startswith(package):
            continue
        for name, raw in vars(base).items():
            if name.startswith("_") or name in FOREIGN:
                continue
            if isinstance(raw, property):
                found[name] = "property"
            elif callable(getattr(base, name, None)) and not isinstance(raw, type):
                found[name] = signature_of(getattr(base, name))
    return found


def without_inherited(names: dict[str, dict[str, Any]], classes: dict[type, str]) -> None:
    """Keep of a class's members those that no public base class has in the same form."""
    complete = {path: dict(names[path]["members"]) for path in classes.values()}
    for cls, path in classes.items():
        for base in cls.__mro__[1:]:
            inherited = complete.get(classes.get(base, ""), {})
            members = names[path]["members"]
            names[path]["members"] = {
                m: v for m, v in members.items() if m not in inherited or inherited[m] != v
            }


def describe(obj: Any, package: str) -> dict[str, Any]:
    """Kind, signature and members of one public object."""
    if isinstance(obj, type):
        return {
            "kind": "class",
            "signature": signature_of(obj),
            "members": members_of(obj, package),
        }
    if callable(obj):
        return {"kind": "function", "signature": signature_of(obj)}
    return {"kind": "constant"}


def walk(module: types.ModuleType, package: str) -> dict[str, dict[str, Any]]:
    """Every public name below `module`; a second name of an object says whose alias it is."""
    found: dict[str, dict[str, Any]] = {}
    first: dict[int, str] = {}
    classes: dict[type, str] = {}
    level: list[tuple[str, types.ModuleType]] = [("", module)]
    while level:  # breadth first, so that the shortest name of an object comes first
        following = []
        for prefix, here in level:
            for name in sorted(n for n in dir(here) if not n.startswith("_")):
                obj = getattr(here, name)
                path = prefix + name
                if isinstance(obj, types.ModuleType):
                    if obj.__name__.startswith(package + ".") and ".src" not in obj.__name__:
                        if path in WHOLE:
                            found[path] = {"kind": "namespace"}
                        else:
                            following.append((path + ".", obj))
                elif id(obj) in first and callable(obj):
                    found[path] = {"alias": first[id(obj)]}
                else:
                    first[id(obj)] = path
                    found[path] = describe(obj, package)
                    if isinstance(obj, type):
                        classes[obj] = path
        level = following
    without_inherited(found, classes)
    return found


def main() -> None:
    import keras

    names = {"version": keras.__version__, "names": walk(keras, "keras")}
    text = json.dumps(names, indent=None, separators=(",", ":"), sort_keys=True)
    text = text.replace(',"names":', ',\n"names":').replace(']},"', ']},\n"')
    (HERE / "keras_names.json").write_text(text + "\n")
    print(f"{len(names['names'])} names of Keras {keras.__version__}, {len(text)} bytes")


if __name__ == "__main__":
    main()
