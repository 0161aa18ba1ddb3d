"""What merges, what is one field, and how items are told apart."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from mesh_lab.kube.registry.ownership import values
from mesh_lab.kube.registry.ownership.fieldsets import tree
from mesh_lab.kube.registry.ownership.values import WITHIN, ItemError, check_items, leaves, merge, remove, with_parents
from mesh_lab.kube.schemas import builtin_schema
from tests.unit.kube.registry.ownership.objects import SCHEMA, thing, things

DEPLOYMENT = builtin_schema("apps/v1", "Deployment")
SERVICE = builtin_schema("v1", "Service")


def spec_of(value: dict[str, Any]) -> set[str]:
    """The fields of an object's spec, as messages show them."""
    return {values.fieldsets.text(path[1:]) for path in leaves(SCHEMA, thing(value)) if path[0] == "f:spec"}


@pytest.mark.parametrize(
    ("spec", "fields"),
    [
        ({"text": "1"}, {".text"}),
        ({"nested": {"x": "1"}}, {".nested.x"}),
        ({"nested": {}}, {".nested"}),
        ({"map": {"a": "1"}}, {".map.a"}),
        ({"whole": {"x": "1"}}, {".whole"}),
        ({"list": ["1", "2"]}, {".list"}),
        ({"set": ["1", "2"]}, {'.set[="1"]', '.set[="2"]'}),
        ({"set": []}, set()),
        (
            {"items": [{"k": "a", "v": "1"}]},
            {f'.items[k="a",protocol="TCP"]{rest}' for rest in ("", ".k", ".v")},
        ),
        ({"free": {"a": {"b": ["1"]}}}, {".free.a", ".free.a.b"}),
    ],
)
def test_fields_are_what_can_be_owned(spec: dict[str, Any], fields: set[str]) -> None:
    assert spec_of(spec) == fields


def test_items_and_keys_are_fields_by_being_there() -> None:
    found = leaves(SCHEMA, thing({"items": [{"k": "a"}], "set": ["1"]}))
    assert found["f:spec", "f:items", 'k:{"k":"a","protocol":"TCP"}'] is WITHIN
    assert found["f:spec", "f:set", 'v:"1"'] == "1"


def test_built_in_kinds_merge_by_their_published_keys() -> None:
    one = {"spec": {"ports": [{"port": 80}, {"port": 53, "protocol": "UDP"}], "selector": {"a": "b"}}}
    other = {"spec": {"ports": [{"port": 53, "protocol": "UDP", "name": "dns"}, {"port": 80, "protocol": "TCP"}]}}
    assert merge(SERVICE, one, other)["spec"] == {
        "ports": [{"port": 53, "protocol": "UDP", "name": "dns"}, {"port": 80, "protocol": "TCP"}],
        "selector": {"a": "b"},
    }
    # A selector is one field: two of them do not make a third.
    assert merge(SERVICE, one, {"spec": {"selector": {"c": "d"}}})["spec"]["selector"] == {"c": "d"}


@given(things, things)
def test_a_merge_has_all_of_the_applied_and_the_rest_of_the_live_object(
    live: dict[str, Any], config: dict[str, Any]
) -> None:
    merged = merge(SCHEMA, live, config)
    before, wanted, after = leaves(SCHEMA, live), leaves(SCHEMA, config), leaves(SCHEMA, merged)
    assert {path: after[path] for path in wanted} == wanted
    # What only `live` has stays, but where one field took the place of others (`free` may be text or a map).
    others = {path: value for path, value in before.items() if path not in wanted and path[1:2] != ("f:free",)}
    assert {path: after.get(path) for path in others} == others


@given(things, things)
def test_items_keep_the_order_in_which_they_are_applied(live: dict[str, Any], config: dict[str, Any]) -> None:
    wanted = [(i["k"], i["protocol"]) for i in config.get("spec", {}).get("items", [])]
    present = [(i["k"], i["protocol"]) for i in live.get("spec", {}).get("items", [])]
    merged = [(i["k"], i["protocol"]) for i in merge(SCHEMA, live, config).get("spec", {}).get("items", [])]
    assert [one for one in merged if one in wanted] == wanted
    assert [one for one in merged if one not in wanted] == [one for one in present if one not in wanted]


@pytest.mark.parametrize(
    ("live", "config", "merged"),
    [
        ("ab", "ba", "ba"),
        ("aLb", "ba", "Lba"),
        ("abc", "cna", "bcna"),
        ("LaMb", "nab", "LnaMb"),
        ("ab", "nab", "nab"),
        ("L", "a", "La"),
        ("aL", "", "aL"),
        ("abL", "bn", "abLn"),
    ],
)
def test_items_that_only_the_object_has_keep_their_place(live: str, config: str, merged: str) -> None:
    def items(keys: str) -> dict[str, Any]:
        return thing({"set": list(keys)})

    assert merge(SCHEMA, items(live), items(config))["spec"]["set"] == list(merged)


@given(things)
def test_a_merge_with_itself_changes_nothing(obj: dict[str, Any]) -> None:
    assert merge(SCHEMA, obj, obj) == obj


@given(things, things)
def test_removing_fields_leaves_all_others(obj: dict[str, Any], others: dict[str, Any]) -> None:
    gone = frozenset(leaves(SCHEMA, others)) - frozenset(leaves(SCHEMA, thing({})))
    rest = leaves(SCHEMA, remove(SCHEMA, obj, tree(gone)))
    inside = {path for path in leaves(SCHEMA, obj) if any(path[:depth] in gone for depth in range(1, len(path) + 1))}
    assert not rest.keys() & inside
    left = {path: value for path, value in leaves(SCHEMA, obj).items() if path not in inside}
    # A key or an item without anything in it goes as well.
    assert {path for path, value in left.items() if value is not WITHIN} <= rest.keys() <= left.keys()


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"items": [{"v": "1"}]}, r'.spec.items: element 0: associative list .* omits key field "k"'),
        ({"items": [{"k": "a"}, {"k": "a", "protocol": "TCP"}]}, r".spec.items: duplicate entries for key \[k="),
        ({"set": ["1", "1"]}, r'.spec.set: duplicate entries for key \[="1"\]'),
    ],
)
def test_lists_keep_what_their_type_promises(spec: dict[str, Any], words: str) -> None:
    with pytest.raises(ItemError, match=words):
        check_items(SCHEMA, thing(spec))


def test_declared_fields_around_a_field_are_its_parents() -> None:
    path = ("f:spec", "f:template", "f:metadata", "f:labels", "f:app")
    assert with_parents(DEPLOYMENT, frozenset({path})) == {path, path[:1], path[:2], path[:3], path[:4]}
    inside = ("f:spec", "f:map", "f:a", "f:b")
    assert with_parents(SCHEMA, frozenset({inside})) == {inside, inside[:1], inside[:2]}
