"""Objects of the API as targets with Prometheus' labels, by role.

https://prometheus.io/docs/prometheus/latest/configuration/configuration/#kubernetes_sd_config names the labels.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from mesh_lab.prometheus.configuring import Discovery

Object = Mapping[str, Any]
Labels = dict[str, str]
Key = tuple[str, str]
"""An object's namespace and name."""

ADDRESS = "__address__"
_META = "__meta_kubernetes_"
_NOT_IN_A_NAME = re.compile(r"[^a-zA-Z0-9_]")
_SERVICE_OF_SLICE = "kubernetes.io/service-name"
_NODE_ADDRESSES = ("InternalIP", "ExternalIP", "LegacyHostIP", "Hostname")


@dataclass(frozen=True)
class Objects:
    """What the API has, by role and key."""

    by_role: Mapping[str, Mapping[Key, Object]]
    attached: frozenset[str] = field(default=frozenset())

    def all(self, role: str) -> Iterable[Object]:
        """The objects of a role, in the order of their keys."""
        return [found for _, found in sorted(self.by_role.get(role, {}).items())]

    def find(self, role: str, namespace: str, name: str) -> Object | None:
        """An object, if it is there."""
        return self.by_role.get(role, {}).get((namespace, name))


def targets(discovery: Discovery, by_role: Mapping[str, Mapping[Key, Object]]) -> list[Labels]:
    """The targets of a discovery: the labels of each, its address among them."""
    objects = Objects(by_role, discovery.attached)
    make = _MAKERS[discovery.role]
    return [one for found in objects.all(discovery.role) for one in make(found, objects)]


def _pods(pod: Object, objects: Objects) -> Iterator[Labels]:
    address = pod.get("status", {}).get("podIP")
    if not address:
        return
    common = {**_pod(pod), **_namespace(pod, objects), **_node_of(pod["spec"].get("nodeName"), objects)}
    init = pod["spec"].get("initContainers") or []
    for container in [*pod["spec"]["containers"], *init]:
        of_container = {
            **common,
            **_container(container, pod),
            **_named("pod_container_init", _word(container in init)),
        }
        ports = container.get("ports") or []
        if not ports:
            yield {ADDRESS: address, **of_container}
        for port in ports:
            yield {ADDRESS: _join(address, port["containerPort"]), **of_container, **_container_port(port)}


def _services(service: Object, objects: Objects) -> Iterator[Labels]:
    meta, spec = service["metadata"], service["spec"]
    kind = spec.get("type", "ClusterIP")
    common = {**_service(service), **_namespace(service, objects), **_named("service_type", kind)}
    if kind == "ExternalName":
        common |= _named("service_external_name", spec.get("externalName", ""))
    else:
        common |= _named("service_cluster_ip", spec.get("clusterIP", ""))
    if kind == "LoadBalancer":
        common |= _named("service_loadbalancer_ip", spec.get("loadBalancerIP", ""))
    for port in spec.get("ports") or ():
        yield {
            ADDRESS: f"{meta['name']}.{meta['namespace']}.svc:{port['port']}",
            **common,
            **_named("service_port_name", port.get("name", "")),
            **_named("service_port_number", str(port["port"])),
            **_named("service_port_protocol", port.get("protocol", "TCP")),
        }


def _endpoints(endpoints: Object, objects: Objects) -> Iterator[Labels]:
    meta = endpoints["metadata"]
    common = {
        **_service_of(meta["namespace"], meta["name"], objects),
        **_meta(endpoints, "endpoints"),
        **_namespace(endpoints, objects),
    }
    seen: dict[Key, tuple[Object, set[int]]] = {}
    for subset in endpoints.get("subsets") or ():
        for port in subset.get("ports") or ():
            for ready, addresses in (("true", "addresses"), ("false", "notReadyAddresses")):
                for address in subset.get(addresses) or ():
                    own = {
                        **_named("endpoint_port_name", port.get("name", "")),
                        **_named("endpoint_port_protocol", port.get("protocol", "TCP")),
                        **_named("endpoint_ready", ready),
                        **_reference(address.get("targetRef"), "endpoint_address"),
                        **_given("endpoint_node_name", address.get("nodeName")),
                        **_given("endpoint_hostname", address.get("hostname")),
                        **_node_of(address.get("nodeName"), objects),
                        **_pod_behind(address.get("targetRef"), port.get("port"), seen, objects),
                    }
                    yield {ADDRESS: _join(address["ip"], port["port"]), **common, **own}
    yield from _ports_beside(seen, common)


