"""The reflector: lists and watches a resource, and lists again when the watch ends with 410 (Gone).

Readers see the event types of a watch; an object that vanished in a gap is reported as deleted.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from mesh_lab.kube.errors import ApiError
from mesh_lab.kube.registry.reading.watching import ADDED, BOOKMARK, DELETED, MODIFIED, Event
from mesh_lab.kube.registry.registry import Registry
from mesh_lab.kube.resources import Resource

__all__ = ["ADDED", "BOOKMARK", "DELETED", "MODIFIED", "Event", "follow"]

GONE = 410

Known = dict[str, dict[str, Any]]


async def follow(registry: Registry, resource: Resource) -> AsyncIterator[Event]:
    """Yield the resource's objects as ADDED, a BOOKMARK when they are complete, then its changes, until cancelled.

    After a gap all objects come as ADDED again (readers are level-triggered), then DELETED for those that are gone, and
    a BOOKMARK.
    """
    known: Known = {}
    while True:
        try:
            async for event in _once(registry, resource, known):
                yield event
        except ApiError as error:
            if error.code != GONE:
                raise


async def _once(registry: Registry, resource: Resource, known: Known) -> AsyncIterator[Event]:
    """One watch; keeps `known` (by uid) up to date."""
    stale: set[str] | None = set(known)
    with registry.watch(resource) as watch:
        async for event in watch:
            if event.type == BOOKMARK:
                for uid in stale or ():
                    yield Event(DELETED, known.pop(uid))
                stale = None
                yield event
                continue
            uid = event.object["metadata"]["uid"]
            if stale:
                stale.discard(uid)
            if event.type == DELETED:
                known.pop(uid, None)
            else:
                known[uid] = event.object
            yield event
