"""A mesh of both IP families: listeners, endpoints and clusters, which Envoy takes; one of IPv4 has nothing of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from envoy.config.cluster.v3.cluster_pb2 import Cluster as ClusterMessage
from envoy.config.listener.v3.listener_pb2 import Listener

from mesh_lab.controlplane.world.proxy import Proxy
from mesh_lab.controlplane.xds import Generator, Resources
from mesh_lab.controlplane.xds.typeurls import CDS, EDS, LDS, RDS
from tests.unit.controlplane.cluster import Cluster, config, endpoints, pod, service
from tests.unit.controlplane.envoy import message, static, validate

Object = dict[str, Any]
NODE = {"metadata": {"name": "lab"}, "spec": {"podCIDRs": ["10.244.0.0/16", "fd00:10:244::/64"]}}
TCP = {"number": 9000, "name": "tcp", "protocol": "TCP"}


def both(name: str, number: int) -> Object:
    made = pod(name, f"10.244.0.{number}")
    made["status"]["podIPs"] = [{"ip": f"10.244.0.{number}"}, {"ip": f"fd00:10:244::{number}"}]
    return made


def second(made: Object) -> Object:
    """The slice of the other family."""
    return {
        **made,
        "metadata": {**made["metadata"], "name": f"{made['metadata']['name']}-6"},
        "addressType": "IPv6",
        "endpoints": [
            {**each, "addresses": [each["addresses"][0].replace("10.244.0.", "fd00:10:244::")]}
            for each in made["endpoints"]
        ],
    }


def mesh(*, dual: bool = True) -> Cluster:
    """A client; an echo at both families, one at IPv6, and one without addresses of its own."""
    cluster = Cluster()
    if dual:
        cluster.add("Node", NODE)
    cluster.add("Pod", both("client-1", 2), both("echo-1", 3), both("six-1", 4), both("db-1", 5))
    ports = (("tcp", 9000), ("http", 80))
    for name, ips in (("echo", ["10.96.0.3", "fd00:10:96::3"]), ("six", ["fd00:10:96::4"]), ("db", ["None"])):
        cluster.add("Service", service(name, *ports, ip=ips[0], clusterIPs=ips))
    slices = {
        name: endpoints(name, both(f"{name}-1", n), ports=ports) for name, n in (("echo", 3), ("six", 4), ("db", 5))
    }
    cluster.add("EndpointSlice", slices["echo"], second(slices["echo"]), second(slices["six"]))
    return cluster.add("EndpointSlice", slices["db"], second(slices["db"]))


def sent(cluster: Cluster, name: str = "client-1", kind: Any = "sidecar", **metadata: str) -> Resources:
    snapshot = cluster.snapshot()
    return Generator().generate(snapshot, Proxy.of(snapshot.pods["default", name], kind, metadata=metadata or None))


def addresses(found: Any) -> list[str]:
    all_of_it = (found.address, *(each.address for each in found.additional_addresses))
    return [each.socket_address.address for each in all_of_it]


def listening(resources: Resources) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, built in resources[LDS].items():
        listener = message(built)
        assert isinstance(listener, Listener)
        found[name] = addresses(listener)
    return found


def cluster_of(resources: Resources, name: str) -> ClusterMessage:
    found = message(resources[CDS][name])
    assert isinstance(found, ClusterMessage)
    return found


def test_listeners_are_at_both_families_and_envoy_takes_them(tmp_path: Path) -> None:
    resources = sent(mesh())
    found = listening(resources)
    for anywhere in ("virtualInbound", "virtualOutbound", "0.0.0.0_80"):
        assert found[anywhere] == ["0.0.0.0", "::"]
    assert found["10.96.0.3_9000"] == ["10.96.0.3", "fd00:10:96::3"]
    assert found["fd00:10:96::4_9000"] == ["fd00:10:96::4"]
    assert found["10.244.0.5_9000"] == ["10.244.0.5", "fd00:10:244::5"], "a pod of a headless Service"
    validate(static(resources), tmp_path)


def test_a_pod_at_both_families_is_one_endpoint() -> None:
    resources = sent(mesh())

    def endpoint(host: str) -> list[str]:
        assigned = message(resources[EDS][f"outbound|9000||{host}.default.svc.cluster.local"])
        (only,) = (each.endpoint for group in assigned.endpoints for each in group.lb_endpoints)
        return addresses(only)

    assert endpoint("echo") == ["10.244.0.3", "fd00:10:244::3"]
    assert endpoint("six") == ["fd00:10:244::4"]


def test_an_application_is_reached_at_the_address_that_its_client_called() -> None:
    resources = sent(mesh(), "echo-1")
    for name in ("inbound|9000||", "InboundPassthroughCluster"):
        found = cluster_of(resources, name)
        assert found.type == ClusterMessage.ORIGINAL_DST
        bind = found.upstream_bind_config
        assert bind.source_address.address == "127.0.0.6"
        assert [each.address.address for each in bind.extra_source_addresses] == ["::6"]


def test_requests_by_address_are_known_at_both() -> None:
    routes = message(sent(mesh())[RDS]["80"])
    domains = {domain for host in routes.virtual_hosts for domain in host.domains}
    assert {"10.96.0.3", "[fd00:10:96::3]", "[fd00:10:96::4]"} <= domains


def test_names_are_looked_up_at_both_and_hosts_answered_at_both(tmp_path: Path) -> None:
    entry = config("ServiceEntry", "given", {"hosts": ["given.internal"], "ports": [TCP], "resolution": "DNS"})
    given = [{"host": "given.internal", "value": value} for value in ("240.240.0.1", "2001:2::1")]
    resources = sent(mesh().istio({**entry, "status": {"addresses": given}}), DNS_CAPTURE="true")
    assert cluster_of(resources, "outbound|9000||given.internal").dns_lookup_family == ClusterMessage.ALL
    assert listening(resources)["240.240.0.1_9000"] == ["240.240.0.1", "2001:2::1"]
    assert b"2001:2::1" in resources[LDS]["dns"].body
    validate(static(resources), tmp_path)


def test_a_gateway_listens_at_both(tmp_path: Path) -> None:
    server = {"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": ["*"]}
    gateway = config("Gateway", "gw", {"selector": {"app": "client"}, "servers": [server]})
    route = {"route": [{"destination": {"host": "echo", "port": {"number": 80}}}]}
    routes = config("VirtualService", "vs", {"hosts": ["*"], "gateways": ["gw"], "http": [route]})
    resources = sent(mesh().istio(gateway, routes), kind="router")
    assert listening(resources)["0.0.0.0_80"] == ["0.0.0.0", "::"]
    validate(static(resources), tmp_path)


@pytest.mark.parametrize("name", ["client-1", "echo-1"])
def test_a_mesh_of_one_family_is_as_ever(name: str) -> None:
    cluster = Cluster()
    cluster.add("Node", {"metadata": {"name": "lab"}, "spec": {"podCIDRs": ["10.244.0.0/16"]}})
    cluster.app("echo", ("tcp", 9000), ("http", 80), pods=[pod("echo-1", "10.244.0.3")])
    cluster.add("Pod", pod("client-1", "10.244.0.2"))
    resources = sent(cluster, name)
    assert all(len(each) == 1 for each in listening(resources).values())
    assert not any(b"::" in built.body for kind in (CDS, EDS, LDS) for built in resources[kind].values())
