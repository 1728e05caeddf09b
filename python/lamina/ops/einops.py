"""`rearrange`: reshape and transpose by a pattern of axis names."""

from __future__ import annotations

import math
import re

from lamina.ops.core import TensorLike, reshape_to, size_of
from lamina.ops.layout import permute
from lamina.tensor import Tensor
from lamina.tracing import convert, symbolic_op

_GROUP = re.compile(r"\(([^()]*)\)|(\S+)")
_NAME = re.compile(r"[A-Za-z_]\w*|1|\.\.\.|…")


def _parse(side: str, pattern: str) -> list[list[str]]:
    """Groups of names; one without parentheses is a group of one."""
    groups = []
    for inner, single in _GROUP.findall(side):
        names = inner.split() if not single else [single]
        for name in names:
            if not _NAME.fullmatch(name):
                raise ValueError(f"rearrange: {name!r} in {pattern!r} is no axis name.")
        groups.append(names)
    return groups


def _sizes(
    groups: list[list[str]], shape: tuple[int | None, ...], given: dict[str, int], pattern: str
) -> dict[str, int | None]:
    """The size of each name on the left side; None where it is not known."""
    sizes: dict[str, int | None] = {}
    for names, dim in zip(groups, shape, strict=True):
        open_names = [n for n in names if n not in given and n != "1"]
        known = math.prod(given[n] for n in names if n in given)
        sizes.update({n: given[n] for n in names if n in given})
        if len(open_names) > 1:
            raise ValueError(
                f"rearrange: the sizes of {open_names} in {pattern!r} are not determined; pass all "
                "but one of them."
            )
        if dim is not None and (dim % known if open_names else dim != known):
            raise ValueError(
                f"rearrange: an axis of size {dim} does not split into {names} of {pattern!r}."
            )
        for name in open_names:
            sizes[name] = None if dim is None else dim // known
    return sizes


@symbolic_op
def rearrange(tensor: TensorLike, pattern: str, **axes_lengths: int) -> Tensor:
    """Reorder, split and join axes by name, e.g. "b (h w) c -> b c h w" with h=4.

    Args:
        tensor: tensor.
        pattern: the axes before and after "->". A group in parentheses is one axis made of the
            named ones; "..." stands for axes that are not named.
        axes_lengths: sizes of names that the tensor's shape does not determine.

    Source: https://keras.io/api/ops/einops/
    """
    x = convert(tensor)
    left, arrow, right = pattern.partition("->")
    if not arrow:
        raise ValueError(f"rearrange: pattern must have the form 'a b -> b a'. Got {pattern!r}.")
    rest = x.ndim - len(_parse(left.replace("...", "").replace("…", ""), pattern))
    spelled = " ".join(f"_axis{i}" for i in range(max(rest, 0)))
    before, after = (
        _parse(side.replace("...", spelled).replace("…", spelled), pattern)
        for side in (left, right)
    )
    if len(before) != x.ndim:
        raise ValueError(
            f"rearrange: {pattern!r} names {len(before)} axes for a tensor of shape {x.shape}."
        )
    sizes = _sizes(before, x.shape, axes_lengths, pattern)
    flat_before = [n for names in before for n in names if n != "1"]
    flat_after = [n for names in after for n in names if n != "1"]
    if sorted(flat_before) != sorted(flat_after) or len(set(flat_before)) != len(flat_before):
        raise ValueError(f"rearrange: both sides of {pattern!r} must name the same axes once.")
    x = reshape_to(x, [sizes[n] for n in flat_before])
    x = permute(x, [flat_before.index(n) for n in flat_after])
    return reshape_to(
        x, [size_of([sizes[n] for n in names if n != "1"]) for names in after]
    )  # fmt: skip


__all__ = ["rearrange"]
