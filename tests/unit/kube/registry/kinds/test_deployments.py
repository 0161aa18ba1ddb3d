"""Deployments that are refused: selector, template, replicas and strategy."""

from __future__ import annotations

from typing import Any

import pytest

from mesh_lab.kube import resources as kinds
from mesh_lab.kube.registry import Registry
from tests.unit.kube.registry.manifests import deployment, set_at
from tests.unit.kube.registry.refusals import TEMPLATE, Case, refused

CASES: list[Case] = [
    ("spec.selector", ..., "spec.selector", "Required value"),
    ("spec.template", ..., "spec.template", "Required value"),
    ("spec.selector", {}, "spec.selector", "Invalid value: {}: empty selector is invalid for deployment"),
    (
        "spec.selector.matchLabels",
        {"app": "db"},
        "spec.template.metadata.labels",
        'Invalid value: {"app":"web"}: `selector` does not match template `labels`',
    ),
    (
        "spec.selector.matchExpressions",
        [{"key": "app", "operator": "Near"}],
        "spec.selector.matchExpressions[0].operator",
        'Unsupported value: "Near": supported values: "DoesNotExist", "Exists", "In", "NotIn"',
    ),
    (
        "spec.selector.matchExpressions",
        [{"key": "app", "operator": "In"}],
        "spec.selector.matchExpressions[0].values",
        "Required value: must be specified when `operator` is 'In' or 'NotIn'",
    ),
    ("spec.replicas", -1, "spec.replicas", "Invalid value: -1: must be greater than or equal to 0"),
    (
        "spec.strategy",
        {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": "0%"}},
        "spec.strategy.rollingUpdate.maxUnavailable",
        'Invalid value: "0%": may not be 0 when `maxSurge` is 0',
    ),
    (
        "spec.strategy",
        {"rollingUpdate": {"maxSurge": "some"}},
        "spec.strategy.rollingUpdate.maxSurge",
        'Invalid value: "some": a valid percent string must be',
    ),
    (
        "spec.strategy",
        {"type": "Recreate", "rollingUpdate": {"maxSurge": 1}},
        "spec.strategy.rollingUpdate",
        "Forbidden: may not be specified when strategy `type` is 'Recreate'",
    ),
    ("spec.strategy", {"type": "Big"}, "spec.strategy.type", 'Unsupported value: "Big": supported values: "Recreate"'),
    (
        "spec.progressDeadlineSeconds",
        0,
        "spec.progressDeadlineSeconds",
        "Invalid value: 0: must be greater than minReadySeconds",
    ),
    (
        f"{TEMPLATE}.restartPolicy",
        "Never",
        f"{TEMPLATE}.restartPolicy",
        'Unsupported value: "Never": supported values: "Always"',
    ),
]


@pytest.mark.parametrize(("path", "value", "field", "words"), CASES, ids=lambda one: str(one)[:40])
async def test_an_invalid_deployment_is_refused(
    registry: Registry, path: str, value: Any, field: str, words: str
) -> None:
    obj = deployment()
    set_at(obj, path, value)
    causes = await refused(registry, kinds.DEPLOYMENTS, obj)
    assert causes[field].startswith(words)
