"""What no value of a type may be, in any field of any kind: checked on the types, so that a new field has it at once.

Ranges of numbers and lengths of text stand in the types themselves, where decoding checks them.
"""

from __future__ import annotations

import math
import re
import types
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Annotated, Any, Union, get_args, get_origin

import msgspec

from mesh_lab.controlplane.model.base import FREE_TEXT, Spec
from mesh_lab.controlplane.model.units import DURATION_PATTERN, nanoseconds
from mesh_lab.controlplane.validation.common import Problem, error

# Envoy counts nanoseconds in 63 bits, and so does Go.
_LONGEST = 9_223_372_036
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")

Check = Callable[[str, Any], Iterator[Problem]]


def bounds(spec: msgspec.Struct, path: str = "spec") -> Iterator[Problem]:
    """Problems of single values, in any field."""
    for attribute, name, check in _plan(type(spec)):
        value = getattr(spec, attribute)
        if value is not None:
            yield from check(f"{path}.{name}", value)


@cache
def _plan(kind: type[msgspec.Struct]) -> tuple[tuple[str, str, Check], ...]:
    checks = ((field, _check_of(field.type)) for field in msgspec.structs.fields(kind))
    return tuple((field.name, field.encode_name, check) for field, check in checks if check is not None)


def _check_of(kind: Any) -> Check | None:
    """The check of a type's values; None where there is nothing to check."""
    origin, args = get_origin(kind), get_args(kind)
    if origin is Annotated:
        meta = next(each for each in args[1:] if isinstance(each, msgspec.Meta))
        if meta.pattern == DURATION_PATTERN:
            return _length
        return None if meta.extra == FREE_TEXT else _check_of(args[0])
    if origin in (Union, types.UnionType):
        return _check_of(next(each for each in args if each is not type(None)))
    if origin in (list, tuple):
        return _of_items(_check_of(args[0]))
    if origin is dict:
        return _of_entries(_check_of(args[1]))
    if isinstance(kind, type) and issubclass(kind, Spec):
        return lambda path, value: bounds(value, path)
    scalars: dict[Any, Check] = {str: _text, float: _finite}
    return scalars.get(kind)


def _of_items(check: Check | None) -> Check | None:
    def checked(path: str, values: Sequence[Any]) -> Iterator[Problem]:
        for index, value in enumerate(values):
            yield from check(f"{path}[{index}]", value) if check is not None else ()

    return checked if check is not None else None


def _of_entries(check: Check | None) -> Check:
    def checked(path: str, values: dict[str, Any]) -> Iterator[Problem]:
        for key, value in values.items():
            yield from _text(f"{path}[{key!r}]", key)
            yield from check(f"{path}[{key}]", value) if check is not None else ()

    return checked


def _length(path: str, text: str) -> Iterator[Problem]:
    if nanoseconds(text) >= _LONGEST * 1_000_000_000:
        yield error(path, f"duration {text} is out of range: at most {_LONGEST - 1}s")


def _text(path: str, text: str) -> Iterator[Problem]:
    if _CONTROL.search(text):
        yield error(path, "must not contain a line break or another control character")


def _finite(path: str, number: float) -> Iterator[Problem]:
    if not math.isfinite(number):
        yield error(path, "must be a finite number")
