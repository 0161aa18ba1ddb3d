"""What is served without authentication: the version and the health checks."""

from __future__ import annotations

from aiohttp import web

from mesh_lab.kube.api.bodies.answers import json_response
from mesh_lab.kube.api.context import INFO, Checks, ClusterInfo

OPEN_PATHS = ("/version", "/healthz", "/livez", "/readyz")


def is_open(path: str) -> bool:
    """Return whether a path is served without authentication."""
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
    """Answer `ok`, or with `?verbose` (and on failure) a line a check in the format of a real server.

    https://kubernetes.io/docs/reference/using-api/health-checks/. A real server withholds the reasons.
    """
    kind = request.path.split("/")[1]
    checks = _checks(request.app[INFO], kind)
    only = request.match_info.get("check", "").strip("/")
    if only:
        if only not in checks:
            raise web.HTTPNotFound
        checks = {only: checks[only]}
    left_out = request.query.getall("exclude", [])
    lines = []
    failed = False
    for name, check in checks.items():
        if name in left_out:
            lines.append(f"[+]{name} excluded: ok")
        elif why := check():
            failed = True
            lines.append(f"[-]{name} failed: {why}")
        else:
            lines.append(f"[+]{name} ok")
    if unknown := [name for name in left_out if name not in checks]:
        names = ", ".join(f'"{name}"' for name in unknown)
        lines.append(f"warn: some health checks cannot be excluded: no matches for {names}")
    if not failed and "verbose" not in request.query:
        return web.Response(text="ok")
    lines.append(f"{kind} check {'failed' if failed else 'passed'}")
    return web.Response(text="\n".join(lines) + "\n", status=500 if failed else 200)


def _checks(info: ClusterInfo, kind: str) -> Checks:
    """Return the checks of `/livez`, or those of `/readyz`."""
    alive = {"ping": lambda: "", **info.alive}
    return {**alive, **info.ready} if kind == "readyz" else alive
