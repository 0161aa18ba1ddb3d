"""Request bodies of the type `application/vnd.kubernetes.protobuf`, turned into the JSON form that the lab stores.

client-go sends some bodies as protobuf and does not fall back (kubectl create namespace, secret, token; DeleteOptions;
helm's Secrets). Answers stay JSON, which every client accepts. Decoding follows a table of field numbers; what the
table cannot say is below: types that have a JSON form of their own, Go's embedded structs, and zeros that mean
something.

Protobuf always carries a field that Go holds by value, even when it is zero, and JSON leaves it out (`omitempty`). So a
zero is dropped, but for fields where it differs from nothing (`replicas: 0`).
"""

from __future__ import annotations

import base64
import functools
import gzip
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson

from mesh_lab.kube.registry.kinds import BUILTIN
from mesh_lab.rfc3339 import micro_timestamp, timestamp

MEDIA_TYPE = "application/vnd.kubernetes.protobuf"
MAGIC = b"k8s\0"
FIELDS_FILE = Path(__file__).parent / "protobuf_fields.json.gz"
META = "k8s.io.apimachinery.pkg.apis.meta.v1."
UNKNOWN = "k8s.io.apimachinery.pkg.runtime.Unknown"

_EMBEDDED = frozenset(
    {"ephemeralContainerCommon", "handler", "localObjectReference", "rule", "ruleWithOperations", "volumeSource"}
)
"""Go structs without a JSON name of their own: their fields belong to the message around them."""

_ZERO_COUNTS = frozenset(
    {
        *("blockOwnerDeletion", "controller", "deletionGracePeriodSeconds", "gracePeriodSeconds", "orphanDependents"),
        *(name for kind in BUILTIN for name in kind.zero_counts),
    }
)
"""Scalars that are pointers in Go, or required: zero and false are not the same as nothing. Those of metadata and of
options stand here, the others in their kind's `Behaviour`. Text is never one: `uid` is a number in one message and text
in the others."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5


class ProtobufError(ValueError):
    """The body is not a protobuf message of the kind that it claims to be."""


@dataclass(frozen=True)
class _Field:
    name: str
    label: str
    kind: str


def message_name(api_version: str, kind: str) -> str:
    """The full name of the protobuf message of a kind: `v1`, `Pod` is `k8s.io.api.core.v1.Pod`."""
    group, _, version = api_version.rpartition("/")
    package = group.partition(".")[0] or "core"
    return f"k8s.io.api.{package}.{version}.{kind}"


def decode(body: bytes) -> dict[str, Any]:
    """The object in a request's body.

    Raises:
        ProtobufError: the body is not a protobuf object.
    """
    if not body.startswith(MAGIC):
        raise ProtobufError("the body does not begin as Kubernetes' protobuf does (k8s\\0)")
    envelope = _plain(_decode_message(memoryview(body)[len(MAGIC) :], UNKNOWN))
    type_meta = envelope.get("typeMeta", {})
    api_version, kind = type_meta.get("apiVersion", ""), type_meta.get("kind", "")
    known = _messages()
    names = (message_name(api_version, kind), META + kind)
    name = next((n for n in names if n in known), None)
    if name is None:
        raise ProtobufError(f'no protobuf form of kind "{kind}" in version "{api_version}" is known; send JSON')
    raw = base64.b64decode(envelope.get("raw", ""))
    return {"apiVersion": api_version, "kind": kind, **_plain(_decode_message(memoryview(raw), name))}


@functools.cache
def _messages() -> dict[str, dict[int, _Field]]:
    table = orjson.loads(gzip.decompress(FIELDS_FILE.read_bytes()))
    return {
        message: {int(number): _Field(*field) for number, field in fields.items()} for message, fields in table.items()
    }


def _decode_message(data: memoryview, name: str) -> Any:
    """The JSON form of one message: a dict, or what its type's own JSON form is; None for a zero time."""
    result: dict[str, Any] = {}
    fields = _messages()[name]
    for number, wire, value in _entries(data):
        field = fields.get(number)
        if field is not None:
            _put(result, field, wire, value)
    own = _OWN_FORMS.get(name)
    return own(result) if own else result


def _put(result: dict[str, Any], field: _Field, wire: int, value: int | memoryview) -> None:
    if field.label == "M":
        key, item = _map_entry(field, _bytes(field, value))
        result.setdefault(field.name, {})[key] = item
    elif field.label == "R":
        packed = wire == _LENGTH and field.kind in _NUMBERS
        items = _packed(field, _bytes(field, value)) if packed else [_value(field, wire, value)]
        result.setdefault(field.name, []).extend(items)
    elif field.name in _EMBEDDED:
        result.update(_value(field, wire, value))
    else:
        item = _value(field, wire, value)
        counts = field.kind != "s" and field.name in _ZERO_COUNTS
        scalar_zero = item is None or (len(field.kind) == 1 and not item and not counts)
        if not scalar_zero:
            result[field.name] = item
        else:
            result.pop(field.name, None)


