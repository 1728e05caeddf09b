"""Windows of signal frames, against SciPy where it is installed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lamina import windows


@pytest.mark.parametrize("name", [*windows.NAMES, ("tukey", 0.3), ("tukey", 0.0)])
@pytest.mark.parametrize("periodic", [False, True])
def test_like_scipy(name: Any, periodic: bool) -> None:
    signal = pytest.importorskip("scipy.signal")
    for length in (1, 2, 7, 16):
        expected = signal.get_window(name, length, periodic)
        np.testing.assert_allclose(windows.window(name, length, periodic), expected, atol=1e-12)


def test_others_come_from_scipy() -> None:
    pytest.importorskip("scipy")
    assert windows.window(("kaiser", 2.0), 5, False).shape == (5,)
    with pytest.raises(ValueError, match="hanm"):
        windows.window("hanm", 5, False)
