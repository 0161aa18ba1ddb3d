"""Targets and their labels, as Prometheus documents them for each role."""

from __future__ import annotations

from typing import Any

from mesh_lab.prometheus.configuring import Discovery
from mesh_lab.prometheus.targets import Labels, targets

M = "__meta_kubernetes_"
POD: dict[str, Any] = {
    "metadata": {
        "name": "web-1",
        "namespace": "shop",
        "uid": "u-1",
        "labels": {"app.kubernetes.io/name": "web"},
        "annotations": {"prometheus.io/scrape": "true"},
        "ownerReferences": [{"kind": "Node", "name": "x"}, {"kind": "ReplicaSet", "name": "web", "controller": True}],
    },
    "spec": {
        "nodeName": "one",
        "containers": [
            {"name": "web", "image": "web:1", "ports": [{"name": "http", "containerPort": 80}, {"containerPort": 81}]},
            {"name": "sidecar", "image": "proxy"},
        ],
        "initContainers": [{"name": "init", "image": "setup"}],
    },
    "status": {
        "podIP": "10.0.0.1",
        "hostIP": "10.0.0.9",
        "phase": "Running",
        "conditions": [{"type": "Ready", "status": "True"}],
        "containerStatuses": [{"name": "web", "containerID": "lab://7"}],
    },
}
SERVICE: dict[str, Any] = {
    "metadata": {"name": "web", "namespace": "shop", "labels": {"app": "web"}},
    "spec": {"clusterIP": "10.1.0.1", "ports": [{"name": "http", "port": 80}]},
}
NODE: dict[str, Any] = {
    "metadata": {"name": "one", "labels": {"zone": "a"}},
    "spec": {"providerID": "lab://one"},
    "status": {
        "addresses": [{"type": "Hostname", "address": "one"}, {"type": "InternalIP", "address": "10.0.0.9"}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
    },
}
NAMESPACE: dict[str, Any] = {"metadata": {"name": "shop", "labels": {"team": "a"}}}


def found(role: str, *attached: str, **objects: list[dict[str, Any]]) -> list[Labels]:
    """The targets of a role's objects."""
    by_role = {
        name: {(one["metadata"].get("namespace", ""), one["metadata"]["name"]): one for one in given}
        for name, given in objects.items()
    }
    return targets(Discovery(role, attached=frozenset(attached)), by_role)


def addresses(labels: list[Labels]) -> list[str]:
    return [one["__address__"] for one in labels]


def test_a_pod_is_a_target_for_each_port_and_each_container_without_one() -> None:
    made = found("pod", pod=[POD])
    assert addresses(made) == ["10.0.0.1:80", "10.0.0.1:81", "10.0.0.1", "10.0.0.1"]
    assert made[0] == {
        "__address__": "10.0.0.1:80",
        f"{M}namespace": "shop",
        f"{M}pod_name": "web-1",
        f"{M}pod_ip": "10.0.0.1",
        f"{M}pod_host_ip": "10.0.0.9",
        f"{M}pod_uid": "u-1",
        f"{M}pod_phase": "Running",
        f"{M}pod_ready": "true",
        f"{M}pod_node_name": "one",
        f"{M}pod_controller_kind": "ReplicaSet",
        f"{M}pod_controller_name": "web",
        f"{M}pod_label_app_kubernetes_io_name": "web",
        f"{M}pod_labelpresent_app_kubernetes_io_name": "true",
        f"{M}pod_annotation_prometheus_io_scrape": "true",
        f"{M}pod_annotationpresent_prometheus_io_scrape": "true",
        f"{M}pod_container_name": "web",
        f"{M}pod_container_id": "lab://7",
        f"{M}pod_container_image": "web:1",
        f"{M}pod_container_init": "false",
        f"{M}pod_container_port_name": "http",
        f"{M}pod_container_port_number": "80",
        f"{M}pod_container_port_protocol": "TCP",
    }
    assert [one[f"{M}pod_container_init"] for one in made] == ["false", "false", "false", "true"]


def test_a_pod_without_an_address_is_none() -> None:
    assert found("pod", pod=[{**POD, "status": {"phase": "Pending"}}]) == []


def test_a_node_and_a_namespace_are_attached_where_that_is_asked_for() -> None:
    plain, more = found("pod", pod=[POD], node=[NODE], namespace=[NAMESPACE])[0], {}
    more = found("pod", "node", "namespace", pod=[POD], node=[NODE], namespace=[NAMESPACE])[0]
    assert f"{M}node_label_zone" not in plain
    assert more[f"{M}node_label_zone"] == "a"
    assert more[f"{M}node_name"] == "one"
    assert more[f"{M}namespace_label_team"] == "a"


def test_a_service_is_a_target_for_each_port() -> None:
    (made,) = found("service", service=[SERVICE])
    assert made == {
        "__address__": "web.shop.svc:80",
        f"{M}namespace": "shop",
        f"{M}service_name": "web",
        f"{M}service_label_app": "web",
        f"{M}service_labelpresent_app": "true",
        f"{M}service_type": "ClusterIP",
        f"{M}service_cluster_ip": "10.1.0.1",
        f"{M}service_port_name": "http",
        f"{M}service_port_number": "80",
        f"{M}service_port_protocol": "TCP",
    }


def test_a_service_outside_has_its_name_and_a_load_balancer_its_address() -> None:
    outside = {**SERVICE, "spec": {"type": "ExternalName", "externalName": "example.com", "ports": [{"port": 1}]}}
    (made,) = found("service", service=[outside])
    assert made[f"{M}service_external_name"] == "example.com"
    assert f"{M}service_cluster_ip" not in made
    balanced = {**SERVICE, "spec": {**SERVICE["spec"], "type": "LoadBalancer", "loadBalancerIP": "1.2.3.4"}}
    assert found("service", service=[balanced])[0][f"{M}service_loadbalancer_ip"] == "1.2.3.4"


REFERENCE = {"kind": "Pod", "name": "web-1", "namespace": "shop"}
ENDPOINTS: dict[str, Any] = {
    "metadata": {"name": "web", "namespace": "shop", "labels": {"of": "endpoints"}},
    "subsets": [
        {
            "ports": [{"name": "http", "port": 80}],
            "addresses": [{"ip": "10.0.0.1", "nodeName": "one", "targetRef": REFERENCE}],
            "notReadyAddresses": [{"ip": "10.0.0.2", "hostname": "second"}],
        }
    ],
}


def test_endpoints_have_the_labels_of_their_service_and_their_pod() -> None:
    made = found("endpoints", endpoints=[ENDPOINTS], service=[SERVICE], pod=[POD])
    assert addresses(made) == ["10.0.0.1:80", "10.0.0.2:80", "10.0.0.1:81"], "the last: a port that is no endpoint"
    first, second, beside = made
    assert first[f"{M}endpoints_name"] == "web"
    assert first[f"{M}endpoints_label_of"] == "endpoints"
    assert first[f"{M}service_name"] == "web"
    assert first[f"{M}endpoint_port_name"] == "http"
    assert first[f"{M}endpoint_ready"] == "true"
    assert first[f"{M}endpoint_address_target_name"] == "web-1"
    assert first[f"{M}endpoint_node_name"] == "one"
    assert first[f"{M}pod_container_port_number"] == "80"
    assert first[f"{M}pod_name"] == "web-1"
    assert second[f"{M}endpoint_ready"] == "false"
    assert second[f"{M}endpoint_hostname"] == "second"
    assert f"{M}pod_name" not in second
    assert beside[f"{M}pod_container_port_number"] == "81"
    assert beside[f"{M}service_name"] == "web"
    assert f"{M}endpoint_ready" not in beside


def test_slices_name_their_service_by_a_label() -> None:
    given = {
        "metadata": {"name": "web-x", "namespace": "shop", "labels": {"kubernetes.io/service-name": "web"}},
        "addressType": "IPv6",
        "ports": [{"name": "http", "port": 80, "protocol": "TCP", "appProtocol": "http"}],
        "endpoints": [
            {
                "addresses": ["fd00::1"],
                "conditions": {"ready": True, "terminating": False},
                "nodeName": "one",
                "zone": "a",
                "hostname": "h",
                "targetRef": REFERENCE,
            }
        ],
    }
    first, _ = found("endpointslice", "node", endpointslice=[given], service=[SERVICE], pod=[POD], node=[NODE])
    assert first["__address__"] == "[fd00::1]:80"
    own = {name.removeprefix(M): value for name, value in first.items() if "endpointslice_" in name}
    labels = {name: value for name, value in own.items() if "_label" not in name}
    assert labels == {
        "endpointslice_name": "web-x",
        "endpointslice_address_type": "IPv6",
        "endpointslice_address_target_kind": "Pod",
        "endpointslice_address_target_name": "web-1",
        "endpointslice_port": "80",
        "endpointslice_port_name": "http",
        "endpointslice_port_protocol": "TCP",
        "endpointslice_port_app_protocol": "http",
        "endpointslice_endpoint_conditions_ready": "true",
        "endpointslice_endpoint_conditions_terminating": "false",
        "endpointslice_endpoint_hostname": "h",
        "endpointslice_endpoint_node_name": "one",
        "endpointslice_endpoint_zone": "a",
    }
    assert first[f"{M}service_label_app"] == "web"
    assert first[f"{M}pod_name"] == "web-1"
    assert first[f"{M}node_label_zone"] == "a"


def test_a_node_is_a_target_at_its_internal_address() -> None:
    (made,) = found("node", node=[NODE])
    assert made == {
        "__address__": "10.0.0.9:10250",
        "instance": "one",
        f"{M}node_name": "one",
        f"{M}node_provider_id": "lab://one",
        f"{M}node_label_zone": "a",
        f"{M}node_labelpresent_zone": "true",
        f"{M}node_address_Hostname": "one",
        f"{M}node_address_InternalIP": "10.0.0.9",
    }


def test_an_ingress_is_a_target_for_each_path_with_the_scheme_of_its_host() -> None:
    given = {
        "metadata": {"name": "web", "namespace": "shop"},
        "spec": {
            "ingressClassName": "istio",
            "tls": [{"hosts": ["*.example.com"]}],
            "rules": [
                {"host": "a.example.com", "http": {"paths": [{"path": "/x"}, {"path": "/y"}]}},
                {"host": "other.org", "http": {"paths": [{}]}},
            ],
        },
    }
    made = found("ingress", ingress=[given])
    seen = [(one["__address__"], one[f"{M}ingress_scheme"], one[f"{M}ingress_path"]) for one in made]
    assert seen == [("a.example.com", "https", "/x"), ("a.example.com", "https", "/y"), ("other.org", "http", "/")]
    assert made[0][f"{M}ingress_class_name"] == "istio"
    assert made[0][f"{M}namespace"] == "shop"
