"""What a cluster does to each new pod."""

from __future__ import annotations

from typing import Any

import pytest

from mesh_lab.kube import resources as kinds
from mesh_lab.kube.errors import ApiError
from mesh_lab.kube.registry import Registry
from mesh_lab.kube.registry.kinds.pods.admission import MOUNT_PATH
from tests.unit.kube.registry.manifests import pod


async def spec_of(registry: Registry, **spec: Any) -> dict[str, Any]:
    obj = pod()
    obj["spec"] |= spec
    stored: dict[str, Any] = (await registry.create(kinds.PODS, obj))["spec"]
    return stored


async def test_every_container_gets_the_token_of_the_service_account(registry: Registry) -> None:
    await registry.create(kinds.SERVICEACCOUNTS, {"metadata": {"name": "robot"}}, namespace="default")
    spec = await spec_of(registry, serviceAccountName="robot", initContainers=[{"name": "init", "image": "x:1"}])
    assert (spec["serviceAccountName"], spec["serviceAccount"]) == ("robot", "robot")
    (volume,) = spec["volumes"]
    assert volume["name"].startswith("kube-api-access-")
    assert [next(iter(source)) for source in volume["projected"]["sources"]] == [
        "serviceAccountToken",
        "configMap",
        "downwardAPI",
    ]
    for container in (*spec["initContainers"], *spec["containers"]):
        assert container["volumeMounts"] == [{"name": volume["name"], "readOnly": True, "mountPath": MOUNT_PATH}]


async def test_a_pod_may_do_without_a_token(registry: Registry) -> None:
    spec = await spec_of(registry, automountServiceAccountToken=False)
    assert "volumes" not in spec
    account = {"metadata": {"name": "plain"}, "automountServiceAccountToken": False}
    await registry.create(kinds.SERVICEACCOUNTS, account, namespace="default")
    obj = pod("two")
    obj["spec"]["serviceAccountName"] = "plain"
    assert "volumes" not in (await registry.create(kinds.PODS, obj))["spec"]


async def test_a_mount_of_its_own_stays(registry: Registry) -> None:
    mount = {"name": "mine", "mountPath": MOUNT_PATH}
    spec = await spec_of(
        registry,
        containers=[{"name": "main", "image": "x:1", "volumeMounts": [mount]}],
        volumes=[{"name": "mine", "emptyDir": {}}],
    )
    assert spec["containers"][0]["volumeMounts"] == [mount]
    assert len(spec["volumes"]) == 1


async def test_an_unknown_service_account_is_refused(registry: Registry) -> None:
    with pytest.raises(ApiError, match='error looking up service account default/nobody: serviceaccount "nobody"') as e:
        await spec_of(registry, serviceAccountName="nobody")
    assert e.value.code == 403


async def test_a_pod_tolerates_a_node_that_is_away_for_a_while(registry: Registry) -> None:
    spec = await spec_of(registry, tolerations=[{"key": "node.kubernetes.io/not-ready", "operator": "Exists"}])
    assert [(t["key"], t.get("tolerationSeconds")) for t in spec["tolerations"]] == [
        ("node.kubernetes.io/not-ready", None),
        ("node.kubernetes.io/unreachable", 300),
    ]
    assert spec["priority"] == 0


@pytest.mark.parametrize(
    ("name", "priority"), [("", 0), ("system-cluster-critical", 2_000_000_000), ("system-node-critical", 2_000_001_000)]
)
async def test_a_priority_class_has_a_number(registry: Registry, name: str, priority: int) -> None:
    assert (await spec_of(registry, priorityClassName=name))["priority"] == priority


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        ({"priorityClassName": "urgent"}, "no PriorityClass with name urgent was found"),
        ({"priority": 7}, "priority admission controller computed 0 from the given PriorityClass name"),
    ],
)
async def test_a_priority_comes_from_a_class_that_exists(registry: Registry, spec: dict[str, Any], why: str) -> None:
    with pytest.raises(ApiError, match=why) as caught:
        await spec_of(registry, **spec)
    assert caught.value.code == 403
