"""Pods, as the node and the controllers read them.

The fields are those of https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/ that the lab acts
on; others are ignored here (the API server has validated them) and kept in the store.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from mesh_lab.kube.objects.containers import Container, PodSecurityContext, Quantity, Resources
from mesh_lab.kube.objects.meta import Condition, LabelSelectorRequirement, ObjectMeta, View
from mesh_lab.kube.objects.nodes import Toleration
from mesh_lab.kube.objects.volumes import Volume


class HostAlias(View, frozen=True, kw_only=True):
    """Extra lines of /etc/hosts."""

    ip: str
    hostnames: tuple[str, ...] = ()


class DnsOption(View, frozen=True, kw_only=True):
    """An option of /etc/resolv.conf."""

    name: str
    value: str = ""


class DnsConfig(View, frozen=True, kw_only=True):
    """What is added to /etc/resolv.conf (or is all of it, with policy None)."""

    nameservers: tuple[str, ...] = ()
    searches: tuple[str, ...] = ()
    options: tuple[DnsOption, ...] = ()


class NodeSelectorRequirement(LabelSelectorRequirement, frozen=True, kw_only=True):
    """One term on a node's labels (or fields), which knows `Gt` and `Lt` too."""


class NodeSelectorTerm(View, frozen=True, kw_only=True):
    """Requirements that must all hold."""

    match_expressions: tuple[NodeSelectorRequirement, ...] = ()
    match_fields: tuple[NodeSelectorRequirement, ...] = ()


class NodeSelector(View, frozen=True, kw_only=True):
    """Terms of which one must hold."""

    node_selector_terms: tuple[NodeSelectorTerm, ...] = ()


class NodeAffinity(View, frozen=True, kw_only=True):
    """On which nodes a pod may run. Preferences mean nothing on a single node."""

    required: NodeSelector | None = msgspec.field(default=None, name="requiredDuringSchedulingIgnoredDuringExecution")


class Affinity(View, frozen=True, kw_only=True):
    """Where a pod may be scheduled."""

    node_affinity: NodeAffinity | None = None


class PodSpec(View, frozen=True, kw_only=True):
    """The wanted state."""

    containers: tuple[Container, ...] = ()
    init_containers: tuple[Container, ...] = ()
    ephemeral_containers: tuple[Container, ...] = ()
    volumes: tuple[Volume, ...] = ()
    restart_policy: str = "Always"
    termination_grace_period_seconds: int = 30
    active_deadline_seconds: int | None = None
    dns_policy: str = "ClusterFirst"
    dns_config: DnsConfig = DnsConfig()
    node_selector: dict[str, str] = msgspec.field(default_factory=dict)
    affinity: Affinity | None = None
    tolerations: tuple[Toleration, ...] = ()
    resources: Resources = Resources()
    overhead: dict[str, Quantity] = msgspec.field(default_factory=dict)
    service_account_name: str = ""
    automount_service_account_token: bool | None = None
    node_name: str = ""
    host_network: bool = False
    host_aliases: tuple[HostAlias, ...] = ()
    hostname: str = ""
    subdomain: str = ""
    security_context: PodSecurityContext = PodSecurityContext()
    enable_service_links: bool = True
    scheduler_name: str = "default-scheduler"


class StateWaiting(View, frozen=True, kw_only=True):
    """Not started: why."""

    reason: str = ""
    message: str = ""


class StateRunning(View, frozen=True, kw_only=True):
    """Started."""

    started_at: datetime | None = None


class StateTerminated(View, frozen=True, kw_only=True):
    """Ended; 128 + a signal's number is the exit code of a killed command."""

    exit_code: int = 0
    signal: int = 0
    reason: str = ""
    message: str = ""
    started_at: datetime | None = None
    finished_at: datetime | None = None


class ContainerState(View, frozen=True, kw_only=True):
    """Waiting, running or terminated: one of the three is set."""

    waiting: StateWaiting | None = None
    running: StateRunning | None = None
    terminated: StateTerminated | None = None


class ContainerStatus(View, frozen=True, kw_only=True):
    """The state of a container."""

    name: str
    state: ContainerState = ContainerState()
    last_state: ContainerState = ContainerState()
    ready: bool = False
    started: bool | None = None
    restart_count: int = 0


class PodIP(View, frozen=True, kw_only=True):
    """One of the pod's addresses."""

    ip: str = ""


class PodStatus(View, frozen=True, kw_only=True):
    """The observed state."""

    phase: str = "Pending"
    reason: str = ""
    message: str = ""
    conditions: tuple[Condition, ...] = ()
    pod_ip: str = msgspec.field(default="", name="podIP")
    pod_ips: tuple[PodIP, ...] = msgspec.field(default=(), name="podIPs")
    start_time: datetime | None = None
    container_statuses: tuple[ContainerStatus, ...] = ()
    init_container_statuses: tuple[ContainerStatus, ...] = ()

    def address(self, family: str) -> str:
        """The pod's address of an IP family (`IPv4`, `IPv6`); empty where it has none."""
        addresses = [each.ip for each in self.pod_ips] or [self.pod_ip]
        return next((each for each in addresses if each and (":" in each) == (family == "IPv6")), "")

    def condition(self, kind: str) -> bool:
        """Return whether the condition exists and is True."""
        return any(c.type == kind and c.status == "True" for c in self.conditions)


class Pod(View, frozen=True, kw_only=True):
    """A pod."""

    metadata: ObjectMeta
    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()

    @property
    def ready(self) -> bool:
        """Whether it takes traffic: its condition Ready holds."""
        return self.status.condition("Ready")

    @property
    def finished(self) -> bool:
        """Whether all its containers have ended for good."""
        return self.status.phase in ("Succeeded", "Failed")


def read_pod(obj: dict[str, Any]) -> Pod:
    """The typed view of a stored pod.

    Raises:
        msgspec.ValidationError: the object does not have a pod's shape (the API server lets no such object in).
    """
    return msgspec.convert(obj, Pod)
