"""A Kubernetes API by discovery, against a small server that plays one."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from mesh_lab.client.api import Api
from mesh_lab.client.connection import ApiError, ClusterUnreachable
from mesh_lab.client.objects import Reference, objects_in
from mesh_lab.errors import LabError
from mesh_lab.harness.mesh import ConfigurationRejected, Mesh

POD = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "namespace": "n"}}


class Player:
    """Answers by request line; remembers what was asked."""

    def __init__(self) -> None:
        self.answers: dict[str, list[tuple[int, Any]]] = {}
        self.requested: list[str] = []
        self.bodies: list[Any] = []

    def on(self, request: str, *answers: Any, status: int = 200) -> None:
        self.answers.setdefault(request, []).extend((status, answer) for answer in answers)


@pytest.fixture
def player() -> Player:
    made = Player()
    resources = [
        {"name": "pods", "kind": "Pod", "namespaced": True},
        {"name": "pods/log", "kind": "Pod", "namespaced": True},
    ]
    made.on("GET /api/v1", {"resources": resources})
    made.on("GET /apis/apps/v1/deployments", {"items": []})
    made.on(
        "GET /apis/networking.istio.io/v1",
        {"resources": [{"name": "virtualservices", "kind": "VirtualService", "namespaced": True}]},
    )
    return made


@pytest.fixture
def api(player: Player, tmp_path: Path) -> Iterator[Api]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            request = f"{self.command} {self.path.partition('?')[0]}"
            player.requested.append(f"{self.command} {self.path}")
            if length := int(self.headers.get("content-length") or 0):
                player.bodies.append(json.loads(self.rfile.read(length)))
            waiting = player.answers.get(request, [(404, {"code": 404, "reason": "NotFound", "message": "not there"})])
            status, body = waiting.pop(0) if len(waiting) > 1 else waiting[0]
            text = body if isinstance(body, str) else json.dumps(body)
            self.send_response(status)
            self.send_header("content-type", "text/plain" if isinstance(body, str) else "application/json")
            self.send_header("content-length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

        do_GET = do_POST = do_PATCH = do_DELETE = answer  # noqa: N815 - http.server's names

        def log_message(self, *_: Any) -> None:
            """Keep pytest's output clean."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    kubeconfig = write_kubeconfig(tmp_path, f"http://127.0.0.1:{server.server_port}")
    made = Api(kubeconfig, tmp_path)
    yield made
    made.close()
    server.shutdown()
    server.server_close()
    thread.join(5)


def write_kubeconfig(folder: Path, server: str) -> Path:
    document = {
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
        "clusters": [{"name": "k", "cluster": {"server": server}}],
        "users": [{"name": "u", "user": {"token": "secret"}}],
    }
    path = folder / "config"
    path.write_text(yaml.safe_dump(document))
    return path


def test_apply_creates_or_else_patches(api: Api, player: Player) -> None:
    player.on(
        "POST /api/v1/namespaces/n/pods", {"code": 409, "reason": "AlreadyExists", "message": "exists"}, status=409
    )
    player.on("PATCH /api/v1/namespaces/n/pods/a", POD)
    assert api.apply(POD) == POD
    assert player.bodies == [POD, POD]
    assert all("fieldValidation=Strict" in request for request in player.requested[1:])


def test_what_the_server_refuses_is_reported_in_its_words(api: Api, player: Player) -> None:
    player.on(
        "POST /api/v1/namespaces/n/pods", {"code": 422, "reason": "Invalid", "message": "spec.x: bad"}, status=422
    )
    with pytest.raises(ApiError, match=r"422 Invalid: spec\.x: bad"):
        api.apply(POD)


def test_a_kind_that_the_cluster_lacks_is_named(api: Api) -> None:
    with pytest.raises(LookupError, match="no Gizmo of v1"):
        api.path("v1", "Gizmo")


def test_names_are_one_part_of_the_path_whatever_is_typed(api: Api) -> None:
    assert api.path("v1", "Pod", "a b", "../é") == "/api/v1/namespaces/a%20b/pods/..%2F%C3%A9"
    assert api.find(Reference("v1", "Pod", "é", "a b")) is None


def test_of_a_kinds_versions_the_first_that_the_cluster_has_is_used(api: Api, player: Player) -> None:
    routes = {"resources": [{"kind": "TCPRoute", "name": "tcproutes", "namespaced": True}]}
    player.on("GET /apis/example.com/v1", {"resources": []})
    player.on("GET /apis/example.com/v1alpha2", routes)
    assert api.served("example.com", "TCPRoute", ("v1", "v1alpha2")) == "example.com/v1alpha2"
    assert api.served("", "Pod", ("v1",)) == "v1"
    with pytest.raises(LookupError, match=r"no TCPRoute of example.com \(v1, v2\)"):
        api.served("example.com", "TCPRoute", ("v1", "v2"))


