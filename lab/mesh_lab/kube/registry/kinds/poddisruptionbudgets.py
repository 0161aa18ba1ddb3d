"""PodDisruptionBudgets: stored, so that Istio's charts apply. Nothing drains the lab's one node by itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from mesh_lab.kube.changes import Object
from mesh_lab.kube.errors import Cause
from mesh_lab.kube.registry.behaviour import READ, WRITE, Behaviour, Grant
from mesh_lab.kube.registry.printing.columns import AGE, NAME, Cells, Column, Printer, age, name, part
from mesh_lab.kube.registry.rules.causes import invalid
from mesh_lab.kube.registry.rules.fields import Rules, one_of
from mesh_lab.kube.registry.rules.labels import check_selector
from mesh_lab.kube.resources import Resource

BUDGETS = Resource(
    "policy",
    "v1",
    "poddisruptionbudgets",
    "PodDisruptionBudget",
    True,
    ("pdb",),
    (),
    frozenset({"status"}),
)
_FIELDS: Rules = {
    ("PodDisruptionBudgetSpec", "unhealthyPodEvictionPolicy"): one_of("AlwaysAllow", "IfHealthyBudget"),
}


def _check(budget: Object) -> Iterator[Cause]:
    spec = part(budget, "spec")
    if "minAvailable" in spec and "maxUnavailable" in spec:
        yield invalid("spec", spec, "minAvailable and maxUnavailable cannot be both set")
    if selector := spec.get("selector"):
        yield from check_selector(selector, "spec.selector")


def _remark(_: Object) -> Iterator[str]:
    yield "spec: this has no effect here: an eviction is granted whatever budget the pod has"


def _row(obj: Mapping[str, Any], now: datetime) -> Cells:
    spec = part(obj, "spec")
    bounds = [str(spec.get(field, "N/A")) for field in ("minAvailable", "maxUnavailable")]
    return [name(obj), *bounds, part(obj, "status").get("disruptionsAllowed", 0), age(obj, now)]


BEHAVIOUR = Behaviour(
    BUDGETS,
    fields=_FIELDS,
    check=_check,
    remark=_remark,
    counts_generations=True,
    names_what_it_replaces=True,
    grants=(Grant("view", READ, ("", "status")), Grant("edit", WRITE)),
    printer=Printer(
        (
            NAME,
            Column("Min Available"),
            Column("Max Unavailable"),
            Column("Allowed Disruptions", "integer"),
            AGE,
        ),
        _row,
    ),
)
