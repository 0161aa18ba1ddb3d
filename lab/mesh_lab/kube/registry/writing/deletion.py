"""Deletes: at once, or step by step where finalizers, dependents or a pod's processes have to go first.

https://kubernetes.io/docs/concepts/architecture/garbage-collection/ and
https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#pod-termination.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from mesh_lab.kube.changes import Object
from mesh_lab.kube.errors import ApiError, forbidden
from mesh_lab.kube.registry import metadata
from mesh_lab.kube.registry.kinds import behaviour_of
from mesh_lab.kube.registry.options import AdmissionRequest, DeleteOptions, Operation, Propagation
from mesh_lab.kube.registry.writing.writer import Writer
from mesh_lab.kube.resources import Resource
from mesh_lab.kube.store import Store
from mesh_lab.rfc3339 import timestamp

FOREGROUND = "foregroundDeletion"
ORPHAN = "orphan"
_ATTEMPTS = 16
_OF_PROPAGATION = {Propagation.FOREGROUND: FOREGROUND, Propagation.ORPHAN: ORPHAN}


class Deleter:
    """Deletes objects."""

    def __init__(self, store: Store, writer: Writer) -> None:
        self._store = store
        self._writer = writer

    async def delete(self, resource: Resource, name: str, namespace: str, options: DeleteOptions) -> Object:
        """Delete an object or begin to; see `Registry.delete`."""
        if name in behaviour_of(resource).undeletable:
            words = f"this {resource.kind.lower()} may not be deleted"
            raise forbidden(f'{resource.plural} "{name}" is forbidden: {words}')
        for _ in range(_ATTEMPTS):
            old = self._store.head(resource.key, namespace, name)
            if old is None:
                raise metadata.missing(resource, name)
            metadata.check_preconditions(resource, old, options.uid, options.resource_version)
            if not options.admitted:
                await self._admit(resource, old, options)
            if self._store.head(resource.key, namespace, name) is old:
                return await self._apply(resource, old, options)
        raise ApiError(409, "Conflict", f'{resource.plural} "{name}" keeps being modified; please try again')

    async def _admit(self, resource: Resource, old: Object, options: DeleteOptions) -> None:
        request = AdmissionRequest(
            Operation.DELETE,
            resource,
            None,
            old,
            old["metadata"]["name"],
            old["metadata"].get("namespace", ""),
            user=options.user,
            dry_run=options.dry_run,
            options=options,
        )
        await self._writer.admission.mutate(request)
        await self._writer.admission.validate(request)

    async def _apply(self, resource: Resource, old: Object, options: DeleteOptions) -> Object:
        name, namespace = old["metadata"]["name"], old["metadata"].get("namespace", "")
        new = _marked(resource, old, options)
        if options.dry_run:
            return new
        if self._writer.strategy(resource).is_finished(new):
            return await self._store.remove(resource.key, namespace, name, new)
        if new == old:
            await self._store.settled(resource.key, namespace, name)
            return old
        return await self._store.put(resource.key, namespace, name, new)


def _marked(resource: Resource, old: Object, options: DeleteOptions) -> Object:
    """The object as it waits for its end."""
    meta = dict(old["metadata"])
    new = {**old, "metadata": meta}
    finalizers = [f for f in meta.get("finalizers", ()) if f not in (FOREGROUND, ORPHAN)]
    kept = [f for f in meta.get("finalizers", ()) if f in (FOREGROUND, ORPHAN)]
    if options.propagation is None:
        finalizers += kept
    elif options.propagation in _OF_PROPAGATION:
        finalizers.append(_OF_PROPAGATION[options.propagation])
    meta.pop("finalizers", None)
    if finalizers:
        meta["finalizers"] = finalizers
    kind = behaviour_of(resource)
    grace = kind.grace(old, options.grace_period)
    before = meta.get("deletionGracePeriodSeconds")
    if "deletionTimestamp" in meta and (before is None or grace >= before):
        return new
    moment = datetime.now(UTC)
    if "deletionTimestamp" not in meta and "generation" in meta:
        meta["generation"] += 1
    meta["deletionTimestamp"] = timestamp(moment + timedelta(seconds=grace))
    meta["deletionGracePeriodSeconds"] = grace
    kind.mark_deleted(new)
    return new
