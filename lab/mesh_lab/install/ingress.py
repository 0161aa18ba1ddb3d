"""The embedded cluster's ingress Service: its ports, by the numbers under which the host's loopback answers.

Clients find the ingress by its Service: the address of the load balancer, and the number of the
port `http2` or `https`. No ordinary user can listen on ports 80 and 443, and of several labs only one could. So the
ports of these names have the numbers of the lab's own; inside of the cluster 80 and 443 answer as they always do.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from mesh_lab import publishedports
from mesh_lab.client.objects import Object
from mesh_lab.errors import LabError
from mesh_lab.install import placing

SERVICE = "istio-ingressgateway"
_SUPPRESS = "galley.istio.io/analyze-suppress"
_DIFFERENT_PORTS = "IST0137"
_PORTS = {"http2": "http", "https": "https", "tcp": "tcp"}
"""The Service's ports by name, and the lab's (`[ports]` in lab.toml)."""

DEMO_PORTS: Sequence[Object] = (
    {"name": "tcp", "port": 31400, "targetPort": 31400, "protocol": "TCP"},
    {"name": "tls", "port": 15443, "targetPort": 15443, "protocol": "TCP"},
)
"""What Istio's demo profile adds: for TCP tasks, and for TLS that is routed by name."""


def manifest(source: Path, directory: Path, host_ports: Mapping[str, int], more: Sequence[Object] = ()) -> Path:
    """Write the gateway's manifest for a lab with these ports into a directory; return the file.

    `more`: ports of the Service beside those of the manifest.

    Raises:
        LabError: the manifest cannot be read.
    """
    file = directory / source.with_suffix(".json").name
    change = {"Service": lambda obj: _published(obj, host_ports, more), "Deployment": _numbered_twice}
    items = [change[obj["kind"]](obj) if obj["kind"] in change else obj for obj in placing.read([source])]
    try:
        file.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": items}), encoding="utf-8")
    except OSError as error:
        raise LabError(f"cannot write {file}: {error.strerror}") from error
    return file


def _published(service: Object, host_ports: Mapping[str, int], more: Sequence[Object]) -> Object:
    given = (*service["spec"]["ports"], *more)
    own = [number for each in given if (number := _number(each, host_ports)) != each["port"]]
    metadata = service["metadata"]
    annotations = {**(metadata.get("annotations") or {}), **publishedports.mark(own)}
    described = metadata | ({"annotations": annotations} if annotations else {})
    ports = [port for each in given for port in _numbered(each, host_ports)]
    return service | {"metadata": described, "spec": service["spec"] | {"ports": _once(ports)}}


def _numbered_twice(deployment: Object) -> Object:
    """The gateway's Deployment: `istioctl analyze` would warn of each port that has two numbers on purpose."""
    metadata = deployment["metadata"]
    annotations = {**(metadata.get("annotations") or {}), _SUPPRESS: _DIFFERENT_PORTS}
    return deployment | {"metadata": metadata | {"annotations": annotations}}


def _number(port: Object, host_ports: Mapping[str, int]) -> int:
    """The number under which the host's loopback answers a port; its own where that has none."""
    return int(host_ports.get(_PORTS.get(port["name"], ""), port["port"]))


def _numbered(port: Object, host_ports: Mapping[str, int]) -> Iterator[Object]:
    """A port under the lab's own number, then under Istio's."""
    number = _number(port, host_ports)
    yield port | {"port": number}
    if number != port["port"]:
        yield port | {"name": f"{port['name']}-{port['port']}"}


def _once(ports: Sequence[Object]) -> list[Object]:
    """A Service lists a number once: the lab's own go before any other."""
    found: dict[int, Object] = {}
    for port in sorted(ports, key=lambda each: each["name"] not in _PORTS):
        found.setdefault(port["port"], port)
    return list(found.values())
