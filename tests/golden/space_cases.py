"""Layers and functions that pool, resize, pad and merge along space.

As in `layers_cases`, a Dense layer stands before, so that its weights after two steps of SGD show
the gradient with respect to the input. Padding "same" of averages is left to a reference by hand:
Keras's torch backend counts some of the padding.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tests.golden.cases import Result, add, as_numpy, fill, flat, normal

Build = Callable[[Any, Any], Any]  # (keras, tensor) -> tensor


def delayed(keras: Any, inputs: Any) -> Any:
    """The input one step later: a second tensor with a mask of its own."""
    later = keras.layers.ZeroPadding1D((1, 0))(keras.layers.Cropping1D((0, 1))(inputs))
    return keras.layers.Dense(inputs.shape[-1])(keras.layers.Masking()(later))


def case(
    name: str, shape: tuple[int, ...], build: Build, *, has_config: bool = True,
    x: np.ndarray | None = None, rtol: float = 5e-5, atol: float = 5e-6,
) -> None:  # fmt: skip
    """One case. `x` replaces the random input."""
    data = normal(3, *shape, seed=len(name)) if x is None else x

    def run(keras: Any) -> Result:
        inputs = keras.Input(shape)
        h = keras.layers.Masking()(inputs) if "mask" in name else inputs
        before: Any = keras.layers.Dense(shape[-1], name="before")(h)
        outputs = build(keras, [before, delayed(keras, inputs)] if "mask" in name else before)
        model = keras.Model(inputs, outputs)
        fill(model, scale=0.7)
        predicted = model.predict(data, verbose=0)
        result: Result = {"output": predicted, "output_shape": list(model.output_shape)}
        if has_config:
            config = model.layers[-1].get_config()
            result["config"] = {k: v for k, v in config.items() if k not in ("dtype", "name")}
        model.compile(keras.optimizers.SGD(0.1), "mse")
        target = normal(*predicted.shape, seed=5)
        losses = [as_numpy(model.train_on_batch(data, target)) for _ in range(2)]
        result["losses"] = np.array([float(np.ravel(loss)[0]) for loss in losses], "float32")
        result["after"] = flat(model.get_weights())
        return result

    add("space", name, run, rtol, atol)


LINE, IMAGE, VOLUME = (7, 3), (5, 6, 2), (4, 5, 3, 2)
FIRST = dict(data_format="channels_first")

LAYERS: dict[str, tuple[str, tuple[int, ...], dict[str, Any]]] = {
    # ---- Pooling
    "max_pooling1d": ("MaxPooling1D", LINE, {}),
    "max_pooling1d_same": ("MaxPooling1D", LINE, dict(pool_size=3, strides=2, padding="same")),
    "max_pooling1d_first": ("MaxPooling1D", (3, 7), dict(pool_size=3, strides=1, **FIRST)),
    "average_pooling1d": ("AveragePooling1D", LINE, dict(pool_size=2)),
    "average_pooling1d_first": ("AveragePooling1D", (3, 7), dict(pool_size=3, strides=2, **FIRST)),
    "max_pooling3d": ("MaxPooling3D", VOLUME, {}),
    "max_pooling3d_same": ("MaxPooling3D", VOLUME, dict(
        pool_size=(2, 3, 2), strides=(2, 1, 2), padding="same")),
    "max_pooling3d_first": ("MaxPooling3D", (2, 4, 5, 3), dict(
        pool_size=2, strides=1, **FIRST)),
    "average_pooling3d": ("AveragePooling3D", VOLUME, dict(pool_size=2)),
    "average_pooling3d_strides": ("AveragePooling3D", VOLUME, dict(
        pool_size=(3, 2, 1), strides=(1, 2, 1))),
    "average_pooling3d_first": ("AveragePooling3D", (2, 4, 5, 3), dict(pool_size=2, **FIRST)),
    "global_max_pooling1d": ("GlobalMaxPooling1D", LINE, {}),
    "global_max_pooling3d": ("GlobalMaxPooling3D", VOLUME, {}),
    "global_max_pooling3d_keep": ("GlobalMaxPooling3D", VOLUME, dict(keepdims=True)),
    "global_max_pooling3d_first": ("GlobalMaxPooling3D", VOLUME, FIRST),
    "global_average_pooling1d": ("GlobalAveragePooling1D", LINE, dict(keepdims=True)),
    "global_average_pooling3d": ("GlobalAveragePooling3D", VOLUME, {}),
    "global_average_pooling3d_keep": ("GlobalAveragePooling3D", VOLUME, dict(
        keepdims=True, **FIRST)),
    "adaptive_max_pooling1d": ("AdaptiveMaxPooling1D", LINE, dict(output_size=3)),
    "adaptive_max_pooling1d_first": ("AdaptiveMaxPooling1D", (3, 7), dict(output_size=2, **FIRST)),
    "adaptive_max_pooling2d": ("AdaptiveMaxPooling2D", IMAGE, dict(output_size=(3, 4))),
    "adaptive_max_pooling2d_larger": ("AdaptiveMaxPooling2D", IMAGE, dict(output_size=8)),
    "adaptive_max_pooling3d": ("AdaptiveMaxPooling3D", VOLUME, dict(output_size=(3, 2, 1))),
    "adaptive_average_pooling1d": ("AdaptiveAveragePooling1D", LINE, dict(output_size=(3,))),
    "adaptive_average_pooling2d": ("AdaptiveAveragePooling2D", IMAGE, dict(output_size=4)),
    "adaptive_average_pooling2d_first": ("AdaptiveAveragePooling2D", (2, 5, 6), dict(
        output_size=(2, 3), **FIRST)),
    "adaptive_average_pooling3d": ("AdaptiveAveragePooling3D", VOLUME, dict(output_size=2)),
    # ---- Reshaping
    "cropping3d": ("Cropping3D", (4, 5, 6, 2), {}),
    "cropping3d_pairs": ("Cropping3D", (4, 5, 6, 2), dict(cropping=((1, 0), (2, 1), (0, 3)))),
    "cropping3d_first": ("Cropping3D", (2, 4, 5, 6), dict(cropping=(1, 0, 2), **FIRST)),
    "zero_padding2d_pairs": ("ZeroPadding2D", IMAGE, dict(padding=((1, 0), (2, 3)))),
    "zero_padding2d_first": ("ZeroPadding2D", IMAGE, dict(padding=(1, 2), **FIRST)),
    "zero_padding3d": ("ZeroPadding3D", VOLUME, {}),
    "zero_padding3d_pairs": ("ZeroPadding3D", VOLUME, dict(padding=((1, 0), (2, 1), (0, 3)))),
    "zero_padding3d_first": ("ZeroPadding3D", VOLUME, dict(padding=1, **FIRST)),
    "up_sampling2d": ("UpSampling2D", IMAGE, dict(size=(2, 3))),
    "up_sampling2d_bilinear": ("UpSampling2D", IMAGE, dict(interpolation="bilinear")),
    "up_sampling2d_bilinear_first": ("UpSampling2D", IMAGE, dict(
        size=(3, 1), interpolation="bilinear", **FIRST)),
    "up_sampling3d": ("UpSampling3D", VOLUME, {}),
    "up_sampling3d_first": ("UpSampling3D", VOLUME, dict(size=(1, 2, 3), **FIRST)),
    "flatten_first": ("Flatten", IMAGE, FIRST),
    "spatial_dropout3d_none": ("SpatialDropout3D", VOLUME, dict(rate=0.0)),
}  # fmt: skip
for label, (kind, sizes, arguments) in LAYERS.items():
    case(label, sizes, lambda k, t, n=kind, a=arguments: getattr(k.layers, n)(**a)(t))

# ---- Functions inside a model
CALLS: dict[str, tuple[tuple[int, ...], Build]] = {
    "resize_smaller": ((7, 9, 2), lambda k, t: k.ops.image.resize(t, (3, 4))),
    "resize_antialias": ((7, 9, 2), lambda k, t: k.ops.image.resize(t, (3, 5), antialias=True)),
    "resize_bicubic_antialias": ((7, 9, 2), lambda k, t: k.ops.image.resize(
        t, (9, 4), interpolation="bicubic", antialias=True)),
    "resize_nearest": ((5, 6, 2), lambda k, t: k.ops.image.resize(
        t, (3, 8), interpolation="nearest")),
    "resize_crop": ((5, 8, 2), lambda k, t: k.ops.image.resize(
        t, (4, 3), crop_to_aspect_ratio=True)),
    "resize_pad": ((5, 8, 2), lambda k, t: k.ops.image.resize(
        t, (6, 4), pad_to_aspect_ratio=True, fill_value=0.5)),
    "gaussian_blur": ((5, 6, 2), lambda k, t: k.ops.image.gaussian_blur(
        t, (3, 3), (0.7, 0.7), data_format="channels_last")),
    "extract_patches": ((6, 6, 2), lambda k, t: k.ops.image.extract_patches(t, 2)),
    "extract_patches_same": ((5, 6, 2), lambda k, t: k.ops.image.extract_patches(
        t, (3, 2), strides=2, padding="same")),
    "depth_to_space": ((3, 4, 8), lambda k, t: k.ops.depth_to_space(t, 2)),
    "space_to_depth": ((4, 6, 3), lambda k, t: k.ops.space_to_depth(t, 2)),
    "fold_unfold": ((2, 5, 6), lambda k, t: k.ops.fold(
        k.ops.unfold(t, (2, 3), padding=1, stride=2) * 2.0, (5, 6), (2, 3), padding=1, stride=2)),
}  # fmt: skip
for label, (sizes, build) in CALLS.items():
    case(label, sizes, build, has_config=False)

# ---- Merging
PADDED = normal(3, 5, 3, seed=2)
PADDED[0, 3:] = PADDED[1, 2] = PADDED[2, :2] = 0


for kind in ("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum"):
    case(f"{kind.lower()}_mask", (5, 3), lambda k, t, n=kind: k.layers.GlobalAveragePooling1D()(
        getattr(k.layers, n)()(t)), x=PADDED)  # fmt: skip
    case(f"{kind.lower()}_ranks", (4, 3), lambda k, t, n=kind: getattr(k.layers, n)()(
        [t, k.layers.Dense(3)(k.layers.Flatten()(t))]))  # fmt: skip
for axis in (1, 2, -1):
    case(f"concatenate_mask_{axis}", (5, 3), lambda k, t, a=axis: k.layers.GlobalAveragePooling1D()(
        k.layers.Concatenate(axis=a)(t)), x=PADDED)  # fmt: skip
