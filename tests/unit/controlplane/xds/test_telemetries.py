"""Telemetry, as proxies get it: who logs, traces and counts what, with Envoy as the judge of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from envoy.extensions.access_loggers.file.v3.file_pb2 import FileAccessLog
from envoy.extensions.access_loggers.filters.cel.v3.cel_pb2 import ExpressionFilter
from envoy.extensions.access_loggers.open_telemetry.v3.logs_service_pb2 import OpenTelemetryAccessLogConfig
from envoy.extensions.access_loggers.stats.v3.stats_pb2 import Config as StatsConfig
from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import (
    HttpConnectionManager,
)

from mesh_lab.controlplane.report.analysis import analyse
from mesh_lab.controlplane.world.meshconfig import MeshConfig
from mesh_lab.controlplane.xds.typeurls import CDS, LDS, RDS
from tests.unit.controlplane.cluster import Cluster, bookinfo, config, endpoints, mesh_config, pod, service
from tests.unit.controlplane.envoy import message, static, validate
from tests.unit.controlplane.xds.translated import CLIENT, listener_of, resources

COLLECTOR = "opentelemetry-collector.observability.svc.cluster.local"
PROVIDERS = f"""
defaultProviders: {{metrics: [prometheus]}}
extensionProviders:
- name: otel
  envoyOtelAls:
    service: {COLLECTOR}
    port: 4317
    logFormat: {{text: "%PROTOCOL%", labels: {{code: "%RESPONSE_CODE%"}}}}
- name: als
  envoyHttpAls: {{service: {COLLECTOR}, port: 4317}}
- name: connections
  envoyTcpAls: {{service: {COLLECTOR}, port: 4317}}
- name: json
  envoyFileAccessLog: {{path: /dev/stderr, logFormat: {{labels: {{path: "%REQ_WITHOUT_QUERY(:PATH)%"}}}}}}
- name: nowhere
  envoyOtelAls: {{service: no.such.host, port: 4317}}
- name: otel-tracing
  opentelemetry: {{service: {COLLECTOR}, port: 4317, resource_detectors: {{environment: {{}}}}}}
- name: otel-http
  opentelemetry: {{service: {COLLECTOR}, port: 4318, http: {{path: /v1/traces, timeout: 5s}}}}
- name: zipkin
  zipkin: {{service: zipkin.istio-system.svc.cluster.local, port: 9411}}
- name: skywalking
  skywalking: {{service: {COLLECTOR}, port: 11800}}
"""


def mesh(more: str = "") -> Cluster:
    """Bookinfo with a collector, Zipkin, and a gateway."""
    cluster = bookinfo()
    for name, namespace, ports in (
        (
            "opentelemetry-collector",
            "observability",
            (("grpc-otlp", 4317), ("http-otlp", 4318), ("grpc-sky", 11800)),
        ),
        ("zipkin", "istio-system", (("http-query", 9411),)),
    ):
        one = pod(f"{name}-1", f"10.244.9.{len(name)}", namespace=namespace, app=name, meshed=False)
        cluster.add("Service", service(name, *ports, namespace=namespace)).add("Pod", one)
        cluster.add("EndpointSlice", endpoints(name, one, namespace=namespace, ports=ports))
    cluster.add("Pod", pod("gate-1", "10.244.0.50", namespace="istio-system", app="gate", meshed=False))
    front = [{"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": ["*"]}]
    cluster.istio(config("Gateway", "front", {"selector": {"app": "gate"}, "servers": front}))
    return cluster.add("ConfigMap", mesh_config(PROVIDERS + more))


def telemetry(name: str = "t", *, namespace: str = "istio-system", created: str = "2026-01-01", **spec: Any) -> Any:
    return config("Telemetry", name, spec, namespace=namespace, created=created)


def of(app: str) -> dict[str, Any]:
    return {"selector": {"matchLabels": {"app": app}}}


def manager(cluster: Cluster, listener: str = "0.0.0.0_9080", proxy: str = CLIENT) -> HttpConnectionManager:
    """The connection manager of a listener."""
    for chain in listener_of(cluster, listener, proxy).filter_chains:
        for each in chain.filters:
            found = HttpConnectionManager()
            if each.typed_config.Unpack(found):
                return found
    raise AssertionError(f"{listener} has none")


def logs(cluster: Cluster, listener: str = "0.0.0.0_9080", proxy: str = CLIENT) -> list[str]:
    """The loggers of a listener, without those that count."""
    return [log.name.split(".")[-1] for log in manager(cluster, listener, proxy).access_log if "stats" not in log.name]


def counted(cluster: Cluster, listener: str = "0.0.0.0_9080", proxy: str = CLIENT) -> list[str]:
    """The metrics of a listener's requests that are not gRPC."""
    for log in manager(cluster, listener, proxy).access_log:
        found = StatsConfig()
        if log.typed_config.Unpack(found):
            return [each.stat.name for each in (*found.counters, *found.histograms)]
    return []


