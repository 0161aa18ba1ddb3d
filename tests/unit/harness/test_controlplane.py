"""The harness on Istio: what a test is told of its configuration, with istiod's answers in place of istiod."""

from __future__ import annotations

from typing import Any

import pytest
from mesh_lab.client import istiostatus
from mesh_lab.client.connection import ApiError, ClusterUnreachable
from mesh_lab.client.objects import Reference
from mesh_lab.harness import controlplane
from mesh_lab.harness.controlplane import Istio, Own, control_plane

VS = Reference("networking.istio.io/v1", "VirtualService", "reviews", "default")
SLICE = Reference("discovery.k8s.io/v1", "EndpointSlice", "reviews-1", "default")


class FakeApi:
    """As much of the API as the control plane's side asks for."""

    def __init__(self, *images: str) -> None:
        self.memory: dict[str, Any] = {}
        self.stored: dict[Reference, Any] = {}
        self.pods: list[Any] = []
        self._images = images

    def request(self, method: str, path: str, **params: Any) -> Any:
        if path == istiostatus.PODS:
            return {"items": self.pods}
        assert (method, params) == ("GET", {"labelSelector": "app=istiod"})
        return {"items": [{"spec": {"template": {"spec": {"containers": [{"image": i}]}}}} for i in self._images]}

    def find(self, ref: Reference) -> Any:
        return self.stored.get(ref)


def config(version: str) -> dict[str, Any]:
    return {
        "kind": "VirtualService",
        "metadata": {"namespace": "default", "name": "reviews", "resourceVersion": version},
    }


class Answers(Istio):
    """Istio whose istiods answer what the test says."""

    def __init__(self, api: FakeApi) -> None:
        super().__init__(api)  # type: ignore[arg-type]
        self.configs: list[list[Any]] = [[]]
        self.acked = "n"

    def _ask(self, path: str) -> list[Any]:
        if path == istiostatus.CONFIGZ:
            return self.configs
        return [[{"proxy": "a.default", "cluster_sent": "n", "cluster_acked": self.acked}]]


