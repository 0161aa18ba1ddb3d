"""A Kubernetes API as far as the control plane uses one: objects in a dict, lists, watches, patches, token reviews."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import orjson
from aiohttp import web

Object = dict[str, Any]
Identity = tuple[str, str, str, str]  # namespace, service account, pod, uid


class FakeApi:
    """Start with `serving`; `put` and `remove` are what others do to the cluster."""

    def __init__(self) -> None:
        self.version = 100
        self.objects: dict[str, dict[str, Object]] = {}
        self.tokens: dict[str, Identity] = {}
        self.reviews = 0
        self.writes: list[tuple[str, str]] = []
        self.url = ""
        # What a definition's schema makes of a patched object.
        self.prune: Callable[[Object], Object] = lambda obj: obj
        self._events: list[tuple[int, str, Object]] = []
        self._moved = asyncio.Condition()
        self._runner: web.AppRunner | None = None
        self._serves = False

    async def put(self, collection: str, obj: Object) -> Object:
        """Create or replace. `collection` is the plural, as in `pods`."""
        meta = obj.setdefault("metadata", {})
        key = f"{meta.get('namespace', '')}/{meta['name']}"
        known = self.objects.setdefault(collection, {})
        event = "MODIFIED" if key in known else "ADDED"
        self.version += 1
        meta["resourceVersion"] = str(self.version)
        known[key] = copy.deepcopy(obj)
        await self._notify(collection, event, obj)
        return obj

    async def remove(self, collection: str, name: str, namespace: str = "") -> None:
        """Delete."""
        gone = self.objects[collection].pop(f"{namespace}/{name}")
        self.version += 1
        gone["metadata"]["resourceVersion"] = str(self.version)
        await self._notify(collection, "DELETED", gone)

    def find(self, collection: str, name: str, namespace: str = "") -> Object | None:
        """An object as it is stored."""
        return self.objects.get(collection, {}).get(f"{namespace}/{name}")

    async def until(self, condition: Callable[[], bool], seconds: float = 10) -> None:
        """Wait for what others write."""
        async with asyncio.timeout(seconds), self._moved:
            await self._moved.wait_for(condition)

    async def stop(self) -> None:
        """Be gone, as a restarting API server is."""
        async with self._moved:
            self._serves = False
            self._moved.notify_all()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def start(self, port: int = 0) -> int:
        """Serve; gives the port."""
        self._serves = True
        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", port, reuse_address=True).start()
        port = self._runner.addresses[0][1]
        self.url = f"http://127.0.0.1:{port}"
        return port

    async def _notify(self, collection: str, event: str, obj: Object) -> None:
        async with self._moved:
            self._events.append((self.version, collection, {"type": event, "object": copy.deepcopy(obj)}))
            self._moved.notify_all()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        parts = request.path.strip("/").split("/")
        rest = parts[2:] if parts[0] == "api" else parts[3:]
        namespace = ""
        if rest[0] == "namespaces" and len(rest) > 2:
            namespace, rest = rest[1], rest[2:]
        collection, name = rest[0], rest[1] if len(rest) > 1 else ""
        if request.method == "POST":
            return await self._create(collection, namespace, await request.json())
        if request.method == "PATCH":
            self.writes.append((collection, name))
            return await self._patch(collection, namespace, name, await request.json())
        if request.method == "PUT":
            self.writes.append((collection, name))
            return _json(await self.put(collection, await request.json()))
        if name:
            found = self.find(collection, name, namespace)
            return _json(found) if found is not None else _status(404, "NotFound")
        if request.query.get("watch"):
            return await self._watch(request, collection)
        items = list(self.objects.get(collection, {}).values())
        return _json({"metadata": {"resourceVersion": str(self.version)}, "items": items})

    async def _create(self, collection: str, namespace: str, obj: Object) -> web.Response:
        if collection == "tokenreviews":
            return _json(self._review(obj))
        self.writes.append((collection, obj["metadata"]["name"]))
        if self.find(collection, obj["metadata"]["name"], namespace) is not None:
            return _status(409, "AlreadyExists")
        return _json(await self.put(collection, obj))

    def _review(self, review: Object) -> Object:
        self.reviews += 1
        known = self.tokens.get(review["spec"]["token"])
        if known is None:
            return {"status": {"authenticated": False, "error": "no such token"}}
        namespace, account, pod, uid = known
        extra = {
            "authentication.kubernetes.io/pod-name": [pod],
            "authentication.kubernetes.io/pod-uid": [uid],
        }
        if not pod:
            extra = {}
        user = {"username": f"system:serviceaccount:{namespace}:{account}", "extra": extra}
        return {"status": {"authenticated": True, "audiences": review["spec"]["audiences"], "user": user}}

    async def _patch(self, collection: str, namespace: str, name: str, patch: Any) -> web.Response:
        found = self.find(collection, name, namespace)
        if found is None:
            return _status(404, "NotFound")
        new = copy.deepcopy(found)
        return _json(await self.put(collection, self.prune(_merged(new, patch))))

    async def _watch(self, request: web.Request, collection: str) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        seen = int(request.query["resourceVersion"])
        while self._serves:
            for version, kind, event in [event for event in self._events if event[0] > seen]:
                seen = version
                if kind == collection:
                    await response.write(orjson.dumps(event) + b"\n")
            async with self._moved:
                while self._serves and (not self._events or self._events[-1][0] <= seen):
                    await self._moved.wait()
        return response


@asynccontextmanager
async def serving() -> AsyncIterator[FakeApi]:
    """A fake API that serves."""
    api = FakeApi()
    await api.start()
    try:
        yield api
    finally:
        await api.stop()


def _merged(target: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = _merged(merged.get(key), value)
    return merged


def _json(content: object) -> web.Response:
    return web.Response(body=orjson.dumps(content), content_type="application/json")


def _status(code: int, reason: str) -> web.Response:
    return web.Response(
        status=code,
        body=orjson.dumps({"kind": "Status", "code": code, "reason": reason, "message": reason}),
        content_type="application/json",
    )
