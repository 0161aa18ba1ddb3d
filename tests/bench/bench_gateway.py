"""What a changed HTTPRoute costs through a whole lab whose Gateway has many of them: from the API server to Envoy.

    python -m tests.bench.bench_gateway [ROUTES] [--kubeconfig FILE --port HTTP_PORT]   (make bench BENCH=gateway)

On a lab of its own (`bench`, on free ports) unless one is named, at whose ingress gateway the routes are then. A lab
without the Gateway API's definitions gets those of the end-to-end tests. Milliseconds by the clock, of each change:

- `stored`: the API server's own answer to the PATCH, with this program's work on it.
- `served`: from that answer to the first response of Envoy that it makes, asked for every 2 ms.
- `acknowledged`: from that answer until istiod says that each proxy concerned has acknowledged it.

`served` and `acknowledged` are of changes of their own, since each question takes time from what is measured.
Prints figures and judges none: machines differ.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from mesh_lab.client.api import Api
from mesh_lab.client.controlplane import status_of
from mesh_lab.client.objects import Reference
from tests.bench import latency, machine
from tests.e2e.gatewaydefinitions import definitions

ROOT = Path(__file__).resolve().parents[2]
COMMAND = (sys.executable, "-m", "mesh_lab.cli", "--dir", str(ROOT), "--name", "bench")
ENVIRONMENT = os.environ | {f"MESH_LAB_{port}_PORT": "0" for port in ("API", "HTTP", "HTTPS", "TCP")}
V1 = "gateway.networking.k8s.io/v1"
NAMESPACE = "bench-routes"
GATEWAY = "bench"
INGRESS = "istio-ingressgateway.istio-system.svc.cluster.local"
CHANGES = 40
LIMIT_S = 60.0
POLL_S = 0.002
"""Between two questions: without a pause the asking takes a core from what is measured."""
SETTLED_S = 0.5
"""Between two changes: time for the statuses, so that each is measured for itself."""


class Lab(NamedTuple):
    """A lab that is up: its kubeconfig, and where its ingress gateway is reached on this machine."""

    kubeconfig: Path
    port: int


def number(index: int, turn: int = 0) -> dict[str, Any]:
    """The route of one team: a host of its own, a path that tells which change is served, a split, and all else."""
    told = {"type": "RequestRedirect", "requestRedirect": {"hostname": f"t{turn}.example"}}
    probe = {"matches": [_path("/probe")], "filters": [told]}
    split = {"matches": [_path(f"/{index}")], "backendRefs": [_to("reviews", 9), _to("ratings", 1)]}
    spec = {
        "parentRefs": [{"name": GATEWAY}],
        "hostnames": [f"r{index}.example"],
        "rules": [probe, split, {"backendRefs": [_to("details", 1)]}],
    }
    return _made("HTTPRoute", f"r{index:04}", spec)


def main() -> None:
    """Make the routes, change one of them, print."""
    parser = argparse.ArgumentParser(description="A change of one of many HTTPRoutes, through a whole lab.")
    parser.add_argument("routes", nargs="?", type=int, default=1000)
    parser.add_argument("--kubeconfig", type=Path, help="a lab that is up already")
    parser.add_argument("--port", type=int, help="where its ingress gateway is reached")
    options = parser.parse_args()
    if (options.kubeconfig is None) != (options.port is None):
        parser.error("--kubeconfig and --port go together")
    named = Lab(options.kubeconfig, options.port) if options.kubeconfig is not None else None
    chosen = contextlib.nullcontext(named) if named is not None else _lab_of_its_own()
    with chosen as lab, tempfile.TemporaryDirectory() as scratch, Api(lab.kubeconfig, Path(scratch)) as api:
        _write(options.routes, figures(api, lab.port, options.routes))


def figures(api: Api, port: int, routes: int) -> dict[str, dict[str, Any]]:
    """The quantiles of each figure."""
    _define(api)
    api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    try:
        _fill(api, routes)
        stored, served = _served(api, port, routes // 2)
        acknowledged = _acknowledged(api, routes // 2)
    finally:
        api.delete(Reference("v1", "Namespace", NAMESPACE))
    measured = {"stored": stored, "served": served, "acknowledged": acknowledged}
    return {name: latency.quantiles(each) for name, each in measured.items()}


def _define(api: Api) -> None:
    """The Gateway API's definitions, where there are none, and istiod's class, which it then makes."""
    made = list(definitions())
    crd = Reference("apiextensions.k8s.io/v1", "CustomResourceDefinition", made[0]["metadata"]["name"])
    if api.find(crd) is None:
        for each in made:
            api.apply(each)
    _until(lambda: api.find(Reference(V1, "GatewayClass", "istio")) is not None, "istiod makes its class")


def _fill(api: Api, routes: int) -> None:
    """The Gateway, of the pods of Istio's own, and its routes."""
    address = {"type": "Hostname", "value": INGRESS}
    listener = {"name": "http", "port": 80, "protocol": "HTTP"}
    api.apply(_made("Gateway", GATEWAY, {"gatewayClassName": "istio", "addresses": [address], "listeners": [listener]}))
    for service in ("reviews", "ratings", "details"):
        ports = [{"name": "http", "port": 9080}]
        api.apply(
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {"name": service, "namespace": NAMESPACE},
                "spec": {"selector": {"app": service}, "ports": ports},
            }
        )
    for index in range(routes):
        api.apply(number(index))
    asked = status_of(api, findings=False)
    last = Reference(V1, "HTTPRoute", number(routes - 1)["metadata"]["name"], NAMESPACE)
    _until(lambda: asked.config(last, wait=1.0).live, "the gateway has the routes")
    _until(lambda: bool(api.get(last).get("status")), "the routes have their statuses")


