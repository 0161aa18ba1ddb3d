"""Proxies that are part of no pod, as on a virtual machine: known by their token's service account and their address.

The WorkloadEntry of that address says what the workload is: its labels, ports, locality. Without one the node's own
word counts. As in Istio 1.30: `SetWorkloadLabels` in pilot/pkg/model/context.go, `checkConnectionIdentity` in
pilot/pkg/xds/auth.go, and `ensureProxyCanControlEntry` in pilot/pkg/autoregistration/controller.go.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from envoy.config.core.v3.base_pb2 import Node

from mesh_lab.controlplane.delivery.identity import Caller, Unauthenticated
from mesh_lab.controlplane.model.workloads import WorkloadEntry
from mesh_lab.controlplane.world.fleet import ProxyPod
from mesh_lab.controlplane.world.kubernetes import Origin, Pod
from mesh_lab.controlplane.world.locality import OWN_LOCALITY
from mesh_lab.controlplane.world.snapshot import Config, Snapshot
from mesh_lab.controlplane.xds.entries import labels_of

Entry = Config[WorkloadEntry]


@dataclass(frozen=True)
class Claim:
    """What a proxy says of itself, as far as its token lets it.

    `group` is the WorkloadGroup that it registers with, `entry` its WorkloadEntry, if it names one or has registered.
    `probed`: it reports its health.
    """

    namespace: str
    name: str
    address: str
    service_account: str
    labels: Mapping[str, str] = field(default_factory=dict)
    workload: str = ""
    ports: Mapping[str, int] = field(default_factory=dict)
    group: str = ""
    entry: str = ""
    network: str = ""
    probed: bool = False

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What tells machines apart that register by themselves (`makeProxyKey`)."""
        return (self.namespace, self.group, self.address, self.network)

    @property
    def proxy(self) -> ProxyPod:
        """It in the terms of a pod with a proxy; none has such a uid."""
        uid = f"{self.service_account}/{self.namespace}/{self.name}/{self.address}"
        return ProxyPod(self.namespace, self.name, uid, self.address, self.service_account, "sidecar", True)


def claim_of(caller: Caller, node: Node) -> Claim:
    """What a node says of itself, held against its token.

    Raises:
        Unauthenticated: it is not in Istio's form, or its token is another's.
    """
    kind, address, name, namespace = _read_id(node.id)
    metadata = node.metadata.fields
    if kind != "sidecar":
        raise Unauthenticated(f"the node is a {kind}, but only a sidecar can be part of no pod, as its token says")
    account = metadata["SERVICE_ACCOUNT"].string_value if "SERVICE_ACCOUNT" in metadata else ""
    if namespace != caller.namespace or (account and account != caller.service_account):
        raise Unauthenticated(
            f"the node says that it runs in namespace {namespace} as {account or 'its service account'}, "
            f"but its token is that of {caller.namespace}/{caller.service_account}"
        )
    text = {key: value.string_value for key, value in metadata.items() if value.HasField("string_value")}
    return Claim(
        namespace,
        name,
        address,
        caller.service_account,
        _labels(metadata),
        text.get("WORKLOAD_NAME") or name,
        _ports(text.get("POD_PORTS", "")),
        text.get("AUTO_REGISTER_GROUP", ""),
        text.get("WORKLOAD_ENTRY", ""),
        text.get("NETWORK", ""),
        "PROXY_CONFIG" in metadata and "readinessProbe" in metadata["PROXY_CONFIG"].struct_value.fields,
    )


def _read_id(text: str) -> tuple[str, str, str, str]:
    """Kind, address, name and namespace of a node's id, `sidecar~ADDRESS~NAME.NAMESPACE~DOMAIN`."""
    parts = text.split("~")
    name, _, namespace = parts[2].rpartition(".") if len(parts) == 4 else ("", "", "")
    try:
        address = str(ipaddress.ip_address(parts[1])) if name else ""
    except ValueError:
        address = ""
    if not address:
        raise Unauthenticated(f"the node calls itself {text!r}, which is not KIND~ADDRESS~NAME.NAMESPACE~DOMAIN")
    return parts[0], address, name, namespace


def _labels(metadata: Mapping[str, Any]) -> dict[str, str]:
    if "LABELS" not in metadata:
        return {}
    fields = metadata["LABELS"].struct_value.fields
    return {name: value.string_value for name, value in fields.items() if value.HasField("string_value")}


def _ports(text: str) -> dict[str, int]:
    """The ports by their names, of what `istioctl x workload entry configure` writes: a list in JSON."""
    try:
        return {str(port["name"]): int(port["containerPort"]) for port in json.loads(text or "[]")}
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        raise Unauthenticated(f"the node's POD_PORTS are {text!r}, not a list of name and containerPort") from None


class Machine:
    """The workload of a claim, as it is in one snapshot after another."""

    def __init__(self, claim: Claim) -> None:
        self.claim = claim
        self._seen: Entry | None = None
        self._view: Pod | None = None

    def view(self, snapshot: Snapshot) -> Pod:
        """The workload in the terms of a pod; the same object while its WorkloadEntry does not change.

        Raises:
            Unauthenticated: it is not what it says that it is, or its entry is another account's.
        """
        entry = entry_of(self.claim, snapshot)
        if self._view is None or entry is not self._seen:
            self._seen, self._view = entry, _view(self.claim, entry)
        return self._view


def entry_of(claim: Claim, snapshot: Snapshot) -> Entry | None:
    """The WorkloadEntry of a claim: the one that it names, else the oldest with its address.

    One that registers by itself may have none: somebody has deleted it, or its group.

    Raises:
        Unauthenticated: it names one that is not there, its address is a pod's, or the entry is another account's.
    """
    pod = snapshot.pods_by_ip.get(claim.address)
    if pod is not None:
        raise Unauthenticated(
            f"the token is not that of pod {pod.namespace}/{pod.name}, whose address is {claim.address}"
        )
    table = snapshot.of(WorkloadEntry)
    if claim.entry:
        entry = table.get((claim.namespace, claim.entry))
        if entry is None and not claim.group:
            raise Unauthenticated(
                f"the node says that it is WorkloadEntry {claim.namespace}/{claim.entry}, and there is none"
            )
    else:
        entry = min(
            (each for each in table.values() if _is_at(each, claim)), key=lambda each: each.precedence, default=None
        )
    if entry is not None and entry.spec.service_account not in ("", claim.service_account):
        raise Unauthenticated(
            f"WorkloadEntry {claim.namespace}/{entry.name} is of service account {entry.spec.service_account}, "
            f"and the token is that of {claim.service_account}"
        )
    return entry


def _is_at(entry: Entry, claim: Claim) -> bool:
    return entry.namespace == claim.namespace and entry.spec.address == claim.address


def _view(claim: Claim, entry: Entry | None) -> Pod:
    labels = dict(claim.labels if entry is None else labels_of(entry))
    if entry is not None and entry.spec.locality:
        labels.setdefault(OWN_LOCALITY, entry.spec.locality)
    return Pod(
        origin=entry.origin if entry is not None else Origin(WorkloadEntry.__name__, claim.namespace, claim.name),
        namespace=claim.namespace,
        name=claim.name,
        ip=claim.address,
        labels=labels,
        service_account=claim.service_account,
        workload=claim.workload,
        meshed=True,
        node="",
        ports=entry.spec.ports if entry is not None else claim.ports,
        has_proxy=True,
    )
