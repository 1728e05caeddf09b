"""The rest of `ops` against keras.ops: factorisations, transforms, segments, bits, loops, CTC."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tests.golden.cases import Result, add, as_numpy, integers, normal, uniform

A = normal(3, 4, seed=1)
B = normal(3, 4, seed=2)
VECTOR = normal(6, seed=3)
SQUARE = normal(2, 3, 3, seed=4) + 3 * np.eye(3, dtype="float32")
SYMMETRIC = (SQUARE + SQUARE.transpose(0, 2, 1)) / 2
FACTOR = np.tril(SQUARE)
RIGHT = normal(2, 3, 2, seed=5)
TALL = normal(5, 3, seed=6)
HOLES = np.array([[1, np.nan, 3, -2], [np.nan, 5, 0.5, 4], [7, 2, np.nan, np.nan]], "float32")
INTS = integers(60, 3, 4, seed=7, low=-60)
OTHERS = integers(60, 3, 4, seed=8, low=1)
SHIFTS = integers(6, 3, 4, seed=9)
BOOLS = integers(2, 3, 4, seed=10).astype(bool)
SIGNAL = normal(2, 40, seed=11)
SEGMENTS = np.array([0, 2, 0, 1, 2, 2], "int32")
STEPS = normal(2, 6, 4, seed=12)
LABELS = np.array([[1, 2, 1], [3, 2, 0]], "int32")
LOGITS = normal(4, 5, seed=13)

Call = Callable[..., Any]
CALLS: dict[str, tuple[Call, tuple[Any, ...]]] = {}  # for the tests that call them symbolically
NOT_SYMBOLIC: set[str] = set()  # results whose size depends on the data


def leaves(made: Any) -> list[Any]:
    if isinstance(made, (list, tuple)):
        return [leaf for part in made for leaf in leaves(part)]
    return [made]


def op(name: str, call: Call, *arrays: Any, symbolic: bool = True, **tolerance: float) -> None:
    def run(keras: Any) -> Result:
        made = call(keras.ops, *[keras.ops.convert_to_tensor(a) for a in arrays])
        values = [as_numpy(v) for v in leaves(made)]
        result: Result = {f"y{i}": v for i, v in enumerate(values)}
        result["dtypes"] = [str(v.dtype) for v in values]
        return result

    CALLS[name] = call, arrays
    if not symbolic:
        NOT_SYMBOLIC.add(name)
    add("ops_more", name, run, **tolerance)


def plain(names: str, *arrays: Any, **tolerance: float) -> None:
    """One case for each name, called with nothing but the arrays."""
    for name in names.split():
        op(name, lambda o, *x, n=name: getattr(o, n)(*x), *arrays, **tolerance)


# ---- Factorisations. Signs of vectors are free: what is compared is free of them.
CLOSE = {"rtol": 2e-4, "atol": 2e-5}
plain("det inv", SQUARE, **CLOSE)
plain("slogdet", SQUARE, **CLOSE)
plain("cholesky logdet", SYMMETRIC + 3 * np.eye(3, dtype="float32"), **CLOSE)
op("cholesky_upper", lambda o, x: o.cholesky(x, upper=True), SYMMETRIC + 3 * np.eye(3, dtype="f"),
   **CLOSE)  # fmt: skip
plain("cholesky_inverse", FACTOR, **CLOSE)
op("cholesky_inverse_upper", lambda o, x: o.cholesky_inverse(x, upper=True),
   FACTOR.transpose(0, 2, 1).copy(), **CLOSE)  # fmt: skip
plain("lu_factor", SQUARE, **CLOSE)
op("lu_factor_tall", lambda o, x: o.lu_factor(x), TALL, **CLOSE)
plain("solve", SQUARE, RIGHT, **CLOSE)
op("solve_vector", lambda o, a, b: o.solve(a, b), SQUARE[0], RIGHT[0, :, 0], **CLOSE)
op("solve_triangular", lambda o, a, b: o.solve_triangular(a, b, lower=True), FACTOR, RIGHT, **CLOSE)
op("solve_triangular_upper", lambda o, a, b: o.solve_triangular(a, b),
   FACTOR.transpose(0, 2, 1).copy(), RIGHT, **CLOSE)  # fmt: skip
plain("lstsq", TALL, normal(5, 2, seed=14), **CLOSE)
plain("pinv", TALL, **CLOSE)
plain("matrix_rank", SQUARE)
op("eigh", lambda o, x: (o.eigh(x)[0], o.abs(o.eigh(x)[1])), SYMMETRIC, **CLOSE)
op("eig", lambda o, x: o.sort(o.real(o.eig(x)[0])), SYMMETRIC, **CLOSE)
op("svd", lambda o, x: [o.abs(p) for p in o.svd(x, full_matrices=False)], TALL, **CLOSE)
op("svd_full_shapes", lambda o, x: [p * 0 for p in o.svd(x)], TALL)
op("svd_values", lambda o, x: o.svd(x, compute_uv=False), TALL, **CLOSE)
op("qr", lambda o, x: [o.abs(p) for p in o.qr(x)], TALL, **CLOSE)
op("qr_complete", lambda o, x: o.abs(o.qr(x, mode="complete")[1]), TALL, **CLOSE)
for each in ("nuc", "fro", 2, -2, 1, -1, np.inf):
    op(f"norm_matrix_{each}", lambda o, x, p=each: o.norm(x, ord=p, axis=(0, 1)), TALL, **CLOSE)

# ---- Fourier
FOURIER = {"rtol": 1e-4, "atol": 5e-5}
op("fft", lambda o, x, y: o.fft((x, y)), A, B, **FOURIER)
op("fft_prime", lambda o, x, y: o.fft((x, y)), normal(2, 37, seed=1), normal(2, 37, seed=2),
   **FOURIER)  # fmt: skip
op("fft2", lambda o, x, y: o.fft2((x, y)), A, B, **FOURIER)
op("ifft2", lambda o, x, y: o.ifft2((x, y)), A, B, **FOURIER)
plain("rfft", SIGNAL, **FOURIER)
op("rfft_length", lambda o, x: o.rfft(x, fft_length=33), SIGNAL, **FOURIER)
op("irfft", lambda o, x, y: o.irfft((x, y)), A, B, **FOURIER)
op("irfft_length", lambda o, x, y: o.irfft((x, y), fft_length=9), A, B, **FOURIER)
op("extract_sequences", lambda o, x: o.extract_sequences(x, 7, 3), SIGNAL)
for window in ("hann", "hamming", None):
    op(f"stft_{window}", lambda o, x, w=window: o.stft(x, 6, 2, 8, window=w), SIGNAL, **FOURIER)
op("stft_open", lambda o, x: o.stft(x, 6, 2, 8, center=False), SIGNAL, **FOURIER)
op("istft", lambda o, x: o.istft(o.stft(x, 8, 2, 8), 8, 2, 8), SIGNAL, **FOURIER)
op("istft_open", lambda o, x: o.istft(o.stft(x, 8, 2, 8, center=False), 8, 2, 8, center=False),
   SIGNAL, **FOURIER)  # fmt: skip

# ---- Whole numbers and parts
plain("bitwise_and bitwise_or bitwise_xor gcd lcm", INTS, OTHERS)
plain("left_shift right_shift bitwise_left_shift bitwise_right_shift", INTS, SHIFTS)
plain("bitwise_not bitwise_invert", INTS)
op("bitwise_and_bool", lambda o, x, y: o.bitwise_and(x, y), BOOLS, BOOLS[::-1].copy())
op("ldexp", lambda o, x, y: o.ldexp(x, y), A, SHIFTS)
plain("nextafter fmax fmin", A, B)
op("fmax_nan", lambda o, x: o.fmax(x, 1.0), HOLES)
op("fmin_nan", lambda o, x: o.fmin(x, 1.0), HOLES)
plain("i0 angle real conj conjugate isreal", A, **CLOSE)
op("view", lambda o, x: o.view(x, "int32"), A)
op("view_narrow", lambda o, x: o.view(x, "uint8"), A)
op("unravel_index", lambda o, x: o.unravel_index(x, (3, 4)), integers(12, 5, seed=1))

# ---- NaN, order, series
for each in ("nanmedian", "nancumsum", "nancumprod", "nanargmax", "nanargmin"):
    op(each, lambda o, x, n=each: getattr(o, n)(x), HOLES)
    op(f"{each}_axis", lambda o, x, n=each: getattr(o, n)(x, axis=1), HOLES)
for method in ("linear", "lower", "higher", "midpoint", "nearest"):
    op(f"nanquantile_{method}",
       lambda o, x, m=method: o.nanquantile(x, [0.1, 0.6], axis=1, method=m), HOLES)  # fmt: skip
op("nanquantile", lambda o, x: o.nanquantile(x, 0.3, axis=0, keepdims=True), HOLES)
op("nanpercentile", lambda o, x: o.nanpercentile(x, 35, axis=1), HOLES)
op("argpartition", lambda o, x: o.sort(o.argpartition(x, 2)[:2]), VECTOR)
op("vander", lambda o, x: o.vander(x), VECTOR, **CLOSE)
op("vander_rising", lambda o, x: o.vander(x, N=3, increasing=True), VECTOR)
plain("corrcoef", A)
for mode in ("valid", "same", "full"):
    op(f"correlate_{mode}", lambda o, x, y, m=mode: o.correlate(x, y, mode=m), VECTOR, VECTOR[:3])
    op(f"correlate_{mode}_even", lambda o, x, y, m=mode: o.correlate(x, y, mode=m), VECTOR,
       VECTOR[:4])  # fmt: skip
plain("cdist", A, B, **CLOSE)
op("geomspace", lambda o: o.geomspace(1.0, 1000.0, 7), rtol=1e-4)
op("geomspace_open", lambda o: o.geomspace(2.0, 64.0, 5, endpoint=False), rtol=1e-4)
op("rearrange", lambda o, x: o.rearrange(x, "b (h w) -> w b h", h=2), A)
op("vectorize", lambda o, x, y: o.vectorize(lambda p, q: p * q + q)(x, y), VECTOR, VECTOR)

# ---- Segments and scatter
for each in ("segment_sum", "segment_max", "segment_min", "segment_prod"):
    op(each, lambda o, x, i, n=each: getattr(o, n)(x, i, num_segments=4), VECTOR, SEGMENTS)
op("segment_sum_rows", lambda o, x, i: o.segment_sum(x, i, num_segments=3), normal(6, 2, seed=2),
   SEGMENTS)  # fmt: skip
for reduction in (None, "add", "max", "min", "mul"):
    op(f"scatter_update_{reduction}",
       lambda o, x, u, r=reduction: o.scatter_update(x, [[0, 1], [2, 3], [1, 1]], u, reduction=r),
       A, VECTOR[:3])  # fmt: skip
op("scatter_update_rows", lambda o, x, u: o.scatter_update(x, [[2], [0]], u), A, B[:2])
op("scatter", lambda o, v: o.scatter([[0], [2], [0]], v, (4,)), VECTOR[:3])
op("slice", lambda o, x: o.slice(x, (1, 2), (2, 2)), A)
op("slice_update", lambda o, x, u: o.slice_update(x, (1, 2), u), A, B[:2, :2].copy())
op("unstack", lambda o, x: o.unstack(x, axis=1), A)

# ---- Branches and loops
op(
    "cond",
    lambda o, x: o.cond(o.sum(x) > 100.0, lambda: x * 2.0, lambda: o.sin(x)),
    A,
    symbolic=False,
)  # closures hold no places of a functional model
op(
    "switch",
    lambda o, x: o.switch(
        o.cast(x[0, 0] * 0.0 + 1.0, "int32"), [lambda v: v, lambda v: v * 2.0, lambda v: v * 3.0], x
    ),
    A,
)
op(
    "while_loop",
    lambda o, x: o.while_loop(
        lambda i, v: o.sum(o.abs(v)) < 100.0, lambda i, v: (i + 1, v * 1.5), (0, x)
    ),
    A,
)
op("fori_loop", lambda o, x: o.fori_loop(0, 4, lambda i, v: v * 0.5 + o.cast(i, "float32"), x), A)
op("scan", lambda o, x: o.scan(lambda c, v: (o.tanh(c + v), c * v), o.zeros_like(x[0]), x), A)
op("scan_reverse", lambda o, x: o.scan(lambda c, v: (c * 0.5 + v, c), x[0], x, reverse=True), A)
op("map", lambda o, x: o.map(lambda v: (v * 2.0, o.sum(v)), x), A)
op("vectorized_map", lambda o, x: o.vectorized_map(lambda v: o.cumsum(v), x), A)
op("associative_scan", lambda o, x: o.associative_scan(lambda a, b: a + b, x, axis=1), A)
op("associative_scan_reverse", lambda o, x: o.associative_scan(lambda a, b: a * b, x, reverse=True),
   A)  # fmt: skip
op("stop_gradient", lambda o, x: o.stop_gradient(x), A)
op("saturate_cast", lambda o, x: o.saturate_cast(x * 200.0, "uint8"), A)

# ---- CTC
op("ctc_loss", lambda o, t, x: o.ctc_loss(t, x, np.array([3, 2]), np.array([6, 4])), LABELS, STEPS)
op("ctc_decode", lambda o, x: o.ctc_decode(x, np.array([6, 4], "int32")), STEPS)
op("ctc_decode_raw", lambda o, x: o.ctc_decode(x, np.array([6, 4], "int32"), merge_repeated=False),
   STEPS)  # fmt: skip
op("ctc_decode_beam", lambda o, x: o.ctc_decode(x, np.array([6, 4], "int32"), top_paths=2,
                                                beam_width=4, strategy="beam_search"), STEPS,
   **CLOSE)  # fmt: skip

# ---- Sizes that depend on the data: eager only
IDS = np.array([3, 1, 2, 1], "int32")
UNIQUE: dict[str, dict[str, Any]] = {
    "unique": {"return_inverse": True, "return_counts": True},
    "unique_sized": {"size": 5, "fill_value": 0, "return_index": True},
}
for each, options in UNIQUE.items():
    # The types of the indices differ between Keras's own backends.
    op(each, lambda o, x, k=options: [o.cast(t, "int32") for t in o.unique(x, **k)], IDS,
       symbolic=False)  # fmt: skip
op("histogram", lambda o, x: o.cast(o.histogram(x, bins=4, range=(0.0, 1.0))[0], "int32"),
   uniform(20, seed=3))  # fmt: skip
op("nonzero", lambda o, x: o.stack(list(o.nonzero(x)), axis=-1) * 1.0, BOOLS, symbolic=False)

# ---- What ops_cases.py does not call
UNIT = uniform(3, 4, seed=15, low=-0.95, high=0.95)
POSITIVE = uniform(3, 4, seed=16, low=0.1, high=3.0)
plain("cbrt deg2rad rad2deg erfc exp2 fabs sinc signbit hard_shrink hard_swish hard_tanh "
      "soft_shrink sparse_plus sparse_sigmoid squareplus swish tanh_shrink median "
      "average ptp diff fliplr flipud trace copy glu diagonal diagflat rot90", A)  # fmt: skip
plain("isneginf isposinf", np.array([1.0, np.inf, -np.inf, np.nan], "float32"))
plain("nanmax nanmin nanmean nansum nanprod nanstd nanvar", HOLES)
plain("hypot logaddexp logaddexp2 heaviside fmod append inner kron isclose", A, B)
op("allclose", lambda o, x: o.allclose(x, x + 1e-9), A)
op("divide_no_nan", lambda o, x, y: o.divide_no_nan(x, o.relu(y)), A, B)
for each in ("hstack", "vstack", "dstack"):
    op(each, lambda o, x, y, n=each: getattr(o, n)([x, y]), A, B)
for each in ("hsplit", "vsplit", "dsplit"):
    op(each, lambda o, x, n=each: getattr(o, n)(x, 2), normal(2, 4, 6, seed=17))
op("array_split", lambda o, x: o.array_split(x, 4), VECTOR)
for each in ("bartlett", "blackman", "hamming", "hanning"):
    op(each, lambda o, n=each: getattr(o, n)(7), atol=1e-5)
op("kaiser", lambda o: o.kaiser(7, 3.0), atol=1e-5)
op("array", lambda o: o.array([1.0, 2.0]))
op("convert_to_tensor", lambda o: o.convert_to_tensor([1, 2], dtype="float32"))
op("convert_to_numpy", lambda o, x: o.convert_to_tensor(o.convert_to_numpy(x)), A, symbolic=False)
op("dtype_and_is_tensor", lambda o, x: o.convert_to_tensor(
    [o.dtype(x) == "float32", o.is_tensor(x), o.is_tensor(3)]), A, symbolic=False)  # fmt: skip
op("empty", lambda o: o.empty((2, 3)) * 0.0)
op("empty_like", lambda o, x: o.zeros_like(o.empty_like(x)), A)
op("cross", lambda o, x, y: o.cross(x, y), normal(4, 3, seed=1), normal(4, 3, seed=2))
op("bincount", lambda o, x: o.bincount(x), SEGMENTS, symbolic=False)
op("digitize", lambda o, x: o.digitize(x, np.array([-1.0, 0.0, 1.0], "float32")), A)
op("searchsorted", lambda o, x: o.searchsorted(o.sort(x), np.array([0.0, 0.5], "float32")), VECTOR)
op("get_item", lambda o, x: o.get_item(x, (slice(None), 1)), A)
op("isin", lambda o, x: o.isin(x, np.array([1, 2, 3], "int32")), INTS)
op("logspace", lambda o: o.logspace(0.0, 2.0, 5), rtol=1e-4)
op("multi_hot", lambda o, x: o.multi_hot(x, 5), integers(5, 2, 3, seed=18))
for each in ("quantile", "percentile"):
    op(each, lambda o, x, n=each: getattr(o, n)(x, 0.3, axis=1), A)
op("select", lambda o, x: o.select([x > 0.5, x < -0.5], [x, x * 2.0], 7.0), A)
op("threshold", lambda o, x: o.threshold(x, 0.1, 9.0), A)
op("trapezoid", lambda o, x: o.trapezoid(x, axis=0), A)
op("tri", lambda o: o.tri(3, 4, 1))
op("ndim", lambda o, x: o.convert_to_tensor(o.ndim(x)), A, symbolic=False)
plain("vdot", VECTOR, VECTOR[::-1].copy())
# Where the second largest logit has a share, Keras's result does not add up to 1.
op("sparsemax", lambda o, x: o.sparsemax(x), A[::2].copy())
