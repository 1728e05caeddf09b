"""lamina: deep learning on ordinary processors, with the Keras 3 API and a C++ engine."""

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
    legacy,
    losses,
    metrics,
    mixed_precision,
    models,
    ops,
    optimizers,
    preprocessing,
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

__version__ = _build.VERSION


def version() -> str:
    """The version of lamina."""
    return __version__


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
