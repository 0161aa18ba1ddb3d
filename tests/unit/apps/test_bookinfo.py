"""Bookinfo's services, put together as the published manifests do: by environment variables."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from mesh_lab.apps.__main__ import PROGRAMS
from mesh_lab.apps.bookinfo import __main__ as bookinfo
from mesh_lab.apps.bookinfo import details, mongo, mongodb, ratings
from mesh_lab.apps.bookinfo.productpage import ProductPage, session_user
from mesh_lab.apps.bookinfo.ratings import DatabaseRatings, Ratings
from mesh_lab.apps.bookinfo.reviews import Reviews
from mesh_lab.apps.bookinfo.upstreams import Upstream
from mesh_lab.apps.http.client import fetch, parse_url
from mesh_lab.apps.http.connection import Handler
from mesh_lab.apps.http.messages import Headers, Request, Response

from .conftest import Start


def at(name: str, url: str) -> dict[str, str]:
    return {f"{name}_HOSTNAME": "127.0.0.1", f"{name}_SERVICE_PORT": str(parse_url(url)[0].port)}


NOWHERE = "http://127.0.0.1:1"


async def product_page(start: Start, reviews: str = NOWHERE, book: str = NOWHERE, ratings: str = NOWHERE) -> str:
    env = at("REVIEWS", reviews) | at("DETAILS", book) | at("RATINGS", ratings)
    return (await start(ProductPage(env)))[1]


async def get(url: str) -> Any:
    return json.loads((await fetch(url)).body)


@pytest.mark.parametrize(("version", "colour"), [("v1", None), ("v2", "black"), ("v3", "red")])
async def test_reviews_have_the_stars_of_their_version(start: Start, version: str, colour: str | None) -> None:
    _, ratings = await start(Ratings("v1"))
    env = {"SERVICE_VERSION": version, "HOSTNAME": f"reviews-{version}-abc"} | at("RATINGS", ratings)
    _, url = await start(Reviews(env))
    found = await get(f"{url}/reviews/0")
    assert (found["id"], found["podname"], found["clustername"]) == ("0", f"reviews-{version}-abc", "null")
    stars = [review.get("rating") for review in found["reviews"]]
    assert stars == ([None, None] if colour is None else [{"stars": 5, "color": colour}, {"stars": 4, "color": colour}])


async def test_reviews_say_that_ratings_are_gone(start: Start) -> None:
    _, url = await start(Reviews({"SERVICE_VERSION": "v2"} | at("RATINGS", NOWHERE)))
    found = await get(f"{url}/reviews/0")
    assert [r["rating"]["error"] for r in found["reviews"]] == ["Ratings service is currently unavailable"] * 2


async def test_the_page_shows_details_reviews_and_stars(start: Start) -> None:
    _, ratings = await start(Ratings("v1"))
    _, reviews = await start(Reviews({"SERVICE_VERSION": "v3", "HOSTNAME": "reviews-v3-x"} | at("RATINGS", ratings)))
    _, book = await start(details.answer)
    answer = await fetch(f"{await product_page(start, reviews, book)}/productpage")
    page = answer.body.decode()
    assert answer.status == 200
    assert answer.headers.get("content-type").startswith("text/html")
    assert "<title>Simple Bookstore App</title>" in page, "as Istio's instructions have it"
    assert "William Shakespeare" in page
    assert page.count("color:red") == page.count("text-red-500") == 2
    assert page.count('"glyphicon glyphicon-star"') == 9
    assert "Book Details" in page
    assert "Book Reviews" in page
    assert "on cluster" not in page
    assert "Reviews served by: <u>reviews-v3-x</u>" in page


async def test_the_page_comes_with_an_apology_when_the_rest_is_gone(start: Start) -> None:
    answer = await fetch(f"{await product_page(start)}/productpage")
    page = answer.body.decode()
    assert answer.status == 200
    assert "Sorry, product reviews are currently unavailable for this book." in page
    assert "Sorry, product details are currently unavailable for this book." in page
    assert "Error fetching product reviews" in page
    assert "Error fetching product details" in page
    assert "William Shakespeare" in page, "the summary has the author, which is what tasks look for"


async def test_the_page_names_the_cluster_that_the_reviews_come_from(start: Start) -> None:
    _, reviews = await start(Reviews({"HOSTNAME": "r", "CLUSTER_NAME": "east"}))
    page = (await fetch(f"{await product_page(start, reviews)}/productpage")).body.decode()
    assert "Reviews served by: <u>r</u> on cluster <u>east</u>" in page


async def test_the_page_counts_what_came_of_its_requests(start: Start) -> None:
    _, book = await start(details.answer)
    url = await product_page(start, book=book)
    await fetch(f"{url}/productpage")
    metrics = (await fetch(f"{url}/metrics")).body.decode()
    assert 'request_result_total{destination_app="details",response_code="200"} 1\n' in metrics
    assert 'request_result_total{destination_app="reviews",response_code="500"} 1\n' in metrics


@pytest.mark.parametrize(("version", "period", "healthy"), [("v-unavailable", 60, 200), ("v-unhealthy", 900, 500)])
async def test_ratings_come_and_go_in_the_published_periods(version: str, period: float, healthy: int) -> None:
    times = [1000.0]
    ratings = Ratings(version, lambda: times[-1])
    seen = []
    for periods in (0, 1, 2):
        times.append(1000.0 + periods * period)
        asked = [await ratings(Request("GET", path, Headers())) for path in ("/ratings/0", "/health")]
        seen.append([answer.status for answer in asked])
    assert seen == [[200, 200], [503, healthy], [200, 200]]


async def test_the_programming_interface_passes_errors_on(start: Start) -> None:
    calls: list[str] = []

    async def failing(request: Request) -> Response:
        calls.append(request.path)
        return Response(503)

    _, reviews = await start(failing)
    url = await product_page(start, reviews)
    answer = await fetch(f"{url}/api/v1/products/0/reviews")
    assert answer.status == 503
    assert json.loads(answer.body) == {"error": "Sorry, product reviews are currently unavailable for this book."}
    assert calls == ["/reviews/0"] * 2, "the published page asks reviews twice"


async def test_the_programming_interface_answers_the_published_paths(start: Start) -> None:
    _, ratings = await start(Ratings("v1"))
    _, book = await start(details.answer)
    url = await product_page(start, book=book, ratings=ratings)
    assert (await get(f"{url}/api/v1/products"))[0]["title"] == "The Comedy of Errors"
    assert (await get(f"{url}/api/v1/products/0"))["ISBN-10"] == "1234567890"
    assert (await get(f"{url}/api/v1/products/0/ratings")) == {"id": 0, "ratings": {"Reviewer1": 5, "Reviewer2": 4}}
    assert (await fetch(f"{url}/api/v1/products/zero")).status == 404


async def test_the_user_and_the_trace_travel_with_the_calls(start: Start) -> None:
    seen: list[dict[str, str]] = []

    async def recording(request: Request) -> Response:
        seen.append(request.headers.joined())
        return Response(200, b'{"id": 0}')

    _, url = await start(recording)
    page = await product_page(start, url, url, url)
    headers = {
        "cookie": "other=1; session=jason",
        "traceparent": "00-1-2-01",
        "x-request-id": "r1",
        "x-b3-traceid": "b",
        "user-agent": "firefox",
        "x-other": "stays",
    }
    await fetch(f"{page}/productpage", headers=headers)
    assert len(seen) == 2
    for call in seen:
        assert call["end-user"] == "jason"
        assert {name: call[name] for name in ("traceparent", "x-request-id", "x-b3-traceid", "user-agent")} == {
            name: headers[name] for name in ("traceparent", "x-request-id", "x-b3-traceid", "user-agent")
        }
        assert "x-other" not in call


async def test_signing_in_and_out_sets_and_ends_the_session(start: Start) -> None:
    url = await product_page(start)
    login = await fetch(f"{url}/login", method="POST", body=b"username=J%C3%B6rg+%3Cb%3E")
    cookie = login.headers.get("set-cookie").partition(";")[0]
    assert (login.status, login.headers.get("location")) == (302, "/productpage")
    assert session_user(Request("GET", "/", Headers([("cookie", cookie)]))) == "Jörg <b>"
    page = (await fetch(f"{url}/productpage", headers={"cookie": cookie})).body.decode()
    assert "Jörg &lt;b&gt;" in page
    assert "Max-Age=0" in (await fetch(f"{url}/logout")).headers.get("set-cookie")


@pytest.mark.parametrize("referer", ["https://evil.example//evil.example/", "//evil.example", "javascript:alert(1)"])
async def test_signing_in_leads_to_no_other_host(start: Start, referer: str) -> None:
    url = await product_page(start)
    answer = await fetch(f"{url}/login?username=a", headers={"referer": referer})
    assert answer.headers.get("location") == "/productpage"


async def test_ratings_can_be_set(start: Start) -> None:
    _, url = await start(Ratings("v1"))
    await fetch(f"{url}/ratings/7", method="POST", body=b'{"Reviewer1": 1}')
    assert await get(f"{url}/ratings/7") == {"id": 7, "ratings": {"Reviewer1": 1}}
    assert (await fetch(f"{url}/ratings/7", method="POST", body=b"[1]")).status == 400


@pytest.mark.parametrize(
    ("handler", "path"), [(details.answer, "/details/x"), (Ratings("v1"), "/ratings/-1"), (Ratings("v1"), "/ratings/²")]
)
async def test_a_number_is_asked_for(start: Start, handler: Handler, path: str) -> None:
    request = Request("GET", path, Headers())
    assert (await handler(request)).status == 400


async def test_every_service_is_healthy(start: Start) -> None:
    for handler in (details.answer, Ratings("v1"), Reviews({}), ProductPage({})):
        assert (await handler(Request("GET", "/health", Headers()))).status == 200


def test_hosts_come_from_the_published_variables() -> None:
    env = {"RATINGS_HOSTNAME": "stars", "SERVICES_DOMAIN": "shop.svc.cluster.local", "RATINGS_SERVICE_PORT": "80"}
    assert Upstream("ratings", 1, env).origin.authority == "stars.shop.svc.cluster.local"
    assert Upstream("ratings", 1, {}).origin.authority == "ratings:9080"


async def test_each_call_has_a_connection_of_its_own() -> None:
    ended: asyncio.Queue[int] = asyncio.Queue()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        calls = 0
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while await reader.readuntil(b"\r\n\r\n"):
                calls += 1
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")
        writer.close()
        ended.put_nowait(calls)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        upstream = Upstream("details", 5, {"DETAILS_HOSTNAME": "127.0.0.1", "DETAILS_SERVICE_PORT": str(port)})
        for _ in range(3):
            assert (await upstream.get("/", {})).body == b"{}"
        assert [await asyncio.wait_for(ended.get(), 10) for _ in range(3)] == [1, 1, 1]


@pytest.fixture
async def database() -> AsyncIterator[str]:
    """The ratings' database; its URL."""
    server = await mongodb.listen(0, "127.0.0.1")
    yield f"mongodb://127.0.0.1:{server.sockets[0].getsockname()[1]}/test"
    server.close()


