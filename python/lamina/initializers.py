"""First values of weights.

An initializer is called as `initializer(shape, dtype=None)`. Those that are random repeat their
values at each call; given a `SeedGenerator` they move on.
"""

from __future__ import annotations

import copy
import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lamina import ops, random, serialization, windows
from lamina.dtypes import standardize_dtype
from lamina.registry import Registry, named
from lamina.tensor import Tensor
from lamina.tracing import apply, convert
from lamina.validation import ArrayLike, Boolean, Integer, OneOf, Real, check_argument

Seed = int | random.SeedGenerator | None


class Initializer:
    """Base of all initializers: subclasses define `__call__(shape, dtype=None)`."""

    def __call__(self, shape: Sequence[int], dtype: str | None = None) -> Tensor:
        raise NotImplementedError(f"{type(self).__name__} must define __call__(shape, dtype).")

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Initializer:
        """Build an initializer from what `get_config` returned."""
        return cls(**config)

    def clone(self) -> Initializer:
        """Return another initializer with the same arguments."""
        return type(self).from_config(self.get_config())


class Zeros(Initializer):
    """All values 0."""

    def __call__(self, shape: Sequence[int], dtype: str | None = None) -> Tensor:
        return ops.zeros(shape, dtype)


class Ones(Initializer):
    """All values 1."""

    def __call__(self, shape: Sequence[int], dtype: str | None = None) -> Tensor:
        return ops.ones(shape, dtype)


class Constant(Initializer):
    """All values `value`.

    Args:
        value: number, or array that broadcasts to the shape.
    """

    # Set by `get` for an array, which is meant to have the very shape of the weight.
    _has_own_shape = False

    def __init__(self, value: Any = 0.0) -> None:
        self.value = check_argument("Constant", "value", value, ArrayLike())

    def __call__(self, shape: Sequence[int], dtype: str | None = None) -> Tensor:
        if self._has_own_shape and tuple(shape) != tuple(self.value.shape):
            raise ValueError(
                f"Expected `shape` to be that of the array given as initializer, "
                f"{tuple(self.value.shape)}. Got {tuple(shape)}."
            )
        value = ops.convert_to_tensor(self.value, dtype=standardize_dtype(dtype))
        return ops.broadcast_to(value, shape)

    def get_config(self) -> dict[str, Any]:
        return {"value": serialization.serialize_keras_object(self.value)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Initializer:
        return cls(serialization.deserialize_keras_object(config["value"]))


class Identity(Initializer):
    """A square matrix with `gain` on the diagonal; of another matrix, its rectangular like.

    Args:
        gain: the value on the diagonal.
    """

    def __init__(self, gain: float = 1.0) -> None:
        self.gain = check_argument("Identity", "gain", gain, Real())

    def __call__(self, shape: Sequence[int], dtype: str | None = None) -> Tensor:
        if len(shape) != 2:
            raise ValueError(f"Identity: shape must have two axes. Got {tuple(shape)}.")
        return self.gain * ops.eye(shape[0], shape[1], dtype=dtype)

    def get_config(self) -> dict[str, Any]:
        return {"gain": self.gain}


class _Seeded(Initializer):
    """Keeps the seed: None becomes a number of its own, drawn once."""

    def __init__(self, seed: Seed = None) -> None:
        if isinstance(seed, dict):
            seed = serialization.deserialize_keras_object(seed)
        self._init_seed = seed
        if seed is None:
            seed = random.make_default_seed()
        elif not isinstance(seed, random.SeedGenerator):
            seed = check_argument(type(self).__name__, "seed", seed, Integer(0))
        self.seed = seed

    def get_config(self) -> dict[str, Any]:
        return {"seed": serialization.serialize_keras_object(self._init_seed)}


class RandomNormal(_Seeded):
    """Values from the normal distribution.

    Args:
        mean: centre.
        stddev: standard deviation >= 0.
        seed: integer, SeedGenerator, or None.
    """

    def __init__(self, mean: float = 0.0, stddev: float = 0.05, seed: Seed = None) -> None:
        self.mean = check_argument(type(self).__name__, "mean", mean, Real())
        self.stddev = check_argument(type(self).__name__, "stddev", stddev, Real(0))
        super().__init__(seed)

    def __call__(self, shape: Sequence[int], dtype: str | None = None) -> Tensor:
        return random.normal(shape, self.mean, self.stddev, dtype, self.seed)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "mean": self.mean, "stddev": self.stddev}


