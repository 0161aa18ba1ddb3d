"""Which control plane a cluster has, and the status of its proxies: the lab's own, or Istio's."""

from __future__ import annotations

import re
from dataclasses import dataclass

from mesh_lab.client import istiostatus
from mesh_lab.client.api import Api
from mesh_lab.client.connection import ApiError
from mesh_lab.client.istio import IstioStatus
from mesh_lab.client.meshstatus import MeshStatus, OwnStatus
from mesh_lab.client.objects import Object
from mesh_lab.errors import LabError
from mesh_lab.settings import MINIMUM_ISTIO

OWN_IMAGE = "mesh-lab/istiod"
_EMBEDDED = "+meshlab"
_NOT_FOUND = 404
_MEMORY = "mesh status"
_DEPLOYMENTS = "/apis/apps/v1/deployments?labelSelector=app%3Distiod"


@dataclass(frozen=True)
class ControlPlane:
    """An istiod. `version` is empty for the lab's own, or where its image has no version in its tag.

    `analysis_s`: how long after a change its findings are written at the latest; 0 where it writes none.
    """

    namespace: str
    name: str
    revision: str
    version: str
    own: bool
    analysis_s: float = 0.0

    def __str__(self) -> str:
        what = "the lab's control plane" if self.own else f"Istio {self.version or 'of unknown version'}"
        return f"{what} ({self.namespace}/{self.name}{f', revision {self.revision}' if self.revision else ''})"

    @property
    def injection_label(self) -> tuple[str, str]:
        """What a namespace must be labelled with so that pods in it get a sidecar of this control plane."""
        return ("istio.io/rev", self.revision) if self.revision else ("istio-injection", "enabled")


def find(api: Api) -> list[ControlPlane]:
    """Return the control planes of the cluster.

    Raises:
        ApiError: the API refuses the request, or does not answer.
    """
    found = api.request("GET", _DEPLOYMENTS)["items"]
    own = bool(found) and _is_embedded(api)
    return [_described(deployment, own=own) for deployment in found]


def choose(found: list[ControlPlane], revision: str) -> ControlPlane | None:
    """Return the control plane of that revision; without a revision, the only one there is, or None.

    Raises:
        LabError: there is none of that revision, or several and no revision is named.
    """
    if revision:
        matching = [plane for plane in found if plane.revision == revision]
        if found and not matching:
            raise LabError(f"no control plane of revision {revision}; there is {', '.join(map(str, found))}")
        found = matching
    if len(found) > 1:
        raise LabError(
            f"several control planes: {', '.join(map(str, found))}", hint="[istio] revision in lab.toml chooses one."
        )
    if found and not found[0].own:
        _refuse_old(found[0])
    return found[0] if found else None


def status_of(api: Api, *, findings: bool = True) -> MeshStatus:
    """Return the way to ask the cluster's control planes; it is kept with the API.

    Without `findings`, Istio's analysis of a resource is neither waited for nor reported.

    Raises:
        ApiError: the API refuses the request, or does not answer.
    """
    if (known := api.memory.get(_MEMORY)) is None:
        found = find(api)
        if not found or any(plane.own for plane in found):
            known = OwnStatus(api)
        else:
            namespaces = sorted({plane.namespace for plane in found})
            known = IstioStatus(api, namespaces, max(plane.analysis_s for plane in found), findings)
        api.memory[_MEMORY] = known
    status: MeshStatus = known
    return status


def _is_embedded(api: Api) -> bool:
    """Whether the cluster is the lab's own: whatever image is named there, the lab's control plane runs."""
    try:
        return str(api.request("GET", "/version").get("gitVersion", "")).endswith(_EMBEDDED)
    except ApiError as error:
        if error.code == _NOT_FOUND:
            return False
        raise


def _described(deployment: Object, *, own: bool) -> ControlPlane:
    metadata, containers = deployment["metadata"], deployment["spec"]["template"]["spec"]["containers"]
    discovery = next((c for c in containers if c["name"] == "discovery"), containers[0])
    image = discovery["image"]
    environ = {entry["name"]: entry.get("value", "") for entry in discovery.get("env", [])}
    revision = metadata.get("labels", {}).get("istio.io/rev", "")
    version = re.search(r":v?(\d+\.\d+\.\d+)", image)
    own = own or OWN_IMAGE in image
    return ControlPlane(
        metadata["namespace"],
        metadata["name"],
        "" if revision == "default" else revision,
        "" if own or version is None else version[1],
        own,
        istiostatus.analysis_s(environ),
    )


def _refuse_old(plane: ControlPlane) -> None:
    if plane.version and tuple(int(part) for part in plane.version.split(".")[:2]) < MINIMUM_ISTIO:
        minimum = ".".join(str(part) for part in MINIMUM_ISTIO)
        raise LabError(f"{plane} is too old; the lab needs Istio {minimum} or later")
