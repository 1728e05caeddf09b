"""Why a name of Keras is absent or behaves otherwise. Patterns; the longest that fits counts."""

from __future__ import annotations

_PREPROCESSING = "preparing text, categories and images in layers comes later, as a part of its own"
_DATA = "data set objects, and making them of folders and files, come later, as a part of their own"
_BOXES = "bounding boxes come later, with the preprocessing of images"
_FRAMEWORK = "wraps another framework, which lamina does without"
_ONE_MACHINE = "lamina runs in one process on one machine"
_DRAWING = "draws with Graphviz and pydot; `Model.summary` shows the same as text"
_PICTURES = "drawing pictures of data comes later, as a part of its own"

ABSENT: dict[str, str] = {
    "applications": "pretrained networks for images: their weights are a download of their own",
    "callbacks.OrbaxCheckpoint": _FRAMEWORK,
    "distillation.*": "distillation comes later, as a part of its own",
    "distribution.*": _ONE_MACHINE,
    "export.ExportArchive": "holds another framework's functions; `Model.export` writes ONNX",
    "layers.*": _PREPROCESSING,
    "layers.FlaxLayer": _FRAMEWORK,
    "layers.JaxLayer": _FRAMEWORK,
    "layers.MaxNumBoundingBoxes": _BOXES,
    "layers.TFSMLayer": _FRAMEWORK,
    "layers.TorchModuleWrapper": _FRAMEWORK,
    "preprocessing.*": _DATA,
    "utils.*_dataset*": _DATA,
    "utils.FeatureSpace": _PREPROCESSING,
    "utils.bounding_boxes.*": _BOXES,
    "utils.model_to_dot": _DRAWING,
    "utils.plot_model": _DRAWING,
    "visualization.*": _PICTURES,
    "wrappers.*": "estimators of scikit-learn come later, as a part of their own",
}

_NEVER_DOES = (
    "`convert_weight` serves layers inside a `tf.data` pipeline, which lamina does not have"
)
_NOT_TWICE = "accepted; the engine plans a whole step's memory and computes no value twice"
_COMPILED = (
    "training runs in the engine's own loop, so there is no step function to make: "
    "override `train_step`, `test_step` or `predict_step`"
)

# Keras calls the argument of `build` `variables` in the base class and `var_list` in these.
_VAR_LIST = (
    "Adadelta", "Adafactor", "Adagrad", "Adam", "Adamax", "Ftrl", "Lamb", "Lion", "Muon", "Nadam",
    "RMSprop", "ScheduleFreeAdamW",
)  # fmt: skip

DIFFERS: dict[str, str] = {
    **{f"optimizers.{name}": "it is `variables`, as for `Optimizer`" for name in _VAR_LIST},
    "KerasTensor": "ragged tensors exist in TensorFlow only",
    "Layer": "in Keras `add_metric` only says that it is gone",
    "Model": _COMPILED,
    "Operation": "in Keras these two have a meaning in layers only, and layers have them here",
    "RematScope": _NOT_TWICE,
    "Variable": f"the layout of distributed arrays: {_ONE_MACHINE}",
    "callbacks.TensorBoard": "`summary` is the module of TensorFlow that writes the events",
    "layers.Normalization": f"statistics are read where they are used; {_NEVER_DOES}",
    "layers.RNN": "the loop over the steps belongs to the engine",
    "layers.Rescaling": _NEVER_DOES,
    "remat": _NOT_TWICE,
    "dtype_policies.DTypePolicyMap": "no other object is inside",
}

SUITE = """
Random functions, layers and initializers draw from Keras's distributions; the numbers that belong
to a seed are lamina's own, and the same on every machine.

## Keras's own unit tests

Of Keras's own unit tests, 3.15.1, those that need no other framework were run through public
names: 2,135 of 2,183 pass. The others:

| tests | | why |
| --- | --- | --- |
| configurations of the layers that prepare images | 31 | those layers come later |
| one file on training | 11 | it imports JAX at its top, and was not run without it |
| one training step in float8 | 2 | the test has a step for TensorFlow, JAX and PyTorch only |
| attributes with a leading underscore | 3 | how Keras keeps 4-bit kernels and picks fused kernels |
| the mean of one dropout mask | 1 | allows 2 standard deviations; this seed gives 2.2 here |
"""
