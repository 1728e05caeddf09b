"""What `fit(..., profile=...)` takes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from lamina.validation import did_you_mean

_MOST_STEPS = 100_000


@dataclass(frozen=True)
class ProfileOptions:
    """How to profile a fit.

    Attributes:
        path: folder for table.txt, profile.png and trace.json; None: the table is printed.
        steps: of so many of the last steps every time is kept: medians and the trace are theirs.
    """

    path: Path | None = None
    steps: int = 64

    def __post_init__(self) -> None:
        if self.path is not None:
            object.__setattr__(self, "path", Path(self.path))
        whole = isinstance(self.steps, int) and not isinstance(self.steps, bool)
        if not whole or not 1 <= self.steps <= _MOST_STEPS:
            raise ValueError(
                f"profile: steps must be a whole number from 1 to {_MOST_STEPS}. "
                f"Got {self.steps!r}."
            )


def options_of(value: Any, who: str = "fit()") -> ProfileOptions | None:
    """The options that an argument `profile` stands for; None where nothing is to be profiled.

    Raises:
        ValueError: for anything else, and for unknown keys of a dict.
    """
    if value is None or value is False:
        return None
    if value is True:
        return ProfileOptions()
    if isinstance(value, ProfileOptions):
        return value
    if isinstance(value, (str, os.PathLike)):
        return ProfileOptions(path=Path(value))
    if isinstance(value, Mapping):
        known = [field.name for field in fields(ProfileOptions)]
        for key in value:
            if key not in known:
                hint = did_you_mean(key, known) if isinstance(key, str) else ""
                raise ValueError(f"{who}: profile knows the options {known}. Got {key!r}.{hint}")
        return ProfileOptions(**value)
    raise ValueError(
        f"{who}: profile must be True, False, the path of a folder, or a dict of options. "
        f"Got {value!r}."
    )
