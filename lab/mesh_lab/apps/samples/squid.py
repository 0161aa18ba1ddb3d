"""`mesh-lab-app squid`: a forward proxy for Istio's task on external HTTPS proxies: CONNECT, and HTTP by absolute URL.

Of squid.conf it reads `http_port`, `acl` (port, method, src, dstdomain) and `http_access`
(http://www.squid-cache.org/Doc/config/); a line for each request goes to /var/log/squid/access.log.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import ipaddress
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from mesh_lab.apps.http import server as http
from mesh_lab.apps.http.answers import ApiError
from mesh_lab.apps.http.client import Client, parse_url
from mesh_lab.apps.http.messages import HOP_BY_HOP, Request, Response
from mesh_lab.apps.service import log

CONFIGURATION = Path("/etc/squid/squid.conf")
ACCESS_LOG = Path("/var/log/squid/access.log")

_IDLE = frozenset(
    (
        "access_log",
        "cache",
        "cache_dir",
        "cache_log",
        "cache_mem",
        "coredump_dir",
        "max_filedescriptors",
        "pid_filename",
        "refresh_pattern",
    )
)
_CONNECT_SECONDS = 10.0
_CHUNK = 65536


class ConfigError(Exception):
    """A configuration that is not understood; the message has file and line."""


@dataclass(frozen=True)
class Wish:
    """What a client wants, as access rules see it."""

    method: str
    host: str
    port: int
    client: str


Test = Callable[[Wish], bool]


@dataclass(frozen=True)
class Rule:
    """An `http_access`: allowed or not where all tests hold."""

    allow: bool
    tests: tuple[Test, ...]


@dataclass(frozen=True)
class Config:
    """Ports, and rules in order."""

    ports: tuple[int, ...] = (3128,)
    rules: tuple[Rule, ...] = ()

    def allows(self, wish: Wish) -> bool:
        """By the first rule that holds; where none does, the opposite of the last."""
        for rule in self.rules:
            if all(test(wish) for test in rule.tests):
                return rule.allow
        return bool(self.rules) and not self.rules[-1].allow


def read(path: Path) -> Config:
    """Read a configuration file.

    Raises:
        ConfigError: something in it has no meaning here.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    known: dict[str, Test] = {
        "all": lambda _: True,
        "localhost": _source(["127.0.0.0/8", "::1/128"]),
        "manager": lambda _: False,
    }
    ports: list[int] = []
    rules: list[Rule] = []
    for number, line in enumerate(lines, 1):
        name, *words = line.partition("#")[0].split() or [""]
        place = f"{path}:{number}"
        if name == "http_port":
            ports.append(_port(words, place))
        elif name == "acl":
            _acl(words, known, place)
        elif name == "http_access":
            rules.append(_rule(words, known, place))
        elif name and name not in _IDLE:
            raise ConfigError(f"{place}: the lab's squid has no directive '{name}'")
    return Config(tuple(ports) or Config.ports, tuple(rules))


def _port(words: list[str], place: str) -> int:
    port = words[0].rpartition(":")[2] if len(words) == 1 else ""
    if not port.isdigit():
        raise ConfigError(f"{place}: http_port: [HOST:]PORT expected")
    return int(port)


def _acl(words: list[str], known: dict[str, Test], place: str) -> None:
    kinds = {"port": _ports, "method": _methods, "src": _source, "dstdomain": _domains}
    if len(words) < 3 or words[1] not in kinds:
        raise ConfigError(f"{place}: acl NAME {'|'.join(kinds)} VALUE... expected")
    try:
        added = kinds[words[1]](words[2:])
    except ValueError as error:
        raise ConfigError(f"{place}: {error}") from None
    before = known.get(words[0])
    known[words[0]] = added if before is None else lambda wish: before(wish) or added(wish)


def _rule(words: list[str], known: dict[str, Test], place: str) -> Rule:
    if len(words) < 2 or words[0] not in ("allow", "deny"):
        raise ConfigError(f"{place}: http_access allow|deny ACL... expected")
    tests = []
    for word in words[1:]:
        name = word.removeprefix("!")
        if name not in known:
            raise ConfigError(f"{place}: ACL not found: {name}")
        tests.append(_negated(known[name]) if word.startswith("!") else known[name])
    return Rule(words[0] == "allow", tuple(tests))


def _negated(test: Test) -> Test:
    return lambda wish: not test(wish)


def _ports(values: list[str]) -> Test:
    ranges = [(int(low), int(high or low)) for low, _, high in (value.partition("-") for value in values)]
    return lambda wish: any(low <= wish.port <= high for low, high in ranges)


def _methods(values: list[str]) -> Test:
    return lambda wish: wish.method in values


def _source(values: list[str]) -> Test:
    networks = [ipaddress.ip_network(value, strict=False) for value in values]
    return lambda wish: any(ipaddress.ip_address(wish.client) in network for network in networks)


def _domains(values: list[str]) -> Test:
    return lambda wish: any(
        wish.host == value or (value.startswith(".") and f".{wish.host}".endswith(value)) for value in values
    )


