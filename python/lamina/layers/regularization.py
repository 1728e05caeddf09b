"""Layers that act while training only, against overfitting."""

from __future__ import annotations

from typing import Any

import numpy as np

from lamina import config, random, regularizers
from lamina.layers.base import Layer
from lamina.layers.building import is_default_build
from lamina.layers.spec import InputSpec
from lamina.validation import Constraint, Integer, OneOf, Real

RATE_EXPLANATION = (
    "Invalid value received for argument `rate`. Expected a float value between 0 and 1."
)


class NoiseShape(Constraint):
    """The shape of a random mask: positive integers, and None for a size of the inputs."""

    optional = True

    def accept(self, value: Any) -> tuple[int | None, ...]:
        if self.hint(value):
            raise ValueError
        return tuple(None if size is None else int(size) for size in value)

    def describe(self) -> str:
        return "a tuple of sizes (None where unknown)"

    def hint(self, value: Any) -> str:
        whole = (int, np.integer)
        if not isinstance(value, (list, tuple)):
            expected = "a tuple or list of integers"
        elif not all(size is None or isinstance(size, whole) for size in value):
            expected = "all elements to be integers or None"
        elif not all(size is None or size > 0 for size in value):
            expected = "all dimensions to be positive integers or None"
        else:
            return ""
        return f" Invalid value received for argument `noise_shape`. Expected {expected}."


class Dropout(Layer):
    """Set a random part of the values to zero while training, and scale up the rest.

    outputs = inputs * keep / (1 - rate), keep = 0 with probability rate, else 1

    Args:
        rate: probability of dropping a value, in [0, 1].
        noise_shape: shape of the random mask, None or 1 where it is shared along an axis.
        seed: integer for repeatable masks.

    Input and output shape: any. At inference the inputs pass unchanged.
    """

    constraints = {
        "rate": Real(0, 1),
        "seed": Integer(optional=True),
        "noise_shape": NoiseShape(),
    }
    explanations = {"rate": RATE_EXPLANATION}

    def __init__(
        self, rate: float, noise_shape: Any = None, seed: int | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.rate, self.noise_shape, self.seed = self.validated(
            rate=rate, noise_shape=noise_shape, seed=seed
        )
        self.seed_generator = random.SeedGenerator(seed) if self.rate > 0 else None
        self.supports_masking = True
        self.built = is_default_build(type(self).build)

    def call(self, inputs: Any, training: bool = False) -> Any:
        if not training or self.rate == 0:
            return inputs
        return random.dropout(
            inputs,
            rate=self.rate,
            noise_shape=self._mask_shape(inputs),
            seed=self.seed_generator,
        )

    def _mask_shape(self, inputs: Any) -> Any:
        """Return the mask's shape for these inputs, None for theirs."""
        if self.noise_shape is None:
            return None
        if len(self.noise_shape) != len(inputs.shape):
            raise ValueError(
                f"{self.name} ({type(self).__name__}): noise_shape {self.noise_shape} and inputs "
                f"{tuple(inputs.shape)} must have the same number of axes."
            )
        pairs = zip(inputs.shape, self.noise_shape, strict=True)
        return tuple(size if wanted is None else wanted for size, wanted in pairs)

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        return tuple(input_shape)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "rate": self.rate,
            "seed": self.seed,
            "noise_shape": self.noise_shape,
        }


class BaseSpatialDropout(Dropout):
    """Dropout of whole channels."""

    def __init__(
        self, rate: float, seed: int | None = None, name: str | None = None, dtype: Any = None
    ) -> None:
        super().__init__(rate, seed=seed, name=name, dtype=dtype)

    def get_config(self) -> dict[str, Any]:
        return {"rate": self.rate, "seed": self.seed, "name": self.name, "dtype": self.dtype}


class SpatialDropout1D(BaseSpatialDropout):
    """Set whole features of sequences to zero while training.

    Args:
        rate: probability of dropping a feature, in [0, 1].
        seed: integer for repeatable masks.

    Input and output shape: `(batch, steps, features)`.
    """

    def __init__(
        self, rate: float, seed: int | None = None, name: str | None = None, dtype: Any = None
    ) -> None:
        super().__init__(rate, seed, name, dtype)
        self.input_spec = InputSpec(ndim=3)

    def _mask_shape(self, inputs: Any) -> Any:
        return (inputs.shape[0], 1, inputs.shape[2])


