"""`kubectl logs`: a container's log as a stream of text."""

from __future__ import annotations

from contextlib import aclosing
from datetime import UTC, datetime, timedelta

from aiohttp import web

from mesh_lab.kube.api.context import STREAMS, Call
from mesh_lab.kube.api.rest.parameters import moment, number
from mesh_lab.kube.api.streaming import targets
from mesh_lab.kube.errors import bad_request
from mesh_lab.kube.streams import LogOptions


async def get(call: Call) -> web.StreamResponse:
    """Stream a log; with `follow`, until the container ends."""
    pod = call.registry.get(call.resource, call.name, call.namespace)
    options = _options(call, targets.named(pod, call.query("container")))
    if not pod["spec"].get("nodeName"):
        return web.Response(content_type="text/plain")
    chunks = call.request.app[STREAMS].logs(call.namespace, call.name, options)
    async with aclosing(chunks):  # type: ignore[type-var]
        # The first chunk is awaited before the answer begins, so that an error can still be one.
        first = await anext(chunks, None)
        response = web.StreamResponse(headers={"Content-Type": "text/plain", "Cache-Control": "no-cache, private"})
        await response.prepare(call.request)
        if first is not None:
            await response.write(first)
            async for chunk in chunks:
                await response.write(chunk)
    return response


def _options(call: Call, container: str) -> LogOptions:
    since = moment(call, "sinceTime")
    seconds = number(call, "sinceSeconds")
    if since is not None and seconds is not None:
        raise bad_request("at most one of sinceTime or sinceSeconds may be specified")
    if seconds is not None:
        since = datetime.now(UTC) - timedelta(seconds=seconds)
    if since is not None and since.tzinfo is None:
        since = since.replace(tzinfo=UTC)
    return LogOptions(
        container=container,
        follow=call.flag("follow"),
        previous=call.flag("previous"),
        timestamps=call.flag("timestamps"),
        tail_lines=number(call, "tailLines"),
        since_time=since,
        limit_bytes=number(call, "limitBytes"),
    )
