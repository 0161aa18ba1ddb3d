"""The traffic client driven by its control port, through a small server that plays the API server's pod proxy."""

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
from mesh_lab.client.objects import Object
from mesh_lab.harness.control import control_port
from mesh_lab.harness.proxies import Proxy
from mesh_lab.harness.traffic import EchoControl, TrafficClient
from mesh_lab.harness.versions import by_header, by_json
from mesh_lab.harness.workloads import Template, client_deployment, echo_deployment
from tests.unit.client.test_api import write_kubeconfig

BEGUN, RESULT, WHOLE = {"begun": True}, {"status": 200, "at_ms": 1, "duration_ms": 2}, {"summary": {"cut_short": False}}


class Proxied:
    """Answers by path with a status and text; a length that it does not keep cuts the answer off."""

    def __init__(self) -> None:
        self.answers: dict[str, tuple[int, str]] = {}
        self.requested: list[tuple[str, dict[str, str], Any]] = []
        self.missing = 0


@pytest.fixture
def proxied() -> Proxied:
    return Proxied()


@pytest.fixture
def api(proxied: Proxied, tmp_path: Path) -> Iterator[Api]:
    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            body = body or self.headers.get("x-control-order", "").encode()
            proxied.requested.append((self.path, dict(self.headers), json.loads(body or b"null")))
            status, text = proxied.answers[self.path.partition("/proxy")[2].partition("?")[0]]
            self.send_response(status)
            self.send_header("content-length", str(len(text) + proxied.missing))
            self.end_headers()
            self.wfile.write(text.encode())

        do_GET = do_POST = answer  # noqa: N815 - http.server's names

        def log_message(self, *_: Any) -> None:
            """Keep pytest's output clean."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    made = Api(write_kubeconfig(tmp_path, f"http://127.0.0.1:{server.server_port}"), tmp_path)
    yield made
    made.close()
    server.shutdown()
    server.server_close()
    thread.join(5)


def pod_of(deployment: Object) -> Object:
    template = deployment["spec"]["template"]
    return {"metadata": {**template["metadata"], "name": "pod-a"}, "spec": template["spec"]}


@pytest.fixture
def client(api: Api) -> TrafficClient:
    return TrafficClient(api, "n", lambda: pod_of(client_deployment(Template("client"), capture=True)))


def lines(*documents: Any) -> str:
    return "".join(json.dumps(document) + "\n" for document in documents)


def test_the_version_is_read_by_the_callers_function(client: TrafficClient, proxied: Proxied) -> None:
    answered = {
        **RESULT,
        "version": "by the client",
        "headers": {"x-version": "7"},
        "body": '{"app": {"version": "8"}}',
    }
    proxied.answers["/send"] = (200, lines(BEGUN, answered, WHOLE))
    read = {
        "by the client": None,
        "7": by_header("X-Version"),
        "8": by_json("$.app.version"),
        "200!": lambda result: f"{result.status}!",
    }
    for version, version_of in read.items():
        assert client.send("http://shop", version_of=version_of).versions() == {version: 1}
    shown = [{name: request[2].get(name) for name in ("show_header", "show_body")} for request in proxied.requested]
    assert shown == [
        {"show_header": None, "show_body": None},
        {"show_header": ["x-version"], "show_body": None},
        {"show_header": None, "show_body": True},
        {"show_header": None, "show_body": None},
    ]


def test_a_header_that_tells_the_version_is_shown_beside_those_asked_for(api: Api, proxied: Proxied) -> None:
    pod = pod_of(client_deployment(Template("client")))
    proxied.answers["/send"] = (200, lines(BEGUN, RESULT, WHOLE))
    client = TrafficClient(api, "n", lambda: pod, by_header("x-version"))
    assert client.send("http://shop", show_header=["server"]).versions() == {"": 1}
    assert proxied.requested[0][2]["show_header"] == ["server", "x-version"]
    assert client.send("http://shop", version_of=lambda _: "mine").versions() == {"mine": 1}


def test_a_client_is_given_what_to_send_with_the_token_of_its_pod(client: TrafficClient, proxied: Proxied) -> None:
    proxied.answers["/send"] = 200, lines(BEGUN, RESULT, WHOLE)
    results = client.send("http://echo", 3, headers={"a": "b"}, http2=True)
    (path, headers, order) = proxied.requested[0]
    assert [result.status for result in results] == [200]
    assert path.startswith("/api/v1/namespaces/n/pods/pod-a:8090/proxy/send?run=")
    assert order == {"url": "http://echo", "count": 3, "headers": {"a": "b"}, "http2": True}
    assert headers["Authorization"] == "Bearer secret"
    (container,) = (c for c in pod_of(client_deployment(Template("x")))["spec"]["containers"])
    assert {"name": "CONTROL_TOKEN", "value": headers["X-Control-Token"]} in container["env"]


def test_a_run_is_stopped_by_its_name(client: TrafficClient, proxied: Proxied) -> None:
    proxied.answers.update({"/send": (200, lines(BEGUN, RESULT, WHOLE)), "/stop": (200, "")})
    with client.sending("http://echo", 1000, rate=5) as under_way:
        assert len(under_way.stop()) == 1
    begun, stopped = (path.partition("?run=")[2] for path, _, _ in proxied.requested)
    assert begun == stopped != ""


def test_what_the_client_refuses_is_reported_in_its_words(client: TrafficClient, proxied: Proxied) -> None:
    proxied.answers["/send"] = 400, "count: 0 is not between 1 and 1000000\n"
    with pytest.raises(ApiError, match=r"400 Refused: count: 0 is not between 1 and 1000000$"):
        client.send("http://echo", 0)


def test_an_answer_that_is_cut_off_is_no_result(client: TrafficClient, proxied: Proxied) -> None:
    proxied.answers["/send"], proxied.missing = (200, lines(BEGUN, RESULT)), 10
    with pytest.raises(ClusterUnreachable, match="IncompleteRead"):
        client.send("http://echo")


def test_a_run_without_its_summary_is_no_result(client: TrafficClient, proxied: Proxied) -> None:
    proxied.answers["/send"] = 200, lines(BEGUN, RESULT)
    with pytest.raises(ValueError, match="cut short after 1 results"):
        client.send("http://echo")


def test_a_pod_of_somebody_elses_has_no_control_port(api: Api) -> None:
    container = {"name": "client", "image": "mesh-lab/apps", "ports": [{"name": "control", "containerPort": 8090}]}
    stranger = TrafficClient(api, "n", lambda: {"metadata": {"name": "pod-b"}, "spec": {"containers": [container]}})
    with pytest.raises(LookupError, match="the pod pod-b has no control port"):
        stranger.send("http://echo")


def test_an_echo_server_is_asked_over_its_own_loopback(api: Api, proxied: Proxied) -> None:
    answer = {**RESULT, "body": '{"holding": 2}'}
    proxied.answers["/send"] = 200, lines(BEGUN, answer, WHOLE)
    assert EchoControl(api, "n", pod_of(echo_deployment(Template("echo"), "v1"))).holding() == 2
    assert proxied.requested[0][2]["url"] == "http://127.0.0.1:8080/holding?group="


def test_a_proxy_is_asked_through_its_pod(api: Api, proxied: Proxied) -> None:
    proxied.answers.update({"/admin": (200, "a.b: 3\n"), "/stats/prometheus": (200, "metric 1\n")})
    proxy = Proxy(api, "n", pod_of(client_deployment(Template("client"))))
    assert proxy.stats("b$") == {"a.b": 3}
    assert proxied.requested[0][2] == {"path": "/stats?filter=b%24", "post": False}
    assert proxy.metrics() == "metric 1\n"
    assert proxied.requested[1][0] == "/api/v1/namespaces/n/pods/pod-a:15090/proxy/stats/prometheus"


def test_a_proxy_of_a_pod_that_has_not_started_is_asked_through_its_own_container(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, ...]] = []
    monkeypatch.setattr(api, "kubectl", lambda *arguments, **_: asked.append(arguments) or "a.b: 3\n")
    pod = pod_of(client_deployment(Template("client")))
    pod["status"] = {"containerStatuses": [{"name": "client", "state": {"waiting": {"reason": "PodInitializing"}}}]}
    assert Proxy(api, "n", pod).stats() == {"a.b": 3}
    assert asked == [("exec", "-n", "n", "pod-a", "-c", "istio-proxy", "--", "pilot-agent", "request", "GET", "stats")]


def test_the_sidecar_leaves_the_control_port_alone() -> None:
    for deployment in (client_deployment(Template("client")), echo_deployment(Template("echo"), "v1")):
        pod = pod_of(deployment)
        (port,) = (p["containerPort"] for p in pod["spec"]["containers"][0]["ports"] if p.get("name") == "control")
        assert pod["metadata"]["annotations"]["traffic.sidecar.istio.io/excludeInboundPorts"] == str(port)


def test_a_run_is_ordered_with_the_token_that_a_login_program_gives_at_that_moment(
    api: Api, proxied: Proxied, tmp_path: Path
) -> None:
    program = tmp_path / "login"
    program.write_text(
        "#!/bin/sh\n"
        """echo '{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential","""
        """ "status": {"token": "of-the-program"}}'\n"""
    )
    program.chmod(0o755)
    kubeconfig = yaml.safe_load((tmp_path / "config").read_text())
    login = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": str(program),
        "interactiveMode": "Never",
    }
    kubeconfig["users"][0]["user"] = {"exec": login}
    (tmp_path / "config").write_text(yaml.safe_dump(kubeconfig))
    proxied.answers["/send"] = (200, "{}")
    own = Api(tmp_path / "config", tmp_path)
    try:
        with own.begin("POST", "/api/v1/namespaces/n/pods/a/proxy/send", b"{}", timeout=5):
            assert proxied.requested[-1][1]["Authorization"] == "Bearer of-the-program"
    finally:
        own.close()


def test_an_order_has_no_body_unless_it_is_long(api: Api, proxied: Proxied) -> None:
    proxied.answers["/send"] = (200, "{}")
    port = control_port(api, "n", pod_of(client_deployment(Template("client"))))
    assert port is not None
    for body, length in (("x" * 100, 0), ("x" * 5000, 5012)):
        port.ask("/send", {"body": body}, timeout=5)
        assert proxied.requested[-1][2] == {"body": body}
        assert int(proxied.requested[-1][1]["Content-Length"]) == length
