"""Low-rank adaptation: training a small product of matrices in place of a kernel."""

from __future__ import annotations

from typing import Any

import numpy as np

from lamina import ops
from lamina.layers.quantization.stored import StoredByMode
from lamina.tensor import Tensor
from lamina.validation import Integer, Real, check_argument
from lamina.variable import Variable


class LowRankKernel(StoredByMode):
    """A layer with a kernel that can be frozen and adapted by two small matrices.

    The subclass makes the kernel with `_set_kernel` and reads it through `kernel`, which is

        kernel + (lora_alpha / lora_rank) * lora_kernel_a @ lora_kernel_b

    once `enable_lora` was called. Files hold this sum, so that they fit a layer without
    adaptation; a layer with it begins from zero matrices when it reads them.
    """

    def _init_lora(self, lora_rank: int | None, lora_alpha: float | None) -> None:
        """Take the constructor's arguments; the matrices are made by `build`."""
        owner = type(self).__name__
        self.lora_rank = check_argument(
            owner, "lora_rank", lora_rank, Integer(min=1, optional=True)
        )
        alpha = check_argument(owner, "lora_alpha", lora_alpha, Real(optional=True))
        self.lora_alpha = alpha if alpha is not None else self.lora_rank
        self.lora_enabled = False
        self._kernel: Variable | None = None

    def _set_kernel(self, kernel: Variable) -> None:
        self._kernel = kernel

    @property
    def kernel(self) -> Any:
        """The kernel: a weight, or with low-rank adaptation the tensor that is computed with.

        Raises:
            AttributeError: if the layer is not built yet.
        """
        if self._kernel is None:
            raise AttributeError(f"{self.name} ({type(self).__name__}) has no kernel: build it.")
        if not self.lora_enabled:
            return self._kernel
        return self._adapted_kernel(self._kernel)

    def _adapted_kernel(self, kernel: Variable) -> Tensor:
        product: Tensor = ops.matmul(self.lora_kernel_a, self.lora_kernel_b)
        scale = self.lora_alpha / self.lora_rank
        adapted: Tensor = kernel.value + ops.reshape(product, kernel.shape) * scale
        return adapted

    def enable_lora(
        self,
        rank: int,
        lora_alpha: float | None = None,
        a_initializer: Any = "he_uniform",
        b_initializer: Any = "zeros",
    ) -> None:
        """Freeze the kernel and train a product of two matrices that is added to it.

        Args:
            rank: columns of the first and rows of the second matrix.
            lora_alpha: the product is scaled by `lora_alpha / rank`; the rank when None.
            a_initializer, b_initializer: first values of the matrices.

        Raises:
            ValueError: if the layer is not built, adapted already, or constrains its kernel.
        """
        who = f"{self.name} ({type(self).__name__})"
        if getattr(self, "kernel_constraint", None):
            raise ValueError(
                f"{who}: Lora is incompatible with kernel constraints: make the layer without "
                "kernel_constraint."
            )
        if self._kernel is None:
            raise ValueError(
                f"{who}: Cannot enable lora on a layer that isn't yet built. Call it on data or "
                "use build(input_shape) first."
            )
        if self.lora_enabled:
            raise ValueError(f"{who}: lora is already enabled.")
        rank = check_argument("enable_lora", "rank", rank, Integer(min=1))
        lora_alpha = check_argument("enable_lora", "lora_alpha", lora_alpha, Real(optional=True))
        self._add_matrices(self._lora_kernel_shape(), rank, a_initializer, b_initializer)
        self._kernel.trainable = False
        self.lora_enabled = True
        self.lora_rank = rank
        self.lora_alpha = rank if lora_alpha is None else lora_alpha

    def _lora_kernel_shape(self) -> tuple[int, ...]:
        """The shape of the kernel that is adapted."""
        return self.kernel.shape  # type: ignore[no-any-return]

    def _add_matrices(
        self, kernel_shape: tuple[int, ...], rank: int, a_initializer: Any, b_initializer: Any
    ) -> None:
        was_locked, self._is_locked = self._is_locked, False
        regularizer = getattr(self, "kernel_regularizer", None)
        self.lora_kernel_a = self.add_weight(
            name="lora_kernel_a",
            shape=(*kernel_shape[:-1], rank),
            initializer=a_initializer,
            regularizer=regularizer,
        )
        self.lora_kernel_b = self.add_weight(
            name="lora_kernel_b",
            shape=(rank, kernel_shape[-1]),
            initializer=b_initializer,
            regularizer=regularizer,
        )
        self._is_locked = was_locked

    def _lora_config(self) -> dict[str, Any]:
        if not self.lora_rank:
            return {}
        return {"lora_rank": self.lora_rank, "lora_alpha": self.lora_alpha}

    # Files

    @property
    def variable_serialization_spec(self) -> dict[str | None, list[str]]:
        """Names of the weights in a file; None stands for the layer that is not quantized."""
        return {None: ["kernel", "bias"]}

    def _attribute_of(self, name: str) -> str:
        return "_kernel" if name == "kernel" else name

    def _merged_values(self) -> dict[int, Any]:
        """The kernel with what adaptation adds."""
        return {id(self._kernel): self.kernel} if self.lora_enabled else {}

    def _loaded(self) -> None:
        """Adaptation begins from zero matrices."""
        if self.lora_enabled:
            for matrix in (self.lora_kernel_a, self.lora_kernel_b):
                matrix.assign(np.zeros(matrix.shape, matrix.dtype))
