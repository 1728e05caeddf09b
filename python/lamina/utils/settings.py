"""Named settings of a program, as attributes and as items."""

from __future__ import annotations

import json
from collections.abc import ItemsView, Iterator, KeysView, Mapping, ValuesView
from typing import Any


class Config:
    """Settings by name: `Config(size=3).size`, `config["size"]`, `config.as_dict()`.

    Args:
        **kwargs: the settings.

    A frozen one refuses changes with a `ValueError`.

    Source: https://keras.io/api/utils/config_utils/ `keras.utils.Config`.
    """

    def __init__(self, **kwargs: Any) -> None:
        object.__setattr__(self, "_settings", dict(kwargs))
        object.__setattr__(self, "_frozen", False)

    @property
    def frozen(self) -> bool:
        """Whether changes are refused."""
        return bool(self.__dict__["_frozen"])

    def freeze(self) -> None:
        """Refuse changes from now on."""
        object.__setattr__(self, "_frozen", True)

    def unfreeze(self) -> None:
        """Allow changes again."""
        object.__setattr__(self, "_frozen", False)

    def _raise_if_frozen(self) -> None:
        if self.frozen:
            raise ValueError("Config: it is frozen. Cannot mutate attribute(s): call unfreeze().")

    def __getattr__(self, name: str) -> Any:
        settings = self.__dict__.get("_settings", {})
        if name not in settings:
            raise AttributeError(f"Unknown attribute: {name!r}. The Config has {list(settings)}.")
        return settings[name]

    def __setattr__(self, name: str, value: Any) -> None:
        self._raise_if_frozen()
        self.__dict__["_settings"][name] = value

    def __getitem__(self, name: str) -> Any:
        return self.__dict__["_settings"][name]

    def __setitem__(self, name: str, value: Any) -> None:
        setattr(self, name, value)

    def __delitem__(self, name: str) -> None:
        self._raise_if_frozen()
        del self.__dict__["_settings"][name]

    def __contains__(self, name: object) -> bool:
        return name in self.__dict__["_settings"]

    def __iter__(self) -> Iterator[str]:
        return iter(self.as_dict())

    def __len__(self) -> int:
        return len(self.as_dict())

    def __repr__(self) -> str:
        return f"<Config {self.as_dict()}>"

    def as_dict(self) -> dict[str, Any]:
        """Return a copy of the settings."""
        return dict(self.__dict__["_settings"])

    def to_json(self) -> str:
        """Return the settings as JSON."""
        return json.dumps(self.as_dict())

    def keys(self) -> KeysView[str]:
        """The names."""
        return self.as_dict().keys()

    def values(self) -> ValuesView[Any]:
        """The values."""
        return self.as_dict().values()

    def items(self) -> ItemsView[str, Any]:
        """Pairs of name and value."""
        return self.as_dict().items()

    def get(self, keyname: str, value: Any = None) -> Any:
        """Return a setting, or `value` if there is none of that name."""
        return self.as_dict().get(keyname, value)

    def pop(self, *args: Any) -> Any:
        """Remove a setting and return it; arguments as of `dict.pop`."""
        self._raise_if_frozen()
        return self.__dict__["_settings"].pop(*args)

    def update(self, *args: Mapping[str, Any], **kwargs: Any) -> None:
        """Set several; arguments as of `dict.update`."""
        self._raise_if_frozen()
        self.__dict__["_settings"].update(*args, **kwargs)
