"""What is reported on objects that have no status of the mesh, and of those that nothing acts on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from mesh_lab.controlplane.delivery.tracking import Failed
from mesh_lab.controlplane.kube.client import KubeClient
from mesh_lab.controlplane.kube.events import Key
from mesh_lab.controlplane.kube.signals import Signal
from mesh_lab.controlplane.process.plane import THE_DEFAULT
from mesh_lab.controlplane.report.notices import Notices
from mesh_lab.controlplane.report.unserved import Unserved
from mesh_lab.controlplane.trust.ca import Authority
from mesh_lab.controlplane.world.findings import Finding
from mesh_lab.controlplane.world.kubernetes import Origin
from mesh_lab.controlplane.world.snapshot import Snapshot
from tests.unit.controlplane.fake_api import FakeApi, serving
from tests.unit.controlplane.mesh import Mesh, meshed
from tests.unit.controlplane.test_whole import plane as plane
from tests.unit.controlplane.test_whole import service


def events(api: FakeApi) -> list[tuple[str, str, str, str]]:
    stored = api.objects.get("events", {}).values()
    return sorted((e["involvedObject"]["kind"], e["type"], e["reason"], e["message"]) for e in stored)


async def test_findings_on_kubernetes_own_objects_are_events_once(plane: Mesh) -> None:
    origin = Origin("Service", "default", "web")
    plane.findings += [
        Finding("warning", "IST0137", "two ports", "spec.ports", origin),
        Finding("info", "IST0118", "a name", "spec.ports[0].name", origin),
    ]
    await plane.api.put("services", service("web"))
    expected = [
        ("Service", "Normal", "PortNameIsNotUnderNamingConvention", "spec.ports[0].name: a name"),
        ("Service", "Warning", "DeploymentConflictingPorts", "spec.ports: two ports"),
    ]
    await plane.api.until(lambda: events(plane.api) == expected)
    await plane.api.put("services", service("another"))
    await plane.live("Service", "another")
    assert events(plane.api) == expected
    assert [e["count"] for e in plane.api.objects["events"].values()] == [1, 1]


async def test_findings_on_the_gateway_apis_objects_are_events_under_their_own_kinds(plane: Mesh) -> None:
    plane.findings += [
        Finding("error", "IST0106", "HostnameConflict: port 80", "", Origin("KubernetesGateway", "default", "edge")),
        Finding("error", "IST0101", "Referenced Gateway not found", "", Origin("HTTPRoute", "default", "r")),
    ]
    for plural, kind, name in (("gateways", "Gateway", "edge"), ("httproutes", "HTTPRoute", "r")):
        await plane.api.put("customresourcedefinitions", definition(plural, kind))
        await plane.api.put(plural, {"metadata": {"namespace": "default", "name": name, "uid": name}, "spec": {}})
    expected = [
        ("Gateway", "Warning", "SchemaValidationError", "HostnameConflict: port 80"),
        ("HTTPRoute", "Warning", "ReferencedResourceNotFound", "Referenced Gateway not found"),
    ]
    await plane.api.until(lambda: events(plane.api) == expected)


def definition(plural: str, kind: str) -> dict[str, Any]:
    group = "gateway.networking.k8s.io"
    version = {"name": "v1", "served": True, "storage": True}
    spec = {"group": group, "names": {"plural": plural, "kind": kind}, "versions": [version]}
    return {"metadata": {"name": f"{plural}.{group}"}, "spec": spec}


async def test_what_is_wrong_in_the_injectors_values_is_an_event_and_not_live(tmp_path: Path) -> None:
    def analyse(snapshot: Snapshot, _: Failed) -> list[Finding]:
        return [finding for findings in snapshot.invalid.values() for finding in findings]

    name = "istio-sidecar-injector"
    async with meshed(tmp_path, analyse=analyse) as plane:
        meta = {"namespace": "istio-system", "name": name, "uid": "u"}
        await plane.api.put("configmaps", {"metadata": meta, "data": {"values": "concurrency: two\nlogLevell: debug"}})
        state = await plane.live("ConfigMap", name, namespace="istio-system")
        assert (state["found"], state["live"]) == (True, False)
        assert [finding["path"] for finding in state["findings"]] == [
            "data.values.concurrency",
            "data.values.logLevell",
        ]
        await plane.api.until(lambda: len(events(plane.api)) == 2)
        assert [each[:3] for each in events(plane.api)] == [("ConfigMap", "Warning", "SchemaValidationError")] * 2
        await plane.api.put("configmaps", {"metadata": meta, "data": {"values": "concurrency: 2"}})
        state = await plane.live("ConfigMap", name, namespace="istio-system")
        assert (state["live"], state["findings"]) == (True, [])


def crd(plural: str, kind: str, group: str, *, status: bool = True) -> dict[str, Any]:
    version = {"name": "v1", "served": True, "storage": True, "subresources": {"status": {}} if status else {}}
    spec = {"group": group, "names": {"plural": plural, "kind": kind}, "scope": "Namespaced", "versions": [version]}
    return {"metadata": {"name": f"{plural}.{group}"}, "spec": spec}


@pytest.fixture
async def api() -> AsyncIterator[FakeApi]:
    async with serving() as fake:
        yield fake


async def test_an_object_that_nothing_acts_on_says_so(api: FakeApi, tmp_path: Path) -> None:
    token, ca = tmp_path / "token", tmp_path / "ca"
    token.write_text("t")
    ca.write_bytes(Authority.create("x").certificate)
    await api.put("customresourcedefinitions", crd("gizmos", "Gizmo", "networking.istio.io"))
    await api.put("customresourcedefinitions", crd("virtualservices", "VirtualService", "networking.istio.io"))
    await api.put("customresourcedefinitions", crd("quicroutes", "QUICRoute", "gateway.networking.k8s.io"))
    await api.put("customresourcedefinitions", crd("widgets", "Widget", "example.com"))
    for collection in ("gizmos", "virtualservices", "quicroutes", "widgets"):
        meta = {"namespace": "default", "name": "one", "uid": f"uid-{collection}"}
        await api.put(collection, {"metadata": meta, "spec": {}})
    async with KubeClient(api.url, token, ca) as client:
        task = asyncio.create_task(Unserved(client).run())
        reported = [
            ("Gizmo", "Warning", "NotActedOn", "gizmos.networking.istio.io have no effect in this lab"),
            ("QUICRoute", "Warning", "NotActedOn", "quicroutes.gateway.networking.k8s.io have no effect in this lab"),
        ]
        await api.until(lambda: events(api) == reported)

        def condition(collection: str) -> list[tuple[str, str, str]]:
            found = api.find(collection, "one", "default") or {}
            return [(c["type"], c["status"], c["reason"]) for c in found.get("status", {}).get("conditions", ())]

        await api.until(lambda: condition("gizmos") == [("Programmed", "False", "NotActedOn")])
        await api.put("customresourcedefinitions", crd("gadgets", "Gadget", "telemetry.istio.io", status=False))
        await api.put("gadgets", {"metadata": {"namespace": "default", "name": "late", "uid": "u"}, "spec": {}})
        await api.until(lambda: any(kind == "Gadget" for kind, *_ in events(api)))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


@pytest.mark.parametrize("dialects", [("istio", "gateway"), ("istio", "consul")])
async def test_objects_of_a_vocabulary_that_is_not_read_say_so(
    api: FakeApi, tmp_path: Path, dialects: tuple[str, ...]
) -> None:
    token, ca = tmp_path / "token", tmp_path / "ca"
    token.write_text("t")
    ca.write_bytes(Authority.create("x").certificate)
    for plural, kind in (("serviceresolvers", "ServiceResolver"), ("exportedservices", "ExportedServices")):
        await api.put("customresourcedefinitions", crd(plural, kind, "consul.hashicorp.com"))
        await api.put(plural, {"metadata": {"namespace": "default", "name": "a", "uid": plural}, "spec": {}})
    unread = {"ExportedServices"} if "consul" in dialects else {"ExportedServices", "ServiceResolver"}
    async with KubeClient(api.url, token, ca) as client:
        task = asyncio.create_task(Unserved(client, dialects).run())
        await api.until(lambda: {kind for kind, *_ in events(api)} == unread)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


class Counting:
    """Remarks that are none, and how often they were asked for."""

    def __init__(self) -> None:
        self.asked = asyncio.Queue[object]()

    def on(self, snapshot: object) -> dict[Key, list[Finding]]:
        self.asked.put_nowait(snapshot)
        return {}


async def test_proxies_come_before_what_is_said_of_objects() -> None:
    remarks, state = Counting(), SimpleNamespace(snapshotted=Signal(), latest="first", hook=lambda *_: None)
    task = asyncio.create_task(Notices(cast(Any, None), cast(Any, state), cast(Any, remarks), THE_DEFAULT).run())
    assert await remarks.asked.get() == "first"
    state.latest = "second"
    state.snapshotted.fire()
    for _ in range(20):
        # A push gives way to others after each proxy.
        await asyncio.sleep(0)
        assert remarks.asked.empty()
    assert await asyncio.wait_for(remarks.asked.get(), 5) == "second"
    task.cancel()
    await asyncio.wait({task})
