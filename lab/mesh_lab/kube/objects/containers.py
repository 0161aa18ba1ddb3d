"""Containers as pods declare them: environment, ports, probes, hooks, rights."""

from __future__ import annotations

import msgspec

from mesh_lab.kube.objects.meta import View


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
    """The pod's security context; a container's own overrides it."""

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
    stdin_once: bool = False
    tty: bool = False

    @property
    def is_sidecar(self) -> bool:
        """Whether this init container stays up beside the others."""
        return self.restart_policy == "Always"
