"""Writes: from what a caller hands in to what is stored.

decode (schema, defaults) → mutating webhooks → what the server decides itself → validation → validating webhooks →
store. The object that a change starts from may be replaced while a webhook is asked; then the change is made anew on
the newer one.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy

from mesh_lab.kube import heavy
from mesh_lab.kube.changes import Object
from mesh_lab.kube.errors import ApiError, Cause, already_exists, conflict, invalid
from mesh_lab.kube.registry import metadata
from mesh_lab.kube.registry.behaviour import Cluster, Network
from mesh_lab.kube.registry.kinds import check_create
from mesh_lab.kube.registry.options import Admission, AdmissionRequest, Open, Operation, WriteOptions
from mesh_lab.kube.registry.ownership import UPDATE, Manager
from mesh_lab.kube.registry.ownership.tracking import created, tracked
from mesh_lab.kube.registry.table import ResourceTable
from mesh_lab.kube.registry.writing.codec import Codec
from mesh_lab.kube.registry.writing.strategies import Strategy, strategy_of
from mesh_lab.kube.resources import Resource
from mesh_lab.kube.store import Store
from mesh_lab.rfc3339 import timestamp

_ATTEMPTS = 16
_NAME_ATTEMPTS = 8
_MANAGER = "kube-apiserver"
"""The field manager of what the lab writes where no part of it gives its name."""

Change = Callable[[Object], Object | None]


class Writer:
    """Creates and revises objects."""

    def __init__(self, store: Store, resources: ResourceTable, service_networks: tuple[Network, ...]) -> None:
        self._store = store
        self._resources = resources
        self._cluster = Cluster(store, resources, service_networks)
        self._codec = Codec(resources)
        self.admission: Admission = Open()

    async def create(
        self,
        resource: Resource,
        obj: Object,
        namespace: str,
        options: WriteOptions,
        owners: list[Object] | None = None,
    ) -> Object:
        """Store a new object; see `Registry.create`.

        `owners` are its `metadata.managedFields`, which by default say that the creator owns what it sent.
        """
        strategy = self.strategy(resource)
        new = await heavy.run(0, self._codec.decode, resource, obj, options)
        namespace = metadata.settle_namespace(resource, new, namespace)
        self._check_room(resource, new, namespace)
        if owners is None:
            # What admission adds has no owner, as on a real server: no manifest has it, so no apply may take it away.
            owners = await heavy.run(
                0,
                created,
                strategy.schema,
                new,
                Manager(UPDATE, options.field_manager or _MANAGER, resource.api_version),
                timestamp(),
                has_status="status" in resource.subresources,
            )
        metadata.prepare_create(new, counts=strategy.kind.counts_generations)
        strategy.prepare_create(new)
        _set_owners(new, owners)
        strategy.kind.admit(self._store, new)
        request = _request(Operation.CREATE, resource, new, None, options)
        new = await self._admit(request, strategy, options)
        strategy.kind.admit(self._store, new)
        self._check_room(resource, new, namespace)
        _set_owners(new, owners)
        return await self._store_new(request.of(new), strategy, new, options)

    async def _store_new(
        self, request: AdmissionRequest, strategy: Strategy, new: Object, options: WriteOptions
    ) -> Object:
        resource, namespace = request.resource, request.namespace
        prefix = "" if new["metadata"].get("name") else new["metadata"].get("generateName", "")
        for _ in range(_NAME_ATTEMPTS):
            if prefix:
                new["metadata"]["name"] = metadata.generated_name(prefix)
                # A default may be made of the name, as a namespace's label is.
                strategy.kind.fill_defaults(new)
            name = new["metadata"].get("name", "")
            if self._store.head(resource.key, namespace, name) is None:
                await self._check_new(request, strategy, new, name, options)
                # While webhooks were called, the name may have been taken, or the namespace deleted.
                if self._store.head(resource.key, namespace, name) is None:
                    return new if options.dry_run else await self._store.put(resource.key, namespace, name, new)
            if not prefix:
                raise already_exists(resource.plural, name, resource.group)
        raise already_exists(resource.plural, name, resource.group)

    async def _check_new(
        self, request: AdmissionRequest, strategy: Strategy, new: Object, name: str, options: WriteOptions
    ) -> None:
        """Hold a new object to its rules and to the validating webhooks, and give it what must be unique."""
        resource = request.resource
        causes = await heavy.run(0, _problems, strategy, new, None, "", options.warn)
        if causes:
            raise invalid(resource.kind, name, causes, resource.group)
        self._check_room(resource, new, request.namespace)
        strategy.kind.review(self._store, new, None, options)
        strategy.kind.allocate(self._cluster, new, None)
        if await self.admission.validate(request._replace(name=name)):
            self._check_room(resource, new, request.namespace)
            strategy.kind.allocate(self._cluster, new, None)
        for text in strategy.kind.remark(new):
            options.warn(text)

    async def revise(
        self,
        resource: Resource,
        name: str,
        namespace: str,
        change: Change,
        *,
        subresource: str = "",
        options: WriteOptions,
        keeps_owners: bool = False,
    ) -> Object:
        """Replace an object by what `change` makes of it, which gets a copy. None from `change` leaves it as it is.

        With `keeps_owners` the `metadata.managedFields` that `change` returns are final.

        Raises:
            ApiError: 404 it is not there, 409 it was changed at the same time, 400 or 422 the result is refused.
        """
        strategy = self.strategy(resource)
        for _ in range(_ATTEMPTS):
            old = self._store.head(resource.key, namespace, name)
            if old is None:
                raise metadata.missing(resource, name)
            entries = old["metadata"].get("managedFields")
            size = self._store.size(resource.key, namespace, name)
            wanted = await heavy.run(size, _changed, change, old, resource.api_version)
            if wanted is None:
                await self._store.settled(resource.key, namespace, name)
                return old
            owners = (wanted.get("metadata") or {}).get("managedFields")
            if owners is not None and owners is entries:
                # They are what they were: the largest part of many an object need be neither checked nor copied.
                new = await heavy.run(size, self._codec.decode, resource, _without_owners(wanted), options)
            else:
                new = await heavy.run(size, self._codec.decode, resource, wanted, options)
                owners = new["metadata"].get("managedFields")
            metadata.carry_over(resource, new, old)
            strategy.prepare_update(new, old, subresource)
            through = subresource or options.written_through
            if not keeps_owners and subresource not in strategy.kind.unowned_parts:
                manager = Manager(UPDATE, options.field_manager or _MANAGER, resource.api_version, through)
                owners = await heavy.run(size, tracked, strategy.schema, old, new, owners, manager, timestamp())
            _set_owners(new, owners)
            request = _request(Operation.UPDATE, resource, new, old, options, through)
            new = await self._admit(request, strategy, options)
            _set_owners(new, owners)
            if self._store.head(resource.key, namespace, name) is not old:
                continue
            await self._check_revised(request.of(new), strategy, new, old, options)
            if self._store.head(resource.key, namespace, name) is not old:
                continue
            return await self._store_revised(resource, strategy, new, old, options)
        why = "the object keeps being modified; please apply your changes to the latest version and try again"
        raise conflict(resource.plural, name, why, resource.group)

    async def _check_revised(
        self, request: AdmissionRequest, strategy: Strategy, new: Object, old: Object, options: WriteOptions
    ) -> None:
        """Hold a changed object to its rules and to the validating webhooks, and give it what must be unique."""
        resource = request.resource
        size = self._store.size(resource.key, request.namespace, request.name)
        causes = await heavy.run(size, _problems, strategy, new, old, request.subresource, options.warn)
        if causes:
            raise invalid(resource.kind, request.name, causes, resource.group)
        if not request.subresource:
            strategy.kind.review(self._store, new, old, options)
        strategy.kind.allocate(self._cluster, new, old)
        strategy.count_generation(new, old)
        if await self.admission.validate(_seen(request, options)):
            strategy.kind.allocate(self._cluster, new, old)
        for text in strategy.kind.remark(new):
            options.warn(text)

    async def _store_revised(
        self, resource: Resource, strategy: Strategy, new: Object, old: Object, options: WriteOptions
    ) -> Object:
        name, namespace = old["metadata"]["name"], old["metadata"].get("namespace", "")
        if new == old:
            await self._store.settled(resource.key, namespace, name)
            return old
        if options.dry_run:
            return new
        if strategy.is_finished(new):
            return await self._store.remove(resource.key, namespace, name, new)
        return await self._store.put(resource.key, namespace, name, new)

    def is_there(self, resource: Resource, name: str, namespace: str) -> bool:
        """Whether there is such an object, even if its write is still under way."""
        return self._store.head(resource.key, namespace, name) is not None

    def strategy(self, resource: Resource) -> Strategy:
        """How objects of this resource come to be and change."""
        return strategy_of(resource, self._resources.schema(resource), self._resources.is_custom(resource))

    def _check_room(self, resource: Resource, new: Object, namespace: str) -> None:
        check_create(self._store, resource, namespace, new["metadata"].get("name", ""))
        definition = self._resources.definition(resource)
        if definition is not None and definition.terminating:
            why = "create not allowed while custom resource definition is terminating"
            raise ApiError(405, "MethodNotAllowed", why)

    async def _admit(self, request: AdmissionRequest, strategy: Strategy, options: WriteOptions) -> Object:
        """The object as the mutating webhooks leave it, with what they may not decide settled anew."""
        new, old = request.obj, request.old
        assert new is not None
        seen = _seen(request, options)
        admitted = await self.admission.mutate(seen)
        if admitted is None or admitted is seen.obj:
            return new
        changed = admitted if options.view is None or old is None else options.view.merge(new, admitted)
        again = self._codec.decode(request.resource, {**changed, "apiVersion": request.resource.api_version}, options)
        if old is None:
            strategy.prepare_create(again)
        else:
            metadata.carry_over(request.resource, again, old)
            strategy.prepare_update(again, old, request.subresource)
        return again


def _changed(change: Change, old: Object, api_version: str) -> Object | None:
    return change({**_copy(old), "apiVersion": api_version})


def _problems(
    strategy: Strategy, new: Object, old: Object | None, subresource: str, warn: Callable[[str], None]
) -> tuple[Cause, ...]:
    """Everything that is wrong with an object that is about to be stored."""
    updates = metadata.validate_metadata_update(new, old) if old is not None else ()
    return (
        *metadata.validate_metadata(new, strategy.kind.name_problem),
        *updates,
        *strategy.validate(new, old, subresource, warn),
    )


def _copy(obj: Object) -> Object:
    """A copy that may be changed, except for the owners of its fields, which are shared."""
    copied = deepcopy(_without_owners(obj))
    if (owners := obj["metadata"].get("managedFields")) is not None:
        copied["metadata"]["managedFields"] = owners
    return copied


def _without_owners(obj: Object) -> Object:
    kept = {key: value for key, value in obj["metadata"].items() if key != "managedFields"}
    return {**obj, "metadata": kept}


def _request(
    operation: Operation,
    resource: Resource,
    new: Object,
    old: Object | None,
    options: WriteOptions,
    subresource: str = "",
) -> AdmissionRequest:
    known = (old or new)["metadata"]
    return AdmissionRequest(
        operation,
        resource,
        new,
        old,
        known.get("name", ""),
        known.get("namespace", ""),
        subresource,
        options.user,
        options.dry_run,
        options,
    )


def _seen(request: AdmissionRequest, options: WriteOptions) -> AdmissionRequest:
    """The request as webhooks see it: of a subresource with a kind of its own, objects of that kind."""
    if options.view is None or request.obj is None or request.old is None:
        return request
    return request._replace(obj=options.view.show(request.obj), old=options.view.show(request.old))


def _set_owners(obj: Object, owners: list[Object] | None) -> None:
    obj["metadata"].pop("managedFields", None)
    if owners:
        obj["metadata"]["managedFields"] = owners
