"""Models: Sequential, functional and subclassed."""

from typing import TYPE_CHECKING, Any

from lamina.models.cloning import clone_model
from lamina.models.functional import Functional
from lamina.models.model import Model, model_from_json
from lamina.models.sequential import Sequential

if TYPE_CHECKING:
    from lamina.saving.model import load_model, save_model

__all__ = [
    "Functional",
    "Model",
    "Sequential",
    "clone_model",
    "load_model",
    "model_from_json",
    "save_model",
]


def __getattr__(name: str) -> Any:
    if name not in ("load_model", "save_model"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from lamina.saving import model  # brings the standard library's archives along

    return getattr(model, name)
