"""The zone of cluster DNS: from names to records, by the present Services. `dns` has the wire format.

What is neither in the cluster's domain nor a reverse name is asked of the lab's internet, then of ServiceEntries.

Source: https://github.com/kubernetes/dns/blob/master/docs/specification.md (version 1.1.0). Where it leaves a choice,
the answers are CoreDNS's: pod names resolve without a look at the pods, and a headless Service without endpoints does
not exist.
"""

from __future__ import annotations

import ipaddress
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from mesh_lab.kube.network.endpoints import Catalogue, Name
from mesh_lab.kube.network.outsidenames import NOTHING_OUTSIDE, OutsideNames
from mesh_lab.kube.objects.services import IPV4, IPV6, Endpoint, EndpointPort, Service

SCHEMA_VERSION = "1.1.0"
REVERSE, REVERSE_OF_IPV6 = ("arpa", "in-addr"), ("arpa", "ip6")
LONGEST_CHAIN = 8
_DIGITS = 32  # of an address of IPv6

Labels = tuple[str, ...]
"""A name's labels from the root down: `("local", "cluster", "svc", "default", "web")`."""


@dataclass(frozen=True)
class Record:
    """One record; `target` is an address, a text or a name without its final dot."""

    name: str
    type: str
    target: str
    port: int = 0
    weight: int = 0


@dataclass(frozen=True)
class Answer:
    """Records, and whether the name exists at all: without records it is either "no data" or "no such name"."""

    exists: bool
    records: tuple[Record, ...] = ()
    additional: tuple[Record, ...] = ()


NO_NAME = Answer(False)
NO_DATA = Answer(True)


