"""The values that Kubernetes fills in."""

from __future__ import annotations

from typing import Any

import pytest

from mesh_lab.kube import resources as kinds
from mesh_lab.kube.registry import Registry
from tests.unit.kube.registry.manifests import deployment, pod, service, webhook


async def test_a_deployment_gets_what_it_leaves_out(registry: Registry) -> None:
    spec = (await registry.create(kinds.DEPLOYMENTS, deployment()))["spec"]
    assert spec["replicas"] == 1
    assert spec["revisionHistoryLimit"] == 10
    assert spec["progressDeadlineSeconds"] == 600
    assert spec["strategy"] == {
        "type": "RollingUpdate",
        "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"},
    }
    template = spec["template"]["spec"]
    assert template["restartPolicy"] == "Always"
    assert template["dnsPolicy"] == "ClusterFirst"
    assert template["terminationGracePeriodSeconds"] == 30
    # Those that are a pod's alone stay out of its template.
    assert "enableServiceLinks" not in template
    assert "serviceAccountName" not in template
    (container,) = template["containers"]
    assert container["imagePullPolicy"] == "IfNotPresent"
    assert container["terminationMessagePath"] == "/dev/termination-log"
    assert container["ports"][0]["protocol"] == "TCP"
    assert container["readinessProbe"] == {
        "httpGet": {"port": "http", "path": "/", "scheme": "HTTP"},
        "timeoutSeconds": 1,
        "periodSeconds": 10,
        "successThreshold": 1,
        "failureThreshold": 3,
    }


@pytest.mark.parametrize(
    ("image", "policy"),
    [
        ("busybox", "Always"),
        ("busybox:latest", "Always"),
        ("busybox:1", "IfNotPresent"),
        ("registry.example:5000/team/app", "Always"),
        ("registry.example:5000/team/app:v1", "IfNotPresent"),
        ("app@sha256:0123", "IfNotPresent"),
    ],
)
async def test_images_are_pulled_anew_when_their_tag_may_move(registry: Registry, image: str, policy: str) -> None:
    obj = pod()
    obj["spec"]["containers"][0]["image"] = image
    stored = await registry.create(kinds.PODS, obj)
    assert stored["spec"]["containers"][0]["imagePullPolicy"] == policy


async def test_a_pods_volumes_get_modes_and_sources(registry: Registry) -> None:
    obj = pod()
    obj["spec"]["volumes"] = [
        {"name": "bare"},
        {"name": "secret", "secret": {"secretName": "s"}},
        {"name": "config", "configMap": {"name": "c", "defaultMode": 0o400}},
        {"name": "token", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}},
    ]
    volumes = {v["name"]: v for v in (await registry.create(kinds.PODS, obj))["spec"]["volumes"]}
    assert volumes["bare"] == {"name": "bare", "emptyDir": {}}
    assert volumes["secret"]["secret"]["defaultMode"] == 0o644
    assert volumes["config"]["configMap"]["defaultMode"] == 0o400
    assert volumes["token"]["projected"]["sources"][0]["serviceAccountToken"]["expirationSeconds"] == 3600


async def test_limits_are_requested(registry: Registry) -> None:
    obj = pod()
    obj["spec"]["containers"][0]["resources"] = {"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m"}}
    stored = await registry.create(kinds.PODS, obj)
    assert stored["spec"]["containers"][0]["resources"]["requests"] == {"cpu": "500m", "memory": "1Gi"}
    assert stored["status"]["qosClass"] == "Burstable"


