"""Let programs written for Keras run on lamina without an edit.

After `install_as_keras()`, `keras` and `tensorflow.keras` and everything below them are lamina's
own modules under another name. `tensorflow` itself becomes a stand-in that has `keras` and
nothing else.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

PREFIXES = ("keras", "tensorflow.keras")


class KerasFinder(MetaPathFinder):
    """Answers every import of keras and tensorflow; stands first on `sys.meta_path`."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        del path, target
        if fullname == "tensorflow":
            return ModuleSpec(fullname, TensorFlowLoader(), is_package=True)
        for prefix in PREFIXES:
            if fullname == prefix or fullname.startswith(prefix + "."):
                return ModuleSpec(fullname, AliasLoader("lamina" + fullname[len(prefix) :]))
        if fullname.startswith("tensorflow."):
            raise ModuleNotFoundError(_not_keras(fullname), name=fullname)
        return None


class AliasLoader(Loader):
    """Gives the module of another name."""

    def __init__(self, real_name: str) -> None:
        self.real_name = real_name

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        try:
            module = importlib.import_module(self.real_name)
        except ModuleNotFoundError as error:
            if error.name != self.real_name:  # the module is there, something it needs is not
                raise
            raise ModuleNotFoundError(
                f"{spec.name}: lamina has no module {self.real_name}.", name=spec.name
            ) from None
        self._own_spec = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        # It has run under its own name; the import system has just given it another spec.
        module.__spec__ = self._own_spec


class TensorFlowLoader(Loader):
    """Makes the stand-in for tensorflow: `keras`, and an error for anything else."""

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        import lamina

        module = ModuleType(spec.name, "Stand-in for TensorFlow: lamina serves its keras only.")
        module.__dict__["keras"] = lamina
        module.__dict__["__getattr__"] = _refuse_attribute
        return module

    def exec_module(self, module: ModuleType) -> None:
        pass


def install_as_keras() -> None:
    """Make `import keras` and `import tensorflow.keras` resolve to lamina in this process.

    Afterwards `import keras`, `from keras... import`, `from tensorflow.keras... import` and
    `from tensorflow import keras` give lamina's modules. Anything else of tensorflow raises an
    ImportError that says so. Calling it again changes nothing.

    Raises:
        RuntimeError: if the real keras or tensorflow is imported already.
    """
    import lamina

    if any(isinstance(finder, KerasFinder) for finder in sys.meta_path):
        return
    for name in ("keras", "tensorflow"):
        if name in sys.modules and sys.modules[name] is not lamina:
            raise RuntimeError(
                f"install_as_keras: {name} is imported already; call this before it is."
            )
    sys.meta_path.insert(0, KerasFinder())


def _refuse_attribute(name: str) -> Any:
    if name.startswith("__") and name != "__version__":
        raise AttributeError(f"module 'tensorflow' has no attribute {name!r}")
    raise ImportError(_not_keras(f"tensorflow.{name}"))


def _not_keras(name: str) -> str:
    return f"{name}: lamina stands in for keras and tensorflow.keras only, not for TensorFlow."
