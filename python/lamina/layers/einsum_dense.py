"""Dense along any axes, described by a formula of axis letters."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from lamina import activations, initializers, ops, regularizers
from lamina import constraints as weight_constraints
from lamina.layers.quantization.einsum_layout import EinsumAxes
from lamina.layers.quantization.kernel import QuantizedKernel
from lamina.tensor import Tensor
from lamina.validation import Either, Integer, Sizes, Text

Shape = tuple["int | None", ...]

_EQUATION = re.compile(
    r"(?P<left>\.\.\.)?(?P<inputs>[a-zA-Z]+)(?P<right>\.\.\.)?"
    r",(?P<kernel>[a-zA-Z]+)->(\.\.\.)?(?P<outputs>[a-zA-Z]+)(\.\.\.)?"
)


class _Equation(NamedTuple):
    """The letters of an equation, and on which side of them the ellipsis stands."""

    inputs: str
    kernel: str
    outputs: str
    left: bool
    right: bool

    @classmethod
    def parse(cls, text: str) -> _Equation:
        match = _EQUATION.fullmatch(text.replace(" ", ""))
        left, right = (bool(match and match[side]) for side in ("left", "right"))
        before, after = text.replace(" ", "").partition("->")[::2]
        dots = ("..." in before, "..." in after)
        if match is None or (left and right) or dots[0] != dots[1]:
            raise ValueError(
                f"EinsumDense: equation must have the form 'ab,bc->ac', '...b,bc->...c' or "
                f"'ab...,bc->ac...'. Got {text!r}."
            )
        if dots[1] and after.startswith("...") != left:
            raise ValueError(
                f"EinsumDense: the ellipsis of equation {text!r} must stand on the same side of "
                "the inputs and of the outputs."
            )
        return cls(match["inputs"], match["kernel"], match["outputs"], left, right)

    def shapes(
        self, input_shape: Shape, output_shape: Shape, bias_axes: str | None
    ) -> tuple[Shape, Shape | None, Shape]:
        """Return the shapes of the kernel, of the bias and of the outputs."""
        elided = len(input_shape) - len(self.inputs)
        if elided < 0:
            raise ValueError(
                f"EinsumDense: inputs must have the axes {self.inputs!r}. Got shape {input_shape}."
            )
        if self.left:  # the ellipsis begins with the batch
            full = (*input_shape[:elided], *output_shape[-len(self.outputs) :])
            input_sizes = dict(zip(self.inputs, input_shape[elided:], strict=True))
        else:
            rest = input_shape[len(self.inputs) :]
            full = (input_shape[0], *output_shape, *rest)
            input_sizes = dict(zip(self.inputs, input_shape, strict=False))
        if len(full) < len(self.outputs) + elided:  # further sizes have no letter and no effect
            raise ValueError(
                f"EinsumDense: output_shape {output_shape} does not have the axes "
                f"{self.outputs[0 if self.left else 1 :]!r} of the equation."
            )
        first = elided if self.left else 0
        output_sizes = dict(zip(self.outputs, full[first:], strict=False))
        self._check_shared(input_sizes, output_sizes)
        kernel = tuple(
            input_sizes[letter] if letter in input_sizes else output_sizes[letter]
            for letter in self.kernel
        )
        return kernel, self._bias_shape(bias_axes, output_sizes, elided), full

    def _check_shared(
        self, input_sizes: dict[str, int | None], output_sizes: dict[str, int | None]
    ) -> None:
        for letter in self.outputs:
            if letter not in input_sizes and letter not in self.kernel:
                raise ValueError(
                    f"EinsumDense: letter {letter!r} of the outputs {self.outputs!r} is neither "
                    f"one of the inputs {self.inputs!r} nor of the kernel {self.kernel!r}."
                )
            sizes = input_sizes.get(letter), output_sizes[letter]
            if None not in sizes and sizes[0] != sizes[1]:
                raise ValueError(
                    f"EinsumDense: axis {letter!r} has size {sizes[0]} in the inputs and "
                    f"{sizes[1]} in output_shape."
                )
        for letter in self.kernel:
            if letter not in input_sizes and letter not in output_sizes:
                raise ValueError(
                    f"EinsumDense: letter {letter!r} of the kernel {self.kernel!r} is neither one "
                    f"of the inputs {self.inputs!r} nor of the outputs {self.outputs!r}."
                )

    def _bias_shape(
        self, bias_axes: str | None, output_sizes: dict[str, int | None], elided: int
    ) -> Shape | None:
        if not bias_axes:
            return None
        for letter in bias_axes:
            if letter not in self.outputs:
                raise ValueError(
                    f"EinsumDense: bias_axes names {letter!r}, which is not one of the outputs "
                    f"{self.outputs!r}."
                )
        first = min(self.outputs.index(letter) for letter in bias_axes)
        own = tuple(output_sizes[c] if c in bias_axes else 1 for c in self.outputs[first:])
        return own if self.left else (*own, *(1 for _ in range(elided)))


class EinsumDense(QuantizedKernel):
    """Multiply by a kernel along the axes that an equation names; add a bias, activate.

    outputs = activation(einsum(equation, inputs, kernel) + bias)

    Args:
        equation: letters of the inputs, of the kernel and of the outputs, "abc,cd->abd"; one
            ellipsis may stand for further axes of inputs and outputs.
        output_shape: size or sizes of the outputs' axes without the batch axis and the elided
            ones; None where a size is the inputs'.
        activation: function or name; linear when None.
        bias_axes: letters of the outputs that the bias has; no bias when None.
        kernel_initializer, bias_initializer: first values.
        kernel_regularizer, bias_regularizer: penalties added to the loss.
        kernel_constraint, bias_constraint: applied after each update.
        lora_rank, lora_alpha: as for `enable_lora`, which `build` then calls; None for none.
        gptq_unpacked_column_size: kept for compatibility; follows from the shapes.
        quantization_config: settings of the quantization that the dtype policy asks for; the
            mode's own when None.
    """

    _zero_point_name = "zero_point"
    constraints = {
        "equation": Text(),
        "output_shape": Either(Integer(min=1), Sizes(None)),
        "bias_axes": Text(optional=True),
    }

    def __init__(
        self,
        equation: str,
        output_shape: Any,
        activation: Any = None,
        bias_axes: str | None = None,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        lora_rank: int | None = None,
        lora_alpha: float | None = None,
        gptq_unpacked_column_size: Any = None,
        quantization_config: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        del gptq_unpacked_column_size
        self._init_lora(lora_rank, lora_alpha)
        self._init_quantization(quantization_config)
        self.equation, output_shape, self.bias_axes = self.validated(
            equation=equation, output_shape=output_shape, bias_axes=bias_axes
        )
        self.partial_output_shape: Shape = (
            (output_shape,) if isinstance(output_shape, int) else tuple(output_shape)
        )
        self.activation = self.resolved(activations.get, activation)
        self.kernel_initializer = self.resolved(initializers.get, kernel_initializer)
        self.bias_initializer = self.resolved(initializers.get, bias_initializer)
        self.kernel_regularizer = self.resolved(regularizers.get, kernel_regularizer)
        self.bias_regularizer = self.resolved(regularizers.get, bias_regularizer)
        self.kernel_constraint = self.resolved(weight_constraints.get, kernel_constraint)
        self.bias_constraint = self.resolved(weight_constraints.get, bias_constraint)
        self.bias: Any = None
        self._axes: EinsumAxes | None = None

    def _first_kernel(self) -> Any:
        """Return the kernel's initializer, told which axes are the kernel's inputs and outputs."""
        first = self.kernel_initializer
        if not isinstance(first, initializers.VarianceScaling) or first.input_axes is not None:
            return first
        axes = _Equation.parse(self.equation)
        return first.with_axes(
            [i for i, c in enumerate(axes.kernel) if c in axes.inputs and c not in axes.outputs],
            [i for i, c in enumerate(axes.kernel) if c in axes.outputs and c not in axes.inputs],
        )

    def _shapes(self, input_shape: Any) -> tuple[Shape, Shape | None, Shape]:
        return _Equation.parse(self.equation).shapes(
            tuple(input_shape), self.partial_output_shape, self.bias_axes
        )

    def build(self, input_shape: Any) -> None:
        kernel_shape, bias_shape, _ = self._shapes(input_shape)
        self._axes = EinsumAxes.of(self.equation, len(input_shape))
        if self._built_quantized(kernel_shape):
            self._kernel = self.add_weight(
                name="kernel",
                shape=kernel_shape,
                initializer=self._first_kernel(),
                regularizer=self.kernel_regularizer,
                constraint=self.kernel_constraint,
            )
        if bias_shape is not None:
            self.bias = self.add_weight(
                name="bias",
                shape=bias_shape,
                initializer=self.bias_initializer,
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
            )

        if self.lora_rank:
            self.enable_lora(self.lora_rank, self.lora_alpha)

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        del training
        kernel = ops.convert_to_tensor(self.kernel)
        return self._activated(self._product(self._as_float(inputs), kernel))

    # What quantized kernels ask (layers/quantization/kernel_layout.py).

    def _product(self, inputs: Tensor, kernel: Tensor) -> Tensor:
        return ops.einsum(self.equation, inputs, kernel)

    @property
    def _built_axes(self) -> EinsumAxes:
        if self._axes is None:
            raise ValueError(f"{self.name} (EinsumDense): the layer is not built yet.")
        return self._axes

    @property
    def _kernel_reduced_axes(self) -> tuple[int, ...]:
        return self._built_axes.summed_in_kernel

    def _input_reduced_axes(self, rank: int) -> tuple[int, ...]:
        return EinsumAxes.of(self.equation, rank).summed_in_inputs

    def _summed_input_axes(self, rank: int) -> tuple[int, ...]:
        axes = EinsumAxes.of(self.equation, rank)
        return tuple(axes.inputs.index(axes.kernel[i]) for i in axes.summed_in_kernel)

    def _scale_shape(self, kernel_shape: Any) -> tuple[int, ...]:
        axes = self._built_axes
        sizes = dict(zip(axes.kernel, kernel_shape, strict=True))
        return tuple(sizes.get(letter, 1) for letter in axes.outputs)

    def _block_size_for(self, config: Any) -> int | None:
        size = super()._block_size_for(config)
        return None if size == -1 else size

    @property
    def gptq_unpacked_column_size(self) -> int | None:
        """The outputs of the kernel as a matrix, when it was quantized by GPTQ."""
        return self._quantized_columns if self.quantization_mode == "gptq" else None

    def _scale_in_outputs(self, scale: Tensor) -> Tensor:
        return self._built_axes.in_outputs(scale, self._built_axes.kernel)

    def _scale_in_kernel(self, scale: Tensor) -> Tensor:
        return self._built_axes.in_kernel(scale)

    def _inputs_scale_in_outputs(self, scale: Tensor) -> Tensor:
        axes = EinsumAxes.of(self.equation, len(scale.shape))
        return axes.in_outputs(scale, axes.inputs)

    def compute_output_shape(self, input_shape: Any) -> Shape:
        return self._shapes(input_shape)[2]

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "output_shape": self.partial_output_shape,
            "equation": self.equation,
            "activation": activations.serialize(self.activation),
            "bias_axes": self.bias_axes,
            "kernel_initializer": initializers.serialize(self.kernel_initializer),
            "bias_initializer": initializers.serialize(self.bias_initializer),
            "kernel_regularizer": regularizers.serialize(self.kernel_regularizer),
            "bias_regularizer": regularizers.serialize(self.bias_regularizer),
            "activity_regularizer": regularizers.serialize(self.activity_regularizer),
            "kernel_constraint": weight_constraints.serialize(self.kernel_constraint),
            "bias_constraint": weight_constraints.serialize(self.bias_constraint),
            **self._quantization_config(),
            **self._column_config(),
        }

    def _column_config(self) -> dict[str, Any]:
        columns = self.gptq_unpacked_column_size if self.built else None
        return {} if columns is None else {"gptq_unpacked_column_size": columns}
