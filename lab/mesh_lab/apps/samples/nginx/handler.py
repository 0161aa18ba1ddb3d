"""nginx' answers: the server by name, the location by path, then `return` or a file."""

from __future__ import annotations

import mimetypes
import re
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from mesh_lab.apps.http.messages import REASONS, Request, Response
from mesh_lab.apps.samples.nginx.config import DEFAULT_ROOT, Place, Server, expand

_HTML = "text/html"
_WELCOME = """<!DOCTYPE html>
<html>
<head>
<title>Welcome to nginx!</title>
</head>
<body>
<h1>Welcome to nginx!</h1>
<p>This is the lab's program for the image of that name: the page where no other is configured.</p>
</body>
</html>
"""
_MOVED = (301, 302, 303, 307, 308)


class Nginx:
    """The handler of all ports."""

    def __init__(self, servers: Sequence[Server]) -> None:
        self._servers = servers

    async def __call__(self, request: Request) -> Response:
        """Answer one request, and write a line about it."""
        host = urlsplit(f"//{request.headers.get('host')}").hostname or ""
        server = choose(self._servers, request.port, host)
        response = _answer(server, request, host)
        response.headers = [("server", "nginx"), *response.fields]
        _log(request, response)
        return response


def choose(servers: Sequence[Server], port: int, name: str) -> Server:
    """The server of a port that has the name; else the port's default one, or its first."""
    here = [server for server in servers if any(listen.port == port for listen in server.listens)] or list(servers)
    for matches in (_exactly, _by_wildcard):
        for server in here:
            if any(matches(known.lower(), name.lower()) for known in server.names):
                return server
    default = (one for one in here if any(listen.port == port and listen.default for listen in one.listens))
    return next(default, here[0])


def _exactly(known: str, name: str) -> bool:
    return known == name


def _by_wildcard(known: str, name: str) -> bool:
    if known.startswith("*."):
        return name.endswith(known[1:])
    if known.endswith(".*"):
        return name.startswith(known[:-1])
    return known.startswith(".") and (name.endswith(known) or name == known[1:])


def _answer(server: Server, request: Request, host: str) -> Response:
    if server.tls.verify == "on" and request.tls is not None and not request.tls.certified:
        return _page(400, "400 No required SSL certificate was sent", "No required SSL certificate was sent")
    place = _place(server, request.path)
    values = _Values(server, request, host)
    headers = [(name, expand(text, values.of)) for name, text in place.headers]
    if place.answer is not None:
        return _returned(place, values, headers)
    if request.method not in ("GET", "HEAD"):
        return _page(405)
    found = _file(place, request.path)
    if found.status < 400:
        found.headers = [*found.fields, *headers]
    return found


def _place(server: Server, path: str) -> Place:
    """http://nginx.org/en/docs/http/ngx_http_core_module.html#location."""
    for location in server.locations:
        if location.kind == "=" and location.pattern == path:
            return location.place
    prefixes = [one for one in server.locations if one.kind in ("", "^~") and path.startswith(one.pattern)]
    longest = max(prefixes, key=lambda one: len(one.pattern), default=None)
    if longest is None or longest.kind != "^~":
        for location in server.locations:
            flags = re.IGNORECASE if location.kind == "~*" else 0
            if location.kind in ("~", "~*") and re.search(location.pattern, path, flags):
                return location.place
    return longest.place if longest is not None else server.place


class _Values:
    """The variables of a request."""

    def __init__(self, server: Server, request: Request, host: str) -> None:
        self._request = request
        self._known = {
            "args": request.target.partition("?")[2],
            "host": host,
            "hostname": socket.gethostname(),
            "remote_addr": request.peer.removeprefix("::ffff:"),
            "request_method": request.method,
            "request_uri": request.target,
            "scheme": "https" if request.tls is not None else "http",
            "server_name": server.names[0],
            "server_port": str(request.port),
            "uri": request.path,
        }

    def of(self, name: str) -> str:
        """A variable's value."""
        if name.startswith("http_"):
            value = self._request.headers.get(name[5:].replace("_", "-"))
        elif name.startswith("arg_"):
            value = self._request.query.get(name[4:], "")
        else:
            value = self._known[name]
        return "".join(c for c in value if c.isprintable())


def _returned(place: Place, values: _Values, headers: list[tuple[str, str]]) -> Response:
    assert place.answer is not None
    code, text = place.answer
    shown = expand(text, values.of)
    if code in _MOVED:
        page = _page(code)
        page.headers = [("location", shown.encode("latin-1", "replace").decode("latin-1")), *headers]
        return page
    if not text and code >= 400:
        return _page(code)
    return Response(code, shown.encode(), place.content_type or "text/plain", headers)


def _file(place: Place, path: str) -> Response:
    root = Path(place.root)
    if place.root == DEFAULT_ROOT and not root.is_dir():
        return Response(200, _WELCOME.encode(), _HTML) if path in ("/", "/index.html") else _page(404)
    names = [f"{path}{index}" for index in place.index] if path.endswith("/") else [path]
    for name in names:
        file = (root / name.lstrip("/")).resolve()
        if not file.is_relative_to(root.resolve()) or "\0" in name:
            return _page(403)
        if file.is_dir():
            page = _page(301)
            page.headers = [("location", f"{path}/")]
            return page
        try:
            body = file.read_bytes()
        except FileNotFoundError:
            continue
        except OSError:
            return _page(403)
        kind = mimetypes.guess_type(file.name)[0] or place.content_type or "application/octet-stream"
        return Response(200, body, kind)
    return _page(403 if path.endswith("/") and path != "/" and (root / path.strip("/")).is_dir() else 404)


def _page(code: int, title: str = "", detail: str = "") -> Response:
    title = title or f"{code} {REASONS.get(code, '')}"
    shown = f"<center><h1>{title.replace(detail, 'Bad Request') if detail else title}</h1></center>\r\n"
    more = f"<center>{detail}</center>\r\n" if detail else ""
    text = f"<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n{shown}{more}<hr><center>nginx</center>\r\n"
    return Response(code, f"{text}</body>\r\n</html>\r\n".encode(), _HTML)


def _log(request: Request, response: Response) -> None:
    now = time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime())
    size = len(response.body) if isinstance(response.body, bytes) else 0
    line = f'"{request.method} {request.target} {request.protocol}" {response.status} {size}'
    agent = request.headers.get("user-agent", "-")
    sys.stdout.write(f'{request.peer.removeprefix("::ffff:")} - - [{now}] {line} "-" "{agent}"\n')
    sys.stdout.flush()
