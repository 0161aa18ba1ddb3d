"""Metrics over mutual TLS, and those for the pod itself only."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from mesh_lab.controlplane.injection import securemetrics
from mesh_lab.controlplane.injection.bootstrap import ProxySettings, arguments, config
from mesh_lab.controlplane.injection.injector import Place, inject
from mesh_lab.controlplane.injection.securemetrics import SecureMetrics
from mesh_lab.controlplane.trust.ca import Authority
from tests.unit.controlplane.injection.injected import bootstrap_of, named, pod, proxy_of
from tests.unit.controlplane.mesh import ENVOY

BOTH = {"ENVOY_SECURE_METRICS_PORT": "15091", "ENVOY_SECURE_MERGED_METRICS_PORT": "15092"}


def listeners(secure: SecureMetrics) -> dict[str, dict[str, Any]]:
    document = config(ProxySettings("sidecar", secure=secure))
    return {listener["name"]: listener for listener in document["static_resources"]["listeners"]}


@pytest.mark.parametrize(
    ("variables", "found"),
    [
        ({}, SecureMetrics()),
        ({"ENVOY_SECURE_METRICS_PORT": "0"}, SecureMetrics()),
        (BOTH, SecureMetrics(15091, 15092)),
        ({"METRICS_LOCALHOST_ACCESS_ONLY": "true"}, SecureMetrics(local_only=True)),
        ({"METRICS_LOCALHOST_ACCESS_ONLY": "false"}, SecureMetrics()),
    ],
)
def test_they_are_asked_for_by_variables(variables: Mapping[str, str], found: SecureMetrics) -> None:
    assert securemetrics.of(variables) == found


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("x", "'x' is not a port"),
        ("-1", "'-1' is not a port"),
        ("70000", "'70000' is not a port"),
        ("15090", "15090 is a port of the proxy's own already"),
        ("15020", "15020 is a port of the proxy's own already"),
        ("15092", "both ask for port 15092"),
    ],
)
def test_a_port_that_cannot_be_had_is_refused(value: str, words: str) -> None:
    with pytest.raises(ValueError, match=words) as failure:
        securemetrics.of({**BOTH, "ENVOY_SECURE_METRICS_PORT": value})
    assert "ENVOY_SECURE_METRICS_PORT" in str(failure.value)


def test_clients_have_to_show_a_certificate_of_the_mesh() -> None:
    found = listeners(SecureMetrics(15091, 15092))
    for port, cluster in ((15091, "stats"), (15092, "merged-metrics")):
        (chain,) = found[f"0.0.0.0_{port}"]["filter_chains"]
        assert chain["filter_chain_match"] == {"transport_protocol": "tls"}
        context = chain["transport_socket"]["typed_config"]
        assert context["require_client_certificate"]
        trusted = context["common_tls_context"]["combined_validation_context"]["validation_context_sds_secret_config"]
        assert trusted["name"] == "ROOTCA"
        routes = chain["filters"][0]["typed_config"]["route_config"]["virtual_hosts"][0]["routes"]
        assert {route["route"]["cluster"] for route in routes} == {cluster}
    assert not [name for name in listeners(SecureMetrics()) if name.startswith("0.0.0.0_")]


def test_those_without_tls_may_be_the_pods_own() -> None:
    def opened(secure: SecureMetrics) -> tuple[str, bool]:
        found = listeners(secure)
        manager = found["status"]["filter_chains"][0]["filters"][0]["typed_config"]
        (metrics,) = (
            route
            for route in manager["route_config"]["virtual_hosts"][0]["routes"]
            if route["match"].get("path") == "/stats/prometheus"
        )
        limited = "envoy.filters.http.rbac" in metrics["typed_per_filter_config"]
        return found["stats"]["address"]["socket_address"]["address"], limited

    assert opened(SecureMetrics()) == ("0.0.0.0", False)
    assert opened(SecureMetrics(local_only=True)) == ("127.0.0.1", True)


def test_envoy_takes_them(tmp_path: Path) -> None:
    for part, name in (("tokens", "istio-token"), ("istio", "root-cert.pem")):
        (tmp_path / part).mkdir()
        (tmp_path / part / name).write_bytes(Authority.create("x").roots)
    settings = ProxySettings("sidecar", secure=SecureMetrics(15091, 15092, local_only=True))
    given = [each.replace("/var/run/secrets", str(tmp_path)) for each in arguments(settings)]
    given = [each.replace("$(INSTANCE_IP)", "127.0.0.1") for each in given]
    checked = subprocess.run([ENVOY, "--mode", "validate", *given], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr


def asking(**annotations: str) -> dict[str, Any]:
    lines = [f'  {name}: "{value}"' for name, value in BOTH.items()]
    text = "\n".join(["proxyMetadata:", *lines])
    return inject(pod({"proxy.istio.io/config": text, **annotations}), Place(), "default")


def test_a_pod_that_asks_for_them_has_them_and_says_so() -> None:
    found = asking()
    names = {each["name"] for each in bootstrap_of(proxy_of(found))["static_resources"]["listeners"]}
    assert {"0.0.0.0_15091", "0.0.0.0_15092"} <= names
    assert found["metadata"]["annotations"]["prometheus.istio.io/secure-port"] == "15092"
    own = asking(**{"prometheus.istio.io/secure-port": "1"})
    assert own["metadata"]["annotations"]["prometheus.istio.io/secure-port"] == "1"


def test_what_goes_to_them_is_not_redirected_to_what_the_pod_receives() -> None:
    (rules,) = (str(each) for each in [named(asking()["spec"]["initContainers"], "istio-init")])
    assert "15091" in rules
    assert "15092" in rules


def test_a_gateway_asks_by_its_containers_variables() -> None:
    router = {"name": "istio-proxy", "image": "auto", "env": [{"name": n, "value": v} for n, v in BOTH.items()]}
    made = {"metadata": {"annotations": {"inject.istio.io/templates": "gateway"}}, "spec": {"containers": [router]}}
    found = inject(made, Place(), "default")
    names = {each["name"] for each in bootstrap_of(proxy_of(found))["static_resources"]["listeners"]}
    assert {"0.0.0.0_15091", "0.0.0.0_15092"} <= names
    assert found["metadata"]["annotations"]["prometheus.istio.io/secure-port"] == "15092"
