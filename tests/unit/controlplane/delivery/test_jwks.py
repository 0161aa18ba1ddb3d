"""Keys of tokens: what is fetched, how often, and what a server that is down, slow or wrong does to the others."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from aiohttp import web

from mesh_lab.controlplane.delivery import jwks
from mesh_lab.controlplane.delivery.jwks import KeyFetcher, KeysUnavailableError, fetch
from mesh_lab.controlplane.delivery.state import ClusterState
from mesh_lab.controlplane.kube.kinds import FOLLOWED
from mesh_lab.controlplane.trust.serving import serve_http
from mesh_lab.controlplane.world.snapshot import Keys, KeySource
from tests.unit.controlplane.cluster import config

KEYS = '{"keys": [{"kty": "RSA", "n": "AQAB", "e": "AQAB"}]}'
ONE, OTHER = KeySource("one", "http://one/jwks"), KeySource("other", "http://other/jwks")


def apply(state: ClusterState, *rules: dict[str, Any], event: str = "ADDED") -> None:
    """Store a policy with these rules, or delete it."""
    state.apply(
        FOLLOWED["RequestAuthentication"], event, config("RequestAuthentication", "a", {"jwtRules": list(rules)})
    )
    state.snapshot()


def rule(source: KeySource, **more: Any) -> dict[str, Any]:
    return {"issuer": source.issuer, "jwksUri": source.uri, **more}


class Servers:
    """Answers by URI; what is not there is down."""

    def __init__(self, **answers: str) -> None:
        self.answers = answers
        self.asked: list[tuple[str, float]] = []

    async def get(self, uri: str, limit: float) -> bytes:
        self.asked.append((uri, limit))
        answer = self.answers.get(uri.split("/")[2])
        if answer is None:
            raise KeysUnavailableError(f"{uri} is down")
        if answer == "hangs":
            await asyncio.Event().wait()
        return answer.encode()


def during(state: ClusterState, servers: Servers, test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a test beside the fetcher."""

    async def both() -> None:
        fetching = asyncio.create_task(KeyFetcher(state, servers.get).run())
        try:
            async with asyncio.timeout(20):
                await test()
        finally:
            fetching.cancel()

    asyncio.run(both())


async def until(state: ClusterState, holds: Callable[[], bool]) -> None:
    """Wait until a condition on the keys holds, taking a snapshot on each change."""
    while not holds():
        count = state.changed.count
        state.snapshot()
        if state.changed.count == count and not holds():
            await state.changed.wait()


def test_keys_are_fetched_and_those_that_no_rule_names_are_forgotten() -> None:
    state, servers = ClusterState(), Servers(one=KEYS, other=KEYS)
    apply(state, rule(ONE), rule(OTHER, timeout="2s"), {"issuer": "inline", "jwks": KEYS})

    async def test() -> None:
        await until(state, lambda: len(state.latest.keys) == 2)
        assert dict(state.latest.keys) == {ONE: Keys(KEYS), OTHER: Keys(KEYS)}
        assert sorted(servers.asked) == [(ONE.uri, jwks.DEFAULT_LIMIT), (OTHER.uri, 2.0)]
        apply(state, rule(ONE), event="MODIFIED")
        await until(state, lambda: len(state.latest.keys) == 1)
        apply(state, event="DELETED")
        await until(state, lambda: not state.latest.keys)

    during(state, servers, test)


def test_a_server_that_hangs_or_lies_keeps_no_other_from_being_asked() -> None:
    state, servers = ClusterState(), Servers(one="hangs", other=KEYS, third="<html>")
    third = KeySource("third", "http://third/jwks")
    apply(state, rule(ONE), rule(OTHER), rule(third))

    async def test() -> None:
        await until(state, lambda: {OTHER, third} <= state.latest.keys.keys())
        assert state.latest.keys[OTHER] == Keys(KEYS)
        assert state.latest.keys[third].text == ""
        assert "are no keys" in state.latest.keys[third].problem
        assert ONE not in state.latest.keys

    during(state, servers, test)


def test_a_server_that_is_down_is_asked_again_and_keys_stay_while_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jwks, "FIRST_RETRY", 0.01)
    monkeypatch.setattr(jwks, "REFRESH", 0.05)
    state, servers = ClusterState(), Servers()
    apply(state, rule(ONE))

    async def test() -> None:
        await until(state, lambda: state.latest.keys.get(ONE) == Keys("", f"{ONE.uri} is down"))
        servers.answers["one"] = KEYS
        await until(state, lambda: state.latest.keys.get(ONE) == Keys(KEYS))
        del servers.answers["one"]
        await until(state, lambda: state.latest.keys.get(ONE) == Keys(KEYS, f"{ONE.uri} is down"))

    during(state, servers, test)


def test_an_issuer_without_a_uri_says_itself_where_its_keys_are() -> None:
    found = {
        "https://issuer/.well-known/openid-configuration": b'{"jwks_uri": "https://issuer/keys"}',
        "https://issuer/keys": KEYS.encode(),
        "https://bad/.well-known/openid-configuration": b"{}",
    }

    async def get(uri: str, _: float) -> bytes:
        return found[uri]

    assert asyncio.run(fetch(KeySource("https://issuer/", ""), 1, get)) == KEYS
    with pytest.raises(KeysUnavailableError, match="names no jwks_uri"):
        asyncio.run(fetch(KeySource("https://bad", ""), 1, get))
    with pytest.raises(KeysUnavailableError, match="give the rule a jwksUri"):
        asyncio.run(fetch(KeySource("me@example.com", ""), 1, jwks._get))


def test_a_server_has_the_time_and_the_size_that_it_is_given() -> None:
    async def answer(request: web.Request) -> web.Response:
        if request.path == "/slow":
            await asyncio.Event().wait()
        if request.path == "/large":
            return web.Response(body=b" " * (jwks.LARGEST + 1))
        return web.Response(text=KEYS, status=200 if request.path == "/good" else 404)

    async def test() -> None:
        app = web.Application()
        app.router.add_get("/{path}", answer)
        server = await serve_http(app, "127.0.0.1", 0)
        place = f"http://127.0.0.1:{server.addresses[0][1]}"
        try:
            assert await jwks._get(f"{place}/good", 5) == KEYS.encode()
            for path, limit, words in (("slow", 0.2, "within 0.2 s"), ("large", 5, "more than"), ("no", 5, "404")):
                started = time.monotonic()
                with pytest.raises(KeysUnavailableError, match=words):
                    await jwks._get(f"{place}/{path}", limit)
                assert time.monotonic() - started < 5
        finally:
            await server.cleanup()
        with pytest.raises(KeysUnavailableError, match="cannot be fetched"):
            await jwks._get(place, 5)

    asyncio.run(test())
