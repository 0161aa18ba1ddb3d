"""ServiceEntry: hosts outside the cluster, or without a Service. https://istio.io/latest/docs/reference/config/networking/service-entry/"""

from __future__ import annotations

from typing import Literal

from lab.controlplane.model.base import Labels, LabelsSelector, Spec, UInt32


class ServicePort(Spec, frozen=True):
    """A port of the host."""

    number: UInt32
    name: str
    protocol: str = ""
    target_port: UInt32 = 0


class WorkloadEntry(Spec, frozen=True):
    """One endpoint: an address, or a DNS name where the resolution is DNS."""

    address: str = ""
    ports: dict[str, UInt32] = {}
    labels: Labels = {}
    network: str = ""
    locality: str = ""
    weight: UInt32 = 0
    service_account: str = ""


class ServiceEntry(Spec, frozen=True):
    """Hosts that join the mesh's registry."""

    hosts: list[str]
    addresses: list[str] = []
    ports: list[ServicePort] = []
    location: Literal["MESH_EXTERNAL", "MESH_INTERNAL"] = "MESH_EXTERNAL"
    resolution: Literal["NONE", "STATIC", "DNS", "DNS_ROUND_ROBIN", "DYNAMIC_DNS"] = "NONE"
    endpoints: list[WorkloadEntry] = []
    workload_selector: LabelsSelector | None = None
    export_to: list[str] = []
    subject_alt_names: list[str] = []
