"""Levels of istiod's log while it runs, as `istioctl admin log` reads and sets them: a part of Istio's ControlZ.

It is served on the loopback only, which a port forward reaches. A scope is the logger of a part of the control plane,
under Istio's name where Istio has such a part. Source: pkg/ctrlz/topics/scopes.go of Istio 1.30.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec
import orjson
from aiohttp import web

HOST = "127.0.0.1"
_ROOT = "mesh_lab.controlplane"
_LEVELS: Mapping[str, int] = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "error": logging.ERROR,
    "none": logging.CRITICAL + 10,
}


class Scope(NamedTuple):
    """A scope's logger, and what it writes about."""

    logger: str
    description: str


SCOPES: Mapping[str, Scope] = {
    "ads": Scope(f"{_ROOT}.delivery", "ads debugging"),
    "ca": Scope(f"{_ROOT}.trust", "certificates and the mesh's root"),
    "controlz": Scope(f"{_ROOT}.debug", "the debug interface"),
    "default": Scope(_ROOT, "all that has no scope of its own"),
    "injection": Scope(f"{_ROOT}.injection", "sidecar injection"),
    "kube": Scope(f"{_ROOT}.kube", "watches of the API server"),
    "model": Scope(f"{_ROOT}.world", "what is read of resources"),
    "process": Scope(f"{_ROOT}.process", "faults of istiod itself"),
    "status": Scope(f"{_ROOT}.report", "statuses, events and analysis"),
    "validation": Scope(f"{_ROOT}.admission", "the webhooks"),
}


class _Change(msgspec.Struct):
    output_level: str = ""
    stack_trace_level: str = ""


def build_app() -> web.Application:
    """The application on ControlZ's port."""
    app = web.Application()
    app.router.add_get("/", _front)
    app.router.add_get("/scopej", _all)
    app.router.add_get("/scopej/", _all)
    app.router.add_get("/scopej/{scope}", _one)
    app.router.add_put("/scopej/{scope}", _put)
    return app


async def _front(_: web.Request) -> web.Response:
    """What a browser opens (`istioctl dashboard controlz`): what there is here, in words; there is no interface."""
    levels = "".join(f"  {name}: {_document(name)['output_level']}\n" for name in sorted(SCOPES))
    return web.Response(
        text=f"Of ControlZ, this istiod has the logging scopes:\n{levels}"
        "`istioctl admin log --level SCOPE:LEVEL` sets one; as JSON they are at /scopej/.\n"
    )


async def _all(_: web.Request) -> web.Response:
    return _json([_document(name) for name in sorted(SCOPES)])


async def _one(request: web.Request) -> web.Response:
    return _json(_document(_known(request)))


async def _put(request: web.Request) -> web.Response:
    name = _known(request)
    try:
        change = msgspec.json.decode(await request.read(), type=_Change)
    except msgspec.DecodeError as error:
        raise web.HTTPBadRequest(text=f"unable to decode request: {error}\n") from None
    if change.stack_trace_level not in ("", "none"):
        raise web.HTTPBadRequest(text="stack traces have no level here: each fault of istiod is logged with its own\n")
    # A level that is not known changes nothing, as with Istio.
    if (level := _LEVELS.get(change.output_level)) is not None:
        logging.getLogger(SCOPES[name].logger).setLevel(level)
    return web.Response(status=202)


def _known(request: web.Request) -> str:
    name = request.match_info["scope"]
    if name not in SCOPES:
        raise web.HTTPBadRequest(text=f"unknown scope name: {name}; these are: {', '.join(SCOPES)}\n")
    return name


def _document(name: str) -> dict[str, Any]:
    scope = SCOPES[name]
    level = logging.getLogger(scope.logger).getEffectiveLevel()
    words = next((word for word, number in _LEVELS.items() if level <= number), "none")
    return {
        "name": name,
        "description": scope.description,
        "output_level": words,
        "stack_trace_level": "none",
        "log_callers": False,
    }


def _json(content: object) -> web.Response:
    return web.Response(body=orjson.dumps(content), content_type="application/json")