async def test_ratings_of_v2_come_from_the_database(start: Start, database: str) -> None:
    _, url = await start(DatabaseRatings({"MONGO_DB_URL": database}))
    assert await get(f"{url}/ratings/3") == {"id": 3, "ratings": {"Reviewer1": 5, "Reviewer2": 4}}
    assert (await fetch(f"{url}/ratings/3", method="POST", body=b"{}")).status == 501
    assert (await fetch(f"{url}/ratings/x")).status == 400
    assert (await fetch(f"{url}/health")).status == 200
    assert (await fetch(f"{url}/")).status == 404


async def test_ratings_without_their_database_say_so(start: Start, capsys: pytest.CaptureFixture[str]) -> None:
    _, url = await start(DatabaseRatings({"MONGO_DB_URL": "mongodb://127.0.0.1:1/test"}))
    answer = await fetch(f"{url}/ratings/0")
    assert (answer.status, json.loads(answer.body)) == (500, {"error": "could not connect to ratings database"})
    assert "127.0.0.1:1" in capsys.readouterr().err


def test_the_version_chooses_where_ratings_come_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVICE_VERSION", "v1")
    assert isinstance(ratings.service(), Ratings)
    monkeypatch.setenv("SERVICE_VERSION", "v2")
    assert isinstance(ratings.service(), DatabaseRatings)
    monkeypatch.setenv("DB_TYPE", "mysql")
    with pytest.raises(SystemExit, match="the lab has no MySQL"):
        ratings.service()


