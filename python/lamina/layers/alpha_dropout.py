"""Dropout for self-normalizing networks."""

from __future__ import annotations

from typing import Any

from lamina import ops, random
from lamina.layers.base import Layer
from lamina.layers.building import is_default_build
from lamina.layers.regularization import RATE_EXPLANATION, NoiseShape
from lamina.validation import Integer, Real

_SELU_LIMIT = -1.0507009873554805 * 1.6732632423543772  # selu of minus infinity


class AlphaDropout(Layer):
    """Set a random part of the values to selu's lower limit while training.

    outputs = a * (inputs where kept, else the limit) + b

    with a and b such that inputs of mean 0 and variance 1 stay so. Made for the activation
    "selu" with "lecun_normal" kernels.

    Args:
        rate: probability of dropping a value, in [0, 1).
        noise_shape: shape of the random mask, None or 1 where it is shared along an axis.
        seed: integer for repeatable masks.

    Input and output shape: any. At inference the inputs pass unchanged.
    Source: Klambauer et al. Self-normalizing neural networks. 2017.
    """

    constraints = {
        "rate": Real(0, 1, closed="left"),
        "noise_shape": NoiseShape(),
        "seed": Integer(optional=True),
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
        x = self._as_float(inputs)
        if self.noise_shape is not None and len(self.noise_shape) != len(x.shape):
            raise ValueError(
                f"{self.name} (AlphaDropout): noise_shape {self.noise_shape} and inputs "
                f"{tuple(x.shape)} must have the same number of axes."
            )
        kept = random.dropout(
            ops.ones_like(x),
            rate=self.rate,
            noise_shape=self.noise_shape,
            seed=self.seed_generator,
        )
        variance = (1.0 - self.rate) * (1.0 + self.rate * _SELU_LIMIT**2)
        a = variance**-0.5
        b = -a * self.rate * _SELU_LIMIT
        return ops.where(kept > 0, x, _SELU_LIMIT) * a + b

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        return tuple(input_shape)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "rate": self.rate,
            "noise_shape": self.noise_shape,
            "seed": self.seed,
        }
