"""Fields that a body has twice: found with their paths, and nothing is found where there are none."""

from __future__ import annotations

import json

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh_lab.kube.api.bodies import duplicates

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(alphabet='a":\\ {', max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(alphabet='ab":\\ ', max_size=4), inner),
    max_leaves=12,
)


@pytest.mark.parametrize(
    ("body", "paths"),
    [
        (b'{"a":1,"a":2}', ("a",)),
        (b'{"a" : 1, "a"\n:2}', ("a",)),
        (b'{"spec":{"c":[{"n":1},{"n":1,"n":1,"n":2}]}}', ("spec.c[1].n",)),
        (b'{"a":{"b":1,"b":2},"a":{"c":1}}', ("a",)),
        (b'{"a\\\\":1,"b":1,"b":2}', ("b",)),
        (b'{"a":"\\"b\\":1","b":1}', ()),
        (b"[]", ()),
    ],
)
def test_repeated_fields_are_found(body: bytes, paths: tuple[str, ...]) -> None:
    assert duplicates.find(body, orjson.loads(body)) == paths


@given(VALUES, st.sampled_from([None, 2]), st.booleans())
def test_nothing_is_found_where_nothing_is_repeated(value: object, indent: int | None, compact: bool) -> None:
    body = json.dumps(value, indent=indent, separators=(",", ":") if compact else None).encode()
    assert duplicates.find(body, orjson.loads(body)) == ()


@given(VALUES, st.text(alphabet='ab":\\\\ ', max_size=4))
def test_a_repeated_field_is_always_found(value: object, name: str) -> None:
    key, inner = json.dumps(name), json.dumps(value, separators=(",", ":"))
    body = f"{{{key}:{inner},{key}:{inner}}}".encode()
    assert name in duplicates.find(body, orjson.loads(body))
