"""Templates, their hashes, and the numbers of revisions."""

from __future__ import annotations

import re
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from mesh_lab.conditions import find
from mesh_lab.kube.controllers.workloads.progress import assess, counts, until_deadline
from mesh_lab.kube.controllers.workloads.revisions import (
    HASH_LABEL,
    HISTORY_ANNOTATION,
    REVISION_ANNOTATION,
    find_new,
    revision_annotations,
    same_template,
    superfluous,
    template_hash,
)
from mesh_lab.kube.objects.workloads import NO_DEADLINE, Deployment, ReplicaSet
from tests.unit.kube.controllers.making import START, deployment, replica_set

TEMPLATE: dict[str, Any] = {
    "metadata": {"labels": {"app": "web"}},
    "spec": {"containers": [{"name": "c", "image": "one"}]},
}


def with_template(each: ReplicaSet, template: dict[str, Any]) -> ReplicaSet:
    return msgspec.structs.replace(each, spec=msgspec.structs.replace(each.spec, template=template))


def test_the_hash_is_independent_of_the_order_of_keys_and_spells_no_words() -> None:
    turned = {"spec": TEMPLATE["spec"], "metadata": TEMPLATE["metadata"]}
    assert template_hash(TEMPLATE) == template_hash(turned) == "5758b7489d", (
        "a changed hash would roll out every deployment"
    )
    assert template_hash(TEMPLATE, 1) != template_hash(TEMPLATE)
    assert re.fullmatch("[bcdf-hj-np-tv-xz2456789]+", template_hash(TEMPLATE))


@given(label=st.text(max_size=5))
def test_a_template_is_the_same_with_its_hash(label: str) -> None:
    hashed = {**TEMPLATE, "metadata": {"labels": {"app": "web", HASH_LABEL: label}, "creationTimestamp": None}}
    assert same_template(hashed, TEMPLATE)
    assert not same_template(hashed, {**TEMPLATE, "metadata": {"labels": {"app": "other"}}})


def test_of_two_sets_with_the_template_the_older_is_the_new_one() -> None:
    wanted = deployment(template=TEMPLATE)
    young, old = (with_template(replica_set(f"s{age}", 1, age=age), TEMPLATE) for age in (9, 1))
    assert find_new(wanted, [young, replica_set("other", 1), old]) is old
    assert find_new(wanted, [replica_set("other", 1)]) is None


def test_a_set_that_becomes_new_again_gets_a_new_revision_and_keeps_its_history() -> None:
    annotations = revision_annotations(deployment(), {REVISION_ANNOTATION: "2", HISTORY_ANNOTATION: "1"}, 5)
    assert annotations == {REVISION_ANNOTATION: "5", HISTORY_ANNOTATION: "1,2"}
    assert revision_annotations(deployment(), annotations, 5) == annotations


def test_only_idle_sets_beyond_the_limit_are_forgotten() -> None:
    sizes = {1: 0, 2: 1, 3: 0, 4: 0, 5: 0}
    numbered = [replica_set(f"s{n}", size, **{REVISION_ANNOTATION: str(n)}) for n, size in sizes.items()]
    assert [each.metadata.name for each in superfluous(deployment(revisionHistoryLimit=2), numbered)] == ["s1", "s3"]


def progressing(wanted: Deployment, sets: list[ReplicaSet], seconds: int = 0) -> tuple[Deployment, str]:
    """The deployment with its next status, and the reason of its Progressing condition."""
    moment = START.replace(second=seconds)
    status = counts(wanted, sets[-1], sets)
    conditions = assess(wanted, status, sets[-1], sets, moment)
    found = msgspec.structs.replace(status, conditions=conditions)
    return msgspec.structs.replace(wanted, status=found), find(conditions, "Progressing").get("reason", "")


def test_a_rollout_progresses_completes_and_times_out() -> None:
    wanted, reason = progressing(deployment(2, progressDeadlineSeconds=10), [replica_set("a", 2, 0)])
    assert reason == "ReplicaSetUpdated"
    wanted, reason = progressing(wanted, [replica_set("a", 2, 1)], 5)
    assert reason == "ReplicaSetUpdated"
    assert until_deadline(wanted, wanted.status, START.replace(second=5)) == 11
    late, reason = progressing(wanted, [replica_set("a", 2, 1)], 16)
    assert reason == "ProgressDeadlineExceeded"
    assert until_deadline(late, late.status, START) is None
    done, reason = progressing(late, [replica_set("a", 2, 2)], 17)
    assert reason == "NewReplicaSetAvailable"
    _, reason = progressing(done, [replica_set("a", 2, 0)], 59)
    assert reason == "NewReplicaSetAvailable", "pods that break later are not a rollout that fails"
    _, reason = progressing(done, [replica_set("a", 2, 2), replica_set("b", 0)], 59)
    assert reason == "ReplicaSetUpdated", "a new template starts a new rollout"


def test_without_a_deadline_there_is_no_progressing_condition() -> None:
    assert progressing(deployment(2, progressDeadlineSeconds=NO_DEADLINE), [replica_set("a", 2)])[1] == ""
