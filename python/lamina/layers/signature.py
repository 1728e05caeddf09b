"""What a layer's `call` and `build` accept, read once per function."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any


class CallSignature:
    """The argument names of a `call` method that the calling machinery cares about."""

    def __init__(self, function: Callable[..., Any]) -> None:
        parameters = list(inspect.signature(function).parameters.values())[1:]
        positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        self.names = [p.name for p in parameters if p.kind in positional]
        known = {p.name for p in parameters}
        self.needed = [p.name for p in parameters if p.default is p.empty and p.kind in positional]
        self.has_training = "training" in known
        self.training_position = self.names.index("training") if "training" in self.names else None
        self.training_default = next(
            (p.default for p in parameters if p.name == "training" and p.default is not p.empty),
            None,
        )
        self.mask_of = {name: f"{name}_mask" for name in self.names if f"{name}_mask" in known}
        if "mask" in known and self.names:
            self.mask_of.setdefault(self.names[0], "mask")
        self.first_mask = self.mask_of.get(self.names[0]) if self.names else None
        self.first_mask_position = (
            self.names.index(self.first_mask) if self.first_mask in self.names else len(self.names)
        )
        self.accepts = known
        self.takes_any = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters)

    def check_shape_arguments(self, wanted: tuple[str, ...], owner: str) -> None:
        """Raise a `ValueError` unless every name is an argument of `call` with "_shape"."""
        for name in wanted:
            stem = name.removesuffix("_shape")
            if stem == name:
                raise ValueError(
                    f"{owner} has argument `{name}`, which does not end in `_shape`. With several "
                    "arguments each must be named after an argument of call()."
                )
            if stem not in self.accepts and not self.takes_any:
                raise ValueError(
                    f"{owner} has argument `{name}`, but `call()` does not have argument `{stem}`."
                )

    def named(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """Return the arguments by name."""
        return {**dict(zip(self.names, args, strict=False)), **kwargs}

    def first(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Return the value of the first argument."""
        if args:
            return args[0]
        if self.names and self.names[0] in kwargs:
            return kwargs[self.names[0]]
        return next(iter(kwargs.values()), None)


@functools.lru_cache(maxsize=4096)
def call_signature(function: Callable[..., Any]) -> CallSignature:
    """Return the signature of a class's `call`."""
    return CallSignature(function)


@functools.lru_cache(maxsize=4096)
def shape_arguments(build: Callable[..., Any]) -> tuple[str, ...]:
    """Return the names of `build`'s arguments that stand for one call argument each.

    `build(self, input_shape)` takes the shape of the first argument and yields `()`;
    `build(self, query_shape, value_shape)` yields both names.
    """
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    parameters = [p for p in list(inspect.signature(build).parameters.values())[1:]]
    shapes = tuple(p.name for p in parameters if p.kind in named)
    return shapes if len(shapes) > 1 else ()
