"""Service, EndpointSlice and Namespace, as controllers and network read them."""

from __future__ import annotations

import msgspec

from mesh_lab.kube.objects.meta import ObjectMeta, View

HEADLESS = "None"
"""`clusterIP` of a Service that has no virtual address: its name resolves to its pods."""

IPV4, IPV6 = "IPv4", "IPv6"
"""The IP families, as Services name theirs and as EndpointSlices do in `addressType`."""

SERVICE_NAME_LABEL = "kubernetes.io/service-name"
"""Label of an EndpointSlice that names its Service."""


class ServicePort(View, frozen=True, kw_only=True):
    """A port of a Service and the pods' port behind it (a number, or the name of a container's port)."""

    port: int
    name: str = ""
    protocol: str = "TCP"
    target_port: int | str | None = None
    node_port: int = 0
    app_protocol: str | None = None


class ServiceSpec(View, frozen=True, kw_only=True):
    """The wanted state, and the addresses that the Service was given."""

    type: str = "ClusterIP"
    cluster_ip: str = msgspec.field(name="clusterIP", default="")
    cluster_ips: tuple[str, ...] = msgspec.field(name="clusterIPs", default=())
    ip_families: tuple[str, ...] = ()
    external_name: str = ""
    ports: tuple[ServicePort, ...] = ()
    selector: dict[str, str] = msgspec.field(default_factory=dict)
    session_affinity: str = "None"
    publish_not_ready_addresses: bool = False
    load_balancer_ip: str = msgspec.field(name="loadBalancerIP", default="")

    @property
    def headless(self) -> bool:
        """Whether the Service is one without a virtual address."""
        return self.cluster_ip == HEADLESS

    @property
    def virtual(self) -> bool:
        """Whether the Service has a virtual address that the network serves."""
        return bool(self.cluster_ip) and not self.headless and self.type != "ExternalName"

    @property
    def addresses(self) -> tuple[str, ...]:
        """The virtual addresses, one for each IP family of the Service."""
        return (self.cluster_ips or (self.cluster_ip,)) if self.virtual else ()

    def address(self, family: str) -> str:
        """The virtual address of a family (`IPv4`, `IPv6`); empty where there is none."""
        return next((each for each in self.addresses if (":" in each) == (family == IPV6)), "")


class BalancedPort(View, frozen=True, kw_only=True):
    """A Service's port at its load balancer; `error` says why it does not answer there."""

    port: int
    protocol: str = "TCP"
    error: str | None = None


class LoadBalancerIngress(View, frozen=True, kw_only=True):
    """An address of a Service's load balancer. A port that is not listed does not answer."""

    ip: str = ""
    ports: tuple[BalancedPort, ...] = ()


class LoadBalancerStatus(View, frozen=True, kw_only=True):
    """The addresses of a Service's load balancer."""

    ingress: tuple[LoadBalancerIngress, ...] = ()


class ServiceStatus(View, frozen=True, kw_only=True):
    """What became of the wanted load balancer."""

    load_balancer: LoadBalancerStatus = LoadBalancerStatus()


class Service(View, frozen=True, kw_only=True):
    """A stable name and address for a changing set of pods."""

    metadata: ObjectMeta
    spec: ServiceSpec = ServiceSpec()
    status: ServiceStatus = ServiceStatus()

    @property
    def balancer(self) -> str:
        """The address of the Service's load balancer; empty while it has none, or is none."""
        ingress = self.status.load_balancer.ingress if self.spec.type == "LoadBalancer" else ()
        return next((entry.ip for entry in ingress if entry.ip), "")

    def balanced(self, port: ServicePort) -> bool:
        """Whether a port answers at the address of the load balancer."""
        entry = next((entry for entry in self.status.load_balancer.ingress if entry.ip == self.balancer), None)
        listed = entry.ports if entry is not None and self.balancer else ()
        return any((each.port, each.protocol) == (port.port, port.protocol) and not each.error for each in listed)


class ObjectReference(View, frozen=True, kw_only=True):
    """The object behind an endpoint."""

    kind: str = ""
    namespace: str = ""
    name: str = ""
    uid: str = ""


class EndpointConditions(View, frozen=True, kw_only=True):
    """An absent `ready` or `serving` counts as true (EndpointSlice API)."""

    ready: bool | None = None
    serving: bool | None = None
    terminating: bool | None = None


class Endpoint(View, frozen=True, kw_only=True):
    """One pod (or other backend) of a Service. Consumers use the first address only."""

    addresses: tuple[str, ...]
    conditions: EndpointConditions = EndpointConditions()
    hostname: str = ""
    node_name: str = ""
    target_ref: ObjectReference | None = None

    @property
    def ready(self) -> bool:
        """Whether it takes new connections."""
        return self.conditions.ready is not False

    @property
    def serving(self) -> bool:
        """Whether it can answer, though it may be terminating."""
        if self.conditions.serving is None:
            return self.ready
        return self.conditions.serving


class EndpointPort(View, frozen=True, kw_only=True):
    """A port that all endpoints of the slice share."""

    name: str = ""
    protocol: str = "TCP"
    port: int | None = None
    app_protocol: str | None = None


class EndpointSlice(View, frozen=True, kw_only=True):
    """Some of a Service's endpoints."""

    metadata: ObjectMeta
    address_type: str = "IPv4"
    endpoints: tuple[Endpoint, ...] = ()
    ports: tuple[EndpointPort, ...] = ()

    @property
    def service(self) -> str:
        """The name of the Service, in the slice's namespace; empty when it belongs to none."""
        return self.metadata.labels.get(SERVICE_NAME_LABEL, "")


class NamespaceSpec(View, frozen=True, kw_only=True):
    """Finalizers that keep a deleted namespace until it is empty."""

    finalizers: tuple[str, ...] = ()


class NamespaceStatus(View, frozen=True, kw_only=True):
    """`Active` or `Terminating`."""

    phase: str = "Active"


class Namespace(View, frozen=True, kw_only=True):
    """A scope for names."""

    metadata: ObjectMeta
    spec: NamespaceSpec = NamespaceSpec()
    status: NamespaceStatus = NamespaceStatus()
