"""How long others wait while one client sends what is large, slow or hostile to the API server.

    python -m tests.bench.bench_neighbours

The API server, a client that reads an object from it a hundred times a second on one connection, and another that does
its worst are a process each. Prints how long the reads took (milliseconds) and what the worst came to.
Judges none: machines differ, and on one without a core to spare the reads wait for the bench itself as well.
"""

from __future__ import annotations

import asyncio
import gc
import json
import select
import socket
import ssl
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import aiohttp

from mesh_lab.kube import heavy, pki
from mesh_lab.kube.api import Authenticator, ClusterInfo, build_app, serve
from mesh_lab.kube.registry import Registry
from mesh_lab.kube.registry.tokens import TokenIssuer
from mesh_lab.kube.store import Store
from tests.bench.latency import quantiles
from tests.unit.kube.api.fake_node import FakeNode

PAUSE_S = 0.01
LIMIT_S = 120.0
CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
MANY = {f"key-{number:06d}": "v" for number in range(50_000)}
JSON = {"Content-Type": "application/json"}
YAML = {"Content-Type": "application/yaml"}
APPLY = {"Content-Type": "application/apply-patch+yaml"}
Send = Callable[["Client"], Awaitable[str]]


class Client:
    """Sends requests as the administrator."""

    def __init__(self, port: int, trust: ssl.SSLContext, session: aiohttp.ClientSession) -> None:
        self.port, self.trust, self.session = port, trust, session

    async def send(self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None) -> str:
        """The status of the answer."""
        url = f"https://127.0.0.1:{self.port}{path}"
        async with self.session.request(method, url, data=_chunks(body) if body else None, headers=headers) as answer:
            await answer.read()
            return str(answer.status)


async def _chunks(body: bytes):  # type: ignore[no-untyped-def]
    for start in range(0, len(body), 65536):
        yield body[start : start + 65536]
        await asyncio.sleep(0)


def config_map(name: str, data: dict[str, str]) -> bytes:
    """A ConfigMap as JSON."""
    found = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "default"}, "data": data}
    return json.dumps(found).encode()


async def large_yaml(client: Client) -> str:
    """A YAML body of 2.5 MB."""
    text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: yaml}\ndata:\n"
    text += "".join(f"  key-{number:06d}: 'value {number}'\n" for number in range(90_000))
    return await client.send("POST", CONFIG_MAPS, text.encode(), YAML)


async def large_json(client: Client) -> str:
    """A ConfigMap of 50,000 keys."""
    return await client.send("POST", CONFIG_MAPS, config_map("json", MANY), JSON)


async def large_apply(client: Client) -> str:
    """A server-side apply of 50,000 keys, and another on top of it."""
    path = f"{CONFIG_MAPS}/applied?fieldManager=bench"
    first = await client.send("PATCH", path, config_map("applied", MANY), APPLY)
    return f"{first}, {await client.send('PATCH', path, config_map('applied', {**MANY, 'key-000001': 'w'}), APPLY)}"


async def many_operations(client: Client) -> str:
    """A JSON patch of 10,000 operations on an object of 50,000 keys."""
    await client.send("POST", CONFIG_MAPS, config_map("patched", MANY), JSON)
    patch = [{"op": "add", "path": f"/data/key-{number:06d}", "value": "w"} for number in range(10_000)]
    headers = {"Content-Type": "application/json-patch+json"}
    return await client.send("PATCH", f"{CONFIG_MAPS}/patched", json.dumps(patch).encode(), headers)


async def many_items(client: Client) -> str:
    """A Pod of 5,000 environment variables, and a strategic merge of as many."""
    env = [{"name": f"V{number}", "value": "x"} for number in range(5000)]
    spec = {"containers": [{"name": "c", "image": "i", "env": env}]}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "wide"}, "spec": spec}
    first = await client.send("POST", "/api/v1/namespaces/default/pods", json.dumps(pod).encode(), JSON)
    patch = {"spec": {"containers": [{"name": "c", "env": list(reversed(env))}]}}
    headers, path = {"Content-Type": "application/strategic-merge-patch+json"}, "/api/v1/namespaces/default/pods/wide"
    return f"{first}, {await client.send('PATCH', path, json.dumps(patch).encode(), headers)}"


async def large_list(client: Client) -> str:
    """A list of 40 objects of 700 KB."""
    for number in range(40):
        await client.send("POST", CONFIG_MAPS, config_map(f"large-{number}", {"a": "x" * 700_000}), JSON)
    return await client.send("GET", CONFIG_MAPS)


async def idle_connections(client: Client) -> str:
    """3,000 connections that say nothing."""
    opened = []
    for _ in range(3000):
        with suppress(OSError):
            opened.append((await asyncio.open_connection("127.0.0.1", client.port))[1])
    await asyncio.sleep(2)
    for writer in opened:
        writer.close()
    return f"{len(opened)} opened"


