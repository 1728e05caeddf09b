"""How Keras 2 connected the layers of a functional model, in the form of Keras 3.

Keras 2 wrote each use of a layer as a list of `[layer, node index, tensor index, keyword
arguments]`, one for each tensor, and counted the graph of a nested model as its first use.
"""

from __future__ import annotations

from typing import Any

Form = dict[str, Any]

_CONSTANT = "_CONSTANT_VALUE"  # stands in place of a layer's name before a number

_RECURRENT = (
    "RNN", "SimpleRNN", "GRU", "LSTM", "Bidirectional", "ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D",
)  # fmt: skip
_X_AND_Y = ("y",)
_AXIS = ("axis", "keepdims")
# Functions of TensorFlow that Keras 2 recorded as layers: ours, arguments that follow the first by
# position, and those that keep their names.
_FUNCTIONS: dict[str, tuple[str, tuple[str, ...], tuple[str, ...]]] = {
    **{
        f"{prefix}.{name}": (op, _X_AND_Y, ())
        for prefix in ("math", "__operators__")
        for name, op in {
            "add": "Add", "subtract": "Subtract", "sub": "Subtract", "multiply": "Multiply",
            "mul": "Multiply", "divide": "Divide", "truediv": "Divide", "floordiv": "FloorDivide",
            "pow": "Power", "maximum": "Maximum", "minimum": "Minimum",
        }.items()
    },
    **{
        name: (op, (), ())
        for name, op in {
            "math.negative": "Negative", "math.abs": "Absolute", "abs": "Absolute",
            "math.exp": "Exp", "exp": "Exp", "math.log": "Log", "math.sqrt": "Sqrt",
            "sqrt": "Sqrt", "math.square": "Square", "square": "Square", "math.tanh": "Tanh",
            "tanh": "Tanh", "math.sigmoid": "Sigmoid", "sigmoid": "Sigmoid", "nn.relu": "Relu",
            "nn.relu6": "Relu6", "nn.softplus": "Softplus", "identity": "Identity",
        }.items()
    },
    **{
        f"{prefix}reduce_{name}": (op, (), _AXIS)
        for prefix in ("", "math.")
        for name, op in {
            "mean": "Mean", "sum": "Sum", "max": "Max", "min": "Min", "prod": "Prod",
        }.items()
    },
    "concat": ("Concatenate", ("axis",), ()),
    "reshape": ("Reshape", ("shape",), ()),
    "transpose": ("Transpose", ("perm",), ()),
    "compat.v1.transpose": ("Transpose", ("perm",), ()),
    "stack": ("Stack", ("axis",), ()),
    "expand_dims": ("ExpandDims", ("axis",), ()),
    "squeeze": ("Squeeze", ("axis",), ()),
    "cast": ("Cast", ("dtype",), ()),
    "linalg.matmul": ("Matmul", ("b",), ()),
    "nn.softmax": ("Softmax", (), ("axis",)),
    "__operators__.getitem": ("GetItem", ("slice_spec",), ()),
}  # fmt: skip


def present_graph(settings: Form) -> Form:
    """Return the settings of a functional model with its connections in Keras 3's form.

    Raises:
        ValueError: for a function of TensorFlow that is not known here.
    """
    forms = [form for form in settings["layers"] if isinstance(form, dict)]
    offsets = {str(form.get("name")): _own_uses(form) for form in forms}
    made = [_connected(form, offsets) for form in forms]
    graphs = {name: int(_is_graph(form)) for name, form in zip(offsets, forms, strict=False)}

    def end(reference: Any) -> Any:
        if _is_reference(reference, offsets):
            name, index, tensor = reference[:3]
            # The present form, too, counts a functional model's graph here (and only here).
            return [name, max(index - offsets[name], 0) + graphs[name], tensor]
        if isinstance(reference, dict):
            return {key: end(item) for key, item in reference.items()}
        if isinstance(reference, list):
            return [end(item) for item in reference]
        return reference

    ends = {key: _single(end(settings[key])) for key in ("input_layers", "output_layers")}
    return {**settings, "layers": made, **ends}


def _single(references: Any) -> Any:
    """Take one tensor out of its list: Keras 2 knew no lists of one."""
    is_single = isinstance(references, list) and len(references) == 1
    return references[0] if is_single and isinstance(references[0], list) else references


def _is_graph(form: Form) -> bool:
    settings = form.get("config")
    return isinstance(settings, dict) and "input_layers" in settings and "layers" in settings


