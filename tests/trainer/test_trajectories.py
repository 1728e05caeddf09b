"""Twenty steps of whole models from the same weights, against real Keras."""

from __future__ import annotations

import pytest

from tests.conftest import check_golden, golden_names


@pytest.mark.parametrize("name", golden_names("trajectories"))
def test_like_keras(name: str) -> None:
    check_golden("trajectories", name)
