"""Which copy of the engine is loaded, its threads, and forks."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys

import numpy as np
import pytest
import threadpoolctl

import lamina
from lamina import _build, _core, _engine, _loader


def _python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )


def _level(name: str) -> int:
    return int(name[1]) if name.startswith("v") else 0


@pytest.mark.parametrize("level", _build.LEVELS)
def test_lamina_isa_chooses_the_level(level: str) -> None:
    if _level(level) > _loader.cpu_level():
        pytest.skip(f"this CPU has no {level}")
    run = _python("import lamina; print(lamina._core.isa())", LAMINA_ISA=level)
    assert run.stdout.strip() == level, run.stderr


# The same small training on every level of a wheel; a machine's own build has one.
TRAIN = """
import numpy as np, lamina
lamina.utils.set_random_seed(1)
rng = np.random.default_rng(0)
x = rng.normal(size=(64, 5)).astype("float32")
y = (x.sum(axis=1, keepdims=True) > 0).astype("float32")
model = lamina.Sequential(
    [lamina.Input((5,)), lamina.layers.Dense(8, activation="tanh"), lamina.layers.Dense(1)]
)
model.compile(optimizer="adam", loss="mse")
history = model.fit(x, y, epochs=3, batch_size=16, verbose=0)
print(history.history["loss"][-1])
"""


@pytest.mark.parametrize("level", _build.LEVELS)
def test_every_level_trains_alike(level: str) -> None:
    if _level(level) > _loader.cpu_level():
        pytest.skip(f"this CPU has no {level}")
    run = _python(TRAIN, LAMINA_ISA=level)
    default = _python(TRAIN)
    assert float(run.stdout) == pytest.approx(float(default.stdout), rel=1e-4), run.stderr


def test_a_level_that_was_not_built_is_refused() -> None:
    run = _python("import lamina", LAMINA_ISA="v9")
    assert run.returncode != 0
    assert "ImportError: LAMINA_ISA=v9: this build of lamina has" in run.stderr


def test_choose() -> None:
    assert _engine.choose("", 4, ["v2", "v3", "v4"]) == "v4"
    assert _engine.choose("", 3, ["v2", "v3", "v4"]) == "v3"
    assert _engine.choose("v2", 4, ["v2", "v3", "v4"]) == "v2"
    assert _engine.choose("", 0, ["generic"]) == "generic"
    with pytest.raises(ImportError, match="needs a CPU with x86-64-v4"):
        _engine.choose("", 3, ["v4"])
    with pytest.raises(ImportError, match="this CPU only has x86-64-v3"):
        _engine.choose("v4", 3, ["v2", "v3", "v4"])


def test_omp_num_threads_is_obeyed() -> None:
    run = _python("import lamina; print(lamina._core.num_threads())", OMP_NUM_THREADS="3")
    assert run.stdout.strip() == "3", run.stderr


def test_threadpoolctl_limits_the_threads() -> None:
    with threadpoolctl.threadpool_limits(1):
        assert _core.num_threads() == 1


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity masks here")
def test_a_narrower_affinity_mask_is_seen() -> None:
    code = """
import os, lamina
first = min(os.sched_getaffinity(0))
os.sched_setaffinity(0, {first})
print(lamina._core.num_threads())
"""
    environment = {k: v for k, v in os.environ.items() if k != "OMP_NUM_THREADS"}
    run = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120
    )
    assert run.stdout.strip() == "1", run.stderr


def test_set_num_threads_is_an_upper_limit() -> None:
    before = _core.num_threads()
    try:
        lamina.set_num_threads(1)
        assert _core.num_threads() == 1
        with pytest.raises(ValueError, match="(?i)got 0"):
            lamina.set_num_threads(0)
    finally:
        lamina.set_num_threads(before)
    assert _core.num_threads() == before


def _product(_: int) -> float:
    x = np.full((300, 400), 0.5, np.float32)
    return float(np.asarray(lamina.ops.matmul(x, x.T)).sum())


# Python 3.12 warns of every fork in a process that has threads.
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.skipif(sys.platform != "linux", reason="fork")
def test_forked_workers_compute() -> None:
    expected = _product(0)
    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert pool.map_async(_product, range(4)).get(timeout=60) == [expected] * 4
    assert _product(0) == expected