class TruncatedNormal(RandomNormal):
    """Values from the normal distribution, none further than two deviations from the mean.

    Args:
        mean: centre.
        stddev: standard deviation >= 0, before cutting.
        seed: integer, SeedGenerator, or None.
    """

    def __call__(self, shape: Sequence[int], dtype: str | None = None) -> Tensor:
        return random.truncated_normal(shape, self.mean, self.stddev, dtype, self.seed)


class RandomUniform(_Seeded):
    """Values spread evenly over [minval, maxval).

    Args:
        minval, maxval: the interval.
        seed: integer, SeedGenerator, or None.
    """

    def __init__(self, minval: float = -0.05, maxval: float = 0.05, seed: Seed = None) -> None:
        self.minval = check_argument("RandomUniform", "minval", minval, Real())
        self.maxval = check_argument("RandomUniform", "maxval", maxval, Real(minval))
        super().__init__(seed)

    def __call__(self, shape: Sequence[int], dtype: str | None = None) -> Tensor:
        return random.uniform(shape, self.minval, self.maxval, dtype, self.seed)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "minval": self.minval, "maxval": self.maxval}


# The standard deviation of a normal distribution cut at two deviations.
_TRUNCATED_STDDEV = 0.87962566103423978


def compute_fans(
    shape: Sequence[int],
    input_axes: int | Sequence[int] | None = None,
    output_axes: int | Sequence[int] | None = None,
) -> tuple[float, float]:
    """Return how many inputs reach an output of a kernel, and how many outputs an input reaches.

    Args:
        shape: of the kernel: (..., in, out), the leading axes being the receptive field.
        input_axes, output_axes: the axes whose sizes make up the two numbers, if not those.
    """
    sizes = [int(d) for d in shape]
    if input_axes is not None and output_axes is not None:
        inputs, outputs = (
            [axes] if isinstance(axes, int) else axes for axes in (input_axes, output_axes)
        )
        return (
            float(math.prod(sizes[axis] for axis in inputs)),
            float(math.prod(sizes[axis] for axis in outputs)),
        )
    if len(sizes) < 2:
        size = float(math.prod(sizes))
        return size, size
    field = math.prod(sizes[:-2])
    return float(field * sizes[-2]), float(field * sizes[-1])


class VarianceScaling(_Seeded):
    """Random values whose variance is scale / n, so that signals keep their size.

    n is the number of inputs of an output ("fan_in"), of outputs of an input ("fan_out"), or the
    mean of both ("fan_avg").

    Args:
        scale: number > 0.
        mode: "fan_in", "fan_out" or "fan_avg".
        distribution: "truncated_normal", "untruncated_normal" or "uniform".
        seed: integer, SeedGenerator, or None.
        input_axes, output_axes: which axes of a kernel are its inputs and outputs; by default
            the last but one and the last.
    """

    def __init__(
        self,
        scale: float = 1.0,
        mode: str = "fan_in",
        distribution: str = "truncated_normal",
        seed: Seed = None,
        input_axes: int | Sequence[int] | None = None,
        output_axes: int | Sequence[int] | None = None,
    ) -> None:
        check = functools.partial(check_argument, type(self).__name__)
        explanation = "Argument `scale` must be positive float."
        self.scale = check("scale", scale, Real(0, closed="right"), explanation)
        explanation = f"Invalid `mode` argument: {mode!r}."
        self.mode = check("mode", mode, OneOf("fan_in", "fan_out", "fan_avg"), explanation)
        explanation = f"Invalid `distribution` argument: {distribution!r}."
        kinds = OneOf("truncated_normal", "untruncated_normal", "uniform", "normal")
        kind = check("distribution", distribution, kinds, explanation)
        self.distribution = "truncated_normal" if kind == "normal" else kind
        if (input_axes is None) != (output_axes is None):
            raise ValueError(
                f"{type(self).__name__}: input_axes and output_axes must be given together. "
                f"Got {input_axes!r} and {output_axes!r}."
            )
        self.input_axes, self.output_axes = input_axes, output_axes
        super().__init__(seed)

    def with_axes(self, input_axes: Sequence[int], output_axes: Sequence[int]) -> VarianceScaling:
        """Return this initializer, with its seed, for kernels with these axes."""
        other = copy.copy(self)
        other.input_axes, other.output_axes = input_axes, output_axes
        return other

    def __call__(self, shape: Sequence[int], dtype: str | None = None) -> Tensor:
        fan_in, fan_out = compute_fans(shape, self.input_axes, self.output_axes)
        fan = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2.0}
        variance = self.scale / max(1.0, fan[self.mode])
        if self.distribution == "uniform":
            limit = math.sqrt(3.0 * variance)
            return random.uniform(shape, -limit, limit, dtype, self.seed)
        stddev = math.sqrt(variance)
        if self.distribution == "untruncated_normal":
            return random.normal(shape, 0.0, stddev, dtype, self.seed)
        return random.truncated_normal(shape, 0.0, stddev / _TRUNCATED_STDDEV, dtype, self.seed)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "scale": self.scale,
            "mode": self.mode,
            "distribution": self.distribution,
            "input_axes": self.input_axes,
            "output_axes": self.output_axes,
        }


