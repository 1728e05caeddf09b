"""Low-rank adaptation: training a small product of matrices in place of a kernel."""

from __future__ import annotations

from typing import Any

import numpy as np

from lamina import ops
from lamina.layers.quantization.stored import StoredByMode
from lamina.tensor import Tensor
from lamina.validation import Integer, Real, check_argument
from lamina.variable import Variable


class LowRankAdaptation(StoredByMode):
    """A layer with a weight that can be frozen and adapted by a product of two small matrices."""

    _adapted_name: str  # of the weight; the attribute that holds it begins with an underscore

    def _init_lora(self, lora_rank: int | None, lora_alpha: float | None) -> None:
        """Take the constructor's arguments; the matrices are made by `build`."""
        owner = type(self).__name__
        self.lora_rank = check_argument(
            owner, "lora_rank", lora_rank, Integer(min=1, optional=True)
        )
        alpha = check_argument(owner, "lora_alpha", lora_alpha, Real(optional=True))
        self.lora_alpha = alpha if alpha is not None else self.lora_rank
        self.lora_enabled = False

    def enable_lora(
        self,
        rank: int,
        lora_alpha: float | None = None,
        a_initializer: Any = "he_uniform",
        b_initializer: Any = "zeros",
    ) -> None:
        """Freeze the kernel or table and train a product of two matrices that is added to it.

        Args:
            rank: columns of the first and rows of the second matrix.
            lora_alpha: the product is scaled by `lora_alpha / rank`; the rank when None.
            a_initializer, b_initializer: first values of the matrices.

        Raises:
            ValueError: if the layer is not built, adapted already, or constrains the weight.
            NotImplementedError: for a layer quantized by GPTQ or AWQ.
        """
        self._check_adaptable()
        rank = check_argument("enable_lora", "rank", rank, Integer(min=1))
        lora_alpha = check_argument("enable_lora", "lora_alpha", lora_alpha, Real(optional=True))
        with self._open_for_weights():
            self._add_matrices(rank, a_initializer, b_initializer)
        getattr(self, f"_{self._adapted_name}").trainable = False
        self.lora_enabled = True
        self.lora_rank = rank
        self.lora_alpha = rank if lora_alpha is None else lora_alpha

    def _check_adaptable(self) -> None:
        who, name = f"{self.name} ({type(self).__name__})", self._adapted_name
        if getattr(self, f"{name}_constraint", None):
            raise ValueError(
                f"{who}: Lora is incompatible with {name.removesuffix('s')} constraints: make the "
                f"layer without {name}_constraint."
            )
        if getattr(self, f"_{name}") is None:
            raise ValueError(
                f"{who}: Cannot enable lora on a layer that isn't yet built. Call it on data or "
                "use build() first."
            )
        if self.lora_enabled:
            raise ValueError(f"{who}: lora is already enabled.")

    def _add_matrices(self, rank: int, a_initializer: Any, b_initializer: Any) -> None:
        """Make the two weights whose product is added."""
        raise NotImplementedError

    def _matrix(self, which: str, shape: tuple[int, ...], initializer: Any) -> Variable:
        return self.add_weight(
            name=f"lora_{self._adapted_name}_{which}",
            shape=shape,
            initializer=initializer,
            regularizer=getattr(self, f"{self._adapted_name}_regularizer", None),
        )

    def _lora_config(self) -> dict[str, Any]:
        if not self.lora_rank:
            return {}
        return {"lora_rank": self.lora_rank, "lora_alpha": self.lora_alpha}


class LowRankKernel(LowRankAdaptation):
    """A layer with a kernel that can be frozen and adapted.

    The subclass makes the kernel with `_set_kernel` and reads it through `kernel`, which is

        kernel + (lora_alpha / lora_rank) * lora_kernel_a @ lora_kernel_b

    once `enable_lora` was called. Files hold this sum, so that they fit a layer without
    adaptation; a layer with it begins from zero matrices when it reads them.
    """

    _adapted_name = "kernel"

    def _init_lora(self, lora_rank: int | None, lora_alpha: float | None) -> None:
        super()._init_lora(lora_rank, lora_alpha)
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

    def _lora_kernel_shape(self) -> tuple[int, ...]:
        """The shape of the kernel that is adapted."""
        return self.kernel.shape

    def _add_matrices(self, rank: int, a_initializer: Any, b_initializer: Any) -> None:
        shape = self._lora_kernel_shape()
        self.lora_kernel_a = self._matrix("a", (*shape[:-1], rank), a_initializer)
        self.lora_kernel_b = self._matrix("b", (rank, shape[-1]), b_initializer)

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
