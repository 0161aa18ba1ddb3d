"""The real Prometheus in a pod, with the discovery that it was built with or the lab's: its targets and its figures."""

from __future__ import annotations

import shutil
from typing import Any
from urllib.parse import urlencode

import pytest
import yaml

from mesh_lab.client.connection import ApiError
from mesh_lab.testing import Mesh, Object, assert_all, eventually, service

from .pods import deployment

pytestmark = [
    pytest.mark.mesh_clusters("embedded"),
    pytest.mark.skipif(shutil.which("prometheus") is None, reason="no Prometheus here: apt install prometheus"),
]
PORT = 9090
SECONDS = 60.0
REQUESTS = 20


def job(role: str, **more: Any) -> Object:
    """A job of the namespace's own objects of a role."""
    return {
        "job_name": role,
        "kubernetes_sd_configs": [{"role": role, "namespaces": {"own_namespace": True}}],
        **more,
    }


def keep(label: str, value: str) -> Object:
    return {"action": "keep", "source_labels": [f"__meta_kubernetes_{label}"], "regex": value}


# As annotations of pods ask for it, in Istio's addon and most others.
ANNOTATED = [
    keep("pod_annotation_prometheus_io_scrape", "true"),
    {
        "source_labels": ["__meta_kubernetes_pod_ip", "__meta_kubernetes_pod_annotation_prometheus_io_port"],
        "separator": ":",
        "target_label": "__address__",
    },
    {"source_labels": ["__meta_kubernetes_pod_annotation_prometheus_io_path"], "target_label": "__metrics_path__"},
    {"source_labels": ["__meta_kubernetes_pod_name"], "target_label": "pod"},
]
CONFIG: Object = {
    "global": {"scrape_interval": "1s"},
    "scrape_configs": [
        job("pod", relabel_configs=ANNOTATED),
        job("endpoints", metrics_path="/-/healthy", relabel_configs=[keep("service_name", "prometheus")]),
        job("endpointslice", metrics_path="/-/healthy", relabel_configs=[keep("service_name", "prometheus")]),
        job("service", relabel_configs=[keep("service_name", "prometheus")]),
        {"job_name": "node", "kubernetes_sd_configs": [{"role": "node"}]},
    ],
}


def settings(config: Object | str) -> Object:
    text = config if isinstance(config, str) else yaml.safe_dump(config)
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "prometheus"},
        "data": {"prometheus.yml": text},
    }


def prometheus() -> list[Object]:
    """Prometheus and its Service, without a sidecar."""
    container = {
        "name": "prometheus",
        "image": "docker.io/prom/prometheus:v3.10.0",
        "args": ["--config.file=/etc/config/prometheus.yml", "--storage.tsdb.path=/data", "--web.enable-lifecycle"],
        "ports": [{"containerPort": PORT}],
        "readinessProbe": {"httpGet": {"path": "/-/ready", "port": PORT}, "periodSeconds": 1},
        "volumeMounts": [{"name": "config", "mountPath": "/etc/config"}, {"name": "data", "mountPath": "/data"}],
    }
    made = deployment("prometheus", container)
    template = made["spec"]["template"]
    template["metadata"] = {"labels": {"app": "prometheus", "sidecar.istio.io/inject": "false"}}
    template["spec"]["volumes"] = [
        {"name": "config", "configMap": {"name": "prometheus"}},
        {"name": "data", "emptyDir": {}},
    ]
    return [settings(CONFIG), made, service("prometheus", {"app": "prometheus"}, ("http", PORT, PORT))]


@pytest.fixture(scope="module")
def shop(mesh_shared: Mesh) -> Mesh:
    mesh_shared.deploy_echo("echo")
    mesh_shared.deploy_client()
    mesh_shared.apply(prometheus())
    mesh_shared.ready()
    mesh_shared.wait_endpoints("echo", 1)
    mesh_shared.wait_endpoints("prometheus", 1)
    return mesh_shared


def asked(shop: Mesh, path: str, method: str = "GET", **query: str) -> Any:
    """What Prometheus answers, through the API server."""
    place = f"/api/v1/namespaces/{shop.namespace}/services/prometheus:{PORT}/proxy{path}"
    return shop.api.request(method, f"{place}?{urlencode(query)}" if query else place)


def targets(shop: Mesh, pool: str) -> list[Object]:
    """The active targets of a job."""
    found = asked(shop, "/api/v1/targets", state="active")["data"]["activeTargets"]
    return [one for one in found if one["scrapePool"] == pool]


