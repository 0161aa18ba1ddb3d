"""The echo server's report and its misbehaviours."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh_lab.apps.echo.handler import Echo
from mesh_lab.apps.echo.identity import client_identity, parse_xfcc
from mesh_lab.apps.echo.instructions import BadInstruction, parse
from mesh_lab.apps.echo.state import Attempts
from mesh_lab.apps.http.answers import ApiError
from mesh_lab.apps.http.client import fetch
from mesh_lab.apps.http.messages import Headers, Request

from .conftest import Start

XFCC = (
    'By=spiffe://cluster.local/ns/default/sa/echo;Hash=ab12;Subject="CN=a,O=\\"b; c\\"";'
    "URI=spiffe://cluster.local/ns/default/sa/client"
)


async def ask(url: str, **headers: str) -> tuple[int, dict[str, Any]]:
    answer = await fetch(url, headers={name.replace("_", "-"): value for name, value in headers.items()})
    return answer.status, json.loads(answer.body)


async def test_it_reports_what_it_received(start: Start) -> None:
    _, url = await start(Echo("v2", "shop"))
    answer = await fetch(f"{url}/a/b?x=1", method="PUT", headers={"X-Colour": "red"}, body=b"12345")
    seen = json.loads(answer.body)
    assert answer.headers.get("x-echo-version") == "v2"
    assert (seen["service"], seen["version"], seen["method"], seen["path"]) == ("shop", "v2", "PUT", "/a/b")
    assert (seen["query"], seen["headers"]["x-colour"], seen["body_length"]) == ({"x": "1"}, "red", 5)
    assert seen["client"] == {"address": "127.0.0.1", "identity": None, "xfcc": []}


async def test_it_reports_the_clients_identity(start: Start) -> None:
    _, url = await start(Echo())
    _, seen = await ask(url, x_forwarded_client_cert=XFCC)
    assert seen["client"]["identity"] == "spiffe://cluster.local/ns/default/sa/client"


async def test_it_fails_the_first_attempts_of_each_request_id(start: Start) -> None:
    _, url = await start(Echo())
    first = [(await ask(f"{url}/?fail=2&code=502", x_request_id="one"))[0] for _ in range(4)]
    other = [(await ask(f"{url}/?fail=1&id=two"))[0] for _ in range(2)]
    assert (first, other) == ([502, 502, 200, 200], [503, 200])
    assert (await ask(f"{url}/counts?id=one"))[1] == {"id": "one", "attempts": 4}
    assert (await ask(f"{url}/counts"))[1] == {"total": 6, "attempts": {"one": 4, "two": 2}}
    await ask(f"{url}/reset")
    assert (await ask(f"{url}/counts"))[1] == {"total": 0, "attempts": {}}


async def test_instructions_may_come_as_headers(start: Start) -> None:
    _, url = await start(Echo())
    assert (await ask(url, x_echo_status="418"))[0] == 418


async def test_it_can_be_broken_and_healed_from_outside(start: Start) -> None:
    _, url = await start(Echo())
    await ask(f"{url}/behave?status=500")
    assert [(await ask(url))[0], (await ask(f"{url}/?status=200"))[0]] == [500, 500]
    assert (await ask(f"{url}/health"))[0] == 200
    await ask(f"{url}/behave")
    assert (await ask(url))[0] == 200


async def test_a_mix_of_codes_holds_its_certain_ends(start: Start) -> None:
    _, url = await start(Echo())
    assert {(await ask(f"{url}/status/200:0,503:1"))[0] for _ in range(20)} == {503}


async def test_requests_are_held_until_their_group_is_released(start: Start) -> None:
    echo = Echo()
    _, url = await start(echo)
    held = [asyncio.ensure_future(ask(f"{url}/hold?group=a")) for _ in range(3)]
    async with asyncio.timeout(5):
        while echo.gate.holding("a") < 3:  # noqa: ASYNC110 - the gate has no event for this, and needs none
            await asyncio.sleep(0.001)
    assert (await ask(f"{url}/holding"))[1] == {"holding": 3}
    assert (await ask(f"{url}/release?group=b"))[1] == {"released": 0}
    assert (await ask(f"{url}/release?group=a"))[1] == {"released": 3}
    assert [(await request)[0] for request in held] == [200, 200, 200]
    assert echo.gate.holding() == 0


async def test_holding_has_a_time_limit(start: Start) -> None:
    _, url = await start(Echo())
    assert (await ask(f"{url}/hold?limit=0.01"))[0] == 504


async def test_it_cuts_the_connection_when_told_to(start: Start) -> None:
    _, url = await start(Echo())
    with pytest.raises(ApiError) as raised:
        await fetch(f"{url}/?close")
    assert raised.value.kind == "reset"


@pytest.mark.parametrize("size", [0, 1, 65_536, 1_000_001])
async def test_it_sends_bodies_of_the_size_asked_for(start: Start, size: int) -> None:
    _, url = await start(Echo())
    assert len((await fetch(f"{url}/?size={size}")).body) == size


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("fail=x", "fail: 'x' is not a number"),
        ("code=99", "code: 99 is not between 200 and 599"),
        ("delay=1000", "delay: 1000 is not between 0 and 300"),
        ("status=200:0", "status: the weights of '200:0' add up to 0"),
        ("size=nan", "size: nan is not between"),
    ],
)
async def test_an_impossible_instruction_is_refused_by_name(start: Start, query: str, message: str) -> None:
    _, url = await start(Echo())
    answer = await fetch(f"{url}/?{query}")
    assert answer.status == 400
    assert message in answer.body.decode()


@given(st.text(alphabet="0123456789:,.-aefin", max_size=20))
def test_any_mix_is_a_status_or_a_refusal(mix: str) -> None:
    request = Request("GET", f"/status/{mix}", Headers())
    try:
        status = parse(request).status
    except BadInstruction as error:
        refusal = str(error)
    else:
        refusal = ""
        assert 200 <= status <= 599
    assert refusal == "" or refusal.startswith("status: ")


def test_attempts_forget_the_least_recently_seen() -> None:
    attempts = Attempts(limit=2)
    for request_id in ("a", "b", "a", "c"):
        attempts.count(request_id)
    assert attempts.all() == {"a": 2, "c": 1}


def test_xfcc_elements_are_told_apart() -> None:
    first, second = parse_xfcc(f"{XFCC},URI=spiffe://x/y")
    assert first["Subject"] == 'CN=a,O="b; c"'
    assert second == {"URI": "spiffe://x/y"}
    assert client_identity("") is None


@given(st.text(max_size=60))
def test_any_text_is_parsed_as_xfcc_without_an_error(text: str) -> None:
    assert isinstance(parse_xfcc(text), list)
