"""Plans the endpoint slices of a Service with as few writes as possible: pure functions.

Source: https://kubernetes.io/docs/concepts/services-networking/endpoint-slices/ (Conditions, Management, Distribution
of EndpointSlices).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from mesh_lab.kube.changes import Object
from mesh_lab.kube.objects.meta import owner_reference
from mesh_lab.kube.objects.pods import Pod
from mesh_lab.kube.objects.services import IPV4, SERVICE_NAME_LABEL, Service, ServicePort

MANAGED_BY_LABEL = "endpointslice.kubernetes.io/managed-by"
MANAGER = "endpointslice-controller.k8s.io"
OWN_LABEL = "endpoints.kubernetes.io/managed-by"
OWN_NAME = "endpoint-controller"
"""The same for Endpoints that are made of the slices."""
HEADLESS_LABEL = "service.kubernetes.io/headless"
MAX_ENDPOINTS = 100

Ports = tuple[tuple[str, str, int, str | None], ...]
"""Name, protocol, number and application protocol of each port: all endpoints of a slice share them."""


@dataclass(frozen=True)
class Plan:
    """The writes that make the stored slices right."""

    create: list[Object] = field(default_factory=list)
    update: list[Object] = field(default_factory=list)
    delete: list[Object] = field(default_factory=list)


def endpoints_by_ports(service: Service, pods: Iterable[Pod], family: str = IPV4) -> dict[Ports, list[Object]]:
    """Return the Service's endpoints of an IP family, grouped by the ports that they have.

    Pods without such an address and pods that ended are left out; one that is being deleted stays, marked as
    terminating.
    """
    groups: dict[Ports, list[Object]] = defaultdict(list)
    for pod in sorted(pods, key=lambda pod: pod.metadata.name):
        address = pod.status.address(family)
        if address and pod.status.phase not in ("Failed", "Succeeded"):
            groups[ports_on(service, pod)].append(endpoint(service, pod, address))
    return groups


def ports_on(service: Service, pod: Pod) -> Ports:
    """Resolve the Service's ports for this pod; a named port that the pod lacks is left out."""
    found = []
    for port in service.spec.ports:
        number = target_port(port, pod)
        if number is not None:
            found.append((port.name, port.protocol, number, port.app_protocol))
    return tuple(found)


def target_port(port: ServicePort, pod: Pod) -> int | None:
    """Resolve `targetPort` to a number; None when no container has a port of that name."""
    target = port.target_port or port.port
    if isinstance(target, int):
        return target
    for container in (*pod.spec.containers, *pod.spec.init_containers):
        for each in container.ports:
            if each.name == target and each.protocol == port.protocol:
                return each.container_port
    return None


def endpoint(service: Service, pod: Pod, address: str) -> Object:
    """Return the pod as an endpoint of the Service, at one of its addresses."""
    serving = pod.ready
    terminating = pod.metadata.deleting
    ready = service.spec.publish_not_ready_addresses or (serving and not terminating)
    found: Object = {
        "addresses": [address],
        "conditions": {"ready": ready, "serving": serving, "terminating": terminating},
        "targetRef": {
            "kind": "Pod",
            "namespace": pod.metadata.namespace,
            "name": pod.metadata.name,
            "uid": pod.metadata.uid,
        },
    }
    if pod.spec.node_name:
        found["nodeName"] = pod.spec.node_name
    if pod.spec.hostname and pod.spec.subdomain == service.metadata.name:
        found["hostname"] = pod.spec.hostname
    return found


def families_of(service: Service) -> tuple[str, ...]:
    """The IP families whose slices a Service has."""
    return service.spec.ip_families or (IPV4,)


def plan(
    stored: Object,
    service: Service,
    wanted: Mapping[Ports, Sequence[Object]],
    existing: Sequence[Object],
    family: str = IPV4,
) -> Plan:
    """Return the writes that lead from the `existing` slices of a family to the `wanted` endpoints.

    `stored` is the Service. Of a family that it does not have (any more) nothing stays.
    Endpoints stay in the slice in which they are; new ones fill slices that change anyway, then one with room, and only
    then a new slice. A Service without endpoints keeps one empty slice.
    """
    result = Plan()
    of_family = [each for each in existing if each.get("addressType") == family]
    if family not in families_of(service):
        result.delete.extend(each for each in of_family if not each["metadata"].get("deletionTimestamp"))
        return result
    shape = _Shape(stored, _labels(service), family)
    by_ports: dict[Ports, list[Object]] = defaultdict(list)
    for each in sorted(of_family, key=lambda each: str(each["metadata"]["name"])):
        if not each["metadata"].get("deletionTimestamp"):
            by_ports[_ports_of(each)].append(each)
    for ports in {**wanted, **by_ports}:
        _plan_group(result, shape, ports, wanted.get(ports, ()), by_ports.get(ports, []))
    _keep_one(result, shape, by_ports)
    return result


