"""Selectors and times mean what Kubernetes means by them."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest

from mesh_lab.kube.objects.meta import LabelSelector, ObjectMeta
from mesh_lab.kube.objects.services import Endpoint, Service


@pytest.mark.parametrize(
    ("expression", "labels", "expected"),
    [
        ({"key": "tier", "operator": "In", "values": ["a", "b"]}, {"tier": "a"}, True),
        ({"key": "tier", "operator": "In", "values": ["a", "b"]}, {}, False),
        ({"key": "tier", "operator": "NotIn", "values": ["a"]}, {}, True),
        ({"key": "tier", "operator": "NotIn", "values": ["a"]}, {"tier": "a"}, False),
        ({"key": "tier", "operator": "Exists"}, {"tier": ""}, True),
        ({"key": "tier", "operator": "DoesNotExist"}, {"tier": ""}, False),
        ({"key": "tier", "operator": "Near", "values": ["a"]}, {"tier": "a"}, False),
    ],
)
def test_match_expressions(expression: dict[str, object], labels: dict[str, str], expected: bool) -> None:
    selector = msgspec.convert({"matchExpressions": [expression]}, LabelSelector)
    assert selector.matches(labels) is expected


def test_all_terms_of_a_selector_must_hold() -> None:
    selector = msgspec.convert(
        {"matchLabels": {"app": "web"}, "matchExpressions": [{"key": "canary", "operator": "Exists"}]}, LabelSelector
    )
    assert selector.matches({"app": "web", "canary": "1", "other": "x"})
    assert not selector.matches({"app": "web"})
    assert not selector.matches({"canary": "1"})


def test_the_controller_is_the_one_owner_marked_as_such() -> None:
    owners = [
        {"apiVersion": "v1", "kind": "ConfigMap", "name": "a", "uid": "1"},
        {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "b", "uid": "2", "controller": True},
    ]
    meta = msgspec.convert({"name": "pod", "ownerReferences": owners}, ObjectMeta)
    assert meta.controller is not None
    assert meta.controller.uid == "2"


def test_times_are_read_as_they_are_stored() -> None:
    read = msgspec.convert({"creationTimestamp": "2024-05-01T12:30:00Z"}, ObjectMeta)
    assert read.creation_timestamp == datetime(2024, 5, 1, 12, 30, tzinfo=UTC)


def test_absent_endpoint_conditions_count_as_ready() -> None:
    assert msgspec.convert({"addresses": ["10.0.0.1"]}, Endpoint).ready
    assert not msgspec.convert({"addresses": ["10.0.0.1"], "conditions": {"ready": False}}, Endpoint).ready


def test_only_services_with_an_address_are_virtual() -> None:
    def service(**spec: str) -> Service:
        return msgspec.convert({"metadata": {"name": "s"}, "spec": spec}, Service)

    assert service(clusterIP="10.96.0.9").spec.virtual
    assert not service(clusterIP="None").spec.virtual
    assert not service(type="ExternalName", externalName="example.org").spec.virtual
    assert not service().spec.virtual
