"""httpbin in its two forms: what Istio's tasks ask it, and what they read in the answer."""

from __future__ import annotations

import base64
import gzip
import json
import re
import zlib
from typing import Any

import pytest

from mesh_lab.apps.http.answers import Answer
from mesh_lab.apps.http.client import fetch
from mesh_lab.apps.samples.httpbin import program
from mesh_lab.apps.samples.httpbin.accesslog import Line, logged, of_go_httpbin, of_gunicorn
from mesh_lab.apps.samples.httpbin.forms import GoForm, PythonForm
from mesh_lab.apps.samples.httpbin.handler import HttpBin
from tests.unit.apps.conftest import Start

FORMS = {"go": GoForm, "python": PythonForm}


class Bin:
    """One of the two, at a URL."""

    def __init__(self, url: str) -> None:
        self.url = url

    async def ask(self, path: str, method: str = "GET", body: bytes = b"", **headers: str) -> Answer:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        return await fetch(self.url + path, method=method, headers=given, body=body)

    async def json(self, path: str, method: str = "GET", body: bytes = b"", **headers: str) -> Any:
        return json.loads((await self.ask(path, method, body, **headers)).body)


async def begin(start: Start, form: str, **environment: str) -> Bin:
    return Bin((await start(HttpBin(FORMS[form](), environment)))[1])


async def test_go_httpbin_tells_every_value_as_a_list(start: Start) -> None:
    seen = await (await begin(start, "go")).json("/get?a=1&a=2", x_forwarded_client_cert="URI=spiffe://x")
    assert seen["args"] == {"a": ["1", "2"]}
    assert seen["headers"]["X-Forwarded-Client-Cert"] == ["URI=spiffe://x"]
    assert seen["method"] == "GET"
    assert seen["origin"] == "127.0.0.1"
    assert list(seen) == ["args", "headers", "method", "origin", "url"]


async def test_pythons_httpbin_tells_values_as_strings_and_hides_what_proxies_add(start: Start) -> None:
    server = await begin(start, "python")
    chain = {
        "x_forwarded_for": "1.2.3.4, 5.6.7.8",
        "x_request_id": "r",
        "x_b3_traceid": "t",
        "x_forwarded_proto": "https",
    }
    seen = await server.json("/get?a=1", **chain)
    assert seen["args"] == {"a": "1"}
    assert seen["headers"]["X-B3-Traceid"] == "t"
    assert {"X-Forwarded-For", "X-Request-Id"}.isdisjoint(seen["headers"])
    assert seen["origin"] == "1.2.3.4, 5.6.7.8"
    assert seen["url"].startswith("https://127.0.0.1")
    shown = await server.json("/get?show_env=true", **chain)
    assert shown["headers"]["X-Forwarded-For"] == "1.2.3.4, 5.6.7.8", "the task on trusted proxies reads it"


@pytest.mark.parametrize("form", FORMS)
async def test_a_posted_form_and_json_are_taken_apart(start: Start, form: str) -> None:
    server = await begin(start, form)
    one = ["b"] if form == "go" else "b"
    posted = await server.json("/post", "POST", b"a=b", content_type="application/x-www-form-urlencoded")
    assert posted["form"] == {"a": one}
    sent = await server.json("/anything/below", "PUT", b'{"a": 1}', content_type="application/json")
    assert (sent["json"], sent["data"], sent["method"]) == ({"a": 1}, '{"a": 1}', "PUT")
    parts = b'--x\r\nContent-Disposition: form-data; name="f"; filename="n"\r\n\r\nin the file\r\n--x--\r\n'
    filed = await server.json("/post", "POST", parts, content_type="multipart/form-data; boundary=x")
    assert filed["files"] == {"f": ["in the file"] if form == "go" else "in the file"}


async def test_go_httpbin_refuses_a_body_that_is_not_the_json_that_it_claims(start: Start) -> None:
    answer = await (await begin(start, "go")).ask("/post", "POST", b"{", content_type="application/json")
    assert answer.status == 400
    assert "error parsing request body" in json.loads(answer.body)["detail"]


@pytest.mark.parametrize("form", FORMS)
async def test_a_status_is_given_as_asked_or_drawn_by_weight(start: Start, form: str) -> None:
    server = await begin(start, form)
    for code in (200, 404, 418, 503):
        assert (await server.ask(f"/status/{code}")).status == code
    drawn = {(await server.ask("/status/200,503:3")).status for _ in range(60)}
    assert drawn == {200, 503}
    assert (await server.ask("/status/503:1,200:0")).status == 503
    assert (await server.ask("/status/302")).headers.get("location") == "/redirect/1"
    for wrong in ("x", "99", "200:x", "200:0"):
        assert (await server.ask(f"/status/{wrong}")).status == 400


async def test_the_teapot_is_drawn_where_the_published_one_is(start: Start) -> None:
    assert b"-=[ teapot ]=-" in (await (await begin(start, "python")).ask("/status/418")).body
    assert (await (await begin(start, "go")).ask("/status/418")).body == b"I'm a teapot!"


