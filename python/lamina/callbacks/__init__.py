"""Callbacks: objects that `fit`, `evaluate` and `predict` call at fixed moments."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from lamina.callbacks.callback import Callback
from lamina.callbacks.callback_list import CallbackList
from lamina.callbacks.early_stopping import EarlyStopping
from lamina.callbacks.history import History
from lamina.callbacks.lambda_callback import LambdaCallback
from lamina.callbacks.learning_rate import LearningRateScheduler, ReduceLROnPlateau
from lamina.callbacks.model_checkpoint import ModelCheckpoint
from lamina.callbacks.progbar_logger import ProgbarLogger
from lamina.callbacks.terminate_on_nan import TerminateOnNaN

if TYPE_CHECKING:
    from lamina.callbacks.backup_and_restore import BackupAndRestore
    from lamina.callbacks.csv_logger import CSVLogger
    from lamina.callbacks.remote_monitor import RemoteMonitor
    from lamina.callbacks.swap_ema_weights import SwapEMAWeights
    from lamina.callbacks.tensorboard import TensorBoard

__all__ = [
    "BackupAndRestore",
    "CSVLogger",
    "Callback",
    "CallbackList",
    "EarlyStopping",
    "History",
    "LambdaCallback",
    "LearningRateScheduler",
    "ModelCheckpoint",
    "ProgbarLogger",
    "ReduceLROnPlateau",
    "RemoteMonitor",
    "SwapEMAWeights",
    "TensorBoard",
    "TerminateOnNaN",
]

# Those with files, networks or events of their own are imported when they are used.
_LATER = {
    "BackupAndRestore": "lamina.callbacks.backup_and_restore",
    "CSVLogger": "lamina.callbacks.csv_logger",
    "RemoteMonitor": "lamina.callbacks.remote_monitor",
    "SwapEMAWeights": "lamina.callbacks.swap_ema_weights",
    "TensorBoard": "lamina.callbacks.tensorboard",
}


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_LATER[name]), name)


def __dir__() -> list[str]:
    return __all__
