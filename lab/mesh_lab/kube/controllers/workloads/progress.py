"""A deployment's status: its counts, and whether it is available and progressing, in kubectl's words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from mesh_lab.conditions import Conditions, condition, find, others
from mesh_lab.kube.changes import Object
from mesh_lab.kube.controllers.workloads.rollout import available, desired, least_available
from mesh_lab.kube.objects.workloads import NO_DEADLINE, Deployment, DeploymentStatus, ReplicaSet
from mesh_lab.rfc3339 import parse, timestamp

UPDATED = "ReplicaSetUpdated"
COMPLETE = "NewReplicaSetAvailable"
TIMED_OUT = "ProgressDeadlineExceeded"
PAUSED = "DeploymentPaused"
RESUMED = "DeploymentResumed"

_RANK = {"Available": 0, "Progressing": 1, "ReplicaFailure": 2}


class Finding(NamedTuple):
    """A condition without its times."""

    type: str
    status: str
    reason: str
    message: str


def counts(deployment: Deployment, new: ReplicaSet | None, sets: Sequence[ReplicaSet]) -> DeploymentStatus:
    """Return the status with new counts and its present conditions."""
    replicas = sum(each.status.replicas for each in sets)
    available_now = sum(each.status.available_replicas for each in sets)
    return DeploymentStatus(
        observed_generation=deployment.metadata.generation,
        replicas=replicas,
        updated_replicas=new.status.replicas if new else 0,
        ready_replicas=sum(each.status.ready_replicas for each in sets),
        available_replicas=available_now,
        unavailable_replicas=max(0, desired(sets) - available_now),
        collision_count=deployment.status.collision_count,
        conditions=deployment.status.conditions,
    )


def complete(deployment: Deployment, status: DeploymentStatus) -> bool:
    """Return whether all pods are of the present template and available, and no others are left."""
    wanted = deployment.spec.replicas
    return (
        status.updated_replicas == wanted
        and status.replicas == wanted
        and status.available_replicas == wanted
        and status.observed_generation >= deployment.metadata.generation
    )


def has_deadline(deployment: Deployment) -> bool:
    """Return whether a rollout without progress times out."""
    return deployment.spec.progress_deadline_seconds != NO_DEADLINE


def assess(
    deployment: Deployment,
    status: DeploymentStatus,
    new: ReplicaSet | None,
    sets: Sequence[ReplicaSet],
    moment: datetime,
) -> tuple[Object, ...]:
    """Return all conditions after this reconciliation. Paused deployments keep their Progressing condition."""
    before = deployment.status.conditions
    ours = [_settled(before, _availability(deployment, sets), moment)]
    if has_deadline(deployment):
        ours += _progress(deployment, status, new, before, moment)
    if failure := _failure(new, sets):
        ours.append(_settled(before, failure, moment))
    conditions = [*others(before, *_RANK), *ours]
    return tuple(sorted(conditions, key=lambda each: (_RANK.get(each["type"], len(_RANK)), each["type"])))


def until_deadline(deployment: Deployment, status: DeploymentStatus, moment: datetime) -> float | None:
    """Return the seconds until the rollout's deadline must be checked; None when there is none."""
    progressing = find(status.conditions, "Progressing")
    last = progressing.get("lastUpdateTime")
    settled = progressing.get("reason") in (TIMED_OUT, COMPLETE)
    if not has_deadline(deployment) or deployment.spec.paused or last is None or settled:
        return None
    deadline = parse(last) + timedelta(seconds=deployment.spec.progress_deadline_seconds)
    return max(1.0, (deadline - moment).total_seconds() + 1)


def encode(status: DeploymentStatus) -> dict[str, Any]:
    """Encode the status; zero counts are left out, as Kubernetes does."""
    numbers: dict[str, Any] = {
        "observedGeneration": status.observed_generation,
        "replicas": status.replicas,
        "updatedReplicas": status.updated_replicas,
        "readyReplicas": status.ready_replicas,
        "availableReplicas": status.available_replicas,
        "unavailableReplicas": status.unavailable_replicas,
    }
    encoded = {key: value for key, value in numbers.items() if value}
    if status.collision_count is not None:
        encoded["collisionCount"] = status.collision_count
    return encoded | {"conditions": list(status.conditions)}