def _slices(found: Object, objects: Objects) -> Iterator[Labels]:
    meta = found["metadata"]
    service = (meta.get("labels") or {}).get(_SERVICE_OF_SLICE, "")
    common = {
        **_service_of(meta["namespace"], service, objects),
        **_meta(found, "endpointslice"),
        **_namespace(found, objects),
        **_named("endpointslice_address_type", found.get("addressType", "")),
    }
    seen: dict[Key, tuple[Object, set[int]]] = {}
    for port in found.get("ports") or ():
        number = port.get("port")
        for endpoint in found.get("endpoints") or ():
            own = {
                **_given("endpointslice_port", number),
                **_given("endpointslice_port_name", port.get("name")),
                **_given("endpointslice_port_protocol", port.get("protocol")),
                **_given("endpointslice_port_app_protocol", port.get("appProtocol")),
                **_of_endpoint(endpoint),
                **_node_of(endpoint.get("nodeName"), objects),
                **_pod_behind(endpoint.get("targetRef"), number, seen, objects),
            }
            for address in endpoint.get("addresses") or ():
                yield {ADDRESS: address if number is None else _join(address, number), **common, **own}
    yield from _ports_beside(seen, common)


def _of_endpoint(endpoint: Mapping[str, Any]) -> Labels:
    conditions = endpoint.get("conditions") or {}
    labels = _reference(endpoint.get("targetRef"), "endpointslice_address")
    for name in ("ready", "serving", "terminating"):
        if (value := conditions.get(name)) is not None:
            labels |= _named(f"endpointslice_endpoint_conditions_{name}", _word(value))
    return {
        **labels,
        **_given("endpointslice_endpoint_hostname", endpoint.get("hostname")),
        **_given("endpointslice_endpoint_node_name", endpoint.get("nodeName")),
        **_given("endpointslice_endpoint_zone", endpoint.get("zone")),
    }


def _ingresses(ingress: Object, objects: Objects) -> Iterator[Labels]:
    spec = ingress["spec"]
    common = {
        **_meta(ingress, "ingress"),
        **_namespace(ingress, objects),
        **_given("ingress_class_name", spec.get("ingressClassName")),
    }
    secured = {host for tls in spec.get("tls") or () for host in tls.get("hosts") or ()}
    for rule in spec.get("rules") or ():
        host = rule.get("host", "")
        scheme = "https" if host in secured or _wildcard(host) in secured else "http"
        for path in [one.get("path") or "/" for one in (rule.get("http") or {}).get("paths") or ()] or ["/"]:
            yield {
                ADDRESS: host,
                **common,
                **_named("ingress_scheme", scheme),
                **_named("ingress_host", host),
                **_named("ingress_path", path),
            }


def _wildcard(host: str) -> str:
    return f"*.{host.partition('.')[2]}"


def _nodes(node: Object, _: Objects) -> Iterator[Labels]:
    name, status = node["metadata"]["name"], node.get("status", {})
    addresses: dict[str, str] = {}
    for entry in status.get("addresses") or ():
        addresses.setdefault(entry["type"], entry["address"])
    address = next((addresses[kind] for kind in _NODE_ADDRESSES if kind in addresses), None)
    if address is None:
        return
    port = status.get("daemonEndpoints", {}).get("kubeletEndpoint", {}).get("Port", 0)
    labels = {
        **_meta(node, "node"),
        **_named("node_provider_id", node.get("spec", {}).get("providerID", "")),
        "instance": name,
    }
    for kind, value in addresses.items():
        labels |= _named(f"node_address_{kind}", value)
    yield {ADDRESS: _join(address, port), **labels}


_MAKERS: Mapping[str, Callable[[Object, Objects], Iterator[Labels]]] = {
    "pod": _pods,
    "service": _services,
    "endpoints": _endpoints,
    "endpointslice": _slices,
    "ingress": _ingresses,
    "node": _nodes,
}


# Labels of an object


