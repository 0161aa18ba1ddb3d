"""WorkloadEntry and WorkloadGroup: workloads that no pod stands for, one by one and as a template.

https://istio.io/latest/docs/reference/config/networking/workload-entry/
https://istio.io/latest/docs/reference/config/networking/workload-group/
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from mesh_lab.controlplane.model.base import Labels, Port, Spec, UInt32, Weight

ManyLabels = Annotated[Labels, Meta(max_length=256)]


class WorkloadEntry(Spec, frozen=True):
    """One workload: an IP address, a host's name, or a socket's path (`unix://PATH`); `ports` maps names to numbers."""

    address: Annotated[str, Meta(max_length=256)] = ""
    ports: Annotated[dict[str, Port], Meta(max_length=128)] = {}
    labels: ManyLabels = {}
    network: Annotated[str, Meta(max_length=2048)] = ""
    locality: Annotated[str, Meta(max_length=2048)] = ""
    weight: UInt32 = 0
    service_account: Annotated[str, Meta(max_length=253)] = ""


class WorkloadMetadata(Spec, frozen=True):
    """What the entries of a group carry beside their own."""

    labels: ManyLabels = {}
    annotations: ManyLabels = {}


class ProbeHeader(Spec, frozen=True):
    """A header of a probe's request."""

    name: Annotated[str, Meta(pattern="^[-_A-Za-z0-9]+$")] = ""
    value: str = ""


class HTTPHealthCheckConfig(Spec, frozen=True):
    """Ready while a GET is answered with a status from 200 to 399."""

    port: Port
    path: str = ""
    host: str = ""
    scheme: str = ""
    http_headers: list[ProbeHeader] = []


class TCPHealthCheckConfig(Spec, frozen=True):
    """Ready while connections are taken."""

    port: Port
    host: str = ""


class ExecHealthCheckConfig(Spec, frozen=True):
    """Ready while a command ends with 0."""

    command: list[Annotated[str, Meta(min_length=1)]]


class GrpcHealthCheckConfig(Spec, frozen=True):
    """Ready while gRPC's health service says so."""

    port: Port | None = None
    service: str = ""


class ReadinessProbe(Spec, frozen=True):
    """How a workload's readiness is told: by exactly one of the four checks. Times are in seconds."""

    initial_delay_seconds: Weight = 0
    timeout_seconds: Weight = 0
    period_seconds: Weight = 0
    success_threshold: Weight = 0
    failure_threshold: Weight = 0
    http_get: HTTPHealthCheckConfig | None = None
    tcp_socket: TCPHealthCheckConfig | None = None
    exec: ExecHealthCheckConfig | None = None
    grpc: GrpcHealthCheckConfig | None = None


class WorkloadGroup(Spec, frozen=True):
    """What a workload's entry is made from when its proxy connects."""

    template: WorkloadEntry
    metadata: WorkloadMetadata | None = None
    probe: ReadinessProbe | None = None