class _NamedScaling(VarianceScaling):
    """A `VarianceScaling` with a name: scale, mode and distribution are the class's."""

    fixed: tuple[float, str, str]

    def __init__(
        self,
        seed: Seed = None,
        input_axes: int | Sequence[int] | None = None,
        output_axes: int | Sequence[int] | None = None,
    ) -> None:
        super().__init__(*self.fixed, seed, input_axes, output_axes)

    def get_config(self) -> dict[str, Any]:
        full = super().get_config()
        return {key: full[key] for key in ("seed", "input_axes", "output_axes")}


class GlorotUniform(_NamedScaling):
    """Uniform within sqrt(6 / (inputs + outputs)). Source: Glorot, Bengio 2010."""

    fixed = (1.0, "fan_avg", "uniform")


class GlorotNormal(_NamedScaling):
    """Truncated normal of variance 2 / (inputs + outputs). Source: Glorot, Bengio 2010."""

    fixed = (1.0, "fan_avg", "truncated_normal")


class HeUniform(_NamedScaling):
    """Uniform within sqrt(6 / inputs). Source: He, Zhang, Ren, Sun 2015."""

    fixed = (2.0, "fan_in", "uniform")


class HeNormal(_NamedScaling):
    """Truncated normal of variance 2 / inputs. Source: He, Zhang, Ren, Sun 2015."""

    fixed = (2.0, "fan_in", "truncated_normal")


class LecunUniform(_NamedScaling):
    """Uniform within sqrt(3 / inputs). Source: LeCun, Bottou, Orr, Müller 1998."""

    fixed = (1.0, "fan_in", "uniform")


class LecunNormal(_NamedScaling):
    """Truncated normal of variance 1 / inputs. Source: LeCun, Bottou, Orr, Müller 1998."""

    fixed = (1.0, "fan_in", "truncated_normal")


class Orthogonal(_Seeded):
    """A matrix with orthonormal rows or columns, times `gain`; leading axes count as rows.

    Args:
        gain: factor.
        seed: integer, SeedGenerator, or None.

    Source: Saxe, McClelland, Ganguli. Exact solutions to the nonlinear dynamics of learning in
    deep linear neural networks. 2013.
    """

    def __init__(self, gain: float = 1.0, seed: Seed = None) -> None:
        self.gain = check_argument("Orthogonal", "gain", gain, Real())
        super().__init__(seed)

    def __call__(self, shape: Sequence[int], dtype: str | None = None) -> Tensor:
        if len(shape) < 2:
            raise ValueError(f"Orthogonal: shape must have two axes or more. Got {tuple(shape)}.")
        rows, columns = math.prod(shape[:-1]), shape[-1]
        tall = (max(rows, columns), min(rows, columns))
        q, r = apply("qr", random.normal(tall, dtype=dtype, seed=self.seed))
        # The signs of r's diagonal make the distribution uniform over all such matrices.
        signs = np.where(np.diagonal(r.numpy()) < 0, -1.0, 1.0)
        q = q * convert(signs, dtype=q.dtype)
        q = ops.transpose(q) if rows < columns else q
        return self.gain * ops.reshape(q, shape)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "gain": self.gain}


