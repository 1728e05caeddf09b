"""What `compile` was given, as plain values and back."""

from __future__ import annotations

import warnings
from typing import Any

from lamina import serialization


class CompileConfiguration:
    """`get_compile_config` and `compile_from_config` of a model."""

    compiled: bool
    optimizer: Any
    _compile_arguments: dict[str, Any]

    def get_compile_config(self) -> dict[str, Any]:
        """Return what `compile` was given, as plain values; empty when it was not called."""
        if not self.compiled:
            return {}
        arguments = {**self._compile_arguments, "optimizer": self.optimizer}
        return {key: serialization.serialize_keras_object(v) for key, v in arguments.items()}

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Call `compile` with what `get_compile_config` returned, and make the optimizer's state.

        A model with its own `compile` must have its own `compile_from_config` too; else there is
        a warning, and the model is not compiled.
        """
        from lamina.trainer.trainer import Trainer

        if type(self).compile is not Trainer.compile:  # type: ignore[attr-defined]
            warnings.warn(
                f"load_model(): {type(self).__name__} has a compile() of its own, which was not "
                "called. The class should define "
                "get_compile_config() and compile_from_config(config) too; or call compile() now.",
                stacklevel=3,
            )
            return
        self.compile(**serialization.deserialize_keras_object(config))  # type: ignore[attr-defined]
        if self.optimizer is not None and self.built:  # type: ignore[attr-defined]
            self.optimizer.build(self.trainable_variables)  # type: ignore[attr-defined]