class BaseImageDropout(BaseSpatialDropout):
    """What dropout of the channels of images and volumes shares."""

    rank = 2
    constraints = {
        **Dropout.constraints,
        "data_format": OneOf("channels_last", "channels_first", optional=True),
    }

    def __init__(
        self,
        rate: float,
        data_format: str | None = None,
        seed: int | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(rate, seed, name, dtype)
        self.data_format = self.validated(data_format=data_format) or config.image_data_format()
        self.input_spec = InputSpec(ndim=self.rank + 2)

    def _mask_shape(self, inputs: Any) -> Any:
        ones, shape = (1,) * self.rank, inputs.shape
        if self.data_format == "channels_last":
            return (shape[0], *ones, shape[-1])
        return (shape[0], shape[1], *ones)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "data_format": self.data_format}


class SpatialDropout2D(BaseImageDropout):
    """Set whole channels of images to zero while training.

    Args:
        rate: probability of dropping a channel, in [0, 1].
        data_format: "channels_last" (batch, height, width, channels) or "channels_first".
        seed: integer for repeatable masks.

    Input and output shape: `(batch, height, width, channels)`.
    """


class SpatialDropout3D(BaseImageDropout):
    """Set whole channels of volumes to zero while training.

    Args:
        rate: probability of dropping a channel, in [0, 1].
        data_format: "channels_last" (batch, depth, height, width, channels) or "channels_first".
        seed: integer for repeatable masks.

    Input and output shape: `(batch, depth, height, width, channels)`.
    """

    rank = 3


class GaussianNoise(Layer):
    """Add normal noise of mean 0 while training.

    Args:
        stddev: standard deviation, at least 0.
        seed: integer for repeatable noise.

    Input and output shape: any. At inference the inputs pass unchanged.
    """

    constraints = {"stddev": Real(0), "seed": Integer(optional=True)}

    def __init__(self, stddev: float, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.stddev, self.seed = self.validated(stddev=stddev, seed=seed)
        self.seed_generator = random.SeedGenerator(seed) if self.stddev > 0 else None
        self.supports_masking = True
        self.built = is_default_build(type(self).build)

    def call(self, inputs: Any, training: bool = False) -> Any:
        if not training or self.stddev == 0:
            return inputs
        noise = random.normal(
            inputs.shape, 0.0, self.stddev, dtype=self.compute_dtype, seed=self.seed_generator
        )
        return self._as_float(inputs) + noise

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        return tuple(input_shape)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "stddev": self.stddev, "seed": self.seed}


class GaussianDropout(Layer):
    """Multiply by normal noise of mean 1 and standard deviation sqrt(rate / (1 - rate)).

    Args:
        rate: strength, in [0, 1).
        seed: integer for repeatable noise.

    Input and output shape: any. At inference the inputs pass unchanged.
    """

    constraints = {"rate": Real(0, 1, closed="left"), "seed": Integer(optional=True)}
    explanations = {"rate": RATE_EXPLANATION}

    def __init__(self, rate: float, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.rate, self.seed = self.validated(rate=rate, seed=seed)
        self.seed_generator = random.SeedGenerator(seed) if self.rate > 0 else None
        self.supports_masking = True
        self.built = is_default_build(type(self).build)

    def call(self, inputs: Any, training: bool = False) -> Any:
        if not training or self.rate == 0:
            return inputs
        noise = random.normal(
            inputs.shape,
            1.0,
            (self.rate / (1.0 - self.rate)) ** 0.5,
            dtype=self.compute_dtype,
            seed=self.seed_generator,
        )
        return self._as_float(inputs) * noise

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        return tuple(input_shape)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "rate": self.rate, "seed": self.seed}


class ActivityRegularization(Layer):
    """Add a penalty on the size of the inputs to the loss, and pass them on.

    Args:
        l1: factor of the sum of absolute values.
        l2: factor of the sum of squares.

    Input and output shape: any.
    """

    constraints = {"l1": Real(0), "l2": Real(0)}

    def __init__(self, l1: float = 0.0, l2: float = 0.0, **kwargs: Any) -> None:
        super().__init__(activity_regularizer=regularizers.L1L2(l1=l1, l2=l2), **kwargs)
        self.l1, self.l2 = self.validated(l1=l1, l2=l2)
        self.supports_masking = True
        self.built = is_default_build(type(self).build)

    def call(self, inputs: Any) -> Any:
        return inputs

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        return tuple(input_shape)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config.pop("activity_regularizer", None)
        return {**config, "l1": self.l1, "l2": self.l2}
