"""What the control plane reads of Kubernetes' objects: small views that leave out all that no proxy could notice.

A view that is equal to the one before, but for its origin, is no change: a status write rebuilds nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple

from mesh_lab import publishedports
from mesh_lab.controlplane.world.ingress import IngressSpec
from mesh_lab.controlplane.world.ingress import read as read_ingress
from mesh_lab.controlplane.world.locality import Locality, of_node

Object = Mapping[str, Any]
ObjectKey = tuple[str, str]

# The injector puts it on the pods whose sidecar terminates mutual TLS; gateways have no such label.
TLS_MODE_LABEL = "security.istio.io/tlsMode"

# Which of the injector's templates a pod is made by; those made by this one are gateways.
TEMPLATES_ANNOTATION = "inject.istio.io/templates"
GATEWAY_TEMPLATE = "gateway"
ROUTER_COMMAND = ("proxy", "router")

# By these a pod requests statistics of its proxy, as lists of names' beginnings, ends and regular expressions; or by a
# field of the second.
STATISTICS_ANNOTATIONS = (
    "sidecar.istio.io/statsInclusionPrefixes",
    "sidecar.istio.io/statsInclusionSuffixes",
    "sidecar.istio.io/statsInclusionRegexps",
)
# Whether clients prefer endpoints near to them; over the field `trafficDistribution` of a Service.
DISTRIBUTION_ANNOTATION = "networking.istio.io/traffic-distribution"
PROXY_CONTAINER = "istio-proxy"
PROXY_CONFIG_ANNOTATION = "proxy.istio.io/config"


class Origin(NamedTuple):
    """Where a piece of configuration comes from: one object, as of one version."""

    kind: str
    namespace: str
    name: str
    resource_version: str = ""
    generation: int = 0

    @property
    def key(self) -> tuple[str, str, str]:
        """The object, whatever its version."""
        return (self.kind, self.namespace, self.name)


class ServicePort(NamedTuple):
    """A port of a Service. `target` is a number, or the name of a container's port."""

    name: str
    port: int
    target: int | str
    transport: str
    app_protocol: str


class Balancer(NamedTuple):
    """An address of the load balancer before a Service, and the ports of the Service that do not answer there."""

    address: str
    failing: frozenset[int]


@dataclass(frozen=True, eq=False)
class Service:
    """A Service. `cluster_ip` is empty for a headless one; `is_balanced`: it asks for a load balancer.

    `created`, an RFC 3339 time, orders those of one pod. `more_ips` has its address of the other IP family, if any.
    """

    origin: Origin
    namespace: str
    name: str
    cluster_ip: str
    headless: bool
    external_name: str
    ports: tuple[ServicePort, ...]
    selector: Mapping[str, str]
    labels: Mapping[str, str]
    export_to: tuple[str, ...]
    annotations: Mapping[str, str]
    traffic_distribution: str = ""
    is_balanced: bool = False
    balancers: tuple[Balancer, ...] = ()
    more_ips: tuple[str, ...] = ()
    created: str = ""


@dataclass(frozen=True, eq=False)
class Pod:
    """A pod that has an address.

    `meshed` says that its sidecar speaks mutual TLS; `workload` names the Deployment, or other owner; `more_statistics`
    that its annotations request statistics of its proxy beside those that all keep; `has_proxy` that it was injected;
    `more_ips` has its address of the other IP family, where it has two; `router` that it is a gateway; `ready` that its
    probes say so. `annotations` are those that a dialect reads.
    """

    origin: Origin
    namespace: str
    name: str
    ip: str
    labels: Mapping[str, str]
    service_account: str
    workload: str
    meshed: bool
    node: str
    ports: Mapping[str, int]
    more_statistics: bool = False
    has_proxy: bool = False
    router: bool = False
    annotations: Mapping[str, str] = field(default_factory=dict)
    ready: bool = True
    more_ips: tuple[str, ...] = ()

    @property
    def key(self) -> ObjectKey:
        """Namespace and name."""
        return (self.namespace, self.name)


class SliceEndpoint(NamedTuple):
    """An endpoint of a slice; `pod` is the name of the pod behind it, or empty."""

    address: str
    ready: bool
    pod: str


@dataclass(frozen=True, eq=False)
class EndpointSlice:
    """Addresses of a Service and the numbers of its ports by their names."""

    origin: Origin
    namespace: str
    name: str
    service: str
    endpoints: tuple[SliceEndpoint, ...]
    ports: Mapping[str, int]


