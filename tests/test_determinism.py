"""One result: the same bits for a seed, for any number of threads, alone or in a batch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import lamina
from tests.processes import run_python

TRAIN = """
import hashlib, sys
import numpy as np
import lamina
from lamina import layers
lamina.utils.set_random_seed(11)
inputs = lamina.Input((12, 12, 2))
h = layers.Conv2D(8, 3, activation="relu", padding="same")(inputs)
h = layers.Dropout(0.3)(layers.MaxPooling2D()(h))
h = layers.Flatten()(h)
h = layers.Dense(64, activation="tanh")(h)
h = layers.LSTM(16)(layers.Reshape((8, 8))(h))
model = lamina.Model(inputs, layers.Dense(5, activation="softmax")(h))
model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
rng = np.random.RandomState(0)
x, y = rng.normal(size=(150, 12, 12, 2)).astype("float32"), rng.randint(0, 5, 150)
if len(sys.argv) > 1:
    lamina.set_num_threads(int(sys.argv[1]))
history = model.fit(x, y, epochs=2, batch_size=32, validation_split=0.2, verbose=0).history
digest = hashlib.sha256()
for w in model.get_weights():
    digest.update(w.tobytes())
digest.update(model.predict(x, verbose=0).tobytes())
print(digest.hexdigest(), history)
"""


def test_same_bits_in_every_process_and_for_every_number_of_threads() -> None:
    runs = {
        "two threads": run_python(TRAIN, OMP_NUM_THREADS="2"),
        "again": run_python(TRAIN, OMP_NUM_THREADS="2"),
        "one thread": run_python(TRAIN, OMP_NUM_THREADS="1"),
        "four threads": run_python(TRAIN, OMP_NUM_THREADS="4"),
        "set_num_threads": run_python(TRAIN, "1"),
    }
    assert len(set(runs.values())) == 1, runs


def models() -> dict[str, tuple[Any, np.ndarray]]:
    k = lamina.layers
    rng = np.random.RandomState(0)
    return {
        "dense": (
            lamina.Sequential([lamina.Input((37,)), k.Dense(65, "gelu"), k.Dense(3, "softmax")]),
            rng.normal(size=(70, 37)).astype("float32"),
        ),
        "wide": (
            lamina.Sequential([lamina.Input((784,)), k.Dense(300, "relu"), k.Dense(10)]),
            rng.normal(size=(70, 784)).astype("float32"),
        ),
        "cnn": (
            lamina.Sequential([lamina.Input((14, 13, 3)), k.Conv2D(9, 3, activation="relu"),
                               k.MaxPooling2D(), k.Conv2D(5, 3, padding="same", strides=2),
                               k.GlobalAveragePooling2D(), k.Dense(4, "sigmoid")]),
            rng.normal(size=(70, 14, 13, 3)).astype("float32"),
        ),
        "lstm": (
            lamina.Sequential([lamina.Input((11,), dtype="int32"),
                               k.Embedding(20, 9, mask_zero=True),
                               k.LSTM(13, return_sequences=True), k.SimpleRNN(7), k.Dense(1)]),
            rng.randint(0, 20, size=(70, 11)).astype("int32"),
        ),
    }  # fmt: skip


@pytest.mark.parametrize("name", ["dense", "wide", "cnn", "lstm"])
def test_a_row_alone_equals_the_row_in_any_batch(name: str) -> None:
    model, x = models()[name]
    whole = model.predict(x, batch_size=70, verbose=0)
    for batch_size in (1, 3, 16, 64):
        np.testing.assert_array_equal(model.predict(x, batch_size=batch_size, verbose=0), whole)
    shuffled = np.random.RandomState(1).permutation(70)
    np.testing.assert_array_equal(model.predict(x[shuffled], verbose=0), whole[shuffled])
    np.testing.assert_array_equal(np.asarray(model(x[5:6])), whole[5:6])


def test_batch_normalization_is_scaled_into_the_weights_for_any_number_of_rows() -> None:
    k = lamina.layers
    model = lamina.Sequential(
        [
            lamina.Input((8, 8, 16)),
            k.Conv2D(48, 3, padding="same", use_bias=False),
            k.BatchNormalization(),
            k.ReLU(),
            k.DepthwiseConv2D(3, use_bias=False),
            k.BatchNormalization(),
            k.Flatten(),
            k.Dense(64),
            k.BatchNormalization(),
            k.Dense(3),
        ]
    )
    rng = np.random.RandomState(0)
    model.set_weights([rng.uniform(0.1, 1, w.shape) for w in model.get_weights()])
    x = rng.normal(size=(70, 8, 8, 16)).astype("float32")
    whole = model.predict(x, batch_size=70, verbose=0)
    for batch_size in (1, 3, 16, 64):
        np.testing.assert_array_equal(model.predict(x, batch_size=batch_size, verbose=0), whole)


@pytest.mark.parametrize("name", ["dense", "cnn", "lstm"])
def test_threads_do_not_change_bits_within_a_process(name: str) -> None:
    results = []
    before = lamina.config.num_threads()
    try:
        for threads in (1, 2, 3):
            lamina.utils.clear_session()
            lamina.utils.set_random_seed(3)
            lamina.set_num_threads(threads)
            model, x = models()[name]
            model.compile("rmsprop", "mse")
            y = np.ones((70, model.output_shape[-1]), "float32")
            model.fit(x, y, batch_size=16, epochs=2, verbose=0)
            results.append([*model.get_weights(), model.predict(x, verbose=0)])
    finally:
        lamina.set_num_threads(before)
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(a, b)


def fitted(seed: int | None) -> list[np.ndarray]:
    if seed is not None:
        lamina.utils.set_random_seed(seed)
    k = lamina.layers
    model = lamina.Sequential([lamina.Input((6,)), k.Dense(20, "relu"), k.Dropout(0.5),
                               k.Dense(1)])  # fmt: skip
    model.compile("adam", "mse")
    x = np.random.RandomState(0).normal(size=(50, 6))
    model.fit(x, x[:, :1], batch_size=8, epochs=3, verbose=0)
    return model.get_weights()


def test_seed_fixes_weights_shuffling_and_dropout() -> None:
    for a, b in zip(fitted(4), fitted(4), strict=True):
        np.testing.assert_array_equal(a, b)
    assert any((a != b).any() for a, b in zip(fitted(4), fitted(5), strict=True))
    assert any((a != b).any() for a, b in zip(fitted(4), fitted(None), strict=True))


def test_every_call_has_another_mask() -> None:
    layer = lamina.layers.Dropout(0.5, seed=3)
    ones = np.ones((4, 50), "float32")
    seen = [np.asarray(layer(ones, training=True)) for _ in range(3)]
    assert (seen[0] != seen[1]).any() and (seen[1] != seen[2]).any()
