"""Objects of custom resources: pruning, defaults, validation."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from mesh_lab.kube.registry.custom.values import fill_defaults, prune, validate
from mesh_lab.kube.schemas.structural import compile_custom
from tests.unit.kube.registry.manifests import crd

SCHEMA = compile_custom(crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"])


def decoded(**spec: Any) -> tuple[dict[str, Any], list[str]]:
    unknown: list[str] = []
    obj = prune(SCHEMA, {"metadata": {"name": "a"}, "spec": {"host": "a.b", **spec}}, "", unknown)
    fill_defaults(SCHEMA, obj)
    return obj["spec"], unknown


def problems(**spec: Any) -> list[str]:
    obj, unknown = decoded(**spec)
    assert unknown == []
    return [f"{cause.field}: {cause.message}" for cause in validate(SCHEMA, {"spec": obj})]


def test_defaults_come_where_something_is_absent() -> None:
    assert decoded()[0] == {"host": "a.b", "weight": 100, "mode": "SIMPLE"}
    assert decoded(weight=1)[0]["weight"] == 1
    assert decoded(matches=[{"name": "x"}])[0]["matches"] == [{"name": "x", "kind": "http"}]


def test_defaults_are_not_shared_between_objects() -> None:
    raw = {"type": "object", "properties": {"spec": {"type": "object", "default": {"list": []}}}}
    schema = compile_custom(raw)
    one: dict[str, Any] = {}
    other: dict[str, Any] = {}
    fill_defaults(schema, one)
    one["spec"]["list"].append(1)
    fill_defaults(schema, other)
    assert other == {"spec": {"list": []}}


def test_unknown_fields_go_unless_they_are_to_be_kept() -> None:
    spec, unknown = decoded(
        hots="typo", matches=[{"name": "x", "exakt": "y"}], free={"any": {"thing": [1]}}, labels={"any": "x"}
    )
    assert unknown == ["spec.hots", "spec.matches[0].exakt"]
    assert spec["free"] == {"any": {"thing": [1]}}
    assert spec["labels"] == {"any": "x"}
    assert "hots" not in spec


def test_null_is_absence_unless_it_is_allowed() -> None:
    spec, _ = decoded(weight=None, note=None)
    assert spec["weight"] == 100
    assert spec["note"] is None
    assert problems(note=None) == []


def test_the_object_handed_in_stays_as_it_was() -> None:
    obj = {"metadata": {}, "spec": {"host": "a", "typo": 1, "matches": [{"name": "x"}]}}
    before = deepcopy(obj)
    pruned = prune(SCHEMA, obj, "", [])
    fill_defaults(SCHEMA, pruned)
    assert obj == before


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (
            {"weight": "heavy"},
            'spec.weight: Invalid value: "string": spec.weight in body must be of type integer: "string"',
        ),
        (
            {"weight": 1.5},
            'spec.weight: Invalid value: "number": spec.weight in body must be of type integer: "number"',
        ),
        (
            {"weight": True},
            'spec.weight: Invalid value: "boolean": spec.weight in body must be of type integer: "boolean"',
        ),
        ({"weight": -1}, "spec.weight: Invalid value: -1: spec.weight in body should be greater than or equal to 0"),
        ({"weight": 101}, "spec.weight: Invalid value: 101: spec.weight in body should be less than or equal to 100"),
        ({"ratio": 0}, "spec.ratio: Invalid value: 0: spec.ratio in body should be greater than 0"),
        ({"mode": "NONE"}, 'spec.mode: Unsupported value: "NONE": supported values: "SIMPLE", "MUTUAL"'),
        ({"host": ""}, 'spec.host: Invalid value: "": spec.host in body should be at least 1 chars long'),
        ({"host": "UPPER"}, "spec.host: Invalid value: \"UPPER\": spec.host in body should match '^[a-z.]+$'"),
        ({"hosts": []}, 'spec.hosts: Invalid value: "array": spec.hosts in body should have at least 1 items'),
        ({"hosts": ["a", "a"]}, 'spec.hosts[1]: Duplicate value: "a"'),
        (
            {"matches": [{"name": "a"}, {"name": "a"}]},
            'spec.matches[1]: Duplicate value: {"name": "a"}',
        ),
        ({"matches": [{"exact": "a"}]}, "spec.matches[0].name: Required value"),
        (
            {"matches": [{"name": "a", "exact": "a", "prefix": "b"}]},
            (
                'spec.matches[0]: Invalid value: "object": '
                '"spec.matches[0]" must validate one and only one schema (oneOf). Found 2 valid alternatives'
            ),
        ),
        (
            {"port": [1]},
            'spec.port: Invalid value: "array": spec.port in body must be of type integer,string: "array"',
        ),
        (
            {"labels": {"a": 1}},
            'spec.labels.a: Invalid value: "integer": spec.labels.a in body must be of type string: "integer"',
        ),
    ],
)
def test_what_the_schema_refuses_is_named(spec: dict[str, Any], words: str) -> None:
    assert words in problems(**spec)


def test_a_missing_required_field_is_named() -> None:
    causes = list(validate(SCHEMA, {"spec": {}}))
    assert [(cause.field, cause.message) for cause in causes] == [("spec.host", "Required value")]


@pytest.mark.parametrize("port", [80, "http"])
def test_a_port_is_a_number_or_text(port: int | str) -> None:
    assert problems(port=port) == []


@pytest.mark.parametrize("match", [{"name": "a"}, {"name": "a", "exact": "x"}, {"name": "a", "prefix": "x"}])
def test_one_alternative_or_none_may_hold(match: dict[str, str]) -> None:
    assert problems(matches=[match]) == []


@pytest.mark.parametrize(
    ("rule", "good", "bad"),
    [
        ({"format": "date-time"}, "2026-01-01T00:00:00Z", "2026-01-01"),
        ({"format": "uuid"}, "5c6a11c6-d32d-4a0e-ae30-78d27b228f01", "5c6a"),
        ({"anyOf": [{"pattern": "^a"}, {"pattern": "b$"}]}, "xb", "x"),
        ({"allOf": [{"pattern": "^a"}, {"pattern": "b$"}]}, "ab", "a"),
        ({"not": {"enum": ["x"]}}, "y", "x"),
        ({"maxLength": 2}, "ab", "abc"),
    ],
)
def test_further_rules_of_text(rule: dict[str, Any], good: str, bad: str) -> None:
    schema = compile_custom({"type": "object", "properties": {"text": {"type": "string", **rule}}})
    assert list(validate(schema, {"text": good})) == []
    assert {cause.field for cause in validate(schema, {"text": bad})} == {"text"}


def test_multiples_and_sizes_are_checked() -> None:
    raw = {
        "type": "object",
        "properties": {
            "step": {"type": "number", "multipleOf": 0.1},
            "few": {"type": "object", "maxProperties": 1, "additionalProperties": {"type": "string"}},
        },
    }
    schema = compile_custom(raw)
    assert list(validate(schema, {"step": 0.3, "few": {"a": "b"}})) == []
    assert [c.field for c in validate(schema, {"step": 0.35, "few": {"a": "b", "c": "d"}})] == ["step", "few"]


@pytest.mark.parametrize(
    ("form", "good", "bad"),
    [
        ("ipv4", "1.2.3.4", "1.2.3.4:8080"),
        ("ipv6", "::1", "1.2.3.4"),
        ("cidr", "10.0.0.0/8", "10.0.0.0"),
        ("mac", "00:1b:44:11:3a:b7", "00:1b:44"),
        ("date", "2026-02-28", "2026-02-30"),
        ("duration", "1h30m", "1 hour"),
        ("byte", "aGk=", "aGk"),
        ("unheard-of", "anything", None),
    ],
)
def test_texts_are_held_to_the_formats_that_a_server_knows(form: str, good: str, bad: str | None) -> None:
    schema = compile_custom({"type": "object", "properties": {"x": {"type": "string", "format": form}}})
    assert list(validate(schema, {"x": good})) == []
    if bad is not None:
        (cause,) = validate(schema, {"x": bad})
        assert cause.message == f'Invalid value: "{bad}": x in body must be of type {form}: "{bad}"'


def test_of_choices_that_all_fail_the_nearest_one_is_told() -> None:
    address = {"properties": {"type": {"enum": ["IP"]}, "value": {"anyOf": [{"format": "ipv4"}, {"format": "ipv6"}]}}}
    other = {"properties": {"type": {"not": {"enum": ["IP"]}}}}
    text = {"type": "string"}
    item = {"type": "object", "properties": {"type": text, "value": text}, "oneOf": [other, address]}
    schema = compile_custom({"type": "object", "properties": {"x": item}})
    messages = [cause.message for cause in validate(schema, {"x": {"type": "IP", "value": "1.2.3.4:80"}})]
    assert messages[0].endswith('"x" must validate one and only one schema (oneOf). Found none valid')
    assert 'Invalid value: "1.2.3.4:80": x.value in body must be of type ipv4: "1.2.3.4:80"' in messages


def test_what_is_too_long_says_so() -> None:
    text, items = {"type": "string", "maxLength": 2}, {"type": "array", "maxItems": 1, "items": {"type": "integer"}}
    schema = compile_custom({"type": "object", "properties": {"t": text, "l": items}})
    assert [(cause.field, cause.message, cause.reason) for cause in validate(schema, {"t": "abc", "l": [1, 2]})] == [
        ("t", "Too long: may not be more than 2 bytes", "FieldValueTooLong"),
        ("l", "Too many: 2: must have at most 1 items", "FieldValueTooMany"),
    ]
