"""Connectionist temporal classification: labels that are shorter than the steps they came from."""

from __future__ import annotations

from lamina.ops.control import scan
from lamina.ops.core import TensorLike, filled, normalize_axis, reshape_to, to_dtype, to_float
from lamina.ops.layout import permute
from lamina.tensor import Tensor
from lamina.tracing import apply, convert, symbolic_op

_NEVER = -1e30  # logarithm of a probability of 0 that can be added up and subtracted


def _shifted(row: Tensor, by: int, fill: float) -> Tensor:
    """Move the last axis of (batch, places) to the right."""
    padded = apply("pad", row, low=[0, by], high=[0, 0], mode="constant", value=fill)
    rows, width = row.shape
    end = [-1 if rows is None else rows, -1 if width is None else width]
    return apply("slice", padded, begin=[0, 0], end=end, strides=[1, 1])


@symbolic_op
def ctc_loss(
    target: TensorLike,
    output: TensorLike,
    target_length: TensorLike,
    output_length: TensorLike,
    mask_index: int = 0,
) -> Tensor:
    """Return -log(probability of the labels under all ways to stretch them over the steps).

    Args:
        target: class ids (batch, labels).
        output: logits (batch, steps, classes).
        target_length: labels of each sample that count (batch,).
        output_length: steps of each sample that count (batch,).
        mask_index: the class that stands for no label.

    Returns:
        Losses (batch,); inf where the labels need more steps than there are.

    Source: Graves and others. Connectionist temporal classification. 2006.
    """
    labels, logits = to_dtype(convert(target), "int32"), to_float(output)
    if labels.ndim != 2 or logits.ndim != 3:
        raise ValueError(
            "ctc_loss: target must have the shape (batch, labels) and output (batch, steps, "
            f"classes). Got {labels.shape} and {logits.shape}."
        )
    batch, count = labels.shape
    steps = logits.shape[1]
    if None in (batch, count, steps):
        return filled(0, [batch], logits.dtype, logits)
    size = 2 * count + 1
    places = _with_blanks(labels, mask_index)
    scores = apply("log_softmax", logits, axis=2)
    spread = apply("broadcast_to", reshape_to(places, [batch, 1, size]), shape=[batch, steps, size])
    scores = apply("take_along_axis", scores, spread, axis=2)
    reached = _reach_all(scores, places, mask_index, to_dtype(convert(output_length), "int32"))
    end = apply("multiply", reshape_to(to_dtype(convert(target_length), "int32"), [batch, 1]),
                convert(2, dtype="int32"))  # fmt: skip
    here = convert(list(range(size)))
    # The last label, or the blank after it.
    is_end = apply(
        "logical_and",
        apply("less_equal", here, end),
        apply("greater_equal", here, apply("subtract", end, convert(1, dtype="int32"))),
    )
    never = convert(_NEVER, dtype=logits.dtype)
    total = apply("logsumexp", apply("select", is_end, reached, never), axes=[1], keepdims=False)
    possible = apply("greater", total, convert(0.5 * _NEVER, dtype=logits.dtype))
    infinite = convert(float("inf"), dtype=logits.dtype)
    return apply("select", possible, apply("negative", total), infinite)


def _with_blanks(labels: Tensor, mask_index: int) -> Tensor:
    """A blank before, between and after the labels: (batch, 2 * labels + 1)."""
    batch, count = labels.shape
    blank = apply("broadcast_to", convert(mask_index, dtype="int32"), shape=[batch, count, 1])
    pairs = apply("concat", blank, reshape_to(labels, [batch, count, 1]), axis=2)
    row = reshape_to(pairs, [batch, 2 * count])
    return apply("concat", row, convert([[mask_index]] * batch, dtype="int32"), axis=1)


