"""Namespaces: nothing is created in one that is missing or terminating, and some may not be deleted.

https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/#namespacelifecycle
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from mesh_lab.kube.changes import Object
from mesh_lab.kube.errors import ApiError, Cause, not_found
from mesh_lab.kube.registry.behaviour import READ, Behaviour, FieldLabel, Grant
from mesh_lab.kube.registry.metadata import validate_finalizers
from mesh_lab.kube.registry.podsecurity.admission import review_namespace
from mesh_lab.kube.registry.podsecurity.levels import check_labels
from mesh_lab.kube.registry.printing.columns import AGE, NAME, Cells, Column, Printer, age, name, part
from mesh_lab.kube.registry.rules.fields import Rules, one_of
from mesh_lab.kube.registry.syntax.names import label_problem
from mesh_lab.kube.resources import NAMESPACES, Resource
from mesh_lab.kube.store import Store

_SYSTEM_NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")
_UNDELETABLE = frozenset({"default", "kube-system", "kube-public"})
FINALIZER = "kubernetes"
_FIELDS: Rules = {
    ("NamespaceStatus", "phase"): one_of("Active", "Terminating"),
}


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
        why = f"unable to create new content in namespace {namespace} because it is being terminated"
        cause = Cause("metadata.namespace", f"namespace {namespace} is being terminated", "NamespaceTerminating")
        text = f'{resource.key} "{name}" is forbidden: {why}'
        raise ApiError(403, "Forbidden", text, causes=(cause,), details={"kind": resource.plural, "name": name})


def _fill_defaults(namespace: Object) -> None:
    """Each namespace has its name among its labels, so that selectors can name it."""
    name = namespace["metadata"].get("name")
    if name:
        namespace["metadata"].setdefault("labels", {})["kubernetes.io/metadata.name"] = name


def _begin(namespace: Object) -> None:
    """It is active, and held back by the controller that empties it."""
    finalizers = namespace.setdefault("spec", {}).setdefault("finalizers", [])
    if FINALIZER not in finalizers:
        finalizers.append(FINALIZER)
    namespace["status"] = {"phase": "Active"}


def _keep(new: Object, old: Object) -> None:
    """The spec is its finalizers, which only the subresource `finalize` changes."""
    new["spec"] = old.get("spec", {})


def _check(namespace: Object) -> Iterator[Cause]:
    """Check its levels of pod security and the names of its finalizers."""
    yield from check_labels(namespace["metadata"].get("labels") or {})
    yield from validate_finalizers((namespace.get("spec") or {}).get("finalizers") or (), "spec.finalizers")


def _finalized(sent: Object, old: Object) -> Object:
    finalizers = sent.get("finalizers") or []
    return {**old, "finalizers": finalizers} if finalizers else {}


def _mark_deleted(namespace: Object) -> None:
    namespace["status"] = {**(namespace.get("status") or {}), "phase": "Terminating"}


def _is_held(namespace: Object) -> bool:
    return bool((namespace.get("spec") or {}).get("finalizers"))


def _row(obj: Mapping[str, Any], now: datetime) -> Cells:
    return [name(obj), part(obj, "status").get("phase", ""), age(obj, now)]


BEHAVIOUR = Behaviour(
    NAMESPACES,
    standard=tuple({"metadata": {"name": name}} for name in _SYSTEM_NAMESPACES),
    fill_defaults=_fill_defaults,
    begin=_begin,
    keep=_keep,
    specs_of_parts={"finalize": _finalized},
    name_problem=label_problem,
    fields=_FIELDS,
    check=_check,
    review=review_namespace,
    undeletable=_UNDELETABLE,
    mark_deleted=_mark_deleted,
    is_held=_is_held,
    field_labels=(FieldLabel("status.phase"),),
    grants=(Grant("view", READ),),
    printer=Printer((NAME, Column("Status", description="The namespace's phase."), AGE), _row),
)
