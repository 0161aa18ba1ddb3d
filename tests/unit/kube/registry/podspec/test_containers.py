"""Containers that are refused, in a template as in a pod."""

from __future__ import annotations

from typing import Any

import pytest

from mesh_lab.kube import resources as kinds
from mesh_lab.kube.registry import Registry
from tests.unit.kube.registry.manifests import deployment, set_at
from tests.unit.kube.registry.refusals import CONTAINER, IN_CONTAINER, RFC_1123, TEMPLATE, Case, refused

CASES: list[Case] = [
    (
        f"{CONTAINER}.imagePullPolicy",
        "Foo",
        f"{IN_CONTAINER}.imagePullPolicy",
        'Unsupported value: "Foo": supported values: "Always", "IfNotPresent", "Never"',
    ),
    (f"{TEMPLATE}.containers", [], f"{TEMPLATE}.containers", "Required value"),
    (f"{TEMPLATE}.containers", ..., f"{TEMPLATE}.containers", "Required value"),
    (f"{CONTAINER}.name", "Web_1", f"{IN_CONTAINER}.name", f'Invalid value: "Web_1": {RFC_1123}'),
    (f"{CONTAINER}.name", ..., f"{IN_CONTAINER}.name", "Required value"),
    (f"{CONTAINER}.image", ..., f"{IN_CONTAINER}.image", "Required value"),
    (
        f"{CONTAINER}.ports.0.containerPort",
        99999,
        f"{IN_CONTAINER}.ports[0].containerPort",
        "Invalid value: 99999: must be between 1 and 65535, inclusive",
    ),
    (f"{CONTAINER}.ports.0.containerPort", ..., f"{IN_CONTAINER}.ports[0].containerPort", "Required value"),
    (
        f"{CONTAINER}.ports.0.name",
        "a-name-that-is-too-long",
        f"{IN_CONTAINER}.ports[0].name",
        'Invalid value: "a-name-that-is-too-long": must be no more than 15 characters',
    ),
    (
        f"{CONTAINER}.ports",
        [{"name": "a", "containerPort": 1}, {"name": "a", "containerPort": 2}],
        f"{IN_CONTAINER}.ports[1].name",
        'Duplicate value: "a"',
    ),
    (
        f"{CONTAINER}.volumeMounts.0.name",
        "nowhere",
        f"{IN_CONTAINER}.volumeMounts[0].name",
        'Not found: "nowhere"',
    ),
    (f"{CONTAINER}.volumeMounts.0.mountPath", ..., f"{IN_CONTAINER}.volumeMounts[0].mountPath", "Required value"),
    (
        f"{CONTAINER}.volumeMounts",
        [{"name": "scratch", "mountPath": "/a"}, {"name": "scratch", "mountPath": "/a"}],
        f"{IN_CONTAINER}.volumeMounts[1].mountPath",
        'Invalid value: "/a": must be unique',
    ),
    (
        f"{CONTAINER}.volumeMounts.0.subPath",
        "a/../../b",
        f"{IN_CONTAINER}.volumeMounts[0].subPath",
        "Invalid value: \"a/../../b\": must not contain '..'",
    ),
    (
        f"{CONTAINER}.readinessProbe",
        {},
        f"{IN_CONTAINER}.readinessProbe",
        "Required value: must specify a handler type",
    ),
    (
        f"{CONTAINER}.readinessProbe",
        {"httpGet": {"port": 1}, "tcpSocket": {"port": 1}},
        f"{IN_CONTAINER}.readinessProbe.tcpSocket",
        "Forbidden: may not specify more than 1 handler type",
    ),
    (
        f"{CONTAINER}.readinessProbe",
        {"httpGet": {"port": 0}},
        f"{IN_CONTAINER}.readinessProbe.httpGet.port",
        "Invalid value: 0: must be between 1 and 65535, inclusive",
    ),
    (
        f"{CONTAINER}.livenessProbe",
        {"httpGet": {"port": 1}, "successThreshold": 2},
        f"{IN_CONTAINER}.livenessProbe.successThreshold",
        "Invalid value: 2: must be 1",
    ),
    (
        f"{CONTAINER}.readinessProbe",
        {"tcpSocket": {"port": 1}, "periodSeconds": -1},
        f"{IN_CONTAINER}.readinessProbe.periodSeconds",
        "Invalid value: -1: must be greater than or equal to 0",
    ),
    (
        f"{CONTAINER}.resources",
        {"requests": {"cpu": "2"}, "limits": {"cpu": "1500m"}},
        f"{IN_CONTAINER}.resources.requests",
        'Invalid value: "2": must be less than or equal to cpu limit of 1500m',
    ),
    (
        f"{CONTAINER}.resources",
        {"limits": {"gold": "1"}},
        f"{IN_CONTAINER}.resources.limits[gold]",
        'Invalid value: "gold": must be a standard resource type or fully qualified',
    ),
    (
        f"{CONTAINER}.resources",
        {"limits": {"memory": "-1"}},
        f"{IN_CONTAINER}.resources.limits[memory]",
        'Invalid value: "-1": must be greater than or equal to 0',
    ),
    (f"{CONTAINER}.env", [{"value": "x"}], f"{IN_CONTAINER}.env[0].name", "Required value"),
    (
        f"{CONTAINER}.env",
        [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "spec.nope"}}}],
        f"{IN_CONTAINER}.env[0].valueFrom.fieldRef.fieldPath",
        'Invalid value: "spec.nope": error converting fieldPath: field label not supported: spec.nope',
    ),
    (
        f"{CONTAINER}.env",
        [{"name": "A", "value": "x", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
        f"{IN_CONTAINER}.env[0].valueFrom",
        'Invalid value: "": may not be specified when `value` is not empty',
    ),
    (
        f"{CONTAINER}.env",
        [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s"}}}],
        f"{IN_CONTAINER}.env[0].valueFrom.secretKeyRef.key",
        "Required value",
    ),
    (f"{CONTAINER}.envFrom", [{"prefix": "X"}], f"{IN_CONTAINER}.envFrom[0]", 'Invalid value: "": must specify one of'),
    (
        f"{TEMPLATE}.initContainers",
        [{"name": "web", "image": "x"}],
        f"{TEMPLATE}.initContainers[0].name",
        'Duplicate value: "web"',
    ),
    (
        f"{TEMPLATE}.initContainers",
        [{"name": "init", "image": "x", "readinessProbe": {"tcpSocket": {"port": 1}}}],
        f"{TEMPLATE}.initContainers[0].readinessProbe",
        "Forbidden: may not be set for init containers without restartPolicy=Always",
    ),
]


@pytest.mark.parametrize(("path", "value", "field", "words"), CASES, ids=lambda one: str(one)[:40])
async def test_an_invalid_container_is_refused(
    registry: Registry, path: str, value: Any, field: str, words: str
) -> None:
    obj = deployment()
    set_at(obj, path, value)
    causes = await refused(registry, kinds.DEPLOYMENTS, obj)
    assert causes[field].startswith(words)
