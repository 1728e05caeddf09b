"""lamina: deep learning on ordinary processors, with the Keras 3 API and a C++ engine."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from lamina import _build, _engine

_engine.load()

from lamina import (  # noqa: E402  (the engine must be loaded first)
    activations,
    backend,
    callbacks,
    config,
    constraints,
    datasets,
    dtype_policies,
    initializers,
    layers,
    losses,
    metrics,
    mixed_precision,
    models,
    ops,
    optimizers,
    quantizers,
    random,
    regularizers,
    saving,
    tree,
    utils,
)
from lamina.autodiff import GradientTape, grad, value_and_grad  # noqa: E402
from lamina.config import num_threads, set_num_threads  # noqa: E402
from lamina.dtype_policies import DTypePolicy, FloatDTypePolicy  # noqa: E402
from lamina.initializers import Initializer  # noqa: E402
from lamina.layers import Input, InputSpec, Layer  # noqa: E402
from lamina.layers.node import Operation  # noqa: E402
from lamina.losses import Loss  # noqa: E402
from lamina.metrics import Metric  # noqa: E402
from lamina.models import Model, Sequential  # noqa: E402
from lamina.models.function import Function  # noqa: E402
from lamina.names import name_scope  # noqa: E402
from lamina.optimizers import Optimizer  # noqa: E402
from lamina.quantizers import Quantizer  # noqa: E402
from lamina.regularizers import Regularizer  # noqa: E402
from lamina.remat import RematScope, remat  # noqa: E402
from lamina.scopes import StatelessScope, SymbolicScope, device  # noqa: E402
from lamina.tensor import KerasTensor, Tensor  # noqa: E402
from lamina.traced_function import function  # noqa: E402
from lamina.tracing import gradients  # noqa: E402
from lamina.variable import Variable  # noqa: E402

if TYPE_CHECKING:
    from lamina import legacy, preprocessing
    from lamina.profiling import Profile

# What older programs use is imported when it is asked for.
_LATER = ("legacy", "preprocessing")

__version__ = _build.VERSION


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module 'lamina' has no attribute {name!r}")
    return importlib.import_module(f"lamina.{name}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATER})


def version() -> str:
    """The version of lamina."""
    return __version__


def profile(
    model: Model,
    x: Any = None,
    y: Any = None,
    batch_size: int = 32,
    steps: int = 20,
    mode: str | None = None,
) -> Profile:
    """Time every operation of a model's step, and compare it with what the machine can do.

    The model is as it was afterwards: weights, optimizer, metrics and random numbers.

    Args:
        model: a Model; compiled when it is to be trained.
        x, y: as for `fit`; one batch of them is used. Without x a prediction is timed on zeros.
        batch_size: rows of the batch.
        steps: how often the step is timed, after a few steps to warm up.
        mode: "train" or "predict"; None: "train" if there are labels.

    Returns:
        A Profile: print it for a table; `save_trace(path)` writes a trace for Perfetto,
        `plot(path)` draws a picture (needs matplotlib), `to_dict()` gives the numbers.

    Raises:
        TypeError: for something that is no Model.
        ValueError: for a bad argument, a model that is not compiled or runs eagerly.

    `fit(..., profile=True)` does the same for the steps of a fit.
    """
    from lamina.profiling import run

    return run.profile(model, x, y, batch_size, steps, mode)


def install_as_keras() -> None:
    """Make `import keras` and `import tensorflow.keras` resolve to lamina in this process.

    See `lamina.dropin`, which is loaded only then.
    """
    from lamina import dropin

    dropin.install_as_keras()


__all__ = [
    "DTypePolicy",
    "FloatDTypePolicy",
    "Function",
    "GradientTape",
    "Initializer",
    "Input",
    "InputSpec",
    "KerasTensor",
    "Layer",
    "Loss",
    "Metric",
    "Model",
    "Operation",
    "Optimizer",
    "Quantizer",
    "Regularizer",
    "RematScope",
    "Sequential",
    "StatelessScope",
    "SymbolicScope",
    "Tensor",
    "Variable",
    "__version__",
    "activations",
    "backend",
    "callbacks",
    "config",
    "constraints",
    "datasets",
    "device",
    "dtype_policies",
    "function",
    "grad",
    "gradients",
    "initializers",
    "install_as_keras",
    "layers",
    "legacy",
    "losses",
    "metrics",
    "mixed_precision",
    "models",
    "name_scope",
    "num_threads",
    "ops",
    "optimizers",
    "preprocessing",
    "profile",
    "quantizers",
    "random",
    "regularizers",
    "remat",
    "saving",
    "set_num_threads",
    "tree",
    "utils",
    "value_and_grad",
    "version",
]
