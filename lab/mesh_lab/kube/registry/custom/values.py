"""What the API server does to a custom resource's object: prune, default, validate.

Types, enums, ranges, patterns, required fields and the logical combinations are checked here, rules in CEL in
`mesh_lab.kube.registry.custom.validations`. The words of the errors are those of a real API server.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from functools import lru_cache
from typing import Any

from mesh_lab.kube.errors import Cause
from mesh_lab.kube.registry.custom.formats import has_format
from mesh_lab.kube.schemas import Form, Schema

_ROOT_FIELDS = ("apiVersion", "kind", "metadata")


def prune(schema: Schema, value: Any, path: str, unknown: list[str]) -> Any:
    """A copy of `value` without unknown fields, whose paths are appended to `unknown`, and without needless nulls."""
    if schema.form in (Form.OBJECT, Form.MAP) and isinstance(value, dict):
        result = {}
        for key, item in value.items():
            where = f"{path}.{key}" if path else key
            field = schema.properties.get(key) or schema.values
            if field is None:
                if schema.preserve or (schema.embedded and key in _ROOT_FIELDS):
                    result[key] = deepcopy(item)
                else:
                    unknown.append(where)
            elif item is not None or field.nullable or field.form is Form.ANY:
                result[key] = prune(field, item, where, unknown)
        return result
    if schema.form is Form.LIST and isinstance(value, list) and schema.values is not None:
        return [prune(schema.values, item, f"{path}[{index}]", unknown) for index, item in enumerate(value)]
    return deepcopy(value)


def fill_defaults(schema: Schema, value: Any) -> None:
    """Set the defaults of absent fields, within what is present."""
    if not schema.has_defaults:
        return
    if isinstance(value, dict):
        for key, field in schema.properties.items():
            if field.default is not None and key not in value:
                value[key] = deepcopy(field.default)
            if key in value:
                fill_defaults(field, value[key])
        if schema.values is not None:
            for key in value.keys() - schema.properties.keys():
                fill_defaults(schema.values, value[key])
    elif isinstance(value, list) and schema.values is not None:
        for item in value:
            fill_defaults(schema.values, item)


def validate(schema: Schema, value: Any, path: str = "") -> Iterator[Cause]:
    """Everything that is wrong with `value`."""
    if value is None:
        if not schema.nullable and schema.form is not Form.ANY:
            yield _type_cause(schema, value, path)
        return
    if not _fits(schema.form, value):
        yield _type_cause(schema, value, path)
        return
    if schema.enum and value not in schema.enum:
        supported = ", ".join(_quote(one) for one in schema.enum)
        words = f"Unsupported value: {_quote(value)}: supported values: {supported}"
        yield Cause(path, words, "FieldValueNotSupported")
    yield from _ranges(schema.rules, value, path)
    yield from _combinations(schema.rules, value, path)
    if isinstance(value, dict):
        yield from _fields(schema, value, path)
    elif isinstance(value, list):
        yield from _items(schema, value, path)


def _fields(schema: Schema, value: dict[str, Any], path: str) -> Iterator[Cause]:
    prefix = f"{path}." if path else ""
    for name in schema.required:
        if name not in value:
            yield Cause(prefix + name, "Required value", "FieldValueRequired")
    for key, item in value.items():
        field = schema.properties.get(key) or schema.values
        if field is not None and not (not path and key in _ROOT_FIELDS):
            yield from validate(field, item, prefix + key)


def _items(schema: Schema, value: list[Any], path: str) -> Iterator[Cause]:
    if schema.values is None:
        return
    seen: list[Any] = []
    for index, item in enumerate(value):
        yield from validate(schema.values, item, f"{path}[{index}]")
        if schema.list_type not in ("set", "map"):
            continue
        key = item
        if schema.list_type == "map" and isinstance(item, dict):
            key = {name: item.get(name) for name in schema.map_keys}
        if key in seen:
            yield Cause(f"{path}[{index}]", f"Duplicate value: {json.dumps(key)}", "FieldValueDuplicate")
        seen.append(key)


def _fits(form: Form, value: Any) -> bool:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if form in (Form.OBJECT, Form.MAP):
        return isinstance(value, dict)
    if form is Form.LIST:
        return isinstance(value, list)
    if form is Form.STRING:
        return isinstance(value, str)
    if form is Form.BOOLEAN:
        return isinstance(value, bool)
    if form is Form.INTEGER:
        return number and float(value).is_integer()
    if form is Form.NUMBER:
        return number
    if form is Form.INT_OR_STRING:
        return isinstance(value, str) or (number and float(value).is_integer())
    return True


def _type_cause(schema: Schema, value: Any, path: str) -> Cause:
    wanted = "integer,string" if schema.form is Form.INT_OR_STRING else schema.go_type or schema.form.value
    found = _type_word(value)
    words = f'Invalid value: "{found}": {path} in body must be of type {wanted}: "{found}"'
    return Cause(path, words, "FieldValueTypeInvalid")


def _type_word(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    words = {dict: "object", list: "array", str: "string", int: "integer", float: "number", type(None): "null"}
    return words.get(type(value), type(value).__name__)


def _quote(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _shown(value: Any) -> str:
    return f'"{_type_word(value)}"' if isinstance(value, (dict, list)) else _quote(value)


def _ranges(rules: Mapping[str, Any], value: Any, path: str) -> Iterator[Cause]:
    for words in _broken(rules, value):
        yield Cause(path, f"Invalid value: {_shown(value)}: {path} in body {words}")
    if excess := _excess(rules, value):
        yield Cause(path, *excess)


def _excess(rules: Mapping[str, Any], value: Any) -> tuple[str, str] | None:
    """What is said of a text or list that is too long, and its reason: rules in CEL are not evaluated on it."""
    if isinstance(value, str) and len(value) > (most := rules.get("maxLength", len(value))):
        return f"Too long: may not be more than {most} bytes", "FieldValueTooLong"
    if isinstance(value, list) and len(value) > (most := rules.get("maxItems", len(value))):
        return f"Too many: {len(value)}: must have at most {most} items", "FieldValueTooMany"
    return None


def _broken(rules: Mapping[str, Any], value: Any) -> Iterator[str]:
    """The simple rules that the value breaks."""
    if isinstance(value, str):
        yield from _broken_by_text(rules, value)
    elif isinstance(value, bool):
        return
    elif isinstance(value, (int, float)):
        yield from _broken_by_number(rules, value)
    elif isinstance(value, (list, dict)):
        few, what = ("minItems", "items") if isinstance(value, list) else ("minProperties", "properties")
        if few in rules and len(value) < rules[few]:
            yield f"should have at least {rules[few]} {what}"
        if isinstance(value, dict) and len(value) > (most := rules.get("maxProperties", len(value))):
            yield f"should have at most {most} {what}"


def _broken_by_text(rules: Mapping[str, Any], value: str) -> Iterator[str]:
    if "minLength" in rules and len(value) < rules["minLength"]:
        yield f"should be at least {rules['minLength']} chars long"
    if "pattern" in rules and not _pattern(rules["pattern"]).search(value):
        yield f"should match '{rules['pattern']}'"
    if "format" in rules and not has_format(rules["format"], value):
        yield f"must be of type {rules['format']}: {_quote(value)}"


def _broken_by_number(rules: Mapping[str, Any], value: float) -> Iterator[str]:
    low, high, step = rules.get("minimum"), rules.get("maximum"), rules.get("multipleOf")
    if low is not None and (value < low or (rules.get("exclusiveMinimum") and value == low)):
        yield f"should be greater than {'' if rules.get('exclusiveMinimum') else 'or equal to '}{low}"
    if high is not None and (value > high or (rules.get("exclusiveMaximum") and value == high)):
        yield f"should be less than {'' if rules.get('exclusiveMaximum') else 'or equal to '}{high}"
    if step and not math.isclose(value / step, round(value / step)):
        yield f"should be a multiple of {step}"
    limit = {"int32": 2**31, "int64": 2**63}.get(rules.get("format", ""))
    if limit and not -limit <= value < limit:
        yield f"must be of type {rules['format']}"


@lru_cache(maxsize=512)
def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text)


def _combinations(rules: Mapping[str, Any], value: Any, path: str) -> Iterator[Cause]:
    shown, where = _shown(value), path or "<root>"
    one_of = rules.get("oneOf")
    if one_of and (count := sum(holds(one, value) for one in one_of)) != 1:
        found = "Found none valid" if count == 0 else f"Found {count} valid alternatives"
        words = f'"{where}" must validate one and only one schema (oneOf). {found}'
        yield Cause(path, f"Invalid value: {shown}: {words}")
        if count == 0:
            yield from _nearest(one_of, value, path)
    if rules.get("anyOf") and not any(holds(one, value) for one in rules["anyOf"]):
        yield Cause(path, f'Invalid value: {shown}: "{where}" must validate at least one schema (anyOf)')
        yield from _nearest(rules["anyOf"], value, path)
    if rules.get("allOf") and not all(holds(one, value) for one in rules["allOf"]):
        yield Cause(path, f'Invalid value: {shown}: "{where}" must validate all the schemas (allOf)')
    if rules.get("not") and holds(rules["not"], value):
        yield Cause(path, f'Invalid value: {shown}: "{where}" must not validate the schema (not)')


def _nearest(choices: Sequence[Mapping[str, Any]], value: Any, path: str) -> list[Cause]:
    """What is wrong with a value by the choice that it is nearest to: the one with the most fields as it wants them."""
    nearest = max(choices, key=lambda one: _agreeing(one, value))
    return [*_failures(nearest, value, path)]


def _agreeing(choice: Mapping[str, Any], value: Any) -> int:
    fields = (choice.get("properties") or {}) if isinstance(value, dict) else {}
    return sum(name in value and holds(one, value[name]) for name, one in fields.items())


def _failures(raw: Mapping[str, Any], value: Any, path: str) -> Iterator[Cause]:
    """What is wrong with a value by a raw JSON schema: `holds` with words."""
    if (kind := raw.get("type")) and not holds({"type": kind}, value):
        found = _type_word(value)
        words = f'Invalid value: "{found}": {path} in body must be of type {kind}: "{found}"'
        yield Cause(path, words, "FieldValueTypeInvalid")
        return
    if "enum" in raw and value not in raw["enum"]:
        supported = ", ".join(_quote(one) for one in raw["enum"])
        yield Cause(
            path, f"Unsupported value: {_quote(value)}: supported values: {supported}", "FieldValueNotSupported"
        )
    yield from _ranges(raw, value, path)
    yield from _combinations(raw, value, path)
    if isinstance(value, dict):
        prefix = f"{path}." if path else ""
        for name in raw.get("required") or ():
            if name not in value:
                yield Cause(prefix + name, "Required value", "FieldValueRequired")
        for name, one in (raw.get("properties") or {}).items():
            if name in value:
                yield from _failures(one, value[name], prefix + name)
    elif isinstance(value, list) and isinstance(raw.get("items"), Mapping):
        for index, item in enumerate(value):
            yield from _failures(raw["items"], item, f"{path}[{index}]")


def holds(raw: Mapping[str, Any], value: Any) -> bool:
    """Whether a value satisfies a raw JSON schema, as it stands below `oneOf` and its like."""
    kind = raw.get("type")
    number_for_integer = kind == "number" and _type_word(value) == "integer"
    if kind and _type_word(value) != kind and not number_for_integer:
        return False
    if "enum" in raw and value not in raw["enum"]:
        return False
    if next(_broken(raw, value), None) is not None or _excess(raw, value):
        return False
    if isinstance(value, dict):
        if any(name not in value for name in raw.get("required") or ()):
            return False
        properties = raw.get("properties") or {}
        if not all(holds(one, value[name]) for name, one in properties.items() if name in value):
            return False
    items = raw.get("items")
    if isinstance(value, list) and isinstance(items, Mapping) and not all(holds(items, item) for item in value):
        return False
    return next(_combinations(raw, value, ""), None) is None
