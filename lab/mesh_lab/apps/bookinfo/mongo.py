"""MongoDB's wire protocol, as far as the ratings service and its database speak it: OP_MSG with one document.

https://www.mongodb.com/docs/manual/reference/mongodb-wire-protocol/, https://bsonspec.org/spec.html
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

OP_MSG = 2013
MAX_BYTES = 48_000_000

_HEADER = struct.Struct("<iiii")
_DOUBLE, _STRING, _DOCUMENT, _ARRAY, _BOOLEAN, _NULL, _INT32, _INT64 = 1, 2, 3, 4, 8, 10, 16, 18
# What is read over: binary data has a length of its own, the others have these bytes.
_SKIPPED = {7: 12, 9: 8, 17: 8}
_BINARY = 5


class MongoError(Exception):
    """What was received is not the protocol."""


def encode(document: Mapping[str, Any]) -> bytes:
    """A document in BSON."""
    body = b"".join(_element(name, value) for name, value in document.items())
    return struct.pack("<i", len(body) + 5) + body + b"\0"


def _element(name: str, value: Any) -> bytes:
    kind, data = _value(value)
    return bytes([kind]) + name.encode() + b"\0" + data


def _value(value: Any) -> tuple[int, bytes]:
    if value is None:
        return _NULL, b""
    if isinstance(value, bool):
        return _BOOLEAN, bytes([value])
    if isinstance(value, int):
        small = -(1 << 31) <= value < 1 << 31
        return (_INT32, struct.pack("<i", value)) if small else (_INT64, struct.pack("<q", value))
    if isinstance(value, float):
        return _DOUBLE, struct.pack("<d", value)
    if isinstance(value, str):
        text = value.encode() + b"\0"
        return _STRING, struct.pack("<i", len(text)) + text
    if isinstance(value, Mapping):
        return _DOCUMENT, encode(value)
    return _ARRAY, encode({str(number): one for number, one in enumerate(value)})


def decode(data: bytes) -> dict[str, Any]:
    """A document; values of kinds that are not used here are None.

    Raises:
        MongoError: it is none.
    """
    try:
        return dict(_elements(data))
    except (struct.error, IndexError, ValueError) as error:
        raise MongoError(f"no document of BSON: {error}") from None


def _elements(data: bytes) -> Iterator[tuple[str, Any]]:
    (length,) = struct.unpack_from("<i", data)
    position = 4
    while position < length - 1:
        kind = data[position]
        end = data.index(0, position + 1)
        name = data[position + 1 : end].decode()
        value, position = _read(kind, data, end + 1)
        yield name, value


def _read(kind: int, data: bytes, position: int) -> tuple[Any, int]:
    if kind in (_DOCUMENT, _ARRAY):
        (length,) = struct.unpack_from("<i", data, position)
        inner = decode(data[position : position + length])
        return (list(inner.values()) if kind == _ARRAY else inner), position + length
    if kind == _STRING:
        (length,) = struct.unpack_from("<i", data, position)
        return data[position + 4 : position + 3 + length].decode(), position + 4 + length
    if kind == _BINARY:
        (length,) = struct.unpack_from("<i", data, position)
        return None, position + 5 + length
    if kind == _NULL:
        return None, position
    if kind == _BOOLEAN:
        return bool(data[position]), position + 1
    plain = {_INT32: "<i", _INT64: "<q", _DOUBLE: "<d"}.get(kind)
    if plain is not None:
        return struct.unpack_from(plain, data, position)[0], position + struct.calcsize(plain)
    if kind in _SKIPPED:
        return None, position + _SKIPPED[kind]
    raise MongoError(f"a value of kind {kind}")


def message(document: Mapping[str, Any], number: int, answers: int = 0) -> bytes:
    """An OP_MSG."""
    body = b"\0\0\0\0\0" + encode(document)
    return _HEADER.pack(_HEADER.size + len(body), number, answers, OP_MSG) + body


async def receive(reader: asyncio.StreamReader) -> tuple[dict[str, Any], int]:
    """The next OP_MSG's document, and its number.

    Raises:
        MongoError: something else was received.
        asyncio.IncompleteReadError: the connection has ended.
    """
    length, number, _, code = _HEADER.unpack(await reader.readexactly(_HEADER.size))
    if code != OP_MSG or not _HEADER.size + 5 < length <= MAX_BYTES:
        raise MongoError(f"only OP_MSG is understood, not {code}")
    body = await reader.readexactly(length - _HEADER.size)
    if body[4]:
        raise MongoError("a section that is no document")
    return decode(body[5:]), number


async def find(host: str, port: int, database: str, collection: str) -> Sequence[Mapping[str, Any]]:
    """The documents of a collection.

    Raises:
        OSError, MongoError, asyncio.IncompleteReadError: there is no answer, or it is no such thing.
    """
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(message({"find": collection, "$db": database}, 1))
        answer, _ = await receive(reader)
    finally:
        writer.close()
    cursor = answer.get("cursor")
    if answer.get("ok") != 1 or not isinstance(cursor, dict) or not isinstance(cursor.get("firstBatch"), list):
        raise MongoError(f"find failed: {answer.get('errmsg', 'no cursor')}")
    return [document for document in cursor["firstBatch"] if isinstance(document, dict)]
