"""Metrics that Telemetry changes, as somebody who scrapes a real Envoy sees them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from envoy.config.bootstrap.v3.bootstrap_pb2 import Bootstrap
from envoy.config.route.v3.route_components_pb2 import Route
from envoy.config.route.v3.route_pb2 import RouteConfiguration
from envoy.extensions.filters.http.lua.v3.lua_pb2 import Lua

from mesh_lab.controlplane.istiokinds import decode
from mesh_lab.controlplane.world.kubernetes import Origin
from mesh_lab.controlplane.world.snapshot import Config
from mesh_lab.controlplane.xds import telemetry
from mesh_lab.controlplane.xds.clusters import socket_address
from mesh_lab.controlplane.xds.peers import Own
from mesh_lab.controlplane.xds.proxycontext import ProxyContext
from mesh_lab.controlplane.xds.scraping import SCRAPE_LUA
from mesh_lab.controlplane.xds.telemetries import Applied
from tests.unit.controlplane.envoy import ENVOY
from tests.unit.controlplane.xds.test_telemetry import (
    HOST,
    MESH,
    OWN,
    cluster,
    free_ports,
    listener,
    manager,
    routes,
)

COUNT = {
    "match": {"metric": "REQUEST_COUNT"},
    "tagOverrides": {
        "request_host": {"value": "request.host"},
        "destination_port": {"value": "string(destination.port)"},
        "destination_x": {"value": "filter_state.upstream_peer.app"},
        "nobody": {"value": "filter_state.downstream_peer.type"},
        "missing": {"value": "request.headers['missing']"},
        "response_code": {"operation": "REMOVE"},
        "destination_service_name": {"value": '"other"'},
    },
}
SIZES = {"match": {"metric": "REQUEST_SIZE"}, "disabled": True}
SPEC = {"metrics": [{"providers": [{"name": "prometheus"}], "overrides": [COUNT, SIZES]}]}


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, int]]:
    """An Envoy that answered three requests with 200 and two with 404: the ports where it serves, and is scraped."""
    origin = Origin("Telemetry", "istio-system", "t")
    level = Config(origin, "istio-system", "t", {}, "2026-01-01", decode("Telemetry", SPEC))
    context = ProxyContext(MESH, Own(OWN), Applied((level,)))  # type: ignore[arg-type]
    serving, scrape, admin = free_ports(3)
    answering = RouteConfiguration()
    host = answering.virtual_hosts.add(name="all", domains=["*"])
    host.routes.append(Route(match={"prefix": "/missing"}, direct_response={"status": 404}))
    host.routes.append(Route(match={"prefix": "/"}, direct_response={"status": 200}))
    served = manager(answering)
    served.access_log.extend(telemetry.access_logs(context, telemetry.Reporting("destination", "http", False, HOST)))
    scraping, lua = manager(routes("admin")), Lua()
    lua.default_source_code.inline_string = SCRAPE_LUA
    scraping.http_filters.insert(0, scraping.http_filters[0])
    scraping.http_filters[0].typed_config.Pack(lua)
    scraping.http_filters[0].name = "lua"
    bootstrap = Bootstrap()
    bootstrap.admin.address.CopyFrom(socket_address("127.0.0.1", admin))
    bootstrap.stats_flush_interval.FromMilliseconds(50)
    bootstrap.static_resources.listeners.extend([listener(serving, served), listener(scrape, scraping)])
    bootstrap.static_resources.clusters.append(cluster("admin", admin))
    file = tmp_path_factory.mktemp("scraping") / "bootstrap.pb"
    file.write_bytes(bootstrap.SerializeToString())
    process = started(file)
    try:
        until(lambda: bool(fetched(scrape, "/stats/prometheus")))
        for path in ("/", "/", "/", "/missing", "/missing"):
            fetched(serving, path)
        until(lambda: "istio_request_duration_milliseconds_count" in fetched(scrape, "/stats/prometheus"))
        yield serving, scrape
    finally:
        process.terminate()
        process.wait(10)


def started(file: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen([ENVOY, "-c", str(file), "--disable-hot-restart", "--concurrency", "1", "-l", "critical"])


def fetched(port: int, path: str) -> str:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return str(answer.read().decode())
    except urllib.error.HTTPError as error:
        with error:
            return str(error.code)
    except OSError:
        return ""


def until(holds: object, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not holds():  # type: ignore[operator]
        assert time.monotonic() < end, f"not within {seconds} s"
        time.sleep(0.02)


def samples(port: int, metric: str) -> list[dict[str, str]]:
    lines = re.findall(rf"^{metric}{{(.*)}} (\S+)$", fetched(port, "/stats/prometheus"), re.MULTILINE)
    return [{**dict(re.findall(r'(\w+)="([^"]*)"', labels)), "value": value} for labels, value in lines]


def test_requests_have_the_tags_that_telemetry_says(page: tuple[int, int]) -> None:
    serving, scrape = page
    (found,) = samples(scrape, "istio_requests_total")
    assert found["value"] == "5", "what differed in the code only, which has gone, is one"
    assert "response_code" not in found
    assert (found["request_host"], found["destination_port"]) == (f"127.0.0.1:{serving}", str(serving))
    assert (found["destination_x"], found["nobody"], found["missing"]) == ("reviews", "unknown", "unknown")
    assert (found["destination_service_name"], found["destination_service"]) == ("other", HOST)
    assert not any(name.startswith("istio") for name in found)


def test_other_metrics_stay_as_they_are(page: tuple[int, int]) -> None:
    _, scrape = page
    until(lambda: sum(int(s["value"]) for s in samples(scrape, "istio_request_duration_milliseconds_count")) == 5)
    found = samples(scrape, "istio_request_duration_milliseconds_count")
    assert {sample["response_code"]: sample["value"] for sample in found} == {"200": "3", "404": "2"}
    assert "request_host" not in found[0]
    assert not any(name.startswith("istio") for name in found[0])
    assert samples(scrape, "istio_request_bytes_count") == []
    assert fetched(scrape, "/stats/prometheus").count("# TYPE istio_requests_total counter") == 1


def test_prometheus_reads_the_page(page: tuple[int, int], tmp_path: Path) -> None:
    prometheus = shutil.which("prometheus")
    if prometheus is None:
        pytest.skip("there is no Prometheus on this machine (Debian's package is called prometheus)")
    _, scrape = page
    (port,) = free_ports(1)
    job = {"job_name": "mesh", "metrics_path": "/stats/prometheus", "scrape_interval": "1s", "scrape_timeout": "1s"}
    job["static_configs"] = [{"targets": [f"127.0.0.1:{scrape}"]}]  # type: ignore[assignment]
    (tmp_path / "prometheus.yml").write_text(json.dumps({"scrape_configs": [job]}))
    options = [f"--config.file={tmp_path}/prometheus.yml", f"--storage.tsdb.path={tmp_path}/data"]
    process = subprocess.Popen([prometheus, *options, f"--web.listen-address=127.0.0.1:{port}", "--log.level=error"])

    def found(query: str) -> list[dict[str, dict[str, str]]]:
        answer = fetched(port, f"/api/v1/query?query={quote(query)}")
        return json.loads(answer)["data"]["result"] if answer.startswith("{") else []  # type: ignore[no-any-return]

    try:
        until(lambda: found('istio_requests_total{reporter="destination"}'))
        until(lambda: found('istio_request_duration_milliseconds_bucket{le="+Inf",response_code="404"}'))
        (requests,) = found(f'istio_requests_total{{destination_service="{HOST}"}}')
        assert (requests["metric"]["destination_workload"], requests["metric"]["destination_x"]) == (
            "reviews-v1",
            "reviews",
        )
        assert [each["value"][1] for each in found("up")] == ["1"]  # type: ignore[index]
    finally:
        process.terminate()
        process.wait(10)
