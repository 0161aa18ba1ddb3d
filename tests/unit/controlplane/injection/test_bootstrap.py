"""The bootstrap is one that Envoy takes."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from mesh_lab.controlplane.injection import probes
from mesh_lab.controlplane.injection.bootstrap import ProxySettings, arguments, config
from mesh_lab.controlplane.trust.ca import Authority
from mesh_lab.controlplane.world.podsettings import Statistics, StatsMatcher
from mesh_lab.controlplane.world.proxy import ProxyKind
from tests.unit.controlplane.mesh import ENVOY

APPLICATION = {
    "name": "app",
    "ports": [{"name": "web", "containerPort": 9080}],
    "readinessProbe": {"httpGet": {"path": "/health?deep=1", "port": "web"}, "timeoutSeconds": 3},
    "livenessProbe": {"tcpSocket": {"port": 9080}},
    "startupProbe": {"grpc": {"port": 9081, "service": "greeter"}},
    "lifecycle": {"preStop": {"httpGet": {"path": "/leave", "port": 9080}}},
}


def in_directory(text: str, directory: Path) -> str:
    return text.replace("/var/run/secrets", str(directory)).replace("$(INSTANCE_IP)", "127.0.0.1")


MORE = StatsMatcher(("a",), ("b",), ("c.*",))


@pytest.mark.parametrize("stats", [StatsMatcher(), MORE], ids=["usual statistics", "more statistics"])
@pytest.mark.parametrize("kind", ["sidecar", "router"])
def test_envoy_takes_it_without_a_word_of_warning(tmp_path: Path, kind: str, stats: StatsMatcher) -> None:
    for part, name, content in (
        ("tokens", "istio-token", "token"),
        ("istio", "root-cert.pem", Authority.create("x").roots.decode()),
    ):
        (tmp_path / part).mkdir(exist_ok=True)
        (tmp_path / part / name).write_text(content)
    _, answered = probes.rewrite(APPLICATION)
    https = probes.rewrite({"name": "b", "livenessProbe": {"httpGet": {"port": 443, "scheme": "HTTPS"}}})[1]
    settings = ProxySettings(
        "router" if kind == "router" else "sidecar",
        probes=(*answered, *https),
        stats=Statistics(stats, "2s", {"istio": (1, 5, 10)}),
        component_log_level="misc:error,rbac:debug",
        file_flush_milliseconds=500,
        file_flush_kilobytes=8,
        runtime={"a.flag": True, "a.number": 2.5},
        metadata={"DNS_CAPTURE": "true"},
    )
    given = [in_directory(argument, tmp_path) for argument in arguments(settings)]
    checked = subprocess.run([ENVOY, "--mode", "validate", *given], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr
    assert "warning" not in checked.stderr.lower(), checked.stderr
    assert "deprecated" not in checked.stderr.lower(), checked.stderr


def test_a_proxy_has_one_worker_and_takes_turns_unless_configured_otherwise() -> None:
    def workers(settings: ProxySettings) -> str:
        given = arguments(settings)
        return given[given.index("--concurrency") + 1]

    assert (workers(ProxySettings("sidecar")), workers(ProxySettings("sidecar", concurrency=2))) == ("1", "2")
    (layer,) = config(ProxySettings("sidecar"))["layered_runtime"]["layers"]
    assert layer["static_layer"]["http.max_requests_per_io_cycle"] == 16


@pytest.mark.parametrize("more", [("a", "", ""), ("", "b", ""), ("", "", "c.*"), ("", "", "")])
def test_http2_fills_its_histograms_where_somebody_asks_for_statistics(more: tuple[str, ...]) -> None:
    stats = StatsMatcher(*(tuple(filter(None, [each])) for each in more))
    (layer,) = config(ProxySettings("sidecar", stats=Statistics(stats)))["layered_runtime"]["layers"]
    assert layer["static_layer"]["envoy.reloadable_features.http2_record_histograms"] is any(more)


def tagged(name: str) -> tuple[str, dict[str, str]]:
    """A statistic as Envoy tells it: without what its tags were taken from."""
    tags = {}
    for tag in config(ProxySettings("sidecar"))["stats_config"]["stats_tags"]:
        found = re.search(tag["regex"].replace("[:digit:]", "0-9"), name)
        if found is not None:
            tags[tag["tag_name"]] = found[2]
            name = name.replace(found[1], "", 1)
    return name, tags


def test_what_was_allowed_and_what_would_have_been_are_distinguished_as_istio_does() -> None:
    inbound = "http.inbound_0.0.0.0_9080.rbac"
    assert tagged(f"{inbound}.denied") == (
        "http.rbac",
        {"http_conn_manager_prefix": "inbound_0.0.0.0_9080", "authz_enforce_result": "denied"},
    )
    dry = {"authz_dry_run_action": "deny", "authz_dry_run_result": "allowed"}
    assert tagged(f"{inbound}.istio_dry_run_deny_.shadow_allowed") == (
        "http.rbac",
        {"http_conn_manager_prefix": "inbound_0.0.0.0_9080", **dry},
    )
    assert tagged("tcp.rbac.istio_dry_run_deny_.shadow_allowed") == ("tcp.rbac", dry)
    assert tagged("http.stats.downstream_rq_active")[1] == {"http_conn_manager_prefix": "stats"}


@pytest.mark.parametrize(("kind", "kept"), [("sidecar", False), ("router", True)])
def test_only_a_gateway_takes_many_cancelled_requests_for_an_attack(kind: ProxyKind, kept: bool) -> None:
    (layer,) = config(ProxySettings(kind))["layered_runtime"]["layers"]
    assert ("overload.premature_reset_total_stream_count" not in layer["static_layer"]) is kept


def test_kubernetes_replaces_each_variable_and_nothing_else() -> None:
    text = json.dumps(config(ProxySettings("sidecar", "reviews-v1")))
    names = {part.partition(")")[0] for part in text.split("$(")[1:]}
    assert names == {"INSTANCE_IP", "POD_NAME", "POD_NAMESPACE", "SERVICE_ACCOUNT"}
    assert "$$" not in text


def test_no_more_of_the_administration_interface_leads_outside_than_three_questions() -> None:
    listeners = config(ProxySettings("sidecar"))["static_resources"]["listeners"]
    routes = [
        route
        for listener in listeners
        if listener["address"]["socket_address"]["address"] != "127.0.0.1"
        for host in listener["filter_chains"][0]["filters"][0]["typed_config"]["route_config"]["virtual_hosts"]
        for route in host["routes"]
        if "envoy.filters.http.rbac" not in route.get("typed_per_filter_config", {})
    ]
    paths = {(route["match"]["path"], route["route"]["prefix_rewrite"]) for route in routes}
    assert paths == {
        ("/healthz/ready", "/ready"),
        ("/metrics", "/stats/prometheus"),
        ("/stats/prometheus", "/stats/prometheus"),
    }


def test_a_user_within_the_pod_sees_the_administration_interface_with_istios_metrics() -> None:
    listeners = config(ProxySettings("sidecar"))["static_resources"]["listeners"]
    (inner,) = (
        each for each in listeners if each["address"]["socket_address"] == {"address": "127.0.0.1", "port_value": 15000}
    )
    (host,) = inner["filter_chains"][0]["filters"][0]["typed_config"]["route_config"]["virtual_hosts"]
    assert [(route["match"], route["route"]["cluster"]) for route in host["routes"]] == [
        ({"path": "/stats/prometheus"}, "stats"),
        ({"prefix": "/"}, "admin"),
    ]


def test_a_span_is_of_the_app_as_in_istio() -> None:
    assert config(ProxySettings("sidecar", "reviews-v1", "reviews"))["node"]["cluster"] == "reviews.$(POD_NAMESPACE)"
    assert config(ProxySettings("sidecar", "reviews-v1"))["node"]["cluster"] == "reviews-v1.$(POD_NAMESPACE)"
