"""HorizontalPodAutoscalers: stored, so that Istio's charts apply. Nothing here measures load, so nothing is scaled."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from mesh_lab.kube.changes import Object
from mesh_lab.kube.errors import Cause
from mesh_lab.kube.registry.behaviour import READ, WRITE, Behaviour, Grant
from mesh_lab.kube.registry.printing.columns import AGE, NAME, Cells, Column, Printer, age, items, name, part
from mesh_lab.kube.registry.rules.causes import invalid
from mesh_lab.kube.registry.rules.fields import Rules, at_least
from mesh_lab.kube.resources import Resource

AUTOSCALERS = Resource(
    "autoscaling",
    "v2",
    "horizontalpodautoscalers",
    "HorizontalPodAutoscaler",
    True,
    ("hpa",),
    ("all",),
    frozenset({"status"}),
)
_FIELDS: Rules = {
    ("HorizontalPodAutoscalerSpec", "minReplicas"): at_least(1),
    ("HorizontalPodAutoscalerSpec", "maxReplicas"): at_least(1),
}
_DEFAULT_METRIC = {
    "type": "Resource",
    "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}},
}


def _fill_defaults(autoscaler: Object) -> None:
    spec = autoscaler.setdefault("spec", {})
    spec.setdefault("minReplicas", 1)
    spec["metrics"] = spec.get("metrics") or [_DEFAULT_METRIC]


def _check(autoscaler: Object) -> Iterator[Cause]:
    spec = part(autoscaler, "spec")
    most = spec.get("maxReplicas", 0)
    if most < spec.get("minReplicas", 1):
        yield invalid("spec.maxReplicas", most, "must be greater than or equal to `minReplicas`")


def _remark(_: Object) -> Iterator[str]:
    yield "spec: this has no effect here: nothing measures the load of pods, so their number stays as it is"


def _row(obj: Mapping[str, Any], now: datetime) -> Cells:
    spec, target = part(obj, "spec"), part(obj, "spec", "scaleTargetRef")
    metrics = [_metric(each) for each in items(obj, "spec", "metrics")]
    replicas = part(obj, "status").get("currentReplicas", 0)
    reference = f"{target.get('kind', '')}/{target.get('name', '')}"
    shown = ", ".join(metrics) or "<none>"
    return [
        name(obj),
        reference,
        shown,
        spec.get("minReplicas", 1),
        spec.get("maxReplicas", 0),
        replicas,
        age(obj, now),
    ]


def _metric(metric: Mapping[str, Any]) -> str:
    if metric.get("type") != "Resource":
        return "<unknown>"
    target = part(metric, "resource", "target")
    wanted = f"{target['averageUtilization']}%" if "averageUtilization" in target else target.get("averageValue", "")
    return f"{part(metric, 'resource').get('name', '')}: <unknown>/{wanted}"


BEHAVIOUR = Behaviour(
    AUTOSCALERS,
    fill_defaults=_fill_defaults,
    fields=_FIELDS,
    check=_check,
    remark=_remark,
    grants=(Grant("view", READ, ("", "status")), Grant("edit", WRITE)),
    printer=Printer(
        (
            NAME,
            Column("Reference"),
            Column("Targets"),
            Column("MinPods"),
            Column("MaxPods"),
            Column("Replicas"),
            AGE,
        ),
        _row,
    ),
    zero_counts=frozenset({"minReplicas", "maxReplicas", "averageUtilization", "stabilizationWindowSeconds"}),
)
