"""The client of a rollout: its name, its time, and what it says when it has not sent all."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from mesh_lab.rollout.settings import Requests, Rollout
from mesh_lab.rollout.traffic import MOST_SECONDS, NothingSent, batch_seconds, client_of, sender

WANTED = Rollout(route="virtualservice/shop", stable="v1", canary="v2", url="http://shop")


class Client:
    """Stands for the traffic client: notes what it is asked for."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.asked: dict[str, Any] = {}

    def send(self, url: str, count: int, **options: Any) -> list[str]:
        self.asked = {"url": url, "count": count, **options}
        if self.error:
            raise self.error
        return ["a result"]


def test_routes_have_clients_of_their_own() -> None:
    other = msgspec.structs.replace(WANTED, route="httproute/shop")
    assert client_of(WANTED) != client_of(other)
    assert len(client_of(WANTED)) <= 63


def test_a_batch_has_the_time_that_it_takes_when_nothing_is_answered() -> None:
    def seconds(count: int, **asked: Any) -> float:
        return batch_seconds(msgspec.structs.replace(WANTED, requests=Requests(**asked)), count)

    assert seconds(1000, rate=500, concurrency=50, timeout=5) == 2 + 20 * 5 + 10
    assert seconds(50, rate=10, concurrency=50, timeout=1) == 6 + 10
    assert seconds(1000, concurrency=1, timeout=60) == MOST_SECONDS


def test_what_the_file_says_is_what_is_sent() -> None:
    client = Client()
    asked = Requests(rate=20, concurrency=3, timeout=1, headers={"x-tenant": "one"}, method="POST")
    send = sender(client, msgspec.structs.replace(WANTED, requests=asked))  # type: ignore[arg-type]
    assert send(40) == ["a result"]
    assert (client.asked["url"], client.asked["count"]) == ("http://shop", 40)
    for name in ("rate", "concurrency", "timeout", "headers", "method"):
        assert client.asked[name] == getattr(asked, name)


@pytest.mark.parametrize("error", [ValueError("cut short after 3 results"), LookupError("no pod")])
def test_what_was_not_sent_is_told_with_the_address(error: Exception) -> None:
    send = sender(Client(error), WANTED)  # type: ignore[arg-type]
    with pytest.raises(NothingSent, match="the client has not sent 40 requests to http://shop: "):
        send(40)
