"""What the mesh tells of its traffic: Istio's standard metrics and access log."""

from __future__ import annotations

import base64
import re

import pytest

from mesh_lab.client.pods import PROXY_CONTAINER
from mesh_lab.harness.metrics import total_of
from mesh_lab.testing import Mesh, Reference, TrafficClient, assert_all, eventually

from .certificates import signed_by
from .conftest import need_metrics

REQUESTS = 25
# https://istio.io/latest/docs/tasks/observability/logs/access-log/#default-access-log-format
ISTIO_LINE = re.compile(
    r'\[\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\] "(?P<method>\S+) (?P<path>\S+) HTTP/[\d.]+" (?P<code>\d+) '
    r'(?P<flags>\S+) (?P<details>\S+) (?P<termination>\S+) "(?P<failure>[^"]*)" (?P<received>\d+) (?P<sent>\d+) '
    r'(?P<duration>\d+) (?P<upstream_time>\d+|-) "(?P<forwarded>[^"]*)" "(?P<agent>[^"]*)" "(?P<id>[^"]*)" '
    r'"(?P<authority>[^"]*)" "(?P<upstream>[^"]*)" (?P<cluster>\S+) (?P<upstream_local>\S+) '
    r"(?P<downstream_local>\S+) (?P<downstream_remote>\S+) (?P<server_name>\S+) (?P<route>\S+)"
)
CLUSTERS = {"client": "outbound|80||echo.{namespace}.svc.cluster.local", "echo": "inbound|8080||"}


def samples(shop: Mesh, app: str, metric: str, **labels: str) -> float:
    """The sum of a metric's samples that have these labels, as the pod's proxy gives it to Prometheus."""
    return total_of(shop.proxy(app).metrics(), metric, labels)


# Each side has a code of its own: a proxy may show the requests of the side before only after this one has begun.
SIDES = [("source", "client", 418), ("destination", "echo", 417)]


@pytest.mark.parametrize(("reporter", "app", "code"), SIDES)
def test_requests_are_counted_with_istios_labels(
    shop: Mesh, client: TrafficClient, reporter: str, app: str, code: int
) -> None:
    labels = {
        "reporter": reporter,
        "source_workload": "client",
        "source_workload_namespace": shop.namespace,
        "destination_workload": "echo-v1",
        "destination_service": f"echo.{shop.namespace}.svc.cluster.local",
        "destination_service_name": "echo",
        "destination_version": "v1",
        "response_code": str(code),
        "request_protocol": "http",
        "connection_security_policy": "mutual_tls" if reporter == "destination" else "unknown",
        "source_principal": f"spiffe://cluster.local/ns/{shop.namespace}/sa/client",
    }

    def counted() -> float:
        return samples(shop, app, "istio_requests_total", **labels)

    need_metrics(shop, app)
    assert_all(client.send(f"http://echo/status/{code}", REQUESTS), status=code)
    eventually(lambda: counted() >= REQUESTS, timeout=10, why="Envoy brings its figures together now and then")
    assert counted() == REQUESTS


# The least and the most of a request as sent below: Istio's own filter counts headers too.
MEASURED = {
    "istio_request_duration_milliseconds": (200, 2000),
    "istio_request_bytes": (3000, 6000),
    "istio_response_bytes": (7000, 10000),
}


def test_durations_and_sizes_are_measured(shop: Mesh, client: TrafficClient) -> None:
    # A code of its own: Envoy brings histograms together now and then, those of earlier requests as well.
    labels = {"reporter": "source", "destination_service_name": "echo", "response_code": "207"}

    def seen(metric: str, what: str) -> float:
        return samples(shop, "client", f"{metric}_{what}", **labels)

    need_metrics(shop, "client")
    url = "http://echo/status/207?delay=0.2&size=7000"
    assert_all(client.send(url, REQUESTS, concurrency=5, method="POST", body="x" * 3000), status=207)
    for metric, (low, high) in MEASURED.items():
        eventually(lambda m=metric: seen(m, "count") >= REQUESTS, timeout=10, why=f"{metric} is brought together")
        assert seen(metric, "count") == REQUESTS
        # The sum of a histogram is right to a twentieth.
        assert 0.95 * low * REQUESTS <= seen(metric, "sum") <= 1.05 * high * REQUESTS, metric


def test_each_request_leaves_a_line_in_the_access_log(shop: Mesh, client: TrafficClient) -> None:
    result = client.send("http://echo/status/202?from=the-log-test", distinct_ids=True)[0]
    assert result.status == 202
    for app in ("client", "echo"):
        pod = shop.pod(app)["metadata"]["name"]
        line = eventually(
            lambda p=pod: next((text for text in shop.logs(p, PROXY_CONTAINER).splitlines() if result.id in text), ""),
            timeout=15,
            why="Envoy writes its log in batches",
        )
        words = ISTIO_LINE.fullmatch(line)
        assert words is not None, line
        assert (words["method"], words["path"]) == ("GET", "/status/202?from=the-log-test")
        assert (words["code"], words["flags"], words["details"]) == ("202", "-", "via_upstream")
        assert (words["id"], words["authority"]) == (result.id, "echo")
        assert words["upstream"].endswith(":8080")
        assert words["cluster"] == CLUSTERS[app].format(namespace=shop.namespace)
        assert words["route"] == "default"


