"""The servers of the lab's internet: which site answers what, with which certificate, and when the program ends."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import ssl
from pathlib import Path

import pytest

from mesh_lab.apps.http.client import Client, Origin
from mesh_lab.apps.http.messages import Headers, Request, Response
from mesh_lab.apps.outside import program
from mesh_lab.apps.outside.certificates import matching
from mesh_lab.apps.outside.program import Entry, read, serve
from mesh_lab.apps.outside.sites import Site, Web
from mesh_lab.kube import trust

HTTPBIN = Site("httpbin.org", "httpbin")
NEWS = Site("news.example", title="<News>", https_only=True)
ANY = Site("*.any.example")
FILES = Site("raw.githubusercontent.com", "files")
JWKS = "/istio/istio/release-1.30/security/tools/jwt/samples/jwks.json"


async def get(
    target: str, host: str, *, own: Site = HTTPBIN, scheme: str = "https", files: Site = FILES, method: str = "GET"
) -> Response:
    web = Web([HTTPBIN, NEWS, ANY, files])
    return await web.handler(own, scheme)(Request(method, target, Headers([("host", host)])))


def body(response: Response) -> str:
    assert isinstance(response.body, bytes)
    return response.body.decode()


@pytest.mark.parametrize(
    ("host", "name"),
    [("any.example", None), ("x.any.example", "*.any.example"), ("NEWS.example", "news.example"), ("", None)],
)
def test_a_host_is_the_site_of_its_name_or_of_a_wildcard_above(host: str, name: str | None) -> None:
    assert matching({"news.example": 1, "*.any.example": 2}, host) == name


async def test_the_host_says_which_site_is_meant_and_otherwise_the_address_does() -> None:
    assert "<title>&lt;News&gt;</title>" in body(await get("/", "news.example:443"))
    assert "<title>x.any.example</title>" in body(await get("/", "x.any.example"))
    alias = await get("/headers", "my-httpbin.default.svc.cluster.local")
    assert json.loads(body(alias))["headers"]["Host"] == "my-httpbin.default.svc.cluster.local"


async def test_a_site_for_https_only_redirects_plain_http() -> None:
    response = await get("/politics?a=1", "news.example", scheme="http")
    assert (response.status, dict(response.fields)) == (301, {"location": "https://news.example/politics?a=1"})
    assert (await get("/politics", "news.example")).status == 200


@pytest.mark.parametrize(
    ("target", "status"),
    [(JWKS, 200), (JWKS.replace("release-1.30", "master"), 200), ("/istio/istio/jwks.json", 404), ("/", 404)],
)
async def test_the_public_key_of_istios_samples_is_where_its_tasks_look(target: str, status: int) -> None:
    response = await get(target, FILES.name)
    assert response.status == status
    if status == 200:
        (key,) = json.loads(body(response))["keys"]
        assert (key["kty"], key["e"]) == ("RSA", "AQAB")


async def test_files_come_from_their_directory_and_from_nowhere_else(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "below").mkdir(parents=True)
    (root / "below" / "a.json").write_text("{}")
    (tmp_path / "secret").write_text("secret")
    (root / "link").symlink_to(tmp_path / "secret")
    files = Site(FILES.name, "files", root=str(root))
    found = await get("/below/a.json", FILES.name, files=files)
    assert (found.status, body(found), found.content_type) == (200, "{}", "application/json")
    for target in ("/../secret", "/%2e%2e/secret", "/link", "/below", "//etc/passwd", "/a%00b"):
        assert (await get(target, FILES.name, files=files)).status == 404
    assert (await get(JWKS, FILES.name, files=files)).status == 200
    assert (await get("/below/a.json", FILES.name, files=files, method="PUT")).status == 405


def listening() -> tuple[socket.socket, int]:
    sock = socket.create_server(("127.0.0.1", 0))
    return sock, sock.getsockname()[1]


async def test_names_have_their_own_certificates_and_http2_is_negotiated(tmp_path: Path) -> None:
    authority = trust.ensure(tmp_path)
    sock, port = listening()
    pem = {name: b"".join(authority.issue([name])).decode() for name in (NEWS.name, ANY.name)}
    entries = [Entry(NEWS, pem[NEWS.name], (("https", sock),)), Entry(ANY, pem[ANY.name], ())]
    serving = asyncio.create_task(serve(entries))
    trusted = ssl.create_default_context(cadata=authority.pem.decode())
    trusted.set_alpn_protocols(["h2"])
    health = {"host": "news.example", "content-type": "application/grpc", "te": "trailers"}
    for name in ("news.example", "x.any.example"):
        client = Client(Origin("https", "127.0.0.1", port, name), http2=True, tls=trusted)
        answer = await client.request("GET", "/", {"host": name})
        assert (answer.status, answer.protocol) == (200, "HTTP/2")
        answer = await client.request("POST", "/grpc.health.v1.Health/Check", health, b"\0" * 5)
        assert answer.body == b"\0\0\0\0\x02\x08\x01"
        client.close()
    with pytest.raises(ssl.SSLCertVerificationError):
        await asyncio.open_connection("127.0.0.1", port, ssl=trusted, server_hostname="other.example")
    serving.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await serving


async def test_it_ends_when_nobody_has_called_for_a_while_and_not_while_somebody_is_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sock, port = listening()
    monkeypatch.setattr(program, "_LOOK_SECONDS", 0.02)
    serving = asyncio.create_task(serve([Entry(HTTPBIN, "", (("tcp", sock),))], idle_seconds=0.2))
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"hello")
    assert await reader.readexactly(5) == b"hello"
    done, _ = await asyncio.wait([serving], timeout=0.6)
    assert not done
    writer.close()
    await asyncio.wait_for(serving, 20)


def test_what_the_kube_process_writes_is_read(tmp_path: Path) -> None:
    sock, port = listening()
    listeners = [{"kind": "http", "descriptor": os.dup(sock.fileno())}]
    site = {"name": "a.example", "serves": "page", "title": "A", "root": "", "https_only": True, "certificate": "C"}
    document = os.open(tmp_path / "document", os.O_RDWR | os.O_CREAT)
    os.write(document, json.dumps([site | {"listeners": listeners}]).encode())
    os.lseek(document, 0, os.SEEK_SET)
    (entry,) = read(document)
    assert (entry.site, entry.certificate) == (Site("a.example", title="A", https_only=True), "C")
    ((kind, inherited),) = entry.listeners
    assert (kind, inherited.getsockname()[1]) == ("http", port)
    inherited.close()
    sock.close()
