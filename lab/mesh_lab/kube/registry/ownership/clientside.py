"""What `kubectl apply` without `--server-side` has left on an object, and what the server's side takes over of it.

Its annotation holds what it applied last. A server-side apply by `kubectl` may change all that is still as it says, and
keeps the annotation up to date, so that either way of applying can follow the other.

https://kubernetes.io/docs/reference/using-api/server-side-apply/#migration-between-client-side-and-server-side-apply
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import orjson

from mesh_lab.kube.registry.ownership import values
from mesh_lab.kube.registry.ownership.fieldsets import EMPTY, FieldSet
from mesh_lab.kube.schemas import Schema

ANNOTATION = "kubectl.kubernetes.io/last-applied-configuration"
MANAGER = "kubectl"


def still_applied(schema: Schema, live: dict[str, Any]) -> FieldSet:
    """The fields that are as they were applied last."""
    text = _annotation(live)
    if text is None:
        return EMPTY
    try:
        last = orjson.loads(text)
    except orjson.JSONDecodeError:
        return EMPTY
    present, applied = values.leaves(schema, live), values.leaves(schema, last)
    return frozenset(path for path, value in applied.items() if path in present and present[path] == value)


def noted(live: dict[str, Any], config: dict[str, Any]) -> dict[str, Any]:
    """The object with what was applied just now in its annotation, when it has one."""
    if _annotation(live) is None:
        return live
    applied = deepcopy(config)
    (applied.get("metadata", {}).get("annotations") or {}).pop(ANNOTATION, None)
    metadata = dict(live["metadata"])
    metadata["annotations"] = {**metadata["annotations"], ANNOTATION: orjson.dumps(applied).decode() + "\n"}
    return {**live, "metadata": metadata}


def _annotation(obj: dict[str, Any]) -> str | None:
    found: str | None = (obj["metadata"].get("annotations") or {}).get(ANNOTATION)
    return found
