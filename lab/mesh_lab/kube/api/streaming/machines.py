"""`/mesh-lab/machines`: virtual machines on the node, which `mesh-lab vm` starts. No part of Kubernetes' API.

`GET` lists them. `POST .../NAMESPACE/NAME` runs one for as long as the connection lasts, `POST .../NAMESPACE/NAME/exec`
runs a command in one. Both answer with JSON, a line each: `{"address": ADDRESS}` of a new machine, then `{"out": TEXT}`
and `{"err": TEXT}` as they come, and `{"exit": CODE}` at last.
"""

from __future__ import annotations

import codecs
import json
from asyncio import TaskGroup
from collections.abc import AsyncIterator
from typing import Any

import msgspec
from aiohttp import web

from mesh_lab.kube.api.auth.authorizer import is_administrator
from mesh_lab.kube.api.bodies.answers import json_response, read_body
from mesh_lab.kube.api.context import REGISTRY, STREAMS, USER
from mesh_lab.kube.errors import bad_request, forbidden, not_found
from mesh_lab.kube.resources import NAMESPACES
from mesh_lab.kube.streams import ExecSession, MachineOrder

PATH = "/mesh-lab/machines"


class _Command(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    command: list[str]


def add_routes(app: web.Application) -> None:
    """Serve the machines."""
    app.router.add_get(PATH, _list)
    app.router.add_post(PATH + "/{namespace}/{name}", _run)
    app.router.add_post(PATH + "/{namespace}/{name}/exec", _exec)


async def _list(request: web.Request) -> web.Response:
    _require(request)
    found = request.app[STREAMS].machines.running()
    return json_response({"items": [{"namespace": n, "name": name, "address": a} for n, name, a in found]})


async def _run(request: web.Request) -> web.StreamResponse:
    namespace, name = _require(request)
    if request.app[REGISTRY].find(NAMESPACES, namespace) is None:
        raise not_found("namespaces", namespace)
    order = await _read(request, MachineOrder)
    machine = await request.app[STREAMS].machines.run(namespace, name, order)
    return await _converse(request, machine, {"address": machine.address})


async def _exec(request: web.Request) -> web.StreamResponse:
    namespace, name = _require(request)
    command = (await _read(request, _Command)).command
    if not command:
        raise bad_request("command: there has to be a program")
    session = await request.app[STREAMS].machines.exec(namespace, name, command)
    return await _converse(request, session)


def _require(request: web.Request) -> tuple[str, str]:
    """Namespace and name of a request; only administrators have a say here, as only they have machines elsewhere.

    Raises:
        ApiError: 403, the caller is no administrator.
    """
    user = request[USER]
    if not is_administrator(user):
        raise forbidden(f'User "{user.name}" cannot use path "{request.path}": only administrators have machines')
    return request.match_info.get("namespace", ""), request.match_info.get("name", "")


async def _read(request: web.Request, kind: type[Any]) -> Any:
    try:
        return msgspec.json.decode(await read_body(request), type=kind)
    except (msgspec.ValidationError, msgspec.DecodeError) as error:
        raise bad_request(f"the body is not what it has to be: {error}") from None


async def _converse(request: web.Request, session: ExecSession, *first: dict[str, str]) -> web.StreamResponse:
    """Carry a session's output until it ends; when the client leaves, the session is killed."""
    response = web.StreamResponse(headers={"Content-Type": "application/jsonl"})
    try:
        await response.prepare(request)
        for event in first:
            await _tell(response, event)
        async with TaskGroup() as group:
            group.create_task(_send(response, "out", session.stdout()))
            group.create_task(_send(response, "err", session.stderr()))
        await _tell(response, {"exit": await session.wait()})
    finally:
        await session.kill()
    await response.write_eof()
    return response


async def _send(response: web.StreamResponse, name: str, chunks: AsyncIterator[bytes]) -> None:
    # A character may be cut in two by the end of a chunk.
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    async for chunk in chunks:
        if text := decoder.decode(chunk):
            await _tell(response, {name: text})


async def _tell(response: web.StreamResponse, event: dict[str, Any]) -> None:
    await response.write(json.dumps(event).encode() + b"\n")