def test_the_databases_manifest_gives_it_options(monkeypatch: pytest.MonkeyPatch) -> None:
    served: list[int] = []
    monkeypatch.setattr(mongodb, "serve", lambda port: served.append(port) or 0)
    assert bookinfo.main(["mongodb", "--ipv6", "--bind_ip_all"]) == 0
    assert served == [27017]


@pytest.mark.parametrize(
    ("given", "port"), [(["reviews"], 9080), (["reviews", "9081"], 9081), (["--ipv6", "reviews"], 9080)]
)
def test_a_service_is_given_by_its_name_and_maybe_a_port(
    given: list[str], port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    served: list[tuple[str, list[int]]] = []
    monkeypatch.setattr(bookinfo, "run", lambda name, _, ports: served.append((name, ports)) or 0)
    assert bookinfo.main(given) == 0
    assert served == [("reviews", [port])]
    with pytest.raises(SystemExit):
        bookinfo.main(["review"])


def test_a_service_loads_no_parser_of_arguments() -> None:
    code = (
        "import sys; from mesh_lab.apps.bookinfo import __main__ as program; program.run = lambda *_: 0; "
        "program.main(['reviews']); sys.exit('argparse' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_idle_pod_needs_tls_only_with_its_control_port() -> None:
    traffic = PROGRAMS["traffic"]
    assert not traffic.speaks_tls(["--serve", "--port", "8081"])
    assert all(traffic.speaks_tls([given, "9000"]) for given in ("--control", "--cont", "--control=9000"))
    assert PROGRAMS["send"].speaks_tls([])
    assert not PROGRAMS["bookinfo"].speaks_tls(["reviews"])


def test_documents_travel_whole() -> None:
    document = {"a": 1, "b": 1 << 40, "c": 1.5, "d": "é", "e": {"f": [True, None, "x"]}, "g": []}
    assert mongo.decode(mongo.encode(document)) == document
    # An object's identifier and binary data, as drivers send them, are read over.
    extra = b"\x07_id\0" + bytes(12) + b"\x05b\0" + b"\x02\0\0\0\0xy" + b"\x10n\0\x07\0\0\0"
    data = (len(extra) + 5).to_bytes(4, "little") + extra + b"\0"
    assert mongo.decode(data) == {"_id": None, "b": None, "n": 7}
    for wrong in (b"", b"\xff\xff\xff\x7f\x02a\0", b"\x08\0\0\0\x63a\0\0"):
        with pytest.raises(mongo.MongoError):
            mongo.decode(wrong)


def test_the_database_knows_few_commands() -> None:
    assert mongodb.run_command({"ping": 1}) == {"ok": 1.0}
    assert mongodb.run_command({"hello": 1})["isWritablePrimary"] is True
    found = mongodb.run_command({"find": "ratings", "$db": "test", "filter": {"rating": 4}})
    assert found["cursor"]["firstBatch"] == [{"rating": 4}]
    refused = mongodb.run_command({"dropDatabase": 1})
    assert (refused["ok"], refused["code"]) == (0.0, 59)


async def test_what_is_not_the_protocol_ends_the_connection(database: str) -> None:
    place = urlsplit(database)
    reader, writer = await asyncio.open_connection(place.hostname, place.port)
    writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert await reader.read() == b""
    writer.close()
