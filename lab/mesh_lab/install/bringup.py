"""The way from an empty cluster to a lab: the mesh, its control plane ready, the sample microservices, all in sync.

Every step is `kubectl apply` and a wait, so a second run changes nothing and an interrupted one is simply run again.
What is as the last run left it is not applied again (`applying`).
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from mesh_lab.client.api import Api
from mesh_lab.client.connection import ApiError
from mesh_lab.client.kubectl import Applied, Kubectl
from mesh_lab.client.meshstatus import MeshState, OwnStatus
from mesh_lab.client.objects import Object
from mesh_lab.client.pods import has_proxy
from mesh_lab.client.rollout import await_mesh
from mesh_lab.clusters.base import Report
from mesh_lab.errors import LabError
from mesh_lab.install import ingress
from mesh_lab.install.applying import Applying
from mesh_lab.install.dialects import DEFINITIONS, control_plane
from mesh_lab.install.readiness import Workload, await_deployments, await_pods, belongs
from mesh_lab.meshkinds import DEFAULT_DIALECTS

MESH = ("mesh",)
GATEWAY, CONTROL_PLANE_FILE = "gateway.yaml", "istiod.yaml"
DEMO = ("profiles/demo",)
"""What the profile `demo` adds to the mesh."""
SAMPLES = (
    "apps/default-namespace.yaml",
    "apps/bookinfo.yaml",
    "apps/destination-rules.yaml",
    "apps/bookinfo-gateway.yaml",
    "apps/traffic-client.yaml",
)
_QUIET_SECONDS = 10.0
"""For so long a start says nothing of single pods."""
_FORMER_SELECTOR = {"app": "istiod"}
_NOT_FOUND = 404
CONTROL_PLANE = Workload("istio-system", "istiod")


@dataclass(frozen=True)
class Installed:
    """What a bring-up ends with."""

    pods: list[Object]
    mesh: MeshState


def install(
    kubectl: Kubectl,
    api: Api,
    manifests: Path,
    *,
    host_ports: Mapping[str, int],
    directory: Path,
    timeout: float,
    report: Report,
    profile: str = "default",
    dialects: Sequence[str] = DEFAULT_DIALECTS,
    samples: bool = True,
    since: Mapping[str, datetime] | None = None,
) -> Installed:
    """Put the mesh and the samples onto the cluster; return when all is ready and every proxy is in sync.

    Without `samples` it is the mesh only. The ingress Service has the lab's `host_ports`, in a manifest that is written
    into `directory`. `timeout` in seconds is for the whole. `profile` is the mesh's, after Istio's; `dialects` are the
    vocabularies that it reads. `since` is when each node was started: the statuses that a cluster has kept from before
    say nothing of now.

    Raises:
        LabError: a manifest cannot be applied, or not all is ready in time.
    """
    deadline = time.monotonic() + timeout

    def settle(workloads: set[Workload]) -> None:
        await_pods(
            lambda: [pod for pod in live_pods(api) if belongs(pod, workloads)],
            since or {},
            deadline,
            report,
            quiet=_QUIET_SECONDS,
        )
        await_deployments(api, workloads, deadline, report)

    report("installing the mesh")
    files = _mesh(manifests, host_ports, directory, profile)
    files = _speaking(files, manifests, directory, dialects)
    _make_way(api)
    applying = Applying(kubectl, api, directory)
    mesh = deployments(applying.apply("mesh", files))
    # Injection is the control plane's work: pods that are made before it answers would be refused.
    settle({CONTROL_PLANE})
    workloads = mesh - {CONTROL_PLANE}
    if samples:
        report("installing the sample microservices")
        workloads |= deployments(applying.apply("samples", _files(manifests, SAMPLES)))
    settle(workloads)
    report("waiting until every proxy has acknowledged its configuration")
    try:
        pods = live_pods(api)
        state = await_mesh(OwnStatus(api), deadline, report, proxies=sum(1 for pod in pods if has_proxy(pod)))
        applying.record()
    except ApiError as error:
        raise LabError(f"the cluster's API: {error.message}") from error
    return Installed(pods, state)


def _make_way(api: Api) -> None:
    """Remove an istiod of a lab before 0.3, whose selector is another: a selector cannot be changed.

    Raises:
        LabError: the API refuses it, or does not answer.
    """
    path = f"/apis/apps/v1/namespaces/{CONTROL_PLANE.namespace}/deployments/{CONTROL_PLANE.name}"
    try:
        if api.request("GET", path)["spec"]["selector"].get("matchLabels") == _FORMER_SELECTOR:
            api.request("DELETE", path)
    except ApiError as error:
        if error.code != _NOT_FOUND:
            raise LabError(f"the cluster's API: {error.message}") from error


def deployments(applied: list[Applied]) -> set[Workload]:
    """The Deployments among what was applied."""
    return {Workload(entry.namespace, entry.name) for entry in applied if entry.kind == "Deployment"}


def live_pods(api: Api) -> list[Object]:
    """Return all pods that are not being deleted, sorted by namespace and name.

    Raises:
        ApiError: the API refuses the request, or does not answer.
    """
    pods = [pod for pod in api.request("GET", "/api/v1/pods")["items"] if "deletionTimestamp" not in pod["metadata"]]
    return sorted(pods, key=lambda pod: (pod["metadata"]["namespace"], pod["metadata"]["name"]))


def _mesh(manifests: Path, host_ports: Mapping[str, int], directory: Path, profile: str) -> list[Path]:
    (folder,) = _files(manifests, MESH)
    gateway = folder / GATEWAY
    others = [file for file in sorted(folder.glob("*.yaml")) if file != gateway]
    if profile == "default":
        return [*others, ingress.manifest(gateway, directory, host_ports)]
    published = ingress.manifest(gateway, directory, host_ports, ingress.DEMO_PORTS)
    return [*others, published, *_files(manifests, DEMO)]


def _speaking(files: list[Path], manifests: Path, directory: Path, dialects: Sequence[str]) -> list[Path]:
    """The mesh's manifests, with what its dialects need: the manifest of istiod as it is names those of by default."""
    if set(dialects) == set(DEFAULT_DIALECTS):
        return files
    told = [control_plane(file, directory, dialects) if file.name == CONTROL_PLANE_FILE else file for file in files]
    return [*_files(manifests, tuple(DEFINITIONS[name] for name in dialects if name in DEFINITIONS)), *told]


def _files(manifests: Path, names: tuple[str, ...]) -> list[Path]:
    files = [manifests / name for name in names]
    if missing := [str(file) for file in files if not file.exists()]:
        raise LabError(
            f"missing manifests: {', '.join(missing)}", hint="They come with the repository; clone it whole."
        )
    return files
