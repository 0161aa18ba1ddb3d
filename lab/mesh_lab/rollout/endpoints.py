"""Whether a version of a route has pods at all: one without any would cost requests to find out."""

from __future__ import annotations

from collections.abc import Mapping

from mesh_lab.client.api import Api
from mesh_lab.client.objects import Object, Reference
from mesh_lab.errors import LabError
from mesh_lab.meshkinds import ISTIO
from mesh_lab.rollout.routes import Target, targets


class NoEndpoints(LabError):  # noqa: N818 - what the version lacks
    """A version of the route has no pod that is ready; the message says which, and by which labels."""


def check_endpoints(api: Api, route: Object, arm: str) -> None:
    """Refuse a version whose Service selects pods (or virtual machines) of which none is ready.

    What has no selector, and hosts that are no Services, are judged by their answers alone.

    Raises:
        NoEndpoints: naming the labels.
    """
    namespace = route["metadata"].get("namespace", "default")
    for target in sorted(targets(route, arm)):
        name, place = _service_of(target, namespace)
        service = api.find(Reference("v1", "Service", name, place)) if name else None
        selector = (service or {}).get("spec", {}).get("selector")
        if not selector:
            continue
        wanted = {**selector, **_subset(api, target, namespace, (name, place))}
        labels = ",".join(f"{key}={value}" for key, value in sorted(wanted.items()))
        pods = api.list_all("v1", "Pod", place, labels)
        if not any(_ready(pod) for pod in pods) and not _machines(api, place, wanted):
            raise NoEndpoints(
                f"{route['kind']} {namespace}/{route['metadata']['name']}: {arm} has no pod that is ready",
                hint=f"`kubectl get pods -n {place} -l {labels}` shows them.",
            )


def _service_of(target: Target, namespace: str) -> tuple[str, str]:
    """Name and namespace of the Service that a host is: `shop`, `shop.market`, `shop.market.svc.cluster.local`.

    The name is empty for a host that is none.
    """
    name, _, rest = target.host.partition(".")
    place, _, domain = rest.partition(".")
    is_service = domain.partition(".")[0] in ("", "svc")
    return (name, target.namespace or place or namespace) if is_service else ("", "")


def _subset(api: Api, target: Target, namespace: str, service: tuple[str, str]) -> Mapping[str, str]:
    """The labels of a subset, from the DestinationRules where the control plane looks for them first."""
    if not target.subset:
        return {}
    for place in dict.fromkeys((namespace, service[1])):
        for rule in _all(api, "DestinationRule", place):
            if _service_of(Target(rule["spec"].get("host", "")), place) == service:
                for subset in rule["spec"].get("subsets") or ():
                    if subset["name"] == target.subset:
                        return subset.get("labels") or {}
    return {}


def _machines(api: Api, namespace: str, labels: Mapping[str, str]) -> bool:
    """Whether a virtual machine has these labels."""
    entries = [entry["spec"].get("labels") or {} for entry in _all(api, "WorkloadEntry", namespace)]
    return any(labels.items() <= found.items() for found in entries)


def _all(api: Api, name: str, namespace: str) -> list[Object]:
    """All objects of one of Istio's kinds in a namespace."""
    kind = next(kind for kind in ISTIO if kind.name == name)
    return api.list_all(api.served(kind.group, kind.name, kind.versions), kind.name, namespace)


def _ready(pod: Object) -> bool:
    conditions = pod.get("status", {}).get("conditions") or ()
    ready = any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
    return ready and "deletionTimestamp" not in pod["metadata"]
