"""Deployments."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from mesh_lab.kube.changes import Object
from mesh_lab.kube.errors import Cause
from mesh_lab.kube.registry.printing.columns import Cells, Column, part
from mesh_lab.kube.registry.rules.causes import forbidden, invalid
from mesh_lab.kube.registry.rules.fields import Rules, at_least, one_of
from mesh_lab.kube.registry.workloads import workload
from mesh_lab.kube.resources import DEPLOYMENTS

_QUARTER = "25%"
_FIELDS: Rules = {
    ("DeploymentStrategy", "type"): one_of("Recreate", "RollingUpdate"),
    ("DeploymentSpec", "replicas"): at_least(0),
    ("DeploymentSpec", "minReadySeconds"): at_least(0),
    ("DeploymentSpec", "revisionHistoryLimit"): at_least(0),
    ("DeploymentSpec", "progressDeadlineSeconds"): at_least(0),
}


def _fill_defaults(spec: Object) -> None:
    spec.setdefault("revisionHistoryLimit", 10)
    spec.setdefault("progressDeadlineSeconds", 600)
    strategy = spec.setdefault("strategy", {})
    strategy["type"] = strategy.get("type") or "RollingUpdate"
    if strategy["type"] == "RollingUpdate":
        rolling = strategy.setdefault("rollingUpdate", {})
        rolling.setdefault("maxUnavailable", _QUARTER)
        rolling.setdefault("maxSurge", _QUARTER)


def _check(spec: Object) -> Iterator[Cause]:
    strategy = spec.get("strategy") or {}
    path = "spec.strategy.rollingUpdate"
    if strategy.get("type") == "Recreate" and "rollingUpdate" in strategy:
        yield forbidden(path, "may not be specified when strategy `type` is 'Recreate'")
    elif rolling := strategy.get("rollingUpdate"):
        yield from _check_rolling(rolling, path)
    ready, deadline = spec.get("minReadySeconds", 0), spec.get("progressDeadlineSeconds")
    if deadline is not None and deadline <= ready:
        yield invalid("spec.progressDeadlineSeconds", deadline, "must be greater than minReadySeconds")


def _check_rolling(rolling: dict[str, Any], path: str) -> Iterator[Cause]:
    sound = True
    for field in ("maxUnavailable", "maxSurge"):
        for cause in _check_amount(rolling.get(field, 0), f"{path}.{field}"):
            sound = False
            yield cause
    if sound and _amount(rolling.get("maxUnavailable", 0)) == _amount(rolling.get("maxSurge", 0)) == 0:
        value = rolling.get("maxUnavailable", 0)
        yield invalid(f"{path}.maxUnavailable", value, "may not be 0 when `maxSurge` is 0")
    elif sound and str(rolling.get("maxUnavailable")).endswith("%") and _amount(rolling["maxUnavailable"]) > 100:
        yield invalid(f"{path}.maxUnavailable", rolling["maxUnavailable"], "must not be greater than 100%")


def _check_amount(value: int | str, path: str) -> Iterator[Cause]:
    if isinstance(value, str) and not re.fullmatch(r"\d+%", value):
        yield invalid(
            path,
            value,
            "a valid percent string must be a numeric string followed by an ending '%' "
            "(e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')",
        )
    elif isinstance(value, int) and value < 0:
        yield invalid(path, value, "must be greater than or equal to 0")


def _amount(value: int | str) -> int:
    return int(value.removesuffix("%")) if isinstance(value, str) else value


def _cells(obj: Mapping[str, Any]) -> Cells:
    status, wanted = part(obj, "status"), part(obj, "spec").get("replicas", 1)
    return [
        f"{status.get('readyReplicas', 0)}/{wanted}",
        status.get("updatedReplicas", 0),
        status.get("availableReplicas", 0),
    ]


BEHAVIOUR = workload(
    DEPLOYMENTS,
    status={},
    fields=_FIELDS,
    columns=(
        Column("Ready", description="How many of the wanted pods are ready."),
        Column("Up-to-date", description="How many pods have the latest template."),
        Column("Available", description="How many pods have been ready for long enough."),
    ),
    cells=_cells,
    fill_defaults=_fill_defaults,
    check=_check,
    zero_counts=frozenset({"progressDeadlineSeconds", "replicas", "revisionHistoryLimit"}),
)
