"""Metrics as somebody who scrapes sees them: a real Envoy counts requests, and its Lua program names the labels."""

from __future__ import annotations

import re
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from envoy.config.accesslog.v3.accesslog_pb2 import AccessLog
from envoy.config.bootstrap.v3.bootstrap_pb2 import Bootstrap
from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.listener.v3.listener_pb2 import Listener
from envoy.config.route.v3.route_components_pb2 import Route
from envoy.config.route.v3.route_pb2 import RouteConfiguration
from envoy.data.accesslog.v3.accesslog_pb2 import AccessLogType
from envoy.extensions.filters.http.lua.v3.lua_pb2 import Lua
from envoy.extensions.filters.http.router.v3.router_pb2 import Router
from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import (
    HttpConnectionManager,
    HttpFilter,
)
from envoy.extensions.transport_sockets.tls.v3.tls_pb2 import CommonTlsContext, DownstreamTlsContext, UpstreamTlsContext
from envoy.extensions.upstreams.http.v3.http_protocol_options_pb2 import HttpProtocolOptions

from mesh_lab.controlplane.model.mesh import DefaultProviders
from mesh_lab.controlplane.trust.ca import Authority
from mesh_lab.controlplane.world.meshconfig import MeshConfig
from mesh_lab.controlplane.xds import clusters, telemetry
from mesh_lab.controlplane.xds.clusters import socket_address
from mesh_lab.controlplane.xds.peers import Own, pack_fields
from mesh_lab.controlplane.xds.proxycontext import ProxyContext
from mesh_lab.controlplane.xds.scraping import SCRAPE_LUA
from tests.unit.controlplane.envoy import ENVOY

OWN_PRINCIPAL, CLIENT_PRINCIPAL = (f"spiffe://cluster.local/ns/{name}" for name in ("default/sa/r", "shop/sa/buyer"))
PEER = pack_fields("default", "reviews-v1", {"app": "reviews", "version": "v1"})
OWN = f"{PEER}|{OWN_PRINCIPAL}"
BUYER = pack_fields("shop", "buyer", {"app": "buyer", "service.istio.io/canonical-name": "buyers"})
CLIENT = f"{BUYER}|{CLIENT_PRINCIPAL}"
HOST = "reviews.default.svc.cluster.local"
PLAIN, MUTUAL = f"outbound|9080||{HOST}", f"outbound|9080|v1|{HOST}"
DEFAULTS = DefaultProviders(metrics=["prometheus"])
MESH = MeshConfig(access_log_file="", default_providers=DEFAULTS)
LOGGING = MeshConfig(default_providers=DEFAULTS)


def logs_of(mesh: MeshConfig, reporting: telemetry.Reporting, packed: str = OWN) -> list[AccessLog]:
    return telemetry.access_logs(ProxyContext(mesh, Own(packed)), reporting)


