"""What the sites answer. The request's host says which site is meant; else it is the one whose address was called."""

from __future__ import annotations

import html
import mimetypes
import os
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mesh_lab.apps.http.messages import Request, Response
from mesh_lab.apps.outside import grpchealth, samplefiles
from mesh_lab.apps.outside.certificates import matching
from mesh_lab.apps.samples.httpbin.forms import PythonForm
from mesh_lab.apps.samples.httpbin.handler import HttpBin

Handler = Callable[[Request], Awaitable[Response]]

MOST_FILE_BYTES = 16 * 1024 * 1024
_READ = ("GET", "HEAD")
_HTML = "text/html; charset=utf-8"


@dataclass(frozen=True)
class Site:
    """A site: its name (`*.NAME`: all below NAME), what it serves, its pages' title, its files' directory."""

    name: str
    serves: str = "page"
    title: str = ""
    root: str = ""
    https_only: bool = False


@dataclass(frozen=True)
class Web:
    """All sites."""

    sites: Sequence[Site]
    _by_name: dict[str, Site] = field(init=False)
    _httpbin: HttpBin = field(init=False, default_factory=lambda: HttpBin(PythonForm(), {}))

    def __post_init__(self) -> None:
        object.__setattr__(self, "_by_name", {site.name: site for site in self.sites})

    def handler(self, own: Site, scheme: str) -> Handler:
        """Return what answers requests that arrive at an address of the site `own`."""

        async def answer(request: Request) -> Response:
            host = request.headers.get("host").partition(":")[0]
            name = matching(self._by_name, host)
            site = own if name is None else self._by_name[name]
            if grpchealth.asked(request):
                return grpchealth.answer(request)
            if site.https_only and scheme == "http":
                location = f"https://{host or site.name}{request.target}"
                return Response(301, headers={"location": location})
            return await self._answer(site, host or site.name, request)

        return answer

    async def _answer(self, site: Site, host: str, request: Request) -> Response:
        if site.serves == "httpbin":
            return await self._httpbin(request)
        if site.serves == "files":
            return _file(site, request)
        return _page(site, host, request)


def _page(site: Site, host: str, request: Request) -> Response:
    title, place = html.escape(site.title or host), html.escape(f"{host}{request.path}")
    text = (
        f'<!DOCTYPE html>\n<html>\n<head>\n<meta charset="utf-8">\n<title>{title}</title>\n</head>\n'
        f"<body>\n<p>This is {place} as the lab has it.</p>\n</body>\n</html>\n"
    )
    return Response(200, text.encode(), _HTML)


def _file(site: Site, request: Request) -> Response:
    """A file of the site's directory, or one that the lab has for it."""
    if request.method not in _READ:
        return Response(405, b"only GET and HEAD\n", headers={"allow": ", ".join(_READ)})
    if site.root and (path := _inside(Path(site.root), request.path)) is not None:
        kind = mimetypes.guess_type(path.name)[0] or "text/plain; charset=utf-8"
        return Response(200, path.read_bytes(), kind)
    if (known := samplefiles.find(site.name, request.path)) is not None:
        return Response(200, known, "text/plain; charset=utf-8")
    return Response(404, b"404: Not Found")


def _inside(root: Path, path: str) -> Path | None:
    """Return the regular file below `root` that a path names; None for any other, whatever links and dots lead to."""
    if "\0" in path:
        return None
    found = Path(os.path.realpath(root / path.lstrip("/")))
    if not found.is_relative_to(os.path.realpath(root)) or not found.is_file():
        return None
    return found if found.stat().st_size <= MOST_FILE_BYTES and os.access(found, os.R_OK) else None
