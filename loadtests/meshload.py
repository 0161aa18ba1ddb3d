"""What a load run of the lab adds to any locustfile: its shape, its progress, its figures and its limits.

Locust loads it before the file with the users. Settings come from the environment: locust's own (LOCUST_USERS,
LOCUST_RUN_TIME, ...); LOAD_SHAPE (steady, ramp, ..., or own: the shape that the locustfile has); LOAD_WARM_UP,
seconds that are left out; LOAD_RATE, the tasks a second of an open model; LOAD_VERSION_BY (`header:NAME` or
`json:a.b`), where a response says its version; LOAD_STEPS, those of a search for a breakpoint;
LOAD_LOCUSTFILE, what users.py was called; and LOAD_LIMITS, a JSON
list of limits that make locust exit with 1 when they are broken (mesh_lab/load/limits.py is beside this file then).
Lines of the log that start with MESH-LAB are for the program that started the run.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator
from typing import Any

import gevent
import locust.runners
import measuring
import openmodel
from arrivals import BACKLOG_SECONDS, Counts, carried, open_tasks
from limits import broken, parse
from locust import LoadTestShape, events
from locust.env import Environment
from locust.runners import STATE_RUNNING, MasterRunner, WorkerRunner
from shapes import level_at, users_at
from stepping import Stepping
from steps import Search, Snapshot
from windows import Windows

PROGRESS_SECONDS = 1.0
REPORTS_SECONDS = 2 * PROGRESS_SECONDS
"""After so long all workers have told of what was due until then."""
DRAIN_SECONDS = BACKLOG_SECONDS + 5.0
BREAKPOINT = "breakpoint"
SHAPE = os.environ.get("LOAD_SHAPE") or "steady"
WARM_UP = float(os.environ.get("LOAD_WARM_UP") or 0)
RATE = float(os.environ.get("LOAD_RATE") or 0)
"""Tasks a second, of all workers together, that begin whatever has become of those before; 0 for users that wait."""
STEPS = int(os.environ.get("LOAD_STEPS") or 10)
LIMITS = tuple(parse(text) for text in json.loads(os.environ.get("LOAD_LIMITS") or "[]"))
versions: Counter[str] = Counter()
most: Counter[str] = Counter()
"""The most users that there were at a time: when the run is over, there are none."""
over_time = Windows()
arrivals: Counter[str] = Counter()
outcome: list[Stepping] = []
"""The search for a breakpoint, once it has begun."""
model = openmodel.install() if RATE else None

# Progress is printed every second; locust's workers would report only every third.
locust.runners.WORKER_REPORT_INTERVAL = PROGRESS_SECONDS


def count_version(name: str) -> None:
    """Count a response of a version. A locustfile may call it: `from meshload import count_version`."""
    versions[name] += 1


if SHAPE != "own":

    class Shape(LoadTestShape):
        """The shape that LOAD_SHAPE names, within the users and the time that locust was given."""

        use_common_options = True

        def __init__(self) -> None:
            super().__init__()
            self._begun: float | None = None
            self._ended: float | None = None
            self._stepping: Stepping | None = None

        def tick(self) -> tuple[int, float] | None:
            """Return users and spawn rate for now; None ends the run."""
            options = self.runner.environment.parsed_options
            now, whole, users = self.get_run_time(), _seconds(options), int(options.num_users or 1)
            if RATE:
                return (users, float(users)) if self._keep_rate(now, whole) else None
            if SHAPE == BREAKPOINT:
                level = self._step(now, whole, users)
                return None if level is None else (round(level), float(users))
            level = users_at(SHAPE, now, whole, users)
            return None if level is None else (level, float(options.spawn_rate or users))

        def _keep_rate(self, now: float, whole: float) -> bool:
            """See to the rate of now; False when the run is over."""
            if self._begun is None:
                # Before all users are there, arrivals would wait for them.
                if self.runner.state != STATE_RUNNING:
                    return True
                self._begun = now
                gevent.spawn_later(WARM_UP, _leave_out, self.runner.environment)
            elapsed = now - self._begun
            level = self._step(elapsed, whole, RATE) if SHAPE == BREAKPOINT else level_at(SHAPE, elapsed, whole, RATE)
            openmodel.tell_rate(self.runner, level or 0.0)
            return level is not None or (SHAPE != BREAKPOINT and not self._drained(now))

        def _drained(self, now: float) -> bool:
            """Whether the tasks that were due have had their time: the slowest must not be left out for coming last."""
            if self._ended is None:
                self._ended = now
            waited = now - self._ended
            return waited > DRAIN_SECONDS or (waited > REPORTS_SECONDS and not open_tasks(arrivals))

        def _step(self, elapsed: float, whole: float, peak: float) -> float | None:
            if self._stepping is None:
                seconds = (whole - WARM_UP) / STEPS
                self._stepping = Stepping(Search(peak, STEPS, seconds, whole=not RATE), LIMITS)
                outcome.append(self._stepping)
            return self._stepping.level(elapsed - WARM_UP, _snapshot(self.runner.environment))


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
def send_counts(client_id: str, data: dict[str, Any]) -> None:  # noqa: ARG001 - locust's interface
    """A worker reports what it has counted since the last time."""
    data["versions"] = dict(versions)
    versions.clear()
    if model is not None:
        data["arrivals"] = model.backlog.counts.take()


@events.worker_report.add_listener
def take_counts(client_id: str, data: dict[str, Any]) -> None:  # noqa: ARG001 - locust's interface
    """The master adds it up."""
    versions.update(data.get("versions", {}))
    arrivals.update(data.get("arrivals", {}))


@events.test_start.add_listener
def begin(environment: Environment, **_: Any) -> None:
    """Print the progress every second, on the master, and see to the end."""
    versions.clear()
    arrivals.clear()
    most.clear()
    over_time.clear()
    if isinstance(environment.runner, WorkerRunner):
        return
    gevent.spawn(_tell_progress, environment)
    if WARM_UP and not RATE:
        gevent.spawn_later(WARM_UP, _leave_out, environment)
    # A shape of the locustfile's own may have no end.
    if SHAPE == "own" and environment.parsed_options and environment.parsed_options.headless:
        gevent.spawn_later(_seconds(environment.parsed_options), environment.runner.quit)


def _leave_out(environment: Environment) -> None:
    """Forget what was measured until now."""
    environment.stats.reset_all()
    versions.clear()
    left = carried(arrivals)
    arrivals.clear()
    arrivals.update(left)
    over_time.clear()


def _tell_progress(environment: Environment) -> None:
    while environment.runner and environment.runner.state not in ("stopped", "stopping", "cleanup"):
        gevent.sleep(PROGRESS_SECONDS)
        total = environment.stats.total
        _take_own_arrivals(environment)
        over_time.add(total.num_requests, total.num_failures, total.response_times, dict(versions), _arrivals())
        figures = _figures(environment)
        most["users"] = max(most["users"], figures["users"])
        _tell("PROGRESS", figures | {"elapsed": over_time.elapsed})


def _take_own_arrivals(environment: Environment) -> None:
    """Without workers this process has users and figures alike."""
    if model is not None and not isinstance(environment.runner, MasterRunner):
        arrivals.update(model.backlog.counts.take())


@events.quitting.add_listener
def judge(environment: Environment, **_: Any) -> None:
    """Compare the run with its limits; print the outcome."""
    if isinstance(environment.runner, WorkerRunner):
        return
    _take_own_arrivals(environment)
    if RATE:
        arrivals["unfinished"] = max(0, open_tasks(arrivals))
    figures = _figures(environment) | {
        "users": most["users"],
        "endpoints": measuring.endpoints(environment),
        "errors": measuring.errors(environment),
        "exceptions": measuring.exceptions(environment),
        "windows": over_time.rows(),
    }
    if outcome:
        figures["breakpoint"] = outcome[0].search.found()
    found = list(_broken(environment, figures))
    environment.process_exit_code = 1 if found else 0
    _tell("SUMMARY", figures | {"broken_limits": found})


def _broken(environment: Environment, figures: dict[str, Any]) -> Iterator[str]:
    """What was broken, in words. A search breaks a limit on purpose, unless at its very first step."""
    if isinstance(environment.runner, MasterRunner) and not figures["requests"]:
        yield "no request was made"
    for raised in figures["exceptions"]:
        yield f"a task raised {raised['count']} times, at {raised['where'] or 'no line of users.py'}: {raised['error']}"
    if SHAPE != BREAKPOINT:
        yield from broken(LIMITS, figures)
    elif outcome and outcome[0].search.held is None:
        yield from (f"at the first step: {text}" for step in outcome[0].search.steps for text in step["broken"])


def _figures(environment: Environment) -> dict[str, Any]:
    return measuring.figures(environment, versions, _arrivals())


def _arrivals() -> dict[str, int]:
    """The arrivals of an open model until now; empty where the model is closed."""
    return {**Counts().take(), **arrivals} if RATE else {}


def _snapshot(environment: Environment) -> Snapshot:
    _take_own_arrivals(environment)
    return measuring.snapshot(environment, versions, _arrivals())


def _tell(what: str, figures: dict[str, Any]) -> None:
    print(f"MESH-LAB {what} {json.dumps(figures)}", flush=True)  # noqa: T201 - the log of the pod is its output
