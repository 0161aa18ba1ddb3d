"""What Services want of the host's loopback network, and what is said of the outcome. Pure: nothing is bound here.

A load balancer's ports answer at an address of its own, which its status names and which leads there from pods, too.
127.0.0.1 is a second way to those from 1024 on, for the Service that comes first; it has the ports that lab.toml
names, and node ports.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from mesh_lab.kube.changes import Object
from mesh_lab.kube.config import FROM_HOST, HostPort
from mesh_lab.kube.network.endpoints import Name
from mesh_lab.kube.objects.services import Service, ServicePort
from mesh_lab.kube.recording import NORMAL, WARNING

PRIVILEGED = 1024
"""Ports below are not used at 127.0.0.1 unless lab.toml names them: the host's own servers have them."""

PORT_TAKEN, PORT_RESERVED, NOT_ON_HOST = "PortTaken", "PortReserved", "NotOnHost"
"""Why a port does not answer: another has it; it is for root alone; its protocol is not relayed."""

ENSURED = "EnsuredLoadBalancer"
_REACHED_FROM_HOST = ("NodePort", "LoadBalancer")


class Place(NamedTuple):
    """An address and a port of the host."""

    address: str
    number: int

    def __str__(self) -> str:
        return f"{self.address}:{self.number}"


class Way(Enum):
    """What a place is to a Service."""

    OWN = "its load balancer's"
    SECOND = "127.0.0.1 under the same number"
    CHOSEN = "named in lab.toml"
    NODE_PORT = "its node port"


@dataclass(frozen=True)
class Wish:
    """A place that is wanted, and the Service's port that it leads to."""

    place: Place
    port: ServicePort
    way: Way


@dataclass(frozen=True)
class Outcome:
    """Whether a place leads to the Service; `error` and `reason` say why it does not."""

    wish: Wish
    error: str = ""
    reason: str = ""


class Remark(NamedTuple):
    """What an Event says: its type, reason and message."""

    type: str
    reason: str
    text: str


def is_balanced(service: Service | None) -> bool:
    """Whether a Service has an address of its own: a load balancer with ports that the host can relay."""
    if service is None or service.spec.type != "LoadBalancer" or not service.spec.virtual:
        return False
    return any(port.protocol == "TCP" for port in service.spec.ports)


def wishes(name: Name, service: Service, configured: Sequence[HostPort], address: str) -> list[Wish]:
    """Return the places that a Service wants; `address` is its load balancer's, or empty.

    At 127.0.0.1 a Service's own port has precedence over a configured one of the same number.
    """
    if not service.spec.virtual:
        return []
    balanced = service.spec.type == "LoadBalancer"
    own: list[Wish] = []
    second: list[Wish] = []
    others: list[Wish] = []
    for port in service.spec.ports:
        if port.protocol != "TCP":
            continue
        chosen = [
            each.host_port for each in configured if (each.namespace, each.service, each.port) == (*name, port.port)
        ]
        if balanced and address:
            own.append(Wish(Place(address, port.port), port, Way.OWN))
        if not chosen and balanced and port.port >= PRIVILEGED:
            second.append(Wish(Place(FROM_HOST, port.port), port, Way.SECOND))
        others += [Wish(Place(FROM_HOST, number), port, Way.CHOSEN) for number in chosen]
        if service.spec.type in _REACHED_FROM_HOST and port.node_port:
            others.append(Wish(Place(FROM_HOST, port.node_port), port, Way.NODE_PORT))
    found: dict[Place, Wish] = {}
    for wish in (*own, *second, *others):
        found.setdefault(wish.place, wish)
    return list(found.values())


def load_balancer(service: Service, address: str, outcomes: Mapping[Place, Outcome]) -> Object:
    """Return `status.loadBalancer`: the Service's address, and for each port why it does not answer there, if so.

    An ingress has an address only, so clients combine it with the port numbers of the Service.
    https://kubernetes.io/docs/reference/kubernetes-api/service-resources/service-v1/#ServiceStatus
    """
    if not address:
        return {}
    ports = [_port_status(port, address, outcomes) for port in sorted(service.spec.ports, key=lambda port: port.port)]
    return {"ingress": [{"ip": address, "ipMode": "VIP", "ports": ports}]}


def _port_status(port: ServicePort, address: str, outcomes: Mapping[Place, Outcome]) -> Object:
    status = {"port": port.port, "protocol": port.protocol}
    outcome = outcomes.get(Place(address, port.port)) if port.protocol == "TCP" else None
    reason = outcome.reason if outcome is not None else NOT_ON_HOST
    return status | ({"error": reason} if reason else {})


def remarks(outcomes: Mapping[Place, Outcome], news: Collection[Place]) -> Iterator[Remark]:
    """Say what is new. What leads nowhere is no warning where another place that is meant for the port leads there.

    So it is with 127.0.0.1 where the load balancer's own address answers; and with a port that is for root alone where
    another place leads to the same port of the pods, as the ingress gateway's 80 and 443 have 8080 and 8443.
    """
    good = {each.wish.port.target_port: each for each in outcomes.values() if not each.error and _is_meant(each.wish)}
    own = {each.wish.port.port: each for each in outcomes.values() if each.wish.way is Way.OWN}
    for outcome in outcomes.values():
        wish = outcome.wish
        number = wish.port.port
        balanced = own.get(number)
        if wish.place not in news:
            continue
        if wish.way is Way.SECOND and balanced is not None and (outcome.error or balanced.wish.place in news):
            continue  # it is said together
        if outcome.error:
            text = f"port {number} does not answer on {wish.place} of the host: {outcome.error}"
            instead = good.get(wish.port.target_port) if outcome.reason == PORT_RESERVED else None
            if instead is None:
                yield Remark(WARNING, outcome.reason, text)
            else:
                yield Remark(NORMAL, outcome.reason, f"{text}; {instead.wish.place} leads to the same port of its pods")
        elif wish.way is not Way.NODE_PORT:
            second = outcomes.get(Place(FROM_HOST, number)) if wish.way is Way.OWN else None
            yield Remark(NORMAL, ENSURED, f"port {number} answers on {wish.place} of the host{_also(second)}")


def _is_meant(wish: Wish) -> bool:
    """Whether people are told of a place; a node port has a number that nobody has chosen."""
    return wish.way is not Way.NODE_PORT


def _also(second: Outcome | None) -> str:
    """Whether 127.0.0.1 leads there, too."""
    if second is None or second.wish.way is not Way.SECOND:
        return ""
    place = second.wish.place
    return f"; {place} does not lead there: {second.error}" if second.error else f", and on {place}"