def _pod(pod: Object) -> Labels:
    status = pod.get("status", {})
    ready = next((one["status"] for one in status.get("conditions") or () if one["type"] == "Ready"), "unknown")
    owner: Mapping[str, Any] = next(
        (one for one in pod["metadata"].get("ownerReferences") or () if one.get("controller")), {}
    )
    return {
        **_meta(pod, "pod"),
        **_named("pod_ip", status.get("podIP", "")),
        **_named("pod_ready", ready.lower()),
        **_named("pod_phase", status.get("phase", "")),
        **_named("pod_node_name", pod["spec"].get("nodeName", "")),
        **_named("pod_host_ip", status.get("hostIP", "")),
        **_named("pod_uid", pod["metadata"].get("uid", "")),
        **_given("pod_controller_kind", owner.get("kind")),
        **_given("pod_controller_name", owner.get("name")),
    }


def _service(service: Object) -> Labels:
    return _meta(service, "service")


def _container(container: Mapping[str, Any], pod: Object) -> Labels:
    status = pod.get("status", {})
    known = [*(status.get("containerStatuses") or ()), *(status.get("initContainerStatuses") or ())]
    identity = next((one.get("containerID", "") for one in known if one["name"] == container["name"]), "")
    return {
        **_named("pod_container_name", container["name"]),
        **_named("pod_container_id", identity),
        **_named("pod_container_image", container.get("image", "")),
    }


def _container_port(port: Mapping[str, Any]) -> Labels:
    return {
        **_named("pod_container_port_name", port.get("name", "")),
        **_named("pod_container_port_number", str(port["containerPort"])),
        **_named("pod_container_port_protocol", port.get("protocol", "TCP")),
    }


def _meta(found: Object, role: str) -> Labels:
    """Name, namespace, labels and annotations of an object."""
    meta = found["metadata"]
    labels = {**_named(f"{role}_name", meta["name"]), **_given("namespace", meta.get("namespace"))}
    for what, entries in (("label", meta.get("labels") or {}), ("annotation", meta.get("annotations") or {})):
        for name, value in entries.items():
            labels |= {**_named(f"{role}_{what}_{name}", value), **_named(f"{role}_{what}present_{name}", "true")}
    return labels


# Labels of what belongs to an object


def _service_of(namespace: str, name: str, objects: Objects) -> Labels:
    service = objects.find("service", namespace, name)
    return _service(service) if service else {}


def _namespace(found: Object, objects: Objects) -> Labels:
    if "namespace" not in objects.attached:
        return {}
    namespace = objects.find("namespace", "", found["metadata"].get("namespace", ""))
    return _meta(namespace, "namespace") if namespace else {}


def _node_of(name: str | None, objects: Objects) -> Labels:
    node = objects.find("node", "", name) if name and "node" in objects.attached else None
    return _meta(node, "node") if node else {}


def _reference(reference: Mapping[str, Any] | None, prefix: str) -> Labels:
    given = reference or {}
    return {
        **_given(f"{prefix}_target_kind", given.get("kind")),
        **_given(f"{prefix}_target_name", given.get("name")),
    }


def _pod_behind(
    reference: Mapping[str, Any] | None, port: int | None, seen: dict[Key, tuple[Object, set[int]]], objects: Objects
) -> Labels:
    """The labels of an endpoint's pod, and of the container's port that is the endpoint's; `seen` gets the pod."""
    if not reference or reference.get("kind") != "Pod":
        return {}
    key = (reference.get("namespace", ""), reference.get("name", ""))
    pod = objects.find("pod", *key)
    if pod is None:
        return {}
    _, ports = seen.setdefault(key, (pod, set()))
    labels = _pod(pod)
    if port is not None:
        ports.add(port)
    for container in pod["spec"]["containers"]:
        for one in container.get("ports") or ():
            if one["containerPort"] == port:
                return {**labels, **_container(container, pod), **_container_port(one)}
    return labels


def _ports_beside(seen: Mapping[Key, tuple[Object, set[int]]], common: Labels) -> Iterator[Labels]:
    """The containers' ports, of the pods behind endpoints, that no endpoint is of."""
    for pod, ports in seen.values():
        address = pod.get("status", {}).get("podIP")
        for container in pod["spec"]["containers"] if address else ():
            for port in container.get("ports") or ():
                if port["containerPort"] not in ports:
                    own = {**_pod(pod), **_container(container, pod), **_container_port(port)}
                    yield {ADDRESS: _join(address, port["containerPort"]), **common, **own}


# Words


def _named(name: str, value: str) -> Labels:
    return {_META + _NOT_IN_A_NAME.sub("_", name): value}


def _given(name: str, value: Any) -> Labels:
    return {} if value is None or value == "" else _named(name, str(value))


def _word(value: bool) -> str:
    return "true" if value else "false"


def _join(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
