"""How far the proxies are with a resource, asked of whichever control plane the cluster has."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Protocol

from mesh_lab.client import forwarding, istiostatus
from mesh_lab.client.api import Api
from mesh_lab.client.connection import ApiError, ClusterUnreachable
from mesh_lab.client.objects import Object, Reference
from mesh_lab.client.pods import is_ready
from mesh_lab.debugidentity import DebugIdentity
from mesh_lab.harness.workloads import DRAIN_SECONDS

SERVICE = "/api/v1/namespaces/istio-system/services/istiod:15014/proxy"
OWN_IMAGE = "mesh-lab/istiod"
LONGEST_SECONDS = 5.0
PAUSE_SECONDS = 0.1
SERVICE_UNAVAILABLE = 503
ASK_SECONDS = 10.0
OF_LISTENERS = ("AuthorizationPolicy", "PeerAuthentication")


class NobodyServesError(ClusterUnreachable):
    """No istiod can be asked at present."""


class ControlPlane(Protocol):
    """What both control planes can be asked."""

    def state(self, ref: Reference, wait: float) -> dict[str, Any]:
        """`found`, `resource_version`, `live`, and each of `proxies` with its `state`, after at most `wait` seconds."""
        ...

    def syncz(self) -> dict[str, Any]:
        """`synced`, and each of `proxies`."""
        ...


def control_plane(api: Api) -> ControlPlane:
    """The lab's own, or Istio's where that is what runs. Remembered with the API."""
    present: ControlPlane | None = api.memory.get("control plane")
    if present is None:
        deployments = api.request("GET", "/apis/apps/v1/deployments", labelSelector="app=istiod")["items"]
        istio = [d for d in deployments if not any(OWN_IMAGE in c["image"] for c in _containers(d))]
        present = Istio(api) if istio and len(istio) == len(deployments) else Own(api)
        api.memory["control plane"] = present
    return present


class Own:
    """The lab's control plane, which waits by itself until there is something to tell."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._identity = DebugIdentity(lambda path, body: api.request("POST", path, body=body))

    def state(self, ref: Reference, wait: float) -> dict[str, Any]:
        """See `ControlPlane`."""
        params: dict[str, Any] = {"kind": ref.kind, "namespace": ref.namespace, "name": ref.name}
        params["wait"] = f"{min(wait, LONGEST_SECONDS):.3f}"
        try:
            return self._ask("config", **params)
        except ApiError as error:
            if error.code != SERVICE_UNAVAILABLE:
                raise
            # Nobody serves for it just now. It may be starting again, and nothing tells when it has.
            time.sleep(PAUSE_SECONDS)
            return _unknown()

    def syncz(self) -> dict[str, Any]:
        """See `ControlPlane`."""
        return self._ask("syncz")

    def _ask(self, page: str, **params: Any) -> dict[str, Any]:
        def send(headers: Mapping[str, str]) -> dict[str, Any]:
            answer: dict[str, Any] = self._api.request("GET", f"{SERVICE}/debug/{page}", headers=headers, **params)
            return answer

        return self._identity.ask(send, lambda error: error.code if isinstance(error, ApiError) else 0)


