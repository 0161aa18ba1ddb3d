"""Which objects belong to a controller: by owner reference, and by selector if they are orphans.

Source: https://kubernetes.io/docs/concepts/workloads/controllers/replicaset/ (Non-Template Pod acquisitions).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from mesh_lab.kube.changes import Object
from mesh_lab.kube.controllers.base import Key
from mesh_lab.kube.objects.meta import LabelSelector, owner_reference
from mesh_lab.kube.registry.registry import Registry
from mesh_lab.kube.resources import Resource


def controller_of(obj: Object) -> Object | None:
    """Return the owner reference of the object's controller, if it has one."""
    for owner in obj["metadata"].get("ownerReferences") or ():
        if owner.get("controller"):
            return dict(owner)
    return None


def claimants(
    registry: Registry, obj: Object, resource: Resource, selector: Callable[[Object], LabelSelector]
) -> list[Key]:
    """Return the key of the object's controller if that is of the resource; of an orphan, those that would adopt it."""
    metadata = obj["metadata"]
    namespace, labels = metadata["namespace"], metadata.get("labels") or {}
    if (owner := controller_of(obj)) is not None:
        return [Key(namespace, owner["name"])] if owner["kind"] == resource.kind else []
    if not labels:
        return []
    candidates = registry.list(resource, namespace)
    return [Key(namespace, each["metadata"]["name"]) for each in candidates if selector(each).matches(labels)]


async def claim(
    registry: Registry, resource: Resource, owner: Object, selector: LabelSelector, candidates: Iterable[Object]
) -> list[Object]:
    """Return the candidates that belong to `owner`, after adopting matching orphans and releasing what does not match.

    An owner that is being deleted adopts and releases nothing.
    """
    uid, leaving = owner["metadata"]["uid"], "deletionTimestamp" in owner["metadata"]
    owned = []
    for each in candidates:
        controller = controller_of(each)
        selected = selector.matches(each["metadata"].get("labels") or {})
        if controller is not None:
            if controller["uid"] != uid:
                continue
            if selected:
                owned.append(each)
            elif not leaving:
                await _release(registry, resource, each, uid)
        elif selected and not leaving and "deletionTimestamp" not in each["metadata"]:
            adopted = await _adopt(registry, resource, each, owner)
            if adopted is not None:
                owned.append(adopted)
    return owned


async def _adopt(registry: Registry, resource: Resource, orphan: Object, owner: Object) -> Object | None:
    """Adopt the orphan; None when another controller was faster, or it is gone."""

    def change(found: Object) -> Object | None:
        metadata = found["metadata"]
        if metadata["uid"] != orphan["metadata"]["uid"] or controller_of(found) or "deletionTimestamp" in metadata:
            return None
        metadata.setdefault("ownerReferences", []).append(owner_reference(owner))
        return found

    found = await _modify(registry, resource, orphan, change)
    mine = found is not None and (controller_of(found) or {}).get("uid") == owner["metadata"]["uid"]
    return found if mine else None


async def _release(registry: Registry, resource: Resource, obj: Object, owner_uid: str) -> None:
    def change(found: Object) -> Object | None:
        owners = found["metadata"].get("ownerReferences") or []
        kept = [each for each in owners if each["uid"] != owner_uid]
        if len(kept) == len(owners):
            return None
        found["metadata"]["ownerReferences"] = kept
        return found

    await _modify(registry, resource, obj, change)


async def _modify(registry: Registry, resource: Resource, obj: Object, change: Any) -> Object | None:
    metadata = obj["metadata"]
    return await registry.modify(resource, metadata["name"], metadata["namespace"], change)
