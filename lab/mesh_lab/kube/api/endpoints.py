"""Resolves a service or pod to an address, for proxies and webhooks.

A service's endpoint is picked at random among the ready ones of its EndpointSlices, as for a connection to its
virtual address.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mesh_lab.kube.errors import ApiError, bad_request, not_found
from mesh_lab.kube.registry.registry import Registry
from mesh_lab.kube.resources import ENDPOINTSLICES, PODS, SERVICES

SERVICE_NAME_LABEL = "kubernetes.io/service-name"


@dataclass(frozen=True)
class Address:
    """Where to connect to."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def of_service(registry: Registry, namespace: str, name: str, port: str | int | None) -> Address:
    """Return a random ready endpoint of a service; `port` is a port of the service, by number or name.

    None is allowed for a service of one port.

    Raises:
        ApiError: 404 without such a service, 400 without such a port, 503 without a ready endpoint.
    """
    service = registry.find(SERVICES, name, namespace)
    if service is None:
        raise not_found("services", name)
    port_name = str(_service_port(service, port).get("name") or "")
    found = list(_ready(registry, namespace, name, port_name))
    if not found:
        raise ApiError(503, "ServiceUnavailable", f'no endpoints available for service "{name}"')
    return random.choice(found)


def of_pod(registry: Registry, namespace: str, name: str, port: str | int | None) -> Address:
    """Return a pod's address; `port` is a number or a container port's name, by default the pod's first port.

    Raises:
        ApiError: 404 without such a pod, 400 without such a port, 503 before the pod has an address.
    """
    pod = registry.find(PODS, name, namespace)
    if pod is None:
        raise not_found("pods", name)
    host = (pod.get("status") or {}).get("podIP")
    if not host:
        raise ApiError(503, "ServiceUnavailable", f'pod "{name}" has no address yet')
    declared = [p for container in pod["spec"]["containers"] for p in container.get("ports") or []]
    if port is None:
        return Address(host, declared[0]["containerPort"] if declared else 80)
    if str(port).isdecimal():
        return Address(host, _in_range(int(port)))
    match = next((p["containerPort"] for p in declared if p.get("name") == port), None)
    if match is None:
        raise bad_request(f'pod "{name}" has no port "{port}"')
    return Address(host, match)


def split_name(text: str) -> tuple[str, str, str | None]:
    """Return (scheme, name, port) of a proxy's `[SCHEME:]NAME[:PORT]`; the scheme is `http` by default.

    Raises:
        ApiError: 400, the text has another form.
    """
    parts = text.split(":")
    if len(parts) == 3 and parts[0] in ("http", "https", ""):
        scheme, name, port = parts
    elif len(parts) <= 2:
        scheme, name, port = "http", parts[0], parts[1] if len(parts) == 2 else ""
    else:
        raise bad_request(f'invalid proxy request "{text}": expected [http:|https:]NAME[:PORT]')
    return scheme or "http", name, port or None


def _service_port(service: Mapping[str, Any], port: str | int | None) -> Mapping[str, Any]:
    name, ports = service["metadata"]["name"], (service.get("spec") or {}).get("ports") or []
    if port is None:
        if len(ports) == 1:
            return dict(ports[0])
        known = ", ".join(str(p.get("name") or p["port"]) for p in ports)
        raise bad_request(f'service "{name}" has {len(ports)} ports; name one of them: {known}')
    match = next((p for p in ports if p.get("name") == port or str(p["port"]) == str(port)), None)
    if match is None:
        raise bad_request(f'service "{name}" has no port "{port}"')
    return dict(match)


def _ready(registry: Registry, namespace: str, service: str, port_name: str) -> Iterator[Address]:
    for part in registry.list(ENDPOINTSLICES, namespace, labels=f"{SERVICE_NAME_LABEL}={service}"):
        port = next((p.get("port") for p in part.get("ports") or [] if (p.get("name") or "") == port_name), None)
        if not port:
            continue
        for endpoint in part.get("endpoints") or []:
            if (endpoint.get("conditions") or {}).get("ready", True):
                yield Address(endpoint["addresses"][0], port)


def _in_range(port: int) -> int:
    if not 0 < port < 65536:
        raise bad_request(f"port {port} is not between 1 and 65535")
    return port
