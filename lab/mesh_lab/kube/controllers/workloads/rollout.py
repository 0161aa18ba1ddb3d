"""How many pods each replica set of a deployment should have: pure arithmetic, with Kubernetes' rounding.

Source: https://kubernetes.io/docs/concepts/workloads/controllers/deployment/ (Rolling Update Deployment, Proportional
scaling) and the observable behaviour of kube-controller-manager 1.33.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from mesh_lab.kube.objects.workloads import Deployment, ReplicaSet

DESIRED_ANNOTATION = "deployment.kubernetes.io/desired-replicas"
MAX_ANNOTATION = "deployment.kubernetes.io/max-replicas"


def resolve(value: int | str, total: int, *, up: bool) -> int:
    """Resolve a count, or a percentage (`"25%"`) of `total` rounded up or down.

    Raises:
        ValueError: text that is not a percentage.
    """
    if isinstance(value, int):
        return value
    if not value.endswith("%") or not value[:-1].isdigit():
        raise ValueError(f"{value!r} is neither a number nor a percentage such as 25%")
    share = int(value[:-1]) * total
    return -(-share // 100) if up else share // 100


def allowance(deployment: Deployment) -> tuple[int, int]:
    """Return `(maxSurge, maxUnavailable)` in pods. Surge rounds up, unavailable down.

    When both come to 0 one pod may be unavailable, or the rollout could never move. Recreate allows no surge, and any
    number to be unavailable.
    """
    spec = deployment.spec
    if spec.strategy.type != "RollingUpdate":
        return 0, spec.replicas
    rolling = spec.strategy.rolling_update
    surge = resolve(rolling.max_surge, spec.replicas, up=True)
    unavailable = resolve(rolling.max_unavailable, spec.replicas, up=False)
    if surge == 0 and unavailable == 0:
        unavailable = 1
    return surge, min(unavailable, spec.replicas)


def most_pods(deployment: Deployment) -> int:
    """Return the number of pods that may exist at once during a rollout; 0 for a deployment scaled to 0."""
    if deployment.spec.replicas == 0:
        return 0
    return deployment.spec.replicas + allowance(deployment)[0]


def least_available(deployment: Deployment) -> int:
    """Return the number of available pods that a rollout keeps."""
    return deployment.spec.replicas - allowance(deployment)[1]


def desired(sets: Iterable[ReplicaSet]) -> int:
    """Return the pods wanted by all sets together."""
    return sum(each.spec.replicas for each in sets)


def present(sets: Iterable[ReplicaSet]) -> int:
    """Return the pods that exist or will: a set that shrank has its pods until its status says otherwise.

    Kubernetes counts only what is wanted, and so may exceed `maxSurge` for the moment in which old pods are deleted.
    """
    return sum(max(each.spec.replicas, each.status.replicas) for each in sets)


def available(sets: Iterable[ReplicaSet]) -> int:
    """Return the available pods, at most as many as each set wants: the surplus is about to be deleted."""
    return sum(min(each.status.available_replicas, each.spec.replicas) for each in sets)


def active(sets: Iterable[ReplicaSet]) -> list[ReplicaSet]:
    """Return the sets that want pods."""
    return [each for each in sets if each.spec.replicas > 0]


def new_set_size(deployment: Deployment, new_size: int, total: int) -> int:
    """Return the next size of the newest set (now `new_size`) while there are `total` pods of all sets together."""
    wanted = deployment.spec.replicas
    if deployment.spec.strategy.type != "RollingUpdate" or new_size > wanted:
        return wanted
    room = wanted + allowance(deployment)[0] - total
    return new_size + max(0, min(room, wanted - new_size))


def shrink_old(deployment: Deployment, new: ReplicaSet, old: Sequence[ReplicaSet]) -> dict[str, int]:
    """Return the new sizes of the old sets, oldest first; unchanged sets are left out.

    Pods that are not available are removed first, then available ones while enough remain. Pods of the new set that are
    not available yet count against that.
    """
    everything = [*old, new]
    floor = least_available(deployment)
    unavailable_new = new.spec.replicas - min(new.status.available_replicas, new.spec.replicas)
    room = desired(everything) - floor - unavailable_new
    if room <= 0:
        return {}
    sizes = {each.metadata.name: each.spec.replicas for each in old}
    by_age = sorted(old, key=age)
    for each in by_age:
        broken = each.spec.replicas - min(each.status.available_replicas, each.spec.replicas)
        gone = min(room, broken)
        sizes[each.metadata.name] -= gone
        room -= gone
    spare = min(room, available(everything) - floor)
    for each in by_age:
        gone = max(0, min(spare, sizes[each.metadata.name]))
        sizes[each.metadata.name] -= gone
        spare -= gone
    return {
        each.metadata.name: sizes[each.metadata.name] for each in old if sizes[each.metadata.name] != each.spec.replicas
    }


def proportional(deployment: Deployment, sets: Sequence[ReplicaSet]) -> dict[str, int]:
    """Return the new sizes when a deployment is scaled during a rollout: each active set keeps its share.

    What rounding leaves over goes to (or comes from) the largest sets. Unchanged sets are left out.
    """
    growing = active(sets)
    to_add = most_pods(deployment) - desired(growing)
    if to_add == 0:
        return {}
    newest_first = to_add > 0
    order = sorted(growing, key=age, reverse=newest_first)
    order.sort(key=lambda each: -each.spec.replicas)
    sizes: dict[str, int] = {}
    added = 0
    for each in order:
        left = to_add - added
        share = _share(deployment, each)
        change = max(0, min(share, left)) if to_add > 0 else min(0, max(share, left))
        sizes[each.metadata.name] = each.spec.replicas + change
        added += change
    left = to_add - added
    for each in order:
        name = each.metadata.name
        change = max(left, -sizes[name])
        sizes[name] += change
        left -= change
    return {
        each.metadata.name: sizes[each.metadata.name]
        for each in order
        if sizes[each.metadata.name] != each.spec.replicas
    }


def _share(deployment: Deployment, each: ReplicaSet) -> int:
    """Return by how much a set would change if all sets changed in proportion."""
    if deployment.spec.replicas == 0:
        return -each.spec.replicas
    before = annotated(each, MAX_ANNOTATION) or deployment.status.replicas
    if before == 0:
        return 0
    exact = each.spec.replicas * most_pods(deployment) / before
    return math.floor(exact + 0.5) - each.spec.replicas


def annotated(each: ReplicaSet, annotation: str) -> int | None:
    """Return a number from the set's annotations; None when it is absent or not a number."""
    text = each.metadata.annotations.get(annotation, "")
    return int(text) if text.isdigit() else None


def age(each: ReplicaSet) -> tuple[float, str]:
    """Sort key: the oldest first, by name within a second."""
    created = each.metadata.creation_timestamp
    return (created.timestamp() if created else 0.0, each.metadata.name)
