"""Every public op against keras.ops, and the same call recorded in a functional graph."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import lamina
from tests.conftest import check_golden, golden_names
from tests.golden.ops_cases import CALLS


@pytest.mark.parametrize("name", golden_names("ops"))
def test_eager_like_keras(name: str) -> None:
    check_golden("ops", name)


def test_symmetric_padding_like_numpy() -> None:
    """Keras's torch backend mirrors the wrong rows."""
    x = np.random.RandomState(0).normal(size=(3, 4)).astype("float32")
    widths = ((1, 1), (2, 1))
    y = np.asarray(lamina.ops.pad(x, widths, mode="symmetric"))
    np.testing.assert_array_equal(y, np.pad(x, widths, mode="symmetric"))


def is_symbolic(value: Any) -> bool:
    return isinstance(value, lamina.KerasTensor)


@pytest.mark.parametrize("name", [n for n, (_, arrays) in CALLS.items() if arrays])
def test_recorded_equals_eager(name: str) -> None:
    call, arrays = CALLS[name]
    inputs = [lamina.Input(batch_shape=a.shape, dtype=str(a.dtype)) for a in arrays]
    made = call(lamina.ops, *inputs)
    symbolic = list(made) if isinstance(made, (list, tuple)) else [made]
    eager = call(lamina.ops, *[lamina.ops.convert_to_tensor(a) for a in arrays])
    eager = list(eager) if isinstance(eager, (list, tuple)) else [eager]
    assert len(symbolic) == len(eager)
    if not all(is_symbolic(s) for s in symbolic):
        assert [int(s) for s in symbolic] == [int(e) for e in eager]  # sizes are known
        return
    model = lamina.Model(inputs, symbolic)
    for declared, traced, direct in zip(symbolic, model(list(arrays)), eager, strict=True):
        assert tuple(declared.shape) == tuple(direct.shape)
        assert str(declared.dtype) == str(direct.dtype) == str(traced.dtype)
        np.testing.assert_array_equal(np.asarray(traced), np.asarray(direct))
