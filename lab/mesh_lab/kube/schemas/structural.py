"""Schemas of custom resources: the structural schema of a CustomResourceDefinition, compiled.

https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#specifying-a-structural-schema
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

import orjson

from mesh_lab.kube.schemas import ANY, OBJECT_META, Form, Schema, Validation, named_schema

_RULES = (
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "pattern",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "minProperties",
    "maxProperties",
    "format",
    "oneOf",
    "anyOf",
    "allOf",
    "not",
)
_FORMS = {
    "string": Form.STRING,
    "integer": Form.INTEGER,
    "number": Form.NUMBER,
    "boolean": Form.BOOLEAN,
    "array": Form.LIST,
}


def compile_custom(raw: Mapping[str, Any] | None) -> Schema:
    """The schema of a custom resource's objects out of its `openAPIV3Schema`; None takes any field."""
    return _compiled(orjson.dumps(raw or {"type": "object", "x-kubernetes-preserve-unknown-fields": True}))


@lru_cache(maxsize=32)
def _compiled(raw: bytes) -> Schema:
    schema = _compile(orjson.loads(raw))
    text = Schema(Form.STRING, go_type="string")
    schema.properties = {
        **schema.properties,
        "apiVersion": text,
        "kind": text,
        "metadata": named_schema(OBJECT_META),
    }
    return schema


def _compile(raw: Mapping[str, Any], more: Sequence[_Place] = ()) -> Schema:
    """A schema, with the rules in CEL that others have for the same values: they stand below `allOf`."""
    places = [*_all_of(("", raw)), *(each for place in more for each in _all_of(place))]
    preserve = bool(raw.get("x-kubernetes-preserve-unknown-fields"))
    properties = {
        name: _compile(one, _below(places[1:], "properties", name))
        for name, one in (raw.get("properties") or {}).items()
    }
    form, values = _form(raw, places[1:])
    validations = tuple(_validations(places))
    return Schema(
        form,
        properties,
        values,
        tuple(raw.get("required") or ()),
        go_type=raw.get("type", ""),
        list_type=raw.get("x-kubernetes-list-type", ""),
        map_keys=tuple(raw.get("x-kubernetes-list-map-keys") or ()),
        atomic=raw.get("x-kubernetes-map-type") == "atomic",
        preserve=preserve,
        embedded=bool(raw.get("x-kubernetes-embedded-resource")),
        nullable=bool(raw.get("nullable")),
        enum=tuple(raw.get("enum") or ()),
        default=raw.get("default"),
        has_defaults="default" in raw
        or any(one.has_defaults for one in properties.values())
        or bool(values and values.has_defaults),
        rules={key: raw[key] for key in _RULES if key in raw},
        validations=validations,
        has_validations=bool(validations)
        or any(one.has_validations for one in properties.values())
        or bool(values and values.has_validations),
    )


_Place = tuple[str, Mapping[str, Any]]
"""A schema of values, and where it stands in relation to the first schema of the same values."""


def _all_of(place: _Place) -> Iterator[_Place]:
    yield place
    where, raw = place
    for index, one in enumerate(raw.get("allOf") or ()):
        yield from _all_of((f"{where}allOf[{index}].", one))


def _below(places: Sequence[_Place], field: str, name: str = "") -> list[_Place]:
    """What schemas say of a property, or of the items or values of what they describe."""
    found = []
    for where, raw in places:
        one = (raw.get(field) or {}).get(name) if name else raw.get(field)
        if isinstance(one, Mapping):
            found.append((f"{where}{field}[{name}]." if name else f"{where}{field}.", one))
    return found


def _validations(places: Sequence[_Place]) -> Iterator[Validation]:
    for where, raw in places:
        for index, one in enumerate(raw.get("x-kubernetes-validations") or ()):
            yield Validation(
                f"{where}x-kubernetes-validations[{index}]",
                one.get("rule", ""),
                one.get("message", ""),
                one.get("messageExpression", ""),
                one.get("reason", ""),
                one.get("fieldPath", ""),
                one.get("optionalOldSelf"),
            )


def _form(raw: Mapping[str, Any], more: Sequence[_Place]) -> tuple[Form, Schema | None]:
    if raw.get("x-kubernetes-int-or-string"):
        return Form.INT_OR_STRING, None
    kind = raw.get("type", "")
    if kind == "array":
        items = raw.get("items")
        return Form.LIST, _compile(items, _below(more, "items")) if isinstance(items, Mapping) else ANY
    if kind in _FORMS:
        return _FORMS[kind], None
    values = raw.get("additionalProperties")
    if kind == "object" and values:
        return Form.MAP, _compile(values, _below(more, "additionalProperties")) if isinstance(values, Mapping) else ANY
    if kind == "object" or raw.get("properties"):
        return Form.OBJECT, None
    return Form.ANY, None
