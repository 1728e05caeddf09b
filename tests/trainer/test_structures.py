"""Losses and metrics over every structure of outputs, against real Keras."""

from __future__ import annotations

import pytest

from tests.conftest import check_golden, golden_names


@pytest.mark.filterwarnings("ignore:Gradients do not exist")
@pytest.mark.parametrize("name", golden_names("structures"))
def test_like_keras(name: str) -> None:
    check_golden("structures", name)
