"""JSON patch: the examples of RFC 6902's appendix A, its errors, and what holds for any document."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh_lab.kube.registry.patching.jsonpatch import MalformedPatchError, PatchConflictError, apply

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=8,
)

_EXAMPLES: list[tuple[str, Any, list[dict[str, Any]], Any]] = [
    ("A.1 add a member", {"foo": "bar"}, [{"op": "add", "path": "/baz", "value": "qux"}], {"baz": "qux", "foo": "bar"}),
    (
        "A.2 add an element",
        {"foo": ["bar", "baz"]},
        [{"op": "add", "path": "/foo/1", "value": "qux"}],
        {"foo": ["bar", "qux", "baz"]},
    ),
    ("A.3 remove a member", {"baz": "qux", "foo": "bar"}, [{"op": "remove", "path": "/baz"}], {"foo": "bar"}),
    (
        "A.4 remove an element",
        {"foo": ["bar", "qux", "baz"]},
        [{"op": "remove", "path": "/foo/1"}],
        {"foo": ["bar", "baz"]},
    ),
    (
        "A.5 replace",
        {"baz": "qux", "foo": "bar"},
        [{"op": "replace", "path": "/baz", "value": "boo"}],
        {"baz": "boo", "foo": "bar"},
    ),
    (
        "A.6 move a value",
        {"foo": {"bar": "baz", "waldo": "fred"}, "qux": {"corge": "grault"}},
        [{"op": "move", "from": "/foo/waldo", "path": "/qux/thud"}],
        {"foo": {"bar": "baz"}, "qux": {"corge": "grault", "thud": "fred"}},
    ),
    (
        "A.7 move an element",
        {"foo": ["all", "grass", "cows", "eat"]},
        [{"op": "move", "from": "/foo/1", "path": "/foo/3"}],
        {"foo": ["all", "cows", "eat", "grass"]},
    ),
    (
        "A.8 test",
        {"baz": "qux", "foo": ["a", 2, "c"]},
        [{"op": "test", "path": "/baz", "value": "qux"}, {"op": "test", "path": "/foo/1", "value": 2}],
        {"baz": "qux", "foo": ["a", 2, "c"]},
    ),
    (
        "A.10 add a nested member",
        {"foo": "bar"},
        [{"op": "add", "path": "/child", "value": {"grandchild": {}}}],
        {"foo": "bar", "child": {"grandchild": {}}},
    ),
    (
        "A.11 ignore unknown members",
        {"foo": "bar"},
        [{"op": "add", "path": "/baz", "value": "qux", "xyz": 123}],
        {"foo": "bar", "baz": "qux"},
    ),
    ("A.14 escapes", {"/": 9, "~1": 10}, [{"op": "test", "path": "/~01", "value": 10}], {"/": 9, "~1": 10}),
    (
        "A.16 append",
        {"foo": ["bar"]},
        [{"op": "add", "path": "/foo/-", "value": ["abc", "def"]}],
        {"foo": ["bar", ["abc", "def"]]},
    ),
    ("copy", {"a": [1]}, [{"op": "copy", "from": "/a", "path": "/b"}], {"a": [1], "b": [1]}),
    ("replace all", {"a": 1}, [{"op": "replace", "path": "", "value": [2]}], [2]),
]


@pytest.mark.parametrize(("document", "patch", "result"), [e[1:] for e in _EXAMPLES], ids=[e[0] for e in _EXAMPLES])
def test_the_examples_of_the_rfc(document: Any, patch: list[dict[str, Any]], result: Any) -> None:
    before = deepcopy(document)
    assert apply(document, patch) == result
    assert document == before


@pytest.mark.parametrize(
    "patch",
    [
        [{"op": "test", "path": "/baz", "value": "bar"}],
        [{"op": "test", "path": "/flag", "value": 1}],
        [{"op": "add", "path": "/baz/bat", "value": "qux"}],
        [{"op": "remove", "path": "/nowhere"}],
        [{"op": "replace", "path": "/list/2", "value": 1}],
        [{"op": "replace", "path": "/list/-", "value": 1}],
        [{"op": "replace", "path": "/list/01", "value": 1}],
        [{"op": "add", "path": "/list/3", "value": 1}],
        [{"op": "move", "from": "/child", "path": "/child/inner"}],
        [{"op": "remove", "path": ""}],
    ],
)
def test_a_json_patch_that_does_not_fit_changes_nothing(patch: list[dict[str, Any]]) -> None:
    document = {"foo": "bar", "baz": "qux", "flag": True, "list": [1, 2], "child": {}}
    before = deepcopy(document)
    with pytest.raises(PatchConflictError, match="operation 1"):
        apply(document, [{"op": "add", "path": "/first", "value": 1}, *patch])
    assert document == before


@pytest.mark.parametrize(
    "patch",
    [
        {},
        [1],
        [{"path": "/a"}],
        [{"op": "add", "path": "/a"}],
        [{"op": "add", "path": "a", "value": 1}],
        [{"op": "move", "path": "/a"}],
        [{"op": "explode", "path": "/a"}],
    ],
)
def test_an_invalid_json_patch_is_malformed(patch: Any) -> None:
    with pytest.raises(MalformedPatchError):
        apply({"a": 1}, patch)


@given(JSON, JSON)
def test_replacing_the_whole_gives_the_value(document: Any, value: Any) -> None:
    assert apply(document, [{"op": "replace", "path": "", "value": value}]) == value


@given(st.dictionaries(st.text(max_size=3), JSON, max_size=3), st.text(max_size=3), JSON)
def test_add_then_test_then_remove_is_the_document_without_the_member(
    document: dict[str, Any], key: str, value: Any
) -> None:
    path = "/" + key.replace("~", "~0").replace("/", "~1")
    patch = [{"op": "add", "path": path, "value": value}, {"op": "test", "path": path, "value": value}]
    assert apply(document, patch) == {**document, key: value}
    expected = {name: one for name, one in document.items() if name != key}
    assert apply(document, [*patch, {"op": "remove", "path": path}]) == expected
