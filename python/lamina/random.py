"""Random tensors. What an element is depends on the seed, the call's count and its place only."""

from __future__ import annotations

import random as python_random
from collections.abc import Sequence
from typing import Any

import numpy as np

from lamina import config, names
from lamina.ops.core import TensorLike, normalize_axis, standardize_dtype, to_dtype, to_float
from lamina.tensor import Tensor
from lamina.tracing import apply, convert, is_tracing, symbolic_op
from lamina.validation import Integer, Real, check_argument
from lamina.variable import Variable


def make_default_seed() -> int:
    """Return a seed drawn from Python's `random`, which `set_random_seed` seeds."""
    return python_random.randint(1, 10**9)


class SeedGenerator:
    """Numbers the random calls of one owner, so that each draws something else.

    Args:
        seed: integer >= 0 that starts the sequence; None draws one (see `set_random_seed`).
        name: by default "seed_generator", numbered.

    Attributes:
        state: Variable int64 (2,): the seed, and how often `next` was called.
    """

    def __init__(self, seed: int | None = None, name: str | None = None, **kwargs: Any) -> None:
        if kwargs:
            raise TypeError(f"SeedGenerator: unknown argument {next(iter(kwargs))!r}.")
        self._init_seed = check_argument("SeedGenerator", "seed", seed, Integer(0, optional=True))
        self.name = names.auto_name("SeedGenerator") if name is None else name
        first = make_default_seed() if self._init_seed is None else self._init_seed
        with names.name_scope(self.name):
            self.state = Variable(
                np.array([first, 0], dtype=np.int64),
                trainable=False,
                name="seed_generator_state",
            )

    @property
    def variables(self) -> list[Variable]:
        """The state, in a list."""
        return [self.state]

    def next(self, ordered: bool = True) -> Tensor:
        """Return the state for one random call and count it.

        `ordered` is accepted for Keras's sake; calls are always counted in order.
        """
        now = self.state.value if is_tracing() else convert(self.state.numpy())
        self.state.assign(apply("add", now, convert(np.array([0, 1], dtype=np.int64))))
        return now

    def save_own_variables(self, store: Any) -> None:
        """Write the state into a mapping, as saving does."""
        store["0"] = self.state.numpy()

    def load_own_variables(self, store: Any) -> None:
        """Take the state from a mapping that `save_own_variables` filled."""
        self.state.assign(np.asarray(store["0"]).astype(np.int64))

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {"seed": self._init_seed, "name": self.name}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> SeedGenerator:
        """Build a generator from what `get_config` returned."""
        return cls(**config)


_global_generator: SeedGenerator | None = None


def global_seed_generator() -> SeedGenerator:
    """Return the generator that calls with seed=None share."""
    global _global_generator
    if _global_generator is None:
        _global_generator = SeedGenerator(name="global_seed_generator")
    return _global_generator


def set_global_seed(seed: int) -> None:
    """Start the generator that calls with seed=None share again from `seed`."""
    global _global_generator
    if _global_generator is None:
        _global_generator = SeedGenerator(seed, name="global_seed_generator")
    else:
        _global_generator.state.assign(np.array([seed, 0], dtype=np.int64))


def draw_seed(seed: int | SeedGenerator | None) -> Tensor:
    """Return the state (int64, 2) that a random op takes.

    An integer gives the same state at every call; a generator, or None for the global one,
    moves on.
    """
    if seed is None:
        return global_seed_generator().next()
    if isinstance(seed, SeedGenerator):
        return seed.next()
    if isinstance(seed, Tensor):
        return seed
    number = check_argument("random", "seed", seed, Integer(0))
    return convert(np.array([number, 0], dtype=np.int64))


def _float_type(op: str, dtype: Any) -> str:
    wanted = standardize_dtype(dtype)
    if wanted not in config.FLOAT_TYPES:
        raise ValueError(
            f"`keras.random.{op}` requires a floating point `dtype`. Got {dtype!r}, "
            f"which is none of {config.FLOAT_TYPES}."
        )
    return wanted


def _sizes(shape: Sequence[int | None]) -> list[int]:
    return [-1 if d is None else int(d) for d in shape]


