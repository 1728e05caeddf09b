"""The table that `Model.summary()` prints."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from lamina import structure
from lamina.layers.base import Layer
from lamina.models.functional import Functional

if TYPE_CHECKING:
    from lamina.models.model import Model

_SEQUENTIAL_COLUMNS = (
    ("Layer (type)", "left", 0.45),
    ("Output Shape", "left", 0.80),
    ("Param #", "right", 1.0),
)
_GRAPH_COLUMNS = (
    ("Layer (type)", "left", 0.30),
    ("Output Shape", "left", 0.56),
    ("Param #", "right", 0.74),
    ("Connected to", "left", 1.0),
)


def summary_text(
    model: Model,
    line_length: int | None = None,
    positions: list[float] | None = None,
    expand_nested: bool = False,
    show_trainable: bool = False,
    layer_range: Any = None,
) -> str:
    """Return the summary of a model; see `Model.summary` for the arguments."""
    is_chain = _is_chain(model)
    header = list(_SEQUENTIAL_COLUMNS if is_chain else _GRAPH_COLUMNS)
    ends = list(positions or (column[2] for column in header))
    titles, alignments = [column[0] for column in header], [column[1] for column in header]
    default_length = 88 if is_chain else 108
    if show_trainable:
        default_length += 12
        ends = [end * 0.90 for end in ends] + [1.0]
        titles.append("Trainable")
        alignments.append("center")
    import shutil

    length = line_length or min(default_length, shutil.get_terminal_size().columns - 4)
    nodes = model._graph.nodes if isinstance(model, Functional) and not is_chain else ()
    relevant = {id(node) for node in nodes}
    layers = model.operations if isinstance(model, Functional) else model.layers
    first, last = _range_of(layers, layer_range)
    rows: list[list[str]] = []
    for layer in layers[first:last]:
        rows += _rows_of(layer, 0, relevant, is_chain, expand_nested, show_trainable)
    table = _render(titles, alignments, rows, _column_widths(ends[: len(titles)], length))
    return "\n".join([f'Model: "{model.name}"', *table, *_totals(model), ""])


def _is_chain(model: Model) -> bool:
    """Whether each layer feeds exactly the next, so that no connections need to be shown."""
    if not isinstance(model, Functional):
        return True
    for group in model._graph.nodes_by_depth.values():
        if len(group) > 1 or len(group[0].input_tensors) > 1:
            return False
    uses: dict[int, int] = {}
    for node in model._graph.nodes:
        uses[id(node.operation)] = uses.get(id(node.operation), 0) + 1
    return all(count == 1 for count in uses.values())


def _range_of(layers: list[Any], layer_range: Any) -> tuple[int, int]:
    """Return the slice of layers from the first to the last name given."""
    if layer_range is None:
        return 0, len(layers)
    if len(layer_range) != 2 or not all(isinstance(name, str) for name in layer_range):
        raise ValueError(
            f"summary(): layer_range must be two names, the first and the last. Got {layer_range}."
        )
    first, last = (
        [i for i, layer in enumerate(layers) if re.match(pattern, layer.name)]
        for pattern in layer_range
    )
    if not first or not last:
        raise ValueError(f"summary(): layer_range names no layer of the model. Got {layer_range}.")
    if first[0] > last[-1]:  # given in the other order
        first, last = last, first
    return first[0], last[-1] + 1


# Cells


def _rows_of(
    layer: Any,
    level: int,
    relevant: set[int],
    is_chain: bool,
    expand_nested: bool,
    show_trainable: bool,
) -> list[list[str]]:
    prefix = "   " * level + "└ " if level else ""
    kind = getattr(layer, "type_name", type(layer).__name__)
    row = [f"{prefix}{layer.name} ({kind})", _shape_text(layer), _parameters_text(layer)]
    if not is_chain:
        row.append(_connections(layer, relevant))
    if show_trainable:
        has_weights = bool(getattr(layer, "weights", None))
        row.append(("Y" if layer.trainable else "N") if has_weights else "-")
    rows = [row]
    if expand_nested:
        for nested in getattr(layer, "layers", None) or ():
            rows += _rows_of(nested, level + 1, relevant, is_chain, True, show_trainable)
    return rows


def _parameters_text(layer: Any) -> str:
    if not isinstance(layer, Layer):
        return "0"
    return f"{layer.count_params():,}" if layer.built else "0 (unbuilt)"


def _shape_text(layer: Any) -> str:
    """Return the output shape as Keras writes it, "?" where it is not known."""
    shapes: Any
    if layer._inbound_nodes:
        outputs = structure.flatten(layer._inbound_nodes[-1].outputs)
        shapes = [_one_shape(place.shape) for place in outputs]
    elif isinstance(layer, Functional):
        shapes = tuple(_one_shape(place.shape) for place in layer.outputs)
    elif getattr(layer, "_build_shapes", None):
        try:
            shapes = getattr(layer, "output_shape", None) or layer.compute_output_shape(
                *layer._build_shapes.values()
            )
        except (NotImplementedError, AttributeError):
            return "?"
        shapes = structure.map_shapes(_one_shape, shapes)
    else:
        return "?"
    flat = structure.flatten(shapes)
    return flat[0] if len(flat) == 1 else str(shapes).replace("'", "")


def _one_shape(shape: Iterable[int | None]) -> str:
    return f"({', '.join(str(size) for size in shape)})"


def _connections(layer: Any, relevant: set[int]) -> str:
    sources = [
        f"{operation.name}[{node_index}][{tensor_index}]"
        for node in layer._inbound_nodes
        if id(node) in relevant
        for operation, node_index, tensor_index in (t.history for t in node.input_tensors)
    ]
    return ", ".join(sources) or "-"


# Totals


def _totals(model: Model) -> list[str]:
    trainable, frozen = _measure(model.trainable_weights), _measure(model.non_trainable_weights)
    optimizer: Any = getattr(model, "optimizer", None)
    has_slots = optimizer is not None and getattr(optimizer, "built", False)
    slots = _measure(optimizer.variables) if has_slots else (0, 0)
    count, size = (trainable[i] + frozen[i] + slots[i] for i in range(2))
    lines = [
        f" Total params: {count:,} ({_readable(size)})",
        f" Trainable params: {trainable[0]:,} ({_readable(trainable[1])})",
        f" Non-trainable params: {frozen[0]:,} ({_readable(frozen[1])})",
    ]
    if has_slots:
        lines.append(f" Optimizer params: {slots[0]:,} ({_readable(slots[1])})")
    return lines


def _measure(variables: Iterable[Any]) -> tuple[int, int]:
    """Return how many numbers the variables hold, and their bytes."""
    count = size = 0
    for variable in variables:
        numbers = math.prod(variable.shape)
        count += numbers
        size += numbers * np.dtype(variable.dtype).itemsize
    return count, size


def _readable(size: float) -> str:
    for unit in ("B", "KB", "MB", "GB", "TB"):
        if size < 1024 or unit == "TB":
            return f"{size:.2f} {unit}"
        size /= 1024
    raise AssertionError


# Drawing


def _column_widths(ends: list[float], length: int) -> list[int]:
    """Return the inner widths of the columns, one blank at each side included."""
    widths, current = [], 0
    for end in ends:
        width = int(end * length) - current
        if width < 4:
            raise ValueError("Insufficient console width to print summary.")
        widths.append(width + 2)
        current += width
    available = length - len(ends) - 1  # without the lines between the columns
    excess = sum(widths) - available
    if excess > 0:  # taken from all columns alike
        for i in range(len(widths)):
            share = min(widths[i], round(excess / (len(widths) - i)))
            widths[i] -= share
            excess -= share
        return widths
    missing, total = -excess, sum(widths)
    for i, width in enumerate(widths):  # given in proportion
        share = math.ceil(width * missing / total) if total else 0
        widths[i] += share
        missing -= share
        total -= width
    return widths


def _render(
    titles: list[str], alignments: list[str], rows: list[list[str]], widths: list[int]
) -> list[str]:
    def rule(left: str, line: str, middle: str, right: str) -> str:
        return left + middle.join(line * width for width in widths) + right

    def draw(cells: list[str], bar: str, at_bottom: bool = False) -> list[str]:
        columns = [
            [_aligned(text, width - 2, alignment) for text in _wrapped(cell, width - 2)]
            for cell, width, alignment in zip(cells, widths, alignments, strict=True)
        ]
        height = max(len(column) for column in columns)
        for column, width in zip(columns, widths, strict=True):
            blanks = [" " * (width - 2)] * (height - len(column))
            column[:] = blanks + column if at_bottom else column + blanks
        rows_of_text = zip(*columns, strict=True)
        return [bar + bar.join(f" {text} " for text in texts) + bar for texts in rows_of_text]

    lines = [rule("┏", "━", "┳", "┓"), *draw(titles, "┃", at_bottom=True), rule("┡", "━", "╇", "┩")]
    for i, row in enumerate(rows):
        if i:
            lines.append(rule("├", "─", "┼", "┤"))
        lines += draw(row, "│")
    return [*lines, rule("└", "─", "┴", "┘")]


def _wrapped(text: str, width: int) -> list[str]:
    """Break at blanks into lines of at most `width`; a longer word is cut with an ellipsis."""
    lines, line = [], ""
    for word in re.findall(r"\s*\S+\s*", text) or [""]:
        if line and len(line) + len(word.rstrip()) > width:
            lines.append(line)
            line = ""
        line += word
    lines.append(line)
    return [_fitted(one, width) for one in lines]


def _fitted(line: str, width: int) -> str:
    stripped = line.rstrip()
    if len(stripped) <= width:
        return stripped
    return f"{line[: max(width - 1, 0)]}…"


def _aligned(text: str, width: int, alignment: str) -> str:
    if alignment == "right":
        return text.rjust(width)
    if alignment == "center":
        left = (width - len(text)) // 2
        return " " * left + text + " " * (width - len(text) - left)
    return text.ljust(width)
