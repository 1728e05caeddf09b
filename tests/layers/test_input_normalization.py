"""The Normalization layer that is adapted to data, and SpectralNormalization."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lamina

layers = lamina.layers


def rows(*shape: int, seed: int = 0) -> np.ndarray:
    return (3.0 + 2.0 * np.random.RandomState(seed).normal(size=shape)).astype("float32")


def in_batches(data: np.ndarray) -> Iterator[np.ndarray]:
    yield from (data[i : i + 7] for i in range(0, len(data), 7))


class Batches(lamina.utils.PyDataset):
    def __init__(self, data: np.ndarray) -> None:
        super().__init__()
        self.data = data

    def __len__(self) -> int:
        return -(-len(self.data) // 7)

    def __getitem__(self, index: int) -> Any:
        batch = self.data[index * 7 : (index + 1) * 7]
        return batch, np.zeros(len(batch))


@pytest.mark.parametrize("axis", [-1, None, (1, 2), 1])
def test_batches_give_the_statistics_of_the_whole(axis: Any) -> None:
    data = rows(40, 3, 4)
    whole = layers.Normalization(axis=axis)
    whole.adapt(data)
    places = (axis,) if isinstance(axis, int) else (axis or ())
    reduced = tuple(a for a in range(3) if a not in [p % 3 for p in places])
    np.testing.assert_allclose(
        np.asarray(whole.mean), data.mean(axis=reduced, keepdims=True), rtol=1e-5
    )
    for batches in (in_batches(data), list(in_batches(data)), Batches(data)):
        layer = layers.Normalization(axis=axis)
        layer.adapt(batches)
        for got, wanted in zip(layer.get_weights(), whole.get_weights(), strict=True):
            np.testing.assert_allclose(got, wanted, rtol=1e-5)
    outputs = np.asarray(whole(data))
    np.testing.assert_allclose(outputs.mean(axis=reduced), 0.0, atol=1e-5)
    np.testing.assert_allclose(outputs.var(axis=reduced), 1.0, rtol=1e-4)


def test_adapting_again_reaches_a_compiled_model() -> None:
    layer = layers.Normalization()
    layer.adapt(rows(50, 4))
    model = lamina.Sequential([lamina.Input((4,)), layer])
    before = model.predict(rows(5, 4), verbose=0)
    layer.adapt(10.0 * rows(50, 4))
    assert np.abs(model.predict(rows(5, 4), verbose=0) - before).max() > 0.1


def test_inverse_takes_values_back() -> None:
    data = rows(30, 4)
    there, back = layers.Normalization(), layers.Normalization(invert=True)
    there.adapt(data)
    back.adapt(data)
    np.testing.assert_allclose(np.asarray(back(there(data))), data, rtol=1e-4, atol=1e-5)


def test_statistics_are_no_matter_of_training(tmp_path: Path) -> None:
    layer = layers.Normalization()
    layer.adapt(rows(30, 4))
    model = lamina.Sequential([lamina.Input((4,)), layer, layers.Dense(1)])
    statistics = layer.get_weights()
    model.compile("sgd", "mse")
    model.fit(rows(20, 4), rows(20, 1), verbose=0)
    for before, after in zip(statistics, layer.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)
    model.save(tmp_path / "model.keras")
    loaded = lamina.saving.load_model(tmp_path / "model.keras")
    x = rows(5, 4, seed=1)
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), model.predict(x, verbose=0))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: layers.Normalization(mean=1.0), "both `mean` and `variance`"),
        (lambda: layers.Normalization(mean=[1.0], variance=[1.0, 2.0]), "same shape"),
        (lambda: layers.Normalization(mean=[[1.0]], variance=[[1.0]]), "rank of `mean`"),
        (lambda: layers.Normalization(axis="features"), "axis must be"),
        (lambda: layers.Normalization(axis=3).build((2, 2)), "must be in the range"),
        (lambda: layers.Normalization(axis=1).build((None, None)), "need a size"),
        (lambda: layers.Normalization().adapt([]), "empty iterable"),
        (lambda: layers.Normalization(mean=0.0, variance=1.0).adapt(rows(2, 3)), "nothing to find"),
    ],
)  # fmt: skip
def test_bad_arguments(make: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make()


def test_data_that_do_not_fit() -> None:
    layer = layers.Normalization()
    layer.adapt(rows(5, 4))
    with pytest.raises(ValueError, match="incompatible shape"):
        layer.adapt(rows(5, 3))
    with pytest.raises(TypeError, match="`.shape`"):
        layers.Normalization().adapt(iter([1, 2]))
    with pytest.raises(TypeError, match="iterable of batches"):
        layers.Normalization().adapt(3)


# ---- SpectralNormalization
def test_the_largest_singular_value_becomes_one() -> None:
    layer = layers.SpectralNormalization(layers.Dense(5), power_iterations=50)
    x = rows(4, 6)
    layer(x)
    layer(x, training=True)
    assert np.linalg.svd(layer.get_weights()[0])[1][0] == pytest.approx(1.0, rel=1e-4)
    before = layer.get_weights()
    layer(x)
    for old, new in zip(before, layer.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_a_kernel_of_zeros_stays() -> None:
    layer = layers.SpectralNormalization(layers.Dense(5, kernel_initializer="zeros"))
    layer(rows(4, 6), training=True)
    assert not layer.get_weights()[0].any()


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_the_update_starts_from_the_normalized_kernel(optimizer: str) -> None:
    """A weight that `call` assigns is updated from the value it was given."""
    layer = layers.SpectralNormalization(layers.Dense(5, use_bias=False), power_iterations=50)
    model = lamina.Sequential([lamina.Input((6,)), layer])
    model.set_weights([10.0 * rows(*w.shape) for w in model.get_weights()])
    model.compile(optimizer, "mse")
    model.train_on_batch(rows(4, 6), rows(4, 5))
    kernel = model.get_weights()[0]
    largest = np.linalg.svd(kernel)[1][0]
    assert 0.5 < largest < 1.5 and largest != pytest.approx(1.0, rel=1e-6)


def test_spectral_bad_arguments() -> None:
    with pytest.raises(ValueError, match="greater than zero"):
        layers.SpectralNormalization(layers.Dense(2), power_iterations=0)
    with pytest.raises(ValueError, match="nor 'embeddings'"):
        layers.SpectralNormalization(layers.ReLU())(rows(2, 3))
