"""Declared constraints on constructor arguments, and the one sentence a violation becomes.

A class declares `constraints = {"rate": Real(0, 1)}` and its constructor passes the values
through `check_argument`, which returns the normalised value or raises a `ValueError` such as
"Dropout: rate must be a number in [0, 1]. Got 1.5."
"""

from __future__ import annotations

import math
import operator
import os
from collections.abc import Iterable
from typing import Any


class Constraint:
    """What a value must be. `accept` returns the normalised value or raises `ValueError`."""

    optional = False

    def accept(self, value: Any) -> Any:
        raise NotImplementedError

    def describe(self) -> str:
        raise NotImplementedError

    def hint(self, value: Any) -> str:
        """Return a suggestion that follows the sentence, or an empty string."""
        del value
        return ""


def _as_int(value: Any) -> int:
    """Return an exact integer; booleans, fractions and text are refused."""
    if isinstance(value, bool):
        raise ValueError
    try:
        return operator.index(value)
    except TypeError:
        if isinstance(value, float) and value.is_integer():
            return int(value)
        raise ValueError from None


class Integer(Constraint):
    """An integer within bounds (inclusive)."""

    def __init__(
        self, min: int | None = None, max: int | None = None, *, optional: bool = False
    ) -> None:
        self.min, self.max, self.optional = min, max, optional

    def accept(self, value: Any) -> int:
        value = _as_int(value)
        if (self.min is not None and value < self.min) or (
            self.max is not None and value > self.max
        ):
            raise ValueError
        return value

    def describe(self) -> str:
        if self.min is not None and self.max is not None:
            return f"an integer from {self.min} to {self.max}"
        if self.min == 1:
            return "a positive integer"
        if self.min is not None:
            return f"an integer >= {self.min}"
        if self.max is not None:
            return f"an integer <= {self.max}"
        return "an integer"


class Real(Constraint):
    """A finite number in an interval; `closed` says which ends belong to it."""

    def __init__(
        self,
        low: float = -math.inf,
        high: float = math.inf,
        closed: str = "both",
        *,
        optional: bool = False,
    ) -> None:
        self.low, self.high, self.closed, self.optional = low, high, closed, optional

    def accept(self, value: Any) -> float:
        if isinstance(value, (bool, str, bytes)):
            raise ValueError
        try:
            number = float(value)
        except TypeError:
            raise ValueError from None
        low_ok = number >= self.low if self.closed in ("both", "left") else number > self.low
        high_ok = number <= self.high if self.closed in ("both", "right") else number < self.high
        if not (math.isfinite(number) and low_ok and high_ok):
            raise ValueError
        return value if isinstance(value, (int, float)) else number

    def describe(self) -> str:
        if math.isinf(self.low) and math.isinf(self.high):
            return "a finite number"
        if math.isinf(self.high):
            return f"a number {'>=' if self.closed in ('both', 'left') else '>'} {self.low}"
        left = "[" if self.closed in ("both", "left") else "("
        right = "]" if self.closed in ("both", "right") else ")"
        return f"a number in {left}{self.low}, {self.high}{right}"


class Boolean(Constraint):
    """True or False (also NumPy's)."""

    def __init__(self, *, optional: bool = False) -> None:
        self.optional = optional

    def accept(self, value: Any) -> bool:
        if isinstance(value, bool) or type(value).__name__ in ("bool", "bool_"):
            return bool(value)
        if isinstance(value, int) and value in (0, 1):
            return bool(value)
        raise ValueError

    def describe(self) -> str:
        return "True or False"


class OneOf(Constraint):
    """One of a few strings, in any letter case."""

    def __init__(self, *choices: str, optional: bool = False) -> None:
        self.choices, self.optional = choices, optional

    def accept(self, value: Any) -> str:
        if isinstance(value, str):
            for choice in self.choices:
                if value.lower() == choice.lower():
                    return choice
        raise ValueError

    def describe(self) -> str:
        return " or ".join(
            filter(None, [", ".join(map(repr, self.choices[:-1])), repr(self.choices[-1])])
        )

    def hint(self, value: Any) -> str:
        return did_you_mean(value, self.choices)


class Text(Constraint):
    """A string."""

    def __init__(self, *, optional: bool = False) -> None:
        self.optional = optional

    def accept(self, value: Any) -> str:
        if not isinstance(value, str):
            raise ValueError
        return value

    def describe(self) -> str:
        return "a string"


class FilePath(Constraint):
    """A path of a file or folder; normalised to a string."""

    def accept(self, value: Any) -> str:
        try:
            return os.fsdecode(value)
        except TypeError:
            raise ValueError from None

    def describe(self) -> str:
        return "a path"