@pytest.mark.parametrize("form", FORMS)
async def test_an_answer_is_late_by_the_delay_asked_for(start: Start, form: str) -> None:
    server = await begin(start, form)
    assert (await server.json("/delay/0.01"))["url"].endswith("/delay/0.01")
    assert (await server.ask("/delay/soon")).status == 400


async def test_go_httpbin_refuses_delays_beyond_ten_seconds(start: Start) -> None:
    answer = await (await begin(start, "go")).ask("/delay/11s")
    assert (answer.status, "longer than 10s" in answer.body.decode()) == (400, True)


@pytest.mark.parametrize("form", FORMS)
async def test_cookies_are_set_deleted_and_told(start: Start, form: str) -> None:
    server = await begin(start, form)
    answer = await server.ask("/cookies/set?a=1&b=2")
    cookies = [value.partition(";")[0] for name, value in answer.headers.pairs if name == "set-cookie"]
    assert (answer.status, answer.headers.get("location"), cookies) == (302, "/cookies", ["a=1", "b=2"])
    assert "Max-Age=0" in (await server.ask("/cookies/delete?a")).headers.get("set-cookie")
    told = await server.json("/cookies", cookie="a=1; b=2")
    assert (told if form == "go" else told["cookies"]) == {"a": "1", "b": "2"}
    assert (await server.ask("/cookies/set?a=1%0d%0aX:y")).status == 400


@pytest.mark.parametrize("form", FORMS)
async def test_redirects_count_down_to_get(start: Start, form: str) -> None:
    server = await begin(start, form)
    assert (await server.ask("/redirect/2")).headers.get("location") == "/relative-redirect/1"
    assert (await server.ask("/relative-redirect/1")).headers.get("location") == "/get"
    assert (await server.ask("/absolute-redirect/1")).headers.get("location") == f"{server.url}/get"
    to = await server.ask("/redirect-to?url=/headers&status_code=307")
    assert (to.status, to.headers.get("location")) == (307, "/headers")
    assert (await server.ask("/redirect-to")).status == 400
    assert (await server.ask("/redirect-to?url=/a%0d%0aX:y")).status == 400


@pytest.mark.parametrize("form", FORMS)
async def test_passwords_and_tokens_are_asked_for(start: Start, form: str) -> None:
    server = await begin(start, form)
    right = "Basic " + base64.b64encode(b"user:word").decode()
    refused = await server.ask("/basic-auth/user/word", authorization="Basic x")
    assert (refused.status, refused.headers.get("www-authenticate")) == (401, 'Basic realm="Fake Realm"')
    assert (await server.json("/basic-auth/user/word", authorization=right))["user"] == "user"
    assert (await server.ask("/hidden-basic-auth/user/other", authorization=right)).status == 404
    assert (await server.ask("/bearer")).status == 401
    assert await server.json("/bearer", authorization="Bearer t") == {"authenticated": True, "token": "t"}


@pytest.mark.parametrize("form", FORMS)
async def test_headers_of_the_answer_are_those_of_the_query(start: Start, form: str) -> None:
    server = await begin(start, form)
    answer = await server.ask("/response-headers?x-a=1&x-a=2&Content-Type=text/plain")
    assert [value for name, value in answer.headers.pairs if name == "x-a"] == ["1", "2"]
    assert answer.headers.get("content-type") == "text/plain"
    assert json.loads(answer.body)["x-a"] == ["1", "2"]
    assert (await server.ask("/response-headers?a%0d%0ab=1")).status == 400


@pytest.mark.parametrize("form", FORMS)
async def test_bytes_come_whole_in_pieces_and_in_ranges(start: Start, form: str) -> None:
    server = await begin(start, form)
    whole = (await server.ask("/bytes/40?seed=7")).body
    assert len(whole) == 40
    assert (await server.ask("/stream-bytes/40?seed=7&chunk_size=9")).body == whole
    part = await server.ask("/range/30", range="bytes=24-27")
    assert (part.status, part.body, part.headers.get("content-range")) == (206, b"yzab", "bytes 24-27/30")
    assert (await server.ask("/range/30", range="bytes=-2")).body == b"cd"
    assert (await server.ask("/range/30", range="bytes=30-")).status == 416
    lines = (await server.ask("/stream/3")).body.splitlines()
    assert [json.loads(line)["id"] for line in lines] == [0, 1, 2]
    dripped = await server.ask("/drip?numbytes=4&duration=0.01&delay=0&code=202")
    assert (dripped.status, dripped.body) == (202, b"****")
    assert (await server.ask("/drip?numbytes=0")).status == 400


@pytest.mark.parametrize("form", FORMS)
async def test_what_is_known_already_is_not_sent_again(start: Start, form: str) -> None:
    server = await begin(start, form)
    first = await server.ask("/cache")
    assert first.headers.get("etag")
    assert (await server.ask("/cache", if_none_match=first.headers.get("etag"))).status == 304
    assert (await server.ask("/cache/60")).headers.get("cache-control") == "public, max-age=60"
    assert (await server.ask("/etag/x", if_none_match='"x"')).status == 304
    assert (await server.ask("/etag/x", if_match='"y"')).status == 412


