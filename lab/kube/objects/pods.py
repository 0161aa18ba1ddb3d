"""Pods, as the node and the controllers read them.

The fields are those of https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/ that the lab acts
on; others are ignored here (the API server has validated them) and kept in the store.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from lab.kube.objects.meta import Condition, LabelSelectorRequirement, ObjectMeta, View


class KeySelector(View, frozen=True, kw_only=True):
    """A key of a ConfigMap or Secret."""

    name: str = ""
    key: str
    optional: bool = False


class FieldRef(View, frozen=True, kw_only=True):
    """A field of the pod itself, such as `metadata.labels['app']`."""

    field_path: str
    api_version: str = "v1"


class ResourceFieldRef(View, frozen=True, kw_only=True):
    """A request or limit of a container, in units of `divisor`."""

    resource: str
    container_name: str = ""
    divisor: str | int | float = "0"


class EnvVarSource(View, frozen=True, kw_only=True):
    """Where a variable's value comes from; one of these is set."""

    config_map_key_ref: KeySelector | None = None
    secret_key_ref: KeySelector | None = None
    field_ref: FieldRef | None = None
    resource_field_ref: ResourceFieldRef | None = None


class EnvVar(View, frozen=True, kw_only=True):
    """One variable of a container's environment."""

    name: str
    value: str = ""
    value_from: EnvVarSource | None = None


class LocalReference(View, frozen=True, kw_only=True):
    """An object of the pod's namespace, by name."""

    name: str = ""
    optional: bool = False


class EnvFromSource(View, frozen=True, kw_only=True):
    """All keys of a ConfigMap or Secret as variables."""

    prefix: str = ""
    config_map_ref: LocalReference | None = None
    secret_ref: LocalReference | None = None


class ContainerPort(View, frozen=True, kw_only=True):
    """A named port; ports that are not listed are reachable all the same."""

    container_port: int
    name: str = ""
    protocol: str = "TCP"
    host_port: int = 0


class HttpHeader(View, frozen=True, kw_only=True):
    """A header of a probe's or hook's request."""

    name: str
    value: str = ""


class HttpGet(View, frozen=True, kw_only=True):
    """A request that succeeds with a status from 200 to 399. `port` may be a port's name."""

    port: int | str
    path: str = "/"
    host: str = ""
    scheme: str = "HTTP"
    http_headers: tuple[HttpHeader, ...] = ()


class TcpSocket(View, frozen=True, kw_only=True):
    """A connection that succeeds when it opens."""

    port: int | str
    host: str = ""


class ExecAction(View, frozen=True, kw_only=True):
    """A command that succeeds with exit code 0."""

    command: tuple[str, ...] = ()


class GrpcAction(View, frozen=True, kw_only=True):
    """A call of the gRPC health checking protocol."""

    port: int
    service: str = ""


class SleepAction(View, frozen=True, kw_only=True):
    """A pause before a container is stopped."""

    seconds: int


class Probe(View, frozen=True, kw_only=True):
    """A repeated check of a container; one of the four actions is set. Times are in seconds."""

    http_get: HttpGet | None = None
    tcp_socket: TcpSocket | None = None
    exec: ExecAction | None = None
    grpc: GrpcAction | None = None
    initial_delay_seconds: int = 0
    period_seconds: int = 10
    timeout_seconds: int = 1
    success_threshold: int = 1
    failure_threshold: int = 3
    termination_grace_period_seconds: int | None = None


class LifecycleHandler(View, frozen=True, kw_only=True):
    """What is done right after a container's start, or before its stop."""

    exec: ExecAction | None = None
    http_get: HttpGet | None = None
    tcp_socket: TcpSocket | None = None
    sleep: SleepAction | None = None


class Lifecycle(View, frozen=True, kw_only=True):
    """A container's hooks."""

    post_start: LifecycleHandler | None = None
    pre_stop: LifecycleHandler | None = None
    stop_signal: str | None = None


class Capabilities(View, frozen=True, kw_only=True):
    """Changes to the usual set of capabilities, named without `CAP_`; `ALL` is possible."""

    add: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()


class SecurityContext(View, frozen=True, kw_only=True):
    """A container's identity and rights; what is None is the pod's."""

    run_as_user: int | None = None
    run_as_group: int | None = None
    run_as_non_root: bool | None = None
    read_only_root_filesystem: bool = False
    privileged: bool = False
    allow_privilege_escalation: bool = True
    capabilities: Capabilities = Capabilities()


class Sysctl(View, frozen=True, kw_only=True):
    """A kernel parameter of the pod's network or IPC namespace."""

    name: str
    value: str


class PodSecurityContext(View, frozen=True, kw_only=True):
    """What holds for all containers unless they say otherwise."""

    run_as_user: int | None = None
    run_as_group: int | None = None
    run_as_non_root: bool | None = None
    supplemental_groups: tuple[int, ...] = ()
    fs_group: int | None = None
    sysctls: tuple[Sysctl, ...] = ()


class VolumeMount(View, frozen=True, kw_only=True):
    """Where a container sees a volume, or a path inside of it."""

    name: str
    mount_path: str
    read_only: bool = False
    sub_path: str = ""
    sub_path_expr: str = ""


Quantity = str | int | float


