"""A deployment's status: its counts, and whether it is available and progressing, in kubectl's words."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from mesh_lab.kube.controllers.workloads.rollout import available, desired, least_available
from mesh_lab.kube.objects.meta import Condition
from mesh_lab.kube.objects.workloads import NO_DEADLINE, Deployment, DeploymentStatus, ReplicaSet
from mesh_lab.rfc3339 import timestamp

UPDATED = "ReplicaSetUpdated"
COMPLETE = "NewReplicaSetAvailable"
TIMED_OUT = "ProgressDeadlineExceeded"
PAUSED = "DeploymentPaused"
RESUMED = "DeploymentResumed"

_RANK = {"Available": 0, "Progressing": 1, "ReplicaFailure": 2}


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
) -> tuple[Condition, ...]:
    """Return all conditions after this reconciliation. Paused deployments keep their Progressing condition."""
    conditions = {each.type: each for each in deployment.status.conditions}
    conditions["Available"] = _settled(conditions.get("Available"), _availability(deployment, sets), moment)
    if not has_deadline(deployment):
        conditions.pop("Progressing", None)
    else:
        progressing = _progress(deployment, status, new, conditions.get("Progressing"), moment)
        if progressing:
            conditions["Progressing"] = progressing
    failure = _failure(new, sets)
    conditions.pop("ReplicaFailure", None)
    if failure:
        before = next((each for each in deployment.status.conditions if each.type == "ReplicaFailure"), None)
        conditions["ReplicaFailure"] = _settled(before, failure, moment)
    return tuple(sorted(conditions.values(), key=lambda each: (_RANK.get(each.type, len(_RANK)), each.type)))


def until_deadline(deployment: Deployment, status: DeploymentStatus, moment: datetime) -> float | None:
    """Return the seconds until the rollout's deadline must be checked; None when there is none."""
    progressing = next((each for each in status.conditions if each.type == "Progressing"), None)
    if (
        not has_deadline(deployment)
        or deployment.spec.paused
        or progressing is None
        or progressing.last_update_time is None
        or progressing.reason in (TIMED_OUT, COMPLETE)
    ):
        return None
    deadline = progressing.last_update_time + timedelta(seconds=deployment.spec.progress_deadline_seconds)
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
    encoded["conditions"] = [encode_condition(each) for each in status.conditions]
    return encoded


def encode_condition(each: Condition) -> dict[str, Any]:
    """Encode a condition."""
    encoded: dict[str, Any] = {"type": each.type, "status": each.status}
    if each.last_update_time:
        encoded["lastUpdateTime"] = timestamp(each.last_update_time)
    if each.last_transition_time:
        encoded["lastTransitionTime"] = timestamp(each.last_transition_time)
    return encoded | {"reason": each.reason, "message": each.message}


def pausing(deployment: Deployment, moment: datetime) -> Condition | None:
    """Return the Progressing condition of a pause or its end; None when it is set already or there is no deadline."""
    before = next((each for each in deployment.status.conditions if each.type == "Progressing"), None)
    noted = before is not None and before.reason == PAUSED
    if not has_deadline(deployment) or deployment.spec.paused == noted:
        return None
    if before is not None and before.reason == TIMED_OUT:
        return None
    if deployment.spec.paused:
        found = Condition(type="Progressing", status="Unknown", reason=PAUSED, message="Deployment is paused")
    else:
        found = Condition(type="Progressing", status="Unknown", reason=RESUMED, message="Deployment is resumed")
    return _settled(before, found, moment)


def _availability(deployment: Deployment, sets: Sequence[ReplicaSet]) -> Condition:
    if available(sets) >= least_available(deployment):
        return Condition(
            type="Available",
            status="True",
            reason="MinimumReplicasAvailable",
            message="Deployment has minimum availability.",
        )
    return Condition(
        type="Available",
        status="False",
        reason="MinimumReplicasUnavailable",
        message="Deployment does not have minimum availability.",
    )


def _progress(
    deployment: Deployment, status: DeploymentStatus, new: ReplicaSet | None, before: Condition | None, moment: datetime
) -> Condition | None:
    subject = f'ReplicaSet "{new.metadata.name}"' if new else f'Deployment "{deployment.metadata.name}"'
    settled = before is not None and before.reason == COMPLETE and status.replicas == status.updated_replicas
    if deployment.spec.paused or settled:
        return before
    if new is not None and complete(deployment, status):
        return _settled(before, _progressing("True", COMPLETE, f"{subject} has successfully progressed."), moment)
    starting = before is None or before.reason == COMPLETE
    if before is None or starting or _moved(deployment.status, status):
        found = _progressing("True", UPDATED, f"{subject} is progressing.")
        return _settled(before, found, moment, refresh=True)
    if _timed_out(deployment, before, moment):
        return _settled(before, _progressing("False", TIMED_OUT, f"{subject} has timed out progressing."), moment)
    return before


def _progressing(state: str, reason: str, message: str) -> Condition:
    return Condition(type="Progressing", status=state, reason=reason, message=message)


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


def _timed_out(deployment: Deployment, before: Condition, moment: datetime) -> bool:
    if before.reason == TIMED_OUT:
        return True
    if before.reason == COMPLETE or before.last_update_time is None:
        return False
    return moment - before.last_update_time > timedelta(seconds=deployment.spec.progress_deadline_seconds)


def _failure(new: ReplicaSet | None, sets: Sequence[ReplicaSet]) -> Condition | None:
    """Return the ReplicaFailure of a replica set as the deployment's, the newest set's first."""
    ordered = ([new] if new else []) + [each for each in sets if each is not new]
    for each in ordered:
        for condition in each.status.conditions:
            if condition.type == "ReplicaFailure" and condition.status == "True":
                return Condition(
                    type="ReplicaFailure", status="True", reason=condition.reason, message=condition.message
                )
    return None


def _settled(before: Condition | None, found: Condition, moment: datetime, *, refresh: bool = False) -> Condition:
    """Return `found` with its times: those of `before` if nothing changed; a status keeps its transition time."""
    same = before is not None and before.status == found.status
    if (
        before is not None
        and same
        and before.reason == found.reason
        and before.message == found.message
        and not refresh
    ):
        return before
    return Condition(
        type=found.type,
        status=found.status,
        reason=found.reason,
        message=found.message,
        last_update_time=moment,
        last_transition_time=before.last_transition_time if before is not None and same else moment,
    )
