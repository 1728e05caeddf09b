"""What all metrics share: state in Variables, so that updates are part of the traced step."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from lamina import names, ops, serialization
from lamina.dtypes import standardize_dtype
from lamina.losses.base import apply_mask, compute_dtype, squeeze_or_expand
from lamina.ops.core import to_dtype
from lamina.stateless import call_with_values
from lamina.tensor import Tensor
from lamina.tracing import apply, convert
from lamina.validation import Function, Text, check_argument
from lamina.variable import Variable


class Metric:
    """Base of all metrics.

    Subclasses make their state with `add_variable` in the constructor and define
    `update_state(*args, **kwargs)` and `result()`. Calling a metric does both.

    Args:
        dtype: float type of the state; None is floatx.
        name: shown in logs; by default from the class.
    """

    def __init__(self, dtype: Any = None, name: str | None = None) -> None:
        name = check_argument(type(self).__name__, "name", name, Text(optional=True))
        self.name = names.auto_name(type(self).__name__) if name is None else name
        self._dtype = compute_dtype(dtype)
        self._tracked: list[Any] = []  # variables, metrics, and containers that may hold some

    def __setattr__(self, name: str, value: Any) -> None:
        tracked = self.__dict__.get("_tracked")
        if tracked is not None and isinstance(value, (Variable, Metric, list, tuple, dict)):
            tracked.append(value)
        object.__setattr__(self, name, value)

    @property
    def dtype(self) -> str:
        """Float type of the state."""
        return self._dtype

    @property
    def variables(self) -> list[Variable]:
        """The state, that of metrics in attributes (and in lists and dicts there) included."""
        own: dict[int, Variable] = {}
        nested: dict[int, Variable] = {}
        for member in _leaves(self._tracked):
            if isinstance(member, Variable):
                own[id(member)] = member
            elif isinstance(member, Metric):
                nested.update((id(v), v) for v in member.variables)
        return list({**own, **nested}.values())

    def add_variable(
        self,
        shape: Sequence[int],
        initializer: Any = "zeros",
        dtype: Any = None,
        aggregation: str | None = "sum",
        name: str | None = None,
    ) -> Variable:
        """Make a Variable that is part of the state.

        Args:
            shape: sizes.
            initializer: name, initializer or function of its first value.
            dtype: by default the metric's.
            aggregation: how replicas are combined.
            name: of the variable.
        """
        from lamina import initializers

        with names.name_scope(self.name.replace("/", ">")):
            variable = Variable(
                initializers.get(initializer),
                shape=tuple(shape),
                dtype=self._dtype if dtype is None else standardize_dtype(dtype),
                trainable=False,
                aggregation=aggregation,
                name=name,
            )
        self._tracked.append(variable)
        return variable

    def add_weight(
        self,
        shape: Sequence[int] = (),
        initializer: Any = None,
        dtype: Any = None,
        name: str | None = None,
    ) -> Variable:
        """Make a Variable that is part of the state, of zeros by default (see `add_variable`)."""
        initializer = "zeros" if initializer is None else initializer
        return self.add_variable(shape, initializer, dtype, name=name)

    def reset_state(self) -> None:
        """Set the state to zero."""
        for variable in self.variables:
            zero = to_dtype(0, variable.dtype)
            variable.assign(apply("broadcast_to", zero, shape=list(variable.shape)))

    def update_state(self, *args: Any, **kwargs: Any) -> None:
        """Take one batch into account."""
        raise NotImplementedError(f"{type(self).__name__} must define update_state().")

    def result(self) -> Any:
        """Return the value over all batches since the last reset: a scalar or a dict of them."""
        raise NotImplementedError(f"{type(self).__name__} must define result().")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.update_state(*args, **kwargs)
        return self.result()

    def stateless_update_state(
        self, metric_variables: Sequence[Any], *args: Any, **kwargs: Any
    ) -> list[Tensor]:
        """Return what `update_state` would make of values of the variables, and change nothing.

        Args:
            metric_variables: one value for each of `variables`.
            args, kwargs: those of `update_state`.

        Raises:
            ValueError: if their number differs.
        """
        _, after = call_with_values(
            lambda: self.update_state(*args, **kwargs), self.variables, metric_variables
        )
        return after

    def stateless_result(self, metric_variables: Sequence[Any]) -> Any:
        """Return the result that values of the variables would give."""
        value, _ = call_with_values(self.result, self.variables, metric_variables)
        return value

    def stateless_reset_state(self) -> list[Tensor]:
        """Return the values that `reset_state` would give the variables, and change nothing."""
        variables = self.variables
        _, after = call_with_values(self.reset_state, variables, [v.value for v in variables])
        return after

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {"name": self.name, "dtype": self.dtype}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Metric:
        """Build a metric from what `get_config` returned."""
        return cls(**config)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name}>"


def _leaves(value: Any) -> Iterator[Any]:
    """Yield what nested lists, tuples and dicts hold."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        for member in value:
            yield from _leaves(member)
    else:
        yield value