def judged(cluster: Cluster, directory: Path, proxy: str = CLIENT) -> None:
    validate(static(resources(cluster, proxy)), directory)


def logging(*providers: str, **more: Any) -> dict[str, Any]:
    return {"providers": [{"name": name} for name in providers], **more}


def test_without_telemetry_the_mesh_file_log_holds() -> None:
    assert logs(mesh()) == logs(mesh(), "virtualInbound") == ["file"]
    assert logs(mesh("accessLogFile: ''")) == []


@pytest.mark.parametrize(
    ("provider", "found"),
    [
        ("otel", "open_telemetry"),
        ("als", "http_grpc"),
        ("connections", "tcp_grpc"),
        ("json", "file"),
        ("envoy", "file"),
    ],
)
def test_each_kind_of_log_is_one_that_envoy_takes(provider: str, found: str, tmp_path: Path) -> None:
    cluster = mesh("accessLogFile: ''").istio(telemetry(accessLogging=[logging(provider)]))
    assert logs(cluster) == [found]
    judged(cluster, tmp_path)


def test_a_provider_of_the_mesh_without_a_service_leaves_the_file() -> None:
    assert logs(mesh().istio(telemetry(accessLogging=[logging("nowhere")]))) == ["file"]
    assert logs(mesh().istio(telemetry(accessLogging=[logging("unknown")]))) == ["file"]


def test_the_mesh_default_is_what_holds_without_telemetry() -> None:
    cluster = mesh("accessLogFile: ''\ndefaultProviders: {accessLogging: [otel, envoy]}")
    assert logs(cluster) == ["file", "open_telemetry"]


def test_nearer_resources_replace_wider_ones() -> None:
    wide = telemetry("wide", accessLogging=[logging("envoy")])
    space = telemetry("space", namespace="default", accessLogging=[logging("otel")])
    own = telemetry("own", namespace="default", **of("reviews"), accessLogging=[logging("otel", disabled=True)])
    cluster = mesh("accessLogFile: ''").istio(wide, space, own)
    assert logs(cluster) == ["open_telemetry"]
    assert logs(cluster, "virtualInbound", "reviews-v1-abc-1") == []
    younger = telemetry("younger", created="2027-01-01", accessLogging=[logging("json")])
    assert logs(mesh().istio(wide, younger)) == ["file"], "the oldest of a namespace holds"


def test_a_selector_of_the_root_namespace_is_for_its_own_pods() -> None:
    own = telemetry(**of("productpage"), accessLogging=[logging("envoy", disabled=True)])
    assert logs(mesh().istio(own)) == ["file"]


def test_a_mode_is_for_one_side() -> None:
    off = telemetry(accessLogging=[logging("envoy", match={"mode": "SERVER"}, disabled=True)])
    cluster = mesh("accessLogFile: ''\ndefaultProviders: {accessLogging: [envoy]}").istio(off)
    assert logs(cluster, "virtualInbound") == []
    # The part is for servers, but a resource that says anything leaves out what the mesh says for clients: as in Istio.
    assert logs(cluster) == []


def test_a_filter_is_an_expression_of_cel(tmp_path: Path) -> None:
    expression = "response.code >= 400 || xds.cluster_name == 'BlackHoleCluster'"
    cluster = mesh().istio(telemetry(accessLogging=[logging("envoy", filter={"expression": expression})]))
    (log,) = [each for each in manager(cluster).access_log if "file" in each.name]
    found = ExpressionFilter()
    assert log.filter.extension_filter.typed_config.Unpack(found)
    assert found.expression == expression
    judged(cluster, tmp_path)


def test_an_expression_that_envoy_would_refuse_is_left_out(tmp_path: Path) -> None:
    for text in ("string(response.code) == '500'", "has(request.headers['a'])", "[1].exists(x, x == 1)"):
        cluster = mesh().istio(telemetry(accessLogging=[logging("envoy", filter={"expression": text})]))
        (log,) = [each for each in manager(cluster).access_log if "file" in each.name]
        assert not log.HasField("filter"), text
    judged(cluster, tmp_path)


