"""A rolling update keeps its bounds whatever the pods do, and comes to its end."""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh_lab.kube.controllers.workloads import rollout
from mesh_lab.kube.controllers.workloads.replicas import victims
from mesh_lab.kube.objects.workloads import Deployment, ReplicaSet
from tests.unit.kube.controllers.making import deployment, pod, replica_set


@pytest.mark.parametrize(
    ("replicas", "surge", "unavailable", "expected"),
    [
        (10, "25%", "25%", (3, 2)),
        (3, "25%", "25%", (1, 0)),
        (1, "25%", "25%", (1, 0)),
        (4, 0, "10%", (0, 1)),
        (4, "0%", "0%", (0, 1)),
        (10, 2, 3, (2, 3)),
        (2, 1, "100%", (1, 2)),
        (2, 0, 5, (0, 2)),
        (0, "25%", "25%", (0, 0)),
    ],
)
def test_percentages_round_as_in_kubernetes(
    replicas: int, surge: int | str, unavailable: int | str, expected: tuple[int, int]
) -> None:
    assert rollout.allowance(deployment(replicas, surge=surge, unavailable=unavailable)) == expected


def test_a_text_that_is_no_percentage_is_refused() -> None:
    with pytest.raises(ValueError, match="'many' is neither a number nor a percentage"):
        rollout.resolve("many", 4, up=True)


def test_unavailable_old_pods_go_first() -> None:
    wanted = deployment(4, surge=1, unavailable=1)
    old = [replica_set("a", 2, available=2, age=0), replica_set("b", 2, available=0, age=1)]
    new = replica_set("new", 1, available=1, age=2)
    assert rollout.shrink_old(wanted, new, old) == {"b": 0}


def test_scaling_in_the_midst_of_a_rollout_keeps_the_proportion() -> None:
    # Kubernetes' own example: 10 replicas, maxSurge 3; 8 old and 5 new; scaled to 15.
    before = {rollout.DESIRED_ANNOTATION: "10", rollout.MAX_ANNOTATION: "13"}
    old = msgspec.structs.replace(replica_set("old", 8, age=0))
    sets = [
        msgspec.structs.replace(each, metadata=msgspec.structs.replace(each.metadata, annotations=before))
        for each in (old, replica_set("new", 5, age=1))
    ]
    assert rollout.proportional(deployment(15, surge=3, unavailable=2), sets) == {"old": 11, "new": 7}


@given(
    replicas=st.integers(0, 30),
    sizes=st.lists(st.integers(1, 20), min_size=2, max_size=5),
    surge=st.integers(0, 5),
    before=st.integers(1, 60),
)
def test_proportional_scaling_comes_to_the_allowed_total(
    replicas: int, sizes: list[int], surge: int, before: int
) -> None:
    wanted = deployment(replicas, surge=surge, unavailable=1)
    noted = {rollout.MAX_ANNOTATION: str(before)}
    sets = [
        msgspec.structs.replace(each, metadata=msgspec.structs.replace(each.metadata, annotations=noted))
        for each in (replica_set(f"s{n}", size, age=n) for n, size in enumerate(sizes))
    ]
    result = {each.metadata.name: each.spec.replicas for each in sets} | rollout.proportional(wanted, sets)
    assert sum(result.values()) == rollout.most_pods(wanted)
    assert min(result.values()) >= 0


@dataclass
class Cluster:
    """The deployment's and the replica sets' controllers as pure functions, each with its own view of the pods.

    A set's status is as old as its controller's last step, as in a real cluster.
    """

    deployment: Deployment
    sets: list[ReplicaSet]
    pods: dict[str, dict[str, bool]] = field(default_factory=dict)
    made: int = 0

    def total(self) -> int:
        return sum(len(pods) for pods in self.pods.values())

    def available(self) -> int:
        return sum(sum(pods.values()) for pods in self.pods.values())

    def step_deployment(self) -> None:
        *old, new = self.sets
        size = rollout.new_set_size(self.deployment, new.spec.replicas, rollout.present(self.sets))
        if size != new.spec.replicas:
            self._resize({new.metadata.name: size})
            return
        self._resize(rollout.shrink_old(self.deployment, new, old))

    def _resize(self, sizes: dict[str, int]) -> None:
        self.sets = [
            msgspec.structs.replace(
                each,
                spec=msgspec.structs.replace(each.spec, replicas=sizes.get(each.metadata.name, each.spec.replicas)),
            )
            for each in self.sets
        ]

    def step_set(self, index: int) -> None:
        each = self.sets[index]
        pods = self.pods.setdefault(each.metadata.name, {})
        excess = len(pods) - each.spec.replicas
        if excess > 0:
            views = [pod(name, ready=ready, age=int(name[1:])) for name, ready in pods.items()]
            for victim in victims(views, excess):
                del pods[victim.metadata.name]
        for _ in range(-excess):
            self.made += 1
            pods[f"p{self.made}"] = False
        self.report(index)

    def report(self, index: int) -> None:
        each = self.sets[index]
        pods = self.pods.setdefault(each.metadata.name, {})
        status = msgspec.structs.replace(
            each.status, replicas=len(pods), ready_replicas=sum(pods.values()), available_replicas=sum(pods.values())
        )
        self.sets[index] = msgspec.structs.replace(each, status=status)

    def settle(self) -> None:
        for pods in self.pods.values():
            for name in pods:
                pods[name] = True
        for index in range(len(self.sets)):
            self.step_set(index)
        for pods in self.pods.values():
            for name in pods:
                pods[name] = True
        for index in range(len(self.sets)):
            self.report(index)