@pytest.mark.parametrize("form", FORMS)
async def test_compressed_answers_and_base64(start: Start, form: str) -> None:
    server = await begin(start, form)
    assert json.loads(gzip.decompress((await server.ask("/gzip")).body))["gzipped"] is True
    assert json.loads(zlib.decompress((await server.ask("/deflate")).body))["deflated"] is True
    assert (await server.ask("/base64/aGVsbG8=")).body == b"hello"
    assert (await server.ask("/base64/encode/hello")).body == b"aGVsbG8="


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("path", "content_type", "part"),
    [
        ("/", "text/html", b"httpbin"),
        ("/html", "text/html", b"Herman Melville - Moby-Dick"),
        ("/xml", "application/xml", b"<slideshow"),
        ("/json", "application/json", b'"slideshow"'),
        ("/robots.txt", "text/plain", b"Disallow: /deny"),
        ("/deny", "text/plain", b"YOU SHOULDN'T BE HERE"),
        ("/forms/post", "text/html", b"<form"),
        ("/encoding/utf8", "text/html", b"Unicode"),
        ("/image", "image/png", b"PNG"),
        ("/image/jpeg", "image/jpeg", b"\xff\xd8\xff"),
        ("/image/svg", "image/svg+xml", b"<svg"),
        ("/image/webp", "image/webp", b"WEBP"),
        ("/user-agent", "application/json", b"user-agent"),
        ("/uuid", "application/json", b"-4"),
        ("/ip", "application/json", b"127.0.0.1"),
    ],
)
async def test_fixed_paths(start: Start, form: str, path: str, content_type: str, part: bytes) -> None:
    answer = await (await begin(start, form)).ask(path)
    assert answer.status == 200
    assert answer.headers.get("content-type").startswith(content_type)
    assert part in answer.body


async def test_images_follow_the_header_accept(start: Start) -> None:
    server = await begin(start, "go")
    assert (await server.ask("/image", accept="image/webp")).headers.get("content-type") == "image/webp"
    assert (await server.ask("/image", accept="text/plain")).status == 415


async def test_only_go_httpbin_tells_its_host_name_and_its_environment(start: Start) -> None:
    server = await begin(start, "go", HTTPBIN_ENV_A="1", HOSTNAME="pod", B="2")
    assert await server.json("/hostname") == {"hostname": "go-httpbin"}
    assert await server.json("/env") == {"env": {"HTTPBIN_ENV_A": "1"}}
    real = await begin(start, "go", USE_REAL_HOSTNAME="1", HOSTNAME="pod")
    assert await real.json("/hostname") == {"hostname": "pod"}
    assert (await (await begin(start, "python")).ask("/hostname")).status == 404


@pytest.mark.parametrize("form", FORMS)
async def test_browsers_of_any_origin_may_read_answers(start: Start, form: str) -> None:
    server = await begin(start, form)
    assert (await server.ask("/get")).headers.get("access-control-allow-origin") == "*"
    asked = await server.ask("/get", "OPTIONS", origin="https://a.example", access_control_request_headers="x-a")
    assert asked.status == 200
    assert asked.headers.get("access-control-allow-origin") == "https://a.example"
    assert asked.headers.get("access-control-allow-headers") == "x-a"


@pytest.mark.parametrize("form", FORMS)
async def test_what_is_not_there_says_so(start: Start, form: str) -> None:
    server = await begin(start, form)
    assert (await server.ask("/nothing")).status == 404
    assert (await server.ask("/status")).status == 404
    assert (await server.ask("/post")).status == 405
    assert (await server.ask("/digest-auth/auth/u/p")).status == 501


def test_the_published_commands_are_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    served: list[list[int]] = []
    monkeypatch.setattr(program, "run", lambda _name, _handler, ports: served.append(list(ports)) or 0)
    assert program.gunicorn(["-b", "0.0.0.0:80", "httpbin:app", "-k", "gevent"]) == 0
    assert program.gunicorn(["--access-logfile", "-", "-b", "[::]:8080", "httpbin:app"]) == 0
    assert program.go_httpbin([]) == 0
    assert program.go_httpbin(["-port", "9090"]) == 0
    assert served == [[80], [8080], [8080], [9090]]


def test_another_application_of_gunicorn_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        program.gunicorn(["shop:app"])
    assert "the lab has no gunicorn, only httpbin:app; not shop:app" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("form", "line", "expected"),
    [
        (
            "go",
            of_go_httpbin,
            r'time="[^"]+" status=200 method="GET" uri="/ip\?a=1" size_bytes=\d+ duration_ms=[\d.]+ ',
        ),
        ("python", of_gunicorn, r'127\.0\.0\.1 - - \[[^]]+\] "GET /ip\?a=1 HTTP/1.1" 200 \d+ "-" "me"\n'),
    ],
)
async def test_the_log_has_a_line_for_each_request(
    start: Start, capsys: pytest.CaptureFixture[str], form: str, line: Line, expected: str
) -> None:
    _, url = await start(logged(HttpBin(FORMS[form](), {}), line))
    await fetch(f"{url}/ip?a=1", headers={"user-agent": "me"})
    assert re.match(expected, capsys.readouterr().out)
