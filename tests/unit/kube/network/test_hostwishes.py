"""Which places of the host Services want, and what is said of those."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from mesh_lab.kube.config import HostPort
from mesh_lab.kube.network.endpoints import Name
from mesh_lab.kube.network.hostwishes import Outcome, Place, Way, is_balanced, load_balancer, remarks, wishes
from mesh_lab.kube.objects.services import Service
from tests.unit.kube.network.catalogues import service

Object = dict[str, Any]
WEB, OWN = Name("default", "web"), "127.80.0.5"


def view(**spec: Any) -> Service:
    return msgspec.convert(service("web", **spec), Service)


def port(number: int, node_port: int = 0, protocol: str = "TCP") -> Object:
    return {"name": f"p{number}", "port": number, "protocol": protocol, "nodePort": node_port}


def asked(*configured: HostPort, address: str = OWN, **spec: Any) -> dict[str, tuple[int, Way]]:
    wanted = wishes(WEB, view(**spec), configured, address)
    return {str(each.place): (each.port.port, each.way) for each in wanted}


def test_a_load_balancer_has_all_its_ports_at_its_address_and_127_0_0_1_as_a_second_way() -> None:
    ports = [port(80, 30080), port(9000, 30900), port(53, 30053, "UDP")]
    nodes = {"127.0.0.1:30080": (80, Way.NODE_PORT), "127.0.0.1:30900": (9000, Way.NODE_PORT)}
    assert asked(type="LoadBalancer", ports=ports) == {
        f"{OWN}:80": (80, Way.OWN),
        f"{OWN}:9000": (9000, Way.OWN),
        "127.0.0.1:9000": (9000, Way.SECOND),
        **nodes,
    }
    assert asked(type="NodePort", ports=ports) == nodes
    assert asked(type="ClusterIP", ports=ports) == {}
    assert asked(address="", type="LoadBalancer", ports=[port(80), port(9000)]) == {
        "127.0.0.1:9000": (9000, Way.SECOND)
    }


def test_configured_ports_take_the_place_of_the_second_way() -> None:
    chosen = HostPort(namespace="default", service="web", port=9000, host_port=8080)
    other = HostPort(namespace="shop", service="web", port=80, host_port=8081)
    assert asked(chosen, other, type="LoadBalancer", ports=[port(9000)]) == {
        f"{OWN}:9000": (9000, Way.OWN),
        "127.0.0.1:8080": (9000, Way.CHOSEN),
    }
    assert asked(chosen, address="", type="ClusterIP", ports=[port(9000)]) == {"127.0.0.1:8080": (9000, Way.CHOSEN)}


def test_a_port_of_the_same_number_has_precedence_over_a_configured_one() -> None:
    chosen = HostPort(namespace="default", service="web", port=80, host_port=9000)
    found = asked(chosen, type="LoadBalancer", ports=[port(80), port(9000)])
    assert found["127.0.0.1:9000"] == (9000, Way.SECOND)


def test_only_a_load_balancer_with_ports_that_are_relayed_has_an_address() -> None:
    assert is_balanced(view(type="LoadBalancer", ports=[port(53, protocol="UDP"), port(80)]))
    assert not is_balanced(view(type="LoadBalancer", ports=[port(53, protocol="UDP")]))
    assert not is_balanced(view(type="NodePort", ports=[port(80)]))
    assert not is_balanced(None)


def outcomes(wanted: Service, address: str = OWN, *configured: HostPort, **errors: str) -> dict[Place, Outcome]:
    """`errors`: the reason of each way's."""
    made = (Outcome(each, *_error(errors.get(each.way.name, ""))) for each in wishes(WEB, wanted, configured, address))
    return {each.wish.place: each for each in made}


def _error(reason: str) -> tuple[str, str]:
    return (f"it is so: {reason}", reason) if reason else ("", "")


def test_the_status_has_the_address_and_the_error_of_each_port_that_does_not_answer_there() -> None:
    wanted = view(type="LoadBalancer", ports=[port(9000), port(53, protocol="UDP"), port(80)])
    found = outcomes(wanted, SECOND="PortTaken")
    found[Place(OWN, 80)] = Outcome(found[Place(OWN, 80)].wish, "it is for root", "PortReserved")
    assert load_balancer(wanted, OWN, found) == {
        "ingress": [
            {
                "ip": OWN,
                "ipMode": "VIP",
                "ports": [
                    {"port": 53, "protocol": "UDP", "error": "NotOnHost"},
                    {"port": 80, "protocol": "TCP", "error": "PortReserved"},
                    {"port": 9000, "protocol": "TCP"},
                ],
            }
        ]
    }
    assert load_balancer(wanted, "", found) == {}


TAKEN, ENSURED = "PortTaken", f"EnsuredLoadBalancer port 9000 answers on {OWN}:9000 of the host"


@pytest.mark.parametrize(
    ("address", "errors", "said"),
    [
        (OWN, {}, [f"{ENSURED}, and on 127.0.0.1:9000"]),
        (
            OWN,
            {"SECOND": TAKEN},
            [f"{ENSURED}; 127.0.0.1:9000 does not lead there: it is so: PortTaken"],
        ),
        (
            OWN,
            {"OWN": "PortReserved", "SECOND": TAKEN},
            [f"PortReserved port 9000 does not answer on {OWN}:9000 of the host: it is so: PortReserved"],
        ),
        (
            "",
            {"SECOND": TAKEN},
            ["PortTaken port 9000 does not answer on 127.0.0.1:9000 of the host: it is so: PortTaken"],
        ),
    ],
)
def test_what_is_new_is_said_once_a_port(address: str, errors: dict[str, str], said: list[str]) -> None:
    found = outcomes(view(type="LoadBalancer", ports=[port(9000)]), address, **errors)
    assert [f"{each.reason} {each.text}" for each in remarks(found, set(found))] == said
    assert list(remarks(found, set())) == []


def test_the_second_way_is_told_of_when_it_comes_later_and_node_ports_only_when_they_do_not() -> None:
    wanted = view(type="LoadBalancer", ports=[port(9000, 30900)])
    found = outcomes(wanted)
    (told,) = remarks(found, {Place("127.0.0.1", 9000)})
    assert (told.type, told.text) == ("Normal", "port 9000 answers on 127.0.0.1:9000 of the host")
    assert list(remarks(found, {Place("127.0.0.1", 30900)})) == []
    (told,) = remarks(outcomes(wanted, NODE_PORT=TAKEN), {Place("127.0.0.1", 30900)})
    assert (told.type, told.reason) == ("Warning", "PortTaken")


SAME = "127.0.0.1:8080 leads to the same port of its pods"


@pytest.mark.parametrize(
    ("errors", "kind", "ending"),
    [
        (
            {"OWN": "PortReserved"},
            "Normal",
            ": it is so: PortReserved; 127.0.0.1:8080 leads to the same port of its pods",
        ),
        ({"OWN": "PortReserved", "CHOSEN": TAKEN}, "Warning", ": it is so: PortReserved"),
        ({"OWN": TAKEN}, "Warning", ": it is so: PortTaken"),
    ],
)
def test_a_port_that_is_for_root_is_no_warning_where_another_is_chosen_for_it(
    errors: dict[str, str], kind: str, ending: str
) -> None:
    chosen = HostPort(namespace="default", service="web", port=80, host_port=8080)
    found = outcomes(view(type="LoadBalancer", ports=[port(80)]), OWN, chosen, **errors)
    told = next(remarks(found, {Place(OWN, 80)}))
    assert (told.type, told.text) == (kind, f"port 80 does not answer on {OWN}:80 of the host{ending}")