@pytest.fixture(autouse=True)
def settling(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(istiostatus, "SETTLE_S", 0.05)
    monkeypatch.setattr(controlplane, "PAUSE_SECONDS", 0.01)


@pytest.mark.parametrize(
    ("images", "kind"),
    [(("mesh-lab/istiod",), Own), ((), Own), (("docker.io/istio/pilot:1.30.3",), Istio)],
)
def test_the_control_plane_is_known_by_its_image_and_remembered(images: tuple[str, ...], kind: type) -> None:
    api = FakeApi(*images)
    found = control_plane(api)  # type: ignore[arg-type]
    assert type(found) is kind
    assert control_plane(api) is found  # type: ignore[arg-type]


def test_a_version_is_live_once_it_has_settled_and_all_have_acknowledged() -> None:
    istio = Answers(FakeApi())
    istio.configs = [[config("7")]]
    assert not istio.state(VS, 0.0)["live"]
    state = istio.state(VS, 5.0)
    assert (state["live"], state["found"], state["resource_version"]) == (True, True, "7")
    assert state["proxies"] == [{"proxy": "a.default", "state": "acknowledged", "error": ""}]


def test_every_wait_settles_anew_and_so_does_a_new_version() -> None:
    istio = Answers(FakeApi())
    istio.configs = [[config("7")]]
    assert istio.state(VS, 5.0)["live"]
    assert not istio.state(VS, 0.0)["live"]
    istio.configs = [[config("8")]]
    assert not istio.state(VS, 0.0)["live"]
    assert istio.state(VS, 5.0)["resource_version"] == "8"


def test_a_proxy_that_has_not_acknowledged_is_named() -> None:
    istio = Answers(FakeApi())
    istio.configs, istio.acked = [[config("7")]], "before"
    state = istio.state(VS, 0.2)
    assert not state["live"]
    assert state["proxies"][0]["state"] == "pending"
    assert istio.syncz() == {
        "synced": False,
        "proxies": [{"proxy": "a.default", "synced": False, "pending": ["cluster"]}],
    }


def test_a_pod_whose_proxy_has_not_connected_again_is_named_and_waited_for() -> None:
    api = FakeApi()
    istio = Answers(api)
    istio.configs = [[config("7")]]
    api.pods = [
        {
            "metadata": {"namespace": "default", "name": name},
            "spec": {"containers": [{"name": "istio-proxy"}]},
            "status": {"conditions": [{"type": "Ready", "status": "True"}]},
        }
        for name in ("a", "b")
    ]
    state = istio.state(VS, 0.2)
    assert not state["live"]
    assert [(proxy["proxy"], proxy["state"]) for proxy in state["proxies"]] == [
        ("a.default", "acknowledged"),
        ("b.default", "not-connected"),
    ]
    api.pods.pop()
    assert istio.state(VS, 5.0)["live"]


def test_a_version_that_one_istiod_lacks_is_not_the_version() -> None:
    istio = Answers(FakeApi())
    istio.configs = [[config("7")], []]
    assert istio.state(VS, 0.0)["resource_version"] == "0"
    istio.configs = [[config("10")], [config("9")]]
    assert istio.state(VS, 0.0)["resource_version"] == "9"


def test_what_istiod_does_not_list_is_looked_up_in_the_cluster() -> None:
    api = FakeApi()
    istio = Answers(api)
    assert not istio.state(SLICE, 5.0)["found"]
    api.stored[SLICE] = {"metadata": {"resourceVersion": "3"}}
    assert istio.state(SLICE, 5.0)["resource_version"] == "3"


def test_rules_that_listeners_have_are_live_only_when_old_connections_have_drained(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 100.0
    monkeypatch.setattr(controlplane.time, "monotonic", lambda: now)
    istio, policy = Answers(FakeApi()), config("7") | {"kind": "AuthorizationPolicy"}
    istio.configs = [[policy]]
    ref = Reference("security.istio.io/v1", "AuthorizationPolicy", "reviews", "default")
    assert not istio.state(ref, 0.0)["live"]
    now += 0.1
    assert not istio.state(ref, 0.0)["live"]
    istio.acked = "before"
    now += 2.0
    assert not istio.state(ref, 0.0)["live"]
    istio.acked = "n"
    assert not istio.state(ref, 0.0)["live"]
    now += controlplane.DRAIN_SECONDS + 0.1
    assert istio.state(ref, 0.0)["live"]
    # The next change drains anew.
    istio.configs = [[policy | {"metadata": {**policy["metadata"], "resourceVersion": "8"}}]]
    assert not istio.state(ref, 0.0)["live"]


def test_an_istio_that_is_starting_again_has_nothing_live_yet() -> None:
    class Empty(FakeApi):
        def request(self, method: str, path: str, **params: Any) -> Any:
            return {"items": []}

    istio = Istio(Empty())  # type: ignore[arg-type]
    state = istio.state(VS, 0.0)
    assert (state["found"], state["live"]) == (False, False)
    with pytest.raises(ClusterUnreachable, match="no istiod is ready"):
        istio.syncz()


class Starting(FakeApi):
    """A cluster whose control plane has no endpoint at the moment, or answers with `code`."""

    def __init__(self, code: int) -> None:
        super().__init__()
        self.code = code

    def request(self, method: str, path: str, **params: Any) -> Any:
        raise ApiError(self.code, "", request=f"{method} {path}")


def test_a_control_plane_that_is_starting_again_has_nothing_live_yet() -> None:
    state = Own(Starting(503)).state(VS, 0.0)  # type: ignore[arg-type]
    assert (state["found"], state["live"]) == (False, False)


def test_any_other_failure_of_the_control_plane_is_told() -> None:
    with pytest.raises(ApiError):
        Own(Starting(500)).state(VS, 0.0)  # type: ignore[arg-type]
