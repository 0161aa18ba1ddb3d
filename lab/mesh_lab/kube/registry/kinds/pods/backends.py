"""Where what is proxied to a pod goes."""

from __future__ import annotations

from mesh_lab.kube.errors import ApiError, bad_request, not_found
from mesh_lab.kube.registry.behaviour import Address
from mesh_lab.kube.resources import PODS
from mesh_lab.kube.store import Store


def backend(store: Store, namespace: str, name: str, port: str | int | None) -> Address:
    """A pod's address; `port` is a number or a container port's name, by default the pod's first port.

    Raises:
        ApiError: 404 without such a pod, 400 without such a port, 503 before the pod has an address.
    """
    pod = store.get(PODS.key, namespace, name)
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


def _in_range(port: int) -> int:
    if not 0 < port < 65536:
        raise bad_request(f"port {port} is not between 1 and 65535")
    return port
