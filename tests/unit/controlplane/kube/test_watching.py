"""Following a kind through all that an API server may do."""

from __future__ import annotations

import asyncio
import weakref
from asyncio import sslproto
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiohttp import web

from mesh_lab.controlplane.kube.client import ApiError, KubeClient, Object, Unreachable
from mesh_lab.controlplane.kube.kinds import Kind
from mesh_lab.controlplane.kube.watching import Follower, Gate
from mesh_lab.controlplane.trust.ca import Authority
from mesh_lab.controlplane.trust.serving import serve_http

SERVICES = Kind("", "v1", "services", "Service")
Answer = Callable[[web.Request], Any]


class Seen:
    """Keeps what a follower says."""

    def __init__(self) -> None:
        self.objects: dict[str, str] = {}
        self.lists = 0
        self._changed = asyncio.Event()

    def replace(self, kind: Kind, objects: list[Object]) -> None:
        self.lists += 1
        self.objects = {obj["metadata"]["name"]: obj["metadata"]["resourceVersion"] for obj in objects}
        self._changed.set()

    def apply(self, kind: Kind, event: str, obj: Object) -> None:
        if event == "DELETED":
            del self.objects[obj["metadata"]["name"]]
        else:
            self.objects[obj["metadata"]["name"]] = obj["metadata"]["resourceVersion"]
        self._changed.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(5):
            while not condition():
                self._changed.clear()
                await self._changed.wait()


def thing(name: str, version: int) -> Object:
    return {"metadata": {"name": name, "resourceVersion": str(version)}}


def listing(version: int, *objects: Object) -> web.Response:
    return web.Response(body=orjson.dumps({"metadata": {"resourceVersion": str(version)}, "items": objects}))


def events(*lines: tuple[str, Object]) -> web.Response:
    return web.Response(body=b"".join(orjson.dumps({"type": t, "object": o}) + b"\n" for t, o in lines))


def status(code: int, reason: str = "") -> web.Response:
    return web.Response(status=code, body=orjson.dumps({"code": code, "reason": reason, "message": f"says {reason}"}))


class Script:
    """Answers requests one after the other as configured; then a watch that says nothing."""

    def __init__(self, answers: Sequence[web.Response]) -> None:
        self._answers = list(answers)
        self.asked: list[str] = []
        self._over = asyncio.Event()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        query = request.query
        self.asked.append(f"watch from {query['resourceVersion']}" if "watch" in query else "list")
        if self._answers:
            return self._answers.pop(0)
        response = web.StreamResponse()
        await response.prepare(request)
        await self._over.wait()
        return response

    def end(self) -> None:
        self._over.set()


@asynccontextmanager
async def client_of(script: Script, directory: Path) -> AsyncIterator[KubeClient]:
    (directory / "ca").write_bytes(Authority.create("x").certificate)
    (directory / "token").write_text("t\n")
    app = web.Application()
    app.router.add_get("/api/v1/services", script.answer)
    runner = await serve_http(app, "127.0.0.1", 0)
    try:
        async with KubeClient(
            f"http://127.0.0.1:{runner.addresses[0][1]}", directory / "token", directory / "ca"
        ) as api:
            yield api
    finally:
        script.end()
        await runner.cleanup()


async def followed(directory: Path, answers: Sequence[web.Response], until: Callable[[Seen, Script], bool]) -> Script:
    script, seen = Script(answers), Seen()
    async with client_of(script, directory) as api:
        task = asyncio.create_task(Follower(api, SERVICES, seen).run())
        try:
            await seen.until(lambda: until(seen, script))
        finally:
            task.cancel()
            await asyncio.wait({task})
    return script


async def test_a_watch_goes_on_from_where_the_list_and_the_last_watch_ended(tmp_path: Path) -> None:
    answers = [
        listing(5, thing("a", 3)),
        events(("ADDED", thing("b", 6)), ("BOOKMARK", thing("", 9))),
        events(("DELETED", thing("a", 10)), ("ADDED", thing("c", 11))),
    ]
    script = await followed(tmp_path, answers, lambda seen, _: seen.objects == {"b": "6", "c": "11"})
    assert script.asked[:3] == ["list", "watch from 5", "watch from 9"]


@pytest.mark.parametrize(
    "gone",
    [status(410, "Expired"), events(("ERROR", {"code": 410, "reason": "Expired", "message": "too old"}))],
    ids=["status", "event"],
)
async def test_a_version_that_the_server_has_forgotten_leads_to_a_new_list(tmp_path: Path, gone: web.Response) -> None:
    answers = [listing(5, thing("a", 3)), gone, listing(90, thing("b", 80))]
    script = await followed(tmp_path, answers, lambda seen, _: seen.objects == {"b": "80"})
    assert script.asked[:3] == ["list", "watch from 5", "list"]


