"""An open model, with real Locust and a server that stalls: what a closed one leaves out, it counts."""

from __future__ import annotations

import pytest

from tests.unit.load.standin import run, stalling

RATE = 40
SETTINGS = {"LOCUST_USERS": "2", "LOCUST_RUN_TIME": "6s"}


def test_a_closed_model_hides_a_stall_and_an_open_one_tells_it() -> None:
    with stalling(1.5, 3.0) as server:
        closed = run(f"http://127.0.0.1:{server.server_port}", SETTINGS | {"LOCUST_USERS": "1"})
    with stalling(1.5, 3.0) as server:
        opened = run(f"http://127.0.0.1:{server.server_port}", SETTINGS | {"LOAD_RATE": str(RATE)})
    # One user was caught by the stall, once, with the only request that it made meanwhile.
    assert closed["p95_ms"] < 100
    # Of the requests that were due in six seconds, those of one and a half waited for up to that long.
    assert opened["p90_ms"] > 700
    assert opened["p50_ms"] < 100
    assert opened["arrivals"]["late"] > RATE
    assert opened["requests"] == opened["arrivals"]["due"] - opened["arrivals"]["dropped"]


@pytest.mark.parametrize("workers", [0, 2])
def test_arrivals_keep_their_rate_whatever_the_number_of_workers(workers: int) -> None:
    with stalling(0, 0) as server:
        found = run(
            f"http://127.0.0.1:{server.server_port}",
            SETTINGS | {"LOCUST_USERS": "20", "LOAD_RATE": str(RATE)},
            workers=workers,
        )
    assert found["arrivals"]["due"] == pytest.approx(RATE * 6, rel=0.1)
    assert found["requests"] == found["arrivals"]["due"] - found["arrivals"]["dropped"]
    assert found["dropped_ratio"] < 0.02
