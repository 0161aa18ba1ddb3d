"""The registry: the Kubernetes API without HTTP.

Everything in the lab reads and writes through it, so that one set of rules holds for kubectl, the controllers and the
node alike.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from copy import copy
from dataclasses import replace
from ipaddress import ip_network

from mesh_lab.kube.changes import Object
from mesh_lab.kube.errors import ApiError
from mesh_lab.kube.registry import metadata
from mesh_lab.kube.registry.customresources import Cleanup, follow_definitions
from mesh_lab.kube.registry.kinds import standard_objects
from mesh_lab.kube.registry.options import DEFAULT, DEFAULT_DELETE, Admission, DeleteOptions, Patch, WriteOptions
from mesh_lab.kube.registry.patching.patches import apply_patch
from mesh_lab.kube.registry.reading.reader import Page, Reader
from mesh_lab.kube.registry.reading.watching import Watch
from mesh_lab.kube.registry.table import ResourceTable
from mesh_lab.kube.registry.writing.deletion import Deleter
from mesh_lab.kube.registry.writing.serverside import Applier
from mesh_lab.kube.registry.writing.writer import Writer
from mesh_lab.kube.resources import Resource
from mesh_lab.kube.store import Store


class Registry:
    """Reads, writes and watches objects of every resource in `resources`. All methods raise `ApiError`.

    Objects that are returned belong to the store: they are not to be changed. Use `modify`, or copy. `service_cidr` is
    the range of Services' addresses, or one for each IP family, separated by a comma (`--service-cluster-ip-range`).
    """

    def __init__(self, store: Store, *, service_cidr: str = "10.96.0.0/16") -> None:
        self.store = store
        self._own = DEFAULT
        self.resources = ResourceTable()
        self._reader = Reader(store, self.resources)
        self._writer = Writer(store, self.resources, tuple(map(ip_network, service_cidr.split(","))))
        self._applier = Applier(self.resources, self._writer)
        self._deleter = Deleter(store, self._writer)
        self._cleanup = Cleanup(store, self.resources, self._writer, self._deleter)
        follow_definitions(store, self.resources)

    def under(self, manager: str) -> Registry:
        """The same registry for a part of the lab that owns what it writes in its own name (`managedFields`)."""
        view = copy(self)
        view._own = replace(DEFAULT, field_manager=manager)
        return view

    @property
    def admission(self) -> Admission:
        """The webhooks; the process' wiring sets it."""
        return self._writer.admission

    @admission.setter
    def admission(self, admission: Admission) -> None:
        self._writer.admission = admission

    @property
    def revision(self) -> int:
        """The revision of the last committed write: a list's resourceVersion."""
        return self.store.revision

    async def bootstrap(self) -> None:
        """Make the objects that every cluster has, and go on with what a stop interrupted.

        What is there is not asked for again: a webhook that refuses everything must not keep the cluster from starting:
        it could not be removed then.
        """
        missing = [
            self.create(resource, obj)
            for resource, obj in standard_objects()
            if self.find(resource, obj["metadata"]["name"]) is None
        ]
        # Written together, they share their commits.
        await asyncio.gather(*missing)
        await self._cleanup.resume()

    def get(self, r: Resource, name: str, namespace: str = "") -> Object:
        """The object; 404 when there is none."""
        return self._reader.get(r, name, namespace)

    def find(self, r: Resource, name: str, namespace: str = "") -> Object | None:
        """The object, or None."""
        return self._reader.find(r, name, namespace)

    def list(self, r: Resource, namespace: str | None = None, *, labels: str = "", fields: str = "") -> list[Object]:
        """The objects of a namespace (None: all) that match the selectors, which are written as in kubectl."""
        return self._reader.list(r, namespace, labels, fields)

    def page(
        self,
        r: Resource,
        namespace: str | None = None,
        *,
        labels: str = "",
        fields: str = "",
        limit: int = 0,
        token: str = "",
        exactly: int | None = None,
    ) -> Page:
        """One page of a list, see `Reader.page`; `exactly` asks for the state at a revision."""
        return self._reader.page(r, namespace, labels=labels, fields=fields, limit=limit, token=token, exactly=exactly)

    def watch(
        self,
        r: Resource,
        namespace: str | None = None,
        *,
        since: int | None = None,
        labels: str = "",
        fields: str = "",
    ) -> Watch:
        """Changes after the revision `since`. Without it: the present objects as ADDED, one BOOKMARK, then changes."""
        return self._reader.watch(r, namespace, since=since, labels=labels, fields=fields)

    async def create(
        self, r: Resource, obj: Object, *, namespace: str = "", options: WriteOptions | None = None
    ) -> Object:
        """Store a new object. It is defaulted, admitted and validated first."""
        return self._reader.present(r, await self._writer.create(r, obj, namespace, options or self._own))

    async def update(
        self, r: Resource, obj: Object, *, subresource: str = "", options: WriteOptions | None = None
    ) -> Object:
        """Replace an object, or what `subresource` covers of it.

        Raises:
            ApiError: 409 when metadata.resourceVersion is set and is not the present one, 422 when a kind demands one
                that is missing.
        """
        meta = obj.get("metadata") or {}
        name, namespace = meta.get("name", ""), meta.get("namespace", "") if r.namespaced else ""

        def change(old: Object) -> Object:  # noqa: ARG001
            if not meta.get("resourceVersion") and self._writer.strategy(r).kind.names_what_it_replaces:
                raise metadata.needs_version(r, name)
            return obj

        return await self._revise(r, name, namespace, change, subresource, options or self._own)

    async def modify(
        self,
        r: Resource,
        name: str,
        namespace: str,
        change: Callable[[Object], Object | None],
        *,
        subresource: str = "",
    ) -> Object | None:
        """Change an object, again on its newer state as long as others change it meanwhile.

        `change` gets a copy which it may mutate, and returns it; None leaves the object as it is. Returns what is
        stored then, or None when the object is gone.
        """
        try:
            return await self._revise(r, name, namespace, change, subresource, self._own)
        except ApiError as error:
            if error.reason == "NotFound" and self.find(r, name, namespace) is None:
                return None
            raise

    async def change(
        self,
        r: Resource,
        name: str,
        namespace: str,
        change: Callable[[Object], Object],
        *,
        options: WriteOptions,
    ) -> Object:
        """Change an object on behalf of a client: `modify` with the client's options, and 404 when it is gone."""
        return await self._revise(r, name, namespace, change, "", options)

    async def patch(
        self,
        r: Resource,
        name: str,
        namespace: str,
        patch: Patch,
        *,
        subresource: str = "",
        options: WriteOptions | None = None,
    ) -> Object:
        """Apply a patch to an object."""
        schema = self.resources.schema(r)

        def change(old: Object) -> Object:
            version = old["metadata"]["resourceVersion"]
            new = apply_patch(patch, old, schema, custom=self.resources.is_custom(r))
            # Only a version that the patch itself names is a condition.
            if isinstance(new.get("metadata"), dict) and new["metadata"].get("resourceVersion") == version:
                del new["metadata"]["resourceVersion"]
            return new

        return await self._revise(r, name, namespace, change, subresource, options or self._own)

    async def apply(
        self,
        r: Resource,
        name: str,
        namespace: str,
        config: Object,
        *,
        subresource: str = "",
        options: WriteOptions,
    ) -> Object:
        """Apply what a field manager says of an object, and create it when it is not there.

        Raises:
            ApiError: 409, others own what would change, and `options.force` is not set.
        """
        stored = await self._applier.apply(r, name, namespace, config, subresource, options)
        await self._cleanup.go_on(r)
        return self._reader.present(r, stored)

    async def delete(
        self, r: Resource, name: str, namespace: str = "", *, options: DeleteOptions = DEFAULT_DELETE
    ) -> Object:
        """Delete an object, or mark it for deletion when something has to happen first.

        Returns its last state: it is gone when `find` does not find it any more.
        """
        last = await self._deleter.delete(r, name, namespace, options)
        if not options.dry_run:
            await self._cleanup.after_delete(r, name)
        return self._reader.present(r, last)

    async def _revise(
        self,
        r: Resource,
        name: str,
        namespace: str,
        change: Callable[[Object], Object | None],
        subresource: str,
        options: WriteOptions,
    ) -> Object:
        stored = await self._writer.revise(r, name, namespace, change, subresource=subresource, options=options)
        await self._cleanup.go_on(r)
        return self._reader.present(r, stored)
