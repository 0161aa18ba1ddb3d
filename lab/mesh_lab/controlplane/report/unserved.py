"""Resources that are stored although nothing acts on them: of Istio's groups, the Gateway API's and Consul's, by CRDs.

The lab brings the CRDs of the kinds that it acts on. A user may put in Istio's own, or another vocabulary's; what is
then stored of their other kinds, or in a vocabulary that the mesh does not read, has no effect, and each such object is
marked: by an Event, and in its status.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Container, Iterable
from typing import Any

from mesh_lab.controlplane.istiokinds import KINDS
from mesh_lab.controlplane.kube import events
from mesh_lab.controlplane.kube.client import ApiError, KubeClient, Object, Unreachable
from mesh_lab.controlplane.kube.events import Key, Subject
from mesh_lab.controlplane.kube.kinds import DEFINITIONS, WANTED, Kind
from mesh_lab.controlplane.kube.signals import Signal
from mesh_lab.controlplane.kube.watching import Follower
from mesh_lab.controlplane.report import unservedstatus
from mesh_lab.meshkinds import CONSUL, DEFAULT_DIALECTS
from mesh_lab.rfc3339 import timestamp

log = logging.getLogger(__name__)

GROUPS = ("istio.io", *unservedstatus.GATEWAY_API, *dict.fromkeys(kind.group for kind in CONSUL))
"""API groups whose resources a mesh is expected to act on: these, and their subdomains."""
_ISTIO = frozenset((kind.group, kind.plural) for kind in KINDS.values())
_PAUSE = 0.1


class Unserved:
    """Follows the CRDs, and the objects of those that nothing acts on, and reports on each object once."""

    def __init__(self, api: KubeClient, dialects: Iterable[str] = DEFAULT_DIALECTS) -> None:
        """`dialects` are the vocabularies that the mesh reads."""
        self._api = api
        wanted = (kind for name in dialects for kind in WANTED[name].values())
        self.acted_on = _ISTIO | {(kind.group, kind.plural) for kind in wanted}
        self._followed: dict[Kind, asyncio.Task[None]] = {}
        self._shapes: dict[Kind, str | None] = {}
        self._pending: dict[Key, tuple[Kind, Object]] = {}
        self._reported: set[str] = set()
        self._changed = Signal()

    async def run(self) -> None:
        """Follow and report until cancelled."""
        async with asyncio.TaskGroup() as group:
            definitions = Follower(self._api, DEFINITIONS, _Definitions(self, group))
            group.create_task(definitions.run())
            seen = -1
            while True:
                if self._changed.count == seen:
                    await self._changed.wait()
                seen = self._changed.count
                await asyncio.sleep(_PAUSE)
                await self._report()

    def follow(self, wanted: dict[Kind, str | None], group: asyncio.TaskGroup) -> None:
        """These kinds are there now, with the shape of their status; others are followed no more."""
        for kind in self._followed.keys() - wanted.keys():
            self._followed.pop(kind).cancel()
        for kind in wanted.keys() - self._followed.keys():
            log.info("%s.%s are stored, and nothing acts on them", kind.plural, kind.group)
            self._followed[kind] = group.create_task(Follower(self._api, kind, _Objects(self)).run())
        self._shapes = wanted

    def take(self, kind: Kind, obj: Object) -> None:
        """Queue an object of such a kind."""
        meta = obj["metadata"]
        if meta.get("uid") not in self._reported:
            self._pending[kind.kind, meta.get("namespace", ""), meta["name"]] = (kind, obj)
            self._changed.fire()

    async def _report(self) -> None:
        pending, self._pending = self._pending, {}
        for key, (kind, obj) in pending.items():
            meta = obj["metadata"]
            text = f"{kind.plural}.{kind.group} have no effect in this lab"
            subject = Subject(meta.get("uid", ""), f"{kind.group}/{kind.version}", meta.get("generation", 0), {})
            await events.record_once(self._api, key, subject, "Warning", unservedstatus.REASON, text)
            await self._write(kind, obj, text)
            self._reported.add(subject.uid)

    async def _write(self, kind: Kind, obj: Object, text: str) -> None:
        shape = self._shapes.get(kind)
        status = unservedstatus.of(shape, kind.group, obj, text, timestamp()) if shape is not None else None
        if status is None:
            return
        meta = obj["metadata"]
        try:
            await self._api.merge(kind, meta["name"], {"status": status}, meta.get("namespace", ""), "status")
        except (ApiError, Unreachable) as error:
            log.warning("writing the status of %s %s/%s: %s", kind.kind, meta.get("namespace", ""), meta["name"], error)


class _Definitions:
    """A sink for CRDs."""

    def __init__(self, unserved: Unserved, group: asyncio.TaskGroup) -> None:
        self._unserved = unserved
        self._group = group
        self._known: dict[str, tuple[Kind, str | None]] = {}

    def replace(self, _kind: Kind, objects: list[Object]) -> None:
        made = {obj["metadata"]["name"]: _defined(obj, self._unserved.acted_on) for obj in objects}
        self._known = {name: found for name, found in made.items() if found is not None}
        self._follow()

    def apply(self, _kind: Kind, event: str, obj: Object) -> None:
        found = None if event == "DELETED" else _defined(obj, self._unserved.acted_on)
        if found is None:
            self._known.pop(obj["metadata"]["name"], None)
        else:
            self._known[obj["metadata"]["name"]] = found
        self._follow()

    def _follow(self) -> None:
        self._unserved.follow(dict(self._known.values()), self._group)


class _Objects:
    """A sink for the objects of one kind."""

    def __init__(self, unserved: Unserved) -> None:
        self._unserved = unserved

    def replace(self, kind: Kind, objects: list[Object]) -> None:
        for obj in objects:
            self._unserved.take(kind, obj)

    def apply(self, kind: Kind, event: str, obj: Object) -> None:
        if event != "DELETED":
            self._unserved.take(kind, obj)


def _defined(crd: Object, acted_on: Container[tuple[str, str]]) -> tuple[Kind, str | None] | None:
    """The kind that a CRD defines, if it is one that nothing acts on, and the shape of its status."""
    spec: Any = crd["spec"]
    group, plural = spec["group"], spec["names"]["plural"]
    concerned = any(group == each or group.endswith(f".{each}") for each in GROUPS)
    served = [version for version in spec["versions"] if version.get("served")]
    if not concerned or (group, plural) in acted_on or not served:
        return None
    version = next((each for each in served if each.get("storage")), served[0])
    kind = Kind(group, version["name"], plural, spec["names"]["kind"], spec.get("scope") == "Namespaced")
    return kind, unservedstatus.shape_of(version)
