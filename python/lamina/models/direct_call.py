"""`model(x)` on numbers as one program, where nobody can tell it from a run op by op."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from lamina import _core, structure, tracing
from lamina.layers.core import Lambda
from lamina.layers.regularization import ActivityRegularization
from lamina.layers.revision import revision
from lamina.layers.state import context
from lamina.tensor import Tensor
from lamina.traced_function import Program, TracedFunction

_MOST_SHORT_WAYS = 64


class _Masked(Exception):
    """The outputs carry a mask, which a program does not return."""


class _Programs:
    """The programs of a model as it is at one revision."""

    def __init__(self, made_at: tuple[int, int] | None, function: TracedFunction | None) -> None:
        self.made_at = made_at
        self.function = function
        self.seen: Any = None  # the kind of the last input
        self.short: dict[Any, Program] = {}  # by shape and dtype of an array


class DirectCalls:
    """The inference programs of one model, made when a kind of input comes the second time.

    They stand in for a call outside of training, tapes and other layers, of a model whose layers
    are all lamina's own: those have no Python of the user's that would have to run each time.
    """

    def __init__(self) -> None:
        # Replaced as one: other threads never see programs of another revision than `made_at`.
        self._programs = _Programs(None, None)

    def __reduce__(self) -> Any:
        return (DirectCalls, ())  # programs belong to the variables they were traced with

    def run(self, model: Any, call: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """The outputs; None where the call must go op by op."""
        if len(args) != 1 or context.depth or (kwargs and not _only_says_inference(kwargs)):
            return None
        x, programs = args[0], self._programs
        short = programs.short.get((x.shape, x.dtype)) if type(x) is np.ndarray else None
        if (
            short is not None
            and programs.made_at == (revision.attributes, revision.trainable)
            and tracing.current_tracer() is None
            and not model.run_eagerly
            and x.flags.c_contiguous
        ):
            return short([_core.Tensor(x)])
        if type(x) is not np.ndarray and (type(x) is not Tensor or x.mask is not None):
            return None
        if tracing.current_tracer() is not None or not model.built or model.run_eagerly:
            return None
        now = (revision.attributes, revision.trainable)
        if now != programs.made_at:
            programs = _Programs(now, _traced(model, call) if _is_plain(model) else None)
            self._programs = programs
        function = programs.function
        if function is None:
            return None
        kind = (x.shape, x.dtype)
        if kind != programs.seen:  # a trace pays for inputs that come again
            programs.seen = kind
            return None
        try:
            outputs = function(x)
        except _Masked:
            programs.function = None
            return None
        if type(x) is np.ndarray and len(programs.short) < _MOST_SHORT_WAYS:
            program = function.program_of(x)
            if program is not None:
                programs.short[kind] = program
        return outputs


def _only_says_inference(kwargs: dict[str, Any]) -> bool:
    training = kwargs.get("training", True)
    return len(kwargs) == 1 and (training is None or training is False)


def _traced(model: Any, call: Callable[..., Any]) -> TracedFunction:
    def infer(x: Any) -> Any:
        outputs = call(model, x, training=False)
        if any(getattr(leaf, "mask", None) is not None for leaf in structure.iterate(outputs)):
            raise _Masked
        return outputs

    return TracedFunction(infer)


def _is_plain(model: Any) -> bool:
    """Whether all of the model is lamina's code and a call leaves nothing behind but outputs."""
    for layer in model._flatten_layers():
        if not type(layer).__module__.startswith("lamina."):
            return False
        if isinstance(layer, (Lambda, ActivityRegularization)) or getattr(layer, "stateful", False):
            return False
        if getattr(layer, "activity_regularizer", None) is not None:
            return False
        if not all(map(_is_own, vars(layer).values())):
            return False
    return True


def _is_own(value: Any) -> bool:
    """Whether an attribute is no function of the user's."""
    return not callable(value) or (
        getattr(value, "__module__", None) or type(value).__module__
    ).startswith(("lamina.", "builtins", "numpy"))
