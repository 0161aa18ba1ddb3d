"""Writes the status of a pod when its facts change, debounced."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from mesh_lab.kube.errors import ApiError
from mesh_lab.kube.node.pod import status
from mesh_lab.kube.node.pod.facts import PodFacts
from mesh_lab.kube.objects.pods import Pod
from mesh_lab.kube.registry import Object, Registry
from mesh_lab.kube.resources import PODS

log = logging.getLogger(__name__)

_COALESCE_SECONDS = 0.005  # debounce: changes within this time are written together
_RETRY_SECONDS = 1.0


class StatusPublisher:
    """Publishes one pod's status. `pod` returns the present pod; with `silent` nothing is written."""

    def __init__(self, registry: Registry, pod: Callable[[], Pod], facts: PodFacts, *, silent: bool) -> None:
        self._registry = registry
        self._pod = pod
        self._facts = facts
        self._silent = silent
        self._dirty = asyncio.Event()

    def changed(self) -> None:
        """Note that the facts have changed."""
        self._dirty.set()

    async def run(self) -> None:
        """Write what changes until cancelled."""
        while True:
            await self._dirty.wait()
            await asyncio.sleep(_COALESCE_SECONDS)
            self._dirty.clear()
            try:
                await self.publish()
            except ApiError as error:
                # A pod that was just deleted has no status any more; its worker gets the DELETED event next.
                level = logging.DEBUG if error.reason == "NotFound" else logging.WARNING
                where = self._pod().metadata
                log.log(level, "status of pod %s/%s: %s", where.namespace, where.name, error)
                await asyncio.sleep(_RETRY_SECONDS)
                self._dirty.set()

    async def publish(self) -> None:
        """Write the present status, once the pod has begun.

        Raises:
            ApiError: it cannot be written.
        """
        if self._facts.start_time is not None and not self._silent:
            await self.write(lambda old: status.build(self._pod(), self._facts, old, datetime.now(UTC)))

    async def write(self, change: Callable[[Mapping[str, Any]], dict[str, Any]]) -> None:
        """Write what `change` makes of the present status.

        Raises:
            ApiError: it cannot be written.
        """
        metadata = self._pod().metadata

        def apply(obj: Object) -> Object | None:
            if obj["metadata"]["uid"] != metadata.uid:
                return None
            return {**obj, "status": change(obj.get("status") or {})}

        await self._registry.modify(PODS, metadata.name, metadata.namespace, apply, subresource="status")
