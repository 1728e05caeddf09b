"""Why a name of Keras is absent or behaves otherwise. Patterns; the longest that fits counts."""

from __future__ import annotations

_LATER = "comes later, as a part of its own"
_FRAMEWORK = "wraps another framework, which lamina does without"
_ONE_MACHINE = "lamina runs in one process on one machine"

ABSENT: dict[str, str] = {
    "applications": "pretrained networks for images: their weights are a download of their own",
    "distribution.*": _ONE_MACHINE,
    "distillation.*": _LATER,
    "layers.FlaxLayer": _FRAMEWORK,
    "layers.JaxLayer": _FRAMEWORK,
    "layers.TFSMLayer": _FRAMEWORK,
    "layers.TorchModuleWrapper": _FRAMEWORK,
    "callbacks.OrbaxCheckpoint": _FRAMEWORK,
}

DIFFERS: dict[str, str] = {}

SUITE = ""
