"""The axes of an einsum equation, as quantized kernels ask for them."""

from __future__ import annotations

import string
from typing import NamedTuple

from lamina import ops
from lamina.tensor import Tensor


class EinsumAxes(NamedTuple):
    """The letters of inputs, kernel and outputs, with letters in place of an ellipsis."""

    inputs: str
    kernel: str
    outputs: str

    @classmethod
    def of(cls, equation: str, rank: int) -> EinsumAxes:
        """Read an equation for inputs of `rank` axes."""
        operands, outputs = equation.replace(" ", "").split("->")
        inputs, kernel = operands.split(",")
        elided = rank - len(inputs.replace("...", ""))
        spare = "".join(c for c in string.ascii_letters if c not in equation)[: max(elided, 0)]
        return cls(inputs.replace("...", spare), kernel, outputs.replace("...", spare))

    @property
    def summed_in_inputs(self) -> tuple[int, ...]:
        """The axes of the inputs that are summed over."""
        return tuple(i for i, letter in enumerate(self.inputs) if letter not in self.outputs)

    @property
    def summed_in_kernel(self) -> tuple[int, ...]:
        """The axes of the kernel that are summed over."""
        return tuple(i for i, letter in enumerate(self.kernel) if letter not in self.outputs)

    def in_outputs(self, scale: Tensor, letters: str) -> Tensor:
        """Turn a scale with axes `letters`, of size 1 where summed, towards the outputs."""
        return _turned(scale, letters, self.outputs)

    def in_kernel(self, scale: Tensor) -> Tensor:
        """Turn a scale of the outputs towards the kernel."""
        return _turned(scale, self.outputs, self.kernel)


def _turned(x: Tensor, given: str, wanted: str) -> Tensor:
    """Order axes as in `wanted`; those not there have size 1 and go, new ones have size 1."""
    kept = [letter for letter in wanted if letter in given]
    gone = [letter for letter in given if letter not in wanted]
    turned = ops.transpose(x, [given.index(letter) for letter in (*gone, *kept)])
    shape = turned.shape[len(gone) :]
    sizes = dict(zip(kept, shape, strict=True))
    result: Tensor = ops.reshape(turned, [sizes.get(letter, 1) for letter in wanted])
    return result
