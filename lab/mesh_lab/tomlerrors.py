"""What is wrong in a TOML file that is read into structs, told with file, line and field."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from msgspec import inspect

from mesh_lab.tomlplaces import line_of

_ANY_KEY = "[...]"
"""How msgspec writes a key of a free-form table, which it does not tell."""

_NO_SUCH_VALUE = "Invalid enum value"


@dataclass(frozen=True)
class Source:
    """A file and its text, which is empty where there is no file. `overruled` are fields that have other values now."""

    file: Path
    text: str = ""
    overruled: frozenset[tuple[str, ...]] = frozenset()

    def place(self, *path: str) -> str:
        """`FILE:LINE: FIELD` of a field that the file sets; only the field where its value came another way."""
        line = None if path in self.overruled else line_of(self.text, list(path))
        field = dotted(path)
        return f"{self.file}:{line}: {field}" if line else field

    def explain(self, document: Mapping[str, Any], shape: type[msgspec.Struct], message: str) -> str:
        """`FILE:LINE: FIELD: what is wrong` out of msgspec's message on a document that is not of this shape."""
        what, _, where = message.partition(" - at `")
        given = re.findall(r"\[\.\.\.\]|\[\d+\]|[^.\[\]`]+", where.partition("$")[2].rstrip("`"))
        if where.startswith("key`"):
            given.append(_ANY_KEY)
        path = _with_keys(document, shape, given)
        if unknown := re.search(r"unknown field `([^`]+)`", what):
            path.append(unknown[1])
            what = f"no such setting; {_alternatives(shape, [*given, unknown[1]])}"
        elif what.startswith(_NO_SUCH_VALUE) and (known := _values(shape, given)):
            what = f"{what}; there are {known}"
        line = line_of(self.text, path)
        field = dotted(path)
        place = f"{self.file}:{line}" if line else str(self.file)
        return f"{place}: {field + ': ' if field else ''}{what}"


def dotted(path: Sequence[str]) -> str:
    """A field as one writes it in TOML: keys with a dot in them are quoted."""
    text = ""
    for part in path:
        text += part if part.startswith("[") else f'."{part}"' if not re.fullmatch(r"[\w-]+", part) else f".{part}"
    return text.removeprefix(".")


def _with_keys(document: Mapping[str, Any], shape: type[msgspec.Struct], path: list[str]) -> list[str]:
    """The path with the keys that msgspec leaves out: that of each table's first entry that is wrong by itself."""
    found: list[str] = []
    for part in path:
        found.append(part if part != _ANY_KEY else _wrong_key(document, shape, found))
    return found


def _wrong_key(document: Mapping[str, Any], shape: type[msgspec.Struct], table: list[str]) -> str:
    entries = _at(document, table)
    for key, entry in entries.items():
        try:
            msgspec.convert(_replaced(document, table, {key: entry}), shape)
        except msgspec.ValidationError:
            return str(key)
    return _ANY_KEY


def _at(document: Any, path: list[str]) -> Any:
    for part in path:
        document = document[int(part[1:-1]) if part.startswith("[") else part]
    return document


def _replaced(document: Any, path: list[str], value: Any) -> Any:
    """The document with another value at a path."""
    if not path:
        return value
    part, rest = path[0], path[1:]
    if part.startswith("["):
        index = int(part[1:-1])
        return [*document[:index], _replaced(document[index], rest, value), *document[index + 1 :]]
    return {**document, part: _replaced(document[part], rest, value)}


def _alternatives(shape: type[msgspec.Struct], path: list[str]) -> str:
    """What may stand where the last key of `path` does."""
    table = _type_at(shape, path[:-1])
    names = [field.name for field in table.fields] if isinstance(table, inspect.StructType) else []
    close = difflib.get_close_matches(path[-1], names, 1)
    return f"is it {close[0]}?" if close else f"there are {', '.join(names)}"


def _values(shape: type[msgspec.Struct], path: list[str]) -> str:
    """The values that a field may have."""
    found = _type_at(shape, path)
    return ", ".join(str(value) for value in found.values) if isinstance(found, inspect.LiteralType) else ""


def _type_at(shape: type[msgspec.Struct], path: list[str]) -> inspect.Type:
    """The type of the field at `path`; of a list or a table of names, that of the members."""
    found = inspect.type_info(shape)
    for key in path:
        match found:
            case inspect.StructType(fields=fields):
                found = next(field.type for field in fields if field.name == key)
            case inspect.ListType(item_type=member) | inspect.VarTupleType(item_type=member):
                found = member
            case inspect.DictType(value_type=member):
                found = member
    return found