@dataclass
class _Draft:
    stored: Object
    endpoints: list[Object]
    changed: bool

    @property
    def room(self) -> int:
        return MAX_ENDPOINTS - len(self.endpoints)


@dataclass(frozen=True)
class _Shape:
    """What all slices of a Service for one IP family have in common."""

    service: Object
    labels: dict[str, str]
    family: str

    def fits(self, stored: Object) -> bool:
        return (stored["metadata"].get("labels") or {}) == self.labels

    def made(self, ports: Ports, endpoints: list[Object]) -> Object:
        metadata = self.service["metadata"]
        return {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "generateName": f"{metadata['name']}-",
                "namespace": metadata["namespace"],
                "labels": self.labels,
                "ownerReferences": [owner_reference(self.service)],
            },
            "addressType": self.family,
            "endpoints": endpoints,
            "ports": [_port(*each) for each in ports],
        }

    def updated(self, draft: _Draft) -> Object:
        owners = [owner_reference(self.service)]
        metadata = {**draft.stored["metadata"], "labels": self.labels, "ownerReferences": owners}
        return {**draft.stored, "metadata": metadata, "endpoints": draft.endpoints}


def _plan_group(
    result: Plan, shape: _Shape, ports: Ports, wanted: Sequence[Object], existing: Sequence[Object]
) -> None:
    missing = {_identity(each): each for each in wanted}
    drafts = [_retain(each, missing, shape) for each in existing]
    left = list(missing.values())
    for draft in drafts:
        if draft.changed and draft.endpoints:
            left = _fill(draft, left)
    if left:
        fits = [draft for draft in drafts if draft.room >= len(left)]
        if fits:
            left = _fill(min(fits, key=lambda draft: draft.room), left)
    for draft in drafts:
        if not draft.endpoints:
            result.delete.append(draft.stored)
        elif draft.changed:
            result.update.append(shape.updated(draft))
    while left:
        result.create.append(shape.made(ports, left[:MAX_ENDPOINTS]))
        left = left[MAX_ENDPOINTS:]


def _retain(stored: Object, missing: dict[tuple[str, str], Object], shape: _Shape) -> _Draft:
    """Return the slice with the endpoints that it keeps, updated; they are removed from `missing`."""
    before = stored.get("endpoints") or []
    kept = [found for each in before if (found := missing.pop(_identity(each), None)) is not None]
    return _Draft(stored, kept, kept != before or not shape.fits(stored))


def _fill(draft: _Draft, left: list[Object]) -> list[Object]:
    added, rest = left[: draft.room], left[draft.room :]
    if added:
        draft.endpoints.extend(added)
        draft.changed = True
    return rest


def _keep_one(result: Plan, shape: _Shape, existing: Mapping[Ports, Sequence[Object]]) -> None:
    """Turn the last deletion, or nothing, into the empty slice of a Service without endpoints."""
    total = sum(len(group) for group in existing.values())
    if result.create or result.update or len(result.delete) < total:
        return
    empty = next((each for each in result.delete if not each.get("endpoints") and not each.get("ports")), None)
    if empty is None:
        result.create.append(shape.made((), []))
        return
    result.delete.remove(empty)
    if not shape.fits(empty):
        result.update.append(shape.updated(_Draft(empty, [], True)))


def _port(name: str, protocol: str, number: int, application: str | None) -> Object:
    found: Object = {"name": name, "port": number, "protocol": protocol}
    if application is not None:
        found["appProtocol"] = application
    return found


def _ports_of(stored: Object) -> Ports:
    return tuple(
        (each.get("name", ""), each.get("protocol", "TCP"), int(each.get("port") or 0), each.get("appProtocol"))
        for each in stored.get("ports") or ()
    )


def _labels(service: Service) -> dict[str, str]:
    labels = {key: value for key, value in service.metadata.labels.items() if key != HEADLESS_LABEL}
    labels |= {SERVICE_NAME_LABEL: service.metadata.name, MANAGED_BY_LABEL: MANAGER}
    if service.spec.headless:
        labels[HEADLESS_LABEL] = ""
    return labels


def _identity(each: Object) -> tuple[str, str]:
    return str((each.get("targetRef") or {}).get("uid", "")), str(each["addresses"][0])
