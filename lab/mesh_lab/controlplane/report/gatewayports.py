"""Checks of Gateways: the pods that they select, the ports of those, and conflicts of two on one port."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from mesh_lab.controlplane.model import Gateway
from mesh_lab.controlplane.report.index import Index, finding, missing
from mesh_lab.controlplane.world.findings import Finding
from mesh_lab.controlplane.world.kubernetes import ObjectKey, Pod, Service
from mesh_lab.controlplane.xds.attachment import GatewayServer
from mesh_lab.controlplane.xds.gatewaytls import authority_of, credentials_in, credentials_of
from mesh_lab.controlplane.xds.mtls import selects


def gateways_have_workloads(index: Index) -> Iterator[Finding]:
    """Each Gateway selects a pod, whose Service has its ports, and its Secrets are there."""
    snapshot = index.snapshot
    for config in snapshot.of(Gateway).values():
        selector = config.spec.selector
        # Without a selector a Gateway is for all gateways, of which there may be none yet.
        pods = [pod for pod in snapshot.pods.values() if (selector or pod.router) and selects(selector, pod.labels)]
        words = _in_words(selector.items())
        if not pods:
            yield missing("selector", words, "spec.selector", config.origin)
            continue
        namespaces = {pod.namespace for pod in pods}
        for number, server in enumerate(config.spec.servers):
            for name in filter(None, (*credentials_of(server.tls), authority_of(server.tls)) if server.tls else ()):
                if not any(name in credentials_in(snapshot.secrets, namespace) for namespace in namespaces):
                    path = f"spec.servers[{number}].tls.credentialName"
                    yield missing("credentialName", name, path, config.origin)
            if server.port.number and not any(_exposes(snapshot.services, pod, server.port.number) for pod in pods):
                text = (
                    f"The gateway refers to a port that is not exposed on the workload "
                    f"(pod selector {words}; port {server.port.number})"
                )
                yield finding("warning", "IST0104", text, f"spec.servers[{number}].port.number", config.origin)


def gateways_share_ports_in_peace(index: Index) -> Iterator[Finding]:
    """A port speaks plain text or TLS, and of TLS a host has one server: a second one is not served."""
    taken: dict[tuple[tuple[tuple[str, str], ...], int, str], list[GatewayServer]] = {}
    for config in sorted(index.snapshot.of(Gateway).values(), key=lambda config: config.precedence):
        selector = tuple(sorted(config.spec.selector.items()))
        for number, server in enumerate(config.spec.servers):
            here = GatewayServer(config, server, server.port.number)
            at_socket = "" if server.port.number else server.bind
            before = taken.setdefault((selector, server.port.number, at_socket), [])
            for other in before:
                lost = _lost_to(other, here)
                if lost:
                    words = _in_words(selector)
                    text = (
                        f"Conflict with gateways {other.gateway} (workload selector {words}, "
                        f"port {server.port.number}, hosts {','.join(lost)}): theirs is the older, and is served."
                    )
                    yield finding("warning", "IST0145", text, f"spec.servers[{number}]", config.origin)
            before.append(here)


def _in_words(selector: Iterable[tuple[str, str]]) -> str:
    return ",".join(f"{key}={value}" for key, value in sorted(selector))


def _lost_to(other: GatewayServer, here: GatewayServer) -> list[str]:
    """The hosts that a server does not get because of an older one on its port."""
    mine = dict.fromkeys(host for _, host in here.hosts())
    if (here.plain_http, here.plain_tcp) != (other.plain_http, other.plain_tcp):
        return list(mine)
    if here.plain_http:
        return []
    theirs = {host for _, host in other.hosts()}
    return [host for host in mine if host in theirs or here.plain_tcp]


def _exposes(services: Mapping[ObjectKey, Service], pod: Pod, port: int) -> bool:
    """By the number of the Service's port, which stands for its target, or by that of the target itself."""
    return any(
        port in (each.port, each.target if isinstance(each.target, int) else pod.ports.get(each.target))
        for service in services.values()
        if service.selector and service.namespace == pod.namespace and selects(service.selector, pod.labels)
        for each in service.ports
    )
