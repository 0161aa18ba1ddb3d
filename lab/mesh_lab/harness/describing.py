"""What the cluster under test is, by its own words: for the report of a run."""

from __future__ import annotations

import json
from collections.abc import Callable

from mesh_lab.client import controlplane
from mesh_lab.client.api import Api
from mesh_lab.client.pods import has_proxy, is_ready
from mesh_lab.conformance.report import Cluster
from mesh_lab.errors import LabError
from mesh_lab.harness.control import control_port
from mesh_lab.harness.proxies import Proxy

_MONITORING_PORT = 15014
_FAILURES = (LabError, LookupError, OSError, ValueError)


def described(api: Api, kind: str) -> Cluster:
    """Ask the cluster for its versions. What it does not tell is left empty, with the reason in `unknown`."""
    unknown: list[str] = []

    def asked(what: str, question: Callable[[Api], str]) -> str:
        try:
            return question(api)
        except _FAILURES as error:
            unknown.append(f"{what}: {error}")
            return ""

    return Cluster(
        kind,
        kubernetes=asked("Kubernetes' version", _kubernetes),
        control_plane=asked("control plane", _control_plane),
        control_plane_version=asked("control plane's version", _control_plane_version),
        envoy=asked("Envoy's version", _envoy),
        unknown=tuple(unknown),
    )


def _kubernetes(api: Api) -> str:
    return str(api.request("GET", "/version")["gitVersion"])


def _control_plane(api: Api) -> str:
    planes = controlplane.find(api)
    if not planes:
        raise LookupError("no istiod is there")
    return " and ".join(sorted({"mesh-lab" if plane.own else "Istio" for plane in planes}))


def _control_plane_version(api: Api) -> str:
    """What each istiod says of itself, which its image's tag need not."""
    said = set()
    for plane in controlplane.find(api):
        pods = api.list_all("v1", "Pod", plane.namespace, "app=istiod")
        for pod in filter(is_ready, pods):
            path = api.path("v1", "Pod", plane.namespace, f"{pod['metadata']['name']}:{_MONITORING_PORT}")
            said.add(str(api.request("GET", f"{path}/proxy/version")).strip())
    if not said:
        raise LookupError("no istiod is ready")
    return " and ".join(sorted(said))


def _envoy(api: Api) -> str:
    """What a proxy says: best one beside a pod of the harness', which is asked without a program in it."""
    proxies = [pod for pod in api.list_all("v1", "Pod") if has_proxy(pod) and is_ready(pod)]
    if not proxies:
        raise LookupError("no proxy is ready")
    proxies.sort(key=lambda pod: control_port(api, pod["metadata"]["namespace"], pod) is None)
    said = Proxy(api, proxies[0]["metadata"]["namespace"], proxies[0]).admin("/server_info")
    # As `REVISION/1.38.0/Clean/RELEASE/BoringSSL`.
    return str(json.loads(said)["version"]).split("/")[1]