def telemetry(app: str, **spec: object) -> dict[str, object]:
    """A resource for the pods of one app."""
    metadata = {"name": f"of-{app}"}
    selector = {"matchLabels": {"app": app}}
    kind = {"apiVersion": "telemetry.istio.io/v1", "kind": "Telemetry"}
    return {**kind, "metadata": metadata, "spec": {"selector": selector, **spec}}


def line_of(shop: Mesh, app: str, identity: str) -> str:
    """The line that a request left in the log of a pod's proxy, if it has left one."""
    text = shop.logs(shop.pod(app)["metadata"]["name"], PROXY_CONTAINER)
    return next((line for line in text.splitlines() if identity in line), "")


DRAINED = "connections that were there stay with the old listener until it has drained"


def test_telemetry_logs_what_an_expression_is_true_for(shop: Mesh, client: TrafficClient) -> None:
    part = {"providers": [{"name": "envoy"}], "filter": {"expression": "response.code >= 400"}}

    def logs_only_failures() -> bool:
        good, bad = (client.send(f"http://echo/status/{code}", distinct_ids=True)[0] for code in (202, 418))
        eventually(lambda: line_of(shop, "echo", bad.id), timeout=15, why="Envoy writes its log in batches")
        return line_of(shop, "echo", good.id) == ""

    with shop.applied(telemetry("echo", accessLogging=[part])):
        eventually(logs_only_failures, timeout=60, why=DRAINED)


def test_telemetry_disables_one_metric_of_one_side(shop: Mesh, client: TrafficClient) -> None:
    need_metrics(shop, "client")
    override = {"match": {"metric": "REQUEST_COUNT", "mode": "CLIENT"}, "disabled": True}
    part = {"providers": [{"name": "prometheus"}], "overrides": [override]}
    labels = {"destination_service_name": "echo", "response_code": "227"}

    def counted(app: str, metric: str) -> float:
        return samples(shop, app, metric, **labels)

    def only_durations() -> bool:
        requests = counted("client", "istio_requests_total")
        durations = counted("client", "istio_request_duration_milliseconds_count")
        assert_all(client.send("http://echo/status/227", 5), status=227)
        eventually(
            lambda: counted("client", "istio_request_duration_milliseconds_count") >= durations + 5,
            timeout=15,
            why="Envoy brings its figures together now and then",
        )
        return counted("client", "istio_requests_total") == requests

    with shop.applied(telemetry("client", metrics=[part])):
        eventually(only_durations, timeout=60, why=DRAINED)
        assert counted("echo", "istio_requests_total") > 0, "the other side counts on"


def test_telemetry_adds_and_removes_tags_of_a_metric(shop: Mesh, client: TrafficClient) -> None:
    need_metrics(shop, "client")
    tags = {"request_path": {"value": "request.url_path"}, "response_flags": {"operation": "REMOVE"}}
    override = {"match": {"metric": "REQUEST_COUNT", "mode": "CLIENT"}, "tagOverrides": tags}
    part = {"providers": [{"name": "prometheus"}], "overrides": [override]}

    def counted(**labels: str) -> float:
        return samples(shop, "client", "istio_requests_total", request_path="/status/226", **labels)

    def is_counted() -> bool:
        assert_all(client.send("http://echo/status/226", 5), status=226)
        return counted() >= 5

    with shop.applied(telemetry("client", metrics=[part])):
        eventually(is_counted, timeout=60, why=DRAINED)
        assert counted(response_code="226") == counted()
        assert counted(response_flags="-") == 0


@pytest.mark.mesh_clusters("embedded")  # Istio has these ports from 1.31 on; the authority's key is the lab's
def test_metrics_are_there_for_those_who_show_a_certificate_of_the_mesh(mesh: Mesh, outside: Mesh) -> None:
    variables = ("ENVOY_SECURE_METRICS_PORT: '15091'", "METRICS_LOCALHOST_ACCESS_ONLY: 'true'")
    settings = "\n".join(["proxyMetadata:", *(f"  {each}" for each in variables)])
    mesh.deploy_echo("hidden", annotations={"proxy.istio.io/config": settings})
    visitor = outside.deploy_client()
    mesh.ready()
    outside.ready()
    secret = mesh.api.get(Reference("v1", "Secret", "istio-ca-secret", "istio-system"))["data"]
    certificate, key = (base64.b64decode(secret[name]) for name in ("ca-cert.pem", "ca-key.pem"))
    address = mesh.pod("hidden")["status"]["podIP"]
    # A workload's certificate names no host.
    url, trusting = f"https://{address}:15091/stats/prometheus", {"insecure": True}
    shown = signed_by(certificate, key, "prometheus").shown
    assert visitor.send(url, certificate_pem=shown, **trusting)[0].status == 200
    assert visitor.send(url, **trusting)[0].status == 0, "a certificate is required"
    assert visitor.send(f"http://{address}:15090/stats/prometheus")[0].status == 0, "it is the pod's own"
    assert visitor.send(f"http://{address}:15020/stats/prometheus")[0].status == 403
