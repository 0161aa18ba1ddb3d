"""Refusals of the smaller kinds, and what holds for refusals of all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from mesh_lab.kube import resources as kinds
from mesh_lab.kube.registry import Registry
from mesh_lab.kube.resources import Resource
from tests.unit.kube.registry.manifests import config_map, crd, deployment, pod, service, set_at, webhook
from tests.unit.kube.registry.refusals import CONTAINER, IN_CONTAINER, refused


@pytest.mark.parametrize(
    ("resource", "make"),
    [
        (kinds.DEPLOYMENTS, deployment),
        (kinds.PODS, pod),
        (kinds.SERVICES, service),
        (kinds.CONFIGMAPS, config_map),
        (kinds.CRDS, crd),
        (kinds.MUTATING_WEBHOOKS, webhook),
    ],
)
async def test_the_manifests_of_the_cases_are_valid(
    registry: Registry, resource: Resource, make: Callable[[], dict[str, Any]]
) -> None:
    assert (await registry.create(resource, make()))["metadata"]["uid"]


CASES: list[tuple[Resource, dict[str, Any], str, str]] = [
    (kinds.CONFIGMAPS, {"data": {"a/b": "c"}}, "data[a/b]", 'Invalid value: "a/b": a valid config key must consist of'),
    (kinds.CONFIGMAPS, {"data": {"a": "x" * 1_100_000}}, "", "Too long: may not be more than 1048576 bytes"),
    (
        kinds.CONFIGMAPS,
        {"data": {"a": "x"}, "binaryData": {"a": "eA=="}},
        "data[a]",
        'Invalid value: "a": duplicate of key present in binaryData',
    ),
    (kinds.SECRETS, {"type": "kubernetes.io/tls", "data": {}}, "data[tls.crt]", "Required value"),
    (kinds.SECRETS, {"type": "kubernetes.io/basic-auth"}, "data[username]", "Required value"),
    (
        kinds.SECRETS,
        {"type": "kubernetes.io/service-account-token"},
        "metadata.annotations[kubernetes.io/service-account.name]",
        "Required value",
    ),
    (
        kinds.EVENTS,
        {"involvedObject": {"namespace": "elsewhere"}},
        "involvedObject.namespace",
        'Invalid value: "elsewhere": does not match event.namespace',
    ),
    (
        kinds.ENDPOINTSLICES,
        {"addressType": "IPv4", "endpoints": [{"addresses": ["fd00::1"]}]},
        "endpoints[0].addresses[0]",
        'Invalid value: "fd00::1": must be a valid IPv4 address',
    ),
    (kinds.ENDPOINTSLICES, {"endpoints": []}, "addressType", "Required value"),
    (kinds.ROLES, {"rules": [{"apiGroups": [""], "resources": ["pods"]}]}, "rules[0].verbs", "Required value: verbs"),
    (
        kinds.CLUSTERROLEBINDINGS,
        {"roleRef": {"kind": "ClusterRole", "name": "r"}, "subjects": [{"kind": "ServiceAccount", "name": "s"}]},
        "subjects[0].namespace",
        "Required value",
    ),
]


@pytest.mark.parametrize(("resource", "body", "field", "words"), CASES, ids=lambda one: str(one)[:40])
async def test_an_invalid_object_is_refused(
    registry: Registry, resource: Resource, body: dict[str, Any], field: str, words: str
) -> None:
    metadata = {"name": "one", **({"namespace": "default"} if resource.namespaced else {})}
    causes = await refused(registry, resource, {"metadata": metadata, **body})
    assert causes[field].startswith(words)


async def test_an_invalid_finalizer_of_a_namespace_is_refused(registry: Registry) -> None:
    causes = await refused(registry, kinds.NAMESPACES, {"metadata": {"name": "a"}, "spec": {"finalizers": ["bare"]}})
    assert causes["spec.finalizers[0]"].startswith('Invalid value: "bare": name is neither a standard finalizer name')


async def test_a_refusal_has_all_causes(registry: Registry) -> None:
    obj = deployment()
    set_at(obj, f"{CONTAINER}.image", ...)
    set_at(obj, "spec.replicas", -1)
    causes = await refused(registry, kinds.DEPLOYMENTS, obj)
    assert set(causes) == {"spec.replicas", f"{IN_CONTAINER}.image"}