def free_ports(number: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def listener(port: int, manager: HttpConnectionManager) -> Listener:
    found = Listener(name=str(port), address=socket_address("127.0.0.1", port))
    found.per_connection_buffer_limit_bytes.value = 64 * 1024 * 1024
    found.filter_chains.add().filters.add(name="hcm").typed_config.Pack(manager)
    return found


def manager(routes: RouteConfiguration) -> HttpConnectionManager:
    found = HttpConnectionManager(stat_prefix="test", route_config=routes)
    found.http_filters.add(name="envoy.filters.http.router").typed_config.Pack(Router())
    return found


def cluster(name: str, port: int) -> Cluster:
    found = Cluster(name=name)
    found.load_assignment.cluster_name = name
    endpoint = found.load_assignment.endpoints.add().lb_endpoints.add()
    endpoint.endpoint.address.CopyFrom(socket_address("127.0.0.1", port))
    return found


def called(name: str, port: int, *filters: HttpFilter) -> Cluster:
    """A cluster of the mesh's."""
    found = cluster(name, port)
    found.load_assignment.endpoints[0].lb_endpoints[0].endpoint.hostname = PEER
    options = HttpProtocolOptions(http_filters=filters)
    options.explicit_http_config.http_protocol_options.SetInParent()
    found.typed_extension_protocol_options["envoy.extensions.upstreams.http.v3.HttpProtocolOptions"].Pack(options)
    return found


def certified(authority: Authority, principal: str, described: str) -> CommonTlsContext:
    leaf = authority.issue_workload(principal, timedelta(hours=1), described)
    context = CommonTlsContext()
    context.tls_certificates.add(certificate_chain={"inline_bytes": leaf.chain}, private_key={"inline_bytes": leaf.key})
    context.validation_context.trusted_ca.inline_bytes = authority.roots
    return context


def routes(target: str) -> RouteConfiguration:
    found = RouteConfiguration()
    found.virtual_hosts.add(name="all", domains=["*"]).routes.add(match={"prefix": "/"}, route={"cluster": target})
    return found


class Pair:
    """A client's and a server's proxy in one Envoy, and the listener for scrapes."""

    def __init__(self, directory: Path) -> None:
        self.counted = 0
        self.client, self.server, self.scrape, mutual, application, admin, nobody = free_ports(7)
        bootstrap = Bootstrap()
        bootstrap.admin.address.CopyFrom(socket_address("127.0.0.1", admin))
        bootstrap.stats_flush_interval.FromMilliseconds(50)
        sending = manager(routes(PLAIN))
        secret = Route(match={"prefix": "/secret"}, route={"cluster": MUTUAL})
        sending.route_config.virtual_hosts[0].routes.insert(0, secret)
        sending.access_log.extend(logs_of(MESH, telemetry.Reporting("source", "http"), CLIENT))
        verifying = manager(routes("application"))
        proven = telemetry.Reporting("destination", "http", True, HOST)
        verifying.access_log.extend(logs_of(MESH, proven))
        reporting = telemetry.Reporting("destination", "http", False, HOST)
        answering = HttpConnectionManager(stat_prefix="test", route_config=routes("application"))
        host = answering.route_config.virtual_hosts[0]
        host.request_headers_to_remove.append(telemetry.PEER_HEADER)
        host.routes.insert(0, Route(match={"prefix": "/gone"}, route={"cluster": "nobody"}))
        answering.http_filters.append(telemetry.recognise())
        answering.http_filters.add(name="envoy.filters.http.router").typed_config.Pack(Router())
        answering.access_log.extend(logs_of(MESH, reporting))
        behind = RouteConfiguration()
        tea = behind.virtual_hosts.add(name="all", domains=["*"])
        tea.routes.add(match={"prefix": "/"}, direct_response={"status": 418, "body": {"inline_string": "tea"}})
        tea.response_headers_to_add.add(header={"key": "seen", "value": f"%REQ({telemetry.PEER_HEADER})%"})
        scraping = manager(routes("admin"))
        lua = Lua()
        lua.default_source_code.inline_string = SCRAPE_LUA
        scraping.http_filters.insert(0, scraping.http_filters[0])
        scraping.http_filters[0].name = "lua"
        scraping.http_filters[0].typed_config.Pack(lua)
        authority = Authority.create("cluster.local")
        down = DownstreamTlsContext(common_tls_context=certified(authority, OWN_PRINCIPAL, OWN))
        down.require_client_certificate.value = True
        encrypted = listener(mutual, verifying)
        encrypted.filter_chains[0].transport_socket.name = "tls"
        encrypted.filter_chains[0].transport_socket.typed_config.Pack(down)
        proving = called(MUTUAL, mutual)
        proving.transport_socket.name = "tls"
        up = UpstreamTlsContext(common_tls_context=certified(authority, CLIENT_PRINCIPAL, CLIENT))
        proving.transport_socket.typed_config.Pack(up)
        bootstrap.static_resources.listeners.extend(
            [
                encrypted,
                listener(self.client, sending),
                listener(self.server, answering),
                listener(application, manager(behind)),
                listener(self.scrape, scraping),
            ]
        )
        bootstrap.static_resources.clusters.extend(
            [
                proving,
                called(PLAIN, self.server, *clusters.ANNOUNCING),
                cluster("application", application),
                cluster("admin", admin),
                cluster("nobody", nobody),
            ]
        )
        file = directory / "bootstrap.pb"
        file.write_bytes(bootstrap.SerializeToString())
        self.process = subprocess.Popen(
            [ENVOY, "-c", str(file), "--disable-hot-restart", "--concurrency", "1", "-l", "critical"],
            env={telemetry.PEER_VARIABLE: BUYER},
        )

    def get(self, port: int, path: str, **headers: str) -> tuple[int, dict[str, str], str]:
        request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers=headers)
        self.counted += {self.client: 2, self.server: 1}.get(port, 0)
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                return answer.status, dict(answer.headers), answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, dict(error.headers), error.read().decode()

    def samples(self, metric: str) -> list[dict[str, str]]:
        """What somebody who scrapes sees of a metric, once Envoy has brought its figures together."""
        end = time.monotonic() + 10
        while sum(int(sample["value"]) for sample in self._scraped("istio_requests_total")) < self.counted:
            assert time.monotonic() < end, f"not all of {self.counted} requests were counted within 10 s"
            time.sleep(0.02)
        return self._scraped(metric)

    def _scraped(self, metric: str) -> list[dict[str, str]]:
        _, _, page = self.get(self.scrape, "/stats/prometheus")
        lines = re.findall(rf"^{metric}{{(.*)}} (\S+)$", page, re.MULTILINE)
        return [{**dict(re.findall(r'(\w+)="([^"]*)"', labels)), "value": value} for labels, value in lines]

    def ready(self) -> None:
        end = time.monotonic() + 20
        while time.monotonic() < end:
            try:
                self.get(self.scrape, "/ready")
            except OSError:
                time.sleep(0.02)
            else:
                return
        raise TimeoutError("Envoy did not start within 20 s")


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    found = Pair(tmp_path_factory.mktemp("telemetry"))
    try:
        found.ready()
        for path in ("/", "/", "/gone", "/secret"):
            found.get(found.client, path)
        found.get(found.server, "/direct")
        yield found
    finally:
        found.process.terminate()
        found.process.wait(10)


