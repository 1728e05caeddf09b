"""`ops.image` and its neighbours against Keras: one row a call, eager, with the type it returns.

Bicubic without antialias and Lanczos are not here: the torch backend has another cubic and no
Lanczos. The tests compare them with a reference of their own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tests.golden.cases import Result, add, as_numpy, integers, normal, uniform

IMAGES = uniform(2, 5, 6, 3, seed=1)
FIRST = np.ascontiguousarray(IMAGES.transpose(0, 3, 1, 2))
BYTES = integers(256, 2, 5, 6, 3, seed=4).astype("uint8")
VOLUMES = normal(1, 4, 5, 6, 2, seed=3)
PLACES = uniform(2, 3, 4, seed=4, low=-2.0, high=7.0)
WARP = np.array(
    [[1.1, 0.2, -0.4, -0.1, 0.9, 0.7, 0, 0], [0.8, 0, 1.3, 0.3, 1.2, -2, 0, 0]], "float32"
)
CORNERS = np.array([[[0, 0], [5, 0], [0, 4], [5, 4]], [[0, 0], [4, 1], [1, 4], [5, 3]]], "float32")
TARGETS = np.array(
    [[[0.5, 0], [4, 0.5], [0, 4], [5, 3.5]], [[0, 0], [5, 0], [0, 4], [5, 4]]], "float32"
)

Call = Callable[..., Any]


def op(name: str, call: Call, *arrays: Any, **tolerance: float) -> None:
    def run(keras: Any) -> Result:
        ops = keras.ops
        made = as_numpy(call(ops, *[ops.convert_to_tensor(a) for a in arrays]))
        return {"y": made, "dtype": str(made.dtype)}

    add("image", name, run, **(tolerance or dict(rtol=5e-5, atol=5e-6)))


def image(name: str, *arrays: Any, label: str = "", **kwargs: Any) -> None:
    op(
        f"{name}{'_' * bool(label)}{label}",
        lambda o, *a: getattr(o.image, name)(*a, **kwargs),
        *arrays,
    )


for method in ("nearest", "bilinear"):
    for label, size in (("up", (9, 13)), ("down", (3, 2)), ("mixed", (5, 14))):
        image("resize", IMAGES, label=f"{method}_{label}", size=size, interpolation=method)
    image("resize", BYTES, label=f"{method}_bytes", size=(10, 12), interpolation=method)
for method in ("bilinear", "bicubic"):
    image("resize", IMAGES, label=f"{method}_antialias", size=(2, 9), interpolation=method,
          antialias=True)  # fmt: skip
image("resize", FIRST, label="first", size=(7, 4), data_format="channels_first")
image("resize", IMAGES[0], label="single", size=(7, 4))
for label, size in (("wide", (2, 6)), ("high", (6, 2)), ("odd", (4, 7))):
    image("resize", IMAGES, label=f"crop_{label}", size=size, crop_to_aspect_ratio=True)
    image("resize", IMAGES, label=f"pad_{label}", size=size, pad_to_aspect_ratio=True,
          fill_value=0.25)  # fmt: skip

for mode in ("constant", "nearest", "wrap", "mirror", "reflect"):
    for method in ("nearest", "bilinear"):
        image("affine_transform", IMAGES, WARP, label=f"{mode}_{method}", fill_mode=mode,
              interpolation=method, fill_value=0.5)  # fmt: skip
    for order in (0, 1):
        image("map_coordinates", IMAGES[0, :, :, 0], PLACES, label=f"{mode}_{order}", order=order,
              fill_mode=mode, fill_value=-1.0)  # fmt: skip
image("affine_transform", IMAGES[0], WARP[0], label="single")
image("affine_transform", FIRST, WARP, label="first", data_format="channels_first")
image("map_coordinates", BYTES[0, :, :, 0].astype("int32"), PLACES, label="integers", order=1)
image(
    "map_coordinates", VOLUMES[0, ..., 0], uniform(3, 5, seed=6, high=4.0), label="volume", order=1
)
image("perspective_transform", IMAGES, CORNERS, TARGETS)
image("perspective_transform", IMAGES[1], CORNERS[1], TARGETS[1], label="single")
image("perspective_transform", FIRST, CORNERS, TARGETS, label="first", interpolation="nearest",
      fill_value=0.5, data_format="channels_first")  # fmt: skip

image("gaussian_blur", IMAGES, data_format="channels_last")
image("gaussian_blur", FIRST, label="first", kernel_size=(5, 5), sigma=(1.5, 0.6),
      data_format="channels_first")  # fmt: skip
image("sobel_edges", IMAGES)
image("sobel_edges", FIRST, label="first", data_format="channels_first")
image("ssim", np.tile(IMAGES, (1, 3, 3, 1)), np.tile(IMAGES[::-1], (1, 3, 3, 1)))
image("ssim", FIRST[0], FIRST[1], label="single", filter_size=3, max_val=2.0,
      data_format="channels_first")  # fmt: skip

image("rgb_to_grayscale", IMAGES)
image("rgb_to_grayscale", FIRST, label="first", data_format="channels_first")
image("rgb_to_grayscale", BYTES, label="bytes")
image("rgb_to_hsv", IMAGES)
image("rgb_to_hsv", FIRST, label="first", data_format="channels_first")
image("rgb_to_hsv", np.array([[[[0, 0, 0], [1, 1, 1], [0.5, 0.5, 0.5], [1, 0, 0]]]], "float32"),
      label="special")  # fmt: skip
image("hsv_to_rgb", IMAGES)
image("hsv_to_rgb", IMAGES * 2 - 0.5, label="beyond")

image("crop_images", IMAGES, label="sides", top_cropping=1, left_cropping=2, bottom_cropping=0,
      right_cropping=1)  # fmt: skip
image("crop_images", FIRST, label="target", top_cropping=1, right_cropping=2, target_height=3,
      target_width=2, data_format="channels_first")  # fmt: skip
image("pad_images", IMAGES, label="sides", top_padding=1, left_padding=0, bottom_padding=2,
      right_padding=3)  # fmt: skip
image("pad_images", IMAGES[0], label="target", bottom_padding=1, left_padding=2, target_height=8,
      target_width=9)  # fmt: skip
image("extract_patches", IMAGES, label="tiles", size=(2, 3))
image("extract_patches", IMAGES, label="sliding", size=(3, 2), strides=(1, 2))
image(
    "extract_patches", IMAGES, label="dilated", size=2, strides=1, dilation_rate=2, padding="same"
)
image("extract_patches", FIRST, label="first", size=2, data_format="channels_first")
image("extract_patches", IMAGES[0], label="single", size=2)
image("extract_patches_3d", VOLUMES, size=2)
image(
    "extract_patches_3d", VOLUMES, label="same", size=(2, 2, 3), strides=(1, 2, 2), padding="same"
)

for method in ("linear", "cubic", "lanczos3", "lanczos5"):
    for antialias in (True, False):
        op(f"scale_and_translate_{method}_{antialias}", lambda o, x, s, t, m=method, a=antialias:
           o.image.scale_and_translate(x, (2, 7, 4, 3), s, t, (1, 2), m, antialias=a), IMAGES,
           np.array([1.4, 0.5], "float32"), np.array([0.3, -0.6], "float32"))  # fmt: skip

DEEP = normal(2, 3, 4, 8, seed=7)
WIDE = normal(2, 4, 6, 3, seed=8)
op("depth_to_space", lambda o, x: o.depth_to_space(x, 2), DEEP)
op("depth_to_space_first", lambda o, x: o.depth_to_space(x, 2, data_format="channels_first"),
   np.ascontiguousarray(DEEP.transpose(0, 3, 1, 2)))  # fmt: skip
op("space_to_depth", lambda o, x: o.space_to_depth(x, 2), WIDE)
op("space_to_depth_first", lambda o, x: o.space_to_depth(x, 2, data_format="channels_first"),
   np.ascontiguousarray(WIDE.transpose(0, 3, 1, 2)))  # fmt: skip
op("unfold", lambda o, x: o.unfold(x, (2, 3)), FIRST)
op("unfold_all", lambda o, x: o.unfold(x, 2, dilation=2, padding=(1, 0), stride=(1, 2)), FIRST)
op("fold", lambda o, x: o.fold(x, (5, 6), (2, 3)), normal(2, 12, 16, seed=9))
op("fold_all", lambda o, x: o.fold(x, (5, 6), 2, dilation=2, padding=(1, 0), stride=(1, 2)),
   normal(2, 8, 10, seed=9))  # fmt: skip
op("psnr", lambda o, x, y: o.psnr(x, y, 1.0), IMAGES, IMAGES[::-1].copy())
op("adaptive_max_pool", lambda o, x: o.adaptive_max_pool(x, (2, 4)), IMAGES)
op("adaptive_average_pool", lambda o, x: o.adaptive_average_pool(x, 3), VOLUMES)
op("adaptive_average_pool_first", lambda o, x: o.adaptive_average_pool(
    x, (3, 2), data_format="channels_first"), FIRST)  # fmt: skip
op("max_pool_3d", lambda o, x: o.max_pool(x, 2, strides=1), VOLUMES)
op("average_pool_3d", lambda o, x: o.average_pool(x, (2, 2, 3)), VOLUMES)
op("max_pool_integers", lambda o, x: o.max_pool(x, 2), BYTES.astype("int32"))
