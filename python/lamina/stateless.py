"""Running stateful code as a function of its state: values in, values out, variables unchanged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from lamina.scopes import StatelessScope
from lamina.tensor import Tensor
from lamina.variable import Variable


def call_with_values(
    fn: Callable[[], Any], variables: Sequence[Variable], values: Sequence[Any]
) -> tuple[Any, list[Tensor]]:
    """Call `fn` as if the variables had other values.

    Args:
        fn: reads and assigns the variables.
        variables: what it works on.
        values: one for each.

    Returns:
        What `fn` returned, and the values it left in the variables, which have their old ones.

    Raises:
        ValueError: if the numbers differ, or a value has another shape than its variable.
    """
    if len(variables) != len(values):
        raise ValueError(
            f"There must be one value for each variable. Got {len(values)} values for "
            f"{len(variables)} variables."
        )
    with StatelessScope(zip(variables, values, strict=True)):
        returned = fn()
        return returned, [variable.value for variable in variables]
