"""Contexts that change what happens inside: names, values of variables, placement."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from lamina.tensor import Tensor
from lamina.tracing import convert
from lamina.tracing import thread_state as _state
from lamina.variable import Variable


class StatelessScope:
    """Variables have other values inside, and what is assigned to them does not last.

    Args:
        state_mapping: pairs (variable, value): what the variables hold at first inside.
        collect_losses: whether `add_loss` inside also collects into `losses`.
        initialize_variables: kept for Keras's sake.

    Attributes:
        losses: pairs (loss, name of the layer) collected inside.

    Raises:
        ValueError: for a key that is no Variable, or a value of another shape.

    Source: https://keras.io/api/ `keras.StatelessScope`.
    """

    def __init__(
        self,
        state_mapping: Iterable[tuple[Variable, Any]] | None = None,
        collect_losses: bool = False,
        initialize_variables: bool = True,
    ) -> None:
        self.collect_losses = collect_losses
        self.initialize_variables = initialize_variables
        self.losses: list[Any] = []
        self.state_mapping: dict[int, Tensor] = {}
        for variable, value in state_mapping or ():
            if not isinstance(variable, Variable):
                raise ValueError(
                    f"StatelessScope: keys of state_mapping must be Variables. Got {variable!r}."
                )
            tensor = convert(value, variable._dtype)
            if tensor.shape != variable.shape:
                raise ValueError(
                    f"StatelessScope: variable {variable.path!r} has shape {variable.shape}, its "
                    f"value {tensor.shape}."
                )
            self.state_mapping[id(variable)] = tensor
        self._outer: StatelessScope | None = None

    def add_loss(self, loss: Any) -> None:
        """Keep a loss that was added inside."""
        self.losses.append(loss)

    def add_update(self, update: tuple[Variable, Any]) -> None:
        """Let a variable have another value inside from here on."""
        variable, value = update
        self.state_mapping[id(variable)] = value

    def get_current_value(self, variable: Variable) -> Tensor | None:
        """What the variable holds inside; None if the scope does not know it."""
        return self.state_mapping.get(id(variable))

    def __enter__(self) -> StatelessScope:
        self._outer, _state.stateless = _state.stateless, self
        return self

    def __exit__(self, *_: Any) -> None:
        _state.stateless = self._outer


def in_stateless_scope() -> bool:
    """Whether this thread is inside a StatelessScope."""
    return _state.stateless is not None


def get_stateless_scope() -> StatelessScope | None:
    """The innermost StatelessScope of this thread, if any."""
    scope: StatelessScope | None = _state.stateless
    return scope


class SymbolicScope:
    """Marks code that works on shapes only. Layers and ops know it from their arguments here.

    Source: https://keras.io/api/ `keras.SymbolicScope`.
    """

    def __init__(self) -> None:
        self._outer: SymbolicScope | None = None

    def __enter__(self) -> SymbolicScope:
        self._outer, _symbolic.scope = _symbolic.scope, self
        return self

    def __exit__(self, *_: Any) -> None:
        _symbolic.scope = self._outer


class _Symbolic(threading.local):
    scope: SymbolicScope | None = None


_symbolic = _Symbolic()


def in_symbolic_scope() -> bool:
    """Whether a SymbolicScope is entered."""
    return _symbolic.scope is not None


@contextmanager
def device(device_name: str) -> Iterator[None]:
    """Place what is made inside: there is one place, the processor.

    Args:
        device_name: "cpu" or "cpu:0".

    Raises:
        ValueError: for another device.
    """
    if not isinstance(device_name, str) or device_name.split(":")[0].lower() not in ("cpu", ""):
        raise ValueError(
            f"device: lamina computes on the processor, device_name must be 'cpu'. "
            f"Got {device_name!r}."
        )
    yield
