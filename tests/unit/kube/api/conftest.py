"""An API server on loopback TLS, a client that speaks to it, and kubectl."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from mesh_lab.kube import pki
from mesh_lab.kube.api import Authenticator, ClusterInfo, build_app, serve
from mesh_lab.kube.registry import Registry
from mesh_lab.kube.registry.tokens import TokenIssuer
from mesh_lab.kube.store import Store
from tests.unit.kube.api.fake_node import FakeNode
from tests.unit.kube.api.webhooks.hooks import Hook, serving

KUBECTL = Path(sys.executable).parent / "kubectl"
LIMIT_S = 30


@dataclass
class Result:
    """What a command printed."""

    code: int
    out: str
    err: str

    @property
    def rows(self) -> list[list[str]]:
        """The table that it printed, without its header."""
        return [line.split() for line in self.out.splitlines()[1:]]


@dataclass
class Server:
    """The server under test, with all that stands behind it."""

    registry: Registry
    tokens: TokenIssuer
    node: FakeNode
    pki: pki.Pki
    url: str
    port: int
    directory: Path
    client: aiohttp.ClientSession
    trust: ssl.SSLContext
    serving: asyncio.Task[None]

    async def kubectl(self, *args: str, stdin: str | bytes | None = None, code: int | None = 0) -> Result:
        """Run kubectl; fails the test when it does not end with `code` (None: whatever it is)."""
        process = await self.start_kubectl(*args, stdin=stdin is not None)
        data = stdin.encode() if isinstance(stdin, str) else stdin
        async with asyncio.timeout(LIMIT_S):
            out, err = await process.communicate(data)
        result = Result(process.returncode or 0, out.decode(), err.decode())
        assert code is None or result.code == code, f"kubectl {' '.join(args)}: {result}"
        return result

    async def start_kubectl(self, *args: str, stdin: bool = False) -> asyncio.subprocess.Process:
        """Start kubectl with pipes; the caller waits for its end."""
        home = self.directory / "home"
        home.mkdir(exist_ok=True)
        pipe = asyncio.subprocess.PIPE
        return await asyncio.create_subprocess_exec(
            KUBECTL,
            "--kubeconfig",
            str(self.directory / "kubeconfig"),
            "--cache-dir",
            str(self.directory / "cache"),
            *args,
            stdin=pipe if stdin else asyncio.subprocess.DEVNULL,
            stdout=pipe,
            stderr=pipe,
            cwd=self.directory,
            env={"PATH": os.environ["PATH"], "HOME": str(home), "KUBECTL_KUBERC": "false"},
        )

    async def json(self, method: str, path: str, body: Any = None, *, code: int = 200, **options: Any) -> Any:
        """The decoded answer to a request."""
        sent = options if "data" in options else {"json": body, **options}
        async with self.client.request(method, self.url + path, **sent) as response:
            answer = await response.json(content_type=None)
            assert response.status == code, answer
            return answer


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    """A server over an empty in-memory store with the usual namespaces."""
    registry = Registry(Store())
    await registry.bootstrap()
    made = pki.ensure(tmp_path / "pki")
    tokens = TokenIssuer(made.signing_key, registry)
    node = FakeNode(registry)
    app = build_app(registry, Authenticator(tokens), node, ClusterInfo())
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    url = f"https://127.0.0.1:{port}"
    pki.write_kubeconfig(tmp_path / "kubeconfig", made, name="mesh-lab", server=url)
    trust = ssl.create_default_context(cadata=made.authority_pem)
    trust.load_cert_chain(made.admin.certificate, made.admin.key)
    serving = asyncio.create_task(serve(app, [listener], made.server_context()))
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=trust), timeout=aiohttp.ClientTimeout(total=LIMIT_S)
    ) as client:
        try:
            yield Server(registry, tokens, node, made, url, port, tmp_path, client, trust, serving)
        finally:
            for session in node.sessions:
                await session.kill()
            serving.cancel()
            with suppress(asyncio.CancelledError):
                await serving


@pytest.fixture
async def hook(server: Server, tmp_path: Path) -> AsyncIterator[Hook]:
    """A webhook behind the service `hooks/injector` of the server's cluster."""
    async with serving(server.registry, tmp_path) as made:
        yield made