@dataclass(frozen=True, eq=False)
class Namespace:
    """A namespace. `annotations` are Istio's."""

    origin: Origin
    name: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]


@dataclass(frozen=True, eq=False)
class Deployment:
    """A Deployment's own metadata, where users put what belongs on its pods. `annotations` are Istio's."""

    origin: Origin
    labels: Mapping[str, str]
    annotations: Mapping[str, str]


@dataclass(frozen=True, eq=False)
class Ingress:
    """An Ingress."""

    origin: Origin
    namespace: str
    name: str
    spec: IngressSpec


@dataclass(frozen=True, eq=False)
class IngressClass:
    """A class of Ingresses, and the controller that carries them out."""

    origin: Origin
    controller: str


@dataclass(frozen=True, eq=False)
class Node:
    """A node: where it is. `dual`: its pods have addresses of both IP families."""

    origin: Origin
    locality: Locality
    dual: bool = False


def same(old: Any, new: Any) -> bool:
    """Whether two views are equal, but for the version of the objects they were made from."""
    return type(old) is type(new) and all(
        getattr(old, each.name) == getattr(new, each.name) for each in fields(old) if each.name != "origin"
    )


def origin_of(kind: str, obj: Object) -> Origin:
    """The origin of an object as the API server gives it."""
    meta = obj["metadata"]
    return Origin(
        kind,
        meta.get("namespace", ""),
        meta["name"],
        meta.get("resourceVersion", ""),
        meta.get("generation", 0),
    )


def service(obj: Object) -> Service:
    """The view of a Service."""
    meta, spec = obj["metadata"], obj.get("spec", {})
    address = spec.get("clusterIP", "")
    annotations = meta.get("annotations") or {}
    exported = annotations.get("networking.istio.io/exportTo", "")
    published = publishedports.marked(meta)
    return Service(
        origin=origin_of("Service", obj),
        namespace=meta.get("namespace", ""),
        name=meta["name"],
        cluster_ip="" if address == "None" else address,
        headless=address == "None",
        external_name=_external_name(spec),
        ports=tuple(
            ServicePort(
                port.get("name", ""),
                port["port"],
                port.get("targetPort") or port["port"],
                port.get("protocol", "TCP"),
                "tcp" if port["port"] in published else port.get("appProtocol", ""),
            )
            for port in spec.get("ports") or ()
        ),
        selector=spec.get("selector") or {},
        labels=meta.get("labels") or {},
        export_to=tuple(part.strip() for part in exported.split(",") if part.strip()),
        annotations=istios(annotations),
        traffic_distribution=annotations.get(DISTRIBUTION_ANNOTATION) or spec.get("trafficDistribution") or "",
        is_balanced=spec.get("type") == "LoadBalancer",
        balancers=tuple(_balancers(obj)),
        more_ips=tuple(spec.get("clusterIPs") or ())[1:],
        created=obj["metadata"].get("creationTimestamp") or "",
    )


