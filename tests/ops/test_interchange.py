"""Tensors and NumPy arrays: zero-copy both ways, dtypes, lifetimes, Python scalars."""

from __future__ import annotations

import gc

import numpy as np
import pytest

import lamina
from lamina import ops


def test_a_tensor_shown_as_an_array_outlives_the_tensor() -> None:
    view = np.asarray(ops.convert_to_tensor(np.arange(1000, dtype="float32")) * 2.0)
    gc.collect()
    churn = [np.asarray(ops.zeros((1000,))) for _ in range(50)]
    assert len(churn) == 50
    np.testing.assert_array_equal(view, np.arange(1000) * 2.0)


def test_an_array_taken_in_outlives_its_name() -> None:
    array = np.arange(1000, dtype="float32")
    tensor = ops.convert_to_tensor(array)
    del array
    gc.collect()
    churn = [np.zeros(1000, "float32") for _ in range(50)]
    assert len(churn) == 50
    np.testing.assert_array_equal(np.asarray(tensor), np.arange(1000))


def test_what_numpy_sees_of_a_weight_cannot_be_written_behind_the_model() -> None:
    model = lamina.Sequential([lamina.Input((3,)), lamina.layers.Dense(2)])
    weights = model.get_weights()
    before = weights[0].copy()
    weights[0][...] = 7.0
    np.testing.assert_array_equal(model.get_weights()[0], before)


def test_weights_do_not_change_with_the_array_they_were_set_from() -> None:
    model = lamina.Sequential([lamina.Input((3,)), lamina.layers.Dense(2)])
    kernel, bias = np.ones((3, 2), "float32"), np.zeros(2, "float32")
    model.set_weights([kernel, bias])
    kernel[...] = 5.0
    np.testing.assert_array_equal(model.get_weights()[0], np.ones((3, 2)))


@pytest.mark.parametrize(
    "array",
    [
        np.arange(12, dtype="float32").reshape(3, 4)[:, ::2],
        np.arange(12, dtype="float32").reshape(3, 4).T,
        np.asfortranarray(np.arange(12, dtype="float32").reshape(3, 4)),
        np.arange(12, dtype="float32")[::-1],
        np.arange(12, dtype=">f4"),
        np.broadcast_to(np.float32(2.0), (3, 4)),
        np.array(3.5, "float32"),
        np.zeros((0, 4), "float32"),
    ],
    ids=["strided", "transposed", "fortran", "reversed", "big_endian", "broadcast", "scalar",
         "empty"],
)  # fmt: skip
def test_any_memory_layout(array: np.ndarray) -> None:
    np.testing.assert_array_equal(np.asarray(ops.convert_to_tensor(array)), array)
    np.testing.assert_array_equal(np.asarray(ops.convert_to_tensor(array) + 1.0), array + 1)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32"])
def test_arrays_at_odd_addresses_are_copied(dtype: str) -> None:
    values = np.arange(24, dtype=dtype).reshape(6, 4)
    array = np.frombuffer(b"\0" + values.tobytes(), "uint8")[1:].view(dtype).reshape(6, 4)
    assert not array.flags.aligned
    tensor = np.asarray(ops.convert_to_tensor(array))
    assert tensor.flags.aligned
    np.testing.assert_array_equal(tensor, values)
    model = lamina.Sequential([lamina.Input((4,)), lamina.layers.Dense(2)])
    expected = model.predict(values, verbose=0)
    np.testing.assert_array_equal(model.predict(array, batch_size=4, verbose=0), expected)
    for _ in range(3):
        np.testing.assert_array_equal(model(array), expected)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "int64", "uint8", "bool"])
def test_dtypes_are_kept(dtype: str) -> None:
    tensor = ops.convert_to_tensor(np.array([0, 1, 1], dtype))
    assert tensor.dtype == dtype
    assert np.asarray(tensor).dtype == dtype
    assert ops.cast(tensor, "float64").dtype == "float64"


@pytest.mark.parametrize("dtype", ["float16", "int8", "int16", "uint16", "uint32"])
def test_other_number_types_are_accepted(dtype: str) -> None:
    np.testing.assert_array_equal(
        np.asarray(ops.convert_to_tensor(np.array([0, 1, 2], dtype))), [0, 1, 2]
    )


def test_python_numbers() -> None:
    assert ops.convert_to_tensor(1.5).dtype == "float32"
    assert ops.convert_to_tensor(3).dtype == "int32"
    assert ops.convert_to_tensor(True).dtype == "bool"
    x = ops.convert_to_tensor(np.array([[2.5]], "float32"))
    assert float(x[0, 0]) == 2.5 and int(ops.convert_to_tensor(7)) == 7
    assert x.shape == (1, 1) and x.ndim == 2 and len(x) == 1
    assert bool(ops.convert_to_tensor(1.0) > 0.0) is True
    assert "2.5" in repr(x)


def test_numpy_functions_take_tensors() -> None:
    x = ops.convert_to_tensor([1.0, 4.0])
    np.testing.assert_array_equal(np.sqrt(x), [1.0, 2.0])
    np.testing.assert_array_equal(np.array([x, x]), [[1.0, 4.0]] * 2)