def _own_uses(form: Form) -> int:
    """Return how many uses Keras 2 counted before the first one that is listed."""
    if _is_graph(form):
        return 1
    settings = form.get("config")
    stack = settings.get("layers") if isinstance(settings, dict) else None
    first = stack[0] if isinstance(stack, list) and stack else None
    return int(isinstance(first, dict) and first.get("class_name") == "InputLayer")


def _is_reference(value: Any, known: dict[str, int]) -> bool:
    return (
        isinstance(value, list)
        and len(value) in (3, 4)
        and isinstance(value[0], str)
        and value[0] in known
        and all(isinstance(index, int) for index in value[1:3])
    )


def _connected(form: Form, offsets: dict[str, int]) -> Form:
    """Return a part of the graph with its uses in the present form."""
    nodes = form.get("inbound_nodes")
    if not isinstance(nodes, list):
        return form
    uses = [_use(node, offsets) for node in nodes]
    if form["class_name"] in _RECURRENT:
        uses = [_with_states(use, form) for use in uses]
    if form["class_name"] in ("TFOpLambda", "SlicingOpLambda"):
        return _recorded_function(form, uses)
    return {**form, "inbound_nodes": uses}


def _use(node: Any, offsets: dict[str, int]) -> Form:
    keywords: Form = {}

    def tensor(reference: list[Any]) -> Form:
        name, index, position = reference[:3]
        history = [name, max(index - offsets[name], 0), position]
        return {"class_name": "__keras_tensor__", "config": {"keras_history": history}}

    def argument(value: Any) -> Any:
        if isinstance(value, list) and len(value) == 4 and value[0] == _CONSTANT:
            keywords.update(value[3] or {})
            return value[2]
        if _is_reference(value, offsets):
            if len(value) == 4 and isinstance(value[3], dict):
                keywords.update(value[3])
            return tensor(value)
        if isinstance(value, dict):
            return {key: argument(item) for key, item in value.items()}
        if isinstance(value, list):
            return [argument(item) for item in value]
        return value

    def keyword(value: Any) -> Any:
        if _is_reference(value, offsets):
            return tensor(value)
        if isinstance(value, dict):
            return {key: keyword(item) for key, item in value.items()}
        return [keyword(item) for item in value] if isinstance(value, list) else value

    first = argument(node)
    if isinstance(first, list) and len(first) == 1:
        first = first[0]
    return {"args": [first], "kwargs": {key: keyword(v) for key, v in keywords.items()}}


def _with_states(use: Form, form: Form) -> Form:
    """Name the states and constants that Keras 2 put behind the sequence."""
    first = use["args"][0]
    if not isinstance(first, list) or len(first) < 2:
        return use
    settings = form.get("config")
    count = settings.get("num_constants") if isinstance(settings, dict) else None
    end = len(first) - (count if isinstance(count, int) else 0)
    named = {"initial_state": first[1:end], "constants": first[end:]}
    kwargs = {**use["kwargs"], **{key: value for key, value in named.items() if value}}
    return {"args": [first[0]], "kwargs": kwargs}


def _recorded_function(form: Form, uses: list[Form]) -> Form:
    """Return the op that stands for a recorded function of TensorFlow."""
    function = str(form["config"].get("function"))
    if function not in _FUNCTIONS:
        raise ValueError(
            f"layer {form.get('name')!r} calls TensorFlow's function {function!r}, which has no "
            "counterpart here. Save the model with a layer or an op of Keras in its place."
        )
    op, positional, named = _FUNCTIONS[function]
    made = []
    for use in uses:
        keywords = {k: v for k, v in use["kwargs"].items() if k != "name" and not _is_unset(v)}
        unknown = set(keywords) - {*positional, *named}
        if unknown:
            raise ValueError(
                f"layer {form.get('name')!r} calls {function!r} with {sorted(unknown)[0]!r}, "
                "which has no counterpart here."
            )
        rest = [_slices(keywords[key]) for key in positional if key in keywords]
        kept = {key: keywords[key] for key in named if key in keywords}
        made.append({"args": [*use["args"], *rest], "kwargs": kept})
    config = {"name": form.get("name")}
    return {"module": "keras.ops", "class_name": op, "name": form.get("name"), "config": config,
            "inbound_nodes": made}  # fmt: skip


def _is_unset(value: Any) -> bool:
    return value is None or value is False


def _slices(value: Any) -> Any:
    """Return an index with its slices as objects."""
    if isinstance(value, dict) and set(value) == {"start", "stop", "step"}:
        return {"class_name": "__slice__", "config": value}
    if value == "...":
        return {"class_name": "__ellipsis__", "config": {}}
    return [_slices(item) for item in value] if isinstance(value, list) else value
