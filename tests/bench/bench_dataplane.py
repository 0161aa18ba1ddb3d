"""What the mesh's sidecars cost: requests a second through them, against two Envoys configured by hand.

Both ways are the same: wrk → Envoy → mutual TLS, HTTP/2 → Envoy → a server that answers at once. They are measured in
turn, many times for a second each, so that a machine whose speed drifts slows both; the last line is JSON with the
median of the pairs' ratios and the quartiles, which tell how far to trust it. Needs wrk on the machine (Debian's
package `wrk`) and a lab that is up, in which it makes two namespaces and removes them.
"""

from __future__ import annotations

import argparse
import base64
import json
import re
import shutil
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from mesh_lab.client.api import Api
from mesh_lab.harness.mesh import Mesh
from mesh_lab.harness.namespaces import Namespaces
from tests.bench import envoys
from tests.e2e.certificates import issue

Object = dict[str, Any]

ENVOY = "mesh-lab/proxyv2"
READY_S = 60.0


def main() -> int:
    """Measure, print a line a round, then the JSON."""
    options = _options()
    if shutil.which("wrk") is None:
        sys.stderr.write("wrk is missing: apt-get install wrk\n")
        return 1
    with tempfile.TemporaryDirectory() as scratch:
        api = Api(options.kubeconfig, Path(scratch))
        namespaces = Namespaces(api, "bench-dataplane")
        try:
            meshed = Mesh(api, namespaces.create("meshed", injection=True))
            by_hand = Mesh(api, namespaces.create("by-hand", injection=False))
            _deploy(meshed, by_hand)
            figures = _measure(meshed, by_hand, options)
        finally:
            namespaces.remove_all(READY_S)
            api.close()
    sys.stdout.write(json.dumps(figures) + "\n")
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.bench_dataplane", description="The sidecars' cost.")
    parser.add_argument("--kubeconfig", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=25, help="pairs of runs, after one that does not count")
    parser.add_argument("--seconds", type=int, default=1, help="the length of a run (default 1)")
    parser.add_argument("--connections", type=int, default=64)
    return parser.parse_args()


def _measure(meshed: Mesh, by_hand: Mesh, options: argparse.Namespace) -> Object:
    ways = (
        (meshed, f"http://server.{meshed.namespace}:{envoys.BACKEND_PORT}/"),
        (by_hand, f"http://127.0.0.1:{envoys.CLIENT_PORT}/"),
    )
    rounds = []
    for number in range(options.rounds + 1):
        pair = [_requests_a_second(mesh, url, options) for mesh, url in ways]
        if number:
            rounds.append(pair)
            sys.stdout.write(f"sidecars {pair[0]:8.0f}   by hand {pair[1]:8.0f}   ratio {pair[0] / pair[1]:.3f}\n")
    sidecars, hands = (statistics.median(column) for column in zip(*rounds, strict=True))
    low, ratio, high = statistics.quantiles((a / b for a, b in rounds), n=4, method="inclusive")
    return {
        "sidecars_rps": round(sidecars),
        "by_hand_rps": round(hands),
        "ratio": round(ratio, 3),
        "quartiles": [round(low, 3), round(high, 3)],
        "rounds": len(rounds),
        "connections": options.connections,
    }


def _requests_a_second(mesh: Mesh, url: str, options: argparse.Namespace) -> float:
    pod = mesh.pod("client")["metadata"]["name"]
    wrk = ("wrk", "-t1", f"-c{options.connections}", f"-d{options.seconds}s", url)
    said = mesh.api.kubectl("exec", "-n", mesh.namespace, pod, "-c", "wrk", "--", *wrk, timeout=options.seconds + 30)
    found = re.search(r"Requests/sec:\s+([0-9.]+)", said)
    if found is None or "Non-2xx" in said or "Socket errors" in said:
        raise AssertionError(f"wrk met errors on {url}:\n{said}")
    return float(found[1])


def _deploy(meshed: Mesh, by_hand: Mesh) -> None:
    meshed.apply([_service(envoys.BACKEND_PORT), _pod("server", _envoy("backend", envoys.backend()))])
    meshed.apply([_pod("client", _wrk())])
    by_hand.apply([_certificates(), _service(envoys.SERVER_PORT)])
    by_hand.apply(
        [
            _pod("server", _envoy("backend", envoys.backend()), _envoy("proxy", envoys.server_side())),
            _pod("client", _wrk(), _envoy("proxy", envoys.client_side(f"server.{by_hand.namespace}"))),
        ]
    )
    for mesh in (meshed, by_hand):
        mesh.ready()


def _service(port: int) -> Object:
    spec = {"selector": {"app": "server"}, "ports": [{"name": "http", "port": port}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "server"}, "spec": spec}


def _certificates() -> Object:
    issued = issue("server")
    files = {"tls.crt": issued.certificate, "tls.key": issued.key, "ca.crt": issued.authority}
    data = {name: base64.b64encode(content).decode() for name, content in files.items()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "certificates"}, "data": data}


def _pod(name: str, *containers: Object) -> Object:
    """A Deployment of one pod; the certificates are there where somebody mounts them."""
    volumes = [{"name": "certificates", "secret": {"secretName": "certificates", "optional": True}}]
    template = {
        "metadata": {"labels": {"app": name}},
        "spec": {"containers": list(containers), "volumes": volumes, "terminationGracePeriodSeconds": 1},
    }
    spec = {"selector": {"matchLabels": {"app": name}}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}


def _envoy(name: str, config: Object) -> Object:
    return {
        "name": name,
        "image": ENVOY,
        "command": ["envoy", "--disable-hot-restart", "--concurrency", "1", "--log-level", "warning"],
        "args": ["--config-yaml", json.dumps(config)],
        "volumeMounts": [{"name": "certificates", "mountPath": envoys.CERTIFICATES}],
    }


def _wrk() -> Object:
    """The machine's own wrk, which containers of the embedded lab see."""
    return {"name": "wrk", "image": "busybox", "command": ["sleep", "infinity"]}


if __name__ == "__main__":
    sys.exit(main())
