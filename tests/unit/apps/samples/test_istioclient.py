"""The client of Istio's tests."""

from __future__ import annotations

import pytest

from mesh_lab.apps.samples import istioclient
from mesh_lab.apps.samples.istioecho import Echo, Identity
from tests.unit.apps.conftest import Start


@pytest.mark.parametrize("scheme", ["http", "grpc"])
async def test_it_prints_answers_in_lines(scheme: str, start: Start, capsys: pytest.CaptureFixture[str]) -> None:
    _, url = await start(Echo(Identity("v1", "echo-v1-x")))
    place = url.replace("http://", f"{scheme}://")
    assert await istioclient._run(place, "GET", {"x-mine": "1"}, 2) == 0
    first, second, rest = capsys.readouterr().out.split("\n\n")
    assert rest == ""
    assert first.splitlines()[:2] == [f"[0] Url={place}", "[0] StatusCode=200"]
    assert "[1 body] Hostname=echo-v1-x" in second.splitlines()
    assert "x-mine:1" in first.lower()


async def test_an_error_is_an_answer_and_silence_is_none(start: Start, capsys: pytest.CaptureFixture[str]) -> None:
    server, url = await start(Echo(Identity("v1", "echo-v1-x")))
    assert await istioclient._run(f"{url}/?codes=503", "GET", {}, 1) == 0
    assert "[0] StatusCode=503" in capsys.readouterr().out
    await server.close(0)
    assert await istioclient._run(url, "GET", {}, 1) == 1
    assert "refused" in capsys.readouterr().err
