"""A deployment's revisions: which replica set has the current template, their names, numbers and annotations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from typing import Any

import orjson

from mesh_lab.kube.controllers.workloads.rollout import DESIRED_ANNOTATION, MAX_ANNOTATION, age, most_pods
from mesh_lab.kube.objects.meta import owner_reference
from mesh_lab.kube.objects.workloads import Deployment, ReplicaSet

HASH_LABEL = "pod-template-hash"
REVISION_ANNOTATION = "deployment.kubernetes.io/revision"
HISTORY_ANNOTATION = "deployment.kubernetes.io/revision-history"
NOT_COPIED = frozenset(
    {
        "kubectl.kubernetes.io/last-applied-configuration",
        REVISION_ANNOTATION,
        HISTORY_ANNOTATION,
        DESIRED_ANNOTATION,
        MAX_ANNOTATION,
        "deprecated.deployment.rollback.to",
    }
)

_SAFE = "bcdfghjklmnpqrstvwxz2456789"


def template_hash(template: Mapping[str, Any], collisions: int | None = None) -> str:
    """Return the value of `pod-template-hash`: FNV-1a (32 bits) of the template as JSON and the collision count.

    Digits are written in letters that spell no words, as Kubernetes does. It is stable across restarts.
    """
    value = 0x811C9DC5
    suffix = b"" if collisions is None else str(collisions).encode()
    for byte in orjson.dumps(template, option=orjson.OPT_SORT_KEYS) + suffix:
        value = ((value ^ byte) * 0x01000193) & 0xFFFFFFFF
    return "".join(_SAFE[ord(digit) % len(_SAFE)] for digit in str(value))


def without_hash(template: Mapping[str, Any]) -> dict[str, Any]:
    """Return the template as the deployment's owner wrote it: no `pod-template-hash`, no empty metadata."""
    plain = {key: value for key, value in template.items() if key != "metadata"}
    metadata = dict(template.get("metadata") or {})
    labels = {key: value for key, value in (metadata.get("labels") or {}).items() if key != HASH_LABEL}
    metadata["labels"] = labels
    plain["metadata"] = {key: value for key, value in metadata.items() if value}
    return plain


def same_template(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Return whether two templates make the same pods."""
    return without_hash(one) == without_hash(other)


def find_new(deployment: Deployment, sets: Iterable[ReplicaSet]) -> ReplicaSet | None:
    """Return the oldest set that has the deployment's present template; None when there is none."""
    matching = [each for each in sets if same_template(each.spec.template, deployment.spec.template)]
    return min(matching, key=age, default=None)


def revision_of(each: ReplicaSet) -> int:
    """Return the set's revision number; 0 before it has one."""
    text = each.metadata.annotations.get(REVISION_ANNOTATION, "")
    return int(text) if text.isdigit() else 0


def next_revision(old: Iterable[ReplicaSet]) -> int:
    """Return the number after the highest of the old sets."""
    return max((revision_of(each) for each in old), default=0) + 1


def revision_annotations(deployment: Deployment, existing: Mapping[str, str], revision: int) -> dict[str, str]:
    """Return all annotations of the newest set: the deployment's own, its revision, and its earlier revisions."""
    annotations = dict(existing)
    annotations |= {key: value for key, value in deployment.metadata.annotations.items() if key not in NOT_COPIED}
    before = existing.get(REVISION_ANNOTATION, "")
    if not before.isdigit() or int(before) < revision:
        if before.isdigit():
            history = existing.get(HISTORY_ANNOTATION, "")
            annotations[HISTORY_ANNOTATION] = f"{history},{before}" if history else before
        annotations[REVISION_ANNOTATION] = str(revision)
    return annotations


def size_annotations(deployment: Deployment) -> dict[str, str]:
    """Return the annotations with the sizes that a later proportional scaling starts from."""
    return {DESIRED_ANNOTATION: str(deployment.spec.replicas), MAX_ANNOTATION: str(most_pods(deployment))}


def new_set(stored: dict[str, Any], deployment: Deployment, revision: int, replicas: int) -> dict[str, Any]:
    """Return a new replica set for the deployment's present template. `stored` is the deployment itself."""
    digest = template_hash(deployment.spec.template, deployment.status.collision_count)
    template = deepcopy(deployment.spec.template)
    template.setdefault("metadata", {}).setdefault("labels", {})[HASH_LABEL] = digest
    selector = deepcopy(stored["spec"]["selector"])
    selector.setdefault("matchLabels", {})[HASH_LABEL] = digest
    spec: dict[str, Any] = {"replicas": replicas, "selector": selector, "template": template}
    if deployment.spec.min_ready_seconds:
        spec["minReadySeconds"] = deployment.spec.min_ready_seconds
    return {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": f"{deployment.metadata.name}-{digest}",
            "namespace": deployment.metadata.namespace,
            "labels": dict(template["metadata"]["labels"]),
            "annotations": revision_annotations(deployment, {}, revision) | size_annotations(deployment),
            "ownerReferences": [owner_reference(stored)],
        },
        "spec": spec,
    }


def superfluous(deployment: Deployment, old: Sequence[ReplicaSet]) -> list[ReplicaSet]:
    """Return old sets without pods beyond `revisionHistoryLimit`, the lowest revisions first."""
    excess = len(old) - deployment.spec.revision_history_limit
    if excess <= 0:
        return []
    return [
        each
        for each in sorted(old, key=lambda each: (revision_of(each), age(each)))[:excess]
        if each.spec.replicas == 0
        and each.status.replicas == 0
        and each.metadata.generation <= each.status.observed_generation
        and not each.metadata.deleting
    ]
