"""Applies the patches of the Kubernetes API: JSON patch, JSON merge patch (RFC 7396), strategic merge patch."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from mesh_lab.kube.changes import Object
from mesh_lab.kube.errors import ApiError, bad_request
from mesh_lab.kube.registry.options import Patch, PatchKind
from mesh_lab.kube.registry.patching import jsonpatch, strategic
from mesh_lab.kube.schemas import Schema


def apply_patch(patch: Patch, obj: Object, schema: Schema, *, custom: bool) -> Object:
    """What `patch` makes of `obj`, which is left as it is.

    Raises:
        ApiError: 400 the patch is malformed, 415 the kind does not take it, 422 it does not fit the object.
    """
    if patch.kind is PatchKind.JSON:
        return _json_patched(obj, patch.body)
    if not isinstance(patch.body, dict):
        raise bad_request(f"the patch must be an object, got {type(patch.body).__name__}")
    if patch.kind is PatchKind.MERGE:
        merged: Object = merge(obj, patch.body)
        return merged
    if patch.kind is PatchKind.STRATEGIC and not custom:
        try:
            return strategic.merge(obj, patch.body, schema)
        except strategic.StrategicPatchError as error:
            raise bad_request(f"invalid strategic merge patch: {error}") from error
    accepted = ", ".join((PatchKind.JSON, PatchKind.MERGE, *(() if custom else (PatchKind.STRATEGIC,))))
    text = f"the body of the request was in an unknown format - accepted media types include: {accepted}"
    raise ApiError(415, "UnsupportedMediaType", text)


def _json_patched(obj: Object, operations: Any) -> Object:
    try:
        result = jsonpatch.apply(obj, operations)
    except jsonpatch.LargePatchError as error:
        raise ApiError(413, "RequestEntityTooLarge", f"Request entity too large: {error}") from error
    except jsonpatch.MalformedPatchError as error:
        raise bad_request(f"error decoding patch: {error}") from error
    except jsonpatch.PatchConflictError as error:
        text = f"the server rejected our request due to an error in our request: {error}"
        raise ApiError(422, "Invalid", text) from error
    if not isinstance(result, dict):
        raise ApiError(422, "Invalid", "the patch makes something of the object that is no object")
    return result


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
