"""The connection to an API server: what it trusts, what it asks, how it fails."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from mesh_lab.client.api import Api
from mesh_lab.client.connection import ApiError, ClusterUnreachable
from mesh_lab.errors import LabError
from tests.unit.client.serving import serve


def test_it_reads_a_document_over_one_connection(tmp_path: Path) -> None:
    def answer(path: str) -> Any:
        return {"path": path, "thread": threading.get_ident()}

    with serve(tmp_path, answer) as (_, kubeconfig), Api(kubeconfig) as api:
        first, second = api.request("GET", "/a"), api.request("GET", "/b?x=1")
    assert (first["path"], second["path"]) == ("/a", "/b?x=1")
    assert first["thread"] == second["thread"]


def test_a_refusal_carries_the_servers_words(tmp_path: Path) -> None:
    with serve(tmp_path, lambda _: (403, "you may not")) as (_, kubeconfig), Api(kubeconfig) as api:
        with pytest.raises(ApiError) as failure:
            api.request("GET", "/a")
        assert (failure.value.code, failure.value.message) == (403, "you may not")


def test_a_connection_that_the_server_closed_is_opened_again(tmp_path: Path) -> None:
    with serve(tmp_path, lambda path: {"path": path}) as (_, kubeconfig), Api(kubeconfig) as api:
        api.request("GET", "/a")
        drop(api)
        assert api.request("GET", "/b") == {"path": "/b"}


def test_an_answer_that_is_closed_twice_gives_its_connection_to_one_request_only(tmp_path: Path) -> None:
    with serve(tmp_path, lambda path: {"path": path}) as (_, kubeconfig), Api(kubeconfig) as api:
        with api.begin("GET", "/a", timeout=5) as answer:
            answer.rest()
            answer.close()
        with api.begin("GET", "/b", timeout=5) as under_way:
            assert api.request("POST", "/c", body={}) == {"path": "/c"}
            assert "/b" in under_way.rest()


def test_a_server_that_is_not_there_is_reported(tmp_path: Path) -> None:
    with serve(tmp_path, lambda _: {}) as (server, kubeconfig):
        port = server.port
    with Api(kubeconfig) as api, pytest.raises(ApiError, match=f"127.0.0.1:{port} does not answer") as failure:
        api.request("GET", "/a")
    assert failure.value.code == 0


def test_a_server_that_dies_while_it_is_asked_is_reported_each_time(tmp_path: Path) -> None:
    """As a lab's does that is killed: connections are accepted, and closed in the middle of TLS's handshake."""
    with contextlib.ExitStack() as living:
        server, kubeconfig = living.enter_context(serve(tmp_path, lambda _: {}))
        with Api(kubeconfig) as api:
            api.request("GET", "/a")
            drop(api)
            port = server.port
            living.close()
            with socket.create_server(("127.0.0.1", port)) as dying:
                threading.Thread(target=hang_up, args=(dying,), daemon=True).start()
                for _ in range(3):
                    with pytest.raises(ApiError, match="does not answer"):
                        api.request("GET", "/a")


@pytest.mark.parametrize(("method", "sent"), [("GET", 2), ("POST", 1)])
def test_only_a_get_is_sent_again_when_a_kept_connection_closes(tmp_path: Path, method: str, sent: int) -> None:
    def answer(path: str) -> Any:
        if path == "/a":
            return {}
        raise ConnectionAbortedError

    with serve(tmp_path, answer) as (server, kubeconfig), Api(kubeconfig) as api:
        api.request("GET", "/a")
        with pytest.raises(ClusterUnreachable, match="does not answer"):
            api.request(method, "/b", body={})
    assert server.paths == ["/a"] + ["/b"] * sent


def test_requests_of_several_threads_do_not_wait_for_each_other(tmp_path: Path) -> None:
    both = threading.Barrier(2, timeout=10)

    def answer(_path: str) -> Any:
        both.wait()
        return {}

    with serve(tmp_path, answer) as (_, kubeconfig), Api(kubeconfig) as api:
        asking = threading.Thread(target=api.request, args=("GET", "/a"))
        asking.start()
        assert api.request("GET", "/b") == {}
        asking.join()
        assert len(api._connections._idle) == 2


def test_an_answer_that_is_left_unread_takes_its_connection_with_it(tmp_path: Path) -> None:
    with serve(tmp_path, lambda _: {}) as (_, kubeconfig), Api(kubeconfig) as api:
        with api.begin("GET", "/a", timeout=5) as exchange:
            assert exchange.status == 200
        assert api._connections._idle == []
        with api.begin("GET", "/a", timeout=5) as exchange:
            assert exchange.rest() == "{}"
        assert len(api._connections._idle) == 1


def drop(api: Api) -> None:
    """Have the connection that the client keeps be closed."""
    ((_, kept),) = api._connections._idle
    kept.sock.shutdown(socket.SHUT_RDWR)


def hang_up(listening: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while True:
            listening.accept()[0].close()


def test_a_foreign_server_is_not_trusted(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "theirs").mkdir()
    with (
        serve(tmp_path / "mine", lambda _: {}) as (_, mine),
        serve(tmp_path / "theirs", lambda _: {}) as (theirs, _),
    ):
        config = yaml.safe_load(mine.read_text())
        config["clusters"][0]["cluster"]["server"] = f"https://127.0.0.1:{theirs.port}"
        mine.write_text(yaml.safe_dump(config))
        with Api(mine) as api, pytest.raises(ApiError, match="CERTIFICATE_VERIFY_FAILED"):
            api.request("GET", "/a")


def test_a_watch_yields_changes_until_the_server_ends_it(tmp_path: Path) -> None:
    def answer(_path: str) -> Iterator[tuple[str, Any]]:
        yield "ADDED", {"n": 1}
        yield "DELETED", {"n": 1}

    with serve(tmp_path, answer) as (server, kubeconfig), Api(kubeconfig) as api:
        assert list(api.watch("/a", "7", silence=5)) == [("ADDED", {"n": 1}), ("DELETED", {"n": 1})]
        assert server.paths == ["/a?watch=true&resourceVersion=7"]


def test_a_watch_ends_when_nothing_happens(tmp_path: Path) -> None:
    over = threading.Event()

    def answer(_path: str) -> Iterator[tuple[str, Any]]:
        yield "ADDED", {}
        over.wait(10)

    with serve(tmp_path, answer) as (_, kubeconfig), Api(kubeconfig) as api:
        started = time.monotonic()
        assert len(list(api.watch("/a", "7", silence=0.1))) == 1
        assert time.monotonic() - started < 5
        over.set()


def test_an_error_within_a_watch_is_raised(tmp_path: Path) -> None:
    def answer(_path: str) -> Iterator[tuple[str, Any]]:
        yield "ERROR", {"code": 410, "message": "too old"}

    with serve(tmp_path, answer) as (_, kubeconfig), Api(kubeconfig) as api:
        with pytest.raises(ApiError, match="too old") as failure:
            list(api.watch("/a", "7", silence=5))
        assert failure.value.code == 410


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is not a kubeconfig"),
        ("[1, 2", "is not a kubeconfig"),
        ("current-context: gone\ncontexts: []\n", "no 'gone' among its contexts"),
        (
            (
                "current-context: c\ncontexts: [{name: c, context: {cluster: c, user: u}}]\n"
                "clusters: [{name: c, cluster: {server: 'https://127.0.0.1:1'}}]\nusers: [{name: u, user: {}}]\n"
            ),
            "neither a client certificate, a token nor a login program",
        ),
    ],
)
def test_a_kubeconfig_that_leads_nowhere_is_reported(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "kubeconfig"
    file.write_text(text)
    with pytest.raises(LabError, match=message):
        Api(file)


def test_a_missing_kubeconfig_is_named(tmp_path: Path) -> None:
    with pytest.raises(LabError, match=r"cannot read the kubeconfig .*/kubeconfig: No such file"):
        Api(tmp_path / "kubeconfig")
