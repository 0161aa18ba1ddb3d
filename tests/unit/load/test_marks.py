"""Changes of the mesh during a run."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from mesh_lab.client.connection import ApiError, ClusterUnreachable
from mesh_lab.client.meshstatus import ConfigState, ProxyState
from mesh_lab.load import marks
from mesh_lab.load.marks import Marks
from mesh_lab.load.observing import Clock, Observer
from mesh_lab.load.usage import Reading, Usage


def route(name: str, version: int, generation: int) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": "shop", "resourceVersion": str(version), "generation": generation}}


class Cluster:
    """An API with VirtualServices only; `events` come once, then the watch ends as told."""

    def __init__(self, present: list[dict[str, Any]], events: list[Any]) -> None:
        self.present, self.events = present, events
        self.seen = threading.Event()

    def served(self, _group: str, name: str, _versions: object) -> str:
        if name == "Gateway":
            raise ApiError(403, "gateways are forbidden")
        if name != "VirtualService":
            raise marks.UnknownKindError("no such kind")
        return "networking.istio.io/v1"

    def path(self, _version: str, name: str) -> str:
        return f"/{name}"

    def request(self, _method: str, _path: str) -> dict[str, Any]:
        return {"items": self.present, "metadata": {"resourceVersion": "9"}}

    def watch(self, _path: str, _version: str, *, silence: float) -> Iterator[tuple[str, dict[str, Any]]]:
        while self.events:
            event = self.events.pop(0)
            if isinstance(event, Exception):
                raise event
            yield event
        self.seen.set()
        threading.Event().wait(min(silence, 0.01))


class Status:
    """Proxies that have acknowledged all, but reject the resource `bad`."""

    refused = ""

    def config(self, reference: Any, version: str = "", *, wait: float = 0.0) -> ConfigState:
        if reference.name == "gone":
            return ConfigState(found=False, live=True)
        if reference.name == "bad":
            return ConfigState(True, False, version, (ProxyState("cart-0", "rejected", "no such cluster"),))
        return ConfigState(True, True, version)


def followed(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> Marks:
    monkeypatch.setattr(marks, "status_of", lambda *_, **__: Status())
    monkeypatch.setattr(marks, "_AGAIN_SECONDS", 0.01)
    api: Any = cluster
    found = Marks(api)
    found.start()
    assert cluster.seen.wait(10)
    found.stop()
    found.join(10)
    return found


def test_changes_are_told_with_their_acknowledgement(monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[Any] = [
        ("MODIFIED", route("old", 11, 1)),  # only a status was written
        ("MODIFIED", route("old", 12, 2)),
        ("ADDED", route("bad", 13, 1)),
        ("DELETED", route("gone", 14, 1)),
    ]
    found = followed(Cluster([route("old", 5, 1), route("gone", 6, 1)], events), monkeypatch)
    told = found.stop()
    assert [(mark.what, mark.resource) for mark in told] == [
        ("changed", "VirtualService shop/old"),
        ("created", "VirtualService shop/bad"),
        ("deleted", "VirtualService shop/gone"),
    ]
    assert [mark.acknowledged is not None for mark in told] == [True, False, True]
    assert "cart-0: rejected (no such cluster)" in told[1].why
    # Istio's and the Gateway API's.
    assert found.missing == ["Gateway: gateways are forbidden"] * 2


@pytest.mark.parametrize("broken", [ClusterUnreachable("cut off"), ApiError(410, "too old")])
def test_what_changed_while_a_watch_was_broken_is_seen_afterwards(
    monkeypatch: pytest.MonkeyPatch, broken: Exception
) -> None:
    cluster = Cluster([route("old", 5, 1), route("gone", 6, 1)], [broken])
    unbroken = cluster.watch

    def watch(path: str, version: str, *, silence: float) -> Iterator[tuple[str, dict[str, Any]]]:
        if cluster.events:
            cluster.present = [route("old", 15, 2)]
        return unbroken(path, version, silence=silence)

    cluster.watch = watch  # type: ignore[method-assign]
    told = followed(cluster, monkeypatch).stop()
    assert [(mark.what, mark.resource) for mark in told] == [
        ("changed", "VirtualService shop/old"),
        ("deleted", "VirtualService shop/gone"),
    ]


def test_a_cluster_that_does_not_tell_its_control_plane_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise ApiError(403, "deployments is forbidden")

    monkeypatch.setattr(marks, "status_of", refuse)
    api: Any = Cluster([], [])
    found = Marks(api)
    found.start()
    assert (found.stop(), found.missing) == ([], ["the control plane: deployments is forbidden"])


def test_moments_are_those_of_the_run_s_measured_part() -> None:
    clock = Clock()
    assert clock.began is None
    for elapsed, now in ((0, 100.3), (1, 101.2), (2, 102.9)):
        clock.see(elapsed, now)
    assert clock.began == pytest.approx(100.2)  # the line that came with the least delay
    clock.see(0, 105.0)  # the warm-up is over
    assert clock.began == 105.0


def test_what_was_observed_is_on_that_time() -> None:
    api: Any = None
    observer = Observer(Marks(api), Usage(api, 1))
    observer.clock.see(0, 1000.0)
    observer.marks._found.append(marks.Mark(1002.5, "changed", "VirtualService a/b", 1002.75))
    observer.usage._taken["a/b"] = [Reading(1001, 1, 7), Reading(1003, 2, 7)]
    found = observer.found()
    assert found["marks"][0] == {
        "at": 2.5,
        "what": "changed",
        "resource": "VirtualService a/b",
        "acknowledged": 2.75,
        "why": "",
    }
    assert found["usage"] == {"a/b": [[3, 0.5, 7]]}
