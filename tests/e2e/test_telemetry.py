"""What the mesh tells of its traffic: Istio's standard metrics and access log."""

from __future__ import annotations

import re

import pytest

from lab.harness.assertions import assert_all
from lab.harness.convergence import eventually
from lab.harness.mesh import Mesh
from lab.harness.proxies import SIDECAR
from lab.harness.traffic import TrafficClient

from .conftest import need_metrics

REQUESTS = 25
SAMPLE = re.compile(r"^(?P<name>\w+)\{(?P<labels>.*)\} (?P<value>[\d.e+]+)$")
LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


@pytest.fixture(scope="module")
def shop(shared_mesh: Mesh) -> Mesh:
    shared_mesh.deploy_echo("echo")
    shared_mesh.deploy_client()
    shared_mesh.ready()
    shared_mesh.wait_endpoints("echo", 1)
    return shared_mesh


@pytest.fixture
def client(shop: Mesh) -> TrafficClient:
    return shop.client()


def samples(shop: Mesh, app: str, metric: str, **labels: str) -> float:
    """The sum of a metric's samples that have these labels, as the pod's proxy gives it to Prometheus."""
    total = 0.0
    for line in shop.proxy(app).metrics().splitlines():
        if (sample := SAMPLE.match(line)) and sample["name"] == metric:
            found = dict(LABEL.findall(sample["labels"]))
            total += float(sample["value"]) if labels.items() <= found.items() else 0.0
    return total


@pytest.mark.parametrize(("reporter", "app"), [("source", "client"), ("destination", "echo")])
def test_requests_are_counted_with_istios_labels(shop: Mesh, client: TrafficClient, reporter: str, app: str) -> None:
    labels = {
        "reporter": reporter,
        "source_workload": "client",
        "source_workload_namespace": shop.namespace,
        "destination_workload": "echo-v1",
        "destination_service": f"echo.{shop.namespace}.svc.cluster.local",
        "destination_service_name": "echo",
        "destination_version": "v1",
        "response_code": "418",
        "request_protocol": "http",
        "connection_security_policy": "mutual_tls" if reporter == "destination" else "unknown",
        "source_principal": f"spiffe://cluster.local/ns/{shop.namespace}/sa/client",
    }

    def counted() -> float:
        return samples(shop, app, "istio_requests_total", **labels)

    need_metrics(shop, app)
    before = counted()
    assert_all(client.send("http://echo/status/418", REQUESTS), status=418)
    eventually(lambda: counted() - before >= REQUESTS, timeout=10, why="Envoy brings its figures together now and then")
    assert counted() - before == REQUESTS


def test_durations_and_sizes_are_measured(shop: Mesh, client: TrafficClient) -> None:
    def seen(metric: str) -> float:
        return samples(shop, "client", f"{metric}_count", reporter="source", destination_service_name="echo")

    need_metrics(shop, "client")
    metrics = ("istio_request_duration_milliseconds", "istio_request_bytes", "istio_response_bytes")
    before = {metric: seen(metric) for metric in metrics}
    assert_all(client.send("http://echo", REQUESTS))
    for metric in metrics:
        eventually(lambda m=metric: seen(m) - before[m] >= REQUESTS, timeout=10, why=f"{metric} is brought together")


def test_each_request_leaves_a_line_in_the_access_log(shop: Mesh, client: TrafficClient) -> None:
    result = client.send("http://echo/status/202?from=the-log-test", distinct_ids=True)[0]
    assert result.status == 202
    for app in ("client", "echo"):
        pod = shop.pod(app)["metadata"]["name"]
        line = eventually(
            lambda p=pod: next((text for text in shop.logs(p, SIDECAR).splitlines() if result.id in text), ""),
            timeout=15,
            why="Envoy writes its log in batches",
        )
        assert '"GET /status/202?from=the-log-test HTTP/' in line
        assert " 202 " in line