@pytest.mark.parametrize(
    "odd",
    [b"[]\n", b"3\n", b'{"type": "ADDED"}\n', b'{"type": "ADDED", "object": {}}\n', b'{"object": {"metadata": {}}}\n'],
)
async def test_an_event_that_is_none_leads_to_a_new_list(tmp_path: Path, odd: bytes) -> None:
    answers = [listing(5, thing("a", 3)), web.Response(body=odd), listing(90, thing("b", 80))]
    script = await followed(tmp_path, answers, lambda seen, _: seen.objects == {"b": "80"})
    assert script.asked[:3] == ["list", "watch from 5", "list"]


@pytest.mark.parametrize("odd", [b"[]", b"{}", b'{"metadata": null}', b'{"metadata": {}, "items": 3}'])
async def test_a_list_that_is_none_is_asked_for_again(tmp_path: Path, odd: bytes) -> None:
    answers = [web.Response(body=odd), listing(90, thing("b", 80))]
    script = await followed(tmp_path, answers, lambda seen, _: seen.objects == {"b": "80"})
    assert script.asked[:2] == ["list", "list"]


async def test_a_kind_that_is_not_there_yet_is_an_empty_one_until_it_comes(tmp_path: Path) -> None:
    answers = [status(404, "NotFound"), status(404, "NotFound"), listing(7, thing("a", 7))]
    script = await followed(tmp_path, answers, lambda seen, _: seen.lists == 3 and seen.objects == {"a": "7"})
    assert script.asked[:3] == ["list"] * 3


async def test_a_server_in_trouble_empties_nothing(tmp_path: Path) -> None:
    answers = [listing(5, thing("a", 3)), status(500), status(503), listing(6, thing("a", 3), thing("b", 6))]
    lists: list[dict[str, str]] = []

    def until(seen: Seen, _: Script) -> bool:
        lists.append(dict(seen.objects))
        return "b" in seen.objects

    await followed(tmp_path, answers, until)
    assert {} not in lists[1:]


async def test_a_line_of_any_length_is_read(tmp_path: Path) -> None:
    long = thing("long", 6)
    long["data"] = "x" * 3_000_000
    await followed(tmp_path, [listing(5), events(("ADDED", long))], lambda seen, _: seen.objects == {"long": "6"})


class Things(list[Object]):
    """A list that tells whether it is still there."""


class OnceListed:
    """A client whose list is known by `listed`, and whose watch says nothing."""

    def __init__(self) -> None:
        self.listed: weakref.ref[Things] | None = None
        self.watched = asyncio.Event()

    async def list_all(self, kind: Kind) -> tuple[list[Object], str]:
        things = Things([thing("a", 3)])
        self.listed = weakref.ref(things)
        return things, "5"

    async def watch(self, kind: Kind, version: str) -> AsyncIterator[Any]:
        self.watched.set()
        await asyncio.Event().wait()
        yield None


async def test_a_list_does_not_live_as_long_as_the_watch_after_it() -> None:
    client = OnceListed()
    task = asyncio.create_task(Follower(client, SERVICES, Seen()).run())  # type: ignore[arg-type]
    try:
        await client.watched.wait()
        assert client.listed is not None
        assert client.listed() is None
    finally:
        task.cancel()
        await asyncio.wait({task})


async def test_a_connection_has_small_buffers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sslproto.SSLProtocol, "max_size", 256 * 1024)
    async with client_of(Script([]), tmp_path):
        assert sslproto.SSLProtocol.max_size <= 32 * 1024


async def test_what_is_seen_before_anyone_is_there_is_kept_in_its_order() -> None:
    gate, seen = Gate(), Seen()
    gate.replace(SERVICES, [thing("a", 1)])
    gate.apply(SERVICES, "ADDED", thing("b", 2))
    gate.open(seen)
    assert seen.objects == {"a": "1", "b": "2"}
    gate.apply(SERVICES, "DELETED", thing("a", 3))
    assert seen.objects == {"b": "2"}


async def test_a_refusal_says_what_the_server_said_and_no_answer_is_no_refusal(tmp_path: Path) -> None:
    script = Script([status(403, "Forbidden"), web.Response(body=b"<html>")])
    async with client_of(script, tmp_path) as api:
        with pytest.raises(ApiError, match="says Forbidden") as refusal:
            await api.list_all(SERVICES)
        assert (refusal.value.status, refusal.value.reason) == (403, "Forbidden")
        with pytest.raises(Unreachable):
            await api.list_all(SERVICES)
        (tmp_path / "token").unlink()
        fresh = KubeClient("http://127.0.0.1:1", tmp_path / "token", tmp_path / "ca")
        async with fresh:
            with pytest.raises(Unreachable, match="token"):
                await fresh.list_all(SERVICES)
