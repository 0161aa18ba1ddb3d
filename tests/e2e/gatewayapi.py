"""The Gateway API's objects as the end-to-end tests write them, and what their statuses say."""

from __future__ import annotations

from typing import Any

from mesh_lab.testing import Mesh, Object, Reference, eventually, service

GROUP = "gateway.networking.k8s.io"
V1 = f"{GROUP}/v1"
CLASS = "istio"
READY = "the control plane deploys the Gateway and says so"
READY_SECONDS = 60


def made(kind: str, name: str, spec: Object, version: str = "v1", namespace: str = "") -> Object:
    """An object, in the test's namespace unless another is named."""
    placed = {"namespace": namespace} if namespace else {}
    return {"apiVersion": f"{GROUP}/{version}", "kind": kind, "metadata": {"name": name, **placed}, "spec": spec}


def listener(name: str, port: int, protocol: str = "HTTP", **more: Any) -> Object:
    """A listener."""
    return {"name": name, "port": port, "protocol": protocol, **more}


def gateway(name: str, *listeners: Object, **more: Any) -> Object:
    """A Gateway, which is deployed on demand."""
    return made("Gateway", name, {"gatewayClassName": CLASS, "listeners": list(listeners), **more})


def backend(name: str, port: int = 80, **more: Any) -> Object:
    """Where a rule leads."""
    return {"name": name, "port": port, **more}


def rule(*backends: Object, **more: Any) -> Object:
    """A rule of a route."""
    return {**({"backendRefs": list(backends)} if backends else {}), **more}


def path(value: str, kind: str = "PathPrefix", **more: Any) -> Object:
    """A match by path."""
    return {"path": {"type": kind, "value": value}, **more}


def route(name: str, parent: Object, *rules: Object, kind: str = "HTTPRoute", **more: Any) -> Object:
    """A route of a kind."""
    return made(kind, name, {"parentRefs": [parent], "rules": list(rules), **more})


def of(name: str, **more: Any) -> Object:
    """A Gateway as a parent."""
    return {"name": name, **more}


def of_service(name: str, **more: Any) -> Object:
    """A Service as a parent: the route is for the mesh."""
    return {"group": "", "kind": "Service", "name": name, "port": 80, **more}


def version_services(name: str = "echo") -> list[Object]:
    """A Service for each version of an echo server, since a backend is a Service and not a subset."""
    return [
        service(f"{name}-{version}", {"app": name, "version": version}, ("http", 80, 8080), ("tcp", 9000, 9000))
        for version in ("v1", "v2")
    ]


def conditions(mesh: Mesh, kind: str, name: str, namespace: str = "") -> dict[str, tuple[str, str]]:
    """The conditions of an object, of a route those at its first parent: (status, reason) by type."""
    status = mesh.api.get(Reference(V1, kind, name, namespace or mesh.namespace)).get("status") or {}
    found = status["parents"][0] if status.get("parents") else status
    return {each["type"]: (each["status"], each["reason"]) for each in found.get("conditions") or ()}


def at_listener(mesh: Mesh, name: str, section: str) -> dict[str, tuple[str, str]]:
    """The conditions of one listener of a Gateway."""
    status = mesh.api.get(Reference(V1, "Gateway", name, mesh.namespace)).get("status") or {}
    found = next((each for each in status.get("listeners") or () if each["name"] == section), {})
    return {each["type"]: (each["status"], each["reason"]) for each in found.get("conditions") or ()}


def wait_condition(mesh: Mesh, kind: str, name: str, condition: str, wanted: tuple[str, str]) -> None:
    """Until a condition of an object is (status, reason): proxies may acknowledge before a status is written.

    Raises:
        TimeoutError: it does not come to that.
    """
    why = f"{kind} {name} says that {condition} is {wanted}"
    eventually(lambda: conditions(mesh, kind, name).get(condition) == wanted, timeout=10, why=why)


def wait_programmed(mesh: Mesh, name: str) -> None:
    """Until a Gateway has a ready pod and an address.

    Raises:
        TimeoutError: it does not come to that.
    """

    def programmed() -> bool:
        return conditions(mesh, "Gateway", name).get("Programmed", ("", ""))[0] == "True"

    eventually(programmed, timeout=READY_SECONDS, why=READY)
