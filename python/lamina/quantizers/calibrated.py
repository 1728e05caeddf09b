"""Settings of the quantization modes that look at data: GPTQ and AWQ."""

from __future__ import annotations

from typing import Any

from lamina.quantizers.configuration import QuantizationConfig

_GPTQ_BITS = (2, 3, 4, 8)


class CalibratedConfig(QuantizationConfig):
    """What `GPTQConfig` and `AWQConfig` share: the data, and the groups of weights.

    Args:
        dataset: iterable of texts or arrays of token ids.
        tokenizer: function from text to token ids, for texts.
        weight_bits: bits of a weight.
        num_samples: number of samples to calibrate with.
        sequence_length: length of a sample.
        group_size: inputs that share a scale; -1 for all.
        quantization_layer_structure: dict with "pre_block_layers" and "sequential_blocks"; the
            model's `get_quantization_layer_structure()` when None.

    Raises:
        ValueError: for numbers that make no sense.
    """

    def __init__(
        self,
        dataset: Any,
        tokenizer: Any,
        weight_bits: int,
        num_samples: int,
        sequence_length: int,
        group_size: int,
        quantization_layer_structure: dict[str, Any] | None,
    ) -> None:
        super().__init__()
        owner = type(self).__name__
        for name, value in (("num_samples", num_samples), ("sequence_length", sequence_length)):
            if value <= 0:
                raise ValueError(f"{owner}: {name} must be a positive integer. Got {value!r}.")
        if group_size < -1 or group_size == 0:
            raise ValueError(
                f"{owner}: Invalid group_size: it must be -1 or a positive integer. "
                f"Got {group_size!r}."
            )
        self.dataset = dataset
        self.tokenizer = tokenizer
        self.weight_bits = weight_bits
        self.num_samples = num_samples
        self.sequence_length = sequence_length
        self.group_size = group_size
        self.quantization_layer_structure = quantization_layer_structure

    def dtype_policy_string(self) -> str:
        """Return the mode as the name of a dtype policy begins with it: "gptq/4/128"."""
        return f"{self.mode}/{self.weight_bits}/{self.group_size}"

    @property
    def dtype_policy_mode(self) -> str:
        """What `dtype_policy_string()` returns."""
        return self.dtype_policy_string()

    def get_config(self) -> dict[str, Any]:
        """Return the settings; data, tokenizer and layers are no plain values and left out."""
        return {
            "dataset": None,
            "tokenizer": None,
            "weight_bits": self.weight_bits,
            "num_samples": self.num_samples,
            "sequence_length": self.sequence_length,
            "group_size": self.group_size,
            "quantization_layer_structure": None,
        }


class GPTQConfig(CalibratedConfig):
    """Settings of GPTQ: weights are rounded one after the other, later ones make up for errors.

    Args:
        dataset: iterable of texts or arrays of token ids to calibrate with.
        tokenizer: function from text to token ids, for texts.
        weight_bits: 2, 3, 4 or 8.
        num_samples: number of samples to calibrate with.
        per_channel: whether every output has scales of its own.
        sequence_length: length of a sample.
        hessian_damping: share of the mean of the Hessian's diagonal that is added to it, between
            0 and 1.
        group_size: inputs that share a scale; -1 for all.
        symmetric: whether scales are symmetric around zero.
        activation_order: whether the inputs with the largest activations come first.
        quantization_layer_structure: dict with "pre_block_layers" and "sequential_blocks"; the
            model's `get_quantization_layer_structure()` when None.

    Raises:
        ValueError: for numbers outside these limits.

    Source: Frantar et al., https://arxiv.org/abs/2210.17323
    """

    def __init__(
        self,
        dataset: Any,
        tokenizer: Any,
        *,
        weight_bits: int = 4,
        num_samples: int = 128,
        per_channel: bool = True,
        sequence_length: int = 512,
        hessian_damping: float = 0.01,
        group_size: int = 128,
        symmetric: bool = False,
        activation_order: bool = False,
        quantization_layer_structure: dict[str, Any] | None = None,
    ) -> None:
        if weight_bits not in _GPTQ_BITS:
            raise ValueError(
                f"GPTQConfig: Unsupported weight_bits {weight_bits!r}: it must be one of "
                f"{_GPTQ_BITS}."
            )
        super().__init__(
            dataset,
            tokenizer,
            weight_bits,
            num_samples,
            sequence_length,
            group_size,
            quantization_layer_structure,
        )
        if not 0 <= hessian_damping <= 1:
            raise ValueError(
                f"GPTQConfig: hessian_damping must be between 0 and 1. Got {hessian_damping!r}."
            )
        self.per_channel = per_channel
        self.hessian_damping = hessian_damping
        self.symmetric = symmetric
        self.activation_order = activation_order

    @property
    def mode(self) -> str:
        """ "gptq"."""
        return "gptq"

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "per_channel": self.per_channel,
            "hessian_damping": self.hessian_damping,
            "symmetric": self.symmetric,
            "activation_order": self.activation_order,
        }


class AWQConfig(CalibratedConfig):
    """Settings of AWQ: inputs with large activations get weights of a finer scale.

    Args:
        dataset: iterable of texts or arrays of token ids to calibrate with.
        tokenizer: function from text to token ids, for texts.
        weight_bits: must be 4.
        num_samples: number of samples to calibrate with.
        sequence_length: length of a sample.
        group_size: inputs that share a scale; -1 for all.
        num_grid_points: number of exponents that are tried for the scales of the inputs.
        quantization_layer_structure: dict with "pre_block_layers" and "sequential_blocks"; the
            model's `get_quantization_layer_structure()` when None.

    Raises:
        ValueError: for numbers outside these limits.

    Source: Lin et al., https://arxiv.org/abs/2306.00978
    """

    def __init__(
        self,
        dataset: Any,
        tokenizer: Any,
        *,
        weight_bits: int = 4,
        num_samples: int = 128,
        sequence_length: int = 512,
        group_size: int = 128,
        num_grid_points: int = 20,
        quantization_layer_structure: dict[str, Any] | None = None,
    ) -> None:
        if weight_bits != 4:
            raise ValueError(f"AWQConfig: weight_bits must be 4. Got {weight_bits!r}.")
        super().__init__(
            dataset,
            tokenizer,
            weight_bits,
            num_samples,
            sequence_length,
            group_size,
            quantization_layer_structure,
        )
        if num_grid_points <= 0:
            raise ValueError(
                f"AWQConfig: num_grid_points must be a positive integer. Got {num_grid_points!r}."
            )
        self.num_grid_points = num_grid_points

    @property
    def mode(self) -> str:
        """ "awq"."""
        return "awq"

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "num_grid_points": self.num_grid_points}