def uniform(
    shape: Sequence[int],
    minval: float = 0.0,
    maxval: float = 1.0,
    dtype: Any = None,
    seed: int | SeedGenerator | None = None,
) -> Tensor:
    """Draw numbers evenly from [minval, maxval).

    Args:
        shape: sizes of the result.
        minval, maxval: the interval.
        dtype: float type; None is floatx.
        seed: an integer repeats its numbers at every call; a SeedGenerator moves on; None uses
            the global one.
    """
    wanted = _float_type("uniform", dtype)
    # Rounding to a narrow type must not reach maxval itself: stay half a step away from it.
    lost_bits = {"float16": 11, "bfloat16": 8}.get(wanted)
    drawn = apply(
        "random_uniform",
        draw_seed(seed),
        shape=_sizes(shape),
        dtype=wanted if lost_bits is None else "float32",
        min=float(minval),
        max=float(maxval),
    )
    if lost_bits is None:
        return drawn
    highest = float(maxval) - abs(float(maxval)) * 2.0**-lost_bits
    return apply("cast", apply("clip", drawn, min=float(minval), max=highest), dtype=wanted)


def normal(
    shape: Sequence[int],
    mean: float = 0.0,
    stddev: float = 1.0,
    dtype: Any = None,
    seed: int | SeedGenerator | None = None,
) -> Tensor:
    """Draw numbers from the normal distribution.

    Args:
        shape: sizes of the result.
        mean: centre.
        stddev: standard deviation.
        dtype, seed: as for `uniform`.
    """
    return apply(
        "random_normal",
        draw_seed(seed),
        shape=_sizes(shape),
        dtype=_float_type("normal", dtype),
        mean=float(mean),
        stddev=float(stddev),
    )


def truncated_normal(
    shape: Sequence[int],
    mean: float = 0.0,
    stddev: float = 1.0,
    dtype: Any = None,
    seed: int | SeedGenerator | None = None,
) -> Tensor:
    """Draw numbers from the normal distribution, only those within two deviations of the mean.

    Args:
        shape, mean, stddev, dtype, seed: as for `normal`; `stddev` is that before cutting.
    """
    return apply(
        "truncated_normal",
        draw_seed(seed),
        shape=_sizes(shape),
        dtype=_float_type("truncated_normal", dtype),
        mean=float(mean),
        stddev=float(stddev),
    )


def randint(
    shape: Sequence[int],
    minval: int,
    maxval: int,
    dtype: Any = "int32",
    seed: int | SeedGenerator | None = None,
) -> Tensor:
    """Draw integers from minval to maxval - 1, each as likely as the others.

    Args:
        shape: sizes of the result.
        minval, maxval: the range; `maxval` is not included.
        dtype: integer type.
        seed: as for `uniform`.
    """
    wanted = standardize_dtype(dtype)
    if wanted in config.FLOAT_TYPES or wanted == "bool":
        raise ValueError(f"`keras.random.randint` requires an integer `dtype`. Got {dtype!r}.")
    low, high = int(minval), int(maxval)
    if low >= high:
        raise ValueError(f"randint: maxval must exceed minval. Got {minval!r} and {maxval!r}.")
    return apply(
        "random_int", draw_seed(seed), shape=_sizes(shape), dtype=wanted, min=low, max=high
    )


@symbolic_op
def categorical(
    logits: TensorLike,
    num_samples: int,
    dtype: Any = "int32",
    seed: int | SeedGenerator | None = None,
) -> Tensor:
    """Draw class ids with the probabilities softmax(logits).

    Args:
        logits: (batch, classes).
        num_samples: ids for each row.
        dtype: integer type of the result.
        seed: as for `uniform`.

    Returns:
        Tensor (batch, num_samples).
    """
    logits = to_float(logits)
    if logits.ndim != 2:
        raise ValueError(f"categorical: logits must be (batch, classes). Got {logits.shape}.")
    batch, classes = logits.shape
    noise = uniform((batch, int(num_samples), classes), 1e-20, 1.0, logits.dtype, seed)
    # The largest of logit + Gumbel noise is distributed as softmax(logits).
    gumbel = apply("negative", apply("log", apply("negative", apply("log", noise))))
    rows = apply("reshape", logits, shape=_sizes((batch, 1, classes)))
    best = apply("argmax", apply("add", rows, gumbel), axis=2, keepdims=False)
    return to_dtype(best, standardize_dtype(dtype))


