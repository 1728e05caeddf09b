"""`ops.image`, adaptive pooling and rearranging against Keras and against references by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import lamina
from tests.conftest import check_golden, golden_names

ops, image = lamina.ops, lamina.ops.image


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.RandomState(seed).normal(size=shape).astype("float32")


@pytest.mark.parametrize("name", golden_names("image"))
def test_like_keras(name: str) -> None:
    check_golden("image", name)


# What the torch backend does not have or does in its own way.


def cubic(x: float) -> float:
    x = abs(x)
    if x < 1:
        return 1.5 * x**3 - 2.5 * x**2 + 1
    return -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x < 2 else 0.0


def lanczos(radius: int) -> Any:
    return lambda x: np.sinc(x) * np.sinc(x / radius) if abs(x) < radius else 0.0


def resized_by_hand(line: np.ndarray, out: int, kernel: Any, antialias: bool) -> np.ndarray:
    step = len(line) / out
    stretch = max(step, 1.0) if antialias else 1.0
    result = np.zeros(out)
    for o in range(out):
        center = (o + 0.5) * step - 0.5
        weights = np.array([kernel((i - center) / stretch) for i in range(len(line))])
        result[o] = weights @ line / weights.sum()
    return result


@pytest.mark.parametrize("antialias", [False, True])
@pytest.mark.parametrize("out", [1, 4, 7, 19])
@pytest.mark.parametrize(
    ("method", "kernel"), [("bicubic", cubic), ("lanczos3", lanczos(3)), ("lanczos5", lanczos(5))]
)
def test_wide_filters(method: str, kernel: Any, out: int, antialias: bool) -> None:
    line = normal(9)
    wanted = resized_by_hand(line, out, kernel, antialias)
    made = image.resize(line.reshape(9, 1, 1), (out, 1), method, antialias=antialias)
    np.testing.assert_allclose(np.asarray(made).ravel(), wanted, rtol=1e-5, atol=1e-6)
    across = image.resize(line.reshape(1, 9, 1), (1, out), method, antialias=antialias)
    np.testing.assert_array_equal(np.asarray(across).ravel(), np.asarray(made).ravel())


def test_resizing_to_the_same_size_changes_nothing() -> None:
    x = normal(2, 5, 6, 3)
    for method in ("nearest", "bilinear", "bicubic", "lanczos3", "lanczos5"):
        np.testing.assert_array_equal(np.asarray(image.resize(x, (5, 6), method)), x)


def test_bytes_stay_in_their_range() -> None:
    x = np.zeros((1, 8, 8, 1), "uint8")
    x[:, 2:6, 2:6] = 255
    made = np.asarray(image.resize(x, (16, 16), "bicubic"))
    assert made.dtype == np.uint8 and made.min() == 0 and made.max() == 255
    assert made[0, 0, 0, 0] == 0 and made[0, 8, 8, 0] > 250


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_floating_types_are_kept(dtype: str) -> None:
    x = ops.cast(normal(1, 6, 6, 3), dtype)
    for made in (
        image.resize(x, (4, 9)),
        image.gaussian_blur(x),
        image.rgb_to_grayscale(x),
        image.affine_transform(x, np.array([1, 0, 0.5, 0, 1, 0, 0, 0], "float32")),
        ops.adaptive_average_pool(x, 2),
        ops.max_pool(x, 2),
    ):
        assert made.dtype == dtype


def test_projection_of_the_documentation() -> None:
    """The last two numbers of a transform divide."""
    x = normal(1, 5, 5, 1)
    transform = np.array([1, 0, 0, 0, 1, 0, 0.25, 0], "float32")
    made = np.asarray(image.affine_transform(x, transform, "nearest"))
    for column in range(5):
        source = round(column / (1 + 0.25 * column))
        assert made[0, 0, column, 0] == x[0, 0, source, 0]


def test_perspective_takes_the_start_to_the_end() -> None:
    x = normal(1, 9, 9, 1)
    start = np.array([[1, 1], [7, 0], [0, 8], [8, 7]], "float32")
    end = np.array([[0, 2], [8, 1], [2, 7], [6, 6]], "float32")
    made = np.asarray(image.perspective_transform(x, start, end))
    for (x0, y0), (x1, y1) in zip(start.astype(int), end.astype(int), strict=True):
        np.testing.assert_allclose(made[0, y1, x1], x[0, y0, x0], rtol=1e-4, atol=1e-4)


def test_elastic_transform() -> None:
    x = np.tile(np.arange(12, dtype="float32")[None, :, None], (2, 1, 12))[..., None]
    same = np.asarray(image.elastic_transform(x, alpha=0.0, seed=1))
    np.testing.assert_array_equal(same, x)
    bent = np.asarray(image.elastic_transform(x, alpha=2.0, sigma=1.0, seed=1))
    assert bent.shape == x.shape and 0.05 < np.abs(bent - x).mean() < 4
    assert bent.min() >= 0 and bent.max() <= 11  # "reflect" reads existing pixels only
    again = np.asarray(image.elastic_transform(x, alpha=2.0, sigma=1.0, seed=1))
    np.testing.assert_array_equal(bent, again)
    assert np.abs(np.asarray(image.elastic_transform(x, alpha=2.0, seed=2)) - bent).max() > 0


def test_colours_come_back() -> None:
    x = np.random.RandomState(0).uniform(size=(2, 4, 4, 3)).astype("float32")
    back = np.asarray(image.hsv_to_rgb(image.rgb_to_hsv(x)))
    np.testing.assert_allclose(back, x, atol=1e-6)


def test_fold_counts_overlaps() -> None:
    x = np.ones((1, 2, 5, 6), "float32")
    counts = np.asarray(ops.fold(ops.unfold(x, 3, padding=1), (5, 6), 3, padding=1))
    by_hand = np.minimum(np.arange(6) + 2, 3)
    assert counts[0, 0, 2, 2] == 9 and counts[0, 1, 0, 0] == 4 and counts[0, 0, 0, 1] == 6
    assert counts.shape == x.shape and by_hand[0] == 2


def test_equal_images_have_infinite_psnr() -> None:
    x = normal(4)
    assert math.isinf(float(ops.psnr(x, x, 1.0)))


def gradients(f: Any, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The gradient of sum(f(x) * w), and the same by differences."""
    variable = lamina.Variable(x.astype("float64"), dtype="float64")
    weights = normal(*np.asarray(f(variable.value)).shape, seed=5).astype("float64")

    def loss() -> Any:
        return ops.sum(f(variable.value) * weights)

    with lamina.tracing.Recorder():
        (made,) = lamina.tracing.gradients(loss(), [variable])
    numeric = np.zeros(x.size)
    for i in range(x.size):
        ends = []
        for step in (1e-5, -1e-5):
            moved = x.astype("float64").ravel().copy()
            moved[i] += step
            variable.assign(moved.reshape(x.shape))
            ends.append(float(loss()))
        numeric[i] = (ends[0] - ends[1]) / 2e-5
    return np.asarray(made).ravel(), numeric


