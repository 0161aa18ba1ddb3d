"""Traces: what proxies report to a store, by OpenTelemetry, Zipkin and SkyWalking; what Telemetry changes in it."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest

from mesh_lab.testing import Mesh, Object, assert_all, eventually, service

from .pods import deployment

pytestmark = [pytest.mark.mesh_clusters("embedded"), pytest.mark.mesh_exclusive]
SECONDS = 60.0
PROVIDERS = """
extensionProviders:
- name: e2e-zipkin
  zipkin: {{service: store.{namespace}.svc.cluster.local, port: 9411}}
- name: e2e-grpc
  opentelemetry: {{service: store.{namespace}.svc.cluster.local, port: 4317}}
- name: e2e-http
  opentelemetry:
    service: store.{namespace}.svc.cluster.local
    port: 4318
    http: {{path: /v1/traces, timeout: 5s}}
- name: e2e-skywalking
  skywalking: {{service: oap.{namespace}.svc.cluster.local, port: 11800}}
"""
CONFIG_MAP = "/api/v1/namespaces/istio-system/configmaps/istio"
DRAINED = "connections that were there stay with the old listener until it has drained"
EVERY = 100.0


@pytest.fixture(scope="module")
def shop(mesh_shared: Mesh) -> Iterator[Mesh]:
    """A client, a server and two stores of traces; the mesh knows them as four providers."""
    mesh_shared.deploy_echo("echo")
    mesh_shared.deploy_client()
    mesh_shared.apply([*store(), *oap()])
    mesh_shared.ready()
    mesh_shared.wait_endpoints("echo", 1)
    mesh_shared.wait_endpoints("store", 1)
    mesh_shared.wait_endpoints("oap", 1)
    text = mesh_shared.api.request("GET", CONFIG_MAP)["data"]["mesh"]
    set_mesh(mesh_shared, text + PROVIDERS.format(namespace=mesh_shared.namespace))
    yield mesh_shared
    set_mesh(mesh_shared, text)


def set_mesh(shop: Mesh, text: str) -> None:
    shop.api.request("PATCH", CONFIG_MAP, body={"data": {"mesh": text}})


def store() -> list[Object]:
    """The store, under the name of Jaeger's image and without a sidecar."""
    ports = (("http-zipkin", 9411, 9411), ("grpc-otel", 4317, 4317), ("http-otel", 4318, 4318), ("http", 80, 16686))
    container = {
        "name": "jaeger",
        "image": "docker.io/jaegertracing/jaeger:2.17.0",
        "readinessProbe": {"httpGet": {"path": "/status", "port": 13133}, "periodSeconds": 1},
    }
    return served("store", container, *ports)


def oap() -> list[Object]:
    """The store, under the name of the image of SkyWalking's server."""
    container = {
        "name": "oap",
        "image": "docker.io/apache/skywalking-oap-server:9.7.0",
        "readinessProbe": {"exec": {"command": ["/skywalking/bin/swctl", "health"]}, "periodSeconds": 1},
    }
    return served("oap", container, ("grpc", 11800, 11800), ("http-query", 12800, 12800))


def served(name: str, container: Object, *ports: tuple[str, int, int]) -> list[Object]:
    """A deployment without a sidecar, and its Service."""
    made = deployment(name, container)
    made["spec"]["template"]["metadata"] = {"labels": {"app": name, "sidecar.istio.io/inject": "false"}}
    return [made, service(name, {"app": name}, *ports)]


def telemetry(name: str, *, app: str = "", **tracing: Any) -> Object:
    spec: Object = {"tracing": [tracing]}
    if app:
        spec["selector"] = {"matchLabels": {"app": app}}
    return {"apiVersion": "telemetry.istio.io/v1", "kind": "Telemetry", "metadata": {"name": name}, "spec": spec}


def asked(shop: Mesh, port: int, path: str, **query: str) -> Any:
    """What the store answers, through the API server."""
    place = f"/api/v1/namespaces/{shop.namespace}/services/store:{port}/proxy{path}"
    return shop.api.request("GET", f"{place}?{urlencode(query)}" if query else place)


def traces(shop: Mesh, path: str) -> list[list[Object]]:
    """The traces of requests with this path, as Zipkin tells them."""
    found = asked(shop, 9411, "/api/v2/traces", serviceName=f"client.{shop.namespace}", limit="1000")
    return [spans for spans in found if any(path in span["tags"].get("http.url", "") for span in spans)]


def sent(shop: Mesh, path: str, count: int = 1) -> None:
    """Send requests, each on a connection of its own: it is the newest listener's."""
    result = shop.client().send(f"http://echo{path}", count, new_connections=True, headers={"x-tenant": "blue"})
    assert_all(result, status=200)


def whole(shop: Mesh, path: str) -> list[Object]:
    """The two spans of a request, the client's first; it is sent until they are there."""

    def found() -> list[Object]:
        sent(shop, path)
        return next((spans for spans in traces(shop, path) if len(spans) == 2), [])

    spans = eventually(found, timeout=SECONDS, why=DRAINED)
    return sorted(spans, key=lambda span: span["kind"])


