"""Causes in the words of Kubernetes' `field.Error`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import orjson

from mesh_lab.kube.errors import Cause


def shown(value: Any) -> str:
    """A value as it stands in a message: JSON."""
    return orjson.dumps(value).decode()


def required(path: str, why: str = "") -> Cause:
    """The field is missing or empty."""
    return Cause(path, f"Required value: {why}" if why else "Required value", "FieldValueRequired")


def invalid(path: str, value: Any, why: str) -> Cause:
    """The field has a value that it cannot have."""
    return Cause(path, f"Invalid value: {shown(value)}: {why}", "FieldValueInvalid")


def unsupported(path: str, value: Any, supported: Iterable[str]) -> Cause:
    """The field's value is not among those that exist."""
    words = ", ".join(f'"{one}"' for one in supported)
    return Cause(path, f"Unsupported value: {shown(value)}: supported values: {words}", "FieldValueNotSupported")


def duplicate(path: str, value: Any) -> Cause:
    """The value stands elsewhere in the list already."""
    return Cause(path, f"Duplicate value: {shown(value)}", "FieldValueDuplicate")


def forbidden(path: str, why: str) -> Cause:
    """The field may not be set, or not changed."""
    return Cause(path, f"Forbidden: {why}", "FieldValueForbidden")


def missing(path: str, value: Any) -> Cause:
    """What the field names does not exist."""
    return Cause(path, f"Not found: {shown(value)}", "FieldValueNotFound")


def too_long(path: str, limit: int) -> Cause:
    """The field has more bytes than it may."""
    return Cause(path, f"Too long: may not be more than {limit} bytes", "FieldValueTooLong")


def immutable(path: str, new: Any, old: Any) -> Iterator[Cause]:
    """The field changed and may not."""
    if new != old:
        yield invalid(path, new, "field is immutable")


def duplicates(values: Iterable[Any], path: str, field: str = "") -> Iterator[Cause]:
    """Values at `path[i].field` that stand in the list before; empty ones do not count."""
    seen: set[Any] = set()
    for index, value in enumerate(values):
        if value in seen:
            yield duplicate(f"{path}[{index}].{field}" if field else f"{path}[{index}]", value)
        elif value:
            seen.add(value)
