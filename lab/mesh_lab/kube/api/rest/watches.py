"""Watch responses: a line of JSON an event, for as long as the client listens.

What is sent comes straight from the store's log of changes, at the client's pace: a slow client costs no memory. One
that does not read for `WRITE_LIMIT_SECONDS`, or that falls off the end of the log, gets 410 (Gone) or is disconnected.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from contextlib import suppress

import orjson
from aiohttp import web

from mesh_lab.kube.api import tables
from mesh_lab.kube.api.bodies import answers
from mesh_lab.kube.api.bodies.negotiation import Form, choose
from mesh_lab.kube.api.context import Call
from mesh_lab.kube.api.rest import objects
from mesh_lab.kube.api.rest.parameters import ListOptions, list_options
from mesh_lab.kube.errors import ApiError
from mesh_lab.kube.registry.reading.watching import BOOKMARK, Event, Watch, bookmark

WRITE_LIMIT_SECONDS = 30.0
BOOKMARK_EVERY_SECONDS = 60.0
SHORTEST_SECONDS = 1800
_BATCH_BYTES = 64 * 1024

Render = Callable[[Event], bytes]


async def watch(call: Call) -> web.StreamResponse:
    """Stream the changes of a resource.

    Raises:
        ApiError: before the answer begins; afterwards errors are events.
    """
    options = list_options(call)
    render = _renderer(call)
    lifetime = options.timeout_seconds or random.uniform(SHORTEST_SECONDS, 2 * SHORTEST_SECONDS)
    failure: ApiError | None = None
    changes: Watch | None = None
    try:
        changes = call.registry.watch(
            call.resource,
            call.target.namespace,
            since=_since(call, options),
            labels=options.labels,
            fields=options.fields,
        )
    except ApiError as error:
        if error.code != 410:
            raise
        failure = error
    response = web.StreamResponse(headers=answers.headers_of("application/json", call.warnings))
    await response.prepare(call.request)
    stream = _Stream(call, response, options, render)
    if changes is None:
        await stream.fail(failure)
        return response
    with changes:
        try:
            async with asyncio.timeout(lifetime):
                await stream.run(changes)
        except TimeoutError:
            pass
        except ApiError as error:
            await stream.fail(error)
        except _SlowClientError:
            if call.request.transport is not None:
                call.request.transport.abort()
    return response


class _SlowClientError(Exception):
    """The client does not read."""


class _Stream:
    """One watch response under way."""

    def __init__(self, call: Call, response: web.StreamResponse, options: ListOptions, render: Render) -> None:
        self._call = call
        self._response = response
        self._options = options
        self._render = render
        self._bookmark_due = asyncio.get_running_loop().time() + BOOKMARK_EVERY_SECONDS

    async def run(self, changes: Watch) -> None:
        """Send events until the client leaves.

        Raises:
            ApiError: 410, the client fell too far behind.
        """
        while True:
            if lines := self._batch(changes):
                await self._write(lines)
                continue
            # With all changes read, a bookmark may have the present revision.
            if self._options.bookmarks and changes.complete and self._due():
                await self._write(self._render(self._bookmark()))
                continue
            with suppress(TimeoutError):
                async with asyncio.timeout_at(self._bookmark_due if self._options.bookmarks else None):
                    await changes.changed()

    async def fail(self, error: ApiError | None) -> None:
        """End the watch with an ERROR event."""
        if error is not None:
            await self._write(orjson.dumps({"type": "ERROR", "object": error.status()}) + b"\n")

    def _batch(self, changes: Watch) -> bytes:
        lines: list[bytes] = []
        size = 0
        while size < _BATCH_BYTES and (event := changes.poll()) is not None:
            if event.type == BOOKMARK and not (self._options.initial_events and self._options.bookmarks):
                continue
            lines.append(self._render(event))
            size += len(lines[-1])
        return b"".join(lines)

    def _due(self) -> bool:
        now = asyncio.get_running_loop().time()
        if now < self._bookmark_due:
            return False
        self._bookmark_due = now + BOOKMARK_EVERY_SECONDS
        return True

    def _bookmark(self) -> Event:
        resource = self._call.resource
        return bookmark(resource.api_version, resource.kind, self._call.registry.revision)

    async def _write(self, lines: bytes) -> None:
        writing = asyncio.timeout(WRITE_LIMIT_SECONDS)
        try:
            async with writing:
                await self._response.write(lines)
        except TimeoutError:
            if writing.expired():
                raise _SlowClientError from None
            raise


def _since(call: Call, options: ListOptions) -> int | None:
    """Return the revision to start after; None to begin with the present objects."""
    if options.initial_events:
        if options.revision:
            call.registry.store.require(options.revision)
        return None
    if options.initial_events is False and options.revision is None:
        return call.registry.revision
    return options.revision or None


def _renderer(call: Call) -> Render:
    """Return the function that writes events in the negotiated form."""
    form = choose(call.request.headers.get("Accept"), Form.TABLE, Form.PARTIAL)
    if form is Form.TABLE:
        return _table_renderer(call)
    if form is Form.PARTIAL:
        return lambda event: _line(event.type, tables.partial(event.object))
    return lambda event: event.line


def _table_renderer(call: Call) -> Render:
    """Each event is a table of one row; only the first one describes the columns."""
    shown, include = objects.printer(call), objects.included(call)
    first = True

    def render(event: Event) -> bytes:
        nonlocal first
        rows = [] if event.type == BOOKMARK else [event.object]
        kept = ("resourceVersion", "annotations") if event.type == BOOKMARK else ("resourceVersion",)
        metadata = {key: event.object["metadata"][key] for key in kept if key in event.object["metadata"]}
        body = tables.table(shown, rows, metadata, include=include, headers=first)
        first = False
        return _line(event.type, body)

    return render


def _line(kind: str, obj: object) -> bytes:
    return orjson.dumps({"type": kind, "object": obj}) + b"\n"
