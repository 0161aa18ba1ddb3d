"""Keeps an Endpoints object beside the slices of each Service with a selector: the older form of the same addresses.

Source: https://kubernetes.io/docs/concepts/services-networking/service/#endpoints
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from mesh_lab.kube.changes import Object
from mesh_lab.kube.controllers.base import Controller, Key, Keys, own_key
from mesh_lab.kube.controllers.slices import MANAGED_BY_LABEL, MANAGER, OWN_LABEL, OWN_NAME
from mesh_lab.kube.objects.services import IPV4, SERVICE_NAME_LABEL
from mesh_lab.kube.reflector import Event
from mesh_lab.kube.resources import ENDPOINTS, ENDPOINTSLICES, SERVICES, Resource

_COPIED = ("hostname", "nodeName", "targetRef")


class EndpointsController(Controller):
    """Writes what the slices say into one object a Service; what users keep of Services without selector stays."""

    name = "endpoint-controller"

    def sources(self) -> Mapping[Resource, Keys]:
        """Services, their slices, and the objects themselves, which another client may change."""
        return {SERVICES: own_key, ENDPOINTSLICES: _of_slice, ENDPOINTS: _of_own}

    async def reconcile(self, key: Key) -> float | None:
        """Write the object where it differs from what it should be."""
        service = self.registry.find(SERVICES, key.name, key.namespace)
        present = self.registry.find(ENDPOINTS, key.name, key.namespace)
        spec = service["spec"] if service else {}
        if service is None or service["metadata"].get("deletionTimestamp"):
            if present is not None and (present["metadata"].get("labels") or {}).get(OWN_LABEL) == OWN_NAME:
                await self.delete(ENDPOINTS, present)
            return None
        if not spec.get("selector") or spec.get("type") == "ExternalName":
            return None
        # The older kind knows no families: it has the endpoints of the Service's first one.
        family = next(iter(spec.get("ipFamilies") or ()), IPV4)
        slices = (each for each in self.registry.list(ENDPOINTSLICES, key.namespace) if _service_of(each) == key)
        found = [each for each in slices if each["addressType"] == family]
        labels = {**(service["metadata"].get("labels") or {}), OWN_LABEL: OWN_NAME}
        wanted: Object = {"subsets": subsets(found)} if any(each.get("endpoints") for each in found) else {}
        if present is None:
            metadata = {"name": key.name, "namespace": key.namespace, "labels": labels}
            await self.create(ENDPOINTS, {"apiVersion": "v1", "kind": "Endpoints", "metadata": metadata, **wanted})
        elif (present.get("subsets"), present["metadata"].get("labels")) != (wanted.get("subsets"), labels):
            kept = {name: value for name, value in present.items() if name != "subsets"}
            await self.registry.update(ENDPOINTS, kept | {"metadata": kept["metadata"] | {"labels": labels}} | wanted)
        return None


def subsets(slices: Iterable[Object]) -> list[Object]:
    """The endpoints of some slices, in the form of Endpoints: ready and not ready, by the ports that they have."""
    return list(_subsets(sorted(slices, key=lambda each: str(each["metadata"]["name"]))))


def _subsets(slices: Iterable[Object]) -> Iterator[Object]:
    for each in slices:
        by_readiness: dict[str, list[Object]] = {"addresses": [], "notReadyAddresses": []}
        for endpoint in each.get("endpoints") or ():
            ready = (endpoint.get("conditions") or {}).get("ready", True)
            copied = {name: endpoint[name] for name in _COPIED if name in endpoint}
            where = by_readiness["addresses" if ready else "notReadyAddresses"]
            where += [{"ip": address, **copied} for address in endpoint["addresses"]]
        found: Object = {name: addresses for name, addresses in by_readiness.items() if addresses}
        if not found:
            continue
        # A port without a name has none, where a slice's has an empty one.
        ports = [{name: value for name, value in port.items() if value != ""} for port in each.get("ports") or ()]
        yield found | ({"ports": ports} if ports else {})


def _service_of(endpoint_slice: Object) -> Key | None:
    """The Service of a slice that the slices' controller keeps."""
    metadata = endpoint_slice["metadata"]
    labels = metadata.get("labels") or {}
    if labels.get(MANAGED_BY_LABEL) != MANAGER or SERVICE_NAME_LABEL not in labels:
        return None
    return Key(metadata["namespace"], labels[SERVICE_NAME_LABEL])


def _of_slice(event: Event) -> Iterable[Key]:
    key = _service_of(event.object)
    return (key,) if key else ()


def _of_own(event: Event) -> Iterable[Key]:
    labels = event.object["metadata"].get("labels") or {}
    return own_key(event) if labels.get(OWN_LABEL) == OWN_NAME else ()
