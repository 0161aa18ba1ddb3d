"""Keys of tokens: fetched for all proxies, which get them with their configuration.

Each source has a task of its own, with time limits: one that hangs or is down delays no other, nor any configuration.
Keys that were fetched once stay in use while their source cannot be reached.
Source of the intervals: pilot/pkg/model/jwks_resolver.go of Istio 1.30; it is also where the metadata of an issuer are
asked for that has no `jwksUri` (https://openid.net/specs/openid-connect-discovery-1_0.html).
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Callable, Mapping

import aiohttp
import msgspec

from mesh_lab.backoff import Backoff
from mesh_lab.controlplane.delivery.state import ClusterState
from mesh_lab.controlplane.model.requestauthentication import RequestAuthentication
from mesh_lab.controlplane.model.units import nanoseconds
from mesh_lab.controlplane.validation.requestauthentication import key_problems
from mesh_lab.controlplane.world.snapshot import Keys, KeySource, Snapshot
from mesh_lab.controlplane.xds.authentication import source_of
from mesh_lab.controlplane.xds.tls import SYSTEM_AUTHORITIES

log = logging.getLogger(__name__)

REFRESH = 20 * 60.0
FIRST_RETRY, LAST_RETRY = 1.0, 60.0
DEFAULT_LIMIT = 5.0
LARGEST = 1 << 20
_METADATA = "/.well-known/openid-configuration"

Get = Callable[[str, float], Awaitable[bytes]]
"""Gets what is at a URI within so many seconds."""


class KeysUnavailableError(Exception):
    """The keys cannot be had now; the text says why."""


class KeyFetcher:
    """Fetches the keys that RequestAuthentications name, keeps them fresh, and forgets those that none names."""

    def __init__(self, state: ClusterState, get: Get | None = None) -> None:
        self._state = state
        self._get = get or _get
        self._tasks: dict[KeySource, asyncio.Task[None]] = {}
        self._limits: dict[KeySource, float] = {}

    async def run(self) -> None:
        """Fetch until cancelled."""
        async with asyncio.TaskGroup() as group:
            seen: object = None
            while True:
                table = self._state.latest.of(RequestAuthentication)
                if table is not seen:
                    seen = table
                    self._follow(wanted(self._state.latest), group)
                await self._state.snapshotted.wait()

    def _follow(self, limits: Mapping[KeySource, float], group: asyncio.TaskGroup) -> None:
        self._limits = dict(limits)
        for gone in self._tasks.keys() - limits.keys():
            self._tasks.pop(gone).cancel()
            self._state.set_keys(gone, None)
        for source in limits.keys() - self._tasks.keys():
            self._tasks[source] = group.create_task(self._keep(source))

    async def _keep(self, source: KeySource) -> None:
        known, backoff = Keys(), Backoff(FIRST_RETRY, LAST_RETRY)
        while True:
            try:
                fresh = Keys(await fetch(source, self._limits[source], self._get))
                pause = REFRESH
                backoff.reset()
            except Exception as error:  # noqa: BLE001 - whatever a server answers, the other sources go on
                plain = isinstance(error, KeysUnavailableError)
                fresh = known._replace(problem=str(error) if plain else f"{type(error).__name__}: {error}")
                pause = backoff.next()
                log.warning("no keys of tokens: %s", error)
            if fresh != known:
                known = fresh
                self._state.set_keys(source, known)
            await asyncio.sleep(pause)


def wanted(snapshot: Snapshot) -> dict[KeySource, float]:
    """The sources that rules name, each with the seconds that an attempt may take: the most that any rule allows."""
    found: dict[KeySource, float] = {}
    for config in snapshot.of(RequestAuthentication).values():
        for rule in config.spec.jwt_rules:
            source = source_of(rule)
            if source is not None:
                limit = nanoseconds(rule.timeout) / 1e9 if rule.timeout else DEFAULT_LIMIT
                found[source] = max(limit, found.get(source, 0.0))
    return found


async def fetch(source: KeySource, limit: float, get: Get) -> str:
    """The keys of a source.

    Raises:
        KeysUnavailableError: they cannot be had, or are none.
    """
    uri = source.uri or await _discovered(source.issuer, limit, get)
    body = await get(uri, limit)
    for problem in key_problems("jwks", body):
        if problem.severity == "error":
            raise KeysUnavailableError(f"what {uri} gives are no keys: {problem.message}")
    return body.decode()


async def _discovered(issuer: str, limit: float, get: Get) -> str:
    place = issuer.removesuffix("/") + _METADATA
    try:
        found = msgspec.json.decode(await get(place, limit), type=dict[str, object])
    except msgspec.DecodeError as error:
        raise KeysUnavailableError(f"what {place} gives is no metadata of an issuer: {error}") from None
    uri = found.get("jwks_uri")
    if not isinstance(uri, str):
        raise KeysUnavailableError(f"{place} names no jwks_uri")
    return uri


async def _get(uri: str, limit: float) -> bytes:
    if not uri.startswith(("http://", "https://")):
        raise KeysUnavailableError(f"{uri} is no HTTP or HTTPS URI: give the rule a jwksUri")
    try:
        async with asyncio.timeout(limit):
            return await _body_of(uri)
    except TimeoutError:
        raise KeysUnavailableError(f"{uri} has not answered within {limit:g} s") from None
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise KeysUnavailableError(f"{uri} cannot be fetched: {error or type(error).__name__}") from None


async def _body_of(uri: str) -> bytes:
    trust = await asyncio.to_thread(_authorities) if uri.startswith("https:") else False
    connector = aiohttp.TCPConnector(ssl=trust, force_close=True)
    async with aiohttp.ClientSession(connector=connector) as session, session.get(uri) as answer:
        if not answer.ok:
            raise KeysUnavailableError(f"{uri} answers {answer.status}")
        body = bytearray()
        async for part in answer.content.iter_any():
            body += part
            if len(body) > LARGEST:
                raise KeysUnavailableError(f"{uri} gives more than {LARGEST} bytes")
        return bytes(body)


def _authorities() -> ssl.SSLContext:
    return ssl.create_default_context(cafile=SYSTEM_AUTHORITIES)
