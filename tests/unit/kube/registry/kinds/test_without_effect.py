"""Kinds that are stored so that manifests apply: what is shown of them, and that they say what they lack."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from mesh_lab.kube.api import tables
from mesh_lab.kube.errors import ApiError
from mesh_lab.kube.registry import Registry
from mesh_lab.kube.registry.kinds import behaviour_of
from mesh_lab.kube.registry.kinds.horizontalpodautoscalers import AUTOSCALERS
from mesh_lab.kube.registry.kinds.ingresses import CLASSES, INGRESSES
from mesh_lab.kube.registry.kinds.poddisruptionbudgets import BUDGETS
from mesh_lab.kube.resources import ENDPOINTS, Resource

Object = dict[str, Any]
TARGET = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "istiod"}
BACKEND = {"service": {"name": "web", "port": {"number": 80}}}
PATH = {"path": "/", "pathType": "Prefix", "backend": BACKEND}
RULE = {"host": "web.example.com", "http": {"paths": [PATH]}}


@pytest.mark.parametrize(
    ("resource", "fields", "cells"),
    [
        (
            AUTOSCALERS,
            {"spec": {"maxReplicas": 5, "scaleTargetRef": TARGET}},
            ["one", "Deployment/istiod", "cpu: <unknown>/80%", 1, 5, 0],
        ),
        (BUDGETS, {"spec": {"minAvailable": 1}}, ["one", "1", "N/A", 0]),
    ],
    ids=lambda value: value.kind if isinstance(value, Resource) else "",
)
async def test_they_are_stored_shown_and_say_so(
    registry: Registry, resource: Resource, fields: Object, cells: list[Any]
) -> None:
    made = await registry.create(resource, {"metadata": {"name": "one", "namespace": "default"}, **fields})
    shown = tables.table(tables.printer_for(resource), [made], {}, now=datetime.now(UTC))["rows"][0]["cells"]
    assert shown[: len(cells)] == cells
    assert "has no effect here" in next(behaviour_of(resource).remark(made))


async def test_classes_and_endpoints_are_shown(registry: Registry) -> None:
    made = await registry.create(
        CLASSES, {"metadata": {"name": "istio"}, "spec": {"controller": "istio.io/ingress-controller"}}
    )
    shown = tables.table(tables.printer_for(CLASSES), [made], {}, now=datetime.now(UTC))["rows"][0]["cells"]
    assert shown[:3] == ["istio", "istio.io/ingress-controller", "<none>"]
    subset = {"addresses": [{"ip": f"10.0.0.{n}"} for n in range(1, 5)], "ports": [{"port": 80}]}
    made = await registry.create(ENDPOINTS, {"metadata": {"name": "e", "namespace": "default"}, "subsets": [subset]})
    shown = tables.table(tables.printer_for(ENDPOINTS), [made], {}, now=datetime.now(UTC))["rows"][0]["cells"]
    assert shown[1] == "10.0.0.1:80,10.0.0.2:80,10.0.0.3:80 + 1 more..."


@pytest.mark.parametrize(
    ("resource", "spec", "words"),
    [
        (
            AUTOSCALERS,
            {"minReplicas": 3, "maxReplicas": 2, "scaleTargetRef": TARGET},
            "spec.maxReplicas: Invalid value",
        ),
        (BUDGETS, {"minAvailable": 1, "maxUnavailable": 1}, "cannot be both set"),
        (INGRESSES, {}, "either `defaultBackend` or `rules` must be specified"),
        (INGRESSES, {"rules": [{"http": {"paths": [{"backend": BACKEND}]}}]}, "pathType: Required value"),
    ],
)
async def test_what_a_real_server_refuses_is_refused(
    registry: Registry, resource: Resource, spec: Object, words: str
) -> None:
    with pytest.raises(ApiError) as refused:
        await registry.create(resource, {"metadata": {"name": "one", "namespace": "default"}, "spec": spec})
    assert words in refused.value.message
