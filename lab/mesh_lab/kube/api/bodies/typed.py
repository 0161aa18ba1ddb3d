"""Bodies that are objects of built-in kinds without being resources: options, evictions, scales, questions.

They are held to their schemas like everything that is stored, so what reads them need not doubt their types.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mesh_lab.kube.api.bodies import answers
from mesh_lab.kube.api.context import Call
from mesh_lab.kube.api.rest.parameters import write_options
from mesh_lab.kube.changes import Object
from mesh_lab.kube.errors import bad_request
from mesh_lab.kube.registry.codec import decode_kind


async def read(call: Call, api_version: str, kind: str) -> Object:
    """The body as an object of the kind. Raises `ApiError` 400, 413 or 415."""
    return decode(call, await answers.read_object(call.request), api_version, kind)


def decode(call: Call, body: Mapping[str, Any], api_version: str, kind: str) -> Object:
    """A decoded body as an object of the kind. Raises `ApiError` 400."""
    if (found := body.get("kind") or kind) != kind:
        raise bad_request(f"the object provided is unrecognized (must be of type {kind}): Kind={found}")
    # These kinds have one version each, and older clients name those that were before it.
    return decode_kind({**body, "kind": kind, "apiVersion": api_version}, api_version, kind, write_options(call))
