"""Namespaces, accounts, endpoints, garbage and events on a real registry."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mesh_lab.kube.controllers.expiry import expired
from mesh_lab.kube.errors import forbidden
from mesh_lab.kube.registry.options import AdmissionRequest, DeleteOptions, Open, Operation, Propagation
from mesh_lab.kube.resources import (
    CONFIGMAPS,
    CRDS,
    DEPLOYMENTS,
    ENDPOINTSLICES,
    NAMESPACES,
    PODS,
    SERVICEACCOUNTS,
    SERVICES,
)
from mesh_lab.rfc3339 import timestamp
from tests.unit.kube.controllers.running import Cluster, deployment, running_cluster

Object = dict[str, Any]


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    async with running_cluster() as running:
        yield running


def config_map(name: str, *owners: Object, **metadata: Any) -> Object:
    references = [
        {
            "apiVersion": each["apiVersion"],
            "kind": each["kind"],
            "name": each["metadata"]["name"],
            "uid": each["metadata"]["uid"],
            "blockOwnerDeletion": True,
        }
        for each in owners
    ]
    meta = {"name": name, "namespace": "default", "ownerReferences": references} | metadata
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta}


WIDGETS = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "widgets.example.org"},
    "spec": {
        "group": "example.org",
        "scope": "Namespaced",
        "names": {"plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
            }
        ],
    },
}


async def define_widgets(cluster: Cluster) -> Any:
    await cluster.registry.create(CRDS, WIDGETS)
    await cluster.until("widgets", lambda: cluster.registry.resources.by_kind("example.org/v1", "Widget"))
    return cluster.registry.resources.by_kind("example.org/v1", "Widget")


def widget(name: str, **metadata: Any) -> Object:
    meta = {"name": name, "namespace": "default"} | metadata
    return {"apiVersion": "example.org/v1", "kind": "Widget", "metadata": meta}


async def test_every_namespace_has_an_account_and_the_root_certificate(cluster: Cluster) -> None:
    await cluster.registry.create(NAMESPACES, {"metadata": {"name": "shop"}})
    for namespace in ("default", "kube-system", "shop"):
        await cluster.until(
            f"account and certificate in {namespace}",
            lambda namespace=namespace: (
                cluster.registry.find(SERVICEACCOUNTS, "default", namespace)
                and cluster.registry.find(CONFIGMAPS, "kube-root-ca.crt", namespace)
            ),
        )
    first = cluster.get(SERVICEACCOUNTS, "default", "shop")["metadata"]["uid"]
    await cluster.registry.delete(SERVICEACCOUNTS, "default", "shop")
    await cluster.until(
        "a new account",
        lambda: (
            (found := cluster.registry.find(SERVICEACCOUNTS, "default", "shop")) and found["metadata"]["uid"] != first
        ),
    )
    spoil = lambda found: found | {"data": {"ca.crt": "forged"}}  # noqa: E731
    await cluster.registry.modify(CONFIGMAPS, "kube-root-ca.crt", "shop", spoil)
    await cluster.until(
        "the right certificate",
        lambda: cluster.get(CONFIGMAPS, "kube-root-ca.crt", "shop")["data"] == {"ca.crt": "CERTIFICATE"},
    )


async def test_a_deleted_namespace_takes_everything_with_it(cluster: Cluster) -> None:
    widgets = await define_widgets(cluster)
    await cluster.registry.create(NAMESPACES, {"metadata": {"name": "shop"}})
    web = deployment(2)
    web["metadata"]["namespace"] = "shop"
    await cluster.registry.create(DEPLOYMENTS, web)
    await cluster.registry.create(widgets, widget("w", namespace="shop", finalizers=["example.org/slow"]))
    await cluster.until("pods", lambda: len(cluster.pods("shop")) == 2)
    await cluster.registry.delete(NAMESPACES, "shop")
    await cluster.until("only the widget left", lambda: not cluster.registry.list(PODS, "shop"))
    await cluster.until(
        "a word on what holds it",
        lambda: any(
            each["type"] == "NamespaceFinalizersRemaining" and "example.org/slow in 1" in each["message"]
            for each in cluster.get(NAMESPACES, "shop", "")["status"].get("conditions", [])
        ),
    )
    await cluster.registry.modify(widgets, "w", "shop", _without_finalizers)
    await cluster.until("no namespace", lambda: cluster.registry.find(NAMESPACES, "shop") is None)
    left = {
        each.key for each in cluster.registry.resources.all() if each.stored and cluster.registry.list(each, "shop")
    }
    assert not left


class Keeping(Open):
    """A webhook that lets no ConfigMap of one name go."""

    async def validate(self, request: AdmissionRequest) -> bool:
        if request.operation == Operation.DELETE and request.name == "kept":
            raise forbidden('admission webhook "keep.lab.test" denied the request: stays')
        return False


async def test_a_namespaces_status_names_what_a_webhook_keeps_and_it_goes_afterwards(cluster: Cluster) -> None:
    await cluster.registry.create(NAMESPACES, {"metadata": {"name": "shop"}})
    for made in (config_map("kept", namespace="shop"), config_map("other", namespace="shop")):
        await cluster.registry.create(CONFIGMAPS, made)
    web = {"metadata": {"name": "web", "namespace": "shop"}, "spec": {"ports": [{"port": 80}]}}
    await cluster.registry.create(SERVICES, web)
    cluster.registry.admission = Keeping()
    await cluster.registry.delete(NAMESPACES, "shop")

    def reported() -> bool:
        found = cluster.get(NAMESPACES, "shop", "")["status"].get("conditions", [])
        by_type = {each["type"]: each for each in found}
        failure = by_type.get("NamespaceDeletionContentFailure", {})
        return failure.get("status") == "True" and "denied the request: stays" in failure["message"]

    await cluster.until("a word on what is refused", reported)
    await cluster.until("the rest gone", lambda: not cluster.registry.list(SERVICES, "shop"))
    cluster.registry.admission = Open()
    await cluster.until("no namespace", lambda: cluster.registry.find(NAMESPACES, "shop") is None)


async def test_the_services_of_the_cluster_itself(cluster: Cluster) -> None:
    await cluster.until("kubernetes", lambda: cluster.registry.find(ENDPOINTSLICES, "kubernetes", "default"))
    service = cluster.get(SERVICES, "kubernetes")
    assert service["spec"]["clusterIP"] == "10.96.0.1"
    endpoints = cluster.get(ENDPOINTSLICES, "kubernetes")
    assert endpoints["endpoints"][0]["addresses"] == ["10.244.0.1"]
    assert endpoints["ports"] == [{"name": "https", "port": 6443, "protocol": "TCP"}]
    await cluster.until("kube-dns", lambda: cluster.registry.find(SERVICES, "kube-dns", "kube-system"))
    await cluster.registry.delete(SERVICES, "kubernetes", "default")
    await cluster.until("kubernetes again", lambda: cluster.registry.find(SERVICES, "kubernetes", "default"))
    assert cluster.get(SERVICES, "kubernetes")["spec"]["clusterIP"] == "10.96.0.1"


async def test_endpoints_follow_the_pods(cluster: Cluster) -> None:
    ports = [{"port": 80, "targetPort": 8080}]
    service = {
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {"selector": {"app": "web"}, "ports": ports},
    }
    await cluster.registry.create(SERVICES, service)
    await cluster.registry.create(DEPLOYMENTS, deployment(3))

    def ready() -> set[str]:
        slices = cluster.registry.list(ENDPOINTSLICES, "default", labels="kubernetes.io/service-name=web")
        endpoints = [endpoint for each in slices for endpoint in each["endpoints"]]
        return {each["addresses"][0] for each in endpoints if each["conditions"]["ready"]}

    def addresses() -> set[str]:
        return {pod["status"].get("podIP", "") for pod in cluster.pods()}

    await cluster.until("three endpoints", lambda: len(ready()) == 3 and ready() == addresses())
    await cluster.set_ready(cluster.pods()[0], ready=False)
    await cluster.until("two ready ones", lambda: len(ready()) == 2)
    await cluster.change(DEPLOYMENTS, "web", lambda found: found["spec"].update(replicas=1))
    await cluster.until("one endpoint", lambda: len(ready()) == 1 and ready() == addresses())
    await cluster.change(PODS, cluster.pods()[0]["metadata"]["name"], lambda found: found["metadata"]["labels"].clear())
    await cluster.until("another pod's", lambda: len(ready()) == 1 and not ready() & {_unlabelled(cluster)})
    await cluster.registry.delete(SERVICES, "web", "default")
    await cluster.until("no slices", lambda: not ready())


async def test_garbage_is_collected_across_kinds_and_custom_resources(cluster: Cluster) -> None:
    widgets = await define_widgets(cluster)
    owner = await cluster.registry.create(widgets, widget("owner"))
    both = await cluster.registry.create(CONFIGMAPS, config_map("other"))
    await cluster.registry.create(CONFIGMAPS, config_map("one", owner))
    await cluster.registry.create(CONFIGMAPS, config_map("two", owner, both))
    grandchild = widget("grandchild") | {}
    grandchild["metadata"]["ownerReferences"] = config_map("x", cluster.get(CONFIGMAPS, "one"))["metadata"][
        "ownerReferences"
    ]
    await cluster.registry.create(widgets, grandchild)
    await cluster.settle()
    assert cluster.registry.find(CONFIGMAPS, "one", "default")
    await cluster.registry.delete(widgets, "owner", "default")
    await cluster.until("no dependent", lambda: cluster.registry.find(CONFIGMAPS, "one", "default") is None)
    await cluster.until("no grandchild", lambda: cluster.registry.find(widgets, "grandchild", "default") is None)
    await cluster.until(
        "one owner left",
        lambda: [each["name"] for each in cluster.get(CONFIGMAPS, "two")["metadata"]["ownerReferences"]] == ["other"],
    )


async def test_an_owner_deleted_in_the_foreground_outlives_its_dependents(cluster: Cluster) -> None:
    owner = await cluster.registry.create(CONFIGMAPS, config_map("owner"))
    await cluster.registry.create(CONFIGMAPS, config_map("dependent", owner, finalizers=["example.org/slow"]))
    await cluster.settle()
    options = DeleteOptions(propagation=Propagation.FOREGROUND)
    await cluster.registry.delete(CONFIGMAPS, "owner", "default", options=options)
    await cluster.until(
        "a dependent on its way out", lambda: "deletionTimestamp" in cluster.get(CONFIGMAPS, "dependent")["metadata"]
    )
    await cluster.settle()
    assert cluster.get(CONFIGMAPS, "owner")["metadata"]["finalizers"] == ["foregroundDeletion"]
    await cluster.registry.modify(CONFIGMAPS, "dependent", "default", _without_finalizers)
    await cluster.until("no owner", lambda: cluster.registry.find(CONFIGMAPS, "owner", "default") is None)


async def test_an_object_whose_owner_does_not_exist_is_deleted(cluster: Cluster) -> None:
    stranger = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "absent", "uid": "0000"}}
    await cluster.registry.create(CONFIGMAPS, config_map("lost", stranger))
    await cluster.until("its end", lambda: cluster.registry.find(CONFIGMAPS, "lost", "default") is None)


def test_events_are_forgotten_an_hour_after_they_happened_last() -> None:
    moment = datetime(2024, 1, 1, 12, tzinfo=UTC)

    def event(**times: timedelta) -> Object:
        metadata = {"name": "e", "creationTimestamp": timestamp(moment - timedelta(days=1))}
        return {"metadata": metadata} | {name: timestamp(moment - ago) for name, ago in times.items()}

    old = [event(), event(lastTimestamp=timedelta(minutes=61)), event(eventTime=timedelta(hours=2))]
    young = [
        event(lastTimestamp=timedelta(minutes=59)),
        {**event(), "series": {"lastObservedTime": timestamp(moment)}},
    ]
    assert expired([*old, *young], moment) == old


def _without_finalizers(found: Object) -> Object:
    found["metadata"].pop("finalizers")
    return found


def _unlabelled(cluster: Cluster) -> str:
    return next(str(pod["status"]["podIP"]) for pod in cluster.pods() if not pod["metadata"].get("labels"))


async def test_controllers_are_ready_once_they_have_listed_their_sources() -> None:
    assert Cluster().controllers.trouble().startswith("not synced yet: cluster-service")
    async with running_cluster() as cluster:
        await cluster.until("all controllers are synced", lambda: cluster.controllers.trouble() == "")
