"""What everybody may ask without saying who they are: the version and the health of the API server."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web

from lab.kube.api.answers import json_response
from lab.kube.api.context import INFO

OPEN_PATHS = ("/version", "/healthz", "/livez", "/readyz")


def is_open(path: str) -> bool:
    """Whether a path is answered without authentication."""
    return any(path == open_path or path.startswith(open_path + "/") for open_path in OPEN_PATHS)


def add_routes(app: web.Application) -> None:
    """Serve the version and the health checks."""
    app.router.add_get("/version", _version)
    app.router.add_get("/version/", _version)
    for path in OPEN_PATHS[1:]:
        app.router.add_get(path, _health)
        app.router.add_get(path + "/{check:.*}", _health)


async def _version(request: web.Request) -> web.Response:
    version = request.app[INFO].version
    major, minor = version.removeprefix("v").split(".")[:2]
    return json_response(
        {
            "major": major,
            "minor": minor,
            "gitVersion": version,
            "gitCommit": "",
            "gitTreeState": "clean",
            "buildDate": "1970-01-01T00:00:00Z",
            "goVersion": "",
            "compiler": "",
            "platform": "linux/amd64",
        }
    )


async def _health(request: web.Request) -> web.Response:
    """`ok`, or with `?verbose` (and in trouble) a line a check in the format of a real server."""
    kind = request.path.split("/")[1]
    checks: dict[str, Callable[[], bool]] = {"ping": lambda: True}
    if kind == "readyz":
        checks |= request.app[INFO].ready
    only = request.match_info.get("check", "").strip("/")
    if only:
        if only not in checks:
            raise web.HTTPNotFound
        checks = {only: checks[only]}
    left_out = set(request.query.getall("exclude", []))
    results = {name: check() for name, check in checks.items() if name not in left_out}
    passed = all(results.values())
    if passed and "verbose" not in request.query:
        return web.Response(text="ok")
    lines = [f"[+]{name} ok" if fine else f"[-]{name} failed: not ready" for name, fine in results.items()]
    lines.append(f"{kind} check {'passed' if passed else 'failed'}")
    return web.Response(text="\n".join(lines) + "\n", status=200 if passed else 500)
