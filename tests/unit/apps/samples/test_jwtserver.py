"""The server of public keys, over HTTP and HTTPS."""

from __future__ import annotations

import base64
import json
import ssl
from contextlib import closing
from pathlib import Path

import pytest

from mesh_lab.apps.http.client import Client, Origin, fetch
from mesh_lab.apps.http.server import Server
from mesh_lab.apps.samples import jwtserver
from tests.unit.apps.conftest import Start

from .certificates import Authority


async def test_every_path_has_the_keys(start: Start) -> None:
    _, url = await start(jwtserver.answer)
    for path in ("/", "/jwtkeys", "/jwtkeys?delay=1ms"):
        answer = await fetch(url + path)
        key = json.loads(answer.body)["keys"][0]
        assert (answer.status, key["kty"], key["e"]) == (200, "RSA", "AQAB")
        assert len(base64.urlsafe_b64decode(key["n"] + "==")) == 256, "a key of 2048 bits"
    assert (await fetch(f"{url}/?delay=soon")).status == 400


async def test_over_https_with_the_certificate_that_is_mounted(tmp_path: Path) -> None:
    authority = Authority(tmp_path, "root")
    files = authority.issue("jwt-server")
    server = Server(jwtserver.answer)
    port = await server.listen("127.0.0.1", 0, jwtserver.context(str(files.certificate), str(files.key)))
    context = ssl.create_default_context(cafile=str(authority.certificate))
    with closing(Client(Origin("https", "127.0.0.1", port, "jwt-server"), tls=context, keep=False)) as client:
        assert b'"keys"' in (await client.request("GET", "/")).body
    await server.close(0.1)


def test_a_certificate_that_is_missing_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert jwtserver.main(["-https", "8443", "-cert", "/no/server.crt", "-key", "/no/server.key"]) == 1
    assert "jwt-server: /no/server.crt, /no/server.key: " in capsys.readouterr().err
