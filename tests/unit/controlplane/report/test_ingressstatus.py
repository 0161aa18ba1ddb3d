"""An Ingress of the mesh's class says by which addresses its gateway is reached."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from mesh_lab.controlplane.report.ingressstatus import external_addresses, service_addresses
from tests.unit.controlplane.fake_api import FakeApi
from tests.unit.controlplane.mesh import Mesh
from tests.unit.controlplane.mesh import pod as made_pod
from tests.unit.controlplane.test_whole import plane as plane

Object = dict[str, Any]
GATEWAY = "istio-ingressgateway"


def ingress(class_name: str = "", annotation: str = "") -> Object:
    meta: Object = {"namespace": "default", "name": "web", "uid": "u", "annotations": {}}
    if annotation:
        meta["annotations"]["kubernetes.io/ingress.class"] = annotation
    backend = {"service": {"name": "web", "port": {"number": 80}}}
    return {"metadata": meta, "spec": {"ingressClassName": class_name, "defaultBackend": backend}}


def service(*addresses: Object, **spec: Any) -> Object:
    meta = {"namespace": "istio-system", "name": GATEWAY, "uid": "s"}
    status = {"loadBalancer": {"ingress": list(addresses)}}
    return {"metadata": meta, "spec": {"type": "LoadBalancer", "ports": [], **spec}, "status": status}


def shown(api: FakeApi) -> list[Object]:
    stored = api.find("ingresses", "web", "default") or {}
    return (stored.get("status", {}).get("loadBalancer") or {}).get("ingress") or []


def has(api: FakeApi, *addresses: Object) -> Callable[[], bool]:
    return lambda: shown(api) == list(addresses)


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (service({"ip": "1.2.3.4", "ipMode": "VIP", "ports": []}), [{"ip": "1.2.3.4"}]),
        (service({"hostname": "foo.bar.com"}), [{"hostname": "foo.bar.com"}]),
        (service({"ip": "5.6.7.8"}, externalIPs=["1.2.3.4", "5.6.7.8"]), [{"ip": "1.2.3.4"}, {"ip": "5.6.7.8"}]),
        (service({"ip": "1.2.3.4"}, type="ExternalName", externalName="foo.bar.com"), [{"hostname": "foo.bar.com"}]),
        ({"metadata": {"name": GATEWAY}}, []),
    ],
)
def test_the_addresses_of_a_service(made: Object, expected: list[Object]) -> None:
    assert list(service_addresses(made)) == expected


def test_the_external_addresses_of_a_node() -> None:
    addresses = [{"type": "InternalIP", "address": "10.0.0.2"}, {"type": "ExternalIP", "address": "1.2.3.4"}]
    assert external_addresses({"status": {"addresses": addresses}}) == ({"ip": "1.2.3.4"},)


async def test_the_status_follows_the_gateways_service(plane: Mesh) -> None:
    api = plane.api
    await api.put("ingresses", ingress(annotation="istio"))
    await api.put("services", service({"ip": "1.2.3.4"}))
    await api.until(has(api, {"ip": "1.2.3.4"}))
    await api.put("services", service({"ip": "5.6.7.8"}, {"hostname": "foo.bar.com"}))
    await api.until(has(api, {"hostname": "foo.bar.com"}, {"ip": "5.6.7.8"}))
    await api.remove("services", GATEWAY, "istio-system")
    await api.until(has(api))


async def test_only_ingresses_of_the_meshs_class_have_one(plane: Mesh) -> None:
    api = plane.api
    await api.put("services", service({"ip": "1.2.3.4"}))
    await api.put("ingresses", ingress("mine"))
    await plane.live("Ingress", "web")
    assert shown(api) == []
    await api.put(
        "ingressclasses", {"metadata": {"name": "mine"}, "spec": {"controller": "istio.io/ingress-controller"}}
    )
    await api.until(has(api, {"ip": "1.2.3.4"}))
    await api.remove("ingressclasses", "mine")
    await api.until(has(api))


async def test_without_a_load_balancer_it_is_where_the_nodes_of_the_gateway_are(plane: Mesh) -> None:
    api = plane.api
    await api.put("services", service())
    addresses = [{"type": "ExternalIP", "address": "9.9.9.9"}]
    await api.put("nodes", {"metadata": {"name": "one"}, "status": {"addresses": addresses}})
    gateway = made_pod("gateway", namespace="istio-system")
    gateway["metadata"]["labels"]["istio"] = "ingressgateway"
    gateway["spec"]["nodeName"] = "one"
    await api.put("pods", gateway)
    await api.put("ingresses", ingress(annotation="istio"))
    await api.until(has(api, {"ip": "9.9.9.9"}))
