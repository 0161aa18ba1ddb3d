"""The two names of a field in the mesh configuration: `resourceDetectors`, and `resource_detectors`, which pages use.

Istio reads either, as Protobuf's JSON has it. https://protobuf.dev/programming-guides/json/
"""

from __future__ import annotations

from typing import Any, get_args

import msgspec

from mesh_lab.controlplane.model.base import Spec


def renamed(value: Any, kind: Any) -> Any:
    """The value with the first of the two names for all fields; keys of a user's own stay as they are."""
    spec = _spec_of(kind)
    if spec is None:
        return value
    if isinstance(value, list):
        return [renamed(item, kind) for item in value]
    if not isinstance(value, dict):
        return value
    by_other = {field.name: field for field in msgspec.structs.fields(spec)}
    by_name = {field.encode_name: field for field in by_other.values()}
    found = {}
    for key, content in value.items():
        field = by_name.get(key) or by_other.get(key)
        if field is None:
            found[key] = content
        else:
            found[field.encode_name] = renamed(content, field.type)
    return found


def _spec_of(kind: Any) -> type[Spec] | None:
    """The type of a value, of the items of a list, or of a value that may be missing; None of a map."""
    if isinstance(kind, type) and issubclass(kind, Spec):
        return kind
    if getattr(kind, "__origin__", None) is dict:
        return None
    return next(filter(None, map(_spec_of, get_args(kind))), None)
