"""Training, evaluation and prediction of models."""

from lamina.trainer.trainer import Trainer

__all__ = ["Trainer"]