class STFT(Initializer):
    """The kernel of a convolution that is a short-time Fourier transform.

    values[t, 0, f] = w(t) * cos(2 pi t f / n)     for the real part, n = 2 * (frequencies - 1)
    values[t, 0, f] = -w(t) * sin(2 pi t f / n)    for the imaginary one

    Args:
        side: "real" or "imag".
        window: its values; the name, or tuple of name and parameters, of a window of
            `scipy.signal.get_window` (those in `windows.NAMES` need no SciPy); None: ones.
        scaling: "density" divides by the root of the sum of w ** 2, "spectrum" by the sum of w,
            None by nothing.
        periodic: whether the window is the beginning of a periodic one, not symmetric.
    """

    def __init__(
        self,
        side: str = "real",
        window: Any = "hann",
        scaling: str | None = "density",
        periodic: bool = False,
    ) -> None:
        self.side = check_argument("STFT", "side", side, OneOf("real", "imag"))
        kinds = OneOf("density", "spectrum", optional=True)
        self.scaling = check_argument("STFT", "scaling", scaling, kinds)
        self.periodic = check_argument("STFT", "periodic", periodic, Boolean())
        self.window = check_argument("STFT", "window", window, ArrayLike(optional=True))
        self._is_named = isinstance(window, str) or (
            isinstance(window, tuple) and bool(window) and isinstance(window[0], str)
        )
        if self._is_named:
            windows.window(window, 1, periodic=False)  # refuses unknown names

    def __call__(self, shape: Sequence[int], dtype: str | None = None) -> Tensor:
        """Return values of shape (frame length, 1, frequencies).

        Raises:
            ValueError: for a shape without three axes, or a window of another length.
        """
        if len(shape) != 3:
            raise ValueError(f"STFT: shape must have three axes. Got {tuple(shape)}.")
        length, channels, frequencies = (int(size) for size in shape)
        times = np.arange(length).reshape(-1, 1, 1)
        turns = np.arange(frequencies) / max(2.0 * (frequencies - 1), 1.0)
        angles = 2.0 * np.pi * times * turns
        values = np.cos(angles) if self.side == "real" else -np.sin(angles)
        if self.window is not None:
            values = values * self._scaled_window(length).reshape(-1, 1, 1)
        values = np.broadcast_to(values, (length, channels, frequencies))
        return ops.convert_to_tensor(values, dtype=standardize_dtype(dtype))

    def _scaled_window(self, length: int) -> np.ndarray:
        if self._is_named:
            values = windows.window(self.window, length, self.periodic)
        else:
            values = np.asarray(self.window, np.float64)
        if values.shape != (length,):
            raise ValueError(f"STFT: window must have {length} values. Got shape {values.shape}.")
        if self.scaling == "density":
            return values / np.sqrt(np.sum(values**2))
        return values / np.sum(values) if self.scaling == "spectrum" else values

    def get_config(self) -> dict[str, Any]:
        return {
            "side": self.side,
            "window": self.window,
            "periodic": self.periodic,
            "scaling": self.scaling,
        }


zeros = Zeros
ones = Ones
constant = Constant
identity = Identity
IdentityInitializer = Identity
OrthogonalInitializer = Orthogonal
STFTInitializer = STFT
stft = STFT
random_normal = RandomNormal
random_uniform = RandomUniform
truncated_normal = TruncatedNormal
variance_scaling = VarianceScaling
glorot_normal = GlorotNormal
glorot_uniform = GlorotUniform
he_normal = HeNormal
he_uniform = HeUniform
lecun_normal = LecunNormal
lecun_uniform = LecunUniform
orthogonal = Orthogonal

_registry = Registry(
    "initializer",
    named(
        Constant,
        GlorotNormal,
        GlorotUniform,
        HeNormal,
        HeUniform,
        Identity,
        LecunNormal,
        LecunUniform,
        Ones,
        Orthogonal,
        RandomNormal,
        RandomUniform,
        TruncatedNormal,
        STFT,
        VarianceScaling,
        Zeros,
        IdentityInitializer=Identity,
        OrthogonalInitializer=Orthogonal,
        STFTInitializer=STFT,
        normal=RandomNormal,
        one=Ones,
        uniform=RandomUniform,
        zero=Zeros,
    ),
    Initializer,
)


def get(identifier: Any) -> Any:
    """Return the initializer that a name, configuration, class, function or array stands for.

    Raises:
        ValueError: if nothing has that name; suggests the nearest one.
    """
    if isinstance(identifier, (Tensor, np.ndarray, np.generic)):
        constant = Constant(identifier)
        constant._has_own_shape = True
        return constant
    return _registry.get(identifier)


def serialize(initializer: Any) -> Any:
    """Return the configuration of an initializer."""
    return serialization.serialize_keras_object(initializer)


def deserialize(config: Any, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """Build the initializer that `serialize` described."""
    return _registry.deserialize(config, custom_objects)
