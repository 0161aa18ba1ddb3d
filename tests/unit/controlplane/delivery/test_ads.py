"""Serving over TLS: many that connect at once, renewals under their handshakes, and the log's words on who called."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, cast

import grpc
import grpc.aio
import pytest
from envoy.service.discovery.v3.discovery_pb2 import DeltaDiscoveryRequest

from mesh_lab.controlplane.delivery import ads
from mesh_lab.controlplane.delivery.ads import AdsService, Context
from mesh_lab.controlplane.trust.ca import Authority, Leaf
from tests.unit.controlplane.mesh import eventually

NAME = "istiod.istio-system.svc"
METHOD = "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources"


class Echo:
    """In the place of the real service: gives back what it gets, and notes who called."""

    def __init__(self) -> None:
        self.peers: list[str] = []

    async def stream(self, requests: AsyncIterator[DeltaDiscoveryRequest], context: Context) -> None:
        self.peers.append(ads._peer(context))
        async for message in requests:
            await context.write(message.SerializeToString())


class Plane:
    """A server with a certificate that is renewed when a test says so."""

    def __init__(self) -> None:
        self.authority = Authority.create("cluster.local")
        self.echo = Echo()
        self.server = ads.Server(cast("AdsService", self.echo), lambda: self.leaf)
        self.port = 0
        self.renew()

    def renew(self) -> None:
        self.leaf: Leaf = self.authority.issue_server((NAME,), timedelta(days=1))

    @asynccontextmanager
    async def channel(self) -> AsyncIterator[grpc.aio.Channel]:
        tls = grpc.ssl_channel_credentials(self.authority.roots)
        options = (("grpc.ssl_target_name_override", NAME), ("grpc.use_local_subchannel_pool", 1))
        async with grpc.aio.secure_channel(f"127.0.0.1:{self.port}", tls, options) as channel:
            yield channel

    async def connect(self) -> None:
        async with self.channel() as channel, asyncio.timeout(10):
            await channel.channel_ready()


def stream(channel: grpc.aio.Channel) -> Any:
    return channel.stream_stream(
        METHOD,
        request_serializer=DeltaDiscoveryRequest.SerializeToString,
        response_deserializer=DeltaDiscoveryRequest.FromString,
    )()


async def said(call: Any, text: str) -> str:
    await call.write(DeltaDiscoveryRequest(response_nonce=text))
    async with asyncio.timeout(10):
        return str((await call.read()).response_nonce)


@pytest.fixture
async def plane() -> AsyncIterator[Plane]:
    made = Plane()
    made.port = await made.server.start("127.0.0.1", 0)
    yield made
    await made.server.stop(0.1)


async def test_proxies_that_connect_at_once_all_get_in_while_the_certificate_is_renewed(plane: Plane) -> None:
    """As gRPC's own change of certificate does it, this ends the process: grpc/grpc#36693."""

    async def renewing() -> None:
        while True:
            plane.renew()
            await asyncio.sleep(0.02)

    renewals = asyncio.create_task(renewing())
    for _ in range(4):
        await asyncio.gather(*(plane.connect() for _ in range(25)))
    renewals.cancel()


async def test_a_stream_outlives_the_certificate_that_it_began_with(plane: Plane) -> None:
    async with plane.channel() as first:
        old = stream(first)
        assert await said(old, "before") == "before"
        plane.renew()
        async with plane.channel() as second:
            new = stream(second)
            assert await said(new, "new") == "new"
            assert await said(old, "after") == "after"
            assert len(plane.server._servers) == 2
    del old, new  # a call keeps its connection open

    async def is_one() -> bool:
        return len(plane.server._servers) == 1

    await eventually(is_one)
    await plane.connect()


async def test_a_big_message_arrives_whole(plane: Plane) -> None:
    async with plane.channel() as channel:
        text = "x" * 3_000_000
        assert await said(stream(channel), text) == text


async def test_the_callers_address_is_known_through_the_relay(plane: Plane) -> None:
    async with plane.channel() as channel:
        await said(stream(channel), "hello")
    (peer,) = plane.echo.peers
    host, _, port = peer.rpartition(":")
    assert host == "127.0.0.1"
    assert int(port) > 0


def limit(monkeypatch: pytest.MonkeyPatch, name: str, milliseconds: int) -> None:
    """Lower a time limit of the servers that are started from now on."""
    others = tuple(each for each in ads._OPTIONS if each[0] != name)
    assert len(others) < len(ads._OPTIONS)
    monkeypatch.setattr(ads, "_OPTIONS", (*others, (name, milliseconds)))


async def test_a_connection_that_says_nothing_is_ended(plane: Plane, monkeypatch: pytest.MonkeyPatch) -> None:
    limit(monkeypatch, "grpc.server_handshake_timeout_ms", 100)
    plane.renew()
    reader, writer = await asyncio.open_connection("127.0.0.1", plane.port)
    async with asyncio.timeout(5):
        assert await reader.read() == b""
    writer.close()


async def test_a_connection_without_a_stream_is_ended(plane: Plane, monkeypatch: pytest.MonkeyPatch) -> None:
    limit(monkeypatch, "grpc.max_connection_idle_ms", 200)
    plane.renew()
    async with plane.channel() as channel, asyncio.timeout(10):
        await channel.channel_ready()
        await channel.wait_for_state_change(grpc.ChannelConnectivity.READY)
