"""Which dtype a layer computes in and which its weights have.

A policy has a name: a dtype ("float32"), "mixed_float16" or "mixed_bfloat16" (computation in the
narrow type, weights in float32), or a quantization mode and a policy ("int8_from_float32").
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, MutableMapping
from typing import Any

from lamina import config as settings
from lamina import dtypes

QUANTIZATION_MODES = ("int8", "float8", "int4", "gptq", "awq")
_MIXED = {"mixed_float16": "float16", "mixed_bfloat16": "bfloat16"}
_explained_narrow = False


def _explain_narrow(name: str) -> None:
    """Say once what a 16-bit policy means on the processors that lamina is made for."""
    global _explained_narrow
    if _explained_narrow:
        return
    _explained_narrow = True
    from lamina.layers.building import stack_level_of_user

    warnings.warn(
        f"dtype policy {name!r}: lamina computes in float32 and rounds the results to 16 bits, "
        "since common processors do not compute in 16 bits. It saves no time; it gives the "
        "numbers that such a model has.",
        stacklevel=stack_level_of_user(),
    )


class DTypePolicy:
    """Compute and weight dtype of a layer, known by its name.

    Args:
        name: "float32", "float64", "float16", "bfloat16" or another dtype for both;
            "mixed_float16" or "mixed_bfloat16": computation in that type, weights in float32.
            The global policy's name when None.

    Attributes:
        autocast_dtype: what weights are read as inside a layer's call; None: as they are.

    Raises:
        TypeError: if `name` is not a string.
        ValueError: if there is no such policy.

    Source: https://keras.io/api/mixed_precision/policy/
    """

    def __init__(self, name: str | None = None) -> None:
        name = settings.dtype_policy().name if name is None else name
        if not isinstance(name, str):
            raise TypeError(
                f"DTypePolicy: name must be a string, such as 'mixed_float16'. Got {name!r}."
            )
        self._name = name
        self._compute_dtype, self._variable_dtype = _parse(name)
        self._quantization_mode: str | None = None
        is_float = dtypes.is_float_dtype(self._compute_dtype)
        self.autocast_dtype = self._compute_dtype if is_float else None

    @property
    def name(self) -> str:
        """The policy's name."""
        return self._name

    @property
    def compute_dtype(self) -> str:
        """Dtype that floating point inputs are converted to."""
        return self._compute_dtype

    @property
    def variable_dtype(self) -> str:
        """Dtype of new weights."""
        return self._variable_dtype

    @property
    def quantization_mode(self) -> str | None:
        """ "int8", "int4", "float8", "gptq" or "awq"; None where weights are plain numbers."""
        return self._quantization_mode

    def convert_input(self, x: Any, autocast: bool, dtype: Any) -> Any:
        """Make a tensor of an array; floating point tensors take `dtype` with `autocast`.

        Anything but tensors and arrays comes back as it is.
        """
        from lamina import ops

        dtype = dtypes.standardize_dtype(dtype)
        if not hasattr(x, "dtype") or not hasattr(x, "shape"):
            return x
        if autocast and dtypes.is_float_dtype(dtypes.standardize_dtype(x.dtype)):
            return ops.cast(x, dtype)
        return x if ops.is_tensor(x) else ops.convert_to_tensor(x)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {"name": self._name}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> DTypePolicy:
        """Make a policy from `get_config()`."""
        return cls(**config)

    def __repr__(self) -> str:
        return f'<{type(self).__name__} "{self._name}">'

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other.get_config() == self.get_config()

    def __hash__(self) -> int:
        return hash((type(self).__name__, self._name))


# The name it had in earlier versions of Keras.
FloatDTypePolicy = DTypePolicy


def _parse(name: str) -> tuple[str, str]:
    """The compute and the variable dtype that a policy's name means."""
    if name in _MIXED:
        _explain_narrow(name)
        return _MIXED[name], "float32"
    try:
        dtype = dtypes.standardize_dtype(name)
    except ValueError:
        raise ValueError(
            f"there is no dtype policy {name!r}: it must be 'mixed_float16', 'mixed_bfloat16' or "
            f"a dtype ({', '.join(dtypes.DTYPES)})."
        ) from None
    if dtype in ("float16", "bfloat16"):
        _explain_narrow(name)
    return dtype, dtype


