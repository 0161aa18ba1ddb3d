"""Chaos is seeded and bounded, ends with its test, and says what it did and what it could not do."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from mesh_lab.client.connection import ApiError
from mesh_lab.errors import WaitTimeoutError
from mesh_lab.harness.chaos.bounds import ChaosBounds, ChaosError, ChaosUnsupported
from mesh_lab.harness.chaos.chaos import Chaos
from mesh_lab.networkfaults import ENDED, IN_FORCE, KINDS_ANNOTATION, REFUSED, count_of, described, parse
from mesh_lab.rfc3339 import timestamp

Object = dict[str, Any]
Items = dict[str, Object]


def pod(name: str, *, address: str = "10.244.0.5", controller: str = "", **labels: str) -> Object:
    owners = [{"uid": controller, "controller": True}] if controller else []
    return {
        "metadata": {
            "name": name,
            "namespace": "shop",
            "uid": f"uid of {name}",
            "labels": labels,
            "ownerReferences": owners,
            "creationTimestamp": "2026-01-31T12:00:00Z",
        },
        "spec": {"nodeName": "lab", "containers": [{"name": "app"}]},
        "status": {"podIPs": [{"ip": address}], "conditions": [{"type": "Ready", "status": "True"}]},
    }


class Cluster:
    """An API whose node answers each fault at once, as `answers` says."""

    def __init__(self, *pods: Object, lab: bool = True) -> None:
        self.pods = {each["metadata"]["name"]: each for each in pods}
        self.annotations = {KINDS_ANNOTATION: "partition"} if lab else {}
        self.answers: Callable[[Any], tuple[str, str]] = lambda fault: (IN_FORCE, described(fault))
        self.asked: list[str] = []
        self.remade = 0

    def path(self, api_version: str, kind: str, namespace: str = "") -> str:
        return f"{kind}/{namespace}"

    def get(self, ref: Any) -> Object:
        assert ref.kind == "Node"
        return {"metadata": {"name": ref.name, "annotations": self.annotations}}

    def list_all(self, api_version: str, kind: str, namespace: str = "", labels: str = "") -> list[Object]:
        name, _, value = labels.partition("=")
        return [each for each in self.pods.values() if not labels or each["metadata"]["labels"].get(name) == value]

    def patch(self, ref: Any, change: Object) -> Object:
        if ref.name not in self.pods:
            raise ApiError(404, "no such pod")
        conditions = self.pods[ref.name]["status"]["conditions"]
        for key, text in change["metadata"]["annotations"].items():
            conditions[:] = [each for each in conditions if each["type"] != key]
            if text is not None:
                reason, message = (ENDED, f"then; {count_of(3)}") if key in self.asked else self.answers(parse(text))
                self.asked.append(key)
                conditions.append({"type": key, "reason": reason, "message": message})
        return {}

    def delete(self, ref: Any, grace: int | None = None) -> None:
        assert grace == 0
        gone = self.pods.pop(ref.name)
        if owners := gone["metadata"]["ownerReferences"]:
            self.remade += 1
            self.pods[f"new-{self.remade}"] = pod(f"new-{self.remade}", controller=owners[0]["uid"])

    def wait_until(self, path: str, condition: Callable[[Items], bool], *, why: str, **_: Any) -> Items:
        if not condition(self.pods):
            raise WaitTimeoutError(why)
        return self.pods

    def faults(self) -> list[Object]:
        conditions = [each for found in self.pods.values() for each in found["status"]["conditions"]]
        return [each for each in conditions if each["type"] != "Ready"]


def chaos_of(cluster: Cluster, **options: Any) -> Chaos:
    return Chaos(cluster, **{"seed": "seed", **options})  # type: ignore[arg-type]


# Seeds and bounds


def test_a_seed_makes_the_same_choices_in_the_same_test_and_others_in_another() -> None:
    def choices(seed: str, test: str) -> list[int]:
        chaos = chaos_of(Cluster(), seed=seed, test=test)
        return [chaos.any_of(range(100)) for _ in range(8)]

    assert choices("1", "a") == choices("1", "a")
    assert choices("1", "a") != choices("2", "a")
    assert choices("1", "a") != choices("1", "b")


def test_nothing_is_chosen_from_nothing() -> None:
    with pytest.raises(ChaosError, match="nothing to choose"):
        chaos_of(Cluster()).any_of([])


def test_a_test_kills_no_more_than_its_bound() -> None:
    one, two = pod("one"), pod("two")
    cluster = Cluster(one, two)
    chaos = chaos_of(cluster, bounds=ChaosBounds(kills=1))
    chaos.kill(one)
    with pytest.raises(ChaosError, match="bound of one test") as refused:
        chaos.kill(two)
    assert "mesh_chaos_bounds" in refused.value.hint
    assert list(cluster.pods) == ["two"]


@pytest.mark.parametrize("seconds", [61.0, 0.0, -1.0])
def test_a_fault_is_within_its_bound(seconds: float) -> None:
    cluster = Cluster(pod("web"))
    with pytest.raises(ChaosError, match="bounds"):
        chaos_of(cluster).partition(cluster.pods["web"], seconds=seconds)
    assert cluster.asked == []


# Faults


def test_a_fault_ends_with_its_block_and_knows_its_packets() -> None:
    cluster = Cluster(pod("web"), pod("peer", address="10.244.0.7"))
    with chaos_of(cluster) as chaos:
        with chaos.partition(cluster.pods["web"], from_=cluster.pods["peer"], ports=[80]) as fault:
            (condition,) = cluster.faults()
            assert condition["reason"] == IN_FORCE
            assert "10.244.0.7 at TCP 80" in condition["message"]
        assert cluster.faults() == []
        assert fault.packets == 3
        assert [entry.what.split(":")[0] for entry in chaos.log.entries] == ["pod shop/web (peer)", "ended"]


def test_what_is_left_ends_with_the_fixture_also_when_the_test_fails() -> None:
    cluster = Cluster(pod("web"))

    def fails() -> None:
        with chaos_of(cluster) as chaos:
            chaos.loss(cluster.pods["web"], 0.5)
            chaos.delay(cluster.pods["web"], by=0.1, jitter=0.01)
            chaos.cut_dns(cluster.pods["web"])
            assert len(cluster.faults()) == 3
            raise AssertionError("the test fails")

    with pytest.raises(AssertionError, match="the test fails"):
        fails()
    assert cluster.faults() == []


def test_a_fault_that_ended_before_its_block_is_told() -> None:
    cluster = Cluster(pod("web"))
    chaos = chaos_of(cluster)
    with pytest.raises(ChaosError, match="ended by itself"), chaos.partition(cluster.pods["web"], seconds=1e-6):
        pass


def test_a_failure_in_the_block_is_not_hidden_by_an_early_end() -> None:
    cluster = Cluster(pod("web"))
    with pytest.raises(ZeroDivisionError), chaos_of(cluster).partition(cluster.pods["web"], seconds=1e-6):
        raise ZeroDivisionError


def test_a_pod_that_is_gone_takes_its_fault_along() -> None:
    cluster = Cluster(pod("web"))
    chaos = chaos_of(cluster)
    with chaos.partition(cluster.pods["web"]) as fault:
        chaos.kill(cluster.pods["web"])
    assert fault.packets is None


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda chaos, web: chaos.loss(web, 1.5), "$.ratio"),
        (lambda chaos, web: chaos.delay(web, by=-1), "$.seconds"),
        (lambda chaos, web: chaos.delay(web, by=0.1, jitter=1), "$.jitter"),
        (lambda chaos, web: chaos.partition(web, ports=[0]), "$.ports[0].port"),
        (lambda chaos, web: chaos.partition(web, from_={**web, "status": {}}), "no address"),
    ],
)
def test_a_wrong_argument_is_refused_by_its_name(wrong: Callable[[Chaos, Object], object], words: str) -> None:
    cluster = Cluster(pod("web"))
    with pytest.raises(ChaosError) as refused:
        wrong(chaos_of(cluster), cluster.pods["web"])
    assert words in str(refused.value)
    assert cluster.asked == []


# What a cluster cannot do


def test_a_cluster_that_is_not_the_labs_makes_no_network_faults_and_says_why() -> None:
    cluster = Cluster(pod("web"), lab=False)
    chaos = chaos_of(cluster)
    with pytest.raises(ChaosUnsupported, match="the Kubernetes API has none") as refused:
        chaos.partition(cluster.pods["web"])
    assert "mesh-lab up" in refused.value.hint
    assert cluster.asked == []
    assert "not done" in str(chaos.log)


def test_what_the_node_refuses_is_told_in_its_words_and_leaves_nothing() -> None:
    cluster = Cluster(pod("web"))
    cluster.answers = lambda _: (REFUSED, "the kernel knows no such thing")
    with pytest.raises(ChaosUnsupported, match="the kernel knows no such thing"):
        chaos_of(cluster).partition(cluster.pods["web"])
    assert cluster.faults() == []


@pytest.mark.parametrize("refuse", [pytest.skip, pytest.fail])
def test_a_pod_that_is_gone_and_an_end_that_has_passed_are_no_reason_to_skip(refuse: Any) -> None:
    cluster = Cluster(pod("web"))
    with pytest.raises(ChaosError, match="it is gone"):
        chaos_of(cluster, refuse=refuse).partition(pod("another"))
    cluster.answers = lambda _: (ENDED, "until then")
    with pytest.raises(ChaosError, match="before it could begin"):
        chaos_of(cluster, refuse=refuse).partition(cluster.pods["web"])
    assert cluster.faults() == []


def test_a_node_that_does_not_answer_leaves_no_annotation() -> None:
    cluster = Cluster(pod("web"))
    cluster.wait_until = lambda *_, **__: (_ for _ in ()).throw(WaitTimeoutError("no answer"))  # type: ignore[method-assign]
    with pytest.raises(WaitTimeoutError):
        chaos_of(cluster).partition(cluster.pods["web"])
    assert cluster.faults() == []


def test_in_a_test_it_is_skipped_with_the_reason() -> None:
    cluster = Cluster(pod("web"), lab=False)
    with pytest.raises(pytest.skip.Exception, match="embedded cluster"):
        chaos_of(cluster, refuse=pytest.skip).partition(cluster.pods["web"])


# Kills


def test_what_was_killed_is_back_when_another_pod_of_its_controller_is_ready() -> None:
    cluster = Cluster(pod("web", controller="set"), pod("other", controller="set"))
    chaos = chaos_of(cluster)
    chaos.kill(cluster.pods["web"])
    chaos.wait_back()
    assert set(cluster.pods) == {"other", "new-1"}
    cluster.pods["other"]["status"]["conditions"] = []
    chaos.kill(cluster.pods["new-1"])
    chaos.wait_back()
    assert set(cluster.pods) == {"other", "new-2"}


def test_what_is_not_back_is_named() -> None:
    cluster = Cluster(pod("web", controller="set"))
    chaos = chaos_of(cluster)
    chaos.kill(cluster.pods["web"])
    cluster.pods.clear()
    with pytest.raises(TimeoutError, match="in place of pod shop/web"):
        chaos.wait_back()


def test_a_pod_without_a_controller_never_comes_back_and_is_not_waited_for() -> None:
    cluster = Cluster(pod("web"))
    chaos = chaos_of(cluster)
    chaos.kill(cluster.pods["web"])
    chaos.wait_back()


def test_what_all_share_is_killed_only_where_that_is_allowed() -> None:
    cluster = Cluster(pod("istiod", controller="set", app="istiod"))
    with pytest.raises(ChaosError, match="istiod is not killed: others need it"):
        chaos_of(cluster, not_shared="others need it").kill_istiod()
    assert list(cluster.pods) == ["istiod"]
    with chaos_of(cluster) as chaos:
        (killed,) = chaos.kill_istiod()
        assert killed["metadata"]["name"] == "istiod"
    with pytest.raises(ChaosError, match="no pod of the ingress gateway"):
        chaos.kill_gateway()


def test_a_pod_without_a_sidecar_has_none_to_kill() -> None:
    cluster = Cluster(pod("web"))
    with pytest.raises(ChaosError, match="has no sidecar"):
        chaos_of(cluster).kill_sidecar(cluster.pods["web"])


def test_the_log_tells_what_was_done_when() -> None:
    cluster = Cluster(pod("web"))
    chaos = chaos_of(cluster)
    assert str(chaos.log) == "nothing was done"
    chaos.kill(cluster.pods["web"])
    assert str(chaos.log).startswith(timestamp()[:10])
    assert str(chaos.log).endswith("killed pod shop/web")
    assert json.dumps([entry.what for entry in chaos.log.entries]) == '["killed pod shop/web"]'
