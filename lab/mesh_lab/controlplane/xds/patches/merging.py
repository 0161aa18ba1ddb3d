"""Merging one message into another, as Istio does it (`pkg/proto/merge`).

That is protobuf's own way, but for durations, which are replaced: merged by field, 5 s and 100 ms would make 5.1 s.
"""

from __future__ import annotations

from typing import Any

from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration

from mesh_lab.controlplane.validation.envoyvalues import message_type
from mesh_lab.controlplane.xds.built import any_of

_REPLACED = (Duration, AnyMessage)


def merge(into: Any, value: Any, *, replace_lists: bool = False) -> None:
    """Merge a message into another of its type. Lists are appended to, or with `replace_lists` replaced."""
    for field, part in value.ListFields():
        target = getattr(into, field.name)
        if field.is_repeated and _is_map(field):
            _merge_map(field, target, part)
        elif field.is_repeated:
            if replace_lists:
                del target[:]
            target.extend(part)
        elif field.message_type is None:
            setattr(into, field.name, part)
        elif isinstance(part, _REPLACED):
            target.CopyFrom(part)
        else:
            target.SetInParent()
            merge(target, part, replace_lists=replace_lists)


def _is_map(field: Any) -> bool:
    return field.message_type is not None and bool(field.message_type.GetOptions().map_entry)


def _merge_map(field: Any, target: Any, part: Any) -> None:
    """Entries are replaced as a whole."""
    of_messages = field.message_type.fields_by_name["value"].message_type is not None
    for key, value in part.items():
        if of_messages:
            target[key].CopyFrom(value)
        else:
            target[key] = value


class MergeError(ValueError):
    """Two configurations are not of one type."""


def merge_any(present: AnyMessage, value: AnyMessage) -> AnyMessage:
    """The configuration of an extension with another one merged into it.

    Raises:
        MergeError: they are not of one type, or of a type that is unknown here.
    """
    if present.TypeName() != value.TypeName():
        raise MergeError(f"a {value.TypeName()} cannot be merged into a {present.TypeName()}")
    kind = message_type(present.TypeName())
    if kind is None:
        raise MergeError(f"the type {present.TypeName()} is unknown here")
    merged, part = kind(), kind()
    merged.ParseFromString(present.value)
    part.ParseFromString(value.value)
    merge(merged, part)
    return any_of(merged)


def merge_extension(present: Any, value: Any) -> bool:
    """Merge a filter into one that is there; a name that is given replaces the other's. False where it has no type.

    Raises:
        MergeError: the two are not of one type.
    """
    if not present.HasField("typed_config"):
        return False
    if value.HasField("typed_config"):
        present.typed_config.CopyFrom(merge_any(present.typed_config, value.typed_config))
    if value.name:
        present.name = value.name
    return True
