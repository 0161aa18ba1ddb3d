"""What a load run of the lab adds to any locustfile: its shape, its progress, its figures and its limits.

Locust loads it before the file with the users. Settings come from the environment: locust's own (LOCUST_USERS,
LOCUST_RUN_TIME, ...); LOAD_SHAPE (steady, ramp, spike, or own: the shape that the locustfile has); LOAD_WARM_UP,
seconds that are left out; LOAD_VERSION_BY (`header:NAME` or `json:a.b`), where a response says its version; and the
limits LOAD_MAX_P99_MS and LOAD_MAX_ERROR_RATIO, which make locust exit with 1 when they are broken. Lines of the log
that start with MESH-LAB are for the program that started the run.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from typing import Any

import gevent
import locust.runners
from locust import LoadTestShape, events
from locust.env import Environment
from locust.runners import MasterRunner, WorkerRunner
from shapes import users_at
from windows import Windows

PROGRESS_SECONDS = 1.0
SHAPE = os.environ.get("LOAD_SHAPE") or "steady"
WARM_UP = float(os.environ.get("LOAD_WARM_UP") or 0)
ERRORS_SHOWN = 10
versions: Counter[str] = Counter()
most: Counter[str] = Counter()
"""The most users that there were at a time: when the run is over, there are none."""
over_time = Windows()

# Progress is printed every second; locust's workers would report only every third.
locust.runners.WORKER_REPORT_INTERVAL = PROGRESS_SECONDS


def count_version(name: str) -> None:
    """Count a response of a version. A locustfile may call it: `from meshload import count_version`."""
    versions[name] += 1


if SHAPE != "own":

    class Shape(LoadTestShape):
        """The shape that LOAD_SHAPE names, within the users and the time that locust was given."""

        use_common_options = True

        def tick(self) -> tuple[int, float] | None:
            """Return users and spawn rate for now; None ends the run."""
            options = self.runner.environment.parsed_options
            users = users_at(SHAPE, self.get_run_time(), _seconds(options), int(options.num_users or 1))
            return None if users is None else (users, float(options.spawn_rate or users))


def _seconds(options: Any) -> float:
    return float(options.run_time or 60)


@events.request.add_listener
def see_version(response: Any = None, exception: Any = None, **_: Any) -> None:
    """Count the version that a response says by a header or in its JSON, if it is to be read there."""
    where, _, name = (os.environ.get("LOAD_VERSION_BY") or "").partition(":")
    if not name or response is None or exception is not None:
        return
    found = _in_header(response, name) if where == "header" else _in_json(response, name)
    count_version(found if found is not None else "none")


def _in_header(response: Any, name: str) -> str | None:
    value = (getattr(response, "headers", None) or {}).get(name)
    return None if value is None else str(value)


def _in_json(response: Any, path: str) -> str | None:
    try:
        found = json.loads(response.text or "")
        for step in path.removeprefix("$").strip(".").split("."):
            found = found[int(step)] if isinstance(found, list) else found[step]
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        return None
    return str(found)


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
    """Print the progress every second, on the master, and see to the end."""
    versions.clear()
    most.clear()
    over_time.clear()
    if isinstance(environment.runner, WorkerRunner):
        return
    gevent.spawn(_tell_progress, environment)
    if WARM_UP:
        gevent.spawn_later(WARM_UP, _leave_out, environment)
    # A shape of the locustfile's own may have no end.
    if SHAPE == "own" and environment.parsed_options and environment.parsed_options.headless:
        gevent.spawn_later(_seconds(environment.parsed_options), environment.runner.quit)


def _leave_out(environment: Environment) -> None:
    """Forget what was measured until now."""
    environment.stats.reset_all()
    versions.clear()
    over_time.clear()


def _tell_progress(environment: Environment) -> None:
    while environment.runner and environment.runner.state not in ("stopped", "stopping", "cleanup"):
        gevent.sleep(PROGRESS_SECONDS)
        total = environment.stats.total
        over_time.add(total.num_requests, total.num_failures, total.response_times, dict(versions))
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
    details = {"endpoints": _endpoints(environment), "errors": _errors(environment), "windows": over_time.rows()}
    _tell("SUMMARY", figures | details | {"broken_limits": broken})


def _figures(environment: Environment) -> dict[str, Any]:
    total = environment.stats.total
    return {
        "users": environment.runner.user_count if environment.runner else 0,
        "seconds": round(max(0.0, (total.last_request_timestamp or 0) - (total.start_time or 0)), 1),
        "current_requests_per_second": round(total.current_rps, 1),
        "versions": dict(sorted(versions.items())),
        **_measured(total),
    }


def _measured(entry: Any) -> dict[str, Any]:
    """The figures of locust's statistics of an endpoint, or of all."""
    percentiles = {f"p{share}_ms": entry.get_response_time_percentile(share / 100) or 0 for share in (50, 90, 95, 99)}
    return {
        "requests": entry.num_requests,
        "failures": entry.num_failures,
        "requests_per_second": round(entry.total_rps, 1),
        "error_ratio": round(entry.fail_ratio, 5),
        **percentiles,
        "max_ms": entry.max_response_time,
    }


def _endpoints(environment: Environment) -> list[dict[str, Any]]:
    entries = environment.stats.entries
    return [
        {"method": method or "", "name": name, **_measured(entries[name, method])} for name, method in sorted(entries)
    ]


def _errors(environment: Environment) -> list[dict[str, Any]]:
    """The most frequent failures."""
    found = sorted(environment.stats.errors.values(), key=lambda error: -error.occurrences)
    return [
        {"count": error.occurrences, "method": error.method or "", "name": error.name, "error": str(error.error)}
        for error in found[:ERRORS_SHOWN]
    ]


def _broken_limits(figures: dict[str, Any]) -> list[str]:
    limits = {"p99_ms": os.environ.get("LOAD_MAX_P99_MS"), "error_ratio": os.environ.get("LOAD_MAX_ERROR_RATIO")}
    return [
        f"{name} is {figures[name]:g}, the limit is {float(limit):g}"
        for name, limit in limits.items()
        if limit and figures[name] > float(limit)
    ]


def _tell(what: str, figures: dict[str, Any]) -> None:
    print(f"MESH-LAB {what} {json.dumps(figures)}", flush=True)  # noqa: T201 - the log of the pod is its output
