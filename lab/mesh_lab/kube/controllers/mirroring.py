"""Mirrors Endpoints that users keep of Services without a selector into slices, which all readers of endpoints follow.

Source: https://kubernetes.io/docs/concepts/services-networking/service/#endpointslice-mirroring, and
pkg/controller/endpointslicemirroring of Kubernetes 1.35.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import zip_longest

from mesh_lab.kube.changes import Object
from mesh_lab.kube.controllers.base import Controller, Key, Keys, own_key
from mesh_lab.kube.controllers.slices import MANAGED_BY_LABEL, OWN_LABEL, OWN_NAME
from mesh_lab.kube.objects.meta import owner_reference
from mesh_lab.kube.objects.services import IPV4, IPV6, SERVICE_NAME_LABEL
from mesh_lab.kube.reflector import Event
from mesh_lab.kube.resources import ENDPOINTS, ENDPOINTSLICES, SERVICES, Resource

MIRROR = "endpointslicemirroring-controller.k8s.io"
_SKIP_LABEL = "endpointslice.kubernetes.io/skip-mirror"
_LEADER = "control-plane.alpha.kubernetes.io/leader"
_COPIED = ("hostname", "nodeName", "targetRef")
_MOST_ADDRESSES = 1000
"""Of a subset; the rest is not mirrored."""


class EndpointSliceMirroringController(Controller):
    """Writes a slice for each subset of such an object."""

    name = "endpoint-slice-mirroring-controller"

    def sources(self) -> Mapping[Resource, Keys]:
        """The objects, their Services, and the slices, which another client may change."""
        return {ENDPOINTS: own_key, SERVICES: own_key, ENDPOINTSLICES: _of_slice}

    async def reconcile(self, key: Key) -> float | None:
        """Write the slices that differ from what they should be."""
        service = self.registry.find(SERVICES, key.name, key.namespace)
        endpoints = self.registry.find(ENDPOINTS, key.name, key.namespace)
        mirrored = endpoints is not None and is_mirrored(endpoints, service)
        wanted = list(slices_of(endpoints)) if endpoints is not None and mirrored else []
        present = [each for each in self.registry.list(ENDPOINTSLICES, key.namespace) if _service_of(each) == key]
        present.sort(key=lambda each: str(each["metadata"]["name"]))
        for should, has in (pair for family in (IPV4, IPV6) for pair in _paired(wanted, present, family)):
            if has is None:
                if should is not None:
                    await self.create(ENDPOINTSLICES, should)
            elif should is None:
                await self.delete(ENDPOINTSLICES, has)
            elif any(should[part] != has.get(part) for part in ("ports", "endpoints")):
                await self.registry.update(
                    ENDPOINTSLICES, {**has, "ports": should["ports"], "endpoints": should["endpoints"]}
                )
        return None


def _paired(wanted: list[Object], present: list[Object], family: str) -> Iterator[tuple[Object | None, Object | None]]:
    """The slices of a family that should be there, with those that are, which change: but never their family."""
    should, has = ([each for each in some if each["addressType"] == family] for some in (wanted, present))
    return zip_longest(should, has)


def is_mirrored(endpoints: Object, service: Object | None) -> bool:
    """Whether a user keeps the object, of a Service that is there and selects no pods."""
    metadata = endpoints["metadata"]
    labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
    if metadata.get("deletionTimestamp") or labels.get(OWN_LABEL) == OWN_NAME:
        return False
    if labels.get(_SKIP_LABEL) == "true" or _LEADER in annotations:
        return False
    return service is not None and not service["spec"].get("selector")


def slices_of(endpoints: Object) -> Iterator[Object]:
    """The slices that say the same as an Endpoints object: one for the addresses of each family in each subset."""
    metadata = endpoints["metadata"]
    kept = {name: value for name, value in (metadata.get("labels") or {}).items() if name != OWN_LABEL}
    for subset in endpoints.get("subsets") or ():
        ready = [_endpoint(each, ready=True) for each in subset.get("addresses") or ()]
        waiting = [_endpoint(each, ready=False) for each in subset.get("notReadyAddresses") or ()]
        for family in (IPV4, IPV6):
            found = [each for each in (*ready, *waiting) if (":" in each["addresses"][0]) == (family == IPV6)]
            if not found:
                continue
            yield {
                "apiVersion": "discovery.k8s.io/v1",
                "kind": "EndpointSlice",
                "metadata": {
                    "generateName": f"{metadata['name']}-",
                    "namespace": metadata["namespace"],
                    "labels": {**kept, SERVICE_NAME_LABEL: metadata["name"], MANAGED_BY_LABEL: MIRROR},
                    "ownerReferences": [owner_reference(endpoints)],
                },
                "addressType": family,
                "endpoints": found[:_MOST_ADDRESSES],
                "ports": [{"name": "", "protocol": "TCP", **port} for port in subset.get("ports") or ()],
            }


def _endpoint(address: Object, *, ready: bool) -> Object:
    copied = {name: address[name] for name in _COPIED if name in address}
    return {"addresses": [address["ip"]], "conditions": {"ready": ready}, **copied}


def _service_of(endpoint_slice: Object) -> Key | None:
    """The Service of a slice that this controller keeps."""
    metadata = endpoint_slice["metadata"]
    labels = metadata.get("labels") or {}
    if labels.get(MANAGED_BY_LABEL) != MIRROR or SERVICE_NAME_LABEL not in labels:
        return None
    return Key(metadata["namespace"], labels[SERVICE_NAME_LABEL])


def _of_slice(event: Event) -> Iterable[Key]:
    key = _service_of(event.object)
    return (key,) if key else ()
