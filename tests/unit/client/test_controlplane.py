"""Istio's own status of its proxies, as istiod 1.28 answers it, through a stand-in of `kubectl port-forward`."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from mesh_lab.client import istiostatus, kubectl
from mesh_lab.client.api import Api
from mesh_lab.client.connection import ApiError
from mesh_lab.client.controlplane import ControlPlane, OwnStatus, choose, find, status_of
from mesh_lab.client.istio import IstioStatus
from mesh_lab.client.meshstatus import reaches
from mesh_lab.client.objects import Reference
from mesh_lab.client.rollout import await_gone, await_live, await_mesh
from mesh_lab.errors import ConfigurationRejected, LabError
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
    """Time that passes only in sleep; `then` is what happens meanwhile, told the seconds since the start."""

    def __init__(self, then: Callable[[float], None] = lambda _: None) -> None:
        self.now, self._then = 0.0, then

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self._then(self.now)


def quiet(_line: str) -> None:
    """Listen to nothing."""


def test_proxies_count_as_in_sync_when_they_have_acknowledged_the_last_of_every_type() -> None:
    late = [of_late("a.default"), of_late("b.default", acked="b=1"), of_late("c.default", error="bad listener")]
    found = istiostatus.proxies([late, [of_old("d.default"), of_old("e.default", acked="a=0")]], [])
    assert [(report.proxy[0], report.synced) for report in found] == [
        ("a", True),
        ("b", False),
        ("c", False),
        ("d", True),
        ("e", False),
    ]
    assert found[1].pending == ("Listener",)
    assert found[2].errors == (("Listener", "bad listener"),)
    assert found[4].pending == ("cluster",)


def test_what_was_never_sent_need_not_be_acknowledged() -> None:
    (report,) = istiostatus.proxies([[{"proxy": "ztunnel.istio-system", "proxy_type": "ztunnel"}]], [])
    assert report.synced


def test_the_proxy_of_every_ready_pod_counts_whether_an_istiod_lists_it_or_not() -> None:
    pods = [pod("a"), pod("b"), pod("c", native=True), pod("d", ready="False"), pod("e", leaving=True), pod("f", "web")]
    found = istiostatus.proxies([[of_late("a.default")], [of_late("gone.default")]], pods)
    assert [(report.proxy, report.synced) for report in found] == [
        ("a.default", True),
        ("b.default", False),
        ("c.default", False),
        ("gone.default", True),
    ]


@pytest.mark.parametrize(
    ("sent", "pending"),
    [
        ({}, ("cluster", "listener")),
        ({"cluster": "n"}, ("listener",)),
        ({"cluster": "n", "listener": "n"}, ()),
        ({"listener": "n"}, ()),
    ],
)
def test_an_envoy_that_has_only_just_connected_is_not_in_sync(sent: dict[str, str], pending: tuple[str, ...]) -> None:
    fields = {f"{kind}_{what}": nonce for kind, nonce in sent.items() for what in ("sent", "acked")}
    (report,) = istiostatus.proxies([[{"proxy": "a.default", "proxy_type": "sidecar", **fields}]], [])
    assert report.pending == pending


@pytest.mark.parametrize(
    ("have", "want", "is_reached"),
    [("12", "9", True), ("9", "12", False), (None, "1", False), ("x", "x", True), ("x", "y", False), ("5", "", True)],
)
def test_versions_are_compared_as_numbers_where_they_are(have: str | None, want: str, is_reached: bool) -> None:
    assert reaches(have, want) is is_reached


def test_a_resource_is_live_when_istiod_has_it_and_all_have_acknowledged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(istiostatus, "SETTLE_SECONDS", 0.1)
    with istio(tmp_path, monkeypatch) as (_, status):
        state = await_live(status, VS, "120", time.monotonic() + 20, quiet)
        assert state.live
        assert [proxy.state for proxy in state.proxies] == ["acknowledged"]
        assert await_mesh(status, time.monotonic() + 20, quiet, proxies=1).in_sync == 1


def test_an_older_version_in_istiod_is_not_live(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(istiostatus, "SETTLE_SECONDS", 0.0)
    with istio(tmp_path, monkeypatch) as (server, status):
        server.documents[istiostatus.CONFIGZ] = [config("119")]
        with pytest.raises(LabError, match="not live on every proxy"):
            await_live(status, VS, "120", time.monotonic() + 0.5, quiet)
        server.documents[istiostatus.CONFIGZ] = []
        with pytest.raises(LabError, match="the control plane does not know it"):
            await_live(status, VS, "120", time.monotonic() + 0.5, quiet)


def test_it_is_not_live_before_istiods_batching_is_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(istiostatus, "SETTLE_SECONDS", 60.0)
    with istio(tmp_path, monkeypatch) as (_, status):
        state = status.config(VS, "120")
        assert state.found
        assert not state.live


def test_a_proxy_that_refuses_is_told_with_its_reason_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with istio(tmp_path, monkeypatch) as (server, status):
        server.documents[istiostatus.SYNCZ] = [of_late("a.default", acked="b=1", error="duplicate domain")]
        started = time.monotonic()
        with pytest.raises(
            LabError,
            match=r"a\.default: rejected \(Listener: duplicate domain\)\n  Istio does not tell which resource",
        ):
            await_live(status, VS, "120", time.monotonic() + 60, quiet)
        assert time.monotonic() - started < 30


def test_a_bring_up_does_not_wait_for_a_proxy_that_has_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(istiostatus, "SETTLE_SECONDS", 0.2)
    with istio(tmp_path, monkeypatch) as (server, status):
        server.documents[istiostatus.SYNCZ] = [of_late("a.default", acked="b=1", error="duplicate domain")]
        started = time.monotonic()
        with pytest.raises(ConfigurationRejected, match="duplicate domain") as failure:
            await_mesh(status, time.monotonic() + 60, quiet, proxies=1)
        assert time.monotonic() - started < 30
        assert "istioctl analyze" in failure.value.hint
        server.documents[istiostatus.SYNCZ].append(of_late("b.default", acked="b=1"))
        assert not status.mesh().hopeless, "another proxy has not answered yet"


@pytest.mark.parametrize(("seen", "live"), [("7", False), ("6", True)])
def test_what_istios_analysis_says_of_this_version_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seen: str, live: bool
) -> None:
    """Of a version before this one it may be right no more: then this one's analysis is awaited."""
    clock = Clock()
    monkeypatch.setattr("mesh_lab.client.istio.time", clock)
    with istio(tmp_path, monkeypatch, environ=ANALYSING) as (server, status):
        server.stored = stored(NO_V9, seen=seen)
        state = status.config(VS, "120", wait=5)
        assert state.live is live
        assert [str(finding) for finding in state.findings] == ([] if live else ["error: IST0101 no v9"])
        assert clock.now == pytest.approx(3.0 if live else 0.0, abs=0.3)


