"""When a resource counts as live on a cluster with Istio, and what is reported of one that does not."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from mesh_lab.client import istiostatus
from mesh_lab.client.connection import ApiError
from mesh_lab.client.istio import IstioStatus
from mesh_lab.client.objects import Reference
from mesh_lab.client.rollout import await_gone, await_live, await_mesh
from mesh_lab.errors import ConfigurationRejected, LabError
from tests.unit.client.istioserving import (
    ANALYSING,
    NO_V9,
    VS,
    Clock,
    config,
    istio,
    of_late,
    pod,
    policy,
    quiet,
    stored,
)


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


def test_a_proxy_that_refuses_is_reported_with_its_reason_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
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


def test_an_istiod_that_cannot_be_asked_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with istio(tmp_path, monkeypatch) as (server, status):
        server.documents.clear()
        with pytest.raises(ApiError, match="answers 401"):
            status.mesh()


def test_kubectl_that_cannot_forward_is_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refused = pytest.raises(ApiError, match="pod is not running")
    with istio(tmp_path, monkeypatch, forwards=False) as (_, status), refused:
        status.mesh()


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
