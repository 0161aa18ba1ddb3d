"""Where what is proxied to a Service goes, and the calls of webhooks.

An endpoint is picked at random among the ready ones of its EndpointSlices, as for a connection to its virtual address.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from typing import Any

from mesh_lab.kube.errors import ApiError, bad_request, not_found
from mesh_lab.kube.objects.services import SERVICE_NAME_LABEL
from mesh_lab.kube.registry.behaviour import Address
from mesh_lab.kube.resources import ENDPOINTSLICES, SERVICES
from mesh_lab.kube.store import Store


def backend(store: Store, namespace: str, name: str, port: str | int | None) -> Address:
    """A random ready endpoint of a service; `port` is a port of the service, by number or name.

    None is allowed for a service of one port.

    Raises:
        ApiError: 404 without such a service, 400 without such a port, 503 without a ready endpoint.
    """
    service = store.get(SERVICES.key, namespace, name)
    if service is None:
        raise not_found("services", name)
    port_name = str(_service_port(service, port).get("name") or "")
    found = list(_ready(store, namespace, name, port_name))
    if not found:
        raise ApiError(503, "ServiceUnavailable", f'no endpoints available for service "{name}"')
    return random.choice(found)


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


def _ready(store: Store, namespace: str, service: str, port_name: str) -> Iterator[Address]:
    for part in store.objects(ENDPOINTSLICES.key, namespace):
        if (part["metadata"].get("labels") or {}).get(SERVICE_NAME_LABEL) != service:
            continue
        port = next((p.get("port") for p in part.get("ports") or [] if (p.get("name") or "") == port_name), None)
        if not port:
            continue
        for endpoint in part.get("endpoints") or []:
            if (endpoint.get("conditions") or {}).get("ready", True):
                yield Address(endpoint["addresses"][0], port)
