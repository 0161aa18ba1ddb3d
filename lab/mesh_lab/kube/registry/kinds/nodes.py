"""Nodes."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from mesh_lab.conditions import find
from mesh_lab.kube.registry.behaviour import Behaviour, FieldLabel
from mesh_lab.kube.registry.printing.columns import (
    AGE,
    NAME,
    NONE,
    Cells,
    Column,
    Printer,
    age,
    items,
    joined,
    name,
    part,
    wide,
)
from mesh_lab.kube.registry.printing.durations import UNKNOWN
from mesh_lab.kube.registry.rules.fields import TAINT_EFFECT, Rules
from mesh_lab.kube.resources import NODES

_ROLE_PREFIX = "node-role.kubernetes.io/"
_ROLE_LABEL = "kubernetes.io/role"
_FIELDS: Rules = {
    ("Taint", "effect"): TAINT_EFFECT,
}


def _row(obj: Mapping[str, Any], now: datetime) -> Cells:
    info = part(obj, "status", "nodeInfo")
    return [
        name(obj),
        _node_status(obj),
        _roles(obj["metadata"].get("labels") or {}),
        age(obj, now),
        info.get("kubeletVersion", ""),
        _address(obj, "InternalIP"),
        _address(obj, "ExternalIP"),
        info.get("osImage") or UNKNOWN,
        info.get("kernelVersion") or UNKNOWN,
        info.get("containerRuntimeVersion") or UNKNOWN,
    ]


def _node_status(node: Mapping[str, Any]) -> str:
    ready = find(items(node, "status", "conditions"), "Ready")
    word = "Unknown" if not ready else "Ready" if ready.get("status") == "True" else "NotReady"
    return word + (",SchedulingDisabled" if part(node, "spec").get("unschedulable") else "")


def _roles(labels: Mapping[str, str]) -> str:
    roles = {key.removeprefix(_ROLE_PREFIX) for key in labels if key.startswith(_ROLE_PREFIX)}
    roles |= {labels[_ROLE_LABEL]} if labels.get(_ROLE_LABEL) else set()
    return joined(sorted(role for role in roles if role))


def _address(node: Mapping[str, Any], kind: str) -> str:
    return next((a["address"] for a in items(node, "status", "addresses") if a.get("type") == kind), NONE)


BEHAVIOUR = Behaviour(
    NODES,
    fields=_FIELDS,
    field_labels=(FieldLabel("spec.unschedulable", absent="false"),),
    printer=Printer(
        (
            NAME,
            Column("Status"),
            Column("Roles"),
            AGE,
            Column("Version", description="The version that the node reports."),
            *wide("Internal-IP", "External-IP", "OS-Image", "Kernel-Version", "Container-Runtime"),
        ),
        _row,
    ),
)
