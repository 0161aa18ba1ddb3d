"""What a stateful set does next, given the pods that it has: pure functions.

Source: https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/ (Deployment and Scaling Guarantees,
Update strategies).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import datetime

from mesh_lab.kube.changes import Object
from mesh_lab.kube.controllers.workloads.replicas import until_available
from mesh_lab.kube.controllers.workloads.revisions import template_hash
from mesh_lab.kube.objects.meta import owner_reference
from mesh_lab.kube.objects.pods import Pod
from mesh_lab.kube.objects.workloads import StatefulSet

REVISION_LABEL = "controller-revision-hash"
NAME_LABEL = "statefulset.kubernetes.io/pod-name"
INDEX_LABEL = "apps.kubernetes.io/pod-index"


@dataclass(frozen=True)
class Step:
    """The writes to make now. `again` is the number of seconds after which to look again, if it depends on time."""

    create: list[int] = field(default_factory=list)
    delete: list[Pod] = field(default_factory=list)
    again: float | None = None


def revision(owner: StatefulSet) -> str:
    """The name of the revision that the present template makes."""
    return f"{owner.metadata.name}-{template_hash(owner.spec.template)}"


def ordinal(owner: StatefulSet, name: str) -> int | None:
    """The number at the end of the name of one of the set's pods; None when it is not one."""
    stem, _, number = name.rpartition("-")
    return int(number) if stem == owner.metadata.name and number.isdigit() and str(int(number)) == number else None


def step(owner: StatefulSet, pods: Sequence[Pod], moment: datetime) -> Step:
    """What to do next.

    In order, one pod at a time: the next is made once all before it are ready, and removed once all after it are gone;
    with the policy Parallel at once. A template's change replaces pods from the highest number down.
    """
    numbered = {number: pod for pod in pods if (number := ordinal(owner, pod.metadata.name)) is not None}
    first = owner.spec.ordinals.start
    wanted = range(first, first + owner.spec.replicas)
    parallel = owner.spec.pod_management_policy == "Parallel"
    ended = [pod for pod in numbered.values() if pod.finished and not pod.metadata.deleting]
    if ended:
        return Step(delete=ended if parallel else ended[:1])
    if parallel:
        missing = [number for number in wanted if number not in numbered]
        surplus = [pod for number, pod in numbered.items() if number not in wanted and not pod.metadata.deleting]
        if missing or surplus:
            return Step(create=missing, delete=surplus)
        return _update(owner, numbered, wanted, moment)
    for number in wanted:
        pod = numbered.get(number)
        if pod is None:
            return Step(create=[number])
        wait = None if pod.metadata.deleting else until_available(pod, owner.spec.min_ready_seconds, moment)
        if wait != 0 and not _is_stuck(owner, pod, wait):
            return Step(again=wait)
    surplus_numbers = sorted((number for number in numbered if number not in wanted), reverse=True)
    if surplus_numbers:
        last = numbered[surplus_numbers[0]]
        return Step(delete=[] if last.metadata.deleting else [last])
    return _update(owner, numbered, wanted, moment)


def _is_stuck(owner: StatefulSet, pod: Pod, wait: float | None) -> bool:
    """Whether an update may replace a pod that is not ready: an older template made it, and may never be."""
    old = pod.metadata.labels.get(REVISION_LABEL) != revision(owner)
    return wait is None and old and not pod.metadata.deleting and owner.spec.update_strategy.type == "RollingUpdate"


def _update(owner: StatefulSet, numbered: Mapping[int, Pod], wanted: Sequence[int], moment: datetime) -> Step:
    """Replace one pod of an older template, the highest first, once all above it are ready."""
    if owner.spec.update_strategy.type != "RollingUpdate":
        return Step()
    newest = revision(owner)
    for number in reversed(wanted):
        pod = numbered.get(number)
        if number < owner.spec.update_strategy.rolling_update.partition:
            break
        if pod is None or pod.metadata.deleting:
            return Step()
        if pod.metadata.labels.get(REVISION_LABEL) != newest:
            return Step(delete=[pod])
        wait = until_available(pod, owner.spec.min_ready_seconds, moment)
        if wait != 0:
            return Step(again=wait)
    return Step()


def pod_of(stored: Object, owner: StatefulSet, number: int) -> Object:
    """The pod of that number: its host name is its name, so that DNS knows it below a headless Service."""
    name = f"{owner.metadata.name}-{number}"
    template = deepcopy(owner.spec.template)
    metadata = template.get("metadata") or {}
    labels = {
        **(metadata.get("labels") or {}),
        REVISION_LABEL: revision(owner),
        NAME_LABEL: name,
        INDEX_LABEL: str(number),
    }
    taken = {each: metadata[each] for each in ("annotations", "finalizers") if metadata.get(each)}
    spec = {**(template.get("spec") or {}), "hostname": name}
    if owner.spec.service_name:
        spec["subdomain"] = owner.spec.service_name
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": owner.metadata.namespace,
            "ownerReferences": [owner_reference(stored)],
            "labels": labels,
            **taken,
        },
        "spec": spec,
    }


def status(owner: StatefulSet, pods: Sequence[Pod], moment: datetime) -> Object:
    """The status of a set with these pods."""
    present = [pod for pod in pods if not pod.finished]
    newest = revision(owner)
    updated = sum(pod.metadata.labels.get(REVISION_LABEL) == newest for pod in present)
    current = owner.status.current_revision or newest
    if updated == len(present) == owner.spec.replicas:
        current = newest
    numbers = {
        "readyReplicas": sum(pod.ready for pod in present),
        "currentReplicas": sum(pod.metadata.labels.get(REVISION_LABEL) == current for pod in present),
        "updatedReplicas": updated,
    }
    available = sum(until_available(pod, owner.spec.min_ready_seconds, moment) == 0 for pod in present)
    return {
        "observedGeneration": owner.metadata.generation,
        "replicas": len(present),
        "availableReplicas": available,
        "currentRevision": current,
        "updateRevision": newest,
        "collisionCount": 0,
        **{name: value for name, value in numbers.items() if value},
    }
