"""Applies the tables to every field: required, enumerated, a port, a minimum."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mesh_lab.kube.changes import Object
from mesh_lab.kube.errors import Cause
from mesh_lab.kube.registry.rules.causes import invalid, required, unsupported
from mesh_lab.kube.registry.rules.tables import ENUMS, MAY_BE_EMPTY, MINIMA, MODES, NOT_EMPTY, PORTS
from mesh_lab.kube.registry.syntax.names import port_name_problem
from mesh_lab.kube.schemas import Form, Schema

# The status is the system's own, and the metadata has rules for all kinds alike.
_SKIPPED = frozenset({"metadata", "status", "apiVersion", "kind"})
_TEXT_OR_PARTS = (Form.STRING, Form.OBJECT, Form.MAP, Form.LIST)
_PORT_RANGE = "must be between 1 and 65535, inclusive"
_MODE_RANGE = "must be a number between 0 and 0777 (octal), both inclusive"


def check(schema: Schema, obj: Object) -> Iterator[Cause]:
    """Everything that the tables find wrong with an object."""
    if (status := schema.properties.get("status")) is not None and "status" in obj:
        yield from _enums_of(status, obj["status"])
    yield from _fields(schema, obj, "", skipped=_SKIPPED)


def _fields(schema: Schema, value: dict[str, Any], path: str, skipped: frozenset[str] = frozenset()) -> Iterator[Cause]:
    owner = schema.go_type.rpartition(".")[2]
    prefix = f"{path}." if path else ""
    for name in schema.required:
        if name not in skipped and _is_missing(schema.properties[name], owner, name, value):
            yield required(prefix + name, NOT_EMPTY.get((owner, name), ""))
    for name, item in value.items():
        if name in skipped or name not in schema.properties:
            continue
        where = prefix + name
        yield from _scalar(owner, name, item, where)
        yield from _within(schema.properties[name], item, where)


def _within(schema: Schema, value: Any, path: str) -> Iterator[Cause]:
    if schema.form is Form.OBJECT:
        yield from _fields(schema, value, path)
    elif schema.values is not None and schema.values.form in (Form.OBJECT, Form.LIST, Form.MAP):
        if schema.form is Form.LIST:
            for index, item in enumerate(value):
                yield from _within(schema.values, item, f"{path}[{index}]")
        elif schema.form is Form.MAP:
            for key, item in value.items():
                yield from _within(schema.values, item, f"{path}[{key}]")


def _is_missing(schema: Schema, owner: str, name: str, value: dict[str, Any]) -> bool:
    if (owner, name) in MAY_BE_EMPTY or (owner, name) in PORTS or schema.form not in _TEXT_OR_PARTS:
        return False
    if schema.form is Form.STRING or (owner, name) in NOT_EMPTY:
        return not value.get(name)
    return name not in value


def _scalar(owner: str, name: str, value: Any, path: str) -> Iterator[Cause]:
    key = (owner, name)
    if (supported := ENUMS.get(key)) is not None:
        yield from _enum(supported, value, path)
    if key in PORTS:
        yield from _port(value, path, needed=PORTS[key])
    if (minimum := MINIMA.get(key)) is not None and value < minimum:
        yield invalid(path, value, f"must be greater than or equal to {minimum}")
    if key in MODES and not 0 <= value <= 0o777:
        yield invalid(path, value, _MODE_RANGE)


def _enum(supported: tuple[str, ...], value: Any, path: str) -> Iterator[Cause]:
    if isinstance(value, list):
        for index, one in enumerate(value):
            if one not in supported:
                yield unsupported(f"{path}[{index}]", one, supported)
    elif value and value not in supported:
        yield unsupported(path, value, supported)


def _port(value: int | str, path: str, *, needed: bool) -> Iterator[Cause]:
    if isinstance(value, str):
        if problem := port_name_problem(value):
            yield invalid(path, value, problem)
    elif not 1 <= value <= 65535 and (needed or value):
        yield invalid(path, value, _PORT_RANGE)


def _enums_of(schema: Schema, value: dict[str, Any]) -> Iterator[Cause]:
    owner = schema.go_type.rpartition(".")[2]
    for name, item in value.items():
        if (supported := ENUMS.get((owner, name))) is not None:
            yield from _enum(supported, item, f"status.{name}")