def test_the_client_counts_with_istios_labels(pair: Pair) -> None:
    (sample,) = [
        s
        for s in pair.samples("istio_requests_total")
        if s["reporter"] == "source" and s["response_code"] == "418" and s["source_principal"] == "unknown"
    ]
    assert sample == {
        "reporter": "source",
        "source_workload": "buyer",
        "source_workload_namespace": "shop",
        "source_app": "buyer",
        "source_version": "unknown",
        "source_canonical_service": "buyers",
        "source_canonical_revision": "latest",
        "source_principal": "unknown",
        "source_cluster": "Kubernetes",
        "destination_workload": "reviews-v1",
        "destination_workload_namespace": "default",
        "destination_app": "reviews",
        "destination_version": "v1",
        "destination_canonical_service": "reviews",
        "destination_canonical_revision": "v1",
        "destination_principal": "unknown",
        "destination_cluster": "Kubernetes",
        "destination_service": HOST,
        "destination_service_name": "reviews",
        "destination_service_namespace": "default",
        "request_protocol": "http",
        "response_code": "418",
        "grpc_response_status": "",
        "response_flags": "-",
        "connection_security_policy": "unknown",
        "value": "2",
    }


def test_the_server_knows_the_client_by_its_word(pair: Pair) -> None:
    found = [s for s in pair.samples("istio_requests_total") if s["reporter"] == "destination"]
    plain = [s for s in found if s["connection_security_policy"] == "none"]
    known = next(s for s in plain if s["source_workload"] == "buyer" and s["response_code"] == "418")
    assert (known["source_workload_namespace"], known["source_canonical_service"], known["value"]) == (
        "shop",
        "buyers",
        "2",
    )
    assert (known["destination_workload"], known["source_principal"]) == ("reviews-v1", "unknown")


