"""StatefulSets. Their pods keep names and order; volumes of their own they cannot have, since the lab has none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mesh_lab.kube.changes import Object
from mesh_lab.kube.errors import Cause
from mesh_lab.kube.registry.printing.columns import Cells, Column, part
from mesh_lab.kube.registry.rules.causes import forbidden, invalid
from mesh_lab.kube.registry.rules.fields import MAY_BE_EMPTY, Rules, at_least, one_of
from mesh_lab.kube.registry.workloads import workload
from mesh_lab.kube.resources import STATEFULSETS

_FIELDS: Rules = {
    ("StatefulSetUpdateStrategy", "type"): one_of("OnDelete", "RollingUpdate"),
    ("StatefulSetSpec", "podManagementPolicy"): one_of("OrderedReady", "Parallel"),
    ("StatefulSetSpec", "serviceName"): MAY_BE_EMPTY,
    ("StatefulSetSpec", "replicas"): at_least(0),
    ("StatefulSetSpec", "minReadySeconds"): at_least(0),
    ("StatefulSetSpec", "revisionHistoryLimit"): at_least(0),
    ("RollingUpdateStatefulSetStrategy", "partition"): at_least(0),
}


def _fill_defaults(spec: Object) -> None:
    spec.setdefault("podManagementPolicy", "OrderedReady")
    spec.setdefault("revisionHistoryLimit", 10)
    strategy = spec.setdefault("updateStrategy", {})
    strategy["type"] = strategy.get("type") or "RollingUpdate"
    if strategy["type"] == "RollingUpdate":
        strategy.setdefault("rollingUpdate", {}).setdefault("partition", 0)


def _check(spec: Object) -> Iterator[Cause]:
    if spec.get("volumeClaimTemplates"):
        words = "the lab has no persistent volumes; an emptyDir in the template lasts as long as its pod"
        yield forbidden("spec.volumeClaimTemplates", words)
    strategy = spec.get("updateStrategy") or {}
    if strategy.get("type") == "OnDelete" and strategy.get("rollingUpdate"):
        rolling = strategy["rollingUpdate"]
        yield invalid("spec.updateStrategy.rollingUpdate", rolling, "only allowed for updateStrategy 'RollingUpdate'")


def _cells(obj: Mapping[str, Any]) -> Cells:
    return [f"{part(obj, 'status').get('readyReplicas', 0)}/{part(obj, 'spec').get('replicas', 1)}"]


BEHAVIOUR = workload(
    STATEFULSETS,
    status={"replicas": 0, "availableReplicas": 0},
    fields=_FIELDS,
    columns=(Column("Ready", description="How many of the wanted pods are ready."),),
    cells=_cells,
    fill_defaults=_fill_defaults,
    check=_check,
    zero_counts=frozenset({"replicas", "partition", "revisionHistoryLimit"}),
)
