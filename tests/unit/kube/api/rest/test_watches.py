"""Watches: what comes, in which order, in which form, and how they end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from mesh_lab.kube import changes
from mesh_lab.kube.api import app
from mesh_lab.kube.api.rest import watches
from mesh_lab.kube.resources import CONFIGMAPS
from tests.unit.kube.api.conftest import LIMIT_S, Server

PATH = "/api/v1/namespaces/default/configmaps"
TABLE = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"}
PARTIAL = {"Accept": "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"}
LIST = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"


class Stream:
    """The events of a watch response."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response

    async def next(self) -> dict[str, Any]:
        async with asyncio.timeout(LIMIT_S):
            event: dict[str, Any] = json.loads(await self._response.content.readline())
            return event

    async def take(self, count: int) -> list[tuple[str, str]]:
        """(type, name) of the next events."""
        events = [await self.next() for _ in range(count)]
        return [(event["type"], event["object"]["metadata"].get("name", "")) for event in events]

    async def ended(self) -> bool:
        async with asyncio.timeout(LIMIT_S):
            return await self._response.content.readline() == b""


@asynccontextmanager
async def watching(
    server: Server, query: str = "", headers: dict[str, str] | None = None, path: str = PATH
) -> AsyncIterator[Stream]:
    url = f"{server.url}{path}?watch=true&{query}"
    async with server.client.get(url, headers=headers) as response:
        assert response.status == 200, await response.text()
        yield Stream(response)


async def make(server: Server, name: str, **labels: str) -> dict[str, Any]:
    body = {"metadata": {"name": name, "labels": labels}}
    return await server.registry.create(CONFIGMAPS, body, namespace="default")


async def test_a_watch_begins_with_the_existing_objects(server: Server) -> None:
    await make(server, "a")
    async with watching(server) as stream:
        await make(server, "b")
        await server.registry.delete(CONFIGMAPS, "a", "default")
        assert await stream.take(3) == [("ADDED", "a"), ("ADDED", "b"), ("DELETED", "a")]


async def test_a_watch_from_a_revision_begins_after_it(server: Server) -> None:
    made = await make(server, "a")
    async with watching(server, f"resourceVersion={made['metadata']['resourceVersion']}") as stream:
        await make(server, "b")
        assert await stream.take(1) == [("ADDED", "b")]


