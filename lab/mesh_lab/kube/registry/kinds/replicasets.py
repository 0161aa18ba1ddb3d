"""ReplicaSets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from mesh_lab.kube.changes import Object
from mesh_lab.kube.errors import Cause
from mesh_lab.kube.registry.behaviour import READ, WRITE, Behaviour, FieldLabel, Grant
from mesh_lab.kube.registry.podsecurity.admission import review_template
from mesh_lab.kube.registry.podspec.fields import POD_SPEC
from mesh_lab.kube.registry.podspec.templates import check_selector_update, check_template, fill_template
from mesh_lab.kube.registry.printing.columns import AGE, NAME, Cells, Column, Printer, age, name, part
from mesh_lab.kube.registry.printing.templates import TEMPLATE, template_cells
from mesh_lab.kube.registry.rules.fields import Rules, at_least
from mesh_lab.kube.resources import REPLICASETS

_FIELDS: Rules = {
    **POD_SPEC,
    ("ReplicaSetSpec", "replicas"): at_least(0),
    ("ReplicaSetSpec", "minReadySeconds"): at_least(0),
}


def _fill_defaults(replica_set: Object) -> None:
    """Defaults of a ReplicaSet and its template."""
    spec = replica_set.setdefault("spec", {})
    spec.setdefault("replicas", 1)
    fill_template(spec)


def _begin(replica_set: Object) -> None:
    replica_set["status"] = {"replicas": 0}


def _check(replica_set: Object) -> Iterator[Cause]:
    """Everything that is wrong with a ReplicaSet."""
    spec = replica_set.get("spec") or {}
    yield from check_template(spec, "replicaset")


def _row(obj: Mapping[str, Any], now: datetime) -> Cells:
    status = part(obj, "status")
    return [
        name(obj),
        part(obj, "spec").get("replicas", 1),
        status.get("replicas", 0),
        status.get("readyReplicas", 0),
        age(obj, now),
        *template_cells(obj),
    ]


BEHAVIOUR = Behaviour(
    REPLICASETS,
    fill_defaults=_fill_defaults,
    begin=_begin,
    fields=_FIELDS,
    check=_check,
    check_update=check_selector_update,
    review=review_template,
    counts_generations=True,
    field_labels=(FieldLabel("status.replicas", absent="0"),),
    grants=(Grant("view", READ, ("", "scale", "status")), Grant("edit", WRITE, ("", "scale"))),
    printer=Printer(
        (NAME, Column("Desired", "integer"), Column("Current", "integer"), Column("Ready", "integer"), AGE, *TEMPLATE),
        _row,
    ),
    zero_counts=frozenset({"replicas"}),
)
