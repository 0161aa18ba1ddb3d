"""Services as rules: which endpoints a port leads to, and how little a change touches."""

from __future__ import annotations

import msgspec

from mesh_lab.kube.network.ruleset import FAMILY_6, VirtualPort, changes, counted, virtual_ports
from mesh_lab.kube.objects.services import EndpointSlice, Service
from tests.unit.kube.network.catalogues import endpoint_slice, service

LEAVING = {"ready": False, "serving": True, "terminating": True}
BROKEN = {"ready": False, "serving": False, "terminating": False}


def view(**spec: object) -> Service:
    return msgspec.convert(service("web", **spec), Service)


def slices(*addresses: object, **rest: object) -> list[EndpointSlice]:
    return [msgspec.convert(endpoint_slice("web", list(addresses), **rest), EndpointSlice)]  # type: ignore[arg-type]


def test_a_port_leads_to_ready_endpoints() -> None:
    found = virtual_ports(view(), slices("10.244.0.3", {"addresses": ["10.244.0.2"], "conditions": BROKEN}))
    assert [(each.address, each.port, each.backends) for each in found] == [("10.96.0.20", 80, (("10.244.0.3", 8080),))]


def test_without_ready_endpoints_terminating_ones_serve() -> None:
    leaving = {"addresses": ["10.244.0.2"], "conditions": LEAVING}
    assert virtual_ports(view(), slices(leaving))[0].backends == (("10.244.0.2", 8080),)
    assert virtual_ports(view(), slices("10.244.0.3", leaving))[0].backends == (("10.244.0.3", 8080),)


def test_ports_are_matched_by_name_and_protocol() -> None:
    ports = [{"name": "dns", "port": 53, "protocol": "UDP"}, {"name": "dns", "port": 53, "protocol": "TCP"}]
    udp = [{"name": "dns", "port": 5353, "protocol": "UDP"}]
    found = virtual_ports(view(ports=ports), slices("10.244.0.2", ports=udp))
    assert [(each.protocol, each.backends) for each in found] == [("udp", (("10.244.0.2", 5353),))]


def test_services_without_an_address_have_no_rules() -> None:
    for spec in ({"clusterIP": "None"}, {"type": "ExternalName", "clusterIP": ""}):
        assert virtual_ports(view(**spec), slices("10.244.0.2")) == []
    assert virtual_ports(view(), []) == []


def test_each_family_has_the_services_that_have_an_address_of_it() -> None:
    both = view(clusterIPs=["10.96.0.20", "fd00:10:96::20"])
    found = virtual_ports(both, slices("fd00:10:244::3"), family=FAMILY_6)
    assert [(each.address, each.backends) for each in found] == [("fd00:10:96::20", (("fd00:10:244::3", 8080),))]
    assert virtual_ports(view(), slices("fd00:10:244::3"), family=FAMILY_6) == []
    text = changes({}, {each.chain: each for each in found}, {}, FAMILY_6)
    assert "dnat ip6 to [fd00:10:244::3]:8080" in text
    assert "ip mesh_lab_services" not in text


def test_a_balanced_port_is_reached_at_its_balancers_address_if_the_status_says_so() -> None:
    answering = {"port": 80, "protocol": "TCP"}

    def reached(kind: str, ip: str, listed: dict[str, object]) -> str:
        status = {"loadBalancer": {"ingress": [{"ip": ip, "ports": [listed]}]}}
        made = msgspec.convert(service("web", type=kind) | {"status": status}, Service)
        (found,) = virtual_ports(made, slices("10.244.0.2"), "127.80.0.0/16")
        return found.balancer

    assert reached("LoadBalancer", "127.80.0.1", answering) == "127.80.0.1"
    assert reached("LoadBalancer", "127.80.0.1", answering | {"error": "PortTaken"}) == ""
    assert reached("LoadBalancer", "127.80.0.1", answering | {"protocol": "UDP"}) == ""
    assert reached("LoadBalancer", "127.80.255.254", answering) == "127.80.255.254"
    assert reached("LoadBalancer", "10.96.0.1", answering) == "", "anyone may write a status"
    assert reached("LoadBalancer", "fd00::1", answering) == ""
    assert reached("ClusterIP", "127.80.0.1", answering) == ""


def port(name: str, *addresses: str, node_port: int = 0, sticky: bool = False) -> VirtualPort:
    backends = tuple((address, 8080) for address in addresses)
    number = int(name)
    return VirtualPort(f"svc/default/{name}/tcp/80", f"10.96.0.{number}", "tcp", 80, node_port, sticky, backends)


def state(*ports: VirtualPort) -> dict[str, VirtualPort]:
    return {each.chain: each for each in ports}


def test_without_changes_there_is_no_script() -> None:
    present = state(port("1", "10.244.0.2"), port("2", "10.244.0.3"))
    assert changes(present, present, counted({}, present, {})) == ""


def test_a_changed_endpoint_touches_only_its_service() -> None:
    before = state(port("1", "10.244.0.2", "10.244.0.3"), port("2", "10.244.0.3"))
    after = state(port("1", "10.244.0.2", "10.244.0.4"), port("2", "10.244.0.3"))
    rule = "meta l4proto tcp dnat ip to numgen random mod 2 map { 0 : 10.244.0.2 . 8080, 1 : 10.244.0.4 . 8080 }"
    assert changes(before, after, counted({}, before, {})).splitlines() == [
        "flush chain ip mesh_lab_services svc/default/1/tcp/80",
        f"add rule ip mesh_lab_services svc/default/1/tcp/80 {rule}",
        "add element ip mesh_lab_services endpoints { 10.244.0.4 . 10.244.0.4 }",
    ]


def test_affinity_chooses_by_the_client() -> None:
    after = state(port("1", "10.244.0.2", "10.244.0.3", sticky=True))
    assert "jhash ip saddr mod 2" in changes({}, after, {})


def test_an_address_is_forgotten_with_the_last_service_that_leads_to_it() -> None:
    both = state(port("1", "10.244.0.2"), port("2", "10.244.0.2"))
    used = counted({}, both, {})
    assert used == {"10.244.0.2": 2}
    first = state(port("1", "10.244.0.2"))
    assert "delete element ip mesh_lab_services endpoints" not in changes(first, {}, used)
    used |= counted(first, {}, used)
    second = state(port("2", "10.244.0.2"))
    assert "delete element ip mesh_lab_services endpoints" in changes(second, {}, used)