def test_what_istios_analysis_says_only_later_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By then istiod has long known the version, and every proxy has acknowledged all that it was sent."""

    def analyse(now: float) -> None:
        if now >= 2.5:
            server.stored = stored(NO_V9)

    monkeypatch.setattr("mesh_lab.client.istio.time", Clock(analyse))
    with istio(tmp_path, monkeypatch, environ=ANALYSING) as (server, status):
        server.stored = {"metadata": {"generation": 7}}
        state = status.config(VS, "120", wait=20)
        assert (state.live, state.hopeless) == (False, True)


@pytest.mark.parametrize(
    ("environ", "seconds"),
    [
        ({"PILOT_ENABLE_ANALYSIS": "true", "PILOT_ANALYSIS_INTERVAL": "1s"}, 3.0),
        ({"PILOT_ENABLE_ANALYSIS": "true"}, 12.0),
        ({"PILOT_ENABLE_ANALYSIS": "false", "PILOT_ANALYSIS_INTERVAL": "1s"}, 1.0),
        ({}, 1.0),
    ],
)
def test_without_findings_a_resource_is_live_once_an_analysis_must_have_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], seconds: float
) -> None:
    clock = Clock()
    monkeypatch.setattr("mesh_lab.client.istio.time", clock)
    with istio(tmp_path, monkeypatch, environ=environ) as (server, status):
        server.stored = {"metadata": {"generation": 7}}
        assert status.config(VS, "120", wait=20).live
        assert clock.now == pytest.approx(seconds, abs=0.3)


def test_the_time_for_an_analysis_passes_for_all_resources_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr("mesh_lab.client.istio.time", clock)
    with istio(tmp_path, monkeypatch, environ={"PILOT_ENABLE_ANALYSIS": "true"}) as (server, status):
        server.stored = {"metadata": {"generation": 7}}
        state = status.config(VS, "120", wait=5)
        assert (state.live, state.remark) == (False, "Istio's analysis of it is still to come: it takes up to 12 s")
        assert status.config(VS, "119", wait=20).live
        assert clock.now == pytest.approx(12.0, abs=0.3)


def test_an_analysis_that_finds_nothing_any_more_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr("mesh_lab.client.istio.time", clock)
    with istio(tmp_path, monkeypatch, environ=ANALYSING) as (server, status):
        server.stored = stored()
        assert status.config(VS, "120", wait=20).live
        assert clock.now == pytest.approx(1.0, abs=0.3)


@pytest.mark.parametrize(
    ("interval", "seconds"), [("1s", 3), ("1m30s", 92), ("1500ms", 3.5), ("500ms", 12), ("soon", 12), ("", 12)]
)
def test_an_interval_is_read_as_istio_reads_it(interval: str, seconds: float) -> None:
    environ = {"PILOT_ENABLE_ANALYSIS": "true", "PILOT_ANALYSIS_INTERVAL": interval}
    assert istiostatus.analysis_s(environ) == seconds


def test_a_deleted_resource_is_gone_when_no_istiod_knows_it_and_all_have_acknowledged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(istiostatus, "SETTLE_SECONDS", 0.1)
    with istio(tmp_path, monkeypatch) as (server, status):
        with pytest.raises(LabError, match="it is not deleted"):
            await_gone(status, VS, time.monotonic() + 0.5, quiet)
        server.documents[istiostatus.CONFIGZ] = []
        assert not await_gone(status, VS, time.monotonic() + 20, quiet).found


def test_nothing_is_live_before_the_proxies_of_all_ready_pods_are_connected_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(istiostatus, "SETTLE_SECONDS", 0.0)
    with istio(tmp_path, monkeypatch) as (server, status):
        server.pods = [pod("a"), pod("b")]
        with pytest.raises(LabError, match=r"b\.default: not-connected \(its pod is ready, its stream is not open\)"):
            await_live(status, VS, "120", time.monotonic() + 0.5, quiet)
        with pytest.raises(LabError, match=r"1 of 2 proxies are in sync:\n  b\.default: not connected"):
            await_mesh(status, time.monotonic() + 0.5, quiet)
        server.documents[istiostatus.SYNCZ].append(of_late("b.default"))
        assert len(await_live(status, VS, "120", time.monotonic() + 20, quiet).proxies) == 2


def test_an_istiod_that_cannot_be_asked_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with istio(tmp_path, monkeypatch) as (server, status):
        server.documents.clear()
        with pytest.raises(ApiError, match="answers 401"):
            status.mesh()


def test_kubectl_that_cannot_forward_is_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refused = pytest.raises(ApiError, match="pod is not running")
    with istio(tmp_path, monkeypatch, forwards=False) as (_, status), refused:
        status.mesh()


def test_control_planes_are_found_with_version_and_revision(tmp_path: Path) -> None:
    items = [istiod(), istiod("gcr.io/istio-release/pilot:1.29.1-distroless", "canary", "istiod-canary")]
    with serve(tmp_path, lambda _: {"items": items}) as (_, kubeconfig), Api(kubeconfig) as api:
        first, second = find(api)
    assert (first.version, first.revision, first.injection_label) == ("1.30.3", "", ("istio-injection", "enabled"))
    assert (second.version, second.injection_label) == ("1.29.1", ("istio.io/rev", "canary"))
    assert choose([first, second], "canary") == second
    with pytest.raises(LabError, match="several control planes"):
        choose([first, second], "")
    with pytest.raises(LabError, match="no control plane of revision stable"):
        choose([first], "stable")


def test_an_istio_that_is_too_old_is_refused() -> None:
    with pytest.raises(LabError, match=r"Istio 1\.27\.3 .* is too old; the lab needs Istio 1\.28"):
        choose([ControlPlane("istio-system", "istiod", "", "1.27.3", own=False)], "")
    assert choose([], "") is None


def test_the_labs_own_control_plane_is_asked_its_own_way(tmp_path: Path) -> None:
    with (
        serve(tmp_path, lambda _: {"items": [istiod("mesh-lab/istiod")]}) as (_, kubeconfig),
        Api(kubeconfig) as api,
    ):
        status = status_of(api)
        assert isinstance(status, OwnStatus)


def policy(drain: str = "", variable: str = "") -> dict[str, Any]:
    """A pod of the namespace `default` that asks for a drain time, or whose proxy was given one."""
    made = pod("a")
    if drain:
        made["metadata"]["annotations"] = {"proxy.istio.io/config": f"drainDuration: {drain}\nconcurrency: 1\n"}
    if variable:
        made["spec"]["containers"][1]["env"] = [{"name": "PROXY_CONFIG", "value": f'{{"drainDuration":"{variable}"}}'}]
    return made


@pytest.mark.parametrize(
    ("pods", "seconds"),
    [
        ([], 0.0),
        ([pod("a", "web")], 0.0),
        ([pod("a")], 45.1),
        ([policy(drain="1s"), policy(variable="1m30s")], 90.1),
        ([policy(drain="'2s'", variable="5s")], 2.1),
        ([policy(drain="soon")], 45.1),
    ],
)
def test_a_policy_drains_for_as_long_as_the_proxies_it_concerns_take(pods: list[Any], seconds: float) -> None:
    assert istiostatus.drain_s("AuthorizationPolicy", pods) == pytest.approx(seconds)
    assert istiostatus.drain_s("VirtualService", pods) == 0.0


AP = Reference("security.istio.io/v1", "AuthorizationPolicy", "reviews", "default")


def test_what_listeners_have_is_live_once_their_old_connections_are_drained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr("mesh_lab.client.istio.time", clock)
    with istio(tmp_path, monkeypatch) as (server, status):
        status.findings = False
        elsewhere = policy()
        elsewhere["metadata"]["namespace"] = "other"
        server.pods = [policy(drain="3s"), elsewhere]
        server.documents[istiostatus.SYNCZ] = [of_late("a.default"), of_late("a.other")]
        server.documents[istiostatus.CONFIGZ] = [config("120") | {"kind": "AuthorizationPolicy"}]
        state = status.config(AP, "120", wait=3)
        assert not state.live
        assert "until they are drained" in state.remark
        assert status.config(AP, "120", wait=3).live
        assert 4 < clock.now < 5, "a second to settle, three to drain"
        # The next change drains anew.
        server.documents[istiostatus.CONFIGZ] = [config("121") | {"kind": "AuthorizationPolicy"}]
        assert not status.config(AP, "121", wait=3).live


def test_every_wait_settles_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with istio(tmp_path, monkeypatch) as (_, status):
        monkeypatch.setattr(istiostatus, "SETTLE_SECONDS", 0.05)
        assert status.config(VS, "120", wait=5).live
        assert not status.config(VS, "120").live


def test_a_kind_that_istiod_does_not_list_is_looked_up_in_the_cluster() -> None:
    class Stored:
        def find(self, _: Reference) -> Any:
            return {"metadata": {"resourceVersion": "3"}}

    status = IstioStatus(Stored(), ["istio-system"], 0.0)  # type: ignore[arg-type]
    assert status._versions([[]], Reference("discovery.k8s.io/v1", "EndpointSlice", "reviews-1", "default")) == ["3"]
    assert status._versions([[], []], VS) == [None, None]


def test_the_status_is_remembered_with_the_api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with istio(tmp_path, monkeypatch) as (_, status):
        assert status_of(status.api) is status
