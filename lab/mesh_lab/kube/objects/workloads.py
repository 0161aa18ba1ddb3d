"""Deployment and ReplicaSet, as their controllers read them (https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/)."""

from __future__ import annotations

from typing import Any

import msgspec

from mesh_lab.kube.objects.meta import LabelSelector, ObjectMeta, View

NO_DEADLINE = 2**31 - 1
"""`progressDeadlineSeconds` that means none (math.MaxInt32)."""


class RollingUpdate(View, frozen=True, kw_only=True):
    """How far a rollout may leave the wanted number: counts, or percentages of it such as `25%`."""

    max_unavailable: int | str = "25%"
    max_surge: int | str = "25%"


class Strategy(View, frozen=True, kw_only=True):
    """How new pods replace old ones."""

    type: str = "RollingUpdate"
    rolling_update: RollingUpdate = RollingUpdate()


class DeploymentSpec(View, frozen=True, kw_only=True):
    """The wanted state. The template stays as stored: it is compared and copied, never read."""

    selector: LabelSelector
    template: dict[str, Any]
    replicas: int = 1
    strategy: Strategy = Strategy()
    min_ready_seconds: int = 0
    revision_history_limit: int = 10
    paused: bool = False
    progress_deadline_seconds: int = 600


class DeploymentStatus(View, frozen=True, kw_only=True):
    """What the controller found last. Conditions stay as stored: see `mesh_lab.conditions`."""

    observed_generation: int = 0
    replicas: int = 0
    updated_replicas: int = 0
    ready_replicas: int = 0
    available_replicas: int = 0
    unavailable_replicas: int = 0
    collision_count: int | None = None
    conditions: tuple[dict[str, Any], ...] = ()


class Deployment(View, frozen=True, kw_only=True):
    """A number of equal pods, and how a new template replaces the old one."""

    metadata: ObjectMeta
    spec: DeploymentSpec
    status: DeploymentStatus = DeploymentStatus()


class ReplicaSetSpec(View, frozen=True, kw_only=True):
    """A number of pods of one template."""

    selector: LabelSelector
    replicas: int = 1
    min_ready_seconds: int = 0
    template: dict[str, Any] = msgspec.field(default_factory=dict)


class ReplicaSetStatus(View, frozen=True, kw_only=True):
    """What the controller found last. Conditions stay as stored: see `mesh_lab.conditions`."""

    observed_generation: int = 0
    replicas: int = 0
    fully_labeled_replicas: int = 0
    ready_replicas: int = 0
    available_replicas: int = 0
    conditions: tuple[dict[str, Any], ...] = ()


class ReplicaSet(View, frozen=True, kw_only=True):
    """Keeps a number of pods of one template running."""

    metadata: ObjectMeta
    spec: ReplicaSetSpec
    status: ReplicaSetStatus = ReplicaSetStatus()


class StatefulSetRolling(View, frozen=True, kw_only=True):
    """From which ordinal on pods are replaced."""

    partition: int = 0


class StatefulSetStrategy(View, frozen=True, kw_only=True):
    """How new pods replace old ones."""

    type: str = "RollingUpdate"
    rolling_update: StatefulSetRolling = StatefulSetRolling()


class Ordinals(View, frozen=True, kw_only=True):
    """The number of the first pod."""

    start: int = 0


class StatefulSetSpec(View, frozen=True, kw_only=True):
    """The wanted state. The template stays as stored: it is compared and copied, never read."""

    selector: LabelSelector
    template: dict[str, Any]
    replicas: int = 1
    service_name: str = ""
    pod_management_policy: str = "OrderedReady"
    update_strategy: StatefulSetStrategy = StatefulSetStrategy()
    min_ready_seconds: int = 0
    ordinals: Ordinals = Ordinals()


class StatefulSetStatus(View, frozen=True, kw_only=True):
    """What the controller found last."""

    current_revision: str = ""


class StatefulSet(View, frozen=True, kw_only=True):
    """Pods that keep their names: NAME-0, NAME-1 and so on."""

    metadata: ObjectMeta
    spec: StatefulSetSpec
    status: StatefulSetStatus = StatefulSetStatus()
