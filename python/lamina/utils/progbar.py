"""The progress bar of fit, evaluate and predict."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

import numpy as np

from lamina.utils.messages import is_live, print_message

BOLD, GREEN, WHITE, RESET = "\x1b[1m", "\x1b[32m", "\x1b[37m", "\x1b[0m"


class Progbar:
    """Show how far a loop has come, how fast it is, and its metrics.

        12/50 ━━━━━━━━━━━━━━━━━━━━ 1s 20ms/step - accuracy: 0.9000 - loss: 0.3000

    In a terminal or a notebook the line is redrawn in place, with colours. Elsewhere (a file, a
    pipe) only the last line is written, as plain text.

    Args:
        target: number of steps expected, or None when unknown.
        width: length of the bar in characters.
        verbose: 0 silent, 1 a live bar, 2 one line at the end.
        interval: least number of seconds between two redraws.
        stateful_metrics: names shown as they come; all others are averaged over the steps.
        stateless_metrics: names to average; all others are shown as they come.
        unit_name: what is counted: "step", "sample".

    Raises:
        ValueError: if both `stateful_metrics` and `stateless_metrics` are given.
    """

    def __init__(
        self,
        target: int | None,
        width: int = 20,
        verbose: int = 1,
        interval: float = 0.05,
        stateful_metrics: Iterable[str] | None = None,
        stateless_metrics: Iterable[str] | None = None,
        unit_name: str = "step",
    ) -> None:
        if stateful_metrics is not None and stateless_metrics is not None:
            raise ValueError(
                "Progbar: give either stateful_metrics or stateless_metrics, not both. Got "
                f"{list(stateful_metrics)} and {list(stateless_metrics)}."
            )
        self.target = target
        self.width = width
        self.verbose = verbose
        self.interval = interval
        self.unit_name = unit_name
        self.stateful_metrics = None if stateful_metrics is None else set(stateful_metrics)
        self.stateless_metrics = None if stateless_metrics is None else set(stateless_metrics)
        self._live = is_live()
        self._sums: dict[str, tuple[Any, int]] = {}  # name -> (sum, weight), in order of arrival
        self._seen = 0
        self._start = time.time()
        self._after_first: float | None = None
        self._last_shown = 0.0
        self._shown_width = 0

    def update(
        self,
        current: int,
        values: Iterable[tuple[str, Any]] | None = None,
        finalize: bool | None = None,
    ) -> None:
        """Report that `current` steps are done.

        Args:
            current: number of steps done.
            values: pairs (name, value of the last step).
            finalize: whether this is the last report; None: when `current` reaches the target.
        """
        if finalize is None:
            finalize = self.target is not None and current >= self.target
        self._record(current, values or [], finalize)
        now = time.time()
        pace = self._seconds_per_unit(current, now)
        if self.verbose == 1:
            if finalize or (self._live and now - self._last_shown >= self.interval):
                self._show(current, now, pace, finalize)
                self._last_shown = now
        elif self.verbose == 2 and finalize and self.target:
            elapsed = f"{now - self._start:.0f}s"
            parts = [self._count(current), elapsed, format_pace(pace, self.unit_name)]
            print_message(" - ".join(parts) + self._metrics())

    def add(self, n: int, values: Iterable[tuple[str, Any]] | None = None) -> None:
        """Report that `n` more steps are done."""
        self.update(self._seen + n, values)

    def _record(self, current: int, values: Iterable[tuple[str, Any]], finalize: bool) -> None:
        weight = max(current - self._seen, 1)
        for name, value in values:
            if finalize or not self._is_averaged(name):
                self._sums[name] = (value, 1)
            else:
                total, count = self._sums.get(name, (0.0, 0))
                self._sums[name] = (total + value * weight, count + weight)
        self._seen = current

    def _is_averaged(self, name: str) -> bool:
        if self.stateless_metrics is not None:
            return name in self.stateless_metrics
        return name not in (self.stateful_metrics or ())

    def _seconds_per_unit(self, current: int, now: float) -> float:
        """Pace so far; the first step, which includes preparations, counts only while alone."""
        if current < 1:
            return 0.0
        if self._after_first is not None and current > 1:
            return (now - self._after_first) / (current - 1)
        if current == 1:
            self._after_first = now
        return (now - self._start) / current

    def _show(self, current: int, now: float, pace: float, finalize: bool) -> None:
        if self.target and not finalize:
            clock = format_eta(pace * (self.target - current))
        else:
            clock = f"{now - self._start:.0f}s"
        tail = f" {format_pace(pace, self.unit_name)}{self._metrics()}"
        if not self._live:
            bar = f" {'━' * self.width}" if self.target else ""
            print_message(f"{self._count(current)}{bar} {clock}{tail}")
            return
        count = self._count(current)
        if self.target:
            done = min(int(self.width * current / self.target), self.width)
            green = f"{GREEN}{'━' * done}{RESET}" if done else ""
            bar = f"{BOLD}{count}{RESET} {green}{WHITE}{'━' * (self.width - done)}{RESET}"
            width = len(count) + 1 + self.width
        else:
            bar, width = count, len(count)
        width += 1 + len(clock) + len(tail)
        erase = "\b" * self._shown_width + "\r"
        padding = " " * max(self._shown_width - width, 0)
        line = f"{erase}{bar} {BOLD}{clock}{RESET}{tail}{padding}"
        print_message(line, end="\n" if finalize else "")
        self._shown_width = width

    def _count(self, current: int) -> str:
        if not self.target:
            return f"{current:7d}/Unknown"
        return f"{current:{len(str(self.target))}d}/{self.target}"

    def _metrics(self) -> str:
        return "".join(
            f" - {name}: {format_value(total, count)}"
            for name, (total, count) in self._sums.items()
        )


def format_value(total: Any, count: int) -> str:
    """A metric for people: four decimals, or scientific when it is tiny."""
    mean = float(np.mean(total)) / max(count, 1)
    return f"{mean:.4f}" if abs(mean) > 1e-3 else f"{mean:.4e}"


def format_pace(seconds: float, unit_name: str) -> str:
    """Time per unit in the unit that reads well: "2s/step", "20ms/step", "7us/step"."""
    if seconds >= 1 or seconds == 0:
        return f"{seconds:.0f}s/{unit_name}"
    if seconds >= 1e-3:
        return f"{seconds * 1e3:.0f}ms/{unit_name}"
    return f"{seconds * 1e6:.0f}us/{unit_name}"


def format_eta(seconds: float) -> str:
    """Remaining time: "7s", "2:05", "1:02:05"."""
    whole = int(seconds)
    if seconds > 3600:
        return f"{whole // 3600}:{whole % 3600 // 60:02d}:{whole % 60:02d}"
    if seconds > 60:
        return f"{whole // 60}:{whole % 60:02d}"
    return f"{whole}s"
