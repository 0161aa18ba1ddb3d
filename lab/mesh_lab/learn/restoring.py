"""A namespace brought to hold certain objects, just as they are written, and no others of a user's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from mesh_lab.client.api import Api, UnknownKindError
from mesh_lab.client.connection import ApiError
from mesh_lab.client.objects import Object, Reference, reference
from mesh_lab.meshkinds import KINDS

GONE_SECONDS = 60.0
_INVALID, _CONFLICT = 422, 409


class _Kind(NamedTuple):
    api_version: str
    kind: str
    kept: frozenset[str] = frozenset()
    """Names that are the cluster's own in every namespace."""


_KUBERNETES = (
    _Kind("v1", "ConfigMap", frozenset({"istio-ca-root-cert", "istio-ca-crl", "kube-root-ca.crt"})),
    _Kind("v1", "Secret"),
    _Kind("v1", "Service"),
    _Kind("v1", "ServiceAccount", frozenset({"default"})),
    _Kind("apps/v1", "Deployment"),
    _Kind("apps/v1", "StatefulSet"),
    _Kind("apps/v1", "ReplicaSet"),
    _Kind("v1", "Pod"),
    _Kind("autoscaling/v2", "HorizontalPodAutoscaler"),
    _Kind("policy/v1", "PodDisruptionBudget"),
    _Kind("networking.k8s.io/v1", "NetworkPolicy"),
    _Kind("networking.k8s.io/v1", "Ingress"),
    _Kind("rbac.authorization.k8s.io/v1", "Role"),
    _Kind("rbac.authorization.k8s.io/v1", "RoleBinding"),
)
"""What a learner may put into a namespace, the mesh's own kinds aside. What has an owner goes and comes with it."""


def restore(api: Api, namespace: str, wanted: Sequence[Object]) -> list[Reference]:
    """Have the namespace hold these objects as written, and nothing else; what was deleted for it.

    Raises:
        ApiError: the API server refuses an object.
    """
    placed = [{**obj, "metadata": {**obj["metadata"], "namespace": namespace}} for obj in wanted]
    ours = {_identity(reference(obj)) for obj in placed}
    strangers = [ref for ref in holdings(api, namespace) if _identity(ref) not in ours]
    for ref in strangers:
        api.delete(ref)
    for obj in placed:
        put(api, obj)
    return strangers


def holdings(api: Api, namespace: str) -> Iterator[Reference]:
    """What a user has in a namespace: not the cluster's own, and not what has an owner."""
    for group, kind, versions, kept in _kinds():
        try:
            version = api.served(group, kind, versions)
        except UnknownKindError:
            continue
        for obj in api.list_all(version, kind, namespace):
            meta = obj["metadata"]
            if meta["name"] not in kept and not meta.get("ownerReferences") and "deletionTimestamp" not in meta:
                yield Reference(version, kind, meta["name"], namespace)


def _kinds() -> Iterator[tuple[str, str, tuple[str, ...], frozenset[str]]]:
    for api_version, kind, kept in _KUBERNETES:
        group, _, version = api_version.rpartition("/")
        yield group, kind, (version,), kept
    for each in KINDS:
        if each.group:
            yield each.group, each.name, each.versions, frozenset()


def put(api: Api, obj: Object) -> None:
    """Create the object, or have the one that exists be just as written.

    Raises:
        ApiError: the API server refuses it.
    """
    ref = reference(obj)
    path = api.path(ref.api_version, ref.kind, ref.namespace, ref.name)
    live = api.find(ref)
    if live is None:
        api.create(obj)
        return
    written = {**obj, "metadata": {**obj["metadata"], "resourceVersion": live["metadata"]["resourceVersion"]}}
    try:
        api.request("PUT", path, body=written, fieldValidation="Strict")
    except ApiError as error:
        if error.code not in (_INVALID, _CONFLICT):
            raise
        # A field that cannot be changed, as a Deployment's selector: it is made anew.
        api.delete(ref)
        _await_gone(api, ref)
        api.create(obj)


def merge(api: Api, obj: Object) -> Reference:
    """Merge the object into the one that exists (None removes a field), or create it; it may be a part of one.

    Raises:
        ApiError: the API server refuses it.
    """
    ref = reference(obj)
    if api.find(ref) is None:
        api.create(_without_none(obj))
    else:
        api.patch(ref, obj)
    return ref


def _without_none(obj: Object) -> Object:
    return {
        key: _without_none(value) if isinstance(value, dict) else value
        for key, value in obj.items()
        if value is not None
    }


def _await_gone(api: Api, ref: Reference) -> None:
    api.wait_until(
        api.path(ref.api_version, ref.kind, ref.namespace),
        lambda items: ref.name not in items,
        timeout=GONE_SECONDS,
        why=f"{ref} is deleted",
        describe=lambda items: f"  {items.get(ref.name, {}).get('metadata')}",
    )


def _identity(ref: Reference) -> tuple[str, str, str]:
    """An object of a namespace, whatever the version of its kind."""
    return ref.group, ref.kind, ref.name