def test_deleting_what_is_gone_is_no_error(api: Api) -> None:
    api.delete(Reference("v1", "Pod", "gone", "n"))
    assert api.find(Reference("v1", "Pod", "gone", "n")) is None


def test_waiting_lists_and_then_follows_the_watch(api: Api, player: Player) -> None:
    ready = {**POD, "status": {"phase": "Running"}}
    listed = {"metadata": {"resourceVersion": "5"}, "items": [POD]}
    event = json.dumps({"type": "MODIFIED", "object": ready}) + "\n"
    player.on("GET /api/v1/namespaces/n/pods", listed, event)
    found = api.wait_until(
        "/api/v1/namespaces/n/pods", lambda items: "status" in items["a"], timeout=5, why="it runs", describe=str
    )
    assert found["a"] == ready
    assert "watch=true&resourceVersion=5" in player.requested[-1]


def test_waiting_in_vain_says_why_and_what_was_the_case(api: Api, player: Player) -> None:
    player.on("GET /api/v1/namespaces/n/pods", {"metadata": {"resourceVersion": "5"}, "items": []})
    with pytest.raises(TimeoutError, match="not within 0 s: it runs\nnothing there"):
        api.wait_until("/api/v1/namespaces/n/pods", bool, timeout=0, why="it runs", describe=lambda _: "nothing there")


def test_a_cluster_that_does_not_answer_is_named(tmp_path: Path) -> None:
    api = Api(write_kubeconfig(tmp_path, "http://127.0.0.1:1"), tmp_path)
    with pytest.raises(ClusterUnreachable, match=r"GET http://127.0.0.1:1/readyz"):
        api.request("GET", "/readyz")


@pytest.mark.parametrize("text", ["", "a: b", "[", "current-context: x\ncontexts: []"])
def test_what_is_no_kubeconfig_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config"
    path.write_text(text)
    with pytest.raises(LabError, match="is not a kubeconfig"):
        Api(path, tmp_path)


SERVICE = {
    "apiVersion": "networking.istio.io/v1",
    "kind": "VirtualService",
    "metadata": {"name": "v", "resourceVersion": "7"},
}
DEBUG = "GET /api/v1/namespaces/istio-system/services/istiod:15014/proxy/debug/config"
REFERENCE = Reference("networking.istio.io/v1", "VirtualService", "v", "n")


def state(version: str, **states: str) -> dict[str, Any]:
    proxies = [{"proxy": name, "state": what, "error": "no such cluster"} for name, what in states.items()]
    live = all(what == "acknowledged" for what in states.values())
    return {"found": bool(version), "resource_version": version, "proxies": proxies, "live": live}


def test_configuration_is_live_once_its_present_version_is_acknowledged(api: Api, player: Player) -> None:
    player.on("GET /apis/networking.istio.io/v1/namespaces/n/virtualservices/v", SERVICE)
    player.on(DEBUG, state("6", a="acknowledged"), state("7", a="pending"), state("7", a="acknowledged"))
    Mesh(api, "n").wait_live(REFERENCE, 5)
    assert len([request for request in player.requested if "debug" in request]) == 3


def test_a_rejection_is_reported_with_its_reason(api: Api, player: Player) -> None:
    player.on("GET /apis/networking.istio.io/v1/namespaces/n/virtualservices/v", SERVICE)
    player.on(DEBUG, state("7", a="acknowledged", b="rejected"))
    with pytest.raises(ConfigurationRejected, match=r"b: rejected \(no such cluster\)"):
        Mesh(api, "n").wait_live(REFERENCE, 5)


def test_a_proxy_that_does_not_answer_is_named(api: Api, player: Player) -> None:
    player.on("GET /apis/networking.istio.io/v1/namespaces/n/virtualservices/v", SERVICE)
    player.on(DEBUG, state("7", a="acknowledged", b="pending"))
    with pytest.raises(TimeoutError, match=r"b: pending \(no such cluster\)"):
        Mesh(api, "n").wait_live(REFERENCE, 0.01)


def test_manifests_are_files_folders_texts_or_objects(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("kind: A\n---\n# nothing\n---\nkind: B\n")
    (tmp_path / "b.yaml").write_text("kind: C\n")
    assert [obj["kind"] for obj in objects_in(tmp_path)] == ["A", "B", "C"]
    assert objects_in("kind: D") == objects_in({"kind": "D"}) == objects_in([{"kind": "D"}]) == [{"kind": "D"}]
