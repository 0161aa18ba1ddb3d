"""Reading and writing objects: get, list, create, update, patch, delete, deletecollection."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from aiohttp import web

from mesh_lab.kube import heavy
from mesh_lab.kube.api import tables
from mesh_lab.kube.api.bodies import answers
from mesh_lab.kube.api.bodies.negotiation import Form, choose
from mesh_lab.kube.api.context import Call
from mesh_lab.kube.api.rest.parameters import EXACT, delete_options, list_options, write_options
from mesh_lab.kube.errors import ApiError, Cause, bad_request, invalid
from mesh_lab.kube.registry.kinds import behaviour_of
from mesh_lab.kube.registry.options import Patch, PatchKind
from mesh_lab.kube.registry.printing.columns import Printer
from mesh_lab.kube.resources import Resource

_INCLUDES = ("None", "Metadata", "Object")


async def get(call: Call) -> web.Response:
    """Answer with one object."""
    return answer(call, call.registry.get(call.resource, call.name, call.namespace))


async def list_(call: Call) -> web.StreamResponse:
    """List the objects of a namespace or of all, in pages if `limit` is given."""
    options = list_options(call)
    exactly = None
    if options.revision:
        call.registry.store.require(options.revision)
        # A plain resourceVersion with a limit means exactly that state, as documented for paged lists.
        if options.match == EXACT or (options.limit and not options.match):
            exactly = options.revision
    page = call.registry.page(
        call.resource,
        call.target.namespace,
        labels=options.labels,
        fields=options.fields,
        limit=options.limit,
        token=options.token,
        exactly=exactly,
    )
    metadata: dict[str, Any] = {"resourceVersion": str(page.revision)}
    if page.token:
        metadata["continue"] = page.token
    if page.remaining is not None:
        metadata["remainingItemCount"] = page.remaining
    form = _form(call)
    if form is Form.TABLE:
        shown = printer(call)
        found = tables.table(shown, page.items, metadata, include=included(call))
        return answers.json_response(found, warnings=call.warnings)
    if form is Form.PARTIAL:
        items = [tables.partial(item) for item in page.items]
        found = answers.list_of("PartialObjectMetadata", tables.API_VERSION, items, metadata)
        return answers.json_response(found, warnings=call.warnings)
    definition = call.registry.resources.definition(call.resource)
    kind = definition.list_kind if definition else f"{call.resource.kind}List"
    head = {"kind": kind, "apiVersion": call.resource.api_version, "metadata": metadata}
    return await answers.list_response(call.request, head, listed(call, page.items), call.warnings)


async def create(call: Call) -> web.Response:
    """Create an object."""
    obj, repeated = await answers.read_checked(call.request)
    options = write_options(call, repeated)
    made = await call.registry.create(call.resource, obj, namespace=call.namespace, options=options)
    return answer(call, made, status=201)


async def update(call: Call) -> web.Response:
    """Replace an object, or the part of it that a subresource covers."""
    obj, repeated = await answers.read_checked(call.request)
    options = write_options(call, repeated)
    stored = await call.registry.update(
        call.resource, addressed(call, obj), subresource=call.target.subresource, options=options
    )
    return answer(call, stored)


async def patch(call: Call) -> web.Response:
    """Patch an object, in one of the patch types of the registry."""
    change, repeated = await read_patch(call)
    options = write_options(call, repeated)
    there = call.registry.find(call.resource, call.name, call.namespace) is not None
    what = (call.resource, call.name, call.namespace)
    if change.kind is PatchKind.APPLY:
        if not there:
            call.require("create")
        stored = await call.registry.apply(*what, change.body, subresource=call.target.subresource, options=options)
    else:
        stored = await call.registry.patch(*what, change, subresource=call.target.subresource, options=options)
    return answer(call, stored, status=200 if there else 201)


async def delete(call: Call) -> web.Response:
    """Delete an object; if that waits for finalizers or a grace period, answer with the object."""
    options = await delete_options(call)
    last = await call.registry.delete(call.resource, call.name, call.namespace, options=options)
    if call.registry.find(call.resource, call.name, call.namespace) is not None or options.dry_run:
        return answer(call, last)
    if behaviour_of(call.resource).answers_with_last_state:
        return answer(call, last)
    return answers.json_response(deleted_status(call.resource, last), warnings=call.warnings)


async def delete_collection(call: Call) -> web.Response:
    """Delete all objects that the selectors match, one after the other."""
    chosen = list_options(call)
    options = await delete_options(call)
    found = call.registry.list(call.resource, call.target.namespace, labels=chosen.labels, fields=chosen.fields)
    ended = []
    for obj in found:
        metadata = obj["metadata"]
        try:
            ended.append(
                await call.registry.delete(
                    call.resource, metadata["name"], metadata.get("namespace", ""), options=options
                )
            )
        except ApiError as error:
            if error.reason != "NotFound":
                raise
    metadata = {"resourceVersion": str(call.registry.revision)}
    items = [*listed(call, ended)]
    gone = answers.list_of(call.resource.kind, call.resource.api_version, items, metadata)
    return answers.json_response(gone, warnings=call.warnings)


def answer(call: Call, obj: Mapping[str, Any], *, status: int = 200) -> web.Response:
    """Answer with one object in the negotiated form."""
    form = _form(call)
    shown: Mapping[str, Any] = obj
    if form is Form.TABLE:
        metadata = {"resourceVersion": obj["metadata"].get("resourceVersion", "")}
        shown = tables.table(printer(call), [obj], metadata, include=included(call))
    elif form is Form.PARTIAL:
        shown = tables.partial(obj)
    return answers.json_response(shown, status=status, warnings=call.warnings)


def listed(call: Call, items: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Return the objects as items of a list: those of built-in kinds without kind and version, as in typed lists."""
    if call.registry.resources.is_custom(call.resource):
        return iter(items)
    return ({key: value for key, value in item.items() if key not in ("kind", "apiVersion")} for item in items)


