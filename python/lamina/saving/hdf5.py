"""Checks of an HDF5 file that may be hostile, before anything is read from it."""

from __future__ import annotations

import math
from typing import Any

from lamina.saving.weights import require_h5py

_GREATEST_RATIO = 20  # weights hardly compress
_FREE_SIZE = 64 << 20
_GREATEST_DEPTH = 256


def check_plain(file: Any, size: int) -> None:
    """Refuse links, arrays that are kept elsewhere, and arrays much larger than the file.

    Args:
        file: an open h5py.File.
        size: bytes of the file itself.

    Raises:
        ValueError: names the group or array.
    """
    h5py = require_h5py()

    left = max(_FREE_SIZE, _GREATEST_RATIO * size)
    seen = {_address(file)}
    waiting = [(file, 0)]
    while waiting:
        group, depth = waiting.pop()
        for name in group:
            where = f"{group.name.rstrip('/')}/{name}"
            link = group.get(name, getlink=True)
            if not isinstance(link, h5py.HardLink):
                raise ValueError(f"{where!r} is a link ({type(link).__name__}), not allowed")
            item = group[name]
            if _address(item) in seen:
                raise ValueError(f"{where!r} is a second name of another part")
            seen.add(_address(item))
            if isinstance(item, h5py.Group):
                if depth == _GREATEST_DEPTH:
                    raise ValueError(f"{where!r} is nested more than {_GREATEST_DEPTH} deep")
                waiting.append((item, depth + 1))
            elif isinstance(item, h5py.Dataset):
                left -= _checked_size(item, where)
                if left < 0:
                    raise ValueError(
                        f"{where!r} of shape {item.shape} announces more than the file can hold"
                    )
            else:
                raise ValueError(f"{where!r} is neither a group nor an array")


def _checked_size(data: Any, where: str) -> int:
    if data.external or data.is_virtual:
        kind = "virtual" if data.is_virtual else "external"
        raise ValueError(f"{where!r} is kept in another file ({kind}), which is not allowed")
    if data.shape is None:
        raise ValueError(f"{where!r} is an empty array without a shape")
    return int(math.prod(data.shape) * data.dtype.itemsize)


def _address(item: Any) -> int:
    return int(require_h5py().h5o.get_info(item.id).addr)
