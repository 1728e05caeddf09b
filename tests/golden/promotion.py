"""What Keras promotes every pair of types to, Python numbers included."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

FILE = Path(__file__).parent / "promotion.json"
NAMES = (
    "bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "float16",
    "bfloat16", "float32", "float64",
)  # fmt: skip
PYTHON_TYPES: dict[str, Any] = {"int*": int, "float*": float, "bool*": bool, "None": None}


def save(keras: Any) -> None:
    """Write the table of `keras.backend.result_type`."""
    kinds = {**{name: name for name in NAMES}, **PYTHON_TYPES}
    table = {
        f"{a},{b}": keras.backend.result_type(kinds[a], kinds[b])
        for a, b in itertools.product(kinds, repeat=2)
    }
    FILE.write_text(json.dumps(table, indent=0, sort_keys=True) + "\n", encoding="utf-8")