class QuantizedDTypePolicy(DTypePolicy):
    """Weights are stored with few bits, by a way that `mode` names.

    Args:
        mode: "int8", "int4", "float8", "gptq" or "awq".
        source_name: name of the policy of everything that is not quantized; the global policy's
            when None.

    Raises:
        ValueError: for another mode, and for "int8" with float16, whose range is too small for it.
    """

    def __init__(self, mode: str, source_name: str | None = None) -> None:
        kind = self._kind_of(mode)
        source_name = settings.dtype_policy().name if source_name is None else source_name
        if kind not in QUANTIZATION_MODES:
            raise ValueError(
                f"{type(self).__name__}: mode must be one of {QUANTIZATION_MODES}. Got {mode!r}."
            )
        super().__init__(source_name)
        if kind == "int8" and self.compute_dtype == "float16":
            raise ValueError(
                f"{type(self).__name__}: mode {mode!r} does not work with computation in float16, "
                f"got source_name={source_name!r}."
            )
        self._mode = mode
        self._source_name = source_name
        self._name = f"{mode}_from_{source_name}"
        self._quantization_mode = kind

    @classmethod
    def _kind_of(cls, mode: str) -> str:
        """The quantization mode in a mode text, such as "gptq" of "gptq/4/128"."""
        return mode

    def get_config(self) -> dict[str, Any]:
        return {"mode": self._mode, "source_name": self._source_name}


class QuantizedFloat8DTypePolicy(QuantizedDTypePolicy):
    """Matrix products on numbers rounded to float8, scaled by the sizes seen lately.

    Args:
        mode: "float8".
        source_name: as of `QuantizedDTypePolicy`.
        amax_history_length: how many of the last steps' largest sizes are kept.

    Raises:
        TypeError: if `amax_history_length` is not an integer.
    """

    default_amax_history_length = 1024

    def __init__(
        self, mode: str, source_name: str | None = None, amax_history_length: int = 1024
    ) -> None:
        super().__init__(mode, source_name)
        if not isinstance(amax_history_length, int):
            raise TypeError(
                f"{type(self).__name__}: amax_history_length must be an integer. "
                f"Got {amax_history_length!r}."
            )
        self._amax_history_length = amax_history_length

    @property
    def amax_history_length(self) -> int:
        """How many of the last steps' largest sizes are kept."""
        return self._amax_history_length

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "amax_history_length": self._amax_history_length}


def _mode_parts(cls: type, mode: str, form: str) -> list[int]:
    """The integers of a mode text such as "gptq/4/128"; `form` is how it must look."""
    parts = mode.split("/") if isinstance(mode, str) else []
    try:
        numbers = [int(part) for part in parts[1:]]
    except ValueError:
        numbers = []
    if len(numbers) != form.count("/") or parts[0] != form.split("/")[0]:
        raise ValueError(f"{cls.__name__}: mode must look like {form!r}. Got {mode!r}.")
    return numbers


def _check_size(cls: type, name: str, value: int, mode: str) -> int:
    if value != -1 and value < 1:
        raise ValueError(
            f"{cls.__name__}: {name} must be a positive integer, or -1 for all of a column. "
            f"Got {value} in {mode!r}."
        )
    return value


class GPTQDTypePolicy(QuantizedDTypePolicy):
    """Weights of few bits, chosen one after the other so that errors make up for each other.

    Args:
        mode: "gptq/<weight_bits>/<group_size>"; weight_bits 2, 3, 4 or 8, group_size a positive
            integer or -1 (the whole tensor).
        source_name: as of `QuantizedDTypePolicy`.
    """

    def __init__(self, mode: str, source_name: str | None = None) -> None:
        bits, size = _mode_parts(type(self), mode, "gptq/<weight_bits>/<group_size>")
        if bits not in (2, 3, 4, 8):
            raise ValueError(
                f"{type(self).__name__}: weight_bits must be 2, 3, 4 or 8. Got {bits} in {mode!r}."
            )
        super().__init__(mode, source_name)
        self.mode = "gptq"
        self.weight_bits = bits
        self.group_size = _check_size(type(self), "group_size", size, mode)

    @classmethod
    def _kind_of(cls, mode: str) -> str:
        return "gptq"


