"""ServiceEntry: services that Kubernetes does not know, within the mesh or outside it.

https://istio.io/latest/docs/reference/config/networking/service-entry/
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from mesh_lab.controlplane.model.base import LabelsSelector, Port, Spec
from mesh_lab.controlplane.model.workloads import WorkloadEntry

Location = Literal["MESH_EXTERNAL", "MESH_INTERNAL"]
Resolution = Literal["NONE", "STATIC", "DNS", "DNS_ROUND_ROBIN", "DYNAMIC_DNS"]
_PortText = Annotated[str, Meta(max_length=256)]


class ServicePort(Spec, frozen=True):
    """A port of the service; without a protocol, Envoy tells it from the first bytes."""

    number: Port
    name: _PortText
    protocol: _PortText = ""
    target_port: Port | None = None


class ServiceEntry(Spec, frozen=True):
    """Hosts, and where they are: at `endpoints`, at the workloads selected, or wherever their names lead."""

    hosts: Annotated[list[str], Meta(min_length=1, max_length=256)]
    addresses: Annotated[list[Annotated[str, Meta(max_length=64)]], Meta(max_length=256)] = []
    ports: Annotated[list[ServicePort], Meta(max_length=256)] = []
    location: Location = "MESH_EXTERNAL"
    resolution: Resolution = "NONE"
    endpoints: Annotated[list[WorkloadEntry], Meta(max_length=4096)] = []
    workload_selector: LabelsSelector | None = None
    export_to: list[str] = []
    subject_alt_names: list[str] = []
