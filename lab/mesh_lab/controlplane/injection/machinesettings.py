"""What a virtual machine's files make of its proxy: those that `istioctl x workload entry configure` writes.

| file of istioctl's | where it goes on a machine |
|---|---|
| `cluster.env` | `/var/lib/istio/envoy/cluster.env` |
| `mesh.yaml` | `/etc/istio/config/mesh` |
| `root-cert.pem` | `/etc/certs/root-cert.pem` |
| `istio-token` | `/var/run/secrets/tokens/istio-token` |
| `hosts` | appended to `/etc/hosts`, from `/etc/istio/hosts` here |

https://istio.io/latest/docs/setup/install/virtual-machine/. What the redirection makes of the variables is that of
`istio-start.sh` in Istio's package.
"""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from mesh_lab.controlplane.injection import agent, bootstrap, redirection
from mesh_lab.controlplane.injection.bootstrap import ProxySettings
from mesh_lab.controlplane.injection.redirection import Interception
from mesh_lab.controlplane.model.meshproxy import ReadinessProbe
from mesh_lab.controlplane.world import annotations as names
from mesh_lab.controlplane.world import meshconfig
from mesh_lab.controlplane.world.annotations import parse_boolean
from mesh_lab.controlplane.world.podsettings import for_pod
from mesh_lab.controlplane.world.proxyconfig import Selected
from mesh_lab.controlplane.world.values import Values
from mesh_lab.controlplane.xds import exchange
from mesh_lab.controlplane.xds.peers import DNS_CAPTURE
from mesh_lab.controlplane.xds.telemetry import PEER_VARIABLE

CLUSTER_ENV = "/var/lib/istio/envoy/cluster.env"
MESH = "/etc/istio/config/mesh"
ROOT = "/etc/certs/root-cert.pem"
TOKEN = f"{bootstrap.TOKEN_DIRECTORY}/istio-token"
HOSTS = "/etc/istio/hosts"

_META, _META_JSON = "ISTIO_META_", "ISTIO_METAJSON_"
# Istio's variables of cluster.env, by the annotations that say the same of a pod.
_TRAFFIC = {
    "ISTIO_INBOUND_PORTS": names.INCLUDE_INBOUND_PORTS,
    "ISTIO_LOCAL_EXCLUDE_PORTS": names.EXCLUDE_INBOUND_PORTS,
    "ISTIO_SERVICE_CIDR": names.INCLUDE_OUTBOUND_RANGES,
    "ISTIO_SERVICE_EXCLUDE_CIDR": names.EXCLUDE_OUTBOUND_RANGES,
    "ISTIO_LOCAL_OUTBOUND_PORTS_EXCLUDE": names.EXCLUDE_OUTBOUND_PORTS,
}


class MachineFileError(ValueError):
    """A file that makes no sense; the message names it."""


@dataclass(frozen=True)
class MachineProxy:
    """The proxy of a machine: how Envoy is started, its environment, and what is redirected to it.

    `probe` is how the health of its application is asked for.
    """

    settings: ProxySettings
    environment: Mapping[str, str]
    interception: Interception
    probe: ReadinessProbe | None = None

    @property
    def arguments(self) -> list[str]:
        """Envoy's arguments."""
        return agent.arguments(self.settings, self.environment)


