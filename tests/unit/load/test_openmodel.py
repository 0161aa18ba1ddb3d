"""An open model, with real Locust and a server that stalls: what a closed one leaves out, it counts."""

from __future__ import annotations

import pytest

from tests.unit.load.standin import run, stalling

RATE = 40
SECONDS = 4
SETTINGS = {"LOCUST_USERS": "2", "LOCUST_RUN_TIME": f"{SECONDS}s"}


def test_a_closed_model_hides_a_stall_and_an_open_one_tells_it() -> None:
    with stalling(1.0, 2.5) as server:
        closed = run(f"http://127.0.0.1:{server.server_port}", SETTINGS | {"LOCUST_USERS": "1"})
    with stalling(1.0, 2.5) as server:
        opened = run(f"http://127.0.0.1:{server.server_port}", SETTINGS | {"LOAD_RATE": str(RATE)})
    # One user was caught by the stall, once, with the only request that it made meanwhile.
    assert closed["p95_ms"] < 100
    # Of the requests that were due in four seconds, those of one and a half waited for up to that long.
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
    assert found["arrivals"]["due"] == pytest.approx(RATE * SECONDS, rel=0.25)
    assert found["requests"] == found["arrivals"]["due"] - found["arrivals"]["dropped"]
    assert found["dropped_ratio"] < 0.02


def test_what_nobody_answered_is_said_and_breaks_the_run() -> None:
    # The server never answers again: no latency tells of it, for there is none.
    with stalling(1.0, 60.0) as server:
        found = run(
            f"http://127.0.0.1:{server.server_port}",
            SETTINGS | {"LOAD_RATE": "20", "LOAD_LIMITS": '["dropped>0%"]'},
            workers=1,
        )
    lost = found["arrivals"]["dropped"] + found["arrivals"]["unfinished"]
    assert found["arrivals"]["ended"] + lost == found["arrivals"]["due"] == pytest.approx(80, abs=3)
    assert lost >= 50
    assert found["broken_limits"] == [f"dropped>0%: it is {found['dropped_ratio']:.4g}"]


SETS = """
from locust import FastHttpUser, SequentialTaskSet, constant, task


class Order(SequentialTaskSet):
    @task
    def first(self):
        self.client.get("/first")

    @task
    def second(self):
        self.client.get("/second")
        self.client.get("/third")

    @task
    def leave(self):
        self.interrupt()


class Shopper(FastHttpUser):
    wait_time = constant(60)
    tasks = {Order: 1}

    def on_start(self):
        self.client.get("/login")
"""
RAISES = """
from locust import FastHttpUser, task


class Visitor(FastHttpUser):
    @task
    def visit(self):
        self.client.get("/")
        raise ValueError("not mine")
"""


def test_an_arrival_is_a_task_of_any_set_of_tasks_and_waits_for_no_wait_time() -> None:
    with stalling(0, 0) as server:
        found = run(f"http://127.0.0.1:{server.server_port}", SETTINGS | {"LOAD_RATE": "30"}, users=SETS)
    count = {each["name"]: each["requests"] for each in found["endpoints"]}
    begun = found["arrivals"]["begun"]
    assert begun == pytest.approx(30 * SECONDS, rel=0.25)
    # A third of the tasks leave the set, and ask for nothing.
    assert count["/first"] == pytest.approx(begun / 3, abs=3)
    assert count["/second"] == count["/third"] == pytest.approx(begun / 3, abs=3)
    assert "/login" not in count, "what users do before the first arrival is not measured"


def test_a_task_that_raises_breaks_the_run_with_its_line() -> None:
    settings = SETTINGS | {"LOCUST_RUN_TIME": "2s", "LOAD_RATE": "10", "LOAD_LOCUSTFILE": "theirs.py"}
    with stalling(0, 0) as server:
        found = run(f"http://127.0.0.1:{server.server_port}", settings, users=RAISES)
    (raised,) = found["exceptions"]
    assert (raised["where"], raised["error"]) == ("theirs.py:9", "not mine")
    assert raised["count"] == found["requests"]
    assert found["broken_limits"] == [f"a task raised {raised['count']} times, at theirs.py:9: not mine"]


def test_a_search_ends_at_the_level_that_breaks_a_limit() -> None:
    settings = {
        "LOCUST_USERS": "20",
        "LOCUST_RUN_TIME": "20s",
        "LOAD_RATE": "80",
        "LOAD_SHAPE": "breakpoint",
        "LOAD_STEPS": "4",
        "LOAD_LIMITS": '["rps>30"]',
    }
    with stalling(0, 0) as server:
        found = run(f"http://127.0.0.1:{server.server_port}", settings)
    search = found["breakpoint"]
    assert (search["held"], search["broke"]) == (20, 40)
    assert [step["requests_per_second"] for step in search["steps"]] == [
        pytest.approx(20, rel=0.2),
        pytest.approx(40, rel=0.2),
    ]
    assert found["broken_limits"] == [], "a search breaks its limits on purpose"
