"""Events: what happened to an object, for `kubectl describe` and `kubectl get events`.

Recording never delays or fails its caller: events are written in the background, and dropped when too many wait.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections import OrderedDict
from typing import Any

from mesh_lab.kube.errors import ApiError
from mesh_lab.kube.registry.registry import Registry
from mesh_lab.kube.resources import EVENTS
from mesh_lab.rfc3339 import timestamp

log = logging.getLogger(__name__)

NORMAL = "Normal"
WARNING = "Warning"
WAITING_LIMIT = 1000
MESSAGE_LIMIT = 1024
KNOWN_LIMIT = 4096
"""How many events are remembered, so that a repeat raises the count of the first."""


class Recorder:
    """Writes events in the name of a component. An event that happens again raises the count of the first."""

    def __init__(self, registry: Registry, component: str) -> None:
        self._registry = registry
        self._component = component
        self._waiting: asyncio.Queue[dict[str, Any]] = asyncio.Queue(WAITING_LIMIT)
        self._names: OrderedDict[bytes, str] = OrderedDict()
        self._last = 0

    def record(self, about: dict[str, Any], kind: str, reason: str, message: str, *, field_path: str = "") -> None:
        """Note that something happened to the stored object `about`; `kind` is `Normal` or `Warning`."""
        try:
            self._waiting.put_nowait(self._event(about, kind, reason, message[:MESSAGE_LIMIT], field_path))
        except asyncio.QueueFull:
            log.warning("too many events wait: dropped %s of %s: %s", reason, about["metadata"]["name"], message)

    async def run(self) -> None:
        """Write what was recorded, until cancelled."""
        while True:
            event = await self._waiting.get()
            try:
                await self._write(event)
            except ApiError as error:
                # A namespace that is being deleted takes no more events; nothing else may fail for that.
                log.debug("event %s not written: %s", event["reason"], error)

    async def _write(self, event: dict[str, Any]) -> None:
        def repeat(old: dict[str, Any]) -> dict[str, Any]:
            return old | {"count": old.get("count", 1) + 1, "lastTimestamp": event["lastTimestamp"]}

        name, namespace = event["metadata"]["name"], event["metadata"]["namespace"]
        if await self._registry.modify(EVENTS, name, namespace, repeat) is None:
            await self._registry.create(EVENTS, event)

    def _event(self, about: dict[str, Any], kind: str, reason: str, message: str, field_path: str) -> dict[str, Any]:
        metadata = about["metadata"]
        involved = {
            "apiVersion": about["apiVersion"],
            "kind": about["kind"],
            "name": metadata["name"],
            "namespace": metadata.get("namespace", ""),
            "uid": metadata["uid"],
            "resourceVersion": metadata.get("resourceVersion", ""),
            "fieldPath": field_path,
        }
        same = "\0".join((metadata["uid"], field_path, self._component, kind, reason, message))
        digest = hashlib.blake2b(same.encode(), digest_size=16).digest()
        moment = timestamp()
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {
                "name": self._name(digest, metadata["name"]),
                "namespace": metadata.get("namespace") or "default",
            },
            "involvedObject": {key: value for key, value in involved.items() if value},
            "type": kind,
            "reason": reason,
            "message": message,
            "count": 1,
            "firstTimestamp": moment,
            "lastTimestamp": moment,
            "source": {"component": self._component},
            "reportingComponent": self._component,
            "reportingInstance": "",
        }

    def _name(self, digest: bytes, about: str) -> str:
        """Return the event's name by its digest; a new one is made of the time, as real components do.

        Times of events are in seconds, and `kubectl describe` shows those of one second in the order of their names.
        """
        name = self._names.get(digest)
        if name is None:
            self._last = max(self._last + 1, time.time_ns())
            name = self._names[digest] = f"{about[:230]}.{self._last:016x}"
            if len(self._names) > KNOWN_LIMIT:
                self._names.popitem(last=False)
        self._names.move_to_end(digest)
        return name
