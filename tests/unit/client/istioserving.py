"""A cluster with Istio in miniature: what istiod 1.28 answers, through a stand-in of `kubectl port-forward`."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from mesh_lab.client import istiostatus, kubectl
from mesh_lab.client.api import Api
from mesh_lab.client.controlplane import status_of
from mesh_lab.client.istio import IstioStatus
from mesh_lab.client.objects import Reference
from tests.unit.client.serving import serve
from tests.unit.standins import StandIns, answer

VS = Reference("networking.istio.io/v1", "VirtualService", "reviews", "default")
ANALYSING = {"PILOT_ENABLE_ANALYSIS": "true", "PILOT_ANALYSIS_INTERVAL": "1s"}
NO_V9 = {"type": {"code": "IST0101", "name": "ReferencedResourceNotFound"}, "level": "ERROR", "message": "no v9"}
CDS, LDS = (
    "type.googleapis.com/envoy.config.cluster.v3.Cluster",
    "type.googleapis.com/envoy.config.listener.v3.Listener",
)


def istiod(
    image: str = "docker.io/istio/pilot:1.30.3",
    revision: str = "default",
    name: str = "istiod",
    environ: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    env = [{"name": "POD_NAME", "valueFrom": {}}, *({"name": n, "value": v} for n, v in (environ or {}).items())]
    return {
        "metadata": {"namespace": "istio-system", "name": name, "labels": {"app": "istiod", "istio.io/rev": revision}},
        "spec": {"template": {"spec": {"containers": [{"name": "discovery", "image": image, "env": env}]}}},
    }


def of_old(proxy: str, sent: str = "a=1", acked: str = "a=1") -> dict[str, Any]:
    """A proxy as /debug/syncz has it without `resources`."""
    fields = {f"{kind}_{what}": "n=1" for kind in ("listener", "route", "endpoint") for what in ("sent", "acked")}
    return {"cluster_id": "Kubernetes", "proxy": proxy, **fields, "cluster_sent": sent, "cluster_acked": acked}


def of_late(proxy: str, acked: str = "b=2", error: str = "") -> dict[str, Any]:
    """A proxy as a later /debug/syncz has it."""
    state = {"sent": "b=2", "acked": acked, "sentTime": "2026-01-01T00:00:00Z"} | (
        {"lastError": error} if error else {}
    )
    return {**of_old(proxy), "resources": {CDS: {"sent": "x", "acked": "x"}, LDS: state}}


def pod(
    name: str, container: str = "istio-proxy", *, native: bool = False, ready: str = "True", leaving: bool = False
) -> dict[str, Any]:
    """A pod of the namespace `default`."""
    proxy = {"name": container, **({"restartPolicy": "Always"} if native else {})}
    return {
        "metadata": {"namespace": "default", "name": name, **({"deletionTimestamp": "now"} if leaving else {})},
        "spec": {"containers": [{"name": "app"}], "initContainers": [proxy]}
        if native
        else {"containers": [{"name": "app"}, proxy]},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": ready}]},
    }


def config(version: str) -> dict[str, Any]:
    metadata = {"namespace": "default", "name": "reviews", "resourceVersion": version}
    return {"kind": "VirtualService", "apiVersion": "networking.istio.io/v1", "metadata": metadata}


def stored(*messages: Mapping[str, Any], seen: str = "7") -> dict[str, Any]:
    """A resource of generation 7 with what the analysis of a generation has found."""
    status = {"observedGeneration": seen, "validationMessages": list(messages)}
    return {"metadata": {"name": "reviews", "generation": 7}, "status": status}


class Istiod(ThreadingHTTPServer):
    """Answers /debug/...; `documents` are what it answers, by path. `pods` are what the cluster has."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.documents: dict[str, Any] = {
            istiostatus.SYNCZ: [of_late("a.default")],
            istiostatus.CONFIGZ: [config("120")],
        }
        self.pods = [pod("a")]
        self.stored: dict[str, Any] = {}


class Answers(BaseHTTPRequestHandler):
    server: Istiod

    def do_GET(self) -> None:
        document = self.server.documents.get(self.path)
        body = json.dumps(document).encode()
        self.send_response(401 if document is None else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class' name
        """Say nothing."""


@contextmanager
def istio(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    forwards: bool = True,
    environ: Mapping[str, str] | None = None,
) -> Iterator[tuple[Istiod, IstioStatus]]:
    """A cluster with Istio, asked through kubectl."""
    server = Istiod()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    tools = StandIns(tmp_path / "bin")
    said = f"Forwarding from 127.0.0.1:{server.server_address[1]} -> 15014\n"
    refused = "error: unable to forward port because pod is not running. Current status=Pending\n"
    tools.add("kubectl", answer(out=said, hangs=True) if forwards else answer(err=[refused], code=1))
    monkeypatch.setattr(kubectl, "program", lambda: str(tools.directory / "kubectl"))
    asked = {"metadata": {"name": "istiod-1"}, "status": {"conditions": [{"type": "Ready", "status": "True"}]}}

    def answers(path: str) -> Any:
        if path == istiostatus.PODS:
            return {"items": server.pods}
        if path == "/apis/networking.istio.io/v1":
            return {"resources": [{"name": "virtualservices", "kind": "VirtualService", "namespaced": True}]}
        if path == "/apis/networking.istio.io/v1/namespaces/default/virtualservices/reviews":
            return server.stored
        return {"items": [istiod(environ=environ)] if path.startswith("/apis/apps/v1/deployments") else [asked]}

    try:
        with serve(tmp_path, answers) as (_, kubeconfig), Api(kubeconfig) as api:
            status = status_of(api)
            assert isinstance(status, IstioStatus)
            yield server, status
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Clock:
    """Time that passes only in sleep; `then` is what happens meanwhile, by the seconds since the start."""

    def __init__(self, then: Callable[[float], None] = lambda _: None) -> None:
        self.now, self._then = 0.0, then

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self._then(self.now)


def quiet(_line: str) -> None:
    """Listen to nothing."""


def policy(drain: str = "", variable: str = "") -> dict[str, Any]:
    """A pod of the namespace `default` that asks for a drain time, or whose proxy was given one."""
    made = pod("a")
    if drain:
        made["metadata"]["annotations"] = {"proxy.istio.io/config": f"drainDuration: {drain}\nconcurrency: 1\n"}
    if variable:
        made["spec"]["containers"][1]["env"] = [{"name": "PROXY_CONFIG", "value": f'{{"drainDuration":"{variable}"}}'}]
    return made