def test_a_format_of_ones_own_is_kept() -> None:
    cluster = mesh().istio(telemetry(accessLogging=[logging("otel", "json")]))
    file, otel = FileAccessLog(), OpenTelemetryAccessLogConfig()
    by_name = {each.name: each.typed_config for each in manager(cluster).access_log}
    assert by_name["envoy.access_loggers.file"].Unpack(file)
    assert by_name["envoy.access_loggers.open_telemetry"].Unpack(otel)
    assert file.path == "/dev/stderr"
    assert [each.name for each in file.log_format.formatters] == ["envoy.formatter.req_without_query"]
    assert otel.body.string_value == "%PROTOCOL%"
    assert otel.common_config.grpc_service.envoy_grpc.cluster_name == f"outbound|4317||{COLLECTOR}"
    assert [(each.key, each.value.string_value) for each in otel.attributes.values] == [("code", "%RESPONSE_CODE%")]


def test_the_collector_has_a_cluster_whatever_a_sidecar_hides(tmp_path: Path) -> None:
    hiding = config("Sidecar", "default", {"egress": [{"hosts": ["./*"]}]})
    cluster = mesh().istio(hiding, telemetry(accessLogging=[logging("otel")], tracing=[logging("zipkin")]))
    names = resources(cluster)[CDS]
    assert f"outbound|4317||{COLLECTOR}" in names
    assert "outbound|9411||zipkin.istio-system.svc.cluster.local" in names
    judged(cluster, tmp_path)


def test_a_gateway_logs_and_traces_too(tmp_path: Path) -> None:
    tracing = [logging("otel-tracing")]
    cluster = mesh().istio(telemetry(accessLogging=[logging("otel")], tracing=tracing))
    found = resources(cluster, "gate-1", namespace="istio-system", kind="router")
    assert f"outbound|4317||{COLLECTOR}" in found[CDS]
    (chain,) = message(found[LDS]["0.0.0.0_80"]).filter_chains
    http = HttpConnectionManager()
    assert chain.filters[0].typed_config.Unpack(http)
    assert http.tracing.spawn_upstream_span.value
    assert http.access_log[0].name == "envoy.access_loggers.open_telemetry"
    validate(static(found), tmp_path)


# Tracing.


def test_without_telemetry_nothing_is_traced() -> None:
    cluster = mesh()
    assert not manager(cluster).HasField("tracing")
    routes = message(resources(cluster)[RDS]["9080"]).virtual_hosts
    assert not any(route.HasField("decorator") for host in routes for route in host.routes)


@pytest.mark.parametrize(
    ("provider", "tracer"),
    [
        ("otel-tracing", "opentelemetry"),
        ("otel-http", "opentelemetry"),
        ("zipkin", "zipkin"),
        ("skywalking", "skywalking"),
    ],
)
def test_each_kind_of_tracer_is_one_that_envoy_takes(provider: str, tracer: str, tmp_path: Path) -> None:
    cluster = mesh().istio(telemetry(tracing=[logging(provider)]))
    for listener in ("0.0.0.0_9080", "virtualInbound"):
        found = manager(cluster, listener).tracing
        assert found.provider.name == f"envoy.tracers.{tracer}"
        assert (found.random_sampling.value, found.client_sampling.value) == (1, 100), "1%, as Istio's default"
    judged(cluster, tmp_path)


def test_spans_have_istios_tags_and_ones_own(tmp_path: Path) -> None:
    tags = {
        "my-attribute": {"literal": {"value": "default-value"}},
        "variable": {"environment": {"name": "HOSTNAME", "defaultValue": "none"}},
        "agent": {"header": {"name": "user-agent"}},
        "text": {"formatter": {"value": "%PROTOCOL%"}},
    }
    part = logging("otel-tracing", randomSamplingPercentage=100, customTags=tags)
    cluster = mesh().istio(telemetry(tracing=[part]))
    found = manager(cluster).tracing
    by_name = {tag.tag: tag for tag in found.custom_tags}
    assert found.random_sampling.value == 100
    assert by_name["istio.canonical_service"].literal.value == "productpage"
    assert by_name["istio.canonical_revision"].literal.value == "v1"
    assert by_name["istio.namespace"].literal.value == "default"
    assert by_name["istio.mesh_id"].literal.value == "cluster.local"
    assert by_name["my-attribute"].literal.value == "default-value"
    assert by_name["variable"].environment.name == "HOSTNAME"
    assert by_name["agent"].request_header.name == "user-agent"
    assert by_name["text"].value == "%PROTOCOL%"
    judged(cluster, tmp_path)


