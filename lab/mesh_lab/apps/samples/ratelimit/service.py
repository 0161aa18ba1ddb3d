"""The protocols: envoy.service.ratelimit.v3 over gRPC, the same in JSON over HTTP, and the pages for people."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mesh_lab.apps.grpc import wire
from mesh_lab.apps.http.messages import Request, Response
from mesh_lab.apps.samples.ratelimit.config import UNITS, ConfigError, Limit, load, stamp
from mesh_lab.apps.samples.ratelimit.limiter import Descriptor, Limiter, Status
from mesh_lab.apps.service import log

METHOD = "/envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit"
_OK, _OVER_LIMIT = 1, 2
_LOOK_AGAIN_SECONDS = 1.0
_UNIT_NAMES = {number: name for name, (number, _) in UNITS.items()}


class RateLimits:
    """The service on a directory of configuration, which is read again when it has changed."""

    def __init__(self, directory: Path, limiter: Limiter, clock: Callable[[], float]) -> None:
        self._directory = directory
        self._limiter = limiter
        self._clock = clock
        self._looked = clock()
        self._stamp = stamp(directory)

    async def should_rate_limit(self, message: bytes, _: Request) -> bytes:
        """A RateLimitRequest's RateLimitResponse."""
        fields = wire.decode(message)
        descriptors = [_descriptor(one) for one in wire.messages(fields, 2)]
        statuses = self._check(wire.text(fields, 1), descriptors, wire.integer(fields, 3))
        overall = _OVER_LIMIT if any(status.over for status in statuses) else _OK
        return wire.encode({1: overall, 2: [_status(status) for status in statuses]})

    async def http(self, request: Request) -> Response:
        """`/healthcheck` and `/json`."""
        if request.path == "/healthcheck":
            return Response(200, b"OK")
        if request.path != "/json" or request.method != "POST":
            return Response(404, b"404 page not found\n")
        try:
            domain, descriptors, hits = _of_json(json.loads(request.body))
        except (ValueError, KeyError, TypeError, AttributeError):
            return Response(400, b"a RateLimitRequest in JSON expected\n")
        statuses = self._check(domain, descriptors, hits)
        over = any(status.over for status in statuses)
        value = {"overallCode": "OVER_LIMIT" if over else "OK", "statuses": [_to_json(one) for one in statuses]}
        return Response(429 if over else 200, json.dumps(value).encode(), "application/json")

    async def debug(self, request: Request) -> Response:
        """`/rlconfig`: the limits in force."""
        if request.path == "/rlconfig":
            lines = [line for domain, node in self._limiter.domains.items() for line in node.lines(domain)]
            return Response(200, "".join(f"{line}\n" for line in lines).encode())
        return Response(
            200 if request.path == "/" else 404, b"/rlconfig: print out the currently loaded configuration\n"
        )

    def _check(self, domain: str, descriptors: list[Descriptor], hits: int) -> list[Status]:
        self._look_again()
        return self._limiter.check(domain, descriptors, hits)

    def _look_again(self) -> None:
        now = self._clock()
        if now - self._looked < _LOOK_AGAIN_SECONDS:
            return
        self._looked = now
        found = stamp(self._directory)
        if found == self._stamp:
            return
        self._stamp = found
        try:
            self._limiter.domains = load(self._directory)
            log("successfully loaded new configuration")
        except ConfigError as error:
            log(f"error loading new configuration from runtime: {error}")


def _descriptor(fields: wire.Fields) -> Descriptor:
    entries = tuple((wire.text(entry, 1), wire.text(entry, 2)) for entry in wire.messages(fields, 1))
    override = wire.message(fields, 2)
    unit = _UNIT_NAMES.get(wire.integer(override, 2))
    return Descriptor(entries, Limit(wire.integer(override, 1), unit) if unit else None)


def _status(status: Status) -> bytes:
    limit = status.limit
    if limit is None:
        return wire.encode({1: _OVER_LIMIT if status.over else _OK, 3: status.remaining})
    current = wire.encode({1: limit.requests, 2: UNITS[limit.unit][0], 3: limit.name})
    reset = wire.encode({1: status.reset_seconds})
    return wire.encode({1: _OVER_LIMIT if status.over else _OK, 2: [current], 3: status.remaining, 4: [reset]})


def _of_json(value: Mapping[str, Any]) -> tuple[str, list[Descriptor], int]:
    descriptors = [
        Descriptor(tuple((str(entry["key"]), str(entry.get("value", ""))) for entry in one["entries"]))
        for one in value["descriptors"]
    ]
    return str(value["domain"]), descriptors, int(value.get("hitsAddend", value.get("hits_addend", 0)))


def _to_json(status: Status) -> dict[str, Any]:
    value: dict[str, Any] = {"code": "OVER_LIMIT" if status.over else "OK"}
    if status.limit is not None:
        value["currentLimit"] = {"requestsPerUnit": status.limit.requests, "unit": status.limit.unit.upper()}
        value["limitRemaining"] = status.remaining
        value["durationUntilReset"] = f"{status.reset_seconds}s"
    return value