def _map_entry(field: _Field, data: memoryview) -> tuple[str, Any]:
    key = ""
    item: Any = "" if field.kind in "sB" else None
    for number, wire, value in _entries(data):
        if number == 1:
            key = _text(field, _bytes(field, value))
        elif number == 2:
            item = _value(field, wire, value)
    return key, item


def _packed(field: _Field, data: memoryview) -> list[Any]:
    items, at = [], 0
    while at < len(data):
        number, at = _varint(data, at)
        items.append(_NUMBERS[field.kind](number))
    return items


def _value(field: _Field, wire: int, value: int | memoryview) -> Any:
    if field.kind in _NUMBERS:
        if wire != _VARINT or not isinstance(value, int):
            raise ProtobufError(f"{field.name}: wire type {wire} where a number belongs")
        return _NUMBERS[field.kind](value)
    data = _bytes(field, value)
    if field.kind == "s":
        return _text(field, data)
    if field.kind == "B":
        return base64.b64encode(data).decode()
    if field.kind in _FLOATS:
        if wire != _FLOATS[field.kind][0]:
            raise ProtobufError(f"{field.name}: wire type {wire} where a floating-point number belongs")
        return struct.unpack(_FLOATS[field.kind][1], data)[0]
    return _decode_message(data, field.kind)


def _bytes(field: _Field, value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise ProtobufError(f"{field.name}: a number where text or a message belongs")
    return value


def _text(field: _Field, data: memoryview) -> str:
    try:
        return str(data, "utf-8")
    except UnicodeDecodeError as error:
        raise ProtobufError(f"{field.name}: not UTF-8") from error


def _entries(data: memoryview) -> Iterator[tuple[int, int, int | memoryview]]:
    """(field number, wire type, value) of each field as it stands; the value is a number, or the bytes of all else."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        number, wire = tag >> 3, tag & 7
        if wire == _VARINT:
            value, at = _varint(data, at)
            yield number, wire, value
            continue
        if wire == _LENGTH:
            length, at = _varint(data, at)
        elif wire in (_FIXED64, _FIXED32):
            length = 8 if wire == _FIXED64 else 4
        else:
            raise ProtobufError(f"field {number}: wire type {wire} is not in use")
        if at + length > len(data):
            raise ProtobufError(f"field {number}: the message ends within it")
        yield number, wire, data[at : at + length]
        at += length


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            raise ProtobufError("the message ends within a number")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFF_FFFF_FFFF_FFFF, at
    raise ProtobufError("a number is longer than ten bytes")


def _signed(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value


def _unsigned(value: int) -> int:
    return value


_NUMBERS: dict[str, Callable[[int], int]] = {"b": bool, "i": _signed, "u": _unsigned}
_FLOATS = {"d": (_FIXED64, "<d"), "f": (_FIXED32, "<f")}


def _plain(message: Any) -> dict[str, Any]:
    if not isinstance(message, dict):
        raise ProtobufError("the body holds no object")
    return message


def _time(parts: dict[str, Any]) -> str | None:
    moment = _moment(parts)
    return None if moment is None else timestamp(moment)


def _micro_time(parts: dict[str, Any]) -> str | None:
    moment = _moment(parts)
    return None if moment is None else micro_timestamp(moment)


def _moment(parts: dict[str, Any]) -> datetime | None:
    """None for Go's zero time, which is encoded as nothing at all."""
    if not parts:
        return None
    try:
        return _EPOCH + timedelta(seconds=parts.get("seconds", 0), microseconds=parts.get("nanos", 0) // 1000)
    except OverflowError as error:
        raise ProtobufError("a time lies outside the calendar") from error


def _int_or_string(parts: dict[str, Any]) -> int | str:
    if parts.get("type", 0) == 1:
        return str(parts.get("strVal", ""))
    return int(parts.get("intVal", 0))


def _quantity(parts: dict[str, Any]) -> str:
    return str(parts.get("string", "0")) or "0"


def _items(parts: dict[str, Any]) -> list[Any]:
    return list(parts.get("items", []))


def _embedded_json(parts: dict[str, Any]) -> Any:
    raw = base64.b64decode(parts.get("Raw") or parts.get("raw") or "")
    if not raw:
        return None
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise ProtobufError("embedded JSON cannot be read") from error


_OWN_FORMS: dict[str, Callable[[dict[str, Any]], Any]] = {
    META + "Time": _time,
    META + "MicroTime": _micro_time,
    META + "FieldsV1": _embedded_json,
    "k8s.io.apimachinery.pkg.runtime.RawExtension": _embedded_json,
    "k8s.io.apimachinery.pkg.util.intstr.IntOrString": _int_or_string,
    "k8s.io.apimachinery.pkg.api.resource.Quantity": _quantity,
    "k8s.io.api.authentication.v1.ExtraValue": _items,
    "k8s.io.api.authorization.v1.ExtraValue": _items,
}
