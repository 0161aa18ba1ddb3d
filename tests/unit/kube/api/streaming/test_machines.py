"""`/mesh-lab/machines`: events by line, the caller's rights, and what a caller that leaves takes along."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from tests.unit.kube.api.conftest import Server

PATH = "/mesh-lab/machines"


def order(*command: str, **more: Any) -> dict[str, Any]:
    return {"image": "python", "command": list(command), **more}


async def events(server: Server, path: str, body: dict[str, Any]) -> list[dict[str, Any]]:
    async with server.client.post(server.url + path, json=body) as response:
        assert response.status == 200, await response.text()
        return [json.loads(line) async for line in response.content]


async def test_a_machines_output_comes_as_events(server: Server) -> None:
    script = "printf 'gr\\303\\274n'; echo no >&2; exit 4"
    found = await events(server, f"{PATH}/default/web", order("sh", "-c", script, files={"/etc/x": "y"}))
    assert found[0] == {"address": "172.31.0.2"}
    assert {"out": "grün"} in found
    assert {"err": "no\n"} in found
    assert found[-1] == {"exit": 4}
    assert server.node.machines.orders[0].files == {"/etc/x": "y"}


async def test_machines_are_listed_and_run_commands(server: Server) -> None:
    async with server.client.post(f"{server.url}{PATH}/default/web", json=order("sleep", "1000")) as response:
        assert json.loads(await response.content.readline()) == {"address": "172.31.0.2"}
        listed = await server.json("GET", PATH)
        assert listed == {"items": [{"namespace": "default", "name": "web", "address": "172.31.0.2"}]}
        found = await events(server, f"{PATH}/default/web/exec", {"command": ["echo", "hello"]})
        assert found == [{"out": "hello\n"}, {"exit": 0}]


async def test_a_caller_that_leaves_ends_its_machine(server: Server) -> None:
    async with server.client.post(f"{server.url}{PATH}/default/web", json=order("sleep", "1000")) as response:
        await response.content.readline()
        machine = server.node.machines.started["default", "web"]
        response.close()
    async with asyncio.timeout(10):
        assert await machine.wait() == 128 + 9


@pytest.mark.parametrize(
    ("path", "body", "code", "words"),
    [
        ("default/web", {"command": ["true"]}, 400, "missing required field `image`"),
        ("default/web", {**order("true"), "adress": "1"}, 400, "adress"),
        ("nowhere/web", order("true"), 404, 'namespaces "nowhere" not found'),
        ("default/web/exec", {"command": ["true"]}, 404, 'machines "web" not found'),
        ("default/web/exec", {"command": []}, 400, "there has to be a program"),
    ],
)
async def test_what_makes_no_sense_is_refused(
    server: Server, path: str, body: dict[str, Any], code: int, words: str
) -> None:
    answer = await server.json("POST", f"{PATH}/{path}", body, code=code)
    assert words in answer["message"]


@pytest.mark.parametrize(("method", "path"), [("GET", ""), ("POST", "/default/web"), ("POST", "/default/web/exec")])
async def test_only_administrators_have_machines(server: Server, method: str, path: str) -> None:
    someone = {"Impersonate-User": "system:serviceaccount:default:default"}
    answer = await server.json(method, PATH + path, order("true"), code=403, headers=someone)
    assert "only administrators have machines" in answer["message"]
    assert server.node.machines.orders == []
