"""Istio's samples under the names of their images, as its tasks use them: through sidecars, by `kubectl exec`.

Each test is one task's: what it deploys, what it runs in a pod, and what it reads there.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from typing import Any

import pytest

from mesh_lab.testing import Mesh, Object, destination_rule, route, service, to, virtual_service

from .pods import deployment

SECONDS = 20.0
RUNTIME = "mesh-lab://"


@pytest.fixture(scope="module")
def tasks(mesh_shared: Mesh) -> Mesh:
    """The workloads of all tests; skipped where images come from a registry, which may be out of reach."""
    nodes = mesh_shared.api.list_all("v1", "Node", "")
    runtime = nodes[0]["status"]["nodeInfo"]["containerRuntimeVersion"]
    if not runtime.startswith(RUNTIME):
        pytest.skip(f"images are pulled here, by {runtime}: the lab's programs of their names are not asked for")
    curl = container("docker.io/curlimages/curl:8.16.0", command=["/bin/sleep", "infinity"])
    gunicorn = ["gunicorn", "--access-logfile", "-", "-b", "0.0.0.0:80", "httpbin:app"]
    mesh_shared.apply(
        [
            deployment("curl", curl),
            *served("httpbin", container("docker.io/mccutchen/go-httpbin:v2.15.0"), 8000, 8080),
            *served("older", container("docker.io/kennethreitz/httpbin", command=gunicorn), 8000, 80, "v1", "v2"),
            *served("fortio", container("docker.io/fortio/fortio:latest_release"), 8080, 8080),
            *served(
                "tcp-echo", container("docker.io/istio/tcp-echo-server:1.3", args=["9000,9001", "hello"]), 9000, 9000
            ),
            *served("hello", container("registry.istio.io/release/examples-helloworld-v1:1.0"), 5000, 5000),
        ]
    )
    mesh_shared.ready()
    for name in ("httpbin", "fortio", "tcp-echo", "hello"):
        mesh_shared.wait_endpoints(name, 1)
    mesh_shared.wait_endpoints("older", 2)
    return mesh_shared


def container(image: str, **more: Any) -> Object:
    return {"name": "main", "image": image, "imagePullPolicy": "IfNotPresent", **more}


def served(name: str, what: Object, port: int, target: int, *versions: str) -> list[Object]:
    """A service, and a deployment for each version."""
    protocol = "tcp" if name.startswith("tcp") else "http"
    objects = [service(name, {"app": name}, (protocol, port, target))]
    for version in versions or ("",):
        one = deployment(f"{name}-{version}".rstrip("-"), what)
        labels = {"app": name} | ({"version": version} if version else {})
        one["spec"]["selector"]["matchLabels"] = labels
        one["spec"]["template"]["metadata"]["labels"] = labels
        objects.append(one)
    return objects


def until(check: Callable[[], bool]) -> bool:
    """Whether it holds within the time: an answer that depends on what another proxy has written."""
    end = time.monotonic() + SECONDS
    while not (held := check()) and time.monotonic() < end:
        time.sleep(0.2)
    return held


def curl(tasks: Mesh, *arguments: str) -> str:
    return tasks.exec("deploy/curl", "curl", "-sS", *arguments, container="main")


def test_httpbin_sees_who_asks(tasks: Mesh) -> None:
    headers = json.loads(curl(tasks, "http://httpbin:8000/headers"))["headers"]
    assert f"/ns/{tasks.namespace}/sa/" in headers["X-Forwarded-Client-Cert"][0]
    assert curl(tasks, "-o", "/dev/null", "-w", "%{http_code}", "http://httpbin:8000/status/418") == "418"


def test_mirrored_requests_are_in_the_log_of_the_older_httpbin(tasks: Mesh) -> None:
    mirrored = virtual_service("older", route(to("older", "v1"), mirror={"host": "older", "subset": "v2"}))
    with tasks.applied([destination_rule("older", "v1", "v2"), mirrored]):
        assert json.loads(curl(tasks, "http://older:8000/headers"))["headers"]["Host"].startswith("older")
    for version in ("v1", "v2"):
        name = tasks.pod("older", version)["metadata"]["name"]
        assert until(lambda pod=name: '"GET /headers HTTP/1.1" 200' in tasks.logs(pod, "main")), version


def test_circuit_breaking_is_what_fortio_tells(tasks: Mesh) -> None:
    pool = {"tcp": {"maxConnections": 1}, "http": {"http1MaxPendingRequests": 1, "maxRequestsPerConnection": 1}}
    rule = destination_rule("httpbin", policy={"connectionPool": pool})
    load = ("/usr/bin/fortio", "load", "-c", "3", "-qps", "0", "-n", "30", "-loglevel", "Warning")
    with tasks.applied([rule]):
        said = tasks.exec("deploy/fortio", *load, "http://httpbin:8000/delay/0.05", container="main")
    counts = {int(code): int(count) for code, count in re.findall(r"^Code (\d+) : (\d+) \(", said, re.MULTILINE)}
    assert set(counts) == {200, 503}
    assert sum(counts.values()) == 30
    assert re.search(r"^Sockets used: \d+ \(for perfect keepalive, would be 3\)$", said, re.MULTILINE)


def test_nc_speaks_with_tcp_echo(tasks: Mesh) -> None:
    said = tasks.exec("deploy/curl", "sh", "-c", 'echo "port 9000" | nc tcp-echo 9000', container="main")
    assert said == "hello port 9000\n"


def test_helloworld_tells_its_version_and_its_pod(tasks: Mesh) -> None:
    pod = tasks.pod("hello")["metadata"]["name"]
    assert curl(tasks, "http://hello:5000/hello") == f"Hello version: v1, instance: {pod}\n"


def test_nslookup_finds_a_service(tasks: Mesh) -> None:
    said = tasks.exec("deploy/curl", "nslookup", f"httpbin.{tasks.namespace}.svc.cluster.local", container="main")
    assert re.search(rf"^Name:\thttpbin\.{tasks.namespace}\.svc\.cluster\.local\nAddress: [\d.]+$", said, re.MULTILINE)


def test_the_agent_is_found_where_the_image_of_the_proxy_has_it(tasks: Mesh) -> None:
    said = tasks.exec(
        "deploy/curl", "/usr/local/bin/pilot-agent", "request", "GET", "server_info", container="istio-proxy"
    )
    assert json.loads(said)["state"] == "LIVE"