IMAGE = np.random.RandomState(3).uniform(0.1, 0.9, (1, 3, 4, 3))
PLACES = np.array([[0.3, 1.6, 1.2, 2.7], [0.4, 0.8, 2.3, 3.4]])


@pytest.mark.parametrize(
    ("name", "f", "x"),
    [
        ("resize", lambda x: image.resize(x, (5, 3), "bicubic"), IMAGE),
        ("hsv", image.rgb_to_hsv, IMAGE),
        ("rgb", image.hsv_to_rgb, IMAGE),
        ("blur", image.gaussian_blur, IMAGE),
        ("patches", lambda x: image.extract_patches(x, 2, 1), IMAGE),
        ("values", lambda x: image.map_coordinates(x[0, :, :, 0], PLACES, 1, "reflect"), IMAGE),
        ("places", lambda p: image.map_coordinates(IMAGE[0, :, :, 0], p, 1), PLACES),
        ("scale", lambda s: image.scale_and_translate(
            IMAGE, (1, 4, 4, 3), s, np.array([0.2]), (1,), "cubic"), np.array([1.3])),
        ("fold", lambda x: ops.fold(ops.unfold(x, 2), (4, 3), 2), IMAGE.transpose(0, 3, 2, 1)),
        ("ssim", lambda x: image.ssim(x, IMAGE[:, ::-1], filter_size=3), IMAGE),
    ],
)  # fmt: skip
def test_gradients(name: str, f: Any, x: np.ndarray) -> None:
    made, numeric = gradients(f, np.ascontiguousarray(x))
    np.testing.assert_allclose(made, numeric, rtol=1e-5, atol=1e-6, err_msg=name)