def running(replicas: int, surge: int | str, unavailable: int | str, olds: int) -> Cluster:
    """A deployment that is complete in its last-but-one template, before the first step towards a new one."""
    sets = [replica_set(f"s{n}", 0, age=n) for n in range(olds)] + [replica_set("new", 0, age=olds)]
    cluster = Cluster(deployment(replicas, surge=surge, unavailable=unavailable), sets)
    cluster._resize({sets[-2].metadata.name: replicas})
    cluster.settle()
    return cluster


sizes = st.one_of(st.integers(0, 6), st.integers(0, 100).map(lambda share: f"{share}%"))
schedules = st.lists(
    st.tuples(st.sampled_from(["deployment", "set", "ready", "report"]), st.integers(0, 50)), max_size=80
)


@settings(max_examples=300, deadline=None)
@given(replicas=st.integers(0, 12), surge=sizes, unavailable=sizes, olds=st.integers(1, 3), schedule=schedules)
def test_bounds_hold_under_any_schedule(
    replicas: int, surge: int | str, unavailable: int | str, olds: int, schedule: list[tuple[str, int]]
) -> None:
    cluster = running(replicas, surge, unavailable, olds)
    most, least = rollout.most_pods(cluster.deployment), rollout.least_available(cluster.deployment)
    for what, number in schedule:
        index = number % len(cluster.sets)
        if what == "deployment":
            cluster.step_deployment()
        elif what == "set":
            cluster.step_set(index)
        elif what == "report":
            cluster.report(index)
        else:
            waiting = [(pods, name) for pods in cluster.pods.values() for name, ready in pods.items() if not ready]
            if waiting:
                pods, name = waiting[number % len(waiting)]
                pods[name] = True
        assert cluster.total() <= most or cluster.total() <= replicas, "more pods than maxSurge allows"
        assert cluster.available() >= least, "fewer available pods than maxUnavailable allows"


@settings(max_examples=200, deadline=None)
@given(replicas=st.integers(0, 12), surge=sizes, unavailable=sizes, olds=st.integers(1, 3), schedule=schedules)
def test_a_rollout_ends_once_pods_become_ready(
    replicas: int, surge: int | str, unavailable: int | str, olds: int, schedule: list[tuple[str, int]]
) -> None:
    cluster = running(replicas, surge, unavailable, olds)
    for what, number in schedule:
        if what == "ready":
            flapping = [(pods, name) for pods in cluster.pods.values() for name in pods]
            if flapping:
                pods, name = flapping[number % len(flapping)]
                pods[name] = not pods[name]
        elif what == "deployment":
            cluster.step_deployment()
        else:
            cluster.step_set(number % len(cluster.sets))
    for _ in range(4 * replicas + 8):
        cluster.step_deployment()
        cluster.settle()
    assert [each.spec.replicas for each in cluster.sets] == [0] * olds + [replicas]
    assert cluster.total() == cluster.available() == replicas


def test_a_step_never_takes_available_pods_below_the_bound_while_others_break() -> None:
    cluster = running(4, 1, 1, 1)
    for _ in range(3):
        cluster.step_deployment()
        for index in range(2):
            cluster.step_set(index)
    assert cluster.available() == 3
    before = dict(cluster.pods["s0"])
    cluster.pods["s0"][next(iter(before))] = False
    cluster.report(0)
    cluster.step_deployment()
    cluster.step_set(0)
    assert cluster.available() == 2