def printer(call: Call) -> Printer:
    """Return the table printer of the resource."""
    served = call.registry.resources.served(call.resource)
    return tables.printer_for(call.resource, served.columns if served else ())


def included(call: Call) -> str:
    """Return what table rows contain of their objects (`includeObject`).

    Raises:
        ApiError: 400, the value is unknown.
    """
    include = call.query("includeObject") or "Metadata"
    if include not in _INCLUDES:
        raise bad_request(f'includeObject: Unsupported value: "{include}": supported values: {", ".join(_INCLUDES)}')
    return include


def addressed(call: Call, obj: dict[str, Any]) -> dict[str, Any]:
    """Return the object with the name and namespace of the URL.

    Raises:
        ApiError: 400, its name or namespace is another one than the URL's.
    """
    metadata = obj.get("metadata")
    if metadata is not None and not isinstance(metadata, dict):
        raise bad_request("metadata: must be an object")
    settled = dict(metadata or {})
    for key, wanted in (("name", call.name), ("namespace", call.namespace)):
        if settled.get(key) and settled[key] != wanted:
            raise bad_request(
                f"the {key} of the object ({settled[key]}) does not match the {key} on the URL ({wanted})"
            )
        if wanted:
            settled[key] = wanted
    return {**obj, "metadata": settled}


async def read_patch(call: Call) -> tuple[Patch, tuple[str, ...]]:
    """Read the patch in the request's body, and the paths of its duplicate fields.

    Raises:
        ApiError: 400 when the body is no patch, 413 when it is too large, 415 for an unknown kind of patch,
            422 for an apply without a field manager.
    """
    media = answers.media_type(call.request)
    if media not in list(PatchKind):
        raise answers.unsupported(media, PatchKind)
    kind = PatchKind(media)
    text = await answers.read_body(call.request)
    body = await heavy.run(len(text), answers.decode, text, media)
    repeated = await heavy.run(len(text), answers.repeated, text, body, media)
    if kind is PatchKind.APPLY:
        if not isinstance(body, dict):
            raise bad_request("the body of an apply must be an object")
        if not call.query("fieldManager"):
            cause = Cause("fieldManager", "Required value: is required for apply patch", "FieldValueRequired")
            raise invalid("PatchOptions", "", (cause,), "meta.k8s.io")
        body = addressed(call, body)
    elif call.query("force"):
        cause = Cause("force", "Forbidden: may not be specified for non-apply patch", "FieldValueForbidden")
        raise invalid("PatchOptions", "", (cause,), "meta.k8s.io")
    return Patch(kind, body), repeated


def deleted_status(resource: Resource, last: Mapping[str, Any]) -> dict[str, Any]:
    """Return the `Status` of a finished delete."""
    details = {"name": last["metadata"]["name"], "kind": resource.plural, "uid": last["metadata"].get("uid", "")}
    if resource.group:
        details["group"] = resource.group
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}


def _form(call: Call) -> Form:
    return choose(call.request.headers.get("Accept"), Form.TABLE, Form.PARTIAL)
