"""Regularizers and constraints against real Keras."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import lamina
from tests.conftest import check_golden, golden_names


@pytest.mark.parametrize("name", golden_names("regularizers"))
def test_like_keras(name: str) -> None:
    check_golden("regularizers", name)


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda r: r.L2("a"), "l2"),
        (lambda r: r.L1([1.0]), "l1"),
        (lambda r: r.OrthogonalRegularizer(mode="diagonal"), "mode"),
        (lambda r: r.get("l22"), "l22"),
    ],
)
def test_bad_arguments(make: Callable[[Any], Any], word: str) -> None:
    with pytest.raises((ValueError, TypeError), match=word):
        make(lamina.regularizers)


def test_orthogonal_regularizer_wants_a_matrix() -> None:
    with pytest.raises(ValueError, match="rank|2"):
        lamina.regularizers.OrthogonalRegularizer()(lamina.ops.ones((2, 3, 4)))


def test_old_spellings() -> None:
    assert lamina.regularizers.l2(0.3).get_config() == lamina.regularizers.L2(0.3).get_config()
    assert lamina.regularizers.l1_l2(0.1, 0.2).get_config() == pytest.approx(
        dict(l1=0.1, l2=0.2)
    )  # fmt: skip


def test_config_round_trip() -> None:
    made = lamina.regularizers.L1L2(0.1, 0.2)
    again = lamina.regularizers.deserialize(lamina.regularizers.serialize(made))
    assert again.get_config() == made.get_config()
