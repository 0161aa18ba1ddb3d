"""Sidecar: which hosts a workload may call, so that its proxy is sent no others.

https://istio.io/latest/docs/reference/config/networking/sidecar/
"""

from __future__ import annotations

from typing import Literal

from mesh_lab.controlplane.model.base import LabelsSelector, Spec, UInt32
from mesh_lab.controlplane.model.destinationrule import ConnectionPoolSettings
from mesh_lab.controlplane.model.gateway import ServerTLSSettings
from mesh_lab.controlplane.model.virtualservice import Destination

CaptureMode = Literal["DEFAULT", "IPTABLES", "NONE"]


class SidecarPort(Spec, frozen=True):
    """A port of a listener."""

    number: UInt32 = 0
    protocol: str = ""
    name: str = ""
    target_port: UInt32 = 0


class IstioEgressListener(Spec, frozen=True):
    """Hosts that the workload calls, as `NAMESPACE/HOST` (`.` for its own namespace, `*` for all, `~` for none)."""

    hosts: list[str]
    port: SidecarPort | None = None
    bind: str = ""
    capture_mode: CaptureMode | None = None


class IstioIngressListener(Spec, frozen=True):
    """A port on which the workload is called."""

    port: SidecarPort
    bind: str = ""
    capture_mode: CaptureMode | None = None
    default_endpoint: str = ""
    tls: ServerTLSSettings | None = None
    connection_pool: ConnectionPoolSettings | None = None


class OutboundTrafficPolicy(Spec, frozen=True):
    """What happens to calls to hosts that the mesh does not know; with `egressProxy`, they go there."""

    mode: Literal["REGISTRY_ONLY", "ALLOW_ANY"] = "REGISTRY_ONLY"
    egress_proxy: Destination | None = None


class Sidecar(Spec, frozen=True):
    """The scope of some pods' sidecars, of a namespace's, or (in the root namespace) of all."""

    workload_selector: LabelsSelector | None = None
    ingress: list[IstioIngressListener] = []
    egress: list[IstioEgressListener] = []
    inbound_connection_pool: ConnectionPoolSettings | None = None
    outbound_traffic_policy: OutboundTrafficPolicy | None = None
