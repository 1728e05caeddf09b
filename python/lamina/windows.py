"""Windows of signal frames: by name, as SciPy has them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lamina.validation import did_you_mean

# Windows that are sums of cosines: the weights of 1, cos x, cos 2x ..., with changing signs.
_COSINE_SUMS = {
    "boxcar": (1.0,),
    "hann": (0.5, 0.5),
    "hamming": (0.54, 0.46),
    "blackman": (0.42, 0.5, 0.08),
    "nuttall": (0.3635819, 0.4891775, 0.1365995, 0.0106411),
    "blackmanharris": (0.35875, 0.48829, 0.14128, 0.01168),
    "flattop": (0.21557895, 0.41663158, 0.277263158, 0.083578947, 0.006947368),
}
_ALIASES = {
    "ones": "boxcar",
    "box": "boxcar",
    "rect": "boxcar",
    "rectangular": "boxcar",
    "ham": "hamming",
    "han": "hann",
    "black": "blackman",
    "blk": "blackman",
    "blackharr": "blackmanharris",
    "bkh": "blackmanharris",
    "flat": "flattop",
    "flt": "flattop",
    "tuk": "tukey",
    "bart": "bartlett",
    "brt": "bartlett",
}
# Names that need no SciPy.
NAMES = tuple(sorted({*_COSINE_SUMS, *_ALIASES, "tukey", "bartlett"}))


def window(name: str | Sequence[Any], length: int, periodic: bool) -> np.ndarray:
    """Return a window.

    Args:
        name: name, or a sequence of the name and its parameters, of `scipy.signal.get_window`.
        length: number of values.
        periodic: whether it is the beginning of a longer, symmetric window.

    Returns:
        float64 values (length,).

    Raises:
        ValueError: if there is no such window.
        ImportError: for one that only SciPy has, where SciPy is not installed.
    """
    kind, parameters = (name, ()) if isinstance(name, str) else (name[0], tuple(name[1:]))
    kind = _ALIASES.get(kind, kind)
    is_own = kind in _COSINE_SUMS or kind == "bartlett"
    if kind != "tukey" and (not is_own or parameters):
        return _of_scipy(name, length, periodic)
    if length <= 1:
        return np.ones(length)
    size = length + 1 if periodic else length
    x = np.linspace(0.0, 2.0 * np.pi, size)
    if kind == "tukey":
        values = _tukey(x, *parameters)
    elif kind == "bartlett":
        values = 1.0 - np.abs(x / np.pi - 1.0)
    else:
        weights = _COSINE_SUMS[kind]
        values = sum((-1) ** k * a * np.cos(k * x) for k, a in enumerate(weights)) + np.zeros(size)
    return values[:length]


def _tukey(x: np.ndarray, alpha: float = 0.5) -> np.ndarray:
    """A cosine rise over the share alpha / 2 of the frame, ones, and a fall."""
    if alpha <= 0:
        return np.ones_like(x)
    distance = np.minimum(x, 2.0 * np.pi - x)  # to the nearer end
    rise = 0.5 * (1.0 - np.cos(distance / min(alpha, 1.0)))
    return np.where(distance < np.pi * min(alpha, 1.0), rise, 1.0)


def _of_scipy(name: Any, length: int, periodic: bool) -> np.ndarray:
    try:
        from scipy.signal import get_window  # type: ignore[import-untyped]
    except ImportError:
        hint = did_you_mean(name, NAMES)
        raise ImportError(
            f"The window {name!r} is not one of {', '.join(NAMES)}; others need SciPy: "
            f"pip install scipy.{hint}"
        ) from None
    return np.asarray(get_window(name, length, periodic), np.float64)
