"""The optimizers of Keras 2, which Keras 3 no longer has: classes that say what to use instead."""

from __future__ import annotations

from typing import Any, NoReturn


class Optimizer:
    """An optimizer of Keras 2.

    Raises:
        ImportError: at every call.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        del args, kwargs
        _refuse(type(self).__name__)


def _refuse(name: str) -> NoReturn:
    raise ImportError(
        f"optimizers.legacy.{name}: Keras 3 has dropped the old optimizers; lamina has none. "
        f"Use optimizers.{name}; its arguments are nearly the same."
    )


class Adagrad(Optimizer):
    """See `lamina.optimizers.Adagrad`."""


class Adam(Optimizer):
    """See `lamina.optimizers.Adam`."""


class Ftrl(Optimizer):
    """See `lamina.optimizers.Ftrl`."""


class RMSprop(Optimizer):
    """See `lamina.optimizers.RMSprop`."""


class SGD(Optimizer):
    """See `lamina.optimizers.SGD`."""


__all__ = ["SGD", "Adagrad", "Adam", "Ftrl", "Optimizer", "RMSprop"]