def samplewise(
    values: Any, sample_weight: Any, reduce_fn: Callable[..., Any], dtype: str
) -> tuple[Tensor, Any]:
    """Fold all axes but the first away and weigh what is left.

    Args:
        values: (batch, ...).
        sample_weight: weights that broadcast over `values`, or None.
        reduce_fn: folds axes, e.g. `ops.mean`.
        dtype: float type of the result.

    Returns:
        Weighted values (batch,) or a scalar, and their weights (None without `sample_weight`).
    """
    mask = getattr(values, "mask", None)
    values = to_dtype(convert(values), dtype)
    if sample_weight is None:
        if values.ndim > 1:
            values = reduce_fn(values, axis=list(range(1, values.ndim)))
        return values, None
    weights = to_dtype(convert(sample_weight), dtype)
    weights = apply_mask(weights, mask, dtype, "sum")
    values, weights = squeeze_or_expand(values, weights)
    if values.ndim > weights.ndim:
        values = reduce_fn(values, axis=list(range(weights.ndim, values.ndim)))
    if weights.shape != values.shape:
        weights = ops.ones_like(values) * weights
    values = values * weights
    if weights.ndim > 1:
        inner = list(range(1, weights.ndim))
        values, weights = reduce_fn(values, axis=inner), reduce_fn(weights, axis=inner)
    return values, weights


class Sum(Metric):
    """The sum of all values, each times its weight."""

    def __init__(self, name: str | None = "sum", dtype: Any = None) -> None:
        super().__init__(dtype, name)
        self.total = self.add_variable((), name="total")

    def update_state(self, values: Any, sample_weight: Any = None) -> None:
        values, _ = samplewise(values, sample_weight, ops.sum, self.dtype)
        self.total.assign_add(ops.sum(values) if values.shape else values)

    def result(self) -> Any:
        return ops.convert_to_tensor(self.total)


class Mean(Metric):
    """The weighted mean of all values; 0 before the first."""

    def __init__(self, name: str | None = "mean", dtype: Any = None) -> None:
        super().__init__(dtype, name)
        self.total = self.add_variable((), name="total")
        self.count = self.add_variable((), name="count")

    def update_state(self, values: Any, sample_weight: Any = None) -> None:
        """Take values (batch, ...) into account; their trailing axes are averaged first."""
        if sample_weight is None:
            total, count = self._plain_sum(to_dtype(convert(values), self.dtype))
        else:
            values, weights = samplewise(values, sample_weight, ops.mean, self.dtype)
            total, count = (ops.sum(t) if t.shape else t for t in (values, weights))
        self.total.assign_add(total)
        self.count.assign_add(count)

    @staticmethod
    def _plain_sum(values: Tensor) -> tuple[Tensor, Any]:
        if values.ndim == 0:
            return values, 1.0
        total = ops.sum(values)
        inner = math.prod(values.shape[1:]) if None not in values.shape else 1
        return (total / inner if inner > 1 else total), float(values.shape[0] or 0)

    def result(self) -> Any:
        return ops.divide_no_nan(self.total, self.count)


class MeanMetricWrapper(Mean):
    """The mean of what a function `fn(y_true, y_pred, **kwargs)` returns for the samples.

    Args:
        fn: returns a value for each sample.
        name, dtype: as for `Metric`.
        kwargs: further arguments of `fn`.
    """

    def __init__(
        self, fn: Callable[..., Any], name: str | None = None, dtype: Any = None, **kwargs: Any
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        check_argument(type(self).__name__, "fn", fn, Function())
        self._fn = fn
        self._fn_kwargs = kwargs

    def update_state(  # type: ignore[override]
        self, y_true: Any, y_pred: Any, sample_weight: Any = None
    ) -> None:
        """Take one batch into account."""
        mask = getattr(y_pred, "mask", None)
        values = self._fn(y_true, y_pred, **self._fn_kwargs)
        if mask is not None:
            sample_weight = apply_mask(sample_weight, mask, self.dtype, "sum")
        super().update_state(values, sample_weight)

    def get_config(self) -> dict[str, Any]:
        described = super().get_config()
        if type(self) is MeanMetricWrapper:
            described["fn"] = serialization.serialize_keras_object(self._fn)
        return {**described, **self._fn_kwargs}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Metric:
        if "fn" in config:
            config = {**config, "fn": serialization.deserialize_keras_object(config["fn"])}
        return cls(**config)
