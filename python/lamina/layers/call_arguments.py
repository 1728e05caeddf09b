"""Checks of the arguments that layers are called with, and arguments that reach inner layers."""

from __future__ import annotations

from typing import Any

from lamina import structure
from lamina.layers.signature import CallSignature
from lamina.layers.state import context
from lamina.tensor import KerasTensor, Tensor


def check_positional(args: tuple[Any, ...], owner: str) -> None:
    """Raise a `ValueError` if an argument given by position holds anything but data."""
    for argument in args:
        if isinstance(argument, (Tensor, KerasTensor)) or argument is None:
            continue
        for leaf in structure.iterate(argument):
            if leaf is not None and not hasattr(leaf, "dtype"):
                raise ValueError(
                    f"{owner}: Only input tensors may be passed as unnamed arguments; other values "
                    f"need a name. Got {leaf!r} (of type {type(leaf).__name__})."
                )


def weight_arguments(args: tuple[Any, ...], shape: Any, initializer: Any, dtype: Any) -> list[Any]:
    """Join what `add_weight` got by position with what it got by keyword.

    Returns:
        shape, initializer and dtype.

    Raises:
        TypeError: for more than three positional arguments.
        ValueError: for a name in place of a shape, and for an argument given twice.
    """
    if len(args) > 3:
        raise TypeError(
            f"add_weight: takes at most 3 positional arguments (shape, initializer, dtype). "
            f"Got {len(args)}."
        )
    if args and isinstance(args[0], str):
        raise ValueError(
            "add_weight: the name must be given as a keyword argument: "
            f"add_weight(shape=..., name={args[0]!r})."
        )
    found = [shape, initializer, dtype]
    names = ("shape", "initializer", "dtype")
    for place, (name, value) in enumerate(zip(names, args, strict=False)):
        if found[place] is not None:
            raise ValueError(
                f"add_weight: `{name}` was passed both positionally and as a keyword argument."
            )
        found[place] = value
    return found


class CallContextArguments:
    """Arguments of a call that reach the layers called inside it, as `training` does."""

    _call_context_args = frozenset(("training",))
    _called = False

    def _register_call_context_args(self, *names: str) -> None:
        """Let calls of the layer take these keyword arguments, and hand them on inside.

        An inner layer sees one when it has registered it and its `call` takes it; a value given
        to it directly wins.

        Raises:
            RuntimeError: once the layer has been called.
        """
        if self._called:
            raise RuntimeError(
                "Cannot add call-context args after the layer has been called. Register them in "
                f"the constructor of {type(self).__name__}."
            )
        self._call_context_args |= set(names)

    def _resolve_context_arguments(self, call: CallSignature, kwargs: dict[str, Any]) -> None:
        outer = context.arguments or {}
        arguments = dict(outer)
        for name in sorted(self._call_context_args - {"training"}):
            value = kwargs.pop(name, None)
            value = outer.get(name) if value is None else value
            if value is None:
                continue
            arguments[name] = value
            if name in call.accepts:
                kwargs[name] = value
        context.arguments = arguments
