"""Commands and logs over the wire, as kubectl and the Python clients speak it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
import pytest

from mesh_lab.kube.resources import PODS
from tests.unit.kube.api.conftest import LIMIT_S, Server

BASE = "/api/v1/namespaces/default/pods/p"


@pytest.fixture
async def pod(server: Server) -> None:
    await server.registry.create(
        PODS,
        {"metadata": {"name": "p"}, "spec": {"nodeName": "n", "containers": [{"name": "c", "image": "x"}]}},
        namespace="default",
    )


@dataclass
class Conversation:
    """What came back on the channels."""

    socket: aiohttp.ClientWebSocketResponse
    streams: dict[int, bytes] = field(default_factory=dict)

    async def until_end(self) -> dict[str, object]:
        """Read to the end; the outcome."""
        async with asyncio.timeout(LIMIT_S):
            async for message in self.socket:
                assert message.type is aiohttp.WSMsgType.BINARY
                channel = message.data[0]
                self.streams[channel] = self.streams.get(channel, b"") + message.data[1:]
        outcome: dict[str, object] = json.loads(self.streams[3])
        return outcome

    async def until(self, text: bytes) -> None:
        """Read until stdout holds the text."""
        async with asyncio.timeout(LIMIT_S):
            while text not in self.streams.get(1, b""):
                message = await self.socket.receive()
                assert message.type is aiohttp.WSMsgType.BINARY, message
                channel = message.data[0]
                self.streams[channel] = self.streams.get(channel, b"") + message.data[1:]


@asynccontextmanager
async def executing(
    server: Server, *command: str, query: str = "stdout=true&stderr=true", protocol: str = "v5.channel.k8s.io"
) -> AsyncIterator[Conversation]:
    arguments = "&".join(f"command={word}" for word in command)
    url = f"{server.url}{BASE}/exec?{arguments}&{query}"
    async with server.client.ws_connect(url, protocols=(protocol,) if protocol else ()) as socket:
        assert socket.protocol == (protocol or None)
        yield Conversation(socket)


@pytest.mark.parametrize("protocol", ["v5.channel.k8s.io", "v4.channel.k8s.io", ""])
async def test_a_commands_streams_arrive_apart(server: Server, pod: None, protocol: str) -> None:
    async with executing(server, "sh", "-c", "echo out; echo err >%262", protocol=protocol) as conversation:
        assert await conversation.until_end() == {"metadata": {}, "status": "Success"}
    assert (conversation.streams[1], conversation.streams[2]) == (b"out\n", b"err\n")


async def test_an_exit_code_arrives_as_kubectl_reads_it(server: Server, pod: None) -> None:
    async with executing(server, "sh", "-c", "exit 7") as conversation:
        outcome = await conversation.until_end()
    assert (outcome["status"], outcome["reason"]) == ("Failure", "NonZeroExitCode")
    assert outcome["details"] == {"causes": [{"reason": "ExitCode", "message": "7"}]}


async def test_input_reaches_the_command_and_its_end_too(server: Server, pod: None) -> None:
    async with executing(server, "cat", query="stdin=true&stdout=true") as conversation:
        await conversation.socket.send_bytes(b"\x00hello ")
        await conversation.until(b"hello")
        await conversation.socket.send_bytes(b"\x00again")
        await conversation.socket.send_bytes(b"\xff\x00")
        await conversation.until_end()
    assert conversation.streams[1] == b"hello again"


async def test_a_megabyte_is_echoed_unchanged(server: Server, pod: None) -> None:
    data = bytes(range(256)) * 4096
    async with executing(server, "cat", query="stdin=true&stdout=true") as conversation:

        async def send() -> None:
            for start in range(0, len(data), 32768):
                await conversation.socket.send_bytes(b"\x00" + data[start : start + 32768])
            await conversation.socket.send_bytes(b"\xff\x00")

        async with asyncio.TaskGroup() as group:
            group.create_task(send())
            group.create_task(conversation.until_end())
    assert conversation.streams[1] == data


async def test_a_terminal_is_one_stream_and_can_be_resized(server: Server, pod: None) -> None:
    script = "read line; stty size; echo got $line"
    async with executing(server, "sh", "-c", script, query="stdin=true&stdout=true&tty=true") as conversation:
        await conversation.socket.send_bytes(b"\x04" + json.dumps({"Width": 132, "Height": 43}).encode())
        await conversation.socket.send_bytes(b"\x00word\n")
        await conversation.until_end()
    assert b"43 132" in conversation.streams[1]
    assert b"got word" in conversation.streams[1]
    assert 2 not in conversation.streams


@pytest.mark.parametrize("size", [b"", b"nonsense", b"{}", b"[]", b'{"Width": "x"}'])
async def test_an_invalid_terminal_size_is_ignored(server: Server, pod: None, size: bytes) -> None:
    async with executing(server, "cat", query="stdin=true&stdout=true") as conversation:
        await conversation.socket.send_bytes(b"\x04" + size)
        await conversation.socket.send_bytes(b"\x00ok")
        await conversation.socket.send_bytes(b"\xff\x00")
        assert (await conversation.until_end())["status"] == "Success"
    assert conversation.streams[1] == b"ok"


async def test_a_command_ends_when_its_client_leaves(server: Server, pod: None) -> None:
    async with executing(server, "sh", "-c", "echo up; sleep 60") as conversation:
        await conversation.until(b"up")
    (session,) = server.node.sessions
    async with asyncio.timeout(LIMIT_S):
        assert await session.wait() == 128 + 9


async def test_a_command_that_cannot_be_started_is_an_error_on_the_error_channel(server: Server, pod: None) -> None:
    async with executing(server, "no-such-program") as conversation:
        outcome = await conversation.until_end()
    assert outcome["status"] == "Failure"
    assert "no-such-program" in str(outcome["message"])


async def test_exec_without_a_command_or_a_websocket_is_refused(server: Server, pod: None) -> None:
    await server.json("GET", f"{BASE}/exec", code=400)
    answer = await server.json("POST", f"{BASE}/exec?command=id", code=400)
    assert "WebSocket" in answer["message"]
    assert server.node.sessions == []
    await server.json("GET", f"{BASE}x/exec?command=id", code=404)


@pytest.fixture
async def injected(server: Server) -> None:
    containers = [{"name": name, "image": "x"} for name in ("app", "istio-proxy")]
    init = [{"name": "istio-init", "image": "x"}]
    metadata = {"name": "i", "annotations": {"kubectl.kubernetes.io/default-container": "app"}}
    for name, node in (("i", {"nodeName": "n"}), ("waits", {})):
        spec = {"containers": containers, "initContainers": init, **node}
        await server.registry.create(PODS, {"metadata": {**metadata, "name": name}, "spec": spec}, namespace="default")


@pytest.mark.parametrize("way", ["exec?command=id", "attach?stdout=true", "log?"])
async def test_the_container_is_checked_before_the_connection_is_taken_over(
    server: Server, injected: None, way: str
) -> None:
    # Servers do not look at the annotation kubectl.kubernetes.io/default-container: kubectl does.
    choice = "choose one of: [app istio-proxy] or one of the init containers: [istio-init]"
    for query, code, words in (
        ("", 400, f"a container name must be specified for pod i, {choice}"),
        ("&container=nope", 400, "container nope is not valid for pod i"),
    ):
        url = f"{server.url}/api/v1/namespaces/default/pods/i/{way}{query}"
        answer = await server.json("GET", url.removeprefix(server.url), code=code)
        assert answer["message"] == words
        if way.startswith("log"):
            continue
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await server.client.ws_connect(url, protocols=("v4.channel.k8s.io",))
        assert refused.value.status == code
    assert server.node.sessions == []


@pytest.mark.parametrize("way", ["exec?command=id", "attach?stdout=true", "portforward?ports=80"])
async def test_a_pod_without_a_node_has_no_streams_and_an_empty_log(server: Server, injected: None, way: str) -> None:
    container = "" if way.startswith("port") else "&container=app"
    pod = "/api/v1/namespaces/default/pods/waits"
    answer = await server.json("GET", f"{pod}/{way}{container}", code=400)
    assert answer["message"] == "pod waits does not have a host assigned"
    async with server.client.get(f"{server.url}{pod}/log?container=app") as response:
        assert (response.status, await response.text()) == (200, "")


@pytest.mark.parametrize(
    ("way", "container"), [("exec?command=id", "c"), ("attach?", "c"), ("portforward?ports=80", "")]
)
async def test_a_container_that_does_not_run_is_a_status_and_not_an_empty_stream(
    server: Server, pod: None, way: str, container: str
) -> None:
    server.node.stopped.add(("p", container))
    url = f"{server.url}{BASE}/{way}"
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await server.client.ws_connect(url, protocols=("v4.channel.k8s.io",))
    assert refused.value.status == 500
    answer = await server.json("POST", f"{BASE}/{way}", code=500)  # kubectl tries again with SPDY
    assert f'not found ("{container}"' in answer["message"]


async def test_logs_follow_until_the_client_leaves(server: Server, pod: None) -> None:
    lines = server.node.lines["default", "p"] = ["one"]
    async with server.client.get(f"{server.url}{BASE}/log?follow=true") as response:
        assert await response.content.readline() == b"one\n"
        lines.append("two")
        server.node.grown.set()
        assert await response.content.readline() == b"two\n"


async def test_the_options_of_logs_reach_the_node(server: Server, pod: None) -> None:
    query = "container=c&previous=true&timestamps=1&tailLines=5&limitBytes=100&sinceTime=2026-01-02T03:04:05Z"
    async with server.client.get(f"{server.url}{BASE}/log?{query}") as response:
        assert response.status == 200
    (asked,) = server.node.asked
    assert (asked.container, asked.previous, asked.timestamps, asked.follow) == ("c", True, True, False)
    assert (asked.tail_lines, asked.limit_bytes) == (5, 100)
    assert asked.since_time is not None
    assert asked.since_time.isoformat() == "2026-01-02T03:04:05+00:00"


@pytest.mark.parametrize(
    "query", ["tailLines=-1", "tailLines=x", "sinceTime=yesterday", "sinceTime=2026-01-02T03:04:05Z&sinceSeconds=1"]
)
async def test_invalid_options_are_refused(server: Server, pod: None, query: str) -> None:
    await server.json("GET", f"{BASE}/log?{query}", code=400)


async def test_logs_of_a_missing_pod_are_a_404(server: Server) -> None:
    answer = await server.json("GET", f"{BASE}/log", code=404)
    assert answer["kind"] == "Status"


async def test_attach_joins_a_container_and_leaves_it(server: Server, pod: None) -> None:
    node = server.node
    script = "read line; echo got $line; echo bad >&2; read more"
    node.running = running = await node.exec("default", "p", "c", ["sh", "-c", script], stdin=True, tty=False)
    url = f"{server.url}{BASE}/attach?stdin=true&stdout=true&stderr=true"
    async with server.client.ws_connect(url, protocols=("v5.channel.k8s.io",)) as socket:
        conversation = Conversation(socket)
        await socket.send_bytes(b"\0hello\n")
        await conversation.until(b"got hello")
    # It was killed when the client left.
    assert await asyncio.wait_for(running.wait(), LIMIT_S) != 0


async def test_attach_to_a_container_that_does_not_run_is_an_error(server: Server, pod: None) -> None:
    refused = await server.kubectl("attach", "p", code=1)
    assert "is not running" in refused.err


async def test_kubectl_run_talks_to_the_container(server: Server, pod: None) -> None:
    node = server.node
    node.running = await node.exec("default", "p", "c", ["sh", "-c", "cat; echo end"], stdin=True, tty=False)
    reported = await server.kubectl("attach", "-i", "p", stdin="one\ntwo\n")
    assert reported.out == "one\ntwo\nend\n"