async def stuck_handshakes(client: Client) -> str:
    """1,000 connections that stop in the middle of a handshake."""
    opened = []
    for _ in range(1000):
        with suppress(OSError):
            writer = (await asyncio.open_connection("127.0.0.1", client.port))[1]
            writer.write(b"\x16\x03\x01\x02\x00")
            opened.append(writer)
    await asyncio.sleep(2)
    for writer in opened:
        writer.close()
    return f"{len(opened)} opened"


WORST: tuple[Send, ...] = (
    large_yaml,
    large_json,
    large_apply,
    many_operations,
    many_items,
    large_list,
    idle_connections,
    stuck_handshakes,
)


async def main() -> None:
    """Measure, and print a line for each kind of worst."""
    with tempfile.TemporaryDirectory() as directory:
        server = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.bench.bench_neighbours", "serve", directory, stdout=asyncio.subprocess.PIPE
        )
        assert server.stdout is not None
        port = int(await server.stdout.readline())
        trust = _trust(Path(directory))
        try:
            timeout = aiohttp.ClientTimeout(total=LIMIT_S)
            async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trust), timeout=timeout) as session:
                client = Client(port, trust, session)
                _say("nothing else", await _reads_while(directory, port, asyncio.sleep(2, "")), server.pid)
                for send in WORST:
                    _say((send.__doc__ or "").strip(), await _reads_while(directory, port, send(client)), server.pid)
        finally:
            server.terminate()
            await server.wait()


async def _reads_while(directory: str, port: int, worst: Awaitable[str]) -> tuple[list[float], float, str]:
    """How long reads took meanwhile, how long the worst took, and what came of it. The reader is another process."""
    command = (sys.executable, "-m", "tests.bench.bench_neighbours", "read", directory, str(port))
    reader = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert reader.stdout is not None
    await reader.stdout.readline()
    began = time.perf_counter()
    outcome = await worst
    took = time.perf_counter() - began
    printed, _ = await asyncio.wait_for(reader.communicate(b""), LIMIT_S)
    return json.loads(printed), took, outcome


def read(directory: Path, port: int) -> None:
    """Read a hundred times a second until standard input ends; print how long each read took, as a list."""
    import http.client

    connection = http.client.HTTPSConnection("127.0.0.1", port, context=_trust(directory), timeout=LIMIT_S)
    took = []
    while not select.select([sys.stdin], [], [], PAUSE_S)[0]:
        began = time.perf_counter()
        connection.request("GET", "/api/v1/namespaces/default")
        connection.getresponse().read()
        took.append((time.perf_counter() - began) * 1000)
        if len(took) == 1:
            sys.stdout.write("reading\n")
            sys.stdout.flush()
    connection.close()
    sys.stdout.write(json.dumps(took[1:]))


def _trust(directory: Path) -> ssl.SSLContext:
    made = pki.ensure(directory / "pki")
    trust = ssl.create_default_context(cadata=made.authority_pem)
    trust.load_cert_chain(made.admin.certificate, made.admin.key)
    return trust


def _say(what: str, measured: tuple[list[float], float, str], pid: int) -> None:
    reads, took, outcome = measured
    found = quantiles(reads)
    memory = int(Path(f"/proc/{pid}/status").read_text().partition("VmRSS:")[2].split()[0]) // 1024
    figures = f"p50 {found['p50']:7.1f}  p99 {found['p99']:7.1f}  max {found['max']:7.1f} ms"
    sys.stdout.write(f"{what:<70} {figures}  {took:6.2f} s  {memory:4} MB  {outcome}\n")
    sys.stdout.flush()


async def run_server(directory: Path) -> None:
    """An API server over a journal; prints its port. Garbage is collected as in the kube process (`mesh_lab.kube`)."""
    gc.freeze()
    sys.setswitchinterval(heavy.SWITCH_SECONDS)
    registry = Registry(Store.open(directory / "journal.db"))
    await registry.bootstrap()
    made = pki.ensure(directory / "pki")
    tokens = TokenIssuer(made.signing_key, registry)
    app = build_app(registry, Authenticator(tokens), FakeNode(registry), ClusterInfo())
    listener = socket.create_server(("127.0.0.1", 0), backlog=512)
    sys.stdout.write(f"{listener.getsockname()[1]}\n")
    sys.stdout.flush()
    await serve(app, [listener], made.server_context())


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["serve", directory]:
            asyncio.run(run_server(Path(directory)))
        case ["read", directory, port]:
            read(Path(directory), int(port))
        case _:
            asyncio.run(main())
