"""Write docs/keras-compatibility.md: each public name of Keras 3 and how lamina stands to it.

Command: python tools/compatibility/report.py          (--check: is the file current?)

A name is `same` when lamina has it with the same arguments, defaults and members and the tests
exercise it; `differs` and `absent` carry a reason, which `notes.py` holds. What exists, which
arguments it takes and what the tests use is read from the code, so the table can't say otherwise.
"""

from __future__ import annotations

import ast
import fnmatch
import importlib
import inspect
import json
import os
import sys
import textwrap
import types
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("KERAS_BACKEND", "torch")
HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PAGE = ROOT / "docs" / "keras-compatibility.md"
sys.path.insert(0, str(ROOT))

from tools.compatibility import evidence, keras_names, notes  # noqa: E402

MISSING = object()


class Row(NamedTuple):
    """One line of the table."""

    name: str
    status: str  # same | differs | absent
    proof: str  # reference values | tests | ""
    remark: str


def look_up(root: types.ModuleType, path: str) -> Any:
    """The object at a dotted path, importing modules on the way; MISSING where there is none."""
    here: Any = root
    for part in path.split("."):
        if isinstance(here, types.ModuleType) and not hasattr(here, part):
            try:
                importlib.import_module(f"{here.__name__}.{part}")
            except ImportError:
                return MISSING
        here = getattr(here, part, MISSING)
        if here is MISSING:
            return MISSING
    return here


def argument_differences(theirs: list[str] | None, ours: list[str] | None) -> list[str]:
    """What a caller would notice: arguments missing, in another place, or with another default."""
    if theirs is None or ours is None:
        return []
    wanted = [a for a in theirs if not a.startswith(("*", "_"))]
    given = {a.partition("=")[0]: a for a in ours if not a.startswith("*")}
    takes_any = any(a.startswith("**") for a in ours)
    found = []
    for argument in wanted:
        name, _, default = argument.partition("=")
        if name not in given:
            if not takes_any:
                found.append(f"no argument `{name}`")
        elif default and given[name].partition("=")[2] != default:
            other = given[name].partition("=")[2] or "none"
            found.append(f"default of `{name}` is {other}, not {default}")
    positional = [a.partition("=")[0] for a in _before_star(theirs)]
    mine = [a.partition("=")[0] for a in _before_star(ours)]
    shared = [n for n in positional if n in given]
    unnamed = any(n.startswith("_") for n in positional)  # of no use to a caller by name
    takes_any = "".join(ours).startswith("*")
    if not (found or unnamed or takes_any or mine[: len(shared)] == shared):
        found.append(f"order of arguments: {', '.join(mine)}")
    return found


def _before_star(arguments: list[str]) -> list[str]:
    ends = [i for i, a in enumerate(arguments) if a.startswith("*")]
    return arguments[: ends[0]] if ends else arguments


def attributes_set(cls: type) -> set[str]:
    """Names that the methods of a class and its bases set on `self`."""
    found = set()
    for base in cls.__mro__:
        if not base.__module__.startswith("lamina"):
            continue
        found.update(getattr(base, "__slots__", ()))
        found.update(getattr(base, "__annotations__", ()))
        tree = ast.parse(textwrap.dedent(inspect.getsource(base)))
        for node in ast.walk(tree):
            if (
                isinstance(node, ast.Attribute)
                and isinstance(node.ctx, ast.Store)
                and isinstance(node.value, ast.Name)
                and node.value.id == "self"
            ):
                found.add(node.attr)
    return found


def member_differences(members: dict[str, Any], cls: type) -> list[str]:
    """Members of the Keras class that are not there or take other arguments."""
    found = []
    instance: set[str] | None = None
    for name, theirs in members.items():
        ours = getattr(cls, name, MISSING)
        if ours is MISSING:
            instance = attributes_set(cls) if instance is None else instance
            if name not in instance and not hasattr(cls, "__getattr__"):
                found.append(f"no `{name}`")
        elif theirs != "property" and callable(ours):
            differences = argument_differences(theirs, keras_names.signature_of(ours))
            found += [f"`{name}`: {d}" for d in differences]
    return found


