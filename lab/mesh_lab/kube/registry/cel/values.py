"""Values of objects as CEL gets them: by the schema, numbers are integers or not, and texts may be times or bytes."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from mesh_lab.kube.registry.cel.declared import escaped
from mesh_lab.kube.registry.cel.environment import duration_message, timestamp_message
from mesh_lab.kube.schemas import Form, Schema

_WHOLE_FIELDS = ("apiVersion", "kind", "metadata")
_UNITS = {"ns": 1e-3, "us": 1, "µs": 1, "ms": 1e3, "s": 1e6, "m": 6e7, "h": 3.6e9}
_DURATION = re.compile(r"[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:ns|us|µs|ms|s|m|h))+|[+-]?0")
_PART = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|µs|ms|s|m|h)")


class FormatError(ValueError):
    """A value that its schema's format does not allow, or that cannot be handed to an expression."""


def to_cel(schema: Schema, value: Any, *, root: bool = False, ordered: bool = True) -> Any:
    """A value as expressions see it, with the escaped names of its fields.

    With `ordered` False, lists that are sets or maps get one order, whatever theirs is: two that hold the same are
    equal then, as they are in Kubernetes' CEL.

    Raises:
        FormatError: a text has not the format that its schema says.
    """
    if value is None:
        return None
    form = schema.form
    if form is Form.STRING:
        return _text(schema.rules.get("format", ""), value)
    if form is Form.NUMBER:
        return float(value)
    if form is Form.INTEGER:
        return int(value)
    if isinstance(value, list) and schema.values is not None:
        items = [to_cel(schema.values, one, ordered=ordered) for one in value]
        return items if ordered or schema.list_type not in ("set", "map") else _in_one_order(schema, value, items)
    if form is Form.MAP and schema.values is not None and isinstance(value, dict):
        return {whole(key): to_cel(schema.values, one, ordered=ordered) for key, one in value.items()}
    if isinstance(value, dict):
        return _fields(schema, value, root or schema.embedded, ordered)
    return whole(value)


def whole(value: Any) -> Any:
    """A value without a schema, as it is.

    Raises:
        FormatError: a text has a NUL, at which the CEL library would cut it: a rule must not judge a part.
    """
    if isinstance(value, str):
        if "\0" in value:
            raise FormatError("a text with a NUL cannot be evaluated")
    elif isinstance(value, list):
        for one in value:
            whole(one)
    elif isinstance(value, dict):
        for key, one in value.items():
            whole(key)
            whole(one)
    return value


def _fields(schema: Schema, value: Mapping[str, Any], resource: bool, ordered: bool) -> dict[str, Any]:
    """An object's fields, also those that the schema does not know.

    No expression compiles that names these, but an object is not equal to another one that differs in them.
    """
    seen: dict[str, Any] = {}
    for name, one in value.items():
        field = None if resource and name in _WHOLE_FIELDS else schema.properties.get(name)
        seen[escaped(name) or whole(name)] = whole(one) if field is None else to_cel(field, one, ordered=ordered)
    return seen


def _in_one_order(schema: Schema, raw: list[Any], items: list[Any]) -> list[Any]:
    def key(index: int) -> str:
        item = raw[index]
        if schema.list_type == "map" and isinstance(item, dict):
            item = [item.get(name) for name in schema.map_keys]
        return json.dumps(item, sort_keys=True)

    return [items[index] for index in sorted(range(len(items)), key=key)]


def _text(form: str, value: Any) -> Any:
    try:
        if form == "byte":
            return base64.b64decode(value, validate=True)
        if form == "date":
            return timestamp_message(datetime.fromisoformat(value).replace(tzinfo=UTC))
        if form == "date-time":
            return timestamp_message(datetime.fromisoformat(value))
    except (ValueError, binascii.Error) as error:
        raise FormatError(f"Invalid {form} formatted string {value}: {error}") from error
    return duration_message(parse_duration(value)) if form == "duration" else whole(value)


def parse_duration(text: str) -> timedelta:
    """A duration as Go writes it (`1h30m`).

    Raises:
        FormatError: it is none.
    """
    if not _DURATION.fullmatch(text):
        raise FormatError(f'Invalid duration {text}: time: invalid duration "{text}"')
    micros = sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text))
    return timedelta(microseconds=-micros if text.startswith("-") else micros)
