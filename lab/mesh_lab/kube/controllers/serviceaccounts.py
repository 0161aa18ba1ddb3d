"""Creates what pods of each namespace need: the service account `default` and the cluster's root certificate."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from mesh_lab.kube.changes import Object
from mesh_lab.kube.controllers.base import Controller, Key, Keys, own_key
from mesh_lab.kube.errors import ApiError
from mesh_lab.kube.reflector import Event
from mesh_lab.kube.registry.registry import Registry
from mesh_lab.kube.resources import CONFIGMAPS, NAMESPACES, SERVICEACCOUNTS, Resource

ACCOUNT = "default"
ROOT_CA = "kube-root-ca.crt"
ROOT_CA_NOTE = (
    "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the "
    "internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes "
    "clusters."
)


class ServiceAccountController(Controller):
    """Keeps the account `default` and the ConfigMap `kube-root-ca.crt` in each namespace that is not being deleted."""

    name = "service-account-controller"

    def __init__(self, registry: Registry, root_certificate: str) -> None:
        """`root_certificate` is the API server's authority as PEM."""
        super().__init__(registry)
        self._data = {"ca.crt": root_certificate}

    def sources(self) -> Mapping[Resource, Keys]:
        """Namespaces, and the objects that it keeps there."""
        return {NAMESPACES: own_key, SERVICEACCOUNTS: _kept(ACCOUNT), CONFIGMAPS: _kept(ROOT_CA)}

    async def reconcile(self, key: Key) -> float | None:
        """Create what is missing; update the certificate."""
        namespace = self.registry.find(NAMESPACES, key.name)
        if namespace is None or namespace["metadata"].get("deletionTimestamp"):
            return None
        if self.registry.find(SERVICEACCOUNTS, ACCOUNT, key.name) is None:
            account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": _metadata(ACCOUNT, key.name)}
            await self._create(SERVICEACCOUNTS, account)
        present = self.registry.find(CONFIGMAPS, ROOT_CA, key.name)
        if present is None:
            metadata = _metadata(ROOT_CA, key.name) | {"annotations": {"kubernetes.io/description": ROOT_CA_NOTE}}
            bundle = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": self._data}
            await self._create(CONFIGMAPS, bundle)
        elif present.get("data") != self._data:
            await self.registry.modify(CONFIGMAPS, ROOT_CA, key.name, lambda found: found | {"data": self._data})
        return None

    async def _create(self, resource: Resource, obj: Object) -> None:
        try:
            await self.registry.create(resource, obj)
        except ApiError as error:
            if error.reason != "AlreadyExists" and not error.namespace_terminating:
                raise


def _kept(name: str) -> Keys:
    """Return the namespace of an object that this controller keeps."""

    def keys(event: Event) -> Iterable[Key]:
        metadata = event.object["metadata"]
        return [Key("", metadata["namespace"])] if metadata["name"] == name else []

    return keys


def _metadata(name: str, namespace: str) -> Object:
    return {"name": name, "namespace": namespace}
