"""Server-side apply: an object is created, or becomes what it was and what the client says together.

Ownership of fields is decided in `mesh_lab.kube.registry.ownership`; here are the object, its errors and its time.
https://kubernetes.io/docs/reference/using-api/server-side-apply/
"""

from __future__ import annotations

from mesh_lab.kube import heavy
from mesh_lab.kube.changes import Object
from mesh_lab.kube.errors import ApiError, Cause, bad_request
from mesh_lab.kube.registry import ownership
from mesh_lab.kube.registry.options import WriteOptions
from mesh_lab.kube.registry.ownership import APPLY, Conflict, ConflictError, Managed, Manager, clientside
from mesh_lab.kube.registry.ownership.fieldsets import FieldSetError, text
from mesh_lab.kube.registry.ownership.values import ItemError
from mesh_lab.kube.registry.table import ResourceTable
from mesh_lab.kube.registry.writing.codec import Codec
from mesh_lab.kube.registry.writing.writer import Writer
from mesh_lab.kube.resources import Resource
from mesh_lab.kube.schemas import Schema
from mesh_lab.rfc3339 import timestamp

_ATTEMPTS = 8


class Applier:
    """Applies what clients send to what there is."""

    def __init__(self, resources: ResourceTable, writer: Writer) -> None:
        self._resources = resources
        self._writer = writer
        self._codec = Codec(resources)

    async def apply(
        self, resource: Resource, name: str, namespace: str, config: Object, subresource: str, options: WriteOptions
    ) -> Object:
        """See `Registry.apply`."""
        if (config.get("metadata") or {}).get("managedFields"):
            raise bad_request("metadata.managedFields must be nil")
        decoded = await heavy.run(0, self._codec.decode_partial, resource, config, options)
        wanted = _part(resource, decoded, subresource)
        manager = Manager(APPLY, options.field_manager, subresource=subresource)
        schema = self._resources.schema(resource)
        fit = self._writer.strategy(resource).kind.fit

        def change(live: Object) -> Object:
            return _applied(schema, live, fit(wanted, live), manager, force=options.force)

        for _ in range(_ATTEMPTS):
            try:
                return await self._writer.revise(
                    resource, name, namespace, change, subresource=subresource, options=options, keeps_owners=True
                )
            except ApiError as error:
                if error.reason != "NotFound" or subresource or self._writer.is_there(resource, name, namespace):
                    raise
            try:
                owners = await heavy.run(0, _first, schema, wanted, manager)
                return await self._writer.create(resource, wanted, namespace, options, owners=owners)
            except ApiError as error:
                if error.reason != "AlreadyExists":
                    raise
        raise ApiError(409, "Conflict", f'{resource.plural} "{name}" keeps coming and going; please try again')


def _part(resource: Resource, config: Object, subresource: str) -> Object:
    """What of an applied object counts: only the status, or all but the status."""
    if subresource:
        known = ("apiVersion", "kind", "metadata", "status" if subresource == "status" else "spec")
        names = {key: config["metadata"][key] for key in ("name", "namespace") if key in config["metadata"]}
        return {key: names if key == "metadata" else config[key] for key in known if key in config}
    if "status" in resource.subresources:
        return {key: value for key, value in config.items() if key != "status"}
    return config


def _applied(schema: Schema, live: Object, config: Object, manager: Manager, *, force: bool) -> Object:
    now = timestamp()
    entries = live["metadata"].pop("managedFields", None)
    try:
        managed = ownership.decode(entries) if entries else ownership.first_owner(schema, live, now)
    except FieldSetError:
        managed = ownership.first_owner(schema, live, now)
    try:
        result, after = _settled(schema, live, config, managed, manager, now, force=force)
    except ItemError as error:
        raise _no_typed_patch(config, error) from error
    except ConflictError as error:
        raise _conflict(error.conflicts) from error
    return {**result, "metadata": {**result["metadata"], "managedFields": ownership.encode(after)}}


def _settled(
    schema: Schema, live: Object, config: Object, managed: Managed, manager: Manager, now: str, *, force: bool
) -> tuple[Object, Managed]:
    """The object and its owners; for kubectl, with regard to what it applied without the server's help."""
    try:
        result, after = ownership.apply(managed, schema, live, config, manager, now, force=force)
    except ConflictError as error:
        if manager.name != clientside.MANAGER:
            raise
        own = clientside.still_applied(schema, live)
        if others := [one for one in error.conflicts if one.path not in own]:
            raise ConflictError(others) from error
        result, after = ownership.apply(managed, schema, live, config, manager, now, force=True)
    return (clientside.noted(result, config) if manager.name == clientside.MANAGER else result), after


def _first(schema: Schema, config: Object, manager: Manager) -> list[Object]:
    """The owners of an object that an apply creates."""
    empty: Object = {"apiVersion": config["apiVersion"], "kind": config["kind"], "metadata": {}}
    try:
        _, managed = ownership.apply({}, schema, empty, config, manager, timestamp(), force=False)
    except ItemError as error:
        raise _no_typed_patch(config, error) from error
    return ownership.encode(managed)


def _no_typed_patch(config: Object, error: ItemError) -> ApiError:
    meta = config["metadata"]
    full = f"{meta['namespace']}/{meta['name']}" if meta.get("namespace") else meta.get("name", "")
    kind = f"{config['apiVersion']}, Kind={config['kind']}"
    return bad_request(f"failed to create typed patch object ({full}; {kind}): {error}")


def _conflict(conflicts: list[Conflict]) -> ApiError:
    """409, in the words of a real API server, with a cause a field."""
    causes = tuple(Cause(text(one.path), f"conflict with {_shown(one)}", "FieldManagerConflict") for one in conflicts)
    if len(conflicts) == 1:
        words = f"Apply failed with 1 conflict: {causes[0].message}: {causes[0].field}"
    else:
        by_manager: dict[str, list[str]] = {}
        for one in conflicts:
            by_manager.setdefault(_shown(one), []).append(f"- {text(one.path)}")
        parts = (line for who in sorted(by_manager) for line in (f"conflicts with {who}:", *by_manager[who]))
        words = f"Apply failed with {len(conflicts)} conflicts: " + "\n".join(parts)
    return ApiError(409, "Conflict", words, causes=causes)


def _shown(conflict: Conflict) -> str:
    manager = conflict.manager
    words = f'"{manager.name}"'
    if manager.subresource:
        words += f' with subresource "{manager.subresource}"'
    return words if manager.operation == APPLY else f"{words} using {conflict.owned.api_version}"
