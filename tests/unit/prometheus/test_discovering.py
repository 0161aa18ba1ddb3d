"""Files of targets that follow the API."""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mesh_lab.client.connection import ApiError
from mesh_lab.prometheus.configuring import Discovery, Selector
from mesh_lab.prometheus.discovering import Discovering, sources
from mesh_lab.prometheus.reflecting import Reflector, Source

SECONDS = 10.0


def service(name: str, version: str = "1") -> dict[str, Any]:
    meta = {"name": name, "namespace": "shop", "resourceVersion": version}
    return {"metadata": meta, "spec": {"ports": [{"port": 80}]}}


class StubApi:
    """Answers lists in turn, and watches from a queue: an event, or an error that the watch ends with."""

    def __init__(self, *lists: list[dict[str, Any]] | ApiError) -> None:
        self.lists = list(lists)
        self.events: queue.Queue[tuple[str, Any] | ApiError | None] = queue.Queue()
        self.asked: list[str] = []
        self.watched: queue.Queue[str] = queue.Queue()

    def request(self, _: str, path: str, /) -> Any:
        self.asked.append(path)
        answer = self.lists.pop(0)
        if isinstance(answer, ApiError):
            raise answer
        return {"items": answer, "metadata": {"resourceVersion": f"list-{len(self.asked)}"}}

    def watch(self, _: str, resource_version: str, /, *, silence: float) -> Iterator[tuple[str, Any]]:
        assert silence > 0
        self.watched.put(resource_version)
        while (event := self.events.get()) is not None:
            if isinstance(event, ApiError):
                raise event
            yield event


class Followed:
    """A reflector of services; `names` waits for the next change."""

    def __init__(self, api: StubApi) -> None:
        self.changed = threading.Event()
        self.said: list[str] = []
        self.reflector = Reflector(api, Source("service"), self.changed.set, self.said.append)
        self.reflector.start()

    def names(self) -> list[str]:
        assert self.changed.wait(SECONDS)
        self.changed.clear()
        return sorted(name for _, name in self.reflector.objects() or {})


def test_a_reflector_lists_and_then_applies_what_it_watches() -> None:
    api = StubApi([service("a")])
    followed = Followed(api)
    assert followed.names() == ["a"]
    api.events.put(("ADDED", service("b", "7")))
    assert followed.names() == ["a", "b"]
    api.events.put(("DELETED", service("a", "8")))
    assert followed.names() == ["b"]
    api.events.put(None)
    assert [api.watched.get(timeout=SECONDS) for _ in range(2)] == ["list-1", "8"], "on from the last change"


def test_a_version_that_is_too_old_and_a_refusal_lead_to_a_new_list() -> None:
    refusal = ApiError(403, "services is forbidden")
    api = StubApi(refusal, [service("a")], [service("b")])
    followed = Followed(api)
    assert followed.names() == ["a"]
    assert len(followed.said) == 1
    assert "services is forbidden" in followed.said[0]
    api.events.put(ApiError(410, "too old resource version"))
    assert followed.names() == ["b"]
    assert len(followed.said) == 1, "that is no fault"


def test_the_files_hold_what_there_is_and_are_written_only_when_it_changes(tmp_path: Path) -> None:
    api = StubApi([service("a")], [])
    discovering = Discovering(api, tmp_path, "shop", lambda _: None)
    discovery = Discovery("service")
    file = tmp_path / discovery.file
    discovering.write()
    assert not file.exists()
    discovering.ask(frozenset({discovery}))
    assert api.watched.get(timeout=SECONDS)
    discovering.write()
    (group,) = json.loads(file.read_text())
    assert group["targets"] == ["a.shop.svc:80"]
    assert group["labels"]["__meta_kubernetes_service_name"] == "a"
    assert "__address__" not in group["labels"]
    written = file.stat().st_mtime_ns
    discovering.write()
    assert file.stat().st_mtime_ns == written
    assert sorted(path.name for path in tmp_path.iterdir()) == [discovery.file]


def test_what_is_no_longer_asked_for_is_no_longer_followed(tmp_path: Path) -> None:
    api = StubApi([], [])
    discovering = Discovering(api, tmp_path, "shop", lambda _: None)
    discovering.ask(frozenset({Discovery("service")}))
    discovering.ask(frozenset({Discovery("node")}))
    discovering.ask(frozenset({Discovery("node")}))
    assert [api.watched.get(timeout=SECONDS) for _ in range(2)]
    assert sorted(api.asked) == ["/api/v1/nodes", "/api/v1/services"], "the same question is asked once"


def test_a_discovery_needs_the_objects_that_its_role_joins() -> None:
    assert sources(Discovery("service"), "own") == [Source("service")]
    asked = Discovery("pod", ("a",), True, (Selector("pod", "app=web", "spec.nodeName=one"),), frozenset({"node"}))
    assert sources(asked, "own") == [
        Source("node"),
        Source("pod", "a", "app=web", "spec.nodeName=one"),
        Source("pod", "own", "app=web", "spec.nodeName=one"),
    ]
    path = "/api/v1/namespaces/a/pods?labelSelector=app%3Dweb&fieldSelector=spec.nodeName%3Done"
    assert sources(asked, "own")[1].path == path
    assert Source("endpointslice").path == "/apis/discovery.k8s.io/v1/endpointslices"
