"""Schemas of custom resources: the structural schema of a CustomResourceDefinition, compiled.

https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#specifying-a-structural-schema
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import orjson

from mesh_lab.kube.schemas import ANY, OBJECT_META, Form, Schema, named_schema

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


def _compile(raw: Mapping[str, Any]) -> Schema:
    preserve = bool(raw.get("x-kubernetes-preserve-unknown-fields"))
    properties = {name: _compile(one) for name, one in (raw.get("properties") or {}).items()}
    form, values = _form(raw)
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
    )


def _form(raw: Mapping[str, Any]) -> tuple[Form, Schema | None]:
    if raw.get("x-kubernetes-int-or-string"):
        return Form.INT_OR_STRING, None
    kind = raw.get("type", "")
    if kind == "array":
        return Form.LIST, _compile(raw["items"]) if isinstance(raw.get("items"), Mapping) else ANY
    if kind in _FORMS:
        return _FORMS[kind], None
    more = raw.get("additionalProperties")
    if kind == "object" and more:
        return Form.MAP, _compile(more) if isinstance(more, Mapping) else ANY
    if kind == "object" or raw.get("properties"):
        return Form.OBJECT, None
    return Form.ANY, None
