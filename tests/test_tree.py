"""lamina.tree against what keras.tree was seen to return."""

from __future__ import annotations

from typing import Any

import pytest

from lamina import tree

NEST = {"b": [1, (2, 3)], "a": 4}


def test_leaves_and_paths() -> None:
    assert tree.flatten(NEST) == [4, 1, 2, 3]
    assert tree.flatten(None) == [None]
    assert tree.flatten_with_path(NEST) == [
        (("a",), 4),
        (("b", 0), 1),
        (("b", 1, 0), 2),
        (("b", 1, 1), 3),
    ]


def test_rebuilding() -> None:
    assert tree.pack_sequence_as(NEST, [9, 8, 7, 6]) == {"a": 9, "b": [8, (7, 6)]}
    assert tree.lists_to_tuples(NEST) == {"a": 4, "b": (1, (2, 3))}
    with pytest.raises(ValueError, match="leaves"):
        tree.pack_sequence_as(NEST, [1])


def test_mapping() -> None:
    assert tree.map_structure(lambda x: x + 1, NEST) == {"b": [2, (3, 4)], "a": 5}
    assert tree.map_structure(lambda x: x, [None, 1], none_is_leaf=False) == [None, 1]
    shapes = {"a": (None, 3), "b": [(1, 2), [3, 4]]}
    assert tree.map_shape_structure(len, shapes) == {"a": 2, "b": [2, 2]}
    pairs = tree.map_structure_up_to([0, [0]], lambda x, y: (x, y), [[1, 2], [3]], [4, [5]])
    assert pairs == [([1, 2], 4), [(3, 5)]]
    with pytest.raises(ValueError, match="at least one"):
        tree.map_structure(lambda: 1)
    with pytest.raises(TypeError, match="callable"):
        tree.map_structure(3, [1])


@pytest.mark.parametrize("top_down", [True, False])
def test_traverse(top_down: bool) -> None:
    def double(x: Any) -> Any:
        return x * 2 if isinstance(x, int) else None

    assert tree.traverse(double, NEST, top_down) == {"a": 8, "b": [2, (4, 6)]}
    assert tree.traverse(lambda x: tree.MAP_TO_NONE if x == 1 else None, [1, 2]) == [None, 2]


@pytest.mark.parametrize(
    ("a", "b", "same_paths"),
    [([1], [1, 2], False), ([1], (1,), True), ({"a": 1}, {"b": 1}, False), (1, [1], False)],
)
def test_comparing(a: Any, b: Any, same_paths: bool) -> None:
    with pytest.raises(ValueError):
        tree.assert_same_structure(a, b)
    if same_paths:
        tree.assert_same_paths(a, b)
    else:
        with pytest.raises(ValueError, match="paths"):
            tree.assert_same_paths(a, b)
    tree.assert_same_structure(a, a)


def test_mapping_keeps_the_order_of_keys() -> None:
    assert list(tree.map_structure(lambda x: x, {"b": 1, "a": 2})) == ["b", "a"]
