"""Hosts outside of the mesh that a ServiceEntry makes known, and what holds for calls to them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import Any

import pytest

from mesh_lab.testing import Mesh, Object, Reference, destination_rule, eventually

pytestmark = [
    pytest.mark.mesh_clusters("embedded"),
    pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed, which containers have of the host"),
]
HTTP, HTTPS = (
    {"number": 80, "name": "http", "protocol": "HTTP"},
    {"number": 443, "name": "https", "protocol": "HTTPS"},
)
Shell = Callable[[str], str]


@pytest.fixture(scope="module")
def run(mesh_shared: Mesh) -> Shell:
    """Run a script in a pod with a sidecar; return what it prints, both streams."""
    mesh_shared.deploy_client("caller")
    mesh_shared.ready()
    name = mesh_shared.pod("caller")["metadata"]["name"]
    return lambda script: mesh_shared.exec(name, "sh", "-c", f"({script}) 2>&1 || true")


def resource(kind: str, name: str, spec: dict[str, Any]) -> Object:
    return {"apiVersion": "networking.istio.io/v1", "kind": kind, "metadata": {"name": name}, "spec": spec}


def entry(host: str, *ports: dict[str, Any], resolution: str = "DNS", **more: Any) -> Object:
    name = host.removeprefix("*.").replace(".", "-")
    return resource("ServiceEntry", name, {"hosts": [host], "ports": list(ports), "resolution": resolution, **more})


def code(run: Shell, url: str) -> str:
    return run(f"curl -s -o /dev/null -w '%{{http_code}}' {url}")


def logged(mesh: Mesh, words: str) -> None:
    """The sidecar has logged a line with these words."""
    name = mesh.pod("caller")["metadata"]["name"]
    eventually(lambda: words in mesh.logs(name, "istio-proxy"), timeout=20, why=f"the access log has {words}")


@pytest.fixture
def only_registry(mesh_shared: Mesh, run: Shell) -> Any:
    """Calls to hosts that the mesh does not know are refused."""
    limits = {"outboundTrafficPolicy": {"mode": "REGISTRY_ONLY"}, "egress": [{"hosts": ["./*"]}]}
    with mesh_shared.applied([resource("Sidecar", "only-registry", limits)]):
        yield run


def test_only_hosts_that_are_known_are_reached(mesh_shared: Mesh, only_registry: Shell) -> None:
    assert code(only_registry, "https://www.google.com") == "000"
    with mesh_shared.applied([entry("httpbin.org", HTTP), entry("www.google.com", HTTPS)]):
        assert code(only_registry, "http://httpbin.org/status/418") == "418"
        assert code(only_registry, "http://istio.io/") == "502"
        assert code(only_registry, "https://www.google.com") == "200"
        assert code(only_registry, "https://edition.cnn.com") == "000"
        logged(mesh_shared, "outbound|80||httpbin.org")
        logged(mesh_shared, "outbound|443||www.google.com")


def test_routes_hold_for_calls_to_it(mesh_shared: Mesh, run: Shell) -> None:
    rule = {"timeout": "1s", "route": [{"destination": {"host": "httpbin.org"}}]}
    route = resource("VirtualService", "httpbin", {"hosts": ["httpbin.org"], "http": [rule]})
    with mesh_shared.applied([entry("httpbin.org", HTTP), route]):
        assert code(run, "http://httpbin.org/delay/5") == "504"


def test_the_sidecar_begins_tls(mesh_shared: Mesh, run: Shell) -> None:
    rule = destination_rule("edition.cnn.com")
    port = {"port": {"number": 80}, "tls": {"mode": "SIMPLE"}}
    rule["metadata"]["name"] = "originate"
    rule["spec"] = {"host": "edition.cnn.com", "trafficPolicy": {"portLevelSettings": [port]}}
    plain = entry("edition.cnn.com", HTTP, HTTPS)
    with mesh_shared.applied([plain]):
        assert code(run, "http://edition.cnn.com/politics") == "301"
    with mesh_shared.applied([entry("edition.cnn.com", {**HTTP, "targetPort": 443}, HTTPS), rule]):
        assert code(run, "http://edition.cnn.com/politics") == "200"
        assert code(run, "https://edition.cnn.com/politics") == "200"


def test_a_wildcard_stands_for_all_names_below(mesh_shared: Mesh, only_registry: Shell) -> None:
    with mesh_shared.applied([entry("*.wikipedia.org", HTTPS, resolution="NONE")]):
        for name in ("en", "de"):
            assert code(only_registry, f"https://{name}.wikipedia.org/") == "200"
    assert code(only_registry, "https://en.wikipedia.org/") == "000"


def test_names_below_a_wildcard_are_looked_up_one_by_one(mesh_shared: Mesh, only_registry: Shell) -> None:
    """The address that the client connects to does not count."""
    elsewhere = "--resolve en.wikipedia.org:443:192.0.2.1 --resolve en.wikipedia.org:80:192.0.2.1 -m 5"
    tls = {"number": 443, "name": "tls", "protocol": "TLS"}
    with mesh_shared.applied([entry("*.wikipedia.org", HTTP, tls, resolution="DYNAMIC_DNS")]):
        assert code(only_registry, f"https://en.wikipedia.org/ {elsewhere}") == "200"
        assert code(only_registry, f"http://en.wikipedia.org/ {elsewhere}") == "301"
        assert code(only_registry, "https://de.wikipedia.org/") == "200"
        assert code(only_registry, "http://no.such.wikipedia.example/") == "000"
        assert code(only_registry, "https://www.google.com/") == "000"
        logged(mesh_shared, "outbound|443||*.wikipedia.org")


def test_a_host_that_only_an_entry_knows_has_its_address(mesh_shared: Mesh, run: Shell) -> None:
    with mesh_shared.applied([entry("address.internal", HTTP, resolution="NONE", addresses=["198.51.100.1"])]):
        eventually(
            lambda: "Trying 198.51.100.1:80" in run("curl -sS -v -m 3 http://address.internal"),
            timeout=30,
            why="the name resolves",
        )


CAPTURING = {"proxy.istio.io/config": 'proxyMetadata: {ISTIO_META_DNS_CAPTURE: "true"}'}


@pytest.fixture(scope="module")
def asking(mesh_shared: Mesh) -> Shell:
    """Run a script in a pod whose sidecar answers what it asks of DNS."""
    mesh_shared.deploy_client("asking", annotations=CAPTURING)
    mesh_shared.ready()
    name = mesh_shared.pod("asking")["metadata"]["name"]
    return lambda script: mesh_shared.exec(name, "sh", "-c", f"({script}) 2>&1 || true")


def given(mesh: Mesh, host: str) -> str:
    """The address that the host of an entry was given."""
    ref = Reference("networking.istio.io/v1", "ServiceEntry", host.replace(".", "-"), mesh.namespace)
    found = mesh.api.get(ref).get("status", {}).get("addresses", [])
    return next((str(each["value"]) for each in found if each["host"] == host), "")


def leads_to_address(mesh: Mesh, asking: Shell, host: str, site: str) -> str:
    """The host has an address, by which a site answers; that address."""
    eventually(lambda: given(mesh, host), timeout=20, why=f"{host} is given an address")
    address = given(mesh, host)

    def told() -> str:
        return asking(f"curl -sS -m 5 -v -H 'Host: {site}' -o /dev/null http://{host}:9000/")

    eventually(lambda: f"Connected to {host} ({address}) port 9000" in told(), timeout=20, why=f"it leads to {address}")
    assert "< HTTP/1.1 200" in told()
    return address


def test_hosts_without_an_address_are_given_one_that_tells_them_apart(
    mesh_shared: Mesh, asking: Shell, run: Shell
) -> None:
    port = {"number": 9000, "name": "tcp", "protocol": "TCP"}
    sites = {"one.internal": "httpbin.org", "two.internal": "istio.io"}
    entries = [entry(host, port, endpoints=[{"address": site, "ports": {"tcp": 80}}]) for host, site in sites.items()]
    with mesh_shared.applied(entries):
        addresses = {leads_to_address(mesh_shared, asking, host, site) for host, site in sites.items()}
        assert len(addresses) == 2
        assert all(address.startswith("240.240.") for address in addresses)
        assert "Could not resolve host" in run("curl -sS http://one.internal:9000/")
    assert "Could not resolve host" in asking("curl -sS http://no.such.example/")
    assert code(asking, "https://www.google.com") == "200"
