"""The pods of a replica set: which count, which are available, and which go first. Pure functions.

Source: https://kubernetes.io/docs/concepts/workloads/controllers/replicaset/ (Scaling a ReplicaSet). Kubernetes
compares ages on a logarithmic scale, to spread victims at random; here the newest pod goes first, for tests.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from mesh_lab.kube.objects.meta import contains
from mesh_lab.kube.objects.pods import Pod
from mesh_lab.kube.objects.workloads import ReplicaSet, ReplicaSetStatus

DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"

_PHASES = {"Pending": 0, "Unknown": 1, "Running": 2}


def counts_as_replica(pod: Pod) -> bool:
    """Return whether the pod is a replica: it has not ended and is not being deleted."""
    return not pod.finished and not pod.metadata.deleting


def ready_since(pod: Pod) -> datetime | None:
    """Return when the pod became ready; None when it is not."""
    for condition in pod.status.conditions:
        if condition.type == "Ready" and condition.status == "True":
            return condition.last_transition_time
    return None


def until_available(pod: Pod, min_ready_seconds: int, moment: datetime) -> float | None:
    """Return the seconds until a ready pod counts as available: 0 when it does, None when it is not ready."""
    if not pod.ready:
        return None
    since = ready_since(pod)
    if min_ready_seconds == 0 or since is None:
        return 0.0
    return max(0.0, min_ready_seconds - (moment - since).total_seconds())


def victims(pods: Iterable[Pod], number: int) -> list[Pod]:
    """Return the `number` pods that a replica set deletes first."""
    return sorted(pods, key=_worth)[:number]


def _worth(pod: Pod) -> tuple[Any, ...]:
    """Order of deletion: unassigned, pending, not ready, low cost, recently ready, often restarted, new pods first."""
    since = ready_since(pod)
    created = pod.metadata.creation_timestamp
    restarts = max((each.restart_count for each in pod.status.container_statuses), default=0)
    return (
        bool(pod.spec.node_name),
        _PHASES.get(pod.status.phase, 1),
        pod.ready,
        _cost(pod),
        -(since.timestamp() if since else 0.0),
        -restarts,
        -(created.timestamp() if created else 0.0),
        pod.metadata.name,
    )


def _cost(pod: Pod) -> int:
    text = pod.metadata.annotations.get(DELETION_COST, "0")
    try:
        return int(text)
    except ValueError:
        return 0


def count(owner: ReplicaSet, pods: Sequence[Pod], moment: datetime) -> tuple[ReplicaSetStatus, float | None]:
    """Return the status with its counts, and the seconds until the next ready pod becomes available."""
    template_labels = (owner.spec.template.get("metadata") or {}).get("labels") or {}
    waits = [until_available(pod, owner.spec.min_ready_seconds, moment) for pod in pods]
    soon = [wait for wait in waits if wait]
    status = ReplicaSetStatus(
        observed_generation=owner.metadata.generation,
        replicas=len(pods),
        fully_labeled_replicas=sum(contains(pod.metadata.labels, template_labels) for pod in pods),
        ready_replicas=sum(pod.ready for pod in pods),
        available_replicas=sum(wait == 0 for wait in waits),
    )
    return status, min(soon, default=None)