def _served(api: Api, port: int, index: int) -> tuple[list[float], list[float]]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT_S)
    host = f"r{index}.example"
    stored, served = [], []
    _until_told(connection, host, 0)
    for turn in range(1, CHANGES + 1):
        time.sleep(SETTLED_S)
        started = time.perf_counter()
        api.patch(_ref(index), number(index, turn))
        answered = time.perf_counter()
        _until_told(connection, host, turn)
        stored.append((answered - started) * 1000)
        served.append((time.perf_counter() - answered) * 1000)
    connection.close()
    return stored, served


def _acknowledged(api: Api, index: int) -> list[float]:
    asked = status_of(api, findings=False)
    found = []
    for turn in range(CHANGES):
        time.sleep(SETTLED_S)
        api.patch(_ref(index), number(index, turn))
        answered = time.perf_counter()
        state = asked.config(_ref(index), wait=LIMIT_S)
        if not state.live or not state.proxies:
            raise AssertionError(f"change {turn} is not live within {LIMIT_S:g} s: {state}")
        found.append((time.perf_counter() - answered) * 1000)
    return found


def _until_told(connection: http.client.HTTPConnection, host: str, turn: int) -> None:
    _until(lambda: _location(connection, host).startswith(f"http://t{turn}."), f"change {turn} is served")


def _location(connection: http.client.HTTPConnection, host: str) -> str:
    connection.request("GET", "/probe", headers={"Host": host})
    with connection.getresponse() as response:
        response.read()
        return response.headers.get("location", "")


def _ref(index: int) -> Reference:
    return Reference(V1, "HTTPRoute", f"r{index:04}", NAMESPACE)


def _until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {LIMIT_S:g} s: {what}")
        time.sleep(POLL_S)


def _made(kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": V1, "kind": kind, "metadata": {"name": name, "namespace": NAMESPACE}, "spec": spec}


def _path(value: str) -> dict[str, Any]:
    return {"path": {"type": "PathPrefix", "value": value}}


def _to(name: str, weight: int) -> dict[str, Any]:
    return {"name": name, "port": 9080, "weight": weight}


@contextlib.contextmanager
def _lab_of_its_own() -> Iterator[Lab]:
    _run("reset")
    try:
        _run("up")
        status = json.loads(_run("status", "-o", "json"))
        yield Lab(Path(status["kubeconfig"]), status["ports"]["http"])
    finally:
        _run("reset")


def _run(*arguments: str) -> str:
    done = subprocess.run(
        [*COMMAND, *arguments], env=ENVIRONMENT, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )
    if done.returncode:
        raise SystemExit(f"mesh-lab {' '.join(arguments)} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


def _write(routes: int, measured: dict[str, dict[str, Any]]) -> None:
    host = machine.describe()
    sys.stdout.write(f"{host['processor']}, {host['cores']} cores, load before: {host['load_before']}\n")
    sys.stdout.write(f"{routes} HTTPRoutes on one Gateway, one changes; milliseconds\n")
    for name, spread in measured.items():
        sys.stdout.write(f"{name:14}" + ", ".join(f"{quantile} {value:g}" for quantile, value in spread.items()) + "\n")


if __name__ == "__main__":
    main()