def _balancers(obj: Object) -> Iterator[Balancer]:
    for each in ((obj.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ():
        failing = frozenset(port["port"] for port in each.get("ports") or () if port.get("error"))
        if address := each.get("ip") or each.get("hostname"):
            yield Balancer(address, failing)


def _external_name(spec: Object) -> str:
    """As DNS has it: without the final dot, in lower case."""
    return str(spec.get("externalName", "")).rstrip(".").lower() if spec.get("type") == "ExternalName" else ""


def pod(obj: Object) -> Pod | None:
    """The view of a pod; None while it has no address, and once it has ended."""
    meta, spec, status = obj["metadata"], obj.get("spec", {}), obj.get("status", {})
    if not status.get("podIP") or status.get("phase") in ("Succeeded", "Failed") or spec.get("hostNetwork"):
        return None
    labels = meta.get("labels") or {}
    containers = [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]
    return Pod(
        origin=origin_of("Pod", obj),
        namespace=meta.get("namespace", ""),
        name=meta["name"],
        ip=status["podIP"],
        labels=labels,
        service_account=spec.get("serviceAccountName") or "default",
        workload=_workload(meta, labels),
        meshed=labels.get(TLS_MODE_LABEL) == "istio",
        node=spec.get("nodeName", ""),
        ports={
            port["name"]: port["containerPort"]
            for container in containers
            for port in container.get("ports") or ()
            if port.get("name")
        },
        more_statistics=_asks_for_statistics(meta.get("annotations") or {}),
        has_proxy=any(container.get("name") == PROXY_CONTAINER for container in containers),
        annotations=_told(meta.get("annotations") or {}),
        router=is_router(meta, spec),
        ready=all(each.get("status") == "True" for each in status.get("conditions") or () if each["type"] == "Ready"),
        more_ips=tuple(each["ip"] for each in status.get("podIPs") or () if each["ip"] != status["podIP"]),
    )


def is_router(meta: Object, spec: Object) -> bool:
    """Whether a pod is a gateway: made by the injector's template, or one whose manifest starts a router itself.

    The latter is what `istioctl install` makes: its container runs `pilot-agent proxy router`.
    """
    if GATEWAY_TEMPLATE in templates_of(meta):
        return True
    proxy: Object = next((each for each in spec.get("containers") or () if each.get("name") == PROXY_CONTAINER), {})
    return tuple(proxy.get("args") or ())[:2] == ROUTER_COMMAND


def templates_of(meta: Object) -> list[str]:
    """The injection templates that a pod's annotation names."""
    named = (meta.get("annotations") or {}).get(TEMPLATES_ANNOTATION, "")
    return [name.strip() for name in named.split(",")]


def _asks_for_statistics(annotations: Mapping[str, str]) -> bool:
    return any(annotations.get(name) for name in STATISTICS_ANNOTATIONS) or "proxyStatsMatcher" in annotations.get(
        PROXY_CONFIG_ANNOTATION, ""
    )


def _workload(meta: Object, labels: Mapping[str, str]) -> str:
    """The name of the pod's workload: a ReplicaSet of a Deployment is named after it, with the template's hash."""
    owner = next((o for o in meta.get("ownerReferences") or () if o.get("controller")), None)
    if owner is None:
        return str(meta["name"])
    template = labels.get("pod-template-hash", "")
    name = str(owner["name"])
    return name.removesuffix(f"-{template}") if owner.get("kind") == "ReplicaSet" and template else name


def endpoint_slice(obj: Object) -> EndpointSlice:
    """The view of an EndpointSlice."""
    meta = obj["metadata"]
    return EndpointSlice(
        origin=origin_of("EndpointSlice", obj),
        namespace=meta.get("namespace", ""),
        name=meta["name"],
        service=(meta.get("labels") or {}).get("kubernetes.io/service-name", ""),
        endpoints=tuple(
            SliceEndpoint(
                address,
                (endpoint.get("conditions") or {}).get("ready") is not False,
                _target_pod(endpoint),
            )
            for endpoint in (obj.get("endpoints") or () if obj.get("addressType") != "FQDN" else ())
            for address in endpoint.get("addresses") or ()
        ),
        ports={port.get("name") or "": port["port"] for port in obj.get("ports") or () if port.get("port")},
    )


def _target_pod(endpoint: Object) -> str:
    target = endpoint.get("targetRef") or {}
    return str(target.get("name", "")) if target.get("kind") == "Pod" else ""


def namespace(obj: Object) -> Namespace:
    """The view of a Namespace."""
    meta = obj["metadata"]
    annotations = istios(meta.get("annotations") or {})
    return Namespace(origin_of("Namespace", obj), meta["name"], meta.get("labels") or {}, annotations)


def ingress(obj: Object) -> Ingress:
    """The view of an Ingress."""
    meta = obj["metadata"]
    return Ingress(origin_of("Ingress", obj), meta.get("namespace", ""), meta["name"], read_ingress(obj))


def ingress_class(obj: Object) -> IngressClass:
    """The view of an IngressClass."""
    return IngressClass(origin_of("IngressClass", obj), (obj.get("spec") or {}).get("controller", ""))


def node(obj: Object) -> Node:
    """The view of a Node."""
    ranges = (obj.get("spec") or {}).get("podCIDRs") or ()
    dual = len({":" in each for each in ranges}) > 1
    return Node(origin_of("Node", obj), of_node(obj["metadata"].get("labels") or {}), dual)


def deployment(obj: Object) -> Deployment:
    """The view of a Deployment."""
    meta = obj["metadata"]
    return Deployment(origin_of("Deployment", obj), meta.get("labels") or {}, istios(meta.get("annotations") or {}))


_TOLD_OF_INSTANCES = ("istio.io/", "consul.hashicorp.com/")


def _told(annotations: Mapping[str, str]) -> Mapping[str, str]:
    """Of a pod's annotations those that a dialect would read."""
    return {name: value for name, value in annotations.items() if any(part in name for part in _TOLD_OF_INSTANCES)}


def istios(annotations: Mapping[str, str]) -> Mapping[str, str]:
    """Of an object's annotations those that Istio would read."""
    return {name: value for name, value in annotations.items() if "istio.io/" in name}
