"""RNN over any cells, ConvLSTM, grouped-query attention and their like against real Keras."""

from __future__ import annotations

import pytest

from tests.conftest import check_golden, golden_names

FAMILY = "sequence_layers"


@pytest.mark.parametrize("name", golden_names(FAMILY))
def test_like_keras(name: str) -> None:
    check_golden(FAMILY, name)
