"""Values as expressions see them, by their schema."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mesh_lab.kube.registry.cel.declared import MOST_BYTES, Declared, declare, escaped
from mesh_lab.kube.registry.cel.expressions import as_data, program
from mesh_lab.kube.registry.cel.values import FormatError, parse_duration, to_cel
from mesh_lab.kube.schemas.structural import compile_custom


def seen(schema: dict[str, Any], value: Any, text: str, **options: Any) -> Any:
    whole = compile_custom({"type": "object", "properties": {"x": schema}})
    return program(text).evaluate({"self": to_cel(whole, {"x": value}, root=True, **options)})


@pytest.mark.parametrize(
    ("schema", "value", "text"),
    [
        ({"type": "number"}, 1, "type(self.x) == double"),
        ({"type": "integer"}, 1.0, "type(self.x) == int"),
        ({"type": "string", "format": "date-time"}, "2026-01-02T03:04:05+01:00", "self.x.getHours() == 2"),
        ({"type": "string", "format": "date"}, "2026-01-02", "self.x == timestamp('2026-01-02T00:00:00Z')"),
        ({"type": "string", "format": "duration"}, "1h30m", "self.x == duration('5400s')"),
        ({"type": "string", "format": "byte"}, "aGk=", "self.x == b'hi'"),
        ({"x-kubernetes-int-or-string": True}, "5%", "type(self.x) == string"),
        ({"x-kubernetes-int-or-string": True}, 5, "type(self.x) == int"),
        ({"type": "string", "nullable": True}, None, "self.x == null"),
        ({"type": "object", "properties": {"a.b": {"type": "string"}}}, {"a.b": "c"}, "self.x.a__dot__b == 'c'"),
        (
            {"type": "object", "x-kubernetes-embedded-resource": True, "x-kubernetes-preserve-unknown-fields": True},
            {"kind": "Pod", "metadata": {"name": "n"}},
            "self.x.kind == 'Pod' && self.x.metadata.name == 'n'",
        ),
        ({"type": "object", "additionalProperties": {"type": "number"}}, {"k": 1}, "self.x.k == 1.0"),
    ],
)
def test_the_schema_says_what_a_value_is(schema: dict[str, Any], value: Any, text: str) -> None:
    assert seen(schema, value, text) is True


def test_what_the_schema_does_not_know_still_tells_objects_apart() -> None:
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    assert seen(schema, {"a": 1}, "self.x == {'a': 2}") is False


def test_sets_and_maps_are_equal_in_any_order() -> None:
    schema = {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}}
    assert seen(schema, ["b", "a"], "self.x == ['a', 'b']", ordered=False) is True
    assert seen(schema, ["b", "a"], "self.x == ['b', 'a']") is True


@pytest.mark.parametrize("form", ["date-time", "date", "byte", "duration"])
def test_a_text_of_the_wrong_format_has_no_value(form: str) -> None:
    with pytest.raises(FormatError, match="Invalid"):
        seen({"type": "string", "format": form}, "!", "true")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1h30m", timedelta(hours=1.5)),
        ("-1.5s", timedelta(seconds=-1.5)),
        ("0", timedelta()),
        ("5us", timedelta(microseconds=5)),
    ],
)
def test_durations_are_gos(text: str, expected: timedelta) -> None:
    assert parse_duration(text) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.b", "a__dot__b"),
        ("in", "__in__"),
        ("a__b", "a__underscores__b"),
        ("-x/y", "__dash__x__slash__y"),
        ("1a", ""),
        ("ä", ""),
    ],
)
def test_names_are_escaped(name: str, expected: str) -> None:
    assert escaped(name) == expected


def test_sizes_are_bounded_by_the_schema_or_by_the_request() -> None:
    few = _declared({"type": "array", "maxItems": 3, "items": {"type": "string", "maxLength": 5}})
    assert few.element is not None
    assert (few.most, few.element.most) == (3, 20)
    assert _declared({"type": "array", "items": {"type": "integer"}}).most == (MOST_BYTES - 2) // 2


def _declared(schema: dict[str, Any]) -> Declared:
    whole = declare(compile_custom({"type": "object", "properties": {"x": schema}}))
    assert whole is not None
    return whole.fields["x"]


@pytest.mark.parametrize("value", ["a\0b", ["\0"], {"\0": 1}])
def test_a_text_that_the_library_would_cut_has_no_value(value: Any) -> None:
    with pytest.raises(FormatError, match="NUL"):
        seen({"x-kubernetes-preserve-unknown-fields": True}, value, "true")


def test_a_time_that_an_expression_gave_may_be_read_by_another() -> None:
    when = program("timestamp('2026-01-02T00:00:00Z')").evaluate({})
    assert when == datetime(2026, 1, 2, tzinfo=UTC)
    assert program("v.t.getFullYear() == 2026").evaluate({"v": as_data({"t": when})}) is True
