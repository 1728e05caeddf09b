"""Functions of the public namespaces give what those of Keras give."""

from __future__ import annotations

import numpy as np
import pytest

from tests.conftest import check_golden, golden_names


@pytest.mark.parametrize("case", golden_names("functions"))
def test_like_keras(case: str) -> None:
    if case == "pictures":
        pytest.importorskip("PIL")
    check_golden("functions", case)


def test_a_thin_picture_is_resized_from_at_least_one_column() -> None:
    from lamina.preprocessing.image import smart_resize

    assert smart_resize(np.ones((1, 9, 3), "float32"), (50, 1)).shape == (50, 1, 3)
    with pytest.raises(ValueError, match="size"):
        smart_resize(np.ones((4, 4, 3), "float32"), (0, 3))
