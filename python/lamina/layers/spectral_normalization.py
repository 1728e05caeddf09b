"""A wrapper that keeps the largest singular value of a layer's kernel at 1."""

from __future__ import annotations

from typing import Any

from lamina import initializers, ops
from lamina.layers.spec import InputSpec
from lamina.layers.wrappers import Wrapper
from lamina.validation import Integer


class SpectralNormalization(Wrapper):
    """Divide the kernel of a layer by its largest singular value at every training step.

    The value is estimated by power iteration, which goes on from step to step.

    Args:
        layer: layer with a `kernel` or `embeddings`.
        power_iterations: iterations for a step, at least 1.

    Output shape: the layer's. Weights: those of the layer, vector_u (1, last size of the kernel).
    Source: Miyato et al. Spectral normalization for generative adversarial networks. 2018.
    """

    constraints = {"power_iterations": Integer(min=1)}

    def __init__(self, layer: Any, power_iterations: int = 1, **kwargs: Any) -> None:
        super().__init__(layer, **kwargs)
        if isinstance(power_iterations, int) and power_iterations <= 0:
            raise ValueError(
                f"{type(self).__name__}: `power_iterations` should be greater than zero. "
                f"Got {power_iterations}."
            )
        self.power_iterations = self.validated(power_iterations=power_iterations)

    def build(self, input_shape: Any = None) -> None:
        super().build(input_shape)
        self.input_spec = InputSpec(min_ndim=1, axes={-1: input_shape[-1]})
        own = (getattr(self.layer, name, None) for name in ("kernel", "embeddings"))
        kernel = next((weight for weight in own if weight is not None), None)
        if kernel is None:
            raise ValueError(
                f"{self.name} ({type(self).__name__}): {type(self.layer).__name__} object has no "
                "attribute 'kernel' nor 'embeddings', so there is nothing to normalize."
            )
        self.kernel = kernel
        self.vector_u = self.add_weight(
            shape=(1, kernel.shape[-1]),
            initializer=initializers.TruncatedNormal(stddev=0.02),
            trainable=False,
            name="vector_u",
            dtype=kernel.dtype,
        )

    def call(self, inputs: Any, training: bool = False) -> Any:
        if training:
            vector_u, kernel = self.normalized_weights()
            # A kernel of zeros has no direction: it stays.
            is_zero = ops.all(ops.equal(self.kernel.value, 0))
            self.vector_u.assign(ops.where(is_zero, self.vector_u.value, vector_u))
            self.kernel.assign(ops.where(is_zero, self.kernel.value, kernel))
        outputs = self.layer(inputs)
        return ops.cast(outputs, inputs.dtype)

    def normalized_weights(self) -> tuple[Any, Any]:
        """Return vector_u after the iterations of a step, and the kernel divided by its norm."""
        kernel = self.kernel.value
        matrix = ops.reshape(kernel, (-1, kernel.shape[-1]))
        rows, columns = None, self.vector_u.value  # the singular vectors of the greatest value
        for _ in range(self.power_iterations):
            rows = _unit(ops.matmul(columns, ops.transpose(matrix)))
            columns = _unit(ops.matmul(rows, matrix))
        rows, columns = ops.stop_gradient(rows), ops.stop_gradient(columns)
        return columns, kernel / ops.sum(ops.matmul(rows, matrix) * columns)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return self.layer.compute_output_shape(input_shape)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "power_iterations": self.power_iterations}


def _unit(vector: Any) -> Any:
    return vector / ops.maximum(ops.norm(vector), 1e-12)
