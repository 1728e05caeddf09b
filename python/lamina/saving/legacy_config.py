"""Configs of `.h5` models, in the form that a `.keras` file has.

Keras 2 described layers by class name and settings alone, connected them in another way, and had
settings that Keras 3 renamed or dropped. Keras 3 writes its own settings into `.h5` files, also
without modules. Everything here turns plain data into plain data; nothing is made or looked up
except registered names.
"""

from __future__ import annotations

from typing import Any

from lamina import layers, serialization
from lamina.saving.legacy_activations import FORM as HARD_SIGMOID
from lamina.saving.legacy_graph import present_graph

Form = dict[str, Any]

# Settings of Keras 2 that Keras 3 dropped, with the values that change nothing.
_DROPPED: dict[str, tuple[Any, ...]] = {
    "time_major": (False,),
    "implementation": (0, 1, 2, None),
    "virtual_batch_size": (None,),
    "adjustment": (None,),
    "causal": (False,),
    "fused": (None, True, False),
    "ragged": (False, None),
    "input_dtype": (),
    "input_length": (),
    "query_shape": (),
    "key_shape": (),
    "value_shape": (),
    "softmax_robust_masking": (False,),
}
_RENAMED = {
    "LeakyReLU": {"alpha": "negative_slope"},
    "ThresholdedReLU": {"theta": "threshold"},
}
_CLASSES = {"Model": "Functional", "ThresholdedReLU": "ReLU"}
_POLICIES = ("Policy", "PolicyV1", "PolicyV0")
# Of these Keras 2 wrote settings that their general form has.
_WITHOUT_GROUPS = (
    "DepthwiseConv1D", "DepthwiseConv2D", "SeparableConv1D", "SeparableConv2D",
    "Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose",
)  # fmt: skip
_GENERAL_KERNEL = ("kernel_initializer", "kernel_regularizer", "kernel_constraint")


def present_config(config: Form, *, is_keras_2: bool) -> Form:
    """Return the config of a model as a `.keras` file has it.

    Args:
        config: `{"class_name", "config"}` of the model.
        is_keras_2: whether Keras 2 wrote it.

    Raises:
        ValueError: for a setting that has no meaning here, and for Python code.
    """
    return _Presenter(is_keras_2).object(config)


class _Presenter:
    def __init__(self, is_keras_2: bool) -> None:
        self._is_keras_2 = is_keras_2

    def value(self, value: Any) -> Any:
        """Return a setting with all objects in it in their present form."""
        if isinstance(value, list):
            return [self.value(item) for item in value]
        if not isinstance(value, dict):
            return value
        if isinstance(value.get("class_name"), str) and "config" in value:
            return self.object(value)
        return {key: self.value(item) for key, item in value.items()}

    def object(self, form: Form) -> Form:
        """Return the form of one object."""
        name = str(form["class_name"])
        form = {**form, "class_name": _found_name(name)}
        settings = form["config"]
        if name in _POLICIES and isinstance(settings, dict):
            return {**form, "module": "keras", "class_name": "DTypePolicy"}
        if isinstance(settings, list) and name == "Sequential":  # the first versions of Keras 2
            settings = {"layers": settings}
        if not isinstance(settings, dict):
            return form
        if _is_op(form):
            return {**form, "module": "keras.ops"}
        settings = self.value(settings)
        if _is_own_layer(name):
            settings = self._layer_settings(name, settings)
            form["class_name"] = _CLASSES.get(name, name)
        if isinstance(settings.get("layers"), list):
            settings = self._model_settings(settings)
        return {**form, "config": settings}

    def _model_settings(self, settings: Form) -> Form:
        if "input_layers" in settings:
            return present_graph(settings) if self._is_keras_2 else settings
        return {**settings, "layers": _with_input_layer(settings["layers"])}

    def _layer_settings(self, name: str, settings: Form) -> Form:
        """Return the settings of one of our own layers under their present names."""
        renamed = _RENAMED.get(name, {})
        settings = {renamed.get(key, key): value for key, value in settings.items()}
        for key, neutral in _DROPPED.items():
            if key in settings and not (name == "InputLayer" and key == "ragged"):
                value = settings.pop(key)
                if neutral and value not in neutral:
                    raise ValueError(
                        f"layer {settings.get('name')!r} ({name}) has {key}={value!r}, which "
                        "Keras 3 no longer has."
                    )
        if name in _WITHOUT_GROUPS and settings.get("groups", 1) == 1:
            settings.pop("groups", None)
        if self._is_keras_2:
            _adapt(name, settings)
        return settings


