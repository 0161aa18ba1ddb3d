"""Decodes objects of built-in kinds as a typed server does: unknown fields go, and a wrong type is an error.

The words of the errors are those of Kubernetes' JSON decoder, which quotes the names of Go types. Where it leaves out
which field is meant (quantities, times, base64), the path is added.
"""

from __future__ import annotations

import base64
import re
from copy import deepcopy
from typing import Any

from mesh_lab.kube.registry.syntax import quantities
from mesh_lab.kube.schemas import Form, Schema

_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)")
_BASE64 = re.compile(r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")
_NO_LINE_BREAKS = {ord("\n"): None, ord("\r"): None}
_LIMITS = {"int32": 2**31, "int64": 2**63}
# What a null means inside a list or a map, where it cannot mean absence.
_ZEROS: dict[Form, Any] = {
    Form.STRING: "",
    Form.INTEGER: 0,
    Form.NUMBER: 0,
    Form.BOOLEAN: False,
    Form.QUANTITY: "0",
}


_BYTES = "[]uint8"
_WORDS = ((dict, "object"), (list, "array"), (str, "string"))


class DecodeError(Exception):
    """A value of the wrong type. `field` is its path, with the positions in lists that the message leaves out."""

    def __init__(self, message: str, field: str) -> None:
        super().__init__(message)
        self.field = field


def decode(schema: Schema, value: Any) -> tuple[Any, list[str]]:
    """A copy of `value` without nulls and unknown fields, and the paths of the latter.

    Raises:
        DecodeError: a value has the wrong type.
    """
    decoder = _Decoder()
    return decoder.value(schema, value, "", ""), decoder.unknown


class _Decoder:
    def __init__(self) -> None:
        self.unknown: list[str] = []

    def value(self, schema: Schema, value: Any, path: str, owner: str) -> Any:
        form = schema.form
        if form is Form.STRING:
            if isinstance(value, str):
                return _canonical_base64(value, path) if schema.go_type == _BYTES else value
        elif form is Form.OBJECT:
            if isinstance(value, dict):
                return self._object(schema, value, path)
        elif form is Form.LIST:
            if isinstance(value, list) and schema.values is not None:
                one = schema.values
                return [
                    _zero(one) if item is None else self.value(one, item, f"{path}[{index}]", owner)
                    for index, item in enumerate(value)
                ]
        elif form is Form.MAP:
            if isinstance(value, dict) and schema.values is not None:
                one = schema.values
                return {
                    key: _zero(one) if item is None else self.value(one, item, f"{path}.{key}", owner)
                    for key, item in value.items()
                }
        elif form is Form.SCHEMA and schema.values is not None:
            if isinstance(value, bool):
                return value
            one = schema.values
            if isinstance(value, list):
                return [self.value(one, item, f"{path}[{index}]", owner) for index, item in enumerate(value)]
            return self.value(one, value, path, owner)
        elif form is Form.ANY:
            return deepcopy(value)
        else:
            return self._scalar(schema, value, path, owner)
        raise _mismatch(schema, value, path, owner)

    def _object(self, schema: Schema, value: dict[str, Any], path: str) -> dict[str, Any]:
        owner = schema.go_type.rpartition(".")[2]
        properties = schema.properties
        prefix = f"{path}." if path else ""
        result = {}
        for key, item in value.items():
            if key not in properties:
                self.unknown.append(prefix + key)
            elif item is not None:
                result[key] = self.value(properties[key], item, prefix + key, owner)
        return result

    def _scalar(self, schema: Schema, value: Any, path: str, owner: str) -> Any:
        form = schema.form
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if form is Form.INTEGER:
            if number and isinstance(value, int) and -_LIMITS[schema.go_type] <= value < _LIMITS[schema.go_type]:
                return value
        elif form is Form.BOOLEAN:
            if isinstance(value, bool):
                return value
        elif form is Form.NUMBER:
            if number:
                return value
        elif form is Form.INT_OR_STRING:
            if isinstance(value, str) or (number and isinstance(value, int)):
                return value
        elif form is Form.QUANTITY:
            if number or isinstance(value, str):
                try:
                    return quantities.canonical(str(value))
                except ValueError as error:
                    raise DecodeError(f"{path}: {error}", path) from error
        elif form is Form.TIME and isinstance(value, str):
            if not _TIME.fullmatch(value):
                words = f'parsing time "{value}" as "2006-01-02T15:04:05Z07:00": cannot parse "{value}" as "2006"'
                raise DecodeError(f"{path}: {words}", path)
            return value
        raise _mismatch(schema, value, path, owner)


def _canonical_base64(value: str, path: str) -> str:
    """The value as Go writes it again. Go's decoder skips line breaks, wherever they are, and nothing else.

    https://pkg.go.dev/encoding/base64#Encoding.Decode
    """
    text = value.translate(_NO_LINE_BREAKS) if "\n" in value or "\r" in value else value
    if not _BASE64.fullmatch(text):
        match = re.search(r"[^A-Za-z0-9+/\r\n]", value)
        where = match.start() if match and "=" not in match[0] else len(value)
        raise DecodeError(f"{path}: illegal base64 data at input byte {where}", path)
    return base64.b64encode(base64.b64decode(text)).decode()


def _zero(schema: Schema) -> Any:
    if schema.form in (Form.OBJECT, Form.MAP):
        return {}
    return [] if schema.form is Form.LIST else _ZEROS.get(schema.form)


def _mismatch(schema: Schema, value: Any, path: str, owner: str) -> DecodeError:
    where = re.sub(r"\[\d+\]", "", path)
    into = f"struct field {owner}.{where}" if owner else "value"
    return DecodeError(f"json: cannot unmarshal {_json_word(value)} into Go {into} of type {schema.go_type}", path)


def _json_word(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, (int, float)):
        return f"number {value}"
    return next((word for kind, word in _WORDS if isinstance(value, kind)), "null")
