"""Keeps the Deployment, the Service and the account of each Gateway as they should be, and makes the class `istio`.

They are applied (server-side), so that what others set on them stays; they are deleted with their Gateway, which owns
them. https://istio.io/latest/docs/tasks/traffic-management/ingress/gateway-api/#automated-deployment
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

from mesh_lab.controlplane.delivery.state import ClusterState
from mesh_lab.controlplane.kube.client import ApiError, Object, Unreachable
from mesh_lab.controlplane.kube.definitions import Definitions
from mesh_lab.controlplane.kube.kinds import GATEWAY_CLASSES, Kind
from mesh_lab.controlplane.process.faults import Faults
from mesh_lab.controlplane.world.snapshot import Snapshot
from mesh_lab.controlplane.xds.gatewayapi import infrastructure, listeners
from mesh_lab.controlplane.xds.gatewayapi.sources import CLASS, CONTROLLER, Sources

log = logging.getLogger(__name__)

_KINDS: Mapping[str, Kind] = {
    "ServiceAccount": Kind("", "v1", "serviceaccounts", "ServiceAccount"),
    "Deployment": Kind("apps", "v1", "deployments", "Deployment"),
    "Service": Kind("", "v1", "services", "Service"),
}
_PAUSE = 0.02  # proxies come first: what they are sent is made in the same loop, a proxy at a time
_RETRY_SECONDS = 1.0
_CONFLICT = 409
_CLASS: Object = {
    "apiVersion": "gateway.networking.k8s.io/v1",
    "kind": "GatewayClass",
    "metadata": {"name": CLASS},
    "spec": {"controllerName": CONTROLLER, "description": "The lab's own control plane, in the place of Istio's"},
}

Applied = tuple[str, str, str]


class Api(Protocol):
    """What this needs of the API."""

    async def create(self, kind: Kind, obj: Object, namespace: str = "") -> Object:
        """Create an object."""

    async def apply(self, kind: Kind, obj: Object, manager: str) -> Object:
        """Make an object so, by server-side apply."""


def _wanted(snapshot: Snapshot) -> Mapping[Applied, Object]:
    return {
        (each["kind"], each["metadata"]["namespace"], each["metadata"]["name"]): each
        for state in listeners.gateways(Sources.of(snapshot))
        for each in infrastructure.objects(state)
    }


class Gateways:
    """Applies what snapshots ask for, once for each change."""

    def __init__(
        self,
        api: Api,
        state: ClusterState,
        definitions: Definitions,
        faults: Faults,
        remembering: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        """`remembering` lends the memory of what was made of snapshots for proxies."""
        self._api = api
        self._remembering = remembering
        self._state = state
        self._definitions = definitions
        self._faults = faults
        self._applied: dict[Applied, Object] = {}
        # What the latest snapshot asks for.
        self._wanted: Mapping[Applied, Object] = {}
        self._snapshot: Snapshot | None = None

    async def run(self) -> None:
        """Keep them until cancelled."""
        progress, seen = self._state.progress, -1
        good = True
        while True:
            if progress.count == seen:
                await progress.wait(None if good else _RETRY_SECONDS)
                await asyncio.sleep(_PAUSE)
            seen = progress.count
            try:
                good = await self._keep()
            except Exception as error:  # noqa: BLE001 - the next change may be the one that puts it right
                self._faults.record("deploying gateways", error)

    async def _keep(self) -> bool:
        """Apply what has changed; False when not all could be."""
        snapshot = self._state.latest
        good = True
        if "GatewayClass" in self._definitions.found and ("", CLASS) not in snapshot.gatewayapi["GatewayClass"]:
            good = await self._create_class()
        if snapshot is not self._snapshot:
            with self._remembering():
                self._wanted = _wanted(snapshot)
            self._snapshot = snapshot
        wanted = self._wanted
        there = {"Service": frozenset(snapshot.services), "Deployment": frozenset(snapshot.deployments)}
        for gone in self._applied.keys() - wanted.keys():
            del self._applied[gone]
        for key, obj in wanted.items():
            kind, namespace, name = key
            missing = kind in there and (namespace, name) not in there[kind]
            if self._applied.get(key) != obj or missing:
                good = await self._apply(key, obj) and good
        return good

    async def _create_class(self) -> bool:
        try:
            await self._api.create(GATEWAY_CLASSES, _CLASS)
        except (ApiError, Unreachable) as error:
            if not (isinstance(error, ApiError) and error.status == _CONFLICT):
                log.warning("making GatewayClass %s: %s", CLASS, error)
            return False
        return True

    async def _apply(self, key: Applied, obj: Object) -> bool:
        try:
            await self._api.apply(_KINDS[key[0]], obj, CONTROLLER)
        except (ApiError, Unreachable) as error:
            log.warning("applying %s %s/%s: %s", *key, error)
            return False
        self._applied[key] = obj
        return True