async def test_a_watch_list_marks_the_end_of_its_initial_events(server: Server) -> None:
    await make(server, "a")
    async with watching(server, LIST) as stream:
        assert await stream.take(1) == [("ADDED", "a")]
        bookmark = await stream.next()
        assert bookmark["type"] == "BOOKMARK"
        assert bookmark["object"]["kind"] == "ConfigMap"
        assert bookmark["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
        assert bookmark["object"]["metadata"]["resourceVersion"] == str(server.registry.revision)


async def test_a_watch_list_of_nothing_ends_its_initial_events_at_once(server: Server) -> None:
    async with watching(server, LIST, headers=TABLE) as stream:
        bookmark = await stream.next()
        assert (bookmark["type"], bookmark["object"]["kind"], bookmark["object"]["rows"]) == ("BOOKMARK", "Table", [])
        assert bookmark["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}


@pytest.mark.parametrize(
    "query",
    [
        "sendInitialEvents=true",
        "sendInitialEvents=false",
        "resourceVersionMatch=NotOlderThan",
        "sendInitialEvents=true&resourceVersionMatch=Exact",
    ],
)
async def test_half_a_watch_list_is_refused(server: Server, query: str) -> None:
    answer = await server.json("GET", f"{PATH}?watch=true&{query}", code=422)
    assert answer["details"]["causes"][0]["field"] == "resourceVersionMatch"


async def test_an_object_that_leaves_the_selection_is_deleted_to_the_watcher(server: Server) -> None:
    await make(server, "a", app="x")
    async with watching(server, "labelSelector=app%3Dx") as stream:
        await make(server, "b", app="y")
        await server.registry.modify(
            CONFIGMAPS, "a", "default", lambda obj: {**obj, "metadata": {**obj["metadata"], "labels": {"app": "y"}}}
        )
        assert await stream.take(2) == [("ADDED", "a"), ("DELETED", "a")]


async def test_one_object_can_be_watched_by_its_path(server: Server) -> None:
    async with watching(server, path=PATH + "/b") as stream:
        await make(server, "a")
        await make(server, "b")
        assert await stream.take(1) == [("ADDED", "b")]


async def test_a_watched_table_describes_its_columns_once(server: Server) -> None:
    await make(server, "a")
    async with watching(server, headers=TABLE) as stream:
        await make(server, "b")
        first, second = await stream.next(), await stream.next()
        assert [c["name"] for c in first["object"]["columnDefinitions"]] == ["Name", "Data", "Age"]
        assert second["object"]["columnDefinitions"] == []
        assert [row["cells"][0] for row in (*first["object"]["rows"], *second["object"]["rows"])] == ["a", "b"]
        assert second["object"]["metadata"]["resourceVersion"] == str(server.registry.revision)


async def test_only_metadata_can_be_watched(server: Server) -> None:
    await make(server, "a")
    async with watching(server, headers=PARTIAL) as stream:
        event = await stream.next()
        assert set(event["object"]) == {"kind", "apiVersion", "metadata"}
        assert event["object"]["kind"] == "PartialObjectMetadata"


async def test_a_revision_that_is_no_longer_kept_is_an_error_event(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changes, "KEPT_CHANGES", 2)
    monkeypatch.setattr(changes, "KEPT_SECONDS", 0)
    monkeypatch.setattr(changes, "_BATCH", 1)
    first = await make(server, "a")
    for number in range(5):
        await make(server, f"b{number}")
    async with watching(server, f"resourceVersion={first['metadata']['resourceVersion']}") as stream:
        event = await stream.next()
        assert (event["type"], event["object"]["code"], event["object"]["reason"]) == ("ERROR", 410, "Expired")
        assert await stream.ended()


async def test_a_revision_in_the_future_is_refused(server: Server) -> None:
    answer = await server.json("GET", f"{PATH}?watch=true&resourceVersion=99999", code=504)
    assert answer["reason"] == "Timeout"


async def test_a_watch_ends_when_its_time_is_up(server: Server) -> None:
    async with watching(server, "timeoutSeconds=1") as stream:
        assert await stream.ended()


async def test_bookmarks_are_sent_at_intervals(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watches, "BOOKMARK_EVERY_SECONDS", 0.05)
    async with watching(server, "allowWatchBookmarks=true&resourceVersion=1") as stream:
        await make(server, "a")
        assert await stream.take(2) == [("ADDED", "a"), ("BOOKMARK", "")]
    async with watching(server, "resourceVersion=1") as stream:
        await make(server, "b")
        assert await stream.take(2) == [("ADDED", "a"), ("ADDED", "b")]


async def test_a_watcher_that_does_not_read_is_disconnected(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watches, "WRITE_LIMIT_SECONDS", 0.2)
    payload = "x" * 200_000
    async with server.client.get(f"{server.url}{PATH}?watch=true") as response:
        for number in range(60):
            body = {"metadata": {"name": f"big-{number}"}, "data": {"payload": payload}}
            await server.registry.create(CONFIGMAPS, body, namespace="default")
        await asyncio.sleep(1)  # the client reads nothing for longer than it may
        with pytest.raises(aiohttp.ClientError):
            await response.content.read()


async def test_every_watcher_sees_every_change_in_order(server: Server) -> None:
    expected = [("ADDED", f"c{n}") for n in range(50)]
    async with watching(server) as one, watching(server, "labelSelector=even%3Dyes") as two:
        for number in range(50):
            await make(server, f"c{number}", even="yes" if number % 2 == 0 else "no")
        assert await one.take(50) == expected
        assert await two.take(25) == expected[::2]


async def test_an_open_watch_does_not_keep_a_stopped_server_alive(server: Server) -> None:
    async with watching(server, "timeoutSeconds=600") as stream:
        server.serving.cancel()
        async with asyncio.timeout(5):
            await asyncio.wait([server.serving])
            with pytest.raises((aiohttp.ClientError, ValueError)):
                await stream.next()


async def test_a_watcher_that_disconnects_is_no_error() -> None:
    async def to_a_closed_connection(request: web.Request) -> web.StreamResponse:
        raise aiohttp.ClientConnectionResetError("Cannot write to closing transport")

    # What a handler raises, aiohttp logs with a traceback; an answer to a closed connection it drops.
    assert isinstance(await app._answer_errors(make_mocked_request("GET", PATH), to_a_closed_connection), web.Response)
