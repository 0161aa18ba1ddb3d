"""Waiting for proxies, against the control plane's answers as it gives them."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from mesh_lab.client.api import Api
from mesh_lab.client.meshstatus import OwnStatus, reaches
from mesh_lab.client.objects import Reference
from mesh_lab.client.rollout import await_live, await_mesh
from mesh_lab.errors import ConfigurationRejected, LabError
from tests.unit.client.serving import serve

REVIEWS = Reference("networking.istio.io/v1", "VirtualService", "reviews", "default")


def config(
    *, version: str = "12", live: bool = False, found: bool = True, **proxies: tuple[str, str]
) -> dict[str, Any]:
    states = [{"proxy": name, "state": state, "error": error} for name, (state, error) in proxies.items()]
    return {"found": found, "resource_version": version, "live": live, "proxies": states, "findings": []}


def waited(tmp_path: Path, answer: Callable[[int], Any], seconds: float) -> tuple[Any, list[str]]:
    requested: list[str] = []

    def respond(path: str) -> Any:
        requested.append(path)
        return answer(len(requested))

    with serve(tmp_path, respond) as (_, kubeconfig), Api(kubeconfig) as api:
        return await_live(OwnStatus(api), REVIEWS, "12", time.monotonic() + seconds, lambda _: None), requested


def test_it_asks_through_the_service_proxy_and_waits_on_the_other_side(tmp_path: Path) -> None:
    state, (path,) = waited(tmp_path, lambda _: config(live=True, a=("acknowledged", "")), 5)
    assert state.live
    url = urlsplit(path)
    assert url.path == "/api/v1/namespaces/istio-system/services/istiod:15014/proxy/debug/config"
    query = parse_qs(url.query)
    assert (query["kind"], query["namespace"], query["name"]) == (["VirtualService"], ["default"], ["reviews"])
    assert float(query["wait"][0]) == pytest.approx(5, abs=0.5)


def test_an_older_version_that_is_live_does_not_count(tmp_path: Path) -> None:
    state, requested = waited(tmp_path, lambda n: config(live=True, version="11" if n < 3 else "12"), 5)
    assert state.resource_version == "12"
    assert len(requested) == 3


def test_a_later_version_counts(tmp_path: Path) -> None:
    state, _ = waited(tmp_path, lambda _: config(live=True, version="100"), 5)
    assert state.resource_version == "100"


def test_in_the_end_it_says_who_has_not_acknowledged_and_why(tmp_path: Path) -> None:
    answer = config(a=("acknowledged", ""), b=("pending", "not yet acknowledged: Listener x"), c=("not-connected", ""))
    with pytest.raises(LabError) as failure:
        waited(tmp_path, lambda _: answer, 0.2)
    assert failure.value.message.splitlines() == [
        "VirtualService default/reviews: not live on every proxy:",
        "  b: pending (not yet acknowledged: Listener x)",
        "  c: not-connected",
    ]


def test_a_refusal_is_reported_at_once(tmp_path: Path) -> None:
    started = time.monotonic()
    with pytest.raises(LabError, match=r"b: rejected \(weights must be positive\)"):
        waited(tmp_path, lambda _: config(b=("rejected", "weights must be positive")), 30)
    assert time.monotonic() - started < 10


def test_what_the_control_plane_finds_wrong_is_reported(tmp_path: Path) -> None:
    finding = {"severity": "error", "code": "X", "message": "no such subset", "path": "spec.http[0]"}
    with pytest.raises(LabError, match=r"error: spec.http\[0\]: no such subset"):
        waited(tmp_path, lambda _: config() | {"findings": [finding]}, 30)


def test_an_unknown_resource_is_reported(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="the control plane does not know it"):
        waited(tmp_path, lambda _: config(found=False, version=""), 0.1)


def test_a_control_plane_that_is_just_starting_is_waited_for(tmp_path: Path) -> None:
    state, requested = waited(tmp_path, lambda n: (503, "no endpoints") if n < 3 else config(live=True), 5)
    assert state.live
    assert len(requested) == 3


def test_a_control_plane_that_never_answers_is_reported(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="the control plane does not answer: no endpoints") as failure:
        waited(tmp_path, lambda _: (503, "no endpoints"), 0.2)
    assert "logs deploy/istiod" in failure.value.hint


def proxy(name: str, *, synced: bool = True, **more: Any) -> dict[str, Any]:
    return {"proxy": name, "kind": "sidecar", "connected": "2026-01-01T00:00:00Z", "synced": synced, **more}


def test_the_mesh_is_in_sync_when_all_expected_proxies_are(tmp_path: Path) -> None:
    answers = [
        {"synced": True, "proxies": [proxy("a")]},
        {"synced": False, "proxies": [proxy("a"), proxy("b", synced=False, pending=["Cluster x"])]},
        {"synced": True, "proxies": [proxy("a"), proxy("b")]},
    ]
    with serve(tmp_path, lambda _: answers.pop(0)) as (_, kubeconfig), Api(kubeconfig) as api:
        state = await_mesh(OwnStatus(api), time.monotonic() + 5, lambda _: None, proxies=2)
    assert (state.in_sync, answers) == (2, [])


def test_a_mesh_of_which_a_proxy_has_refused_something_is_not_waited_for(tmp_path: Path) -> None:
    refused = proxy("b", synced=False, rejected=[{"type": "Listener", "name": "y", "error": "bad"}])
    answers = [
        {"synced": False, "hopeless": True, "proxies": [refused]},
        {"synced": False, "hopeless": False, "proxies": [refused, proxy("a", synced=False, pending=["Cluster x"])]},
        {"synced": False, "hopeless": True, "proxies": [refused, proxy("a")]},
    ]
    with (
        serve(tmp_path, lambda _: answers.pop(0)) as (_, kubeconfig),
        Api(kubeconfig) as api,
        pytest.raises(ConfigurationRejected) as failure,
    ):
        await_mesh(OwnStatus(api), time.monotonic() + 60, lambda _: None, proxies=2)
    assert failure.value.message.splitlines() == ["1 of 2 proxies are in sync:", "  b: rejected Listener y: bad"]
    assert "reason=Rejected" in failure.value.hint
    assert not answers, "the expected proxies and their answers are waited for"


def test_a_mesh_that_does_not_get_in_sync_names_the_proxies(tmp_path: Path) -> None:
    rows = [
        proxy("a"),
        proxy("b", synced=False, pending=["Cluster x"]),
        proxy("c", synced=False, rejected=[{"type": "Listener", "name": "y", "error": "bad"}]),
        {"proxy": "d", "kind": "sidecar", "connected": None, "synced": False},
    ]
    document = {"synced": False, "proxies": rows}
    with (
        serve(tmp_path, lambda _: document) as (_, kubeconfig),
        Api(kubeconfig) as api,
        pytest.raises(LabError) as failure,
    ):
        await_mesh(OwnStatus(api), time.monotonic() + 0.1, lambda _: None, proxies=5)
    assert failure.value.message.splitlines() == [
        "1 of 5 proxies are in sync:",
        "  b: has not acknowledged Cluster x",
        "  c: rejected Listener y: bad",
        "  d: not connected",
    ]


@pytest.mark.parametrize(
    ("have", "want", "is_reached"),
    [("12", "9", True), ("9", "12", False), (None, "1", False), ("x", "x", True), ("x", "y", False), ("5", "", True)],
)
def test_versions_are_compared_as_numbers_where_they_are(have: str | None, want: str, is_reached: bool) -> None:
    assert reaches(have, want) is is_reached


@pytest.mark.parametrize(
    ("group", "asked"), [("networking.istio.io", "Gateway"), ("gateway.networking.k8s.io", "KubernetesGateway")]
)
def test_the_two_kinds_of_gateway_are_told_apart(group: str, asked: str, tmp_path: Path) -> None:
    requested: list[str] = []

    def respond(path: str) -> Any:
        requested.append(path)
        return config(live=True)

    with serve(tmp_path, respond) as (_, kubeconfig), Api(kubeconfig) as api:
        assert OwnStatus(api).config(Reference(f"{group}/v1", "Gateway", "edge", "default")).live
    assert parse_qs(urlsplit(requested[0]).query)["kind"] == [asked]
