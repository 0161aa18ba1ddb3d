"""The files by which a virtual machine joins the mesh: those of a directory, or made as istioctl makes them.

Source: `createConfig` of istioctl/pkg/workload/workload.go in Istio 1.30 (`istioctl x workload entry configure`).
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mesh_lab.client.objects import Object
from mesh_lab.errors import LabError

PLACES: Mapping[str, str] = {
    "cluster.env": "/var/lib/istio/envoy/cluster.env",
    "mesh.yaml": "/etc/istio/config/mesh",
    "root-cert.pem": "/etc/certs/root-cert.pem",
    "istio-token": "/var/run/secrets/tokens/istio-token",
    "hosts": "/etc/istio/hosts",
}
"""Where istioctl's files go on a machine, by their names. https://istio.io/latest/docs/setup/install/virtual-machine/"""

_MAY_BE_EMPTY = ("hosts",)

_PROXY_CONFIG = "proxy.istio.io/config"
_CANONICAL = "service.istio.io/canonical"
# ssh, Prometheus, and the proxy's own: never redirected.
_EXCLUDED_PORTS = "22,15090,15021,15020"
CLUSTER = "Kubernetes"


@dataclass(frozen=True)
class Workload:
    """What a machine is to be: the object that says so, and the WorkloadEntry in its spec, or in its template."""

    namespace: str
    name: str
    template: Mapping[str, Any]
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    probe: Mapping[str, Any] | None
    is_group: bool

    @property
    def service_account(self) -> str:
        """The account that its token is of."""
        return str(self.template.get("serviceAccount") or "default")

    @property
    def ports(self) -> Mapping[str, int]:
        """The ports that it is called at, by the names of the services' ports."""
        return self.template.get("ports") or {}


def workload_of(obj: Object) -> Workload:
    """What a WorkloadGroup or a WorkloadEntry makes of a machine."""
    meta, spec = obj["metadata"], obj["spec"]
    is_group = obj["kind"] == "WorkloadGroup"
    template = spec.get("template", {}) if is_group else spec
    given = spec.get("metadata") or {} if is_group else meta
    return Workload(
        meta["namespace"],
        meta["name"],
        template,
        {**(given.get("labels") or {}), **(template.get("labels") or {})},
        {**(meta.get("annotations") or {}), **(given.get("annotations") or {})},
        spec.get("probe") if is_group else None,
        is_group,
    )


def made(workload: Workload, mesh: str, root: str, token: str) -> dict[str, str]:
    """The files of a workload, by their names; `mesh` is the text of the mesh's settings.

    Raises:
        LabError: the settings, or the workload's own, cannot be read.
    """
    config = dict((_yaml(mesh, "ConfigMap istio, key mesh") or {}).get("defaultConfig") or {})
    own = _yaml(workload.annotations.get(_PROXY_CONFIG, ""), f"annotation {_PROXY_CONFIG}") or {}
    metadata = {**(config.get("proxyMetadata") or {}), **(own.get("proxyMetadata") or {}), **_metadata(workload)}
    config |= {**own, "proxyMetadata": metadata}
    if workload.probe:
        config["readinessProbe"] = dict(workload.probe)
    ports = ",".join(str(port) for port in workload.ports.values())
    environment = {
        **metadata,
        "ISTIO_INBOUND_PORTS": ports or "*",
        "ISTIO_LOCAL_EXCLUDE_PORTS": _EXCLUDED_PORTS,
        "ISTIO_NAMESPACE": workload.namespace,
        "ISTIO_SERVICE": f"{workload.name}.{workload.namespace}",
        "ISTIO_SERVICE_CIDR": "*",
        "SERVICE_ACCOUNT": workload.service_account,
    }
    lines = (f"{name}={shlex.quote(value)}" for name, value in sorted(environment.items()))
    return {
        "cluster.env": "\n".join(lines) + "\n",
        "mesh.yaml": json.dumps({"defaultConfig": config}),
        "root-cert.pem": root,
        "istio-token": token,
        "hosts": "",
    }


def _metadata(workload: Workload) -> dict[str, str]:
    labels = dict(workload.labels)
    service = labels.get(f"{_CANONICAL}-name") or labels.get("app.kubernetes.io/name") or labels.get("app")
    revision = labels.get(f"{_CANONICAL}-revision") or labels.get("app.kubernetes.io/version") or labels.get("version")
    service, revision = service or workload.name, revision or "latest"
    labels |= {f"{_CANONICAL}-name": service, f"{_CANONICAL}-revision": revision}
    ports = [{"name": name, "containerPort": number} for name, number in sorted(workload.ports.items())]
    found = {
        "CANONICAL_SERVICE": service,
        "CANONICAL_REVISION": revision,
        "POD_NAMESPACE": workload.namespace,
        "SERVICE_ACCOUNT": workload.service_account,
        "ISTIO_META_CLUSTER_ID": CLUSTER,
        "ISTIO_META_DNS_CAPTURE": "true",
        "ISTIO_META_NETWORK": str(workload.template.get("network") or ""),
        "ISTIO_META_POD_PORTS": json.dumps(ports) if ports else "",
        "ISTIO_META_WORKLOAD_NAME": workload.name,
        "ISTIO_METAJSON_LABELS": json.dumps(labels, sort_keys=True),
        "ISTIO_META_AUTO_REGISTER_GROUP" if workload.is_group else "ISTIO_META_WORKLOAD_ENTRY": workload.name,
    }
    return {name: value for name, value in found.items() if value}


def _yaml(text: str, what: str) -> Any:
    import yaml  # not needed for most commands

    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise LabError(f"{what}: not YAML: {error}") from None
    if found is not None and not isinstance(found, dict):
        raise LabError(f"{what}: not a mapping")
    return found


def read(directory: Path) -> dict[str, str]:
    """The files of a directory that `istioctl x workload entry configure -o` has written, by their names.

    Raises:
        LabError: one is missing, is empty, or cannot be read.
    """
    return {name: _text(directory / name) for name in PLACES}


def _text(file: Path) -> str:
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise _unusable(file, str(error.strerror)) from None
    except UnicodeDecodeError:
        raise _unusable(file, "not text") from None
    if not text.strip() and file.name not in _MAY_BE_EMPTY:
        raise _unusable(file, "empty")
    return text


def _unusable(file: Path, reason: str) -> LabError:
    hint = f"`istioctl x workload entry configure -f workloadgroup.yaml -o {file.parent}` writes the files."
    return LabError(f"{file}: {reason}", hint=hint)


def namespace_in(files: Mapping[str, str]) -> tuple[str, str]:
    """The namespace and the address that a `cluster.env` states, each empty where it does not."""
    words = shlex.split(files["cluster.env"], comments=True)
    stated = dict(word.split("=", 1) for word in words if "=" in word)
    return stated.get("ISTIO_NAMESPACE", "") or stated.get("POD_NAMESPACE", ""), stated.get("ISTIO_SVC_IP", "")