class Zone:
    """The cluster's domain and the reverse names of its addresses."""

    def __init__(
        self,
        catalogue: Catalogue,
        domain: str,
        outside: OutsideNames = NOTHING_OUTSIDE,
        entries: Callable[[Labels], tuple[str, ...]] = lambda _: (),
    ) -> None:
        self._catalogue = catalogue
        self._outside = outside
        self._entries = entries
        self._domain = domain
        self._apex = tuple(reversed(domain.split(".")))
        self._reverse: defaultdict[str, dict[Name, str]] = defaultdict(dict)
        self._reverse_of: dict[Name, list[str]] = {}
        self._stale: set[Name] = set(catalogue.services)
        catalogue.listen(self._stale.add)

    def resolve(self, labels: Labels, kind: str) -> Answer:
        """Return the answer to a question of type `kind` (`A`, `SRV`, ...); `labels` are in lower case."""
        apex = self._apex
        if labels[: len(apex)] == apex:
            return self._within(labels[len(apex) :], kind)
        if labels[:2] in (REVERSE, REVERSE_OF_IPV6):
            return self._backwards(labels, kind)
        return self._beyond(labels, kind)

    def _beyond(self, labels: Labels, kind: str) -> Answer:
        """Resolve a name outside of the cluster, which has an address of each family or, above those that do, none."""
        address = self._outside.address(labels)
        addresses = (address,) if address else self._entries(labels)
        if addresses:
            return _addressed(".".join(reversed(labels)), addresses, kind)
        return NO_NAME if address is None else NO_DATA

    def _within(self, labels: Labels, kind: str) -> Answer:
        match labels:
            case ():
                return NO_DATA
            case ("dns-version",):
                return _only(Record(f"dns-version.{self._domain}", "TXT", SCHEMA_VERSION), kind)
            case ("svc" | "pod",):
                return NO_DATA
            case ("svc" | "pod", namespace):
                return NO_DATA if namespace in self._catalogue.namespaces else NO_NAME
            case ("pod", namespace, host):
                return self._pod(namespace, host, kind)
            case ("svc", namespace, name):
                return self._service(Name(namespace, name), kind)
            case ("svc", namespace, name, second):
                return self._below_service(Name(namespace, name), second, kind)
            case ("svc", namespace, name, protocol, port) if protocol[:1] == port[:1] == "_":
                return self._service_port(Name(namespace, name), port[1:], protocol[1:], kind)
            case _:
                return NO_NAME

    def _pod(self, namespace: str, host: str, kind: str) -> Answer:
        address = host.replace("-", "." if host.count("-") == 3 and "--" not in host else ":")
        if namespace not in self._catalogue.namespaces or not _is_address(address):
            return NO_NAME
        return _addressed(f"{host}.{namespace}.pod.{self._domain}", (address,), kind)

    def _service(self, name: Name, kind: str) -> Answer:
        service = self._catalogue.services.get(name)
        if service is None:
            return NO_NAME
        full = self._name(name)
        if service.spec.type == "ExternalName":
            return self._alias(full, service.spec.external_name, kind, LONGEST_CHAIN)
        if kind == "SRV":
            ports = tuple(port.name for port in service.spec.ports)
            return self._servers(full, name, service, ports)
        if not service.spec.headless:
            return _addressed(full, service.spec.addresses, kind)
        addresses = {endpoint.addresses[0] for endpoint, _ in self._ready(name)}
        return _addressed(full, sorted(addresses), kind) if addresses else NO_NAME

    def _below_service(self, name: Name, second: str, kind: str) -> Answer:
        """Resolve a pod of a headless Service by host name, or the middle of an SRV name, which exists without data."""
        service = self._catalogue.services.get(name)
        if service is None:
            return NO_NAME
        if second in ("_tcp", "_udp", "_sctp"):
            return NO_DATA
        full = f"{second}.{self._name(name)}"
        found = {endpoint.addresses[0] for endpoint, _ in self._ready(name) if host_name(endpoint) == second}
        if not found or not service.spec.headless:
            return NO_NAME
        return _addressed(full, sorted(found), kind)

    def _service_port(self, name: Name, port: str, protocol: str, kind: str) -> Answer:
        service = self._catalogue.services.get(name)
        names = {(each.name.lower(), each.protocol.lower()) for each in service.spec.ports} if service else set()
        if service is None or (port, protocol) not in names:
            return NO_NAME
        if kind not in ("SRV", "ANY"):
            return NO_DATA
        return self._servers(f"_{port}._{protocol}.{self._name(name)}", name, service, (port,), protocol)

    def _servers(self, full: str, name: Name, service: Service, ports: tuple[str, ...], protocol: str = "") -> Answer:
        """Return SRV records: of the Service itself, or of each pod of a headless one, with the pods' addresses."""
        if not service.spec.headless:
            target = self._name(name)
            numbers = [each.port for each in service.spec.ports if _asked(each.name, each.protocol, ports, protocol)]
            records = tuple(Record(full, "SRV", target, number, _weight(len(numbers))) for number in numbers)
            own = tuple(_address_record(target, each) for each in service.spec.addresses)
            return Answer(True, records, own if records else ())
        pairs = {
            (f"{host_name(endpoint)}.{self._name(name)}", endpoint.addresses[0], port.port)
            for endpoint, slice_ports in self._ready(name)
            for port in slice_ports
            if port.port and _asked(port.name, port.protocol, ports, protocol)
        }
        if not pairs:
            return NO_NAME
        servers = sorted({(host, port) for host, _, port in pairs})
        records = tuple(Record(full, "SRV", host, port, _weight(len(servers))) for host, port in servers)
        additional = tuple(_address_record(*each) for each in sorted({pair[:2] for pair in pairs}))
        return Answer(True, records, additional)

    def _alias(self, full: str, target: str, kind: str, chain: int) -> Answer:
        """Return a CNAME, followed as far as there is something to say of it here."""
        target = target.rstrip(".").lower()
        own = Record(full, "CNAME", target)
        if kind == "CNAME" or chain == 0:
            return Answer(True, (own,))
        labels = tuple(reversed(target.split(".")))
        if labels[: len(self._apex)] != self._apex:
            return Answer(True, (own, *self._beyond(labels, kind).records))
        service = self._catalogue.services.get(Name(*labels[-2:])) if len(labels) == len(self._apex) + 3 else None
        if service is not None and service.spec.type == "ExternalName":
            further = self._alias(target, service.spec.external_name, kind, chain - 1)
        else:
            further = self.resolve(labels, kind)
        return Answer(True, (own, *further.records))

    def _backwards(self, labels: Labels, kind: str) -> Answer:
        self._catch_up()
        names = sorted(set(self._reverse.get(_reversed(labels), {}).values()))
        if not names:
            return NO_NAME
        reverse = ".".join(reversed(labels))
        return _of_kind((Record(reverse, "PTR", each) for each in names), kind)

    def _catch_up(self) -> None:
        """Update the reverse names of changed Services; done lazily, at a reverse query, as those are rare."""
        while self._stale:
            name = self._stale.pop()
            for address in self._reverse_of.pop(name, ()):
                self._reverse[address].pop(name, None)
                if not self._reverse[address]:
                    del self._reverse[address]
            pairs = dict(self._addressed(name))
            if pairs:
                self._reverse_of[name] = list(pairs)
                for address, host in pairs.items():
                    self._reverse[address][name] = host

    def _addressed(self, name: Name) -> Iterator[tuple[str, str]]:
        service = self._catalogue.services.get(name)
        if service is None:
            return
        if service.spec.virtual:
            for address in service.spec.addresses:
                yield address, self._name(name)
        elif service.spec.headless:
            for endpoint, _ in self._ready(name):
                yield endpoint.addresses[0], f"{host_name(endpoint)}.{self._name(name)}"

    def _ready(self, name: Name) -> Iterator[tuple[Endpoint, tuple[EndpointPort, ...]]]:
        for each in (*self._catalogue.slices(name, IPV4), *self._catalogue.slices(name, IPV6)):
            for endpoint in each.endpoints:
                if endpoint.ready:
                    yield endpoint, each.ports

    def _name(self, name: Name) -> str:
        return f"{name.name}.{name.namespace}.svc.{self._domain}"


def host_name(endpoint: Endpoint) -> str:
    """Return the endpoint's own label: the pod's host name, or its address with dashes."""
    return endpoint.hostname or endpoint.addresses[0].replace(".", "-").replace(":", "-")


def _only(record: Record, kind: str) -> Answer:
    return _of_kind((record,), kind)


def _addressed(name: str, addresses: Iterable[str], kind: str) -> Answer:
    return _of_kind((_address_record(name, each) for each in addresses), kind)


def _address_record(name: str, address: str) -> Record:
    return Record(name, "AAAA" if ":" in address else "A", address)


def _reversed(labels: Labels) -> str:
    """The address that a reverse name stands for: of IPv6 one label a digit; empty where it stands for none."""
    if labels[:2] == REVERSE:
        return ".".join(labels[2:])
    digits = labels[2:]
    try:
        return str(ipaddress.IPv6Address(int("".join(digits), 16))) if len(digits) == _DIGITS else ""
    except ValueError:
        return ""


def _of_kind(records: Iterable[Record], kind: str) -> Answer:
    return Answer(True, tuple(each for each in records if kind in (each.type, "ANY")))


def _asked(name: str, protocol: str, names: tuple[str, ...], wanted: str) -> bool:
    return bool(name) and name.lower() in names and wanted in ("", protocol.lower())


def _weight(count: int) -> int:
    return max(1, 100 // count) if count else 0


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
