"""Kinds whose definitions (CRDs) the user installs: each is followed for as long as its definition is there.

https://kubernetes.io/docs/concepts/extend-kubernetes/api-extension/custom-resources/#customresourcedefinitions
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import NamedTuple

from mesh_lab.controlplane.kube.client import KubeClient, Object
from mesh_lab.controlplane.kube.kinds import DEFINITIONS, Kind
from mesh_lab.controlplane.kube.watching import Follower, Sink

log = logging.getLogger(__name__)

_VERSION, _CHANNEL = "gateway.networking.k8s.io/bundle-version", "gateway.networking.k8s.io/channel"


class Definition(NamedTuple):
    """A kind as its definition has it, and of which release and channel that is."""

    kind: Kind
    version: str
    channel: str


class _Following(NamedTuple):
    definition: Definition
    follower: Follower
    task: asyncio.Task[None]


def _nobody() -> None:
    """The callback until one is set."""


class Definitions:
    """Follows the definitions, and the objects of those kinds that are wanted.

    `found` has what is there now, by the name of the kind; `changed` is called when that changes.
    """

    def __init__(self, api: KubeClient, wanted: Mapping[str, Kind], sink: Sink) -> None:
        self._api = api
        self._wanted = {(kind.group, kind.plural): kind for kind in wanted.values()}
        self._sink = sink
        self._following: dict[str, _Following] = {}
        self._group: asyncio.TaskGroup | None = None
        self._definitions = Follower(api, DEFINITIONS, self)
        self.changed: Callable[[], None] = _nobody

    @property
    def found(self) -> Mapping[str, Definition]:
        """The kinds that are followed."""
        return {name: each.definition for name, each in self._following.items()}

    async def run(self) -> None:
        """Follow until cancelled."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            await self._definitions.run()

    async def synced(self) -> None:
        """Wait until what is defined has been listed, and the objects of it."""
        await self._definitions.synced.wait()
        for each in list(self._following.values()):
            await each.follower.synced.wait()

    def replace(self, _kind: Kind, objects: list[Object]) -> None:
        """These definitions are all there are."""
        there = {each.kind.kind: each for each in map(self._defined, objects) if each is not None}
        for gone in self._following.keys() - there.keys():
            self._stop(gone)
        for definition in there.values():
            self._follow(definition)

    def apply(self, _kind: Kind, event: str, obj: Object) -> None:
        """ADDED, MODIFIED or DELETED."""
        kind = self._wanted.get((obj["spec"]["group"], obj["spec"]["names"]["plural"]))
        if kind is None:
            return
        definition = None if event == "DELETED" else self._defined(obj)
        if definition is None:
            self._stop(kind.kind)
        else:
            self._follow(definition)

    def _follow(self, definition: Definition) -> None:
        name = definition.kind.kind
        known = self._following.get(name)
        if known is not None and known.definition == definition:
            return
        if known is not None and known.definition.kind == definition.kind:
            self._following[name] = known._replace(definition=definition)
        elif self._group is not None:
            if known is not None:
                known.task.cancel()
            follower = Follower(self._api, definition.kind, self._sink)
            self._following[name] = _Following(definition, follower, self._group.create_task(follower.run()))
        told = " ".join(filter(None, (definition.version, definition.channel)))
        log.info(
            "following %s.%s %s (%s)",
            definition.kind.plural,
            definition.kind.group,
            definition.kind.version,
            told or "of no release",
        )
        self.changed()

    def _stop(self, name: str) -> None:
        known = self._following.pop(name, None)
        if known is not None:
            known.task.cancel()
            self._sink.replace(known.definition.kind, [])
            log.info(
                "following %s.%s no more: its definition is gone",
                known.definition.kind.plural,
                known.definition.kind.group,
            )
            self.changed()

    def _defined(self, crd: Object) -> Definition | None:
        """The kind in the version that is stored, if it is served, or else in the first that is served."""
        spec = crd["spec"]
        kind = self._wanted.get((spec["group"], spec["names"]["plural"]))
        served = [version for version in spec["versions"] if version.get("served")]
        if kind is None or not served:
            return None
        version = next((each for each in served if each.get("storage")), served[0])
        notes = crd["metadata"].get("annotations") or {}
        return Definition(kind._replace(version=version["name"]), notes.get(_VERSION, ""), notes.get(_CHANNEL, ""))
