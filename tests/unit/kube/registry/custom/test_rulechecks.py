"""Rules in CEL when a definition is applied."""

from __future__ import annotations

from typing import Any

import pytest

from mesh_lab.kube.registry.custom import rulechecks
from mesh_lab.kube.schemas.structural import compile_custom
from tests.unit.kube.registry.custom.test_validations import INTEGER, STRING, rules, spec

AT = "schema.properties[spec].x-kubernetes-validations[0]"


def words(schema: dict[str, Any]) -> list[str]:
    return [f"{cause.field}: {cause.message}" for cause in rulechecks.check(compile_custom(schema), "schema")]


def test_rules_that_compile_are_taken() -> None:
    expression = "'a is ' + string(self.a)"
    assert words(spec({"a": INTEGER}, **rules("self.a > 1", messageExpression=expression, fieldPath=".a"))) == []
    optional = rules("oldSelf.hasValue() || self.a > 1", optionalOldSelf=True)
    assert words(spec({"a": INTEGER}, **optional)) == []


@pytest.mark.parametrize(
    ("rule", "more", "expected"),
    [
        ("", {}, f"{AT}.rule: Required value: rule is not specified"),
        (
            "self.b > 1",
            {},
            f'{AT}.rule: Invalid value: "self.b > 1": compilation failed: ERROR: <input>:1:5: undefined field',
        ),
        ("self.a", {}, f'{AT}.rule: Invalid value: "self.a": cel expression must evaluate to a bool'),
        ("self.a\n> 1", {}, f"{AT}.message: Required value: message must be specified if rule contains line breaks"),
        ("true", {"message": " "}, f'{AT}.message: Invalid value: " ": must be non-empty if specified'),
        ("true", {"message": "a\nb"}, f'{AT}.message: Invalid value: "a\\nb": must not contain line breaks'),
        (
            "true",
            {"messageExpression": "1"},
            f'{AT}.messageExpression: Invalid value: "1": messageExpression must evaluate',
        ),
        (
            "true",
            {"messageExpression": "self.b"},
            f'{AT}.messageExpression: Invalid value: "self.b": messageExpression comp',
        ),
        ("true", {"reason": "Bad"}, f'{AT}.reason: Unsupported value: "Bad": supported values: "FieldValueDuplicate"'),
        ("true", {"fieldPath": ".b"}, f'{AT}.fieldPath: Invalid value: ".b": must be a valid path'),
        ("true", {"fieldPath": "a"}, f'{AT}.fieldPath: Invalid value: "a": must be a valid path'),
        (
            "true",
            {"optionalOldSelf": True},
            f"{AT}.optionalOldSelf: Invalid value: true: may not be set if oldSelf is not",
        ),
        (
            "oldSelf.a == 1",
            {"optionalOldSelf": True},
            f'{AT}.rule: Invalid value: "oldSelf.a == 1": compilation failed',
        ),
    ],
)
def test_what_is_wrong_with_a_rule_is_told_in_kubernetes_words(rule: str, more: dict[str, Any], expected: str) -> None:
    found = words(spec({"a": INTEGER}, **rules(rule, **more)))
    assert len(found) == 1
    assert found[0].startswith(expected)


def test_items_that_are_not_known_again_cannot_be_compared() -> None:
    listed = {"type": "array", "items": {**STRING, **rules("self == oldSelf")}}
    (found,) = words(spec({"l": listed}))
    assert found == (
        "schema.properties[spec].properties[l].items.x-kubernetes-validations[0].rule: Invalid value: "
        '"self == oldSelf": oldSelf cannot be used on the uncorrelatable portion of the schema within '
        "schema.properties[spec].properties[l]"
    )


def test_fields_that_differ_in_an_underscore_stand_beside_each_other() -> None:
    mapped = {"type": "object", "additionalProperties": INTEGER}
    properties = {"fooBar": mapped, "foo_bar": mapped, "FooBar": STRING}
    assert words(spec(properties, **rules("self.fooBar.x == self.foo_bar.x && self.FooBar != ''"))) == []


def test_a_field_path_may_quote_and_enter_maps() -> None:
    mapped = {"type": "object", "additionalProperties": {"type": "object", "properties": {"a.b": STRING}}}
    assert words(spec({"m": mapped}, **rules("true", fieldPath=".m['k\\'s']['a.b']"))) == []
