"""The lab's internet: names outside of the cluster, as pods with and without a sidecar reach them."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mesh_lab.testing import Api, Mesh, Object, destination_rule, eventually, gateway

from .conftest import ROOT
from .pods import deployment, shell

pytestmark = [
    pytest.mark.mesh_clusters("embedded"),
    pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed, which containers have of the host"),
]
JWKS = "https://raw.githubusercontent.com/istio/istio/release-1.30/security/tools/jwt/samples/jwks.json"
TITLE = "| grep -o '<title>.*</title>'"

Shell = Callable[[str], str]


@pytest.fixture(scope="module", params=["sidecar", "plain"])
def run(request: pytest.FixtureRequest, mesh_shared: Mesh, outside: Mesh) -> Shell:
    """Run a script in a pod with or without a sidecar; return what it prints, both streams."""
    mesh = mesh_shared if request.param == "sidecar" else outside
    return in_a_pod(mesh)


def in_a_pod(mesh: Mesh) -> Shell:
    mesh.deploy_client("caller")
    mesh.ready()
    name = mesh.pod("caller")["metadata"]["name"]
    return lambda script: mesh.exec(name, "sh", "-c", f"({script}) 2>&1 || true")


def test_https_is_trusted_and_speaks_http2(run: Shell) -> None:
    for name in ("www.google.com", "edition.cnn.com", "httpbin.org", "www.googleapis.com"):
        assert run(f"curl -sSI https://{name} | grep HTTP/").strip() == "HTTP/2 200"


def test_a_site_redirects_plain_http_to_https(run: Shell) -> None:
    seen = run("curl -sSL -o /dev/null -D - http://edition.cnn.com/politics").replace("\r", "")
    assert "HTTP/1.1 301 Moved Permanently\n" in seen
    assert "location: https://edition.cnn.com/politics\n" in seen
    assert "\n\nHTTP/2 200" in seen


def test_names_below_a_wildcard_answer_by_name_and_by_address(run: Shell) -> None:
    assert "<title>Wikipedia, the free encyclopedia</title>" in run(f"curl -s https://en.wikipedia.org/wiki/ {TITLE}")
    assert "<title>Wikipedia – Die freie Enzyklopädie</title>" in run(f"curl -s https://de.wikipedia.org/ {TITLE}")
    elsewhere = "--resolve fr.wikipedia.org:443:208.80.153.224"
    assert "<title>Wikipedia</title>" in run(f"curl -sS {elsewhere} https://fr.wikipedia.org/ {TITLE}")


def test_httpbin_says_what_it_got(run: Shell) -> None:
    seen = json.loads(run("curl -sS http://httpbin.org/headers"))
    assert seen["headers"]["Host"] == "httpbin.org"
    assert run("curl -sS -o /dev/null -w '%{http_code}' http://httpbin.org/status/418") == "418"
    assert "10.244." in json.loads(run("curl -sS https://httpbin.org/ip"))["origin"]


def test_the_keys_of_istios_jwt_samples_are_there_for_every_client(run: Shell) -> None:
    (key,) = json.loads(run(f"curl -sS {JWKS}"))["keys"]
    assert key["kty"] == "RSA"
    program = f"import urllib.request as r; print(r.urlopen('{JWKS}', timeout=10).status)"
    assert run(f'python3 -c "{program}"').strip() == "200"


def test_any_other_name_does_not_exist(run: Shell) -> None:
    assert "Could not resolve host" in run("curl -sS http://no.such.example/")


def test_no_object_of_kubernetes_tells_of_it(mesh_shared: Mesh) -> None:
    listed = mesh_shared.api.kubectl("get", "nodes,services,endpointslices,pods", "--all-namespaces", "-o", "json")
    assert "198.18." not in listed


def external(name: str, target: str, port: int) -> Object:
    ports = [{"name": "http", "port": port, "protocol": "TCP"}]
    spec = {"type": "ExternalName", "externalName": target, "ports": ports}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}


def test_an_external_name_leads_there(mesh_shared: Mesh, run: Shell) -> None:
    mesh_shared.apply(external("alias", "httpbin.org", 80))
    name = f"alias.{mesh_shared.namespace}.svc.cluster.local"

    def told() -> str:
        return run(f"curl -sS http://{name}/headers")

    eventually(lambda: name in told(), timeout=30, why="httpbin tells the alias as its host")


def test_a_server_outside_is_told_which_workload_calls(mesh_shared: Mesh) -> None:
    run = in_a_pod(mesh_shared)
    assert "X-Envoy-Peer-Metadata" in run("curl -sS http://httpbin.org/headers")


def by_address(name: str, address: str, port: int) -> list[Object]:
    """A Service without a selector, whose port 80 leads to a port of an address that somebody has written down."""
    service: Object = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}}
    endpoints: Object = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": name, "labels": {"kubernetes.io/service-name": name}},
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": port, "protocol": "TCP"}],
        "endpoints": [{"addresses": [address], "conditions": {"ready": True}}],
    }
    return [service | {"spec": {"ports": [{"name": "http", "port": 80, "targetPort": port}]}}, endpoints]


def test_a_proxy_trusts_it_where_it_originates_tls(mesh_shared: Mesh) -> None:
    run = in_a_pod(mesh_shared)
    address = run("getent hosts httpbin.org").split()[0]
    mesh_shared.apply(by_address("secure", address, 443))
    mesh_shared.wait_endpoints("secure", 1)
    host = f"secure.{mesh_shared.namespace}.svc.cluster.local"

    def code(names: list[str]) -> str:
        tls = {"mode": "SIMPLE", "sni": "httpbin.org", "subjectAltNames": names}
        rule = destination_rule("secure")
        rule["spec"] = {"host": host, "trafficPolicy": {"tls": tls}}
        with mesh_shared.applied([rule]):
            return run(f"curl -sS -o /dev/null -w '%{{http_code}}' http://{host}/get")

    assert code(["httpbin.org"]) == "200"
    assert code(["other.example"]) == "503"


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """A lab of its own with the profile demo."""
    directory = tmp_path_factory.mktemp("demo")
    (directory / "lab.toml").write_text("[ports]\napi = 0\nhttp = 0\nhttps = 0\ntcp = 0\n")

    def lab(*arguments: str) -> None:
        command = [sys.executable, "-m", "mesh_lab.cli", "--dir", str(directory), "--name", "demo", *arguments]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    try:
        lab("up", "--quiet", "--profile", "demo")
        with Api(Path(directory, ".lab-demo", "kubeconfig")) as api:
            yield api
    finally:
        lab("reset")


@pytest.mark.timeout(300)
def test_the_profile_demo_has_an_egress_gateway_and_a_way_in_for_tcp(demo: Api) -> None:
    def looked_up(path: str, *what: str) -> str:
        return demo.kubectl("-n", "istio-system", "get", *what, "-o", f"jsonpath={path}")

    assert looked_up("{.items[*].status.phase}", "pods", "-l", "istio=egressgateway") == "Running"
    account = looked_up("{.items[0].spec.serviceAccountName}", "pods", "-l", "istio=egressgateway")
    assert account == "istio-egressgateway-service-account"
    assert looked_up("{.spec.ports[*].port}", "service", "istio-egressgateway") == "80 443"
    ingress = ("service", "istio-ingressgateway")
    assert looked_up('{.spec.ports[?(@.name=="tls")].port}', *ingress) == "15443"

    echo = deployment("tcp-echo", shell("exec mesh-lab-app tcp-echo 9000 hello"))
    ports = [{"name": "tcp", "port": 9000, "protocol": "TCP"}]
    target = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "tcp-echo"}}
    server = {"port": {"number": 31400, "name": "tcp", "protocol": "TCP"}, "hosts": ["*"]}
    routes = {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": "tcp"},
        "spec": {
            "hosts": ["*"],
            "gateways": ["tcp"],
            "tcp": [{"route": [{"destination": {"host": "tcp-echo", "port": {"number": 9000}}}]}],
        },
    }
    service = target | {"spec": {"selector": {"app": "tcp-echo"}, "ports": ports}}
    for obj in (echo, service, gateway("tcp", server), routes):
        demo.apply(obj | {"metadata": obj["metadata"] | {"namespace": "default"}})
    balanced = looked_up("{.status.loadBalancer.ingress[0].ip}", *ingress)
    by_node = looked_up("{.items[0].status.hostIP}", "pods", "-l", "istio=ingressgateway")
    ways = [
        (balanced, looked_up('{.spec.ports[?(@.name=="tcp")].port}', *ingress)),
        (by_node, looked_up('{.spec.ports[?(@.name=="tcp")].nodePort}', *ingress)),
    ]
    for address, port in ways:
        place = address, int(port)
        eventually(lambda to=place: _echoed(to) == b"hello world\n", timeout=60, why=f"{place} leads in")


def _echoed(place: tuple[str, int]) -> bytes:
    try:
        with socket.create_connection(place, timeout=5) as client:
            client.sendall(b"world\n")
            return client.recv(64)
    except OSError:
        return b""
