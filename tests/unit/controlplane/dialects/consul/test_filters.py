"""Expressions that choose instances: what they mean, and what is refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh_lab.controlplane.dialects.consul.filters import FilterError, parse, tags_of

META, TAGS = "consul.hashicorp.com/service-meta-", "consul.hashicorp.com/service-tags"
Facts = tuple[Mapping[str, str], Mapping[str, str]]


@pytest.mark.parametrize(
    ("text", "labels", "annotations", "held"),
    [
        ("Service.Meta.version == v1", {"version": "v1"}, {}, True),
        ("Service.Meta.version == v1", {"version": "v2"}, {}, False),
        ("Service.Meta.version == v1", {}, {}, False),
        ("Service.Meta.version != v1", {}, {}, True),
        ('Service.Meta.version == "v1"', {"version": "v2"}, {f"{META}version": "v1"}, True),
        ('"v1" in Service.Tags', {}, {TAGS: "canary,v1"}, True),
        ("v1 not in Service.Tags", {}, {TAGS: "v1"}, False),
        ('Service.Tags contains "a,b"', {}, {TAGS: "a\\,b,c"}, True),
        ("Service.Tags is empty", {}, {}, True),
        ("Service.Tags is not empty", {}, {}, False),
        ("Service.Meta.version is empty", {}, {}, True),
        ("Service.Meta.version is not empty", {"version": "v1"}, {}, True),
        ('Service.Meta["app.kubernetes.io/version"] matches "^v[12]$"', {"app.kubernetes.io/version": "v2"}, {}, True),
        ("Service.Meta.version not matches `^v[12]$`", {"version": "v3"}, {}, True),
        ("version in Service.Meta", {"version": ""}, {}, True),
        ("anary in Service.Meta.track", {"track": "canary"}, {}, True),
        ("Service.Meta.track not contains x", {"track": "canary"}, {}, True),
        ("Service.Meta.a == 1 or Service.Meta.b == 2 and Service.Meta.c == 3", {"a": "1"}, {}, True),
        ("(Service.Meta.a == 1 or Service.Meta.b == 2) and Service.Meta.c == 3", {"a": "1"}, {}, False),
        ("not Service.Meta.a == 1 and Service.Meta.b == 2", {"b": "2"}, {}, True),
        ("not not Service.Meta.a == 1", {"a": "1"}, {}, True),
    ],
)
def test_what_an_expression_means(text: str, labels: dict[str, str], annotations: dict[str, str], held: bool) -> None:
    assert parse(text).include(labels, annotations) is held


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "ends where a selector or a value"),
        ("Service.Meta.version ==", "ends where a value"),
        ("Service.Meta.version = v1", "not understood"),
        ("Service.Meta.version v1", "followed by"),
        ("(Service.Meta.version == v1", "`)` is missing at the end"),
        ("Service.Meta.version == v1 v2", "'v2' is not understood there"),
        ("Service.Meta[version == v1", "`]` is missing before '=='"),
        ("Service..Meta == v1", "not a selector"),
        ("Node.Name == a", "not known of instances"),
        ('Checks.Status == "passing"', "not known of instances"),
        ("Service.Tags == v1", "takes `in` and `is empty`"),
        ("Service.Meta is empty", "takes `in`"),
        ('Service.Meta.version matches "("', "not an expression of RE2"),
        ('"v1" == Service.Meta.version', "comes `in`"),
        ("(" * 200 + "Service.Meta.a == 1" + ")" * 200, "100 deep"),
        ("Service.Meta.a == " + "x" * 9000, "8192 characters"),
        ('Service.Meta.a == "x', "not understood"),
    ],
)
def test_what_is_no_expression_is_refused_with_the_reason(text: str, words: str) -> None:
    with pytest.raises(FilterError) as error:
        parse(text)
    assert words in str(error.value)


def test_tags_without_an_annotation_are_none() -> None:
    assert tags_of({TAGS: "a,,b"}) == ("a", "b")
    assert tags_of({}) == ()


# A slow reference: expressions as nested tuples, printed with all parentheses, and worked out in plain Python.
KEYS, VALUES = ("version", "track"), ("v1", "v2", "")
ATOMS = st.one_of(
    st.tuples(st.just("eq"), st.sampled_from(KEYS), st.sampled_from(VALUES)),
    st.tuples(st.just("ne"), st.sampled_from(KEYS), st.sampled_from(VALUES)),
    st.tuples(st.just("empty"), st.sampled_from(KEYS)),
    st.tuples(st.just("tag"), st.sampled_from(("v1", "v2"))),
)
TREES = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.tuples(st.just("not"), inner),
        st.tuples(st.just("and"), inner, inner),
        st.tuples(st.just("or"), inner, inner),
    ),
    max_leaves=8,
)


def printed(tree: Any) -> str:
    kind, *rest = tree
    forms: dict[str, Callable[[], str]] = {
        "eq": lambda: f'Service.Meta.{rest[0]} == "{rest[1]}"',
        "ne": lambda: f'Service.Meta["{rest[0]}"] != "{rest[1]}"',
        "empty": lambda: f"Service.Meta.{rest[0]} is empty",
        "tag": lambda: f'"{rest[0]}" in Service.Tags',
        "not": lambda: f"not ({printed(rest[0])})",
        "and": lambda: f"({printed(rest[0])}) and ({printed(rest[1])})",
        "or": lambda: f"({printed(rest[0])}) or ({printed(rest[1])})",
    }
    return forms[kind]()


def meant(tree: Any, meta: Mapping[str, str], tags: list[str]) -> bool:
    kind, *rest = tree
    if kind in ("eq", "ne"):
        return (meta.get(rest[0]) == rest[1]) == (kind == "eq")
    if kind == "empty":
        return not meta.get(rest[0])
    if kind == "tag":
        return rest[0] in tags
    if kind == "not":
        return not meant(rest[0], meta, tags)
    both = [meant(each, meta, tags) for each in rest]
    return all(both) if kind == "and" else any(both)


@given(
    TREES,
    st.dictionaries(st.sampled_from(KEYS), st.sampled_from(VALUES)),
    st.dictionaries(st.sampled_from(KEYS), st.sampled_from(VALUES)),
    st.lists(st.sampled_from(("v1", "v2")), unique=True),
)
def test_expressions_mean_what_a_slow_reference_makes_of_them(
    tree: Any, labels: dict[str, str], noted: dict[str, str], tags: list[str]
) -> None:
    annotations = {f"{META}{key}": value for key, value in noted.items()} | {TAGS: ",".join(tags)}
    found = parse(printed(tree)).include(labels, annotations)
    assert found is meant(tree, {**labels, **noted}, tags)