class Squid:
    """The handler."""

    def __init__(self, config: Config, write: Callable[[str], None]) -> None:
        self._config = config
        self._write = write

    async def __call__(self, request: Request) -> Response:
        """Tunnel, forward or refuse."""
        begun = time.time()
        wish = _wish(request)
        if wish is None:
            return Response(400, b"a proxy: CONNECT HOST:PORT, or an absolute URL expected\n")
        if not self._config.allows(wish):
            self._note(request, begun, "TCP_DENIED/403", 0, "HIER_NONE/-")
            return Response(403, b"Access Denied.\n", headers={"x-squid-error": "ERR_ACCESS_DENIED 0"})
        if request.method == "CONNECT":
            return await self._tunnel(request, wish, begun)
        return await self._forward(request, wish, begun)

    async def _tunnel(self, request: Request, wish: Wish, begun: float) -> Response:
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                there = await asyncio.open_connection(wish.host, wish.port)
        except (OSError, TimeoutError) as error:
            self._note(request, begun, "TCP_TUNNEL/503", 0, "HIER_NONE/-")
            return Response(503, f"{request.target}: {error or 'no connection in time'}\n".encode())
        address = there[1].get_extra_info("peername")[0]

        async def carry(reader: asyncio.StreamReader, write: Callable[[bytes], None]) -> None:
            sent = await _carry(reader, write, *there)
            self._note(request, begun, "TCP_TUNNEL/200", sent, f"HIER_DIRECT/{address}")

        return Response(200, upgrade=carry)

    async def _forward(self, request: Request, wish: Wish, begun: float) -> Response:
        origin, target = parse_url(request.target)
        fields = {name: value for name, value in request.headers.joined().items() if name not in HOP_BY_HOP}
        fields.pop("content-length", None)
        with contextlib.closing(Client(origin, keep=False)) as client:
            try:
                answer = await client.request(request.method, target, fields, request.body)
            except ApiError as error:
                self._note(request, begun, "TCP_MISS/503", 0, "HIER_NONE/-")
                return Response(503, f"{request.target}: {error}\n".encode())
        self._note(request, begun, f"TCP_MISS/{answer.status}", len(answer.body), f"HIER_DIRECT/{wish.host}")
        dropped = HOP_BY_HOP | {"content-length", "content-type"}
        headers = [pair for pair in answer.headers.pairs if pair[0] not in dropped]
        return Response(
            answer.status, answer.body, answer.headers.get("content-type"), [*headers, ("via", "1.1 squid")]
        )

    def _note(self, request: Request, begun: float, result: str, size: int, way: str) -> None:
        took = int((time.time() - begun) * 1000)
        client = _plain(request.peer)
        self._write(f"{begun:.3f} {took:6d} {client} {result} {size} {request.method} {request.target} - {way} -")


def _wish(request: Request) -> Wish | None:
    try:
        place = urlsplit(f"//{request.target}" if request.method == "CONNECT" else request.target)
        port = place.port or (None if request.method == "CONNECT" else 80)
    except ValueError:
        return None
    if not place.hostname or port is None or (request.method != "CONNECT" and place.scheme != "http"):
        return None
    return Wish(request.method, place.hostname, port, _plain(request.peer) or "0.0.0.0")


def _plain(address: str) -> str:
    return address.removeprefix("::ffff:")


async def _carry(
    reader: asyncio.StreamReader,
    write: Callable[[bytes], None],
    there: asyncio.StreamReader,
    to_there: asyncio.StreamWriter,
) -> int:
    """Carry bytes both ways until the server's end; returns how many went to the client."""

    async def out() -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(_CHUNK):
                to_there.write(data)
                await to_there.drain()
            to_there.write_eof()

    sending = asyncio.ensure_future(out())
    sent = 0
    try:
        with contextlib.suppress(OSError):
            while data := await there.read(_CHUNK):
                sent += len(data)
                write(data)
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        to_there.close()
    return sent


def main(arguments: Sequence[str]) -> int:
    """Serve until SIGTERM; exit code 1 for a configuration that is not understood, or a port that cannot be opened."""
    parser = argparse.ArgumentParser(prog="squid", description="A forward proxy.")
    parser.add_argument("-f", dest="file", type=Path, default=CONFIGURATION)
    for flag in ("-N", "-C", "-Y"):
        parser.add_argument(flag, action="store_true", help="without effect")
    parser.add_argument("-d", help="without effect")
    options = parser.parse_args(arguments)
    try:
        config = read(options.file)
    except ConfigError as error:
        log(f"FATAL: {error}")
        return 1
    ACCESS_LOG.parent.mkdir(parents=True, exist_ok=True)
    with ACCESS_LOG.open("a", encoding="utf-8", buffering=1) as file:

        def write(line: str) -> None:
            file.write(f"{line}\n")

        return asyncio.run(_run(Squid(config, write), config.ports))


async def _run(handler: Squid, ports: Sequence[int]) -> int:
    stop = http.stop_requested()
    server = http.Server(handler)
    for port in ports:
        try:
            await server.listen(None, port)
        except OSError as error:
            log(f"FATAL: cannot listen on port {port}: {error.strerror or error}")
            return 1
        log(f"Accepting HTTP Socket connections at port {port}")
    await stop.wait()
    await server.finish(http.LINGER_SECONDS)
    return 0