def test_a_side_can_be_silent_and_settings_are_inherited() -> None:
    wide = telemetry("wide", tracing=[logging("zipkin", randomSamplingPercentage=50)])
    quiet = {"match": {"mode": "CLIENT"}, "disableSpanReporting": True}
    space = telemetry("space", namespace="default", tracing=[quiet])
    cluster = mesh().istio(wide, space)
    assert not manager(cluster).HasField("tracing")
    server = manager(cluster, "virtualInbound")
    assert (server.tracing.provider.name, server.tracing.random_sampling.value) == ("envoy.tracers.zipkin", 50)


def test_a_tracer_without_a_service_is_none() -> None:
    cluster = mesh("extensionProviders: [{name: gone, zipkin: {service: no.such.host, port: 9411}}]")
    assert not manager(cluster.istio(telemetry(tracing=[logging("gone")]))).HasField("tracing")


def test_the_meshs_own_tracer_needs_its_address(tmp_path: Path) -> None:
    own = "defaultConfig: {tracing: {sampling: 10, zipkin: {address: 'zipkin.istio-system:9411'}}}"
    cluster = mesh(own)
    found = manager(cluster).tracing
    assert (found.provider.name, found.random_sampling.value) == ("envoy.tracers.zipkin", 10)
    made = message(resources(cluster)[CDS]["zipkin"])
    address = made.load_assignment.endpoints[0].lb_endpoints[0].endpoint.address.socket_address
    assert (address.address, address.port_value) == ("zipkin.istio-system", 9411)
    judged(cluster, tmp_path)
    assert not manager(mesh(own + "\nenableTracing: false")).HasField("tracing")


def test_spans_are_called_by_their_routes_as_in_istio() -> None:
    rules = [{"match": [{"uri": {"prefix": "/api"}}], "route": [{"destination": {"host": "reviews"}}]}]
    routed = config("VirtualService", "reviews", {"hosts": ["reviews"], "http": rules})
    cluster = mesh().istio(telemetry(tracing=[logging("zipkin")]), routed)
    found = resources(cluster)
    hosts = {host.name: host.routes[0].decorator.operation for host in message(found[RDS]["9080"]).virtual_hosts}
    assert hosts["ratings.default.svc.cluster.local:9080"] == "ratings.default.svc.cluster.local:9080/*"
    assert hosts["reviews.default.svc.cluster.local:9080"] == "reviews.default.svc.cluster.local:9080/api*"
    inbound = message(found[RDS]["inbound|9080||"]).virtual_hosts[0].routes[0]
    assert inbound.decorator.operation == "productpage.default.svc.cluster.local:9080/*"


# Metrics.

ALL = ["request_duration_milliseconds", "request_bytes", "response_bytes"]


def overriding(*overrides: dict[str, Any], provider: str = "prometheus") -> dict[str, Any]:
    return logging(provider, overrides=list(overrides))


def test_metrics_stay_as_they_are_until_something_differs() -> None:
    plain = resources(mesh())[LDS]["0.0.0.0_9080"]
    said = resources(mesh().istio(telemetry(metrics=[overriding()])))[LDS]["0.0.0.0_9080"]
    assert plain.version == said.version
    assert counted(mesh()) == ALL


def test_nothing_is_counted_without_a_provider_as_by_an_installation_without_telemetry() -> None:
    off = "defaultProviders: {metrics: []}"
    assert counted(mesh(off)) == []
    assert counted(mesh(off).istio(telemetry(metrics=[overriding()]))) == ALL
    assert MeshConfig().default_providers.metrics == [], "Istio's installation writes the provider down"


def test_all_metrics_can_be_disabled_and_enabled_again() -> None:
    off = telemetry(metrics=[overriding({"disabled": True})])
    assert counted(mesh().istio(off)) == []
    on = telemetry("on", namespace="default", metrics=[overriding({"disabled": False})])
    assert counted(mesh().istio(off, on)) == ALL


def test_one_metric_can_be_disabled_for_one_side(tmp_path: Path) -> None:
    part = overriding({"match": {"metric": "REQUEST_COUNT", "mode": "CLIENT"}, "disabled": True})
    cluster = mesh().istio(telemetry(metrics=[part]))
    assert counted(cluster) == ALL
    assert edit(cluster, "request_duration_milliseconds") == "u;;", "its durations are no count of requests"
    assert edit(cluster, "request_duration_milliseconds", "virtualInbound") == ""
    judged(cluster, tmp_path)


