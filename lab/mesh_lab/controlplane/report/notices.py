"""Events on objects that have no status of Istio's: its ConfigMaps, pods, services, deployments, and Consul's kinds.

And on those of the Gateway API, whose statuses say what is true of them and not since when.

The reporter does that for Istio's own kinds, in their status too. Information is a Normal Event, an error or a warning
a Warning; each is made once for each time that it comes up, if it stays.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping

from mesh_lab.controlplane.delivery.state import ClusterState
from mesh_lab.controlplane.delivery.tracking import Remarks
from mesh_lab.controlplane.kube import events
from mesh_lab.controlplane.kube.client import Object
from mesh_lab.controlplane.kube.events import Key, Subject
from mesh_lab.controlplane.kube.kinds import GATEWAY_API
from mesh_lab.controlplane.process.plane import ControlPlane
from mesh_lab.controlplane.world import meshconfig, values
from mesh_lab.controlplane.world.findings import Finding
from mesh_lab.meshkinds import CONSUL

API_VERSIONS: Mapping[str, str] = {
    "ConfigMap": "v1",
    "Pod": "v1",
    "Service": "v1",
    "Namespace": "v1",
    "Deployment": "apps/v1",
    "Ingress": "networking.k8s.io/v1",
    **{name: f"{kind.group}/{kind.version}" for name, kind in GATEWAY_API.items()},
    **{kind.name: kind.api_version for kind in CONSUL},
}
"""The kinds that are reported on here."""

_STAYS = 1.0  # seconds after which a finding is no longer one of a change that is still under way
_PAUSE = 0.02  # proxies come first: what they are sent is made in the same loop, a proxy at a time
_MOST = 200  # Events of one round; the next round goes on


class Notices:
    """Makes Events of the findings on objects of Kubernetes' own kinds."""

    def __init__(self, api: events.Api, state: ClusterState, remarks: Remarks, plane: ControlPlane) -> None:
        self._api = api
        self._state = state
        self._remarks = remarks
        names = (meshconfig.CONFIG_MAP, values.CONFIG_MAP)
        self._config_maps = {(plane.namespace, plane.named(name)) for name in names}
        self._subjects: dict[Key, Subject] = {}
        self._due: dict[tuple[Key, str], float | None] = {}  # by object and text; None when the Event is made
        for kind in API_VERSIONS:
            state.hook(kind, self._observer(kind))

    async def run(self) -> None:
        """Report until cancelled."""
        changed, done = self._state.snapshotted, -1
        while True:
            if changed.count == done:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout_at(self._next_due()):
                        await changed.wait()
                await asyncio.sleep(_PAUSE)
            done = changed.count
            await self._report()

    def _next_due(self) -> float | None:
        return min((due for due in self._due.values() if due is not None), default=None)

    def _observer(self, kind: str) -> events.Observer:
        def observe(event: str, obj: Object) -> None:
            meta = obj["metadata"]
            key = (kind, meta.get("namespace", ""), meta["name"])
            if event == "DELETED":
                self._subjects.pop(key, None)
            elif kind != "ConfigMap" or key[1:] in self._config_maps:
                self._subjects[key] = Subject(meta.get("uid", ""), API_VERSIONS[kind], meta.get("generation", 0), {})

        return observe

    async def _report(self) -> None:
        now = asyncio.get_running_loop().time()
        present = {
            (key, finding.text): finding
            for key, findings in self._remarks.on(self._state.latest).items()
            if key in self._subjects
            for finding in findings
        }
        self._due = {each: self._due.get(each, now + _STAYS) for each in present}
        ripe = [each for each, due in self._due.items() if due is not None and due <= now]
        for each in ripe[:_MOST]:
            await self._make(each[0], present[each])
            self._due[each] = None

    async def _make(self, key: Key, finding: Finding) -> None:
        subject = self._subjects.get(key)
        if subject is not None:
            severity: events.Severity = "Normal" if finding.severity == "info" else "Warning"
            kind = GATEWAY_API[key[0]].own_name if key[0] in GATEWAY_API else key[0]
            await events.record_once(self._api, (kind, *key[1:]), subject, severity, finding.name, finding.text)
