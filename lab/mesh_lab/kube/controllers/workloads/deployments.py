"""The Deployment controller: rolls out each new template, with one replica set a template."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from mesh_lab.conditions import updated
from mesh_lab.kube.changes import Object
from mesh_lab.kube.controllers.base import Controller, Key, Keys, Views
from mesh_lab.kube.controllers.workloads import progress, revisions, rollout
from mesh_lab.kube.controllers.workloads.claiming import claim, claimants, controller_of
from mesh_lab.kube.errors import ApiError
from mesh_lab.kube.objects.workloads import Deployment, ReplicaSet
from mesh_lab.kube.recording import NORMAL, WARNING
from mesh_lab.kube.reflector import DELETED, Event
from mesh_lab.kube.registry.options import DeleteOptions
from mesh_lab.kube.registry.registry import Registry
from mesh_lab.kube.resources import DEPLOYMENTS, PODS, REPLICASETS, Resource
from mesh_lab.rfc3339 import now


@dataclass
class _Rollout:
    """One reconciliation of a deployment: the stored object, and its replica sets as they are changed."""

    stored: Object
    deployment: Deployment
    new: ReplicaSet | None
    old: list[ReplicaSet]

    @property
    def sets(self) -> list[ReplicaSet]:
        return [*self.old, self.new] if self.new else self.old


class DeploymentController(Controller):
    """Creates, sizes and removes the replica sets of each Deployment."""

    name = "deployment-controller"

    def __init__(self, registry: Registry) -> None:
        super().__init__(registry)
        self._deployments = Views(Deployment)
        self._sets = Views(ReplicaSet)

    def sources(self) -> Mapping[Resource, Keys]:
        """Deployments, their replica sets, and deleted pods (which Recreate waits for)."""
        return {DEPLOYMENTS: self._deployments.own_key, REPLICASETS: self._of_set, PODS: self._of_pod}

    def _of_set(self, event: Event) -> Iterable[Key]:
        """Return the key of the set's owner; of an orphan, the keys of all that would adopt it."""
        if event.type == DELETED:
            self._sets.drop(event.object["metadata"]["uid"])
        return claimants(self.registry, event.object, DEPLOYMENTS, lambda each: self._deployments(each).spec.selector)

    def _of_pod(self, event: Event) -> Iterable[Key]:
        owner = controller_of(event.object) if event.type == DELETED else None
        if owner is None or owner["kind"] != REPLICASETS.kind:
            return []
        namespace = event.object["metadata"]["namespace"]
        stored = self.registry.find(REPLICASETS, owner["name"], namespace)
        above = controller_of(stored) if stored else None
        return [Key(namespace, above["name"])] if above and above["kind"] == DEPLOYMENTS.kind else []

    async def reconcile(self, key: Key) -> float | None:
        """Take the next step of a rollout, and write the status."""
        stored = self.registry.find(DEPLOYMENTS, key.name, key.namespace)
        if stored is None:
            return None
        deployment = self._deployments(stored)
        if deployment.spec.selector.empty:
            text = "This deployment is selecting all pods. A non-empty selector is required."
            self.events.record(stored, WARNING, "SelectingAll", text)
            return None
        look = await self._look_at(stored, deployment)
        if not deployment.metadata.deleting:
            await self._noted_pause(look)
            await self._advance(look)
        return await self._write_status(look)

    async def _look_at(self, stored: Object, deployment: Deployment) -> _Rollout:
        candidates = self.registry.list(REPLICASETS, deployment.metadata.namespace)
        claimed = await claim(self.registry, REPLICASETS, stored, deployment.spec.selector, candidates)
        sets = [self._sets(each) for each in claimed]
        new = revisions.find_new(deployment, sets)
        return _Rollout(stored, deployment, new, [each for each in sets if each is not new])

    async def _noted_pause(self, look: _Rollout) -> None:
        noted = progress.pausing(look.deployment, now())
        if noted is not None:
            conditions = updated(look.deployment.status.conditions, noted)
            status = msgspec.structs.replace(look.deployment.status, conditions=tuple(conditions))
            look.deployment = msgspec.structs.replace(look.deployment, status=status)

    async def _advance(self, look: _Rollout) -> None:
        """Take one step; the change of a replica set triggers the next."""
        if look.deployment.spec.paused or self._was_scaled(look):
            await self._renumber(look, create=False)
            await self._scale(look)
            if look.deployment.spec.paused:
                await self._clean_up(look)
        elif look.deployment.spec.strategy.type == "Recreate":
            await self._recreate(look)
        else:
            await self._roll(look)

    def _was_scaled(self, look: _Rollout) -> bool:
        """Return whether the number of replicas changed since the active sets were sized."""
        wanted = look.deployment.spec.replicas
        noted = (rollout.annotated(each, rollout.DESIRED_ANNOTATION) for each in rollout.active(look.sets))
        return any(number is not None and number != wanted for number in noted)

    async def _roll(self, look: _Rollout) -> None:
        await self._renumber(look, create=True)
        if look.new is None:
            return
        size = rollout.new_set_size(look.deployment, look.new.spec.replicas, rollout.present(look.sets))
        if await self._resize(look, look.new, size):
            return
        sizes = rollout.shrink_old(look.deployment, look.new, look.old)
        for each in list(look.old):
            if each.metadata.name in sizes:
                await self._resize(look, each, sizes[each.metadata.name])
        if not sizes and self._is_complete(look):
            await self._clean_up(look)

    async def _recreate(self, look: _Rollout) -> None:
        await self._renumber(look, create=False)
        active = rollout.active(look.old)
        if active:
            for each in active:
                await self._resize(look, each, 0)
            return
        if self._old_pods_left(look):
            return
        await self._renumber(look, create=True)
        if look.new is not None:
            await self._resize(look, look.new, look.deployment.spec.replicas)
        if self._is_complete(look):
            await self._clean_up(look)

    def _old_pods_left(self, look: _Rollout) -> bool:
        """Return whether a pod of an old set still runs, terminating or not."""
        old = {each.metadata.uid for each in look.old}
        return any(
            (controller_of(pod) or {}).get("uid") in old
            and (pod.get("status") or {}).get("phase") not in ("Failed", "Succeeded")
            for pod in self.registry.list(PODS, look.deployment.metadata.namespace)
        )

    async def _scale(self, look: _Rollout) -> None:
        """Scale the sets of a deployment of which only the number of replicas changed."""
        active = rollout.active(look.sets)
        wanted = look.deployment.spec.replicas
        if len(active) <= 1:
            target = active[0] if active else look.new or max(look.old, key=revisions.revision_of, default=None)
            if target is not None:
                await self._resize(look, target, wanted)
            return
        new = look.new
        if new is not None and new.spec.replicas == wanted and new.status.available_replicas == wanted:
            sizes = {each.metadata.name: 0 for each in rollout.active(look.old)}
        elif look.deployment.spec.strategy.type == "RollingUpdate":
            sizes = rollout.proportional(look.deployment, look.sets)
        else:
            sizes = {}
        for each in list(look.sets):
            await self._resize(look, each, sizes.get(each.metadata.name, each.spec.replicas))

    async def _renumber(self, look: _Rollout, *, create: bool) -> None:
        """Create the newest set if it is missing and `create`, and update all sets' revisions and annotations."""
        revision = revisions.next_revision(look.old)
        if look.new is not None:
            annotations = revisions.revision_annotations(look.deployment, look.new.metadata.annotations, revision)
            await self._update(look, look.new, annotations=annotations)
        elif create:
            await self._create_new(look, revision)
        if look.new is not None:
            await self._note_revision(look, look.new.metadata.annotations.get(revisions.REVISION_ANNOTATION, ""))

    async def _create_new(self, look: _Rollout, revision: int) -> None:
        size = rollout.new_set_size(look.deployment, 0, rollout.present(look.old))
        wanted = revisions.new_set(look.stored, look.deployment, revision, size)
        name = wanted["metadata"]["name"]
        try:
            created = await self.registry.create(REPLICASETS, wanted)
        except ApiError as error:
            if error.reason != "AlreadyExists":
                raise
            await self._count_collision(look, name)
            raise
        look.new = self._sets(created)
        if size:
            self._report_scaling(look, name, 0, size)

    async def _count_collision(self, look: _Rollout, name: str) -> None:
        """Raise the collision count after a hash collision; it is part of the next hash."""
        other = self.registry.find(REPLICASETS, name, look.deployment.metadata.namespace)
        if other is None or (
            (controller_of(other) or {}).get("uid") == look.deployment.metadata.uid
            and revisions.same_template(other["spec"]["template"], look.deployment.spec.template)
        ):
            return

        def change(found: Object) -> Object:
            status = found.get("status") or {}
            return found | {"status": status | {"collisionCount": status.get("collisionCount", 0) + 1}}

        await self._modify(look, DEPLOYMENTS, change, subresource="status")

    async def _note_revision(self, look: _Rollout, revision: str) -> None:
        if not revision or look.deployment.metadata.annotations.get(revisions.REVISION_ANNOTATION) == revision:
            return

        def change(found: Object) -> Object:
            found["metadata"].setdefault("annotations", {})[revisions.REVISION_ANNOTATION] = revision
            return found

        await self._modify(look, DEPLOYMENTS, change)

    async def _resize(self, look: _Rollout, each: ReplicaSet, size: int) -> bool:
        """Scale a set, and annotate it with the deployment's size. Returns whether its size changed."""
        before = each.spec.replicas
        annotations = each.metadata.annotations | revisions.size_annotations(look.deployment)
        await self._update(look, each, annotations=annotations, size=size)
        if size == before:
            return False
        self._report_scaling(look, each.metadata.name, before, size)
        return True

    def _report_scaling(self, look: _Rollout, name: str, before: int, size: int) -> None:
        way = "up" if size > before else "down"
        text = f"Scaled {way} replica set {name} from {before} to {size}"
        self.events.record(look.stored, NORMAL, "ScalingReplicaSet", text)

    async def _update(
        self, look: _Rollout, each: ReplicaSet, *, annotations: dict[str, str], size: int | None = None
    ) -> None:
        """Write what differs of a set, and keep the result."""
        delay = look.deployment.spec.min_ready_seconds
        wanted = each.spec.replicas if size is None else size
        if (annotations, wanted, delay) == (each.metadata.annotations, each.spec.replicas, each.spec.min_ready_seconds):
            return

        def change(found: Object) -> Object | None:
            if found["metadata"]["uid"] != each.metadata.uid:
                return None
            found["metadata"]["annotations"] = annotations
            found["spec"]["replicas"] = wanted
            found["spec"]["minReadySeconds"] = delay
            return found

        stored = await self.registry.modify(REPLICASETS, each.metadata.name, each.metadata.namespace, change)
        if stored is None or stored["metadata"]["uid"] != each.metadata.uid:
            return
        updated = self._sets(stored)
        if each is look.new:
            look.new = updated
        else:
            look.old = [updated if other is each else other for other in look.old]

    async def _clean_up(self, look: _Rollout) -> None:
        for each in revisions.superfluous(look.deployment, look.old):
            try:
                await self.registry.delete(
                    REPLICASETS,
                    each.metadata.name,
                    each.metadata.namespace,
                    options=DeleteOptions(uid=each.metadata.uid),
                )
            except ApiError as error:
                if error.reason not in ("NotFound", "Conflict"):
                    raise

    def _is_complete(self, look: _Rollout) -> bool:
        return progress.complete(look.deployment, progress.counts(look.deployment, look.new, look.sets))

    async def _write_status(self, look: _Rollout) -> float | None:
        moment = now()
        status = progress.counts(look.deployment, look.new, look.sets)
        conditions = progress.assess(look.deployment, status, look.new, look.sets, moment)
        status = msgspec.structs.replace(status, conditions=conditions)

        def change(found: Object) -> Object | None:
            # The collision count may have been raised meanwhile, and never decreases.
            kept = (found.get("status") or {}).get("collisionCount")
            wanted = progress.encode(status) | ({} if kept is None else {"collisionCount": kept})
            return None if wanted == found.get("status") else found | {"status": wanted}

        await self._modify(look, DEPLOYMENTS, change, subresource="status")
        return progress.until_deadline(look.deployment, status, moment)

    async def _modify(self, look: _Rollout, resource: Resource, change: Any, *, subresource: str = "") -> None:
        uid = look.deployment.metadata.uid

        def guarded(found: Object) -> Object | None:
            changed: Object | None = change(found) if found["metadata"]["uid"] == uid else None
            return changed

        metadata = look.deployment.metadata
        await self.registry.modify(resource, metadata.name, metadata.namespace, guarded, subresource=subresource)
