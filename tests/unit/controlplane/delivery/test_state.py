"""Which snapshot is the first to include which version of an object."""

from __future__ import annotations

from typing import Any

from mesh_lab.controlplane.delivery.state import ClusterState, Included
from mesh_lab.controlplane.kube.kinds import FOLLOWED
from mesh_lab.controlplane.world.snapshot import Keys, KeySource
from tests.unit.controlplane.cluster import config

KEY = ("Service", "default", "web")
SERVICE = FOLLOWED["Service"]


def service(version: int, port: int = 80, **status: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "web", "namespace": "default", "resourceVersion": str(version)},
        "spec": {"clusterIP": "10.96.0.9", "ports": [{"name": "http", "port": port}]},
        "status": status,
    }


def test_a_change_is_included_by_the_next_snapshot() -> None:
    state = ClusterState()
    first = state.snapshot().version
    assert state.included(KEY) is None
    state.apply(SERVICE, "ADDED", service(5))
    assert state.included(KEY) == Included("5", first + 1)
    assert not state.settled
    second = state.snapshot().version
    assert state.included(KEY) == Included("5", second)
    assert state.settled


def test_a_change_that_no_proxy_could_notice_is_included_already() -> None:
    state = ClusterState()
    state.apply(SERVICE, "ADDED", service(5))
    snapshot = state.snapshot()
    state.apply(SERVICE, "MODIFIED", service(6, conditions=[{"type": "Seen", "status": "True"}]))
    assert state.included(KEY) == Included("6", snapshot.version)
    assert state.snapshot() is snapshot


def test_a_change_that_hides_behind_a_pending_one_waits_with_it() -> None:
    state = ClusterState()
    before = state.snapshot().version
    state.apply(SERVICE, "ADDED", service(5))
    state.apply(SERVICE, "MODIFIED", service(6, loadBalancer={}))
    assert state.included(KEY) == Included("6", before + 1)


def test_a_deletion_is_included_by_the_next_snapshot_too() -> None:
    state = ClusterState()
    state.apply(SERVICE, "ADDED", service(5))
    before = state.snapshot().version
    state.apply(SERVICE, "DELETED", service(7))
    assert state.included(KEY) is None
    assert state.gone_since(KEY) == before + 1
    after = state.snapshot().version
    assert state.gone_since(KEY) == after
    assert state.gone_since(("Service", "default", "never was")) == 0


def test_what_a_new_list_lacks_is_gone() -> None:
    state = ClusterState()
    gone: list[tuple[str, str]] = []
    state.hook("Service", lambda event, obj: gone.append((event, obj["metadata"]["name"])))
    state.apply(SERVICE, "ADDED", service(5))
    state.replace(SERVICE, [])
    assert gone == [("ADDED", "web"), ("DELETED", "web")]
    assert state.included(KEY) is None


def test_an_object_that_cannot_be_read_is_left_out_and_the_rest_is_not() -> None:
    state = ClusterState()
    secret = {"metadata": {"name": "s", "namespace": "default", "resourceVersion": "1"}, "data": {"tls.crt": 5}}
    state.apply(FOLLOWED["Secret"], "ADDED", secret)
    state.apply(SERVICE, "ADDED", service(5))
    assert ("default", "web") in state.snapshot().services


def test_a_policy_about_tokens_is_included_once_each_source_of_its_keys_was_tried() -> None:
    state = ClusterState()
    key = ("RequestAuthentication", "default", "tokens")
    here, there = KeySource("a", "http://a/jwks"), KeySource("b", "http://b/jwks")
    rules = [{"issuer": each.issuer, "jwksUri": each.uri} for each in (here, there)]
    policy = config("RequestAuthentication", "tokens", {"jwtRules": rules})
    state.apply(FOLLOWED["RequestAuthentication"], "ADDED", policy)

    def waits() -> bool:
        included = state.included(key)
        assert included is not None
        return included.snapshot > state.snapshot().version

    assert waits()
    state.set_keys(here, Keys("{}"))
    state.snapshot()
    assert waits(), "the keys of the other source are not there"
    state.set_keys(there, Keys("", "it is down"))
    last = state.snapshot().version
    assert not waits()
    assert state.included(key) == Included("", last), "what the keys make is part of it"
