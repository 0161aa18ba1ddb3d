"""Rules in CEL that objects are held to, in the words of a real API server."""

from __future__ import annotations

from typing import Any

import pytest

from mesh_lab.kube.errors import Cause
from mesh_lab.kube.registry.custom import validations
from mesh_lab.kube.schemas.structural import compile_custom

INTEGER = {"type": "integer"}
STRING = {"type": "string"}


def rules(*texts: str, **more: Any) -> dict[str, Any]:
    return {"x-kubernetes-validations": [{"rule": text, **more} for text in texts]}


def spec(properties: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "object", "properties": {"spec": {"type": "object", "properties": properties, **more}}}


def check(schema: dict[str, Any], new: Any, old: Any = None) -> tuple[list[Cause], list[str]]:
    warnings: list[str] = []
    before = None if old is None else {"spec": old}
    return list(validations.check(compile_custom(schema), {"spec": new}, before, warnings.append)), warnings


def words(schema: dict[str, Any], new: Any, old: Any = None) -> list[str]:
    return [f"{cause.field}: {cause.message}" for cause in check(schema, new, old)[0]]


def test_a_broken_rule_names_the_field_and_the_message() -> None:
    schema = spec({"low": INTEGER, "high": INTEGER}, **rules("self.low <= self.high", message=" low is above "))
    assert words(schema, {"low": 1, "high": 2}) == []
    assert words(schema, {"low": 3, "high": 2}) == ["spec: Invalid value: low is above"]


def test_without_a_message_the_rule_is_the_message() -> None:
    assert words(spec({"a": {**INTEGER, **rules("self > 1")}}), {"a": 1}) == [
        "spec.a: Invalid value: 1: failed rule: self > 1"
    ]


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("FieldValueForbidden", "spec.a: Forbidden: no"),
        ("FieldValueRequired", "spec.a: Required value: no"),
        ("FieldValueDuplicate", 'spec.a: Duplicate value: "x"'),
        ("FieldValueInvalid", 'spec.a: Invalid value: "x": no'),
    ],
)
def test_a_rule_may_give_its_reason(reason: str, expected: str) -> None:
    schema = spec({"a": {**STRING, **rules("false", message="no", reason=reason)}})
    causes, _ = check(schema, {"a": "x"})
    assert [f"{causes[0].field}: {causes[0].message}", causes[0].reason] == [expected, reason]


def test_a_rule_may_name_another_field() -> None:
    schema = spec({"a": INTEGER}, **rules("self.a > 1", message="no", fieldPath=".a"))
    assert words(schema, {"a": 1}) == ["spec.a: Invalid value: no"]


def test_a_message_may_be_an_expression() -> None:
    schema = spec({"a": INTEGER}, **rules("self.a > 1", messageExpression="'a is ' + string(self.a)", message="no"))
    assert words(schema, {"a": 1}) == ["spec: Invalid value: a is 1"]


@pytest.mark.parametrize("expression", ["self.absent", "''", "'a\\nb'"])
def test_an_expression_that_gives_no_message_does_not_count(expression: str) -> None:
    schema = spec({"a": INTEGER, "absent": STRING}, **rules("false", messageExpression=expression, message="no"))
    assert words(schema, {"a": 1}) == ["spec: Invalid value: no"]


def test_a_rule_that_has_no_value_is_broken() -> None:
    schema = spec({"a": INTEGER, "b": INTEGER}, **rules("self.a < self.b"))
    assert words(schema, {"a": 1}) == ['spec: Invalid value: "object": no such key: b evaluating rule: self.a < self.b']


def test_a_value_of_the_wrong_kind_breaks_a_rule_that_could_not_know() -> None:
    schema = spec({"a": {"x-kubernetes-int-or-string": True, **rules("self > 1")}})
    assert words(schema, {"a": 2}) == []
    assert "'no such overload': call arguments did not match" in words(schema, {"a": "x"})[0]


def test_what_is_more_work_than_allowed_is_refused() -> None:
    schema = spec({"a": {"type": "array", "items": INTEGER, **rules("self.all(x, self.all(y, x >= y || x < y))")}})
    assert "no further validation rules will be run" in words(schema, {"a": list(range(200))})[0]


def test_rules_of_items_and_values_name_their_places() -> None:
    schema = spec(
        {
            "list": {"type": "array", "items": {**INTEGER, **rules("self > 0", message="no")}},
            "map": {"type": "object", "additionalProperties": {**INTEGER, **rules("self > 0", message="no")}},
        }
    )
    assert words(schema, {"list": [1, 0], "map": {"a": 1, "b": -1}}) == [
        "spec.list[1]: Invalid value: 0: no",
        "spec.map[b]: Invalid value: -1: no",
    ]


