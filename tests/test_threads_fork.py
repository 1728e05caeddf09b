"""Several Python threads, and forked children."""

from __future__ import annotations

import multiprocessing
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import lamina
from tests.processes import run_python

X = np.random.RandomState(0).normal(size=(64, 10, 10, 1)).astype("float32")


def cnn() -> Any:
    k = lamina.layers
    model = lamina.Sequential([
        lamina.Input((10, 10, 1)), k.Conv2D(8, 3, activation="relu"), k.Flatten(),
        k.Dense(32, "relu"), k.Dense(3, "softmax"),
    ])  # fmt: skip
    model.compile("adam", "sparse_categorical_crossentropy")
    return model


@pytest.mark.parametrize("batch_size", [1, 8, 64])
def test_concurrent_predict_equals_serial(batch_size: int) -> None:
    model = cnn()
    parts = [X[i : i + 8] for i in range(0, 64, 8)]
    serial = [model.predict(part, batch_size=batch_size, verbose=0) for part in parts]
    with ThreadPoolExecutor(6) as pool:
        for _ in range(5):
            threaded = list(
                pool.map(lambda p: model.predict(p, batch_size=batch_size, verbose=0), parts)
            )
            for a, b in zip(serial, threaded, strict=True):
                np.testing.assert_array_equal(a, b)


def test_concurrent_first_calls_of_new_shapes() -> None:
    model = cnn()
    sizes = [1, 2, 3, 5, 8, 13, 21, 34]
    with ThreadPoolExecutor(8) as pool:
        threaded = list(pool.map(lambda n: np.asarray(model(X[:n])), sizes))
    for n, y in zip(sizes, threaded, strict=True):
        np.testing.assert_array_equal(y, np.asarray(model(X[:n])))


def test_models_train_in_parallel_threads() -> None:
    def train(seed: int) -> list[np.ndarray]:
        model = cnn()
        generator = np.random.RandomState(seed)
        model.set_weights([generator.normal(size=w.shape) * 0.1 for w in model.get_weights()])
        model.fit(X, np.arange(64) % 3, shuffle=False, epochs=2, verbose=0)
        return model.get_weights()

    serial = [train(seed) for seed in range(4)]
    with ThreadPoolExecutor(4) as pool:
        threaded = list(pool.map(train, range(4)))
    for one, other in zip(serial, threaded, strict=True):
        for a, b in zip(one, other, strict=True):
            np.testing.assert_array_equal(a, b)


def test_other_threads_run_while_the_engine_works() -> None:
    """The GIL is released: a Python thread counts while another is inside one long fit."""
    model = cnn()
    model.fit(X, np.arange(64) % 3, verbose=0)
    done = threading.Event()
    counted = 0

    def work() -> None:
        model.fit(X, np.arange(64) % 3, epochs=60, verbose=0)
        done.set()

    worker = threading.Thread(target=work)
    worker.start()
    while not done.is_set():
        counted += 1
    worker.join()
    assert counted > 1000


def child(queue: Any, weights: list[np.ndarray]) -> None:
    model = cnn()
    model.set_weights(weights)
    predicted = model.predict(X, verbose=0)
    model.fit(X, np.arange(64) % 3, shuffle=False, verbose=0)
    queue.put((predicted, model.get_weights()))


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="no fork here")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_child_computes_the_same() -> None:
    model = cnn()
    weights = model.get_weights()
    predicted = model.predict(X, verbose=0)  # the parent's team of threads exists now
    model.fit(X, np.arange(64) % 3, shuffle=False, verbose=0)
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    process = context.Process(target=child, args=(queue, weights))
    process.start()
    try:
        child_predicted, child_weights = queue.get(timeout=60)
    finally:
        process.join(timeout=60)
        if process.is_alive():
            process.kill()
    assert process.exitcode == 0
    np.testing.assert_array_equal(child_predicted, predicted)
    for a, b in zip(child_weights, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(model.predict(X[:3], verbose=0).shape, (3, 3))


def test_fork_while_another_thread_is_inside_fit() -> None:
    run_python("""
        import os, sys, threading, time
        import numpy as np, lamina
        model = lamina.Sequential([lamina.Input((100,)), lamina.layers.Dense(300, "relu"),
                                   lamina.layers.Dense(1)])
        model.compile("adam", "mse")
        x = np.ones((512, 100), "float32")
        y = np.ones((512, 1), "float32")
        expected = model.predict(x, verbose=0)
        other = lamina.models.clone_model(model)
        other.set_weights(model.get_weights())
        thread = threading.Thread(target=lambda: model.fit(x, y, epochs=40, verbose=0))
        thread.start()
        time.sleep(0.05)
        pid = os.fork()
        if pid == 0:
            same = np.array_equal(other.predict(x, verbose=0), expected)
            os._exit(0 if same else 3)
        _, status = os.waitpid(pid, 0)
        thread.join()
        sys.exit(os.waitstatus_to_exitcode(status))
    """)