class AWQDTypePolicy(QuantizedDTypePolicy):
    """Weights of 4 bits, scaled by how much the activations make of them.

    Args:
        mode: "awq/4/<group_size>"; group_size is a positive integer or -1 (per channel).
        source_name: as of `QuantizedDTypePolicy`.
    """

    def __init__(self, mode: str, source_name: str | None = None) -> None:
        bits, size = _mode_parts(type(self), mode, "awq/<weight_bits>/<group_size>")
        if bits != 4:
            raise ValueError(f"{type(self).__name__}: weight_bits must be 4. Got {mode!r}.")
        super().__init__(mode, source_name)
        self.mode = "awq"
        self.weight_bits = bits
        self.group_size = _check_size(type(self), "group_size", size, mode)

    @classmethod
    def _kind_of(cls, mode: str) -> str:
        return "awq"


class Int4DTypePolicy(QuantizedDTypePolicy):
    """Weights of 4 bits with one scale for each block of a column.

    Args:
        mode: "int4/<block_size>"; block_size is a positive integer or -1 (per channel).
        source_name: as of `QuantizedDTypePolicy`.
    """

    def __init__(self, mode: str, source_name: str | None = None) -> None:
        (size,) = _mode_parts(type(self), mode, "int4/<block_size>")
        super().__init__(mode, source_name)
        self.mode = "int4"
        self.block_size = _check_size(type(self), "block_size", size, mode)

    @classmethod
    def _kind_of(cls, mode: str) -> str:
        return "int4"


class DTypePolicyMap(DTypePolicy, MutableMapping[str, DTypePolicy]):
    """Policies by layer path; a key that is no path is a regular expression for paths.

    Args:
        default_policy: of the layers that no key names; the global policy when None.
        policy_map: dict from path or expression to a policy or its name.

    Raises:
        TypeError: if `policy_map` is no dict.

    Source: https://keras.io/api/mixed_precision/ `keras.dtype_policies.DTypePolicyMap`.
    """

    def __init__(
        self, default_policy: Any = None, policy_map: dict[str, Any] | None = None
    ) -> None:
        if policy_map is not None and not isinstance(policy_map, dict):
            raise TypeError(f"DTypePolicyMap: policy_map must be a dict. Got {policy_map!r}.")
        self._default_arg = None if default_policy is None else get(default_policy)
        self._default = self._default_arg or settings.dtype_policy()
        self._policies: dict[str, DTypePolicy] = {}
        self.update(policy_map or {})

    @property
    def name(self) -> str:
        """ "map_" and the default policy's name."""
        return "map_" + self._default.name

    @property
    def autocast_dtype(self) -> str | None:  # type: ignore[override]
        """What the default policy lets weights be read as."""
        return self._default.autocast_dtype

    @property
    def default_policy(self) -> DTypePolicy:
        """The policy of the layers that no key names."""
        return self._default

    @property
    def compute_dtype(self) -> str:
        """Compute dtype of the default policy."""
        return self._default.compute_dtype

    @property
    def variable_dtype(self) -> str:
        """Weight dtype of the default policy."""
        return self._default.variable_dtype

    @property
    def quantization_mode(self) -> str | None:
        """Quantization mode of the default policy."""
        return self._default.quantization_mode

    def __getitem__(self, key: str) -> DTypePolicy:
        """The policy of the layer at a path: its own, one whose expression fits, the default.

        Raises:
            ValueError: if several expressions fit.
        """
        if key in self._policies:
            return self._policies[key]
        fitting = [pattern for pattern in self._policies if re.match(pattern, key)]
        if len(fitting) > 1:
            raise ValueError(
                f"DTypePolicyMap: path {key!r} matches several keys: {fitting}. Make them clearer."
            )
        return self._policies[fitting[0]] if fitting else self._default

    def __setitem__(self, key: str, policy: Any) -> None:
        if key in self._policies:
            raise ValueError(
                f"DTypePolicyMap: {key!r} is there already, with {self._policies[key]!r}. "
                "Delete it first."
            )
        self._policies[key] = get(policy)

    def __delitem__(self, key: str) -> None:
        del self._policies[key]

    def __contains__(self, key: object) -> bool:
        return key in self._policies

    def __len__(self) -> int:
        return len(self._policies)

    def __iter__(self) -> Iterator[str]:
        return iter(self._policies)

    def get_config(self) -> dict[str, Any]:
        """Return default policy and map as plain values.

        Without a default policy of its own, the map leaves the names open too: the model then
        takes the policy that is global where it is loaded.
        """
        forms = {key: serialize(policy) for key, policy in self._policies.items()}
        if self._default_arg is None:
            for form in forms.values():
                part = "source_name" if "source_name" in form["config"] else "name"
                form["config"][part] = None
        default = None if self._default_arg is None else serialize(self._default_arg)
        return {"default_policy": default, "policy_map": forms}

    def __repr__(self) -> str:
        mapping = [(key, policy.name) for key, policy in self._policies.items()]
        return f"<DTypePolicyMap default_policy={self._default.name}, mapping={mapping}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, DTypePolicyMap) and (
            (self._default, self._policies) == (other._default, other._policies)
        )

    __hash__ = object.__hash__