@symbolic_op
def dropout(
    inputs: TensorLike,
    rate: float,
    noise_shape: Sequence[int | None] | None = None,
    seed: int | SeedGenerator | None = None,
) -> Tensor:
    """Set a share `rate` of the elements to 0 and multiply the others by 1 / (1 - rate).

    Args:
        inputs: tensor, computed as a float.
        rate: share in [0, 1].
        noise_shape: shape of the pattern, which broadcasts over `inputs`; None in it is the size
            of `inputs` there.
        seed: as for `uniform`.
    """
    rate = check_argument("dropout", "rate", rate, Real(0, 1))
    x = to_float(inputs)
    if rate == 0:
        return x
    state = draw_seed(seed)
    if noise_shape is None:
        return apply("dropout", x, state, rate=float(rate))
    sizes = [d if n is None else n for n, d in zip(noise_shape, x.shape, strict=True)]
    return apply("dropout", x, state, rate=float(rate), noise_shape=_sizes(sizes))


def _parameter(op: str, x: TensorLike, shape: Sequence[int], dtype: str) -> Tensor:
    """A parameter of a distribution, one for each element; in a type that the engine draws in."""
    wide = dtype if dtype in ("float32", "float64") else "float32"
    value = to_dtype(convert(x), wide)
    try:
        return apply("broadcast_to", value, shape=_sizes(shape))
    except ValueError:
        raise ValueError(
            f"{op}: a parameter of shape {value.shape} does not broadcast to {tuple(shape)}."
        ) from None


def _second_state(state: Tensor) -> Tensor:
    """Another stream of the same random call."""
    return apply("bitwise_xor", state, convert(np.array([1 << 62, 0], dtype=np.int64)))


@symbolic_op
def gamma(
    shape: Sequence[int],
    alpha: TensorLike,
    dtype: Any = None,
    seed: int | SeedGenerator | None = None,
) -> Tensor:
    """Draw numbers from the gamma distribution with scale 1.

    Args:
        shape: sizes of the result.
        alpha: shape parameter > 0; broadcasts to `shape`.
        dtype, seed: as for `uniform`.

    Source: Marsaglia and Tsang. A simple method for generating gamma variables. 2000.
    """
    wanted = _float_type("gamma", dtype)
    drawn = apply("random_gamma", draw_seed(seed), _parameter("gamma", alpha, shape, wanted))
    return to_dtype(drawn, wanted)


@symbolic_op
def beta(
    shape: Sequence[int],
    alpha: TensorLike,
    beta: TensorLike,
    dtype: Any = None,
    seed: int | SeedGenerator | None = None,
) -> Tensor:
    """Draw numbers in (0, 1) from the beta distribution.

    Args:
        shape: sizes of the result.
        alpha, beta: parameters > 0; they broadcast to `shape`.
        dtype, seed: as for `uniform`.
    """
    wanted = _float_type("beta", dtype)
    state = draw_seed(seed)
    a = apply("random_gamma", state, _parameter("beta", alpha, shape, wanted))
    b = apply("random_gamma", _second_state(state), _parameter("beta", beta, shape, wanted))
    return to_dtype(apply("divide", a, apply("add", a, b)), wanted)


@symbolic_op
def binomial(
    shape: Sequence[int],
    counts: TensorLike,
    probabilities: TensorLike,
    dtype: Any = None,
    seed: int | SeedGenerator | None = None,
) -> Tensor:
    """Draw how many of `counts` trials succeed, as floats.

    Args:
        shape: sizes of the result.
        counts: numbers of trials; broadcast to `shape`.
        probabilities: of success in one trial, in [0, 1]; broadcast to `shape`.
        dtype, seed: as for `uniform`.
    """
    wanted = _float_type("binomial", dtype)
    parameters = (_parameter("binomial", x, shape, wanted) for x in (counts, probabilities))
    return to_dtype(apply("random_binomial", draw_seed(seed), *parameters), wanted)


@symbolic_op
def shuffle(x: TensorLike, axis: int = 0, seed: int | SeedGenerator | None = None) -> Tensor:
    """Put the slices of `x` along `axis` into a random order."""
    x = convert(x)
    place = normalize_axis(axis, x.ndim, "shuffle")
    keys = uniform((x.shape[place],), dtype="float64", seed=seed)
    return apply("gather", x, apply("argsort", keys, axis=0), axis=place)


__all__ = [
    "SeedGenerator",
    "beta",
    "binomial",
    "categorical",
    "draw_seed",
    "dropout",
    "gamma",
    "global_seed_generator",
    "make_default_seed",
    "normal",
    "randint",
    "set_global_seed",
    "shuffle",
    "truncated_normal",
    "uniform",
]
