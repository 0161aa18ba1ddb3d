"""Patches: JSON patch (RFC 6902), JSON merge patch (RFC 7396) and Kubernetes' strategic merge patch."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from lab.kube.changes import Object
from lab.kube.errors import ApiError, bad_request
from lab.kube.registry.options import Patch, PatchKind
from lab.kube.schemas import Schema


def apply_patch(patch: Patch, obj: Object, schema: Schema, *, custom: bool) -> Object:
    """What `patch` makes of `obj`, which may be changed in the doing.

    Raises:
        ApiError: 400 the patch is malformed, 415 the kind does not take it, 422 it does not fit the object.
    """
    if patch.kind is PatchKind.MERGE:
        if not isinstance(patch.body, dict):
            raise bad_request("a merge patch must be an object")
        merged: Object = merge(obj, patch.body)
        return merged
    raise ApiError(415, "UnsupportedMediaType", f"patches of type {patch.kind} are not supported")


def merge(target: Any, patch: Any) -> Any:
    """RFC 7396: null removes, objects are merged, everything else replaces."""
    if not isinstance(patch, dict):
        return deepcopy(patch)
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge(result.get(key), value)
    return result