def test_with_mutual_tls_both_know_each_other_by_their_certificates(pair: Pair) -> None:
    found = [s for s in pair.samples("istio_requests_total") if s["source_principal"] != "unknown"]
    assert {s["reporter"]: s["connection_security_policy"] for s in found} == {
        "source": "unknown",
        "destination": "mutual_tls",
    }
    for sample in found:
        assert (sample["source_principal"], sample["destination_principal"]) == (CLIENT_PRINCIPAL, OWN_PRINCIPAL)
        assert (sample["source_workload"], sample["source_canonical_service"]) == ("buyer", "buyers")
        assert (sample["destination_workload"], sample["destination_version"]) == ("reviews-v1", "v1")
        assert (sample["destination_service"], sample["destination_service_name"]) == (HOST, "reviews")
        assert sample["value"] == "1"


def test_a_client_without_a_sidecar_is_unknown(pair: Pair) -> None:
    found = [s for s in pair.samples("istio_requests_total") if s["reporter"] == "destination"]
    stranger = next(s for s in found if s["source_workload"] == "unknown")
    assert {stranger[f"source_{f}"] for f in ("app", "version", "principal", "cluster", "workload_namespace")} == {
        "unknown"
    }


def test_an_answer_to_grpc_is_known_by_its_status(pair: Pair) -> None:
    pair.get(pair.client, "/gone", **{"content-type": "application/grpc", "te": "trailers"})
    found = [s for s in pair.samples("istio_requests_total") if s["grpc_response_status"]]
    assert {s["request_protocol"] for s in found} == {"grpc"}
    assert {s["grpc_response_status"] for s in found} == {"14"}


def test_a_failure_keeps_its_flags(pair: Pair) -> None:
    found = [
        s
        for s in pair.samples("istio_requests_total")
        if s["response_code"] == "503" and s["request_protocol"] == "http"
    ]
    assert {s["reporter"]: s["response_flags"] for s in found} == {"source": "-", "destination": "UF"}


def test_the_application_never_sees_the_header(pair: Pair) -> None:
    _, headers, _ = pair.get(pair.client, "/")
    assert "seen" not in {name.lower() for name in headers}


def test_what_a_stranger_claims_cannot_disturb_other_labels(pair: Pair) -> None:
    claim = 'evil|ns|a;b"c|v|s|r|spiffe://cluster.local/ns/a/sa/b;reporter=source|x|y'
    pair.get(pair.server, "/claim", **{telemetry.PEER_HEADER: claim})
    found = [s for s in pair.samples("istio_requests_total") if s["source_workload"] == "evil"]
    assert [(s["reporter"], s["destination_workload"], s["value"]) for s in found] == [
        ("destination", "reviews-v1", "1")
    ]
    assert found[0]["source_principal"] == "unknown"


def test_durations_and_sizes_are_histograms_under_istios_names(pair: Pair) -> None:
    requests = pair.samples("istio_requests_total")
    for name in ("istio_request_duration_milliseconds", "istio_request_bytes", "istio_response_bytes"):
        assert pair.samples(f"{name}_count") == requests
    buckets = pair.samples("istio_response_bytes_bucket")
    assert {"le", "destination_service_name"} <= buckets[0].keys()


def test_the_page_says_once_that_requests_are_a_counter(pair: Pair) -> None:
    _, _, page = pair.get(pair.scrape, "/stats/prometheus")
    assert page.count("# TYPE istio_requests_total counter\n") == 1
    assert page.endswith("\n")
    _, _, nothing = pair.get(pair.scrape, "/stats/prometheus?filter=no_such_statistic")
    assert "istio_requests_total" not in nothing


def test_there_is_a_log_unless_the_mesh_has_none() -> None:
    (log,) = [each for each in logs_of(LOGGING, telemetry.Reporting("source", "http")) if "file" in each.name]
    assert log.name == "envoy.access_loggers.file"
    assert not [each for each in logs_of(MESH, telemetry.Reporting("source", "http")) if "file" in each.name]


def test_a_connection_leaves_one_line_and_is_counted_when_it_opens_and_when_it_ends() -> None:
    logs = logs_of(LOGGING, telemetry.Reporting("source", "tcp"))
    events = [(log.name.rsplit(".")[-1], list(log.filter.log_type_filter.types)) for log in logs]
    assert events == [
        ("file", [AccessLogType.TcpConnectionEnd]),
        ("stats", [AccessLogType.TcpUpstreamConnected]),
        ("stats", [AccessLogType.TcpConnectionEnd]),
    ]
