"""EinsumDense and attention against real Keras, and their own rules."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import lamina
from tests.conftest import check_golden, golden_names

PREFIXES = ("einsum_dense_", "mha_", "attention_")
FAMILY = "recurrent_attention"
layers = lamina.layers


@pytest.mark.parametrize("name", [n for n in golden_names(FAMILY) if n.startswith(PREFIXES)])
def test_like_keras(name: str) -> None:
    check_golden(FAMILY, name)


def sequences(*shape: int) -> np.ndarray:
    return np.random.RandomState(0).normal(size=shape).astype("float32")
