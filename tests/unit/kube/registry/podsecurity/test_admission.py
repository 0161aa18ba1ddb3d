"""Namespaces hold their pods to the levels of their labels."""

from __future__ import annotations

from typing import Any

import pytest

from mesh_lab.kube import resources as kinds
from mesh_lab.kube.errors import ApiError
from mesh_lab.kube.registry import Registry
from mesh_lab.kube.registry.options import WriteOptions
from tests.unit.kube.registry.manifests import deployment

LABEL = "pod-security.kubernetes.io/"


def pod(name: str, **context: Any) -> dict[str, Any]:
    containers = [{"name": "c", "image": "x", "securityContext": context}]
    return {"metadata": {"name": name, "namespace": "shop"}, "spec": {"containers": containers}}


async def labelled(registry: Registry, **labels: str) -> None:
    metadata = {"name": "shop", "labels": {LABEL + key.replace("_", "-"): value for key, value in labels.items()}}
    await registry.create(kinds.NAMESPACES, {"metadata": metadata})


async def test_enforce_refuses_pods(registry: Registry) -> None:
    await labelled(registry, enforce="baseline")
    await registry.create(kinds.PODS, pod("sound"))
    with pytest.raises(ApiError) as refused:
        await registry.create(kinds.PODS, pod("bad", privileged=True))
    assert (refused.value.code, refused.value.message) == (
        403,
        (
            'pods "bad" is forbidden: violates PodSecurity "baseline:latest": '
            'privileged (container "c" must not set securityContext.privileged=true)'
        ),
    )


async def test_the_mode_warn_warns_of_pods_and_templates(registry: Registry) -> None:
    await labelled(registry, warn="restricted", warn_version="v1.30")
    for resource, obj in (
        (kinds.PODS, pod("p")),
        (kinds.DEPLOYMENTS, {**deployment(), "metadata": {"name": "d", "namespace": "shop"}}),
    ):
        warnings: list[str] = []
        await registry.create(resource, obj, options=WriteOptions(warnings=warnings))
        (warning,) = warnings
        assert warning.startswith('would violate PodSecurity "restricted:v1.30": allowPrivilegeEscalation != false (')


async def test_raising_the_enforced_level_warns_of_present_pods(registry: Registry) -> None:
    await labelled(registry)
    for name in ("first", "second"):
        await registry.create(kinds.PODS, pod(name, privileged=True))
    await registry.create(kinds.PODS, pod("third"))
    warnings: list[str] = []

    def raised(obj: dict[str, Any]) -> dict[str, Any]:
        obj["metadata"]["labels"] |= {LABEL + "enforce": "baseline", LABEL + "audit": "restricted"}
        return obj

    await registry.change(kinds.NAMESPACES, "shop", "", raised, options=WriteOptions(warnings=warnings))
    assert warnings == [
        "pod-security.kubernetes.io/audit has no effect: the lab keeps no audit log",
        'existing pods in namespace "shop" violate the new PodSecurity enforce level "baseline:latest"',
        'first (and 1 other pod): privileged (container "c" must not set securityContext.privileged=true)',
    ]


@pytest.mark.parametrize(
    ("label", "value", "words"),
    [
        ("enforce", "strict", "must be one of privileged, baseline, restricted"),
        ("warn_version", "1.30", 'must be "latest" or "v1.x"'),
    ],
)
async def test_an_unknown_level_is_refused(registry: Registry, label: str, value: str, words: str) -> None:
    with pytest.raises(ApiError, match=words) as refused:
        await labelled(registry, **{label: value})
    assert refused.value.causes[0].field == f"metadata.labels[{LABEL}{label.replace('_', '-')}]"