class Integers(Constraint):
    """One integer for all axes, or one for each of `count` axes; normalised to a tuple."""

    def __init__(self, count: int, min: int = 1, *, optional: bool = False) -> None:
        self.count, self.min, self.optional = count, min, optional

    def accept(self, value: Any) -> tuple[int, ...]:
        if isinstance(value, (str, bytes, dict)):
            raise ValueError
        if isinstance(value, Iterable):
            values = tuple(_as_int(item) for item in value)
        else:
            values = (_as_int(value),) * self.count
        if len(values) != self.count or any(item < self.min for item in values):
            raise ValueError
        return values

    def describe(self) -> str:
        one = Integer(self.min).describe()
        return one if self.count == 1 else f"{one}, or a tuple of {self.count} of them"


class Axes(Constraint):
    """One axis, or a list or tuple of several."""

    def __init__(self, *, optional: bool = False) -> None:
        self.optional = optional

    def accept(self, value: Any) -> Any:
        if isinstance(value, (list, tuple)):
            return type(value)(_as_int(axis) for axis in value)
        return _as_int(value)

    def describe(self) -> str:
        return "an integer or a list of integers"


class Numbers(Constraint):
    """A list, tuple or vector of finite numbers."""

    def __init__(self, *, optional: bool = False) -> None:
        self.optional = optional

    def accept(self, value: Any) -> Any:
        if isinstance(value, (str, bytes, dict)) or not isinstance(value, Iterable):
            raise ValueError
        for number in value:
            Real().accept(number)
        return value

    def describe(self) -> str:
        return "a list of numbers"


class ArrayLike(Constraint):
    """A number, an array or tensor, nested numbers, or text or a configuration that stands for it.

    Whether the values fit is seen where they are used; this refuses what can't be data at all.
    """

    def __init__(self, *, optional: bool = False) -> None:
        self.optional = optional

    def accept(self, value: Any) -> Any:
        if isinstance(value, (bool, int, float, complex, str, list, tuple, dict)):
            return value
        if hasattr(value, "dtype") or hasattr(value, "__array__") or hasattr(value, "__float__"):
            return value
        raise ValueError

    def describe(self) -> str:
        return "a number or an array"


class Sizes(Constraint):
    """A shape without the batch axis: integers, with None or -1 where `unknown` allows it."""

    def __init__(self, unknown: int | None | str = "none", *, optional: bool = False) -> None:
        self.unknown, self.optional = unknown, optional

    def accept(self, value: Any) -> tuple[int | None, ...]:
        if isinstance(value, (str, bytes, dict)) or not isinstance(value, Iterable):
            raise ValueError
        return tuple(self._size(item) for item in value)

    def _size(self, item: Any) -> int | None:
        if item is None:
            if self.unknown is None:
                return None
            raise ValueError
        size = _as_int(item)
        if size < 0 and size != self.unknown:
            raise ValueError
        return size

    def describe(self) -> str:
        extra = {None: " (None where unknown)", -1: " (-1 for the size to infer)"}
        return f"a tuple of sizes{extra.get(self.unknown, '')}"  # type: ignore[arg-type]


class Function(Constraint):
    """Anything that can be called."""

    def __init__(self, *, optional: bool = False) -> None:
        self.optional = optional

    def accept(self, value: Any) -> Any:
        if not callable(value):
            raise ValueError
        return value

    def describe(self) -> str:
        return "a function"


class Either(Constraint):
    """Any one of several constraints."""

    def __init__(self, *alternatives: Constraint, optional: bool = False) -> None:
        self.alternatives, self.optional = alternatives, optional

    def accept(self, value: Any) -> Any:
        for alternative in self.alternatives:
            try:
                return alternative.accept(value)
            except ValueError:
                continue
        raise ValueError

    def describe(self) -> str:
        return " or ".join(alternative.describe() for alternative in self.alternatives)


def did_you_mean(value: Any, choices: Iterable[str]) -> str:
    """Return " Did you mean 'same'?" when `value` is close to a choice, else nothing."""
    if not isinstance(value, str):
        return ""
    import difflib  # only errors need it

    close = difflib.get_close_matches(value.lower(), list(choices), n=1, cutoff=0.6)
    return f" Did you mean {close[0]!r}?" if close else ""


def short_repr(value: Any, limit: int = 80) -> str:
    """Return `repr(value)`, shortened so that it fits into a sentence."""
    text = repr(value)
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


def check_argument(
    owner: str, argument: str, value: Any, constraint: Constraint, explanation: str = ""
) -> Any:
    """Return the normalised `value`, or say in one sentence what it should have been.

    Args:
        owner: who asks, for example the layer's class name.
        argument: the argument's name.
        value: what the caller passed.
        constraint: what is allowed.
        explanation: a sentence to begin the message with.

    Raises:
        ValueError: naming owner, argument, what is allowed and the value.
    """
    if value is None and constraint.optional:
        return None
    try:
        return constraint.accept(value)
    except (ValueError, OverflowError):
        allowed = constraint.describe() + (" or None" if constraint.optional else "")
        raise ValueError(
            f"{explanation}{' ' if explanation else ''}"
            f"{owner}: {argument} must be {allowed}. Got {short_repr(value)}."
            f"{constraint.hint(value)}"
        ) from None