def pausing(deployment: Deployment, moment: datetime) -> Object | None:
    """Return the Progressing condition of a pause or its end; None when it is set already or there is no deadline."""
    conditions, paused = deployment.status.conditions, deployment.spec.paused
    reason = find(conditions, "Progressing").get("reason")
    if not has_deadline(deployment) or paused == (reason == PAUSED) or reason == TIMED_OUT:
        return None
    found = ("Unknown", PAUSED, "Deployment is paused") if paused else ("Unknown", RESUMED, "Deployment is resumed")
    return _settled(conditions, Finding("Progressing", *found), moment)


def _availability(deployment: Deployment, sets: Sequence[ReplicaSet]) -> Finding:
    if available(sets) >= least_available(deployment):
        return Finding("Available", "True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
    text = "Deployment does not have minimum availability."
    return Finding("Available", "False", "MinimumReplicasUnavailable", text)


def _progress(
    deployment: Deployment, status: DeploymentStatus, new: ReplicaSet | None, conditions: Conditions, moment: datetime
) -> list[Object]:
    """Return the Progressing condition; empty for a paused deployment that has none."""
    subject = f'ReplicaSet "{new.metadata.name}"' if new else f'Deployment "{deployment.metadata.name}"'
    before = find(conditions, "Progressing")
    completed = before.get("reason") == COMPLETE
    if deployment.spec.paused or (completed and status.replicas == status.updated_replicas):
        return [dict(before)] if before else []
    if new is not None and complete(deployment, status):
        found = Finding("Progressing", "True", COMPLETE, f"{subject} has successfully progressed.")
    elif not before or completed or _moved(deployment.status, status):
        found = Finding("Progressing", "True", UPDATED, f"{subject} is progressing.")
        return [_settled(conditions, found, moment, refresh=True)]
    elif _timed_out(deployment, before, moment):
        found = Finding("Progressing", "False", TIMED_OUT, f"{subject} has timed out progressing.")
    else:
        return [dict(before)]
    return [_settled(conditions, found, moment)]


def _moved(before: DeploymentStatus, after: DeploymentStatus) -> bool:
    """Return whether there are more new pods, fewer old ones, or more that are ready or available."""
    old_before = before.replicas - before.updated_replicas
    old_after = after.replicas - after.updated_replicas
    return (
        after.updated_replicas > before.updated_replicas
        or old_after < old_before
        or after.ready_replicas > before.ready_replicas
        or after.available_replicas > before.available_replicas
    )


def _timed_out(deployment: Deployment, before: Mapping[str, Any], moment: datetime) -> bool:
    reason, last = before.get("reason"), before.get("lastUpdateTime")
    if reason == TIMED_OUT:
        return True
    if reason == COMPLETE or last is None:
        return False
    return moment - parse(last) > timedelta(seconds=deployment.spec.progress_deadline_seconds)


def _failure(new: ReplicaSet | None, sets: Sequence[ReplicaSet]) -> Finding | None:
    """Return the ReplicaFailure of a replica set as the deployment's, the newest set's first."""
    ordered = ([new] if new else []) + [each for each in sets if each is not new]
    for each in ordered:
        failure = find(each.status.conditions, "ReplicaFailure")
        if failure.get("status") == "True":
            return Finding("ReplicaFailure", "True", failure.get("reason", ""), failure.get("message", ""))
    return None


def _settled(before: Conditions, found: Finding, moment: datetime, *, refresh: bool = False) -> Object:
    """Return the condition with its times; `lastUpdateTime` is that of its last change in any field, or a refresh."""
    old = find(before, found.type)
    if not refresh and found == Finding(*(old.get(field, "") for field in Finding._fields)):
        return dict(old)
    now = timestamp(moment)
    return condition(before, *found, now=now) | {"lastUpdateTime": now}