def _reach_all(scores: Tensor, places: Tensor, mask_index: int, lengths: Tensor) -> Tensor:
    """Logarithms of the probabilities to stand at each place after the steps that count."""
    batch, steps, size = scores.shape
    dtype = scores.dtype
    never = convert(_NEVER, dtype=dtype)
    is_label = apply("not_equal", places, convert(mask_index, dtype="int32"))
    # A blank between two different labels may be left out.
    differs = apply("not_equal", places, _shifted(places, 2, float(mask_index)))
    skips = apply("logical_and", is_label, differs)
    by_step = permute(scores, [1, 0, 2])
    first = apply("slice", by_step, begin=[0, 0, 0], end=[1, batch, size], strides=[1, 1, 1])
    at_start = convert([i < 2 for i in range(size)])
    reached = apply("select", at_start, reshape_to(first, [batch, size]), never)
    rest = apply("slice", by_step, begin=[1, 0, 0], end=[steps, batch, size], strides=[1, 1, 1])
    lengths = reshape_to(lengths, [batch, 1])

    def step(now: Tensor, x: tuple[Tensor, Tensor]) -> tuple[Tensor, None]:
        score, number = x
        skipping = apply("select", skips, _shifted(now, 2, _NEVER), never)
        ways = [reshape_to(t, [batch, size, 1]) for t in (now, _shifted(now, 1, _NEVER), skipping)]
        total = apply("logsumexp", apply("concat", *ways, axis=2), axes=[2], keepdims=False)
        moved = apply("add", total, score)
        return apply("select", apply("less", number, lengths), moved, now), None

    numbers = convert(list(range(1, steps)), dtype="int32")
    last: Tensor = scan(step, reached, (rest, numbers))[0] if steps > 1 else reached
    return last


@symbolic_op
def ctc_decode(
    inputs: TensorLike,
    sequence_lengths: TensorLike,
    strategy: str = "greedy",
    beam_width: int = 100,
    top_paths: int = 1,
    merge_repeated: bool = True,
    mask_index: int = 0,
) -> tuple[Tensor, Tensor]:
    """Find the labels that were most likely meant.

    Args:
        inputs: logits (batch, steps, classes).
        sequence_lengths: steps of each sample that count (batch,).
        strategy: "greedy" takes the best class of every step; "beam_search" adds up the ways to
            read the same labels, for the `beam_width` best beginnings.
        beam_width: for "beam_search".
        top_paths: how many readings "beam_search" returns.
        merge_repeated: whether "greedy" writes a class that comes twice in a row once.
        mask_index: the class that stands for no label.

    Returns:
        Labels (paths, batch, steps), int32, filled up with -1; and scores (batch, paths): the
        negative sum of the best logits, or for "beam_search" the logarithms of probabilities.
    """
    if strategy not in ("greedy", "beam_search"):
        raise ValueError(
            f"Invalid strategy {strategy!r}. Supported values are 'greedy' and 'beam_search'."
        )
    x = to_float(inputs)
    if x.ndim != 3:
        raise ValueError(f"ctc_decode: inputs must be (batch, steps, classes). Got {x.shape}.")
    lengths = to_dtype(convert(sequence_lengths), "int32")
    if strategy == "greedy":
        return _greedy(x, lengths, merge_repeated, mask_index)
    found: tuple[Tensor, Tensor] = apply(
        "ctc_beam_search",
        apply("log_softmax", x, axis=2),
        lengths,
        beam_width=int(beam_width),
        top_paths=int(top_paths),
        blank=normalize_axis(mask_index, x.shape[2] or mask_index + 1, "ctc_decode: mask_index"),
    )
    return found


def _greedy(
    x: Tensor, lengths: Tensor, merge_repeated: bool, mask_index: int
) -> tuple[Tensor, Tensor]:
    batch, steps, classes = x.shape
    if mask_index < 0 and classes is not None:
        mask_index += classes
    best = to_dtype(apply("argmax", x, axis=2, keepdims=False), "int32")
    place = convert(list(range(steps or 1)), dtype="int32")
    inside = apply("less", place, reshape_to(lengths, [batch, 1]))
    keep = apply(
        "logical_and", inside, apply("not_equal", best, convert(mask_index, dtype="int32"))
    )
    if merge_repeated:
        keep = apply("logical_and", keep, apply("not_equal", best, _shifted(best, 1, -1.0)))
    # Sorting by "left out" brings the kept ones to the front in their order.
    order = apply("argsort", to_dtype(apply("logical_not", keep), "int32"), axis=1)
    kept = apply("select", keep, best, convert(-1, dtype="int32"))
    labels = apply("take_along_axis", kept, order, axis=1)
    top = apply("max", x, axes=[2], keepdims=False)
    counted = apply("select", inside, top, convert(0.0, dtype=x.dtype))
    score = apply("negative", apply("sum", counted, axes=[1], keepdims=True))
    return reshape_to(labels, [1, batch, steps]), score


__all__ = ["ctc_decode", "ctc_loss"]
