"""Commands over SPDY, as Go's SPDY executor and older kubectls speak it."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from urllib.parse import urlsplit

import pytest

from mesh_lab.kube.api.streaming import spdy, spdychannels
from mesh_lab.kube.resources import PODS
from tests.unit.kube.api.conftest import LIMIT_S, Server

PATH = "/api/v1/namespaces/default/pods/p/exec"


@pytest.fixture
async def pod(server: Server) -> None:
    await server.registry.create(
        PODS,
        {"metadata": {"name": "p"}, "spec": {"nodeName": "n", "containers": [{"name": "c", "image": "x"}]}},
        namespace="default",
    )


class Conversation:
    """A client's end: opens its streams, and gathers what comes on each."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._encoder, self._decoder = spdy.Encoder(), spdy.Decoder()
        self.received: dict[str, bytes] = {}
        self._names: dict[int, str] = {}

    def open(self, *names: str) -> None:
        for number, name in enumerate(names):
            stream = 2 * number + 1
            self._names[stream] = name
            self._writer.write(self._encoder.opened(stream, {"streamtype": name}))

    def send(self, name: str, data: bytes) -> None:
        stream = next(each for each, known in self._names.items() if known == name)
        self._writer.write(self._encoder.data(stream, data, ended=True))

    async def close(self) -> None:
        self._writer.close()
        with suppress(OSError):
            await self._writer.wait_closed()

    async def until_end(self) -> dict[str, object]:
        ended: set[str] = set()
        async with asyncio.timeout(LIMIT_S):
            while len(ended) < len(self._names):
                data = await self._reader.read(65536)
                assert data, self.received
                for frame in self._decoder.feed(data):
                    if isinstance(frame, spdy.Data):
                        name = self._names[frame.stream]
                        self.received[name] = self.received.get(name, b"") + frame.data
                        ended |= {name} if frame.ended else set()
        await self.close()
        outcome: dict[str, object] = json.loads(self.received["error"])
        return outcome


async def executing(server: Server, query: str, protocol: str = "v4.channel.k8s.io") -> tuple[str, Conversation]:
    """Ask for the upgrade: the answer's head, and what follows."""
    url = urlsplit(server.url)
    reader, writer = await asyncio.open_connection(url.hostname, url.port, ssl=server.trust)
    fields = {"Host": f"{url.hostname}:{url.port}", "Content-Length": "0"}
    fields |= {"Connection": "Upgrade", "Upgrade": "SPDY/3.1", "X-Stream-Protocol-Version": protocol}
    lines = [f"POST {PATH}?{query} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
    writer.write("".join(f"{line}\r\n" for line in [*lines, ""]).encode())
    async with asyncio.timeout(LIMIT_S):
        head = await reader.readuntil(b"\r\n\r\n")
    return head.decode(), Conversation(reader, writer)


async def test_a_commands_streams_arrive_apart(server: Server, pod: None) -> None:
    query = "command=sh&command=-c&command=echo+out%3B+echo+err+%3E%262%3B+exit+7&stdout=true&stderr=true"
    head, conversation = await executing(server, query)
    assert head.startswith("HTTP/1.1 101")
    assert "v4.channel.k8s.io" in head
    conversation.open("error", "stdout", "stderr")
    outcome = await conversation.until_end()
    assert (outcome["status"], outcome["reason"]) == ("Failure", "NonZeroExitCode")
    assert (conversation.received["stdout"], conversation.received["stderr"]) == (b"out\n", b"err\n")


async def test_input_reaches_the_command_and_its_end_too(server: Server, pod: None) -> None:
    _, conversation = await executing(server, "command=cat&stdin=true&stdout=true")
    conversation.open("error", "stdin", "stdout")
    conversation.send("stdin", b"hello")
    assert (await conversation.until_end())["status"] == "Success"
    assert conversation.received["stdout"] == b"hello"


async def test_another_version_of_the_protocol_is_refused(server: Server, pod: None) -> None:
    head, conversation = await executing(server, "command=id&stdout=true", "channel.k8s.io")
    await conversation.close()
    assert head.startswith("HTTP/1.1 400")


async def test_a_client_waits_while_what_it_sent_is_not_taken() -> None:
    class Connection:
        reading = True

        def pause_reading(self) -> None:
            self.reading = False

        def resume_reading(self) -> None:
            self.reading = True

    connection = Connection()
    source = spdychannels.Source(connection)
    fed = 0
    while connection.reading:
        assert fed < 1000, "nothing makes the client wait"
        source.feed_data(b"x")
        fed += 1
    assert await source.next() == b"x"
    assert connection.reading