def test_rules_below_all_of_hold() -> None:
    schema = spec(
        {"a": INTEGER, "l": {"type": "array", "items": INTEGER}},
        allOf=[rules("self.a > 1", message="one"), {"properties": {"a": rules("self > 2", message="two")}}],
    )
    assert words(schema, {"a": 1}) == ["spec: Invalid value: one", "spec.a: Invalid value: 1: two"]


def test_null_is_held_to_no_rule() -> None:
    assert words(spec({"a": {**INTEGER, "nullable": True, **rules("self > 1")}}), {"a": None}) == []


def test_a_transition_rule_holds_once_there_is_something_to_compare() -> None:
    schema = spec({"a": {**INTEGER, **rules("self >= oldSelf", message="may not shrink")}})
    assert words(schema, {"a": 1}) == []
    assert words(schema, {"a": 1}, {}) == []
    assert words(schema, {"a": 2}, {"a": 1}) == []
    assert words(schema, {"a": 1}, {"a": 2}) == ["spec.a: Invalid value: 1: may not shrink"]


def test_an_optional_old_self_is_compared_on_creation_too() -> None:
    rule = "oldSelf.hasValue() ? self >= oldSelf.value() : self == 1"
    schema = spec({"a": {**INTEGER, **rules(rule, message="from one on", optionalOldSelf=True)}})
    assert words(schema, {"a": 1}) == []
    assert words(schema, {"a": 2}) == ["spec.a: Invalid value: 2: from one on"]
    assert words(schema, {"a": 3}, {"a": 2}) == []
    assert words(schema, {"a": 1}, {"a": 2}) == ["spec.a: Invalid value: 1: from one on"]


def test_items_of_a_map_list_are_known_again_by_their_keys() -> None:
    items = {"type": "object", "properties": {"name": STRING, "port": {**INTEGER, **rules("self == oldSelf")}}}
    schema = spec(
        {
            "l": {
                "type": "array",
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["name"],
                "items": items,
            }
        }
    )
    old = {"l": [{"name": "a", "port": 1}, {"name": "b", "port": 2}]}
    assert words(schema, {"l": [{"name": "b", "port": 2}, {"name": "c", "port": 9}]}, old) == []
    assert words(schema, {"l": [{"name": "b", "port": 3}]}, old) == [
        "spec.l[0].port: Invalid value: 3: failed rule: self == oldSelf"
    ]


def test_the_order_of_a_set_is_no_change() -> None:
    items = {"type": "array", "x-kubernetes-list-type": "set", "items": STRING}
    schema = spec({"s": {**items, **rules("self == oldSelf", message="immutable")}})
    assert words(schema, {"s": ["b", "a"]}, {"s": ["a", "b"]}) == []
    assert words(schema, {"s": ["b"]}, {"s": ["a", "b"]}) == ["spec.s: Invalid value: immutable"]


def test_what_did_not_change_may_go_on_breaking_a_rule() -> None:
    schema = spec({"a": {**INTEGER, **rules("self > 1", message="no")}, "b": INTEGER})
    causes, warnings = check(schema, {"a": 1, "b": 2}, {"a": 1, "b": 1})
    assert causes == []
    assert warnings == ["spec.a: Invalid value: 1: no"]
    assert words(schema, {"a": 0, "b": 2}, {"a": 1, "b": 1}) == ["spec.a: Invalid value: 0: no"]


def test_items_that_are_not_known_again_stay_when_their_list_does() -> None:
    schema = spec({"l": {"type": "array", "items": {**INTEGER, **rules("self > 1", message="no")}}, "b": INTEGER})
    assert check(schema, {"l": [1], "b": 2}, {"l": [1], "b": 1}) == ([], ["spec.l[0]: Invalid value: 1: no"])
    assert words(schema, {"l": [1, 2]}, {"l": [1]}) == ["spec.l[0]: Invalid value: 1: no"]


def test_the_root_of_a_resource_sees_its_name() -> None:
    schema = {"type": "object", "properties": {}, **rules("self.metadata.name.size() < 3", message="long name")}
    causes = list(validations.check(compile_custom(schema), {"metadata": {"name": "abc"}}, None, lambda _: None))
    assert [(cause.field, cause.message) for cause in causes] == [("", "Invalid value: long name")]
