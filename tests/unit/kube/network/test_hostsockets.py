"""Sockets of the host arrive in the kube process, or the reason why not."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mesh_lab.kube.network import hostsockets
from mesh_lab.kube.network.hostsockets import HostSocketError
from tests.unit.kube.network.hosts import Host, free_port


@pytest.fixture
async def host() -> AsyncIterator[Host]:
    made = Host()
    running = asyncio.create_task(made.run())
    async with asyncio.timeout(20):
        yield made
    running.cancel()
    made.close()


async def test_a_socket_listens_on_the_requested_port(host: Host) -> None:
    port = free_port()
    with await host.sockets.listen("127.0.0.1", port) as listener:
        assert listener.getsockname() == ("127.0.0.1", port)
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        accepted, _ = listener.accept()
        accepted.close()
        writer.close()


async def test_many_requests_at_once_each_get_their_own(host: Host) -> None:
    ports = [free_port() for _ in range(8)]
    listeners = await asyncio.gather(*(host.sockets.listen("127.0.0.1", port) for port in dict.fromkeys(ports)))
    assert [listener.getsockname()[1] for listener in listeners] == list(dict.fromkeys(ports))
    for listener in listeners:
        listener.close()


async def test_the_holder_of_a_port_in_use_is_named(host: Host) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(HostSocketError, match=rf"^port {port} is in use: nginx \(pid 12\) listens on it$"):
            await host.sockets.listen("127.0.0.1", port)


async def test_a_request_times_out_and_a_late_socket_is_closed(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hostsockets, "TIME_LIMIT_SECONDS", 0.05)
    host.silent = True
    port = free_port()
    with pytest.raises(HostSocketError, match="did not answer"):
        await host.sockets.listen("127.0.0.1", port)
    host.silent = False
    monkeypatch.setattr(hostsockets, "TIME_LIMIT_SECONDS", 10.0)
    descriptors = _descriptors()
    host.answer(host.heard[0])
    other = free_port()
    with await host.sockets.listen("127.0.0.1", other) as listener:
        assert listener.getsockname()[1] == other
    assert _descriptors() <= descriptors
    with socket.create_server(("127.0.0.1", port)):
        pass


async def test_a_host_process_that_is_gone_fails_every_request(host: Host) -> None:
    host.silent = True
    waiting = asyncio.create_task(host.sockets.listen("127.0.0.1", free_port()))
    await host.hears(1)
    host.hang_up()
    with pytest.raises(HostSocketError, match="gone"):
        await waiting
    with pytest.raises(HostSocketError):
        await host.sockets.listen("127.0.0.1", free_port())


async def test_progress_and_readiness_are_reported(host: Host) -> None:
    await host.sockets.progress("node")
    await host.sockets.ready()
    await host.hears(2)
    assert host.heard == [{"op": "progress", "text": "node"}, {"op": "ready"}]


def _descriptors() -> set[str]:
    return {each.name for each in Path("/proc/self/fd").iterdir()}
