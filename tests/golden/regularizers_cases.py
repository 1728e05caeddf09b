"""Regularizers and constraints: values, names and configurations."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.golden.cases import Result, add, as_numpy, normal

W = normal(5, 4, seed=3)
REGULARIZERS: dict[str, tuple[str, dict[str, Any]]] = {
    "l1": ("L1", {}), "l1_value": ("L1", dict(l1=0.3)), "l2": ("L2", {}),
    "l2_value": ("L2", dict(l2=0.3)), "l1l2": ("L1L2", dict(l1=0.1, l2=0.2)),
    "orthogonal_rows": ("OrthogonalRegularizer", {}),
    "orthogonal_columns": ("OrthogonalRegularizer", dict(factor=0.1, mode="columns")),
}  # fmt: skip
CONSTRAINTS: dict[str, tuple[str, dict[str, Any]]] = {
    "max_norm": ("MaxNorm", dict(max_value=0.8)), "max_norm_axis1": ("MaxNorm", dict(
        max_value=0.8, axis=1)), "non_neg": ("NonNeg", {}), "unit_norm": ("UnitNorm", {}),
    "min_max_norm": ("MinMaxNorm", dict(min_value=0.5, max_value=0.9, rate=0.7)),
}  # fmt: skip


def case(key: str, module: str, name: str, kwargs: dict[str, Any]) -> None:
    def run(keras: Any) -> Result:
        made = getattr(getattr(keras, module), name)(**kwargs)
        value = np.asarray(as_numpy(made(keras.ops.convert_to_tensor(W))), "float32")
        config = {k: float(v) if isinstance(v, (int, float, np.floating)) else v
                  for k, v in made.get_config().items()}  # fmt: skip
        return {"value": value, "config": config}

    add("regularizers", key, run)


for each, (class_name, arguments) in REGULARIZERS.items():
    case(each, "regularizers", class_name, arguments)
for each, (class_name, arguments) in CONSTRAINTS.items():
    case(each, "constraints", class_name, arguments)


def by_name(keras: Any) -> Result:
    names = ("l1", "l2", "l1l2", "L1L2", "orthogonal_regularizer")
    return {n: type(keras.regularizers.get(n)).__name__ for n in names}


add("regularizers", "names", by_name)