def test_it_scrapes_each_proxy_and_knows_istios_requests(shop: Mesh) -> None:
    assert_all(shop.client().send("http://echo/status/200", REQUESTS), status=200)

    def counted() -> bool:
        query = f'sum(istio_requests_total{{destination_service="echo.{shop.namespace}.svc.cluster.local"}}) by (pod)'
        found = asked(shop, "/api/v1/query", query=query)["data"]["result"]
        values = {one["metric"]["pod"]: float(one["value"][1]) for one in found}
        return len(values) == 2 and set(values.values()) == {float(REQUESTS)}

    eventually(counted, timeout=SECONDS, why="both sides' proxies are scraped")
    pods = {shop.pod(app)["metadata"]["name"] for app in ("echo", "client")}
    assert {one["labels"]["pod"] for one in targets(shop, "pod")} == pods
    assert {one["health"] for one in targets(shop, "pod")} == {"up"}


@pytest.mark.parametrize("role", ["endpoints", "endpointslice"])
def test_endpoints_are_scraped_with_what_is_known_of_their_service_and_pod(shop: Mesh, role: str) -> None:
    pod = shop.pod("prometheus")
    (found,) = eventually(lambda: targets(shop, role), timeout=SECONDS, why="endpoints are discovered")
    labels = found["discoveredLabels"]
    assert labels["__address__"] == f"{pod['status']['podIP']}:{PORT}"
    assert labels["__meta_kubernetes_service_name"] == "prometheus"
    assert labels["__meta_kubernetes_pod_name"] == pod["metadata"]["name"]
    assert labels["__meta_kubernetes_pod_container_port_number"] == str(PORT)


def test_services_and_nodes_are_discovered(shop: Mesh) -> None:
    (found,) = eventually(lambda: targets(shop, "service"), timeout=SECONDS, why="Services are discovered")
    assert found["discoveredLabels"]["__address__"] == f"prometheus.{shop.namespace}.svc:{PORT}"
    (node,) = eventually(lambda: targets(shop, "node"), timeout=SECONDS, why="nodes are discovered")
    (only,) = shop.api.list_all("v1", "Node")
    assert node["discoveredLabels"]["__meta_kubernetes_node_name"] == only["metadata"]["name"]


def test_a_pod_that_comes_and_goes_is_a_target_meanwhile(shop: Mesh) -> None:
    def names() -> set[str]:
        return {one["labels"]["pod"] for one in targets(shop, "pod")}

    before = eventually(names, timeout=SECONDS, why="pods are discovered")
    reference = shop.deploy_echo("further")
    shop.ready()
    name = shop.pod("further")["metadata"]["name"]
    eventually(lambda: names() == before | {name}, timeout=SECONDS, why="a new pod is discovered")
    shop.api.kubectl("-n", shop.namespace, "delete", "deployment", "--selector=app=further")
    eventually(lambda: names() == before, timeout=SECONDS, why=f"{reference}: its pod has gone")


def test_a_changed_configuration_is_read_when_that_is_asked_for_and_a_bad_one_is_refused(shop: Mesh) -> None:
    def reloaded(config: Object | str, done: str) -> None:
        shop.apply(settings(config))
        eventually(lambda: done in reload(shop), timeout=SECONDS, why="the volume follows the ConfigMap")

    only = {**CONFIG, "scrape_configs": [{**job("pod"), "job_name": "renamed"}]}
    shop.apply(settings(only))

    def renamed() -> bool:
        assert reload(shop) == ""
        return bool(targets(shop, "renamed"))

    eventually(renamed, timeout=SECONDS, why="the volume follows the ConfigMap")
    assert targets(shop, "pod") == []
    elsewhere = {"role": "pod", "api_server": "https://192.0.2.1"}
    bad = {"scrape_configs": [{"job_name": "bad", "kubernetes_sd_configs": [elsewhere, {"role": "pods"}]}]}
    reloaded(bad, "kubernetes_sd_configs")
    assert targets(shop, "renamed"), "the last good configuration stays"
    reloaded(CONFIG, "")


def reload(shop: Mesh) -> str:
    """Have the configuration read; the words of a refusal, empty when it was taken."""
    try:
        asked(shop, "/-/reload", "POST")
    except ApiError as error:
        return str(error)
    return ""
