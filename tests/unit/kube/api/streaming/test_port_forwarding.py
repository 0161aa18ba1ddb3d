"""Connections into a pod: SPDY's frames, kubectl's port-forward, and the older channels."""

from __future__ import annotations

import asyncio
import struct
import zlib
from collections.abc import AsyncIterator

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh_lab.kube.api.streaming import spdy
from mesh_lab.kube.api.streaming.port_forwarding import SPDY_PROTOCOL
from mesh_lab.kube.resources import PODS
from tests.unit.kube.api.conftest import LIMIT_S, Server

PATH = "/api/v1/namespaces/default/pods/p/portforward"


@pytest.fixture
async def shouting(server: Server) -> AsyncIterator[int]:
    """A pod whose port answers in capitals and ends when its client does; the port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data.upper())
            await writer.drain()
        writer.write(b"END")
        writer.close()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    await server.registry.create(
        PODS,
        {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "x"}], "nodeName": "lab"}},
        namespace="default",
    )
    await server.registry.modify(
        PODS, "p", "default", lambda obj: {**obj, "status": {"phase": "Running"}}, subresource="status"
    )
    async with listener:
        yield listener.sockets[0].getsockname()[1]


def test_the_dictionary_is_the_one_of_the_protocol() -> None:
    assert (len(spdy.DICTIONARY), zlib.adler32(spdy.DICTIONARY)) == (1423, 0xE3C6A7C2)


words = st.text(alphabet=st.characters(min_codepoint=33, max_codepoint=126), max_size=10)
steps = st.one_of(
    st.tuples(st.just("open"), st.integers(1, 2**31 - 1), st.dictionaries(words, words, max_size=4), st.booleans()),
    st.tuples(st.just("data"), st.integers(1, 2**31 - 1), st.binary(max_size=50), st.booleans()),
    st.tuples(st.just("reset"), st.integers(1, 2**31 - 1)),
    st.tuples(st.just("ping"), st.integers(0, 2**32 - 1)),
)


@given(st.lists(steps, max_size=8), st.integers(1, 20))
def test_frames_are_decoded_however_the_bytes_are_split(sent: list[tuple[object, ...]], size: int) -> None:
    encoder, decoder = spdy.Encoder(), spdy.Decoder()
    wire, expected = b"", []
    for step in sent:
        match step:
            case ("open", int(stream), dict(headers), bool(ended)):
                wire += encoder.opened(stream, headers, ended=ended)
                expected.append(spdy.Opened(stream, headers, ended))
            case ("data", int(stream), bytes(data), bool(ended)):
                wire += encoder.data(stream, data, ended=ended)
                expected.append(spdy.Data(stream, data, ended))
            case ("reset", int(stream)):
                wire += encoder.reset(stream)
                expected.append(spdy.Reset(stream))
            case ("ping", int(number)):
                wire += encoder.ping(number)
                expected.append(spdy.Ping(number))
    got = [frame for at in range(0, len(wire), size) for frame in decoder.feed(wire[at : at + size])]
    assert got == expected


@given(st.binary(max_size=60))
def test_random_bytes_are_ignored_or_refused(noise: bytes) -> None:
    try:
        list(spdy.Decoder().feed(noise))
    except spdy.SpdyError as error:
        assert str(error)  # noqa: PT017  (either outcome is right; any other exception fails the test)


async def test_kubectl_forwards_connections(server: Server, shouting: int) -> None:
    process = await server.start_kubectl("port-forward", "pod/p", f":{shouting}", "--address=127.0.0.1")
    assert process.stdout is not None
    try:
        async with asyncio.timeout(LIMIT_S):
            line = (await process.stdout.readline()).decode()
            port = int(line.split("127.0.0.1:")[1].split()[0])
            for size in (5, 300_000):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                data = b"x" * size
                writer.write(data)
                writer.write_eof()
                assert await reader.read(-1) == data.upper() + b"END"
                writer.close()
    finally:
        process.kill()
        await process.communicate()


async def test_kubectl_reports_a_closed_port(server: Server, shouting: int) -> None:
    process = await server.start_kubectl("port-forward", "pod/p", ":1", "--address=127.0.0.1")
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        async with asyncio.timeout(LIMIT_S):
            line = (await process.stdout.readline()).decode()
            port = int(line.split("127.0.0.1:")[1].split()[0])
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            assert "error forwarding port 1 to pod" in (await process.stderr.readline()).decode()
            writer.close()
    finally:
        process.kill()
        await process.communicate()


async def test_data_for_a_closed_connection_does_not_delay_others(server: Server, shouting: int) -> None:
    url = f"{server.url}{PATH}?ports=1&ports={shouting}"
    async with server.client.ws_connect(url) as socket, asyncio.timeout(LIMIT_S):
        for _ in range(500):
            await socket.send_bytes(b"\x00lost")
        await socket.send_bytes(b"\x02kept")
        while await socket.receive_bytes() != b"\x02KEPT":
            pass


@pytest.mark.parametrize("protocols", [(), ("v4.channel.k8s.io",)])
async def test_channels_carry_a_port_each(server: Server, shouting: int, protocols: tuple[str, ...]) -> None:
    url = f"{server.url}{PATH}?ports={shouting}&ports=1"
    async with server.client.ws_connect(url, protocols=protocols) as socket, asyncio.timeout(LIMIT_S):
        begun = [await socket.receive_bytes() for _ in range(2)]
        assert begun == [bytes((channel,)) + struct.pack("<H", shouting) for channel in (0, 1)]
        await socket.send_bytes(b"\x00hello")
        seen: dict[int, bytes] = {}
        while seen.get(0) != b"HELLO" or b"refused" not in seen.get(3, b""):
            message = await socket.receive_bytes()
            seen[message[0]] = seen.get(message[0], b"") + message[1:]


@pytest.mark.parametrize(
    ("query", "words"),
    [("ports=0", "between 1 and 65535"), ("ports=x", "between 1 and 65535"), ("", '"ports" is required')],
)
async def test_invalid_ports_are_refused(server: Server, shouting: int, query: str, words: str) -> None:
    with pytest.raises(aiohttp.WSServerHandshakeError) as refusal:
        await server.client.ws_connect(f"{server.url}{PATH}?{query}")
    assert refusal.value.status == 400


async def test_a_tunnel_with_invalid_frames_is_closed(server: Server, shouting: int) -> None:
    async with server.client.ws_connect(server.url + PATH, protocols=(SPDY_PROTOCOL,)) as socket:
        await socket.send_bytes(b"\xff" * 64)
        async with asyncio.timeout(LIMIT_S):
            message = await socket.receive()
        assert message.type is aiohttp.WSMsgType.CLOSE
