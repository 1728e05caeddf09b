"""The cases of ops_more: eagerly, recorded in a functional graph, and traced; and that every public
name of `lamina.ops` has a case somewhere."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import lamina
from tests.conftest import check_golden, golden_names
from tests.golden import ops_cases
from tests.golden.ops_more_cases import CALLS, NOT_SYMBOLIC, leaves

# Another family of reference values, or a test file, has these.
ELSEWHERE = {
    "adaptive_average_pool", "adaptive_max_pool", "fold", "unfold", "depth_to_space",
    "space_to_depth", "psnr",  # tests/golden/space_cases.py
    "conv_transpose", "depthwise_conv", "separable_conv",  # convolution_cases.py
    "batch_normalization", "layer_normalization", "rms_normalization",
    "dot_product_attention",  # tests/ops/test_attention.py
    "custom_gradient", "jvp",  # test_control.py
    "imag", "polar", "view_as_complex", "view_as_real",  # test_control.py: no complex tensors
    "identity_op", "mish",  # not in keras.ops: what the operator + calls, and an activation
    "image", "linalg", "math", "nn", "numpy",  # modules
}  # fmt: skip


@pytest.mark.parametrize("name", golden_names("ops_more"))
def test_eager_like_keras(name: str) -> None:
    check_golden("ops_more", name)


@pytest.mark.parametrize(
    "name", [n for n, (_, arrays) in CALLS.items() if arrays and n not in NOT_SYMBOLIC]
)
def test_recorded_equals_eager(name: str) -> None:
    call, arrays = CALLS[name]
    inputs = [lamina.Input(batch_shape=a.shape, dtype=str(a.dtype)) for a in arrays]
    symbolic = leaves(call(lamina.ops, *inputs))
    eager = leaves(call(lamina.ops, *[lamina.ops.convert_to_tensor(a) for a in arrays]))
    assert len(symbolic) == len(eager)
    model = lamina.Model(inputs, symbolic)
    predicted = leaves(model.predict_on_batch(list(arrays)))  # one traced program
    for declared, traced, direct in zip(symbolic, predicted, eager, strict=True):
        assert tuple(declared.shape) == tuple(direct.shape)
        assert str(declared.dtype) == str(direct.dtype)
        np.testing.assert_allclose(
            np.asarray(traced), np.asarray(direct), rtol=1e-5, atol=1e-6, equal_nan=True
        )


class _Spy:
    """Notes which functions of `lamina.ops` are asked for."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def __getattr__(self, name: str) -> Any:
        self.names.add(name)
        return getattr(lamina.ops, name)


def test_every_public_op_has_a_case() -> None:
    spy = _Spy()
    for call, arrays in (*ops_cases.CALLS.values(), *CALLS.values()):
        call(spy, *[lamina.ops.convert_to_tensor(a) for a in arrays])
    public = {name for name in dir(lamina.ops) if not name.startswith("_")}
    modules = {name for name in public if type(getattr(lamina.ops, name)).__name__ == "module"}
    missing = public - modules - spy.names - ELSEWHERE - {"annotations"}
    assert not missing, f"ops without a case: {sorted(missing)}"