def note_for(table: dict[str, str], name: str) -> str:
    """The remark whose pattern fits `name`; the longest pattern wins."""
    fitting = [pattern for pattern in table if fnmatch.fnmatchcase(name, pattern)]
    return table[max(fitting, key=len)] if fitting else ""


def row_of(
    name: str, canonical: str, entry: dict[str, Any], lamina: types.ModuleType, proofs: Any
) -> Row:
    ours = look_up(lamina, name)
    if ours is MISSING:
        return Row(name, "absent", "", note_for(notes.ABSENT, name))
    found = []
    if entry["kind"] in ("class", "function"):
        if not callable(ours):
            found.append(f"is not a {entry['kind']}")
        else:
            found += argument_differences(entry["signature"], keras_names.signature_of(ours))
    if entry["kind"] == "class" and isinstance(ours, type):
        found += member_differences(entry["members"], ours)
    reason = note_for(notes.DIFFERS, canonical)
    remark = ": ".join(filter(None, ["; ".join(found), reason]))
    return Row(name, "differs" if remark else "same", proofs(name, ours), remark)


def rows() -> Iterator[Row]:
    """A row for each public name of Keras; a second name of one object has its row too."""
    import lamina

    names = json.loads((HERE / "keras_names.json").read_text())["names"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        values = evidence.from_reference_values(lamina)
    namespaces = {name.rpartition(".")[0] for name in names}
    tested = evidence.from_test_files(namespaces) | evidence.from_contract()
    valued = {id(look_up(lamina, name)) for name in values}
    used = {id(look_up(lamina, name)) for name in tested}

    def proofs(name: str, ours: Any) -> str:
        if name in values or (callable(ours) and id(ours) in valued):
            return "reference values"
        return "tests" if name in tested or (callable(ours) and id(ours) in used) else ""

    for name, entry in names.items():
        canonical = entry.get("alias")
        row = row_of(
            name, canonical or name, names[canonical] if canonical else entry, lamina, proofs
        )
        if canonical and row.status == "same":
            row = row._replace(remark=f"also `{canonical}`")
        yield row


def page(table: list[Row]) -> str:
    """The page as Markdown."""
    version = json.loads((HERE / "keras_names.json").read_text())["version"]
    count = Counter(row.status for row in table)
    lines = [
        "# lamina and Keras 3, name by name",
        "",
        "Made by `python tools/compatibility/report.py` from the code and the tests; the names are",
        f"those of Keras {version}. {count['same']} are the same, {count['differs']} differ in",
        f"something that is said, {count['absent']} are absent for the reason given.",
        "",
        "*Proof*: `reference values` means that a test compares results with those of real Keras,",
        "`tests` that the tests use the name otherwise.",
        "",
        notes.SUITE.strip(),
        "",
    ]  # fmt: skip
    groups: dict[str, list[Row]] = {}
    for row in table:
        groups.setdefault(row.name.rpartition(".")[0], []).append(row)
    for namespace, members in groups.items():
        lines += [f"## {namespace or 'top level'}", "", "| name | | proof | remark |"]
        lines += ["| --- | --- | --- | --- |"]
        lines += [
            f"| `{r.name.rpartition('.')[2]}` | {r.status} | {r.proof} | {r.remark} |".replace(
                "  |", " |"
            )
            for r in members
        ]
        lines.append("")
    return "\n".join(lines)


def main() -> int:
    table = list(rows())
    text = page(table)
    unexplained = [r.name for r in table if r.status == "absent" and not r.remark]
    unproven = [r.name for r in table if r.status != "absent" and not r.proof]
    for title, names in (("absent without a reason", unexplained), ("without proof", unproven)):
        if names:
            print(f"{title} ({len(names)}): {', '.join(names)}")
    if "--check" in sys.argv:
        current = PAGE.exists() and PAGE.read_text(encoding="utf-8") == text
        print("current" if current else "docs/keras-compatibility.md is out of date: run report.py")
        return 0 if current and not unexplained and not unproven else 1
    PAGE.write_text(text, encoding="utf-8")
    print(Counter(row.status for row in table))
    return 0


if __name__ == "__main__":
    sys.exit(main())