class Resources(View, frozen=True, kw_only=True):
    """Requests and limits; the lab shows them to containers and limits ephemeral storage."""

    limits: dict[str, Quantity] = msgspec.field(default_factory=dict)
    requests: dict[str, Quantity] = msgspec.field(default_factory=dict)


class Container(View, frozen=True, kw_only=True):
    """A container, an init container, or (an init container with `restart_policy` Always) a sidecar."""

    name: str
    image: str = ""
    image_pull_policy: str = ""
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    working_dir: str = ""
    ports: tuple[ContainerPort, ...] = ()
    env_from: tuple[EnvFromSource, ...] = ()
    env: tuple[EnvVar, ...] = ()
    resources: Resources = Resources()
    volume_mounts: tuple[VolumeMount, ...] = ()
    liveness_probe: Probe | None = None
    readiness_probe: Probe | None = None
    startup_probe: Probe | None = None
    lifecycle: Lifecycle = Lifecycle()
    termination_message_path: str = "/dev/termination-log"
    security_context: SecurityContext = SecurityContext()
    restart_policy: str | None = None
    stdin: bool = False
    tty: bool = False

    @property
    def is_sidecar(self) -> bool:
        """Whether this init container stays up beside the others."""
        return self.restart_policy == "Always"


class KeyToPath(View, frozen=True, kw_only=True):
    """A key of a ConfigMap or Secret as a file."""

    key: str
    path: str
    mode: int | None = None


class ConfigMapVolume(View, frozen=True, kw_only=True):
    """A ConfigMap's keys as files."""

    name: str = ""
    items: tuple[KeyToPath, ...] = ()
    default_mode: int = 0o644
    optional: bool = False


class SecretVolume(View, frozen=True, kw_only=True):
    """A Secret's keys as files."""

    secret_name: str = ""
    items: tuple[KeyToPath, ...] = ()
    default_mode: int = 0o644
    optional: bool = False


class EmptyDir(View, frozen=True, kw_only=True):
    """A directory that lives as long as the pod."""

    medium: str = ""
    size_limit: Quantity | None = None


class DownwardFile(View, frozen=True, kw_only=True):
    """A field of the pod as a file."""

    path: str
    field_ref: FieldRef | None = None
    resource_field_ref: ResourceFieldRef | None = None
    mode: int | None = None


class DownwardVolume(View, frozen=True, kw_only=True):
    """Fields of the pod as files."""

    items: tuple[DownwardFile, ...] = ()
    default_mode: int = 0o644


class TokenProjection(View, frozen=True, kw_only=True):
    """A token of the pod's service account as a file, renewed while the pod runs."""

    path: str
    audience: str = ""
    expiration_seconds: int = 3600


class SecretProjection(View, frozen=True, kw_only=True):
    """A Secret's keys within a projected volume."""

    name: str = ""
    items: tuple[KeyToPath, ...] = ()
    optional: bool = False


class ConfigMapProjection(View, frozen=True, kw_only=True):
    """A ConfigMap's keys within a projected volume."""

    name: str = ""
    items: tuple[KeyToPath, ...] = ()
    optional: bool = False


class DownwardProjection(View, frozen=True, kw_only=True):
    """Fields of the pod within a projected volume."""

    items: tuple[DownwardFile, ...] = ()


class Projection(View, frozen=True, kw_only=True):
    """One source of a projected volume."""

    secret: SecretProjection | None = None
    config_map: ConfigMapProjection | None = None
    downward_api: DownwardProjection | None = msgspec.field(default=None, name="downwardAPI")
    service_account_token: TokenProjection | None = None


class ProjectedVolume(View, frozen=True, kw_only=True):
    """Several sources in one directory."""

    sources: tuple[Projection, ...] = ()
    default_mode: int = 0o644


class Volume(View, frozen=True, kw_only=True):
    """A named volume; one source is set, or none when it is of a kind that this node cannot provide."""

    name: str
    config_map: ConfigMapVolume | None = None
    secret: SecretVolume | None = None
    empty_dir: EmptyDir | None = None
    downward_api: DownwardVolume | None = msgspec.field(default=None, name="downwardAPI")
    projected: ProjectedVolume | None = None


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
    """On which nodes a pod may run. (Preferences mean nothing on a single node.)"""

    required: NodeSelector | None = msgspec.field(default=None, name="requiredDuringSchedulingIgnoredDuringExecution")


class Affinity(View, frozen=True, kw_only=True):
    """Constraints on a pod's place."""

    node_affinity: NodeAffinity | None = None


class PodSpec(View, frozen=True, kw_only=True):
    """What is asked for."""

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
    """One of the three."""

    waiting: StateWaiting | None = None
    running: StateRunning | None = None
    terminated: StateTerminated | None = None


class ContainerStatus(View, frozen=True, kw_only=True):
    """What became of a container."""

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
    """What is."""

    phase: str = "Pending"
    reason: str = ""
    message: str = ""
    conditions: tuple[Condition, ...] = ()
    pod_ip: str = msgspec.field(default="", name="podIP")
    pod_ips: tuple[PodIP, ...] = msgspec.field(default=(), name="podIPs")
    start_time: datetime | None = None
    container_statuses: tuple[ContainerStatus, ...] = ()
    init_container_statuses: tuple[ContainerStatus, ...] = ()

    def condition(self, kind: str) -> bool:
        """Whether the condition is there and True."""
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