@pytest.mark.parametrize("provider", ["e2e-zipkin", "e2e-grpc", "e2e-http"])
def test_client_and_server_report_one_trace_with_the_tags_that_were_asked_for(shop: Mesh, provider: str) -> None:
    tags = {
        "lesson": {"literal": {"value": "tracing"}},
        "tenant": {"header": {"name": "x-tenant", "defaultValue": "none"}},
        "absent": {"header": {"name": "x-absent", "defaultValue": "none"}},
        "cluster": {"environment": {"name": "ISTIO_META_CLUSTER_ID", "defaultValue": "?"}},
    }
    resource = telemetry("traced", providers=[{"name": provider}], randomSamplingPercentage=EVERY, customTags=tags)
    with shop.applied(resource):
        client, server = whole(shop, f"/status/200?by={provider}")
    assert [client["kind"], server["kind"]] == ["CLIENT", "SERVER"]
    assert client["traceId"] == server["traceId"]
    services = [span["localEndpoint"]["serviceName"] for span in (client, server)]
    assert services == [f"{name}.{shop.namespace}" for name in ("client", "echo")]
    assert server["parentId"] == client["id"]
    for span in (client, server):
        assert span["name"] == f"echo.{shop.namespace}.svc.cluster.local:80/*"
        assert {"http.method": "GET", "http.status_code": "200"}.items() <= span["tags"].items()
        wanted = {"lesson": "tracing", "tenant": "blue", "absent": "none", "cluster": "Kubernetes"}
        assert wanted.items() <= span["tags"].items()
        assert span["tags"]["istio.namespace"] == shop.namespace
        assert span["duration"] > 0


def test_a_share_of_the_requests_is_reported_and_none_at_zero(shop: Mesh) -> None:
    def sampled(share: float) -> Object:
        return telemetry("traced", providers=[{"name": "e2e-grpc"}], randomSamplingPercentage=share)

    with shop.applied(sampled(EVERY)):
        whole(shop, "/status/200?at=first")
        shop.wait_live(shop.apply(sampled(0.0))[0])
        sent(shop, "/status/200?at=zero", 50)
        shop.wait_live(shop.apply(sampled(50.0))[0])
        sent(shop, "/status/200?at=half", 200)
        shop.wait_live(shop.apply(sampled(EVERY))[0])
        whole(shop, "/status/200?at=last")
        assert len(traces(shop, "at=zero")) == 0
        # Of 200 requests at one half, a number outside of these comes once in ten million runs.
        eventually(lambda: 60 <= len(traces(shop, "at=half")) <= 140, timeout=SECONDS, why="spans come in batches")


def test_one_workload_can_be_kept_from_reporting(shop: Mesh) -> None:
    everywhere = telemetry("traced", providers=[{"name": "e2e-grpc"}], randomSamplingPercentage=EVERY)
    not_the_server = telemetry("silent", app="echo", disableSpanReporting=True)
    with shop.applied([everywhere, not_the_server]):

        def alone() -> bool:
            sent(shop, "/status/200?by=one")
            return any(len(spans) == 1 for spans in traces(shop, "by=one"))

        eventually(alone, timeout=SECONDS, why=DRAINED)
        kinds = {span["kind"] for spans in traces(shop, "by=one") for span in spans if len(spans) == 1}
        assert kinds == {"CLIENT"}


def test_the_store_answers_as_jaeger_too(shop: Mesh) -> None:
    with shop.applied(telemetry("traced", providers=[{"name": "e2e-grpc"}], randomSamplingPercentage=EVERY)):
        (client, _) = whole(shop, "/status/200?as=jaeger")
    assert f"client.{shop.namespace}" in asked(shop, 80, "/jaeger/api/services")["data"]
    listed = asked(shop, 80, "/jaeger/api/traces", service=f"client.{shop.namespace}", limit="1000")["data"]
    assert client["traceId"] in {trace["traceID"] for trace in listed}
    (trace,) = asked(shop, 80, f"/jaeger/api/traces/{client['traceId']}")["data"]
    kinds = {tag["value"] for span in trace["spans"] for tag in span["tags"] if tag["key"] == "span.kind"}
    assert kinds == {"client", "server"}


QUERY = "query ($condition: TraceQueryCondition) { queryBasicTraces(condition: $condition) { traces { traceIds } } }"


def test_segments_of_both_sides_are_of_one_trace_in_skywalking(shop: Mesh) -> None:
    place = f"/api/v1/namespaces/{shop.namespace}/services/oap:12800/proxy/graphql"

    def traced(app: str) -> set[str]:
        identity = base64.b64encode(f"{app}.{shop.namespace}".encode()).decode() + ".1"
        body = {"query": QUERY, "variables": {"condition": {"serviceId": identity}}}
        found = shop.api.request("POST", place, body=body)["data"]["queryBasicTraces"]["traces"]
        return {identity for trace in found for identity in trace["traceIds"]}

    def both() -> set[str]:
        sent(shop, "/status/200?by=skywalking")
        return traced("client") & traced("echo")

    with shop.applied(telemetry("traced", providers=[{"name": "e2e-skywalking"}], randomSamplingPercentage=EVERY)):
        eventually(both, timeout=SECONDS, why=DRAINED)