@pytest.mark.parametrize(
    ("call", "word"),
    [
        (lambda: image.resize(IMAGE, (2, 2), "area"), "interpolation"),
        (lambda: image.resize(IMAGE, 3), "size"),
        (lambda: image.resize(IMAGE[0, 0], (2, 2)), "axes"),
        (lambda: image.resize(IMAGE, (2, 2), fill_mode="wrap"), "fill_mode"),
        (lambda: image.resize(IMAGE, (2, 2), crop_to_aspect_ratio=True, pad_to_aspect_ratio=True),
         "pad_to_aspect_ratio"),
        (lambda: image.resize(IMAGE, (2, 2), data_format="first"), "data_format"),
        (lambda: image.map_coordinates(IMAGE, PLACES, 1), "coordinate"),
        (lambda: image.map_coordinates(IMAGE[0, :, :, 0], PLACES, 2), "order"),
        (lambda: image.map_coordinates(IMAGE[0, :, :, 0], PLACES, 1, "edge"), "fill_mode"),
        (lambda: image.affine_transform(IMAGE, np.zeros(6)), "transform"),
        (lambda: image.affine_transform(IMAGE, np.zeros(8), "cubic"), "interpolation"),
        (lambda: image.perspective_transform(IMAGE, np.zeros((3, 2)), np.zeros((4, 2))),
         "start_points"),
        (lambda: image.rgb_to_hsv(IMAGE.astype("int32")), "dtype"),
        (lambda: image.rgb_to_grayscale(IMAGE[..., :2]), "3 channels"),
        (lambda: image.crop_images(IMAGE, 1, 1, 1), "left_cropping"),
        (lambda: image.pad_images(IMAGE, 1, 1, target_height=2, target_width=9), "bottom_padding"),
        (lambda: image.extract_patches(IMAGE, 7), "fit"),
        (lambda: image.extract_patches(IMAGE, 2, padding="full"), "padding"),
        (lambda: image.sobel_edges(IMAGE[0]), "4 axes"),
        (lambda: image.scale_and_translate(IMAGE, IMAGE.shape, [1.0], [0.0], (1,), "area"),
         "method"),
        (lambda: ops.depth_to_space(IMAGE, 2), "divisible"),
        (lambda: ops.space_to_depth(IMAGE, 1), "block_size"),
        (lambda: ops.fold(normal(1, 12, 9), (5, 6), (2, 3)), "fold"),
        (lambda: ops.unfold(normal(1, 2, 3, 3), 4), "fit"),
        (lambda: ops.psnr(normal(3), normal(4), 1.0), "shapes"),
        (lambda: ops.adaptive_max_pool(IMAGE, (2, 2, 2)), "output_size"),
        (lambda: ops.max_pool(IMAGE[0, 0], 2), "axes"),
    ],
)  # fmt: skip
def test_errors_name_what_is_wrong(call: Any, word: str) -> None:
    with pytest.raises(ValueError, match=word):
        call()


UNKNOWN: dict[str, Any] = {
    "resize": lambda x: image.resize(x, (3, 4), "bicubic"),
    "nearest": lambda x: image.resize(x, (3, 4), "nearest"),
    "crop": lambda x: image.resize(x, (3, 4), crop_to_aspect_ratio=True),
    "patches": lambda x: image.extract_patches(x, 2),
    "patches same": lambda x: image.extract_patches(x, 3, 2, padding="same"),
    "space_to_depth": lambda x: ops.space_to_depth(x, 2),
    "depth_to_space": lambda x: ops.depth_to_space(ops.concatenate([x] * 4, axis=-1), 2),
    "affine": lambda x: image.affine_transform(x, np.array([1, 0, 1, 0, 1, 1, 0, 0], "float32")),
    "blur": image.gaussian_blur,
    "sobel": image.sobel_edges,
    "hsv": image.rgb_to_hsv,
    "ssim": lambda x: image.ssim(x, x, filter_size=3),
    "pad": lambda x: image.pad_images(x, 1, 1, 2, 0),
    "cut": lambda x: image.crop_images(x, 1, 1, 0, 2),
    "adaptive": lambda x: ops.adaptive_max_pool(x, 2),
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_images_of_unknown_size_in_a_model(name: str) -> None:
    inputs = lamina.Input((None, None, 3))
    outputs = UNKNOWN[name](inputs)
    model = lamina.Model(inputs, outputs)
    for x in (normal(2, 4, 6, 3), normal(1, 6, 4, 3)):
        made, direct = model.predict(x, verbose=0), np.asarray(UNKNOWN[name](x))
        np.testing.assert_array_equal(made, direct)
        pairs = zip(outputs.shape, made.shape, strict=True)
        assert all(declared in (None, real) for declared, real in pairs)
