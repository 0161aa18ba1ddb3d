"""The rules of namespaces: nothing is created in one that is missing or terminating, and some may not be deleted.

https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/#namespacelifecycle
"""

from __future__ import annotations

from mesh_lab.kube.errors import ApiError, Cause, not_found
from mesh_lab.kube.resources import NAMESPACES, Resource
from mesh_lab.kube.store import Store

SYSTEM_NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")
UNDELETABLE = frozenset({"default", "kube-system", "kube-public"})
FINALIZER = "kubernetes"


def check_create(store: Store, resource: Resource, namespace: str, name: str = "") -> None:
    """Refuse to create in a namespace that cannot take objects.

    Raises:
        ApiError: 404 it does not exist, 403 it is being deleted.
    """
    if not resource.namespaced:
        return
    found = store.head(NAMESPACES.key, "", namespace)
    if found is None:
        raise not_found("namespaces", namespace)
    if found["metadata"].get("deletionTimestamp"):
        full = f"{resource.plural}.{resource.group}" if resource.group else resource.plural
        why = f"unable to create new content in namespace {namespace} because it is being terminated"
        cause = Cause("metadata.namespace", f"namespace {namespace} is being terminated", "NamespaceTerminating")
        text = f'{full} "{name}" is forbidden: {why}'
        raise ApiError(403, "Forbidden", text, causes=(cause,), details={"kind": resource.plural, "name": name})
