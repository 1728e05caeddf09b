"""What the class statement of a layer adds to its `__init__` and `build`, and shape arguments."""

from __future__ import annotations

import functools
import inspect
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from lamina import tracing

if TYPE_CHECKING:
    from lamina.layers.base import Layer


def is_default_build(build: Callable[..., Any]) -> bool:
    """Whether a class leaves `build` as it is: sublayers are then built when they are called."""
    return getattr(build, "is_default", False)


def checked_init(init: Callable[..., None]) -> Callable[..., None]:
    """Wrap a class's `__init__`: one that forgets `super().__init__()` is told so at once."""

    @functools.wraps(init)
    def wrapper(self: Layer, *args: Any, **kwargs: Any) -> None:
        init(self, *args, **kwargs)
        self._check_initialised()

    return wrapper


_signature = functools.lru_cache(maxsize=4096)(inspect.signature)


def recorded_build(build: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a class's `build`: name its weights, note the shapes, mark the layer built."""

    @functools.wraps(build)
    def wrapper(self: Layer, *args: Any, **kwargs: Any) -> Any:
        if self._is_building:  # super().build(...)
            return build(self, *args, **kwargs)
        self._is_building = True
        try:
            with self._name_scope(), tracing.eager_scope():
                build(self, *args, **kwargs)
        finally:
            self._is_building = False
        bound = _signature(build).bind(self, *args, **kwargs).arguments
        shapes = list(bound.items())[1:]
        self._build_shapes = {name: shape for name, shape in shapes if shape is not None}
        self.built = True
        self._is_locked = not self._is_open_after_build
        return None

    return wrapper


def argument_of(layer: Layer, value: Any) -> str | None:
    """Return the name of the constructor argument that `value` was given as, if it was."""
    args, kwargs = layer.__dict__["_init_arguments"]
    try:
        bound = inspect.signature(type(layer).__init__).bind(layer, *args, **kwargs).arguments
    except TypeError:
        bound = {}
    for name, given in {**bound, **kwargs}.items():
        if given is value:
            return str(name)
    return None


def take_input_shape(kwargs: dict[str, Any]) -> tuple[Any, ...] | None:
    """Take `input_shape=` and its older spellings out of a constructor's keyword arguments.

    Returns:
        The batch shape they give, or None.
    """
    batch_size = kwargs.pop("batch_size", None)
    batch_shape = kwargs.pop("batch_input_shape", None)
    shape = kwargs.pop("input_shape", None)
    input_dim = kwargs.pop("input_dim", None)
    if input_dim is not None:
        shape = (input_dim,)
    if batch_shape is not None:
        return tuple(batch_shape)
    if shape is None:
        return None
    warnings.warn(
        "`input_shape` and `input_dim` on a layer are the older way to give a model's input shape; "
        "put an `Input(shape)` in front of the layer.",
        stacklevel=stack_level_of_user(),
    )
    return (batch_size, *((shape,) if isinstance(shape, int) else shape))


def stack_level_of_user() -> int:
    """Return the warning level that points at the first frame outside this package."""
    frame, level = inspect.currentframe(), 0
    while frame is not None and frame.f_globals.get("__name__", "").startswith("lamina"):
        frame, level = frame.f_back, level + 1
    return max(level, 1)
