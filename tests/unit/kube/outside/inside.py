"""What the tests do inside of namespaces: `python -m tests.unit.kube.outside.inside FUNCTION ARGUMENTS`."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import os
import signal
import socket
import ssl
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from mesh_lab.kube import trust
from mesh_lab.kube.config import KubeConfig, Site
from mesh_lab.kube.network.node import prepare_node
from mesh_lab.kube.outside import Outside

NODE, DNS, PODS, SERVICES = "10.244.0.1", "10.96.0.10", "10.244.0.0/16", "10.96.0.0/16"
FIRST, SECOND, FURTHER, UNKNOWN = "198.18.1.1", "198.18.1.2", "203.0.113.7", "198.18.1.9"
PATIENCE_SECONDS = 30.0


@contextlib.asynccontextmanager
async def running(state: str) -> AsyncIterator[Outside]:
    prepare_node(NODE, DNS, PODS, SERVICES, "127.80.0.0/16")
    config = KubeConfig(
        name="lab", state_dir=state, api_fd=-1, control_fd=-1, lifeline_fd=-1, api_port=1, rootless=False
    )
    sites = (
        Site(name="one.example", addresses=(FIRST, FURTHER), title="One", http=(80,), https=(443,)),
        Site(name="*.two.example", addresses=(SECOND,), title="Two", http=(80,), https=(443,), tcp=(9000,)),
    )
    outside = Outside(sites, config, trust.ensure(config.state))
    task = asyncio.create_task(outside.run())
    try:
        yield outside
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def page(address: str, host: str, authority: str = "") -> str:
    """The title of the page of a host at an address; with the authority's file over TLS."""
    context = ssl.create_default_context(cafile=authority) if authority else None
    async with asyncio.timeout(PATIENCE_SECONDS):
        reader, writer = await asyncio.open_connection(
            address, 443 if context else 80, ssl=context, server_hostname=host if context else None
        )
        writer.write(f"GET / HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n".encode())
        text = (await reader.read()).decode()
        writer.close()
    return text.partition("<title>")[2].partition("</title>")[0]


async def echo(address: str, port: int, data: bytes) -> bytes:
    async with asyncio.timeout(PATIENCE_SECONDS):
        reader, writer = await asyncio.open_connection(address, port)
        writer.write(data)
        found = await reader.readexactly(len(data))
        writer.close()
    return found


def refused(address: str, port: int) -> str:
    """Why a connection cannot be made."""
    with socket.socket() as client:
        client.settimeout(5)
        return errno.errorcode.get(client.connect_ex((address, port)), "0")


async def _sites_answer(state: str) -> dict[str, object]:
    authority = str(Path(state, "internet", "ca.crt"))
    async with running(state) as outside:
        before = outside.pid
        found: dict[str, object] = {
            "http": await page(FIRST, "one.example"),
            "further": await page(FURTHER, "one.example", authority),
            "by host": await page(FIRST, "a.two.example", authority),
            "by address": await page(SECOND, "unknown.example"),
            "tcp": (await echo(SECOND, 9000, b"hello")).decode(),
            "no port": refused(FIRST, 9000),
            "no address": refused(UNKNOWN, 80),
        }
        found["processes"] = [before is None, outside.pid is not None]
        running_program = outside.pid
    with contextlib.suppress(ProcessLookupError):
        os.kill(running_program or 0, 0)
        return found
    return found | {"ended": True}


async def _program_dies(state: str) -> list[object]:
    async with running(state) as outside:
        first = await page(FIRST, "one.example")
        killed = outside.pid
        assert killed is not None
        os.kill(killed, signal.SIGKILL)
        second = await page(FIRST, "one.example")
        return [first, second, outside.pid != killed]


def sites_answer(state: str) -> dict[str, object]:
    return asyncio.run(_sites_answer(state))


def program_dies(state: str) -> list[object]:
    return asyncio.run(_program_dies(state))


if __name__ == "__main__":
    print(json.dumps(globals()[sys.argv[1]](**json.loads(sys.argv[2]))))  # noqa: T201