def stat(cluster: Cluster, name: str, listener: str = "0.0.0.0_9080") -> dict[str, str]:
    """The tags of a metric, by name."""
    for log in manager(cluster, listener).access_log:
        found = StatsConfig()
        if log.typed_config.Unpack(found):
            for each in (*found.counters, *found.histograms):
                if each.stat.name == name:
                    return {tag.name: tag.value_format for tag in each.stat.tags}
    return {}


def edit(cluster: Cluster, name: str, listener: str = "0.0.0.0_9080") -> str:
    return stat(cluster, name, listener).get("istio_edit", "")


def test_tags_are_added_and_removed(tmp_path: Path) -> None:
    tags = {
        "request_host": {"value": "request.host"},
        "destination_port": {"value": "string(destination.port)"},
        "destination_x": {"value": "upstream_peer.labels['app'].value"},
        "source_x": {"value": "filter_state.downstream_peer.app"},
        "response_flags": {"operation": "REMOVE"},
        "odd": {"value": "string(destination.port) + 'x'"},
    }
    cluster = mesh().istio(
        telemetry(metrics=[overriding({"match": {"metric": "REQUEST_COUNT"}, "tagOverrides": tags})])
    )
    found = stat(cluster, "requests_total")
    assert found["istio_new_request_host"] == "%CEL(request.host)%"
    assert found["istio_new_destination_port"] == "%CEL(destination.port)%"
    assert found["istio_edit"] == ";response_flags;destination_x=destination_app,source_x=source_app"
    assert "istio_new_odd" not in found
    assert set(stat(cluster, "request_bytes")) == {"istio"}
    judged(cluster, tmp_path)


def test_of_all_metrics_the_same_tags_need_no_counter_of_requests() -> None:
    cluster = mesh().istio(telemetry(metrics=[overriding({"tagOverrides": {"a": {"value": "request.host"}}})]))
    assert counted(cluster) == ALL
    assert all("istio_new_a" in stat(cluster, name) for name in ALL)


def test_a_metric_of_another_provider_is_not_counted_here() -> None:
    assert counted(mesh().istio(telemetry(metrics=[overriding(provider="otel")]))) == []


# What the resources say.


def findings(cluster: Cluster) -> list[tuple[str, str]]:
    """The codes and paths of what is said of Telemetry resources."""
    return [(f.code, f.path) for f in analyse(cluster.snapshot()) if f.origin.kind == "Telemetry"]


@pytest.mark.parametrize(
    ("spec", "code", "path"),
    [
        ({"tracing": [logging("gone")]}, "IST0101", "spec.tracing[0].providers[0].name"),
        ({"accessLogging": [logging("nowhere")]}, "IST0101", "spec.accessLogging[0].providers[0].name"),
        ({"metrics": [logging("otel")]}, "IST0133", "spec.metrics[0].providers[0].name"),
        (
            {"accessLogging": [{"filter": {"expression": "response.code > 1"}}]},
            "IST0157",
            "spec.accessLogging[0].providers",
        ),
        ({"metrics": [{"reportingInterval": "5s"}]}, "IST0133", "spec.metrics[0].reportingInterval"),
        ({"tracing": [{"disableContextPropagation": True}]}, "IST0133", "spec.tracing[0].disableContextPropagation"),
        (
            {"accessLogging": [logging("envoy", filter={"expression": "string(1) == '1'"})]},
            "IST0133",
            "spec.accessLogging[0].filter.expression",
        ),
        (
            {"metrics": [{"overrides": [{"tagOverrides": {"a": {"value": "upstream_peer.labels['x'].value"}}}]}]},
            "IST0133",
            "spec.metrics[0].overrides[0].tagOverrides[a].value",
        ),
    ],
)
def test_what_has_no_effect_or_refers_to_nothing_says_so(spec: dict[str, Any], code: str, path: str) -> None:
    assert findings(mesh().istio(telemetry(**spec))) == [(code, path)]


def test_what_is_in_order_says_nothing() -> None:
    tags = {"a": {"value": "request.host"}, "b": {"value": "filter_state.upstream_peer.app"}}
    part = {"overrides": [{"match": {"metric": "REQUEST_COUNT"}, "tagOverrides": tags}]}
    spec = {"tracing": [logging("zipkin")], "metrics": [part], "accessLogging": [logging("otel")]}
    assert findings(mesh().istio(telemetry(**spec))) == []


def test_of_two_for_a_namespace_both_say_so() -> None:
    two = (telemetry("a"), telemetry("b"), telemetry("c", **of("reviews")))
    assert findings(mesh().istio(*two)) == [("IST0160", "spec.selector")] * 2
