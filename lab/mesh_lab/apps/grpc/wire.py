"""Protobuf's wire format (https://protobuf.dev/programming-guides/encoding/) by field numbers, without descriptions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

Value = int | bytes
Fields = dict[int, list[Value]]

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


class WireError(ValueError):
    """Bytes that are no protobuf message."""


def decode(data: bytes) -> Fields:
    """A message's fields in the order of arrival: numbers, or bytes for texts and messages.

    Raises:
        WireError: it is no message.
    """
    found: Fields = {}
    position = 0
    while position < len(data):
        key, position = _varint(data, position)
        kind = key & 7
        value: Value
        if kind == _VARINT:
            value, position = _varint(data, position)
        elif kind in (_FIXED64, _FIXED32):
            size = 8 if kind == _FIXED64 else 4
            value, position = int.from_bytes(data[position : position + size], "little"), position + size
        elif kind == _BYTES:
            size, position = _varint(data, position)
            value, position = data[position : position + size], position + size
        else:
            raise WireError(f"wire type {kind}")
        if position > len(data):
            raise WireError("the message ends within a field")
        found.setdefault(key >> 3, []).append(value)
    return found


def text(fields: Fields, number: int) -> str:
    """A text field; empty where it is missing."""
    value = fields.get(number, [b""])[-1]
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else ""


def integer(fields: Fields, number: int) -> int:
    """An integer field (int32, int64, enum, bool); 0 where it is missing."""
    value = fields.get(number, [0])[-1]
    if isinstance(value, bytes):
        return 0
    return value - (1 << 64) if value >> 63 else value


def message(fields: Fields, number: int) -> Fields:
    """A field that is a message; an empty one where it is missing. One that arrives in parts is merged."""
    return decode(b"".join(value for value in fields.get(number, []) if isinstance(value, bytes)))


def messages(fields: Fields, number: int) -> list[Fields]:
    """A repeated field of messages."""
    return [decode(value) for value in fields.get(number, []) if isinstance(value, bytes)]


def texts(fields: Fields, number: int) -> dict[str, str]:
    """A field that is a map of texts."""
    return {text(entry, 1): text(entry, 2) for entry in messages(fields, number)}


def encode(fields: Mapping[int, int | str | bytes | Iterable[bytes]]) -> bytes:
    """A message. Zeros and empty values are left out, as proto3 has it; an iterable is a repeated field."""
    parts = []
    for number, value in fields.items():
        if isinstance(value, int):
            if value:
                parts.append(_varint_bytes(number << 3) + _varint_bytes(value & (1 << 64) - 1))
        elif isinstance(value, str | bytes):
            if value:
                parts.append(_delimited(number, value.encode() if isinstance(value, str) else value))
        else:
            parts += [_delimited(number, one) for one in value]
    return b"".join(parts)


def _delimited(number: int, value: bytes) -> bytes:
    return _varint_bytes(number << 3 | _BYTES) + _varint_bytes(len(value)) + value


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while position < len(data) and shift < 70:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
    raise WireError("the message ends within a number")


def _varint_bytes(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