_CLASSES: dict[str, type[DTypePolicy]] = {
    "FloatDTypePolicy": DTypePolicy,
    **{
        cls.__name__: cls
        for cls in (
            DTypePolicy, QuantizedDTypePolicy, QuantizedFloat8DTypePolicy, GPTQDTypePolicy,
            AWQDTypePolicy, Int4DTypePolicy, DTypePolicyMap,
        )
    },
}  # fmt: skip
_BY_MODE = {
    "float8": QuantizedFloat8DTypePolicy, "gptq": GPTQDTypePolicy, "awq": AWQDTypePolicy,
    "int4/": Int4DTypePolicy, "int": QuantizedDTypePolicy,
}  # fmt: skip


def serialize(dtype_policy: DTypePolicy) -> dict[str, Any]:
    """Return the form a policy has in a layer's config."""
    cls = type(dtype_policy)
    if _CLASSES.get(cls.__name__) is not cls:
        from lamina import serialization

        form: dict[str, Any] = serialization.serialize_keras_object(dtype_policy)
        return form
    return {
        "module": "keras" if cls is DTypePolicy else "keras.dtype_policies",
        "class_name": cls.__name__,
        "config": dtype_policy.get_config(),
        "registered_name": None,
    }


def deserialize(
    config: dict[str, Any], custom_objects: dict[str, Any] | None = None
) -> DTypePolicy:
    """Make a policy from `serialize()`'s form.

    Raises:
        ValueError: if there is no such class.
    """
    cls = _CLASSES.get(config.get("class_name", ""))
    if cls is not None:
        return cls.from_config(config["config"])
    from lamina import serialization

    policy = serialization.deserialize_keras_object(config, custom_objects)
    if not isinstance(policy, DTypePolicy):
        raise ValueError(f"this config is not one of a dtype policy: {config!r}.")
    return policy


def get(identifier: Any) -> DTypePolicy:
    """Return the policy for None (the global one), a name, a dtype, a config or a policy.

    Raises:
        ValueError: for anything else, and for an unknown name.
    """
    if identifier is None:
        return settings.dtype_policy()
    if isinstance(identifier, DTypePolicy):
        return identifier
    if isinstance(identifier, dict):
        if "class_name" not in identifier or "config" not in identifier:
            raise ValueError(f"dtype must be a policy's config with its class, got {identifier!r}.")
        return deserialize(identifier)
    if isinstance(identifier, str):
        return _named(identifier)
    try:
        return DTypePolicy(dtypes.standardize_dtype(identifier))
    except ValueError:
        raise ValueError(
            f"dtype must be a string such as 'float32' or a DTypePolicy. Got {identifier!r}."
        ) from None


def _named(name: str) -> DTypePolicy:
    """The policy of a name, quantized ("int8_from_float32") or not."""
    if not name.startswith(QUANTIZATION_MODES) or name in dtypes.FLOAT8:
        return DTypePolicy(name)
    mode, joint, source = name.partition("_from_")
    if not joint:
        if name in dtypes.DTYPES:
            raise ValueError(
                f"dtype policy {name!r} names no source: write '{name}_from_float32', for example."
            )
        return DTypePolicy(name)
    cls = next(cls for prefix, cls in _BY_MODE.items() if mode.startswith(prefix))
    return cls(mode, source)