def read(mesh: str, cluster_env: str, name: str, address: str) -> MachineProxy:
    """The proxy of the machine of this name and address, by the text of the two files.

    Raises:
        MachineFileError: one of them makes no sense.
    """
    parsed = meshconfig.parse(mesh)
    if wrong := [remark for remark in parsed.remarks if remark.severity == "error"]:
        raise MachineFileError(f"mesh.yaml: {'; '.join(f'{each.path}: {each.message}' for each in wrong)}")
    given = {**parsed.config.default_config.proxy_metadata, **variables(cluster_env)}
    namespace = given.get("POD_NAMESPACE") or given.get("ISTIO_NAMESPACE", "")
    if not namespace:
        raise MachineFileError("cluster.env: neither POD_NAMESPACE nor ISTIO_NAMESPACE: in which namespace is it?")
    stated = given.get("ISTIO_SVC_IP", "")
    if stated not in ("", address):
        raise MachineFileError(f"cluster.env: ISTIO_SVC_IP is {stated}, and the machine's address is {address}")
    given |= {"POD_NAME": name, "POD_NAMESPACE": namespace, "INSTANCE_IP": address}
    given.setdefault("SERVICE_ACCOUNT", "default")
    metadata, probe = _metadata(given), parsed.config.default_config.readiness_probe
    if probe is not None:
        metadata["PROXY_CONFIG"] = {"readinessProbe": msgspec.to_builtins(probe)}
    workload, labels = given.get("ISTIO_META_WORKLOAD_NAME") or name, metadata.get("LABELS", {})
    settings = _settings(parsed.config, given, metadata, workload, labels)
    introduced = {
        PEER_VARIABLE: agent.peer(settings, given, labels),
        exchange.METADATA_VARIABLE: exchange.metadata(namespace, workload, labels),
        exchange.NODE_VARIABLE: agent.expanded(bootstrap.node_id(settings), given),
    }
    dns = parse_boolean(str(metadata.get(DNS_CAPTURE, ""))) is True
    return MachineProxy(settings, {**given, **introduced}, _interception(given, dns=dns), probe)


def variables(text: str) -> dict[str, str]:
    """The variables of a `cluster.env`: a line each, quoted for a shell.

    Raises:
        MachineFileError: a line is none.
    """
    found: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        try:
            words = shlex.split(line, comments=True)
        except ValueError as error:
            raise MachineFileError(f"cluster.env, line {number}: {error}") from None
        for word in words:
            name, equals, value = word.partition("=")
            if not equals or not name.isidentifier():
                raise MachineFileError(f"cluster.env, line {number}: {word!r} is not NAME=VALUE")
            found[name] = value
    return found


def _metadata(given: Mapping[str, str]) -> dict[str, Any]:
    """What the node says of itself: variables of Istio's form, some of them in JSON (`extractAttributesMetadata`)."""
    found: dict[str, Any] = {
        name.removeprefix(_META): value for name, value in given.items() if name.startswith(_META) and value
    }
    for name, value in given.items():
        if not name.startswith(_META_JSON):
            continue
        try:
            found[name.removeprefix(_META_JSON)] = json.loads(value)
        except ValueError as error:
            raise MachineFileError(f"{name}: not JSON: {error}") from None
    if not isinstance(found.get("LABELS", {}), dict):
        raise MachineFileError(f"{_META_JSON}LABELS: not an object of labels")
    return found


def _settings(
    config: meshconfig.MeshConfig, given: Mapping[str, str], metadata: dict[str, Any], workload: str, labels: Any
) -> ProxySettings:
    own = for_pod(Values(), config.default_config, Selected((), None), {})
    address = given.get("CA_ADDR") or config.default_config.discovery_address
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise MachineFileError(f"{address!r}, where the control plane is, is not HOST:PORT")
    return ProxySettings(
        kind="sidecar",
        workload=workload,
        app=str(labels.get("app", "")),
        control_plane=host,
        control_plane_port=int(port),
        # 0 is as many threads as there are processors.
        concurrency=own.concurrency or (os.cpu_count() or 1),
        drain_seconds=own.draining.drain,
        stats=own.statistics,
        file_flush_milliseconds=own.file_flush_milliseconds,
        file_flush_kilobytes=own.file_flush_kilobytes,
        metadata=metadata,
        runtime=own.extras.runtime,
    )


def _interception(given: Mapping[str, str], *, dns: bool) -> Interception:
    try:
        stated = {annotation: given[name] for name, annotation in _TRAFFIC.items() if name in given}
        return redirection.from_annotations(stated, dns=dns)
    except ValueError as error:
        text = str(error)
        for name, annotation in _TRAFFIC.items():
            text = text.replace(f"annotation {annotation}", name)
        raise MachineFileError(f"cluster.env: {text}") from None
