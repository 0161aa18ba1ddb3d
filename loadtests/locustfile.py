"""Bookinfo under load: people who read the page, sign in, and programs that ask the API.

Settings come from the environment: locust's own (LOCUST_USERS, LOCUST_RUN_TIME, ...), LOAD_SHAPE (steady, ramp, spike),
and the limits LOAD_MAX_P99_MS and LOAD_MAX_ERROR_RATIO, which make locust exit with 1 when they are broken. Lines of
the log that start with MESH-LAB are for the program that started the run.
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from typing import Any

import gevent
import locust.runners
from locust import FastHttpUser, LoadTestShape, between, events, task
from locust.env import Environment
from locust.runners import MasterRunner, WorkerRunner
from shapes import users_at

# Both pages, the published one and the lab's, name the pod that gave the reviews.
REVIEWS_POD = re.compile(r"\breviews-(v\d+)-")
PROGRESS_SECONDS = 1.0
versions: Counter[str] = Counter()
most: Counter[str] = Counter()
"""The most users that there were at a time: when the run is over, there are none."""

# Progress is printed every second; locust's workers would report only every third.
locust.runners.WORKER_REPORT_INTERVAL = PROGRESS_SECONDS


class Reader(FastHttpUser):
    """Reads the page again and again; now and then signs in, or asks the API."""

    wait_time = between(0.1, 0.5)
    connection_timeout = 5.0
    network_timeout = 10.0

    @task(6)
    def product_page(self) -> None:
        """Read the page; it is a failure when details or reviews are missing."""
        with self.client.get("/productpage", catch_response=True) as response:
            if response.status_code == 200 and "Error fetching product" in (response.text or ""):
                response.failure("the page came without its details or reviews")
            _count_version(response.text or "")

    @task(2)
    def reviews(self) -> None:
        """Ask the API for a product's reviews."""
        with self.client.get("/api/v1/products/0/reviews", catch_response=True) as response:
            _count_version(response.text or "")

    @task(1)
    def products(self) -> None:
        """Ask the API for the products."""
        self.client.get("/api/v1/products")

    @task(1)
    def sign_in(self) -> None:
        """Sign in."""
        self.client.post("/login", data={"username": "reader"}, allow_redirects=False)


def _count_version(text: str) -> None:
    if found := REVIEWS_POD.search(text):
        versions[found.group(1)] += 1


class Shape(LoadTestShape):
    """The shape that LOAD_SHAPE names, within the users and the time that locust was given."""

    use_common_options = True

    def tick(self) -> tuple[int, float] | None:
        """Return users and spawn rate for now; None ends the run."""
        options = self.runner.environment.parsed_options
        shape = os.environ.get("LOAD_SHAPE", "steady")
        users = users_at(shape, self.get_run_time(), float(options.run_time or 60), int(options.num_users or 1))
        return None if users is None else (users, float(options.spawn_rate or users))


@events.report_to_master.add_listener
def send_versions(client_id: str, data: dict[str, Any]) -> None:  # noqa: ARG001 - locust's interface
    """A worker reports what it has counted since the last time."""
    data["versions"] = dict(versions)
    versions.clear()


@events.worker_report.add_listener
def take_versions(client_id: str, data: dict[str, Any]) -> None:  # noqa: ARG001 - locust's interface
    """The master adds it up."""
    versions.update(data.get("versions", {}))


@events.test_start.add_listener
def begin(environment: Environment, **_: Any) -> None:
    """Print the progress every second, on the master."""
    versions.clear()
    most.clear()
    if not isinstance(environment.runner, WorkerRunner):
        gevent.spawn(_tell_progress, environment)


def _tell_progress(environment: Environment) -> None:
    while environment.runner and environment.runner.state not in ("stopped", "stopping", "cleanup"):
        gevent.sleep(PROGRESS_SECONDS)
        figures = _figures(environment)
        most["users"] = max(most["users"], figures["users"])
        _tell("PROGRESS", figures)


@events.quitting.add_listener
def judge(environment: Environment, **_: Any) -> None:
    """Compare the run with its limits; print the outcome."""
    if isinstance(environment.runner, WorkerRunner):
        return
    figures = _figures(environment) | {"users": most["users"]}
    broken = _broken_limits(figures)
    if isinstance(environment.runner, MasterRunner) and not figures["requests"]:
        broken.append("no request was made")
    environment.process_exit_code = 1 if broken else 0
    _tell("SUMMARY", figures | {"broken_limits": broken})


def _figures(environment: Environment) -> dict[str, Any]:
    total = environment.stats.total
    percentiles = {f"p{share}_ms": total.get_response_time_percentile(share / 100) or 0 for share in (50, 90, 99)}
    return {
        "users": environment.runner.user_count if environment.runner else 0,
        "seconds": round(max(0.0, (total.last_request_timestamp or 0) - (total.start_time or 0)), 1),
        "requests": total.num_requests,
        "failures": total.num_failures,
        "requests_per_second": round(total.total_rps, 1),
        "current_requests_per_second": round(total.current_rps, 1),
        "error_ratio": round(total.fail_ratio, 5),
        "versions": dict(sorted(versions.items())),
        **percentiles,
    }


def _broken_limits(figures: dict[str, Any]) -> list[str]:
    limits = {"p99_ms": os.environ.get("LOAD_MAX_P99_MS"), "error_ratio": os.environ.get("LOAD_MAX_ERROR_RATIO")}
    return [
        f"{name} is {figures[name]:g}, the limit is {float(limit):g}"
        for name, limit in limits.items()
        if limit and figures[name] > float(limit)
    ]


def _tell(what: str, figures: dict[str, Any]) -> None:
    print(f"MESH-LAB {what} {json.dumps(figures)}", flush=True)  # noqa: T201 - the log of the pod is its output