def _adapt(name: str, settings: Form) -> None:
    """Change what means something else in Keras 2."""
    if name.startswith(("Depthwise", "Separable")):
        for key in _GENERAL_KERNEL:
            settings.pop(key, None)
    if name == "BatchNormalization" and isinstance(settings.get("axis"), list):
        if len(settings["axis"]) == 1:
            settings["axis"] = settings["axis"][0]
    if name in ("GRU", "GRUCell"):
        settings.setdefault("reset_after", False)
    if name == "Lambda":
        settings.update(_lambda_settings(settings))
        for key in ("function_type", "module", "output_shape_type", "output_shape_module"):
            settings.pop(key, None)
    if name.startswith("SpatialDropout") and settings.get("trainable", True):
        settings.pop("trainable", None)
        settings.pop("noise_shape", None)
    for key in ("activation", "recurrent_activation"):
        if settings.get(key) == "hard_sigmoid":
            settings[key] = HARD_SIGMOID


def _lambda_settings(settings: Form) -> Form:
    """Return the function of a Lambda layer: one that is registered, never code of the file."""
    name, function = settings.get("name"), settings.get("function")
    if isinstance(function, list):
        given = serialization.get_registered_object(name) if isinstance(name, str) else None
        if given is None:
            raise ValueError(
                f"the Lambda layer {name!r} carries Python code, which is not run: loading it "
                "means arbitrary code execution. Pass the function under the layer's name: "
                f"load_model(..., custom_objects={{{name!r}: function}})."
            )
        function = name
    shape = settings.get("output_shape")
    if settings.get("output_shape_type", "raw") != "raw" or isinstance(shape, dict):
        shape = None  # running the function on shapes tells it
    described = {"module": "builtins", "class_name": "function", "config": function,
                 "registered_name": "function"}  # fmt: skip
    return {"function": described if isinstance(function, str) else function, "output_shape": shape}


def _with_input_layer(forms: list[Any]) -> list[Any]:
    """Put an InputLayer in front of a stack whose first layer says the shape of its inputs."""
    if not forms or not isinstance(forms[0], dict) or not isinstance(forms[0].get("config"), dict):
        return forms
    settings = forms[0]["config"]
    shape = settings.get("batch_input_shape")
    if forms[0].get("class_name") == "InputLayer" or shape is None:
        return [_without_input_shape(form) for form in forms]
    dtype = settings.get("dtype")
    config = {"batch_shape": shape, "dtype": dtype if isinstance(dtype, str) else "float32"}
    first = {"module": "keras.layers", "class_name": "InputLayer", "config": config}
    return [first, *(_without_input_shape(form) for form in forms)]


def _without_input_shape(form: Any) -> Any:
    if isinstance(form, dict) and isinstance(form.get("config"), dict):
        if form.get("class_name") != "InputLayer" and "batch_input_shape" in form["config"]:
            settings = {k: v for k, v in form["config"].items() if k != "batch_input_shape"}
            return {**form, "config": settings}
    return form


def _found_name(name: str) -> str:
    """Return the name under which a class can be found.

    A registered name has its package in front; who passes a class by argument need not know that.
    """
    known = serialization.get_registered_object
    return name if known(name) is not None else name.rsplit(">", 1)[-1]


def _is_own_layer(name: str) -> bool:
    is_known = name in layers.__all__ or name in (*_CLASSES, "Functional", "Sequential")
    return is_known and serialization.get_registered_object(name) is None


def _is_op(form: Form) -> bool:
    """Whether a part of a graph is a recorded op: ops have no dtype, and no layer has none."""
    settings = form["config"]
    if "inbound_nodes" not in form or form.get("module"):
        return False
    is_layer = any(key in settings for key in ("dtype", "trainable", "layers", "batch_shape"))
    known = serialization.get_registered_object(form["class_name"])
    return not is_layer and known is None
