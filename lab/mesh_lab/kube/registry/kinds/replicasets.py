"""ReplicaSets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mesh_lab.kube.registry.behaviour import FieldLabel
from mesh_lab.kube.registry.printing.columns import Cells, Column, part
from mesh_lab.kube.registry.rules.fields import at_least
from mesh_lab.kube.registry.workloads import workload
from mesh_lab.kube.resources import REPLICASETS


def _cells(obj: Mapping[str, Any]) -> Cells:
    status = part(obj, "status")
    return [part(obj, "spec").get("replicas", 1), status.get("replicas", 0), status.get("readyReplicas", 0)]


BEHAVIOUR = workload(
    REPLICASETS,
    status={"replicas": 0},
    fields={("ReplicaSetSpec", "replicas"): at_least(0), ("ReplicaSetSpec", "minReadySeconds"): at_least(0)},
    columns=(Column("Desired", "integer"), Column("Current", "integer"), Column("Ready", "integer")),
    cells=_cells,
    field_labels=(FieldLabel("status.replicas", absent="0"),),
    zero_counts=frozenset({"replicas"}),
)
