"""Namespaces."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from mesh_lab.kube.changes import Object
from mesh_lab.kube.errors import Cause
from mesh_lab.kube.registry.behaviour import READ, Behaviour, FieldLabel, Grant
from mesh_lab.kube.registry.metadata import validate_finalizers
from mesh_lab.kube.registry.names import label_problem
from mesh_lab.kube.registry.namespaces import FINALIZER, SYSTEM_NAMESPACES, UNDELETABLE
from mesh_lab.kube.registry.podsecurity.admission import review_namespace
from mesh_lab.kube.registry.podsecurity.levels import check_labels
from mesh_lab.kube.registry.printing.columns import AGE, NAME, Cells, Column, Printer, age, name, part
from mesh_lab.kube.resources import NAMESPACES


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


def _mark_deleted(namespace: Object) -> None:
    namespace["status"] = {**(namespace.get("status") or {}), "phase": "Terminating"}


def _is_held(namespace: Object) -> bool:
    return bool((namespace.get("spec") or {}).get("finalizers"))


def _row(obj: Mapping[str, Any], now: datetime) -> Cells:
    return [name(obj), part(obj, "status").get("phase", ""), age(obj, now)]


BEHAVIOUR = Behaviour(
    NAMESPACES,
    standard=tuple({"metadata": {"name": name}} for name in SYSTEM_NAMESPACES),
    fill_defaults=_fill_defaults,
    begin=_begin,
    keep=_keep,
    name_problem=label_problem,
    check=_check,
    review=review_namespace,
    undeletable=UNDELETABLE,
    mark_deleted=_mark_deleted,
    is_held=_is_held,
    field_labels=(FieldLabel("status.phase"),),
    grants=(Grant("view", READ),),
    printer=Printer((NAME, Column("Status", description="The namespace's phase."), AGE), _row),
)