@pytest.mark.parametrize(
    ("resources", "quality"),
    [
        ({}, "BestEffort"),
        ({"requests": {"cpu": "1"}}, "Burstable"),
        ({"limits": {"cpu": "1"}}, "Burstable"),
        ({"limits": {"cpu": "1", "memory": "1Gi"}}, "Guaranteed"),
        ({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1000m"}}, "Guaranteed"),
    ],
)
async def test_a_pod_has_a_quality_of_service(registry: Registry, resources: dict[str, Any], quality: str) -> None:
    obj = pod()
    obj["spec"]["containers"][0]["resources"] = resources
    assert (await registry.create(kinds.PODS, obj))["status"] == {"phase": "Pending", "qosClass": quality}


async def test_a_service_gets_what_it_leaves_out(registry: Registry) -> None:
    obj = service()
    del obj["spec"]["ports"][0]["targetPort"]
    stored = await registry.create(kinds.SERVICES, obj)
    spec = stored["spec"]
    assert spec["ports"] == [{"name": "http", "port": 80, "protocol": "TCP", "targetPort": 80}]
    assert (spec["type"], spec["sessionAffinity"], spec["internalTrafficPolicy"]) == ("ClusterIP", "None", "Cluster")
    assert (spec["ipFamilies"], spec["ipFamilyPolicy"]) == (["IPv4"], "SingleStack")
    assert "externalTrafficPolicy" not in spec
    assert stored["status"] == {"loadBalancer": {}}


async def test_session_affinity_has_a_timeout(registry: Registry) -> None:
    stored = await registry.create(kinds.SERVICES, service(sessionAffinity="ClientIP"))
    assert stored["spec"]["sessionAffinityConfig"] == {"clientIP": {"timeoutSeconds": 10800}}


async def test_a_secrets_plain_text_becomes_data(registry: Registry) -> None:
    obj = {
        "metadata": {"name": "s", "namespace": "default"},
        "data": {"a": "eA==", "b": "eA=="},
        "stringData": {"b": "y"},
    }
    stored = await registry.create(kinds.SECRETS, obj)
    assert stored["type"] == "Opaque"
    assert stored["data"] == {"a": "eA==", "b": "eQ=="}
    assert "stringData" not in stored


async def test_a_webhook_gets_what_it_leaves_out(registry: Registry) -> None:
    (hook,) = (await registry.create(kinds.MUTATING_WEBHOOKS, webhook()))["webhooks"]
    assert hook["failurePolicy"] == "Fail"
    assert hook["reinvocationPolicy"] == "Never"
    assert hook["timeoutSeconds"] == 10
    assert hook["clientConfig"]["service"]["port"] == 443
    assert hook["rules"][0]["scope"] == "*"


async def test_a_namespace_is_labelled_with_its_name(registry: Registry) -> None:
    stored = await registry.create(kinds.NAMESPACES, {"metadata": {"name": "shop", "labels": {"a": "b"}}})
    assert stored["metadata"]["labels"] == {"a": "b", "kubernetes.io/metadata.name": "shop"}
    assert stored["status"] == {"phase": "Active"}
    assert stored["spec"] == {"finalizers": ["kubernetes"]}
    meta = (await registry.create(kinds.NAMESPACES, {"metadata": {"generateName": "shop-"}}))["metadata"]
    assert meta["labels"] == {"kubernetes.io/metadata.name": meta["name"]}


async def test_a_role_bindings_groups_are_filled_in(registry: Registry) -> None:
    obj = {
        "metadata": {"name": "b"},
        "roleRef": {"kind": "ClusterRole", "name": "r"},
        "subjects": [{"kind": "User", "name": "u"}, {"kind": "ServiceAccount", "name": "s", "namespace": "default"}],
    }
    stored = await registry.create(kinds.CLUSTERROLEBINDINGS, obj)
    assert stored["roleRef"]["apiGroup"] == "rbac.authorization.k8s.io"
    assert [subject.get("apiGroup") for subject in stored["subjects"]] == ["rbac.authorization.k8s.io", None]


async def test_defaulting_what_is_defaulted_changes_nothing(registry: Registry) -> None:
    for resource, obj in ((kinds.DEPLOYMENTS, deployment()), (kinds.PODS, pod()), (kinds.SERVICES, service())):
        stored = await registry.create(resource, obj)
        assert await registry.update(resource, stored) is stored
