"""Deployments."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from mesh_lab.kube.changes import Object
from mesh_lab.kube.errors import Cause
from mesh_lab.kube.registry.behaviour import READ, WRITE, Behaviour, Grant
from mesh_lab.kube.registry.podsecurity.admission import review_template
from mesh_lab.kube.registry.podspec.fields import POD_SPEC
from mesh_lab.kube.registry.podspec.templates import check_selector_update, check_template, fill_template
from mesh_lab.kube.registry.printing.columns import AGE, NAME, Cells, Column, Printer, age, name, part
from mesh_lab.kube.registry.printing.templates import TEMPLATE, template_cells
from mesh_lab.kube.registry.rules.causes import forbidden, invalid
from mesh_lab.kube.registry.rules.fields import Rules, at_least, one_of
from mesh_lab.kube.resources import DEPLOYMENTS

_QUARTER = "25%"
_FIELDS: Rules = {
    **POD_SPEC,
    ("DeploymentStrategy", "type"): one_of("Recreate", "RollingUpdate"),
    ("DeploymentSpec", "replicas"): at_least(0),
    ("DeploymentSpec", "minReadySeconds"): at_least(0),
    ("DeploymentSpec", "revisionHistoryLimit"): at_least(0),
    ("DeploymentSpec", "progressDeadlineSeconds"): at_least(0),
}


def _fill_defaults(deployment: Object) -> None:
    """Defaults of a Deployment and its template."""
    spec = deployment.setdefault("spec", {})
    spec.setdefault("replicas", 1)
    spec.setdefault("revisionHistoryLimit", 10)
    spec.setdefault("progressDeadlineSeconds", 600)
    strategy = spec.setdefault("strategy", {})
    strategy["type"] = strategy.get("type") or "RollingUpdate"
    if strategy["type"] == "RollingUpdate":
        rolling = strategy.setdefault("rollingUpdate", {})
        rolling.setdefault("maxUnavailable", _QUARTER)
        rolling.setdefault("maxSurge", _QUARTER)
    fill_template(spec)


def _begin(deployment: Object) -> None:
    deployment["status"] = {}


def _check(deployment: Object) -> Iterator[Cause]:
    """Everything that is wrong with a Deployment."""
    spec = deployment.get("spec") or {}
    yield from check_template(spec, "deployment")
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


def _row(obj: Mapping[str, Any], now: datetime) -> Cells:
    status, wanted = part(obj, "status"), part(obj, "spec").get("replicas", 1)
    return [
        name(obj),
        f"{status.get('readyReplicas', 0)}/{wanted}",
        status.get("updatedReplicas", 0),
        status.get("availableReplicas", 0),
        age(obj, now),
        *template_cells(obj),
    ]


BEHAVIOUR = Behaviour(
    DEPLOYMENTS,
    fill_defaults=_fill_defaults,
    begin=_begin,
    fields=_FIELDS,
    check=_check,
    check_update=check_selector_update,
    review=review_template,
    counts_generations=True,
    grants=(Grant("view", READ, ("", "scale", "status")), Grant("edit", WRITE, ("", "scale"))),
    printer=Printer(
        (
            NAME,
            Column("Ready", description="How many of the wanted pods are ready."),
            Column("Up-to-date", description="How many pods have the latest template."),
            Column("Available", description="How many pods have been ready for long enough."),
            AGE,
            *TEMPLATE,
        ),
        _row,
    ),
    zero_counts=frozenset({"progressDeadlineSeconds", "replicas", "revisionHistoryLimit"}),
)