class Istio:
    """Istio's control plane; see `mesh_lab.client.istiostatus` for what its answers can and cannot tell."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._ports: dict[tuple[str, str], int] = {}
        self._seen: dict[Reference, tuple[str | None, float]] = {}
        self._synced_since: dict[Reference, float] = {}

    def state(self, ref: Reference, wait: float) -> dict[str, Any]:
        """See `ControlPlane`."""
        deadline = time.monotonic() + min(wait, LONGEST_SECONDS)
        while True:
            try:
                state = self._state(ref)
            except NobodyServesError:
                # It may be starting again.
                state = _unknown()
            if state["live"]:
                # The next wait is about another change, and has a settling time of its own.
                self._seen.pop(ref, None)
                self._synced_since.pop(ref, None)
                return state
            if time.monotonic() >= deadline:
                return state
            # Istio's debug pages tell the present; none of them waits for a change.
            time.sleep(PAUSE_SECONDS)

    def syncz(self) -> dict[str, Any]:
        """See `ControlPlane`."""
        reports = self._reports()
        proxies = [{"proxy": r.proxy, "synced": r.synced, "pending": list(r.pending)} for r in reports]
        return {"synced": all(report.synced for report in reports), "proxies": proxies}

    def _state(self, ref: Reference) -> dict[str, Any]:
        version = self._version(ref)
        before, since = self._seen.get(ref, (None, time.monotonic()))
        if ref not in self._seen or before != version:
            since = time.monotonic()
            self._seen[ref] = (version, since)
        settled = time.monotonic() - since >= istiostatus.SETTLE_S
        reports = self._reports()
        return {
            "found": version is not None,
            "resource_version": version or "0",
            "live": self._drained(ref, synced=settled and all(report.synced for report in reports)),
            "proxies": [_proxy(report, settled=settled) for report in reports],
        }

    def _drained(self, ref: Reference, *, synced: bool) -> bool:
        """Whether no connection is left to what was in force before the proxies had acknowledged the change.

        Istio has a policy's rules in the listeners, which serve the connections that they have until these are drained.
        """
        if not synced:
            self._synced_since.pop(ref, None)
            return False
        since = self._synced_since.setdefault(ref, time.monotonic())
        return ref.kind not in OF_LISTENERS or time.monotonic() - since >= DRAIN_SECONDS + PAUSE_SECONDS

    def _version(self, ref: Reference) -> str | None:
        """The oldest version that an istiod knows; of what istiod does not list, the one that is stored."""
        if "istio.io/" not in ref.api_version:
            found = self._api.find(ref)
            return None if found is None else str(found["metadata"]["resourceVersion"])
        known = istiostatus.versions(self._ask(istiostatus.CONFIGZ), ref.kind, ref.namespace, ref.name)
        present = [version for version in known if version is not None]
        if 0 < len(present) < len(known):
            return "0"
        return min(present, key=int) if present else None

    def _reports(self) -> list[istiostatus.ProxyReport]:
        pods = self._api.request("GET", istiostatus.PODS)["items"]
        return istiostatus.proxies(self._ask(istiostatus.SYNCZ), pods)

    def _ask(self, path: str) -> list[Any]:
        answers = []
        for namespace, pod in self._pods():
            key = (namespace, pod)
            try:
                if key not in self._ports:
                    command = self._api.kubectl_command()
                    forward = forwarding.forwarded(command, namespace, pod, istiostatus.DEBUG_PORT)
                    self._ports[key] = self._api.keep(forward)
                answers.append(forwarding.get(self._ports[key], path, timeout=ASK_SECONDS))
            except forwarding.ForwardError as error:
                self._ports.pop(key, None)
                raise NobodyServesError(f"istiod {namespace}/{pod}: {error}") from error
        if not answers:
            raise NobodyServesError("no istiod is ready")
        return answers

    def _pods(self) -> list[tuple[str, str]]:
        pods = self._api.request("GET", "/api/v1/pods", labelSelector="app=istiod")["items"]
        return [(p["metadata"]["namespace"], p["metadata"]["name"]) for p in pods if is_ready(p)]


def _proxy(report: istiostatus.ProxyReport, *, settled: bool) -> dict[str, Any]:
    if report.errors:
        return {"proxy": report.proxy, "state": "rejected", "error": report.errors[0][1]}
    if not report.connected:
        return {"proxy": report.proxy, "state": "not-connected", "error": istiostatus.ABSENT}
    return {"proxy": report.proxy, "state": "acknowledged" if settled and report.synced else "pending", "error": ""}


def _unknown() -> dict[str, Any]:
    """The state of a resource while nobody can be asked."""
    return {"found": False, "live": False, "resource_version": "none", "proxies": [], "findings": []}


def _containers(deployment: Object) -> list[Object]:
    containers: list[Object] = deployment["spec"]["template"]["spec"]["containers"]
    return containers
