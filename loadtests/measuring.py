"""A run's figures, out of locust's statistics."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping
from typing import Any

from arrivals import ratios
from locust.env import Environment
from steps import Snapshot, Totals

ERRORS_SHOWN = 10
USERS = "users.py"
_FRAME = re.compile(r'File "[^"]*\b' + re.escape(USERS) + r'", line (?P<line>\d+)')


def figures(environment: Environment, versions: Mapping[str, int], arrivals: Mapping[str, int]) -> dict[str, Any]:
    """The figures until now, of all endpoints together. `arrivals` is empty where the model is closed."""
    total = environment.stats.total
    return {
        "users": environment.runner.user_count if environment.runner else 0,
        "seconds": round(max(0.0, (total.last_request_timestamp or 0) - (total.start_time or 0)), 1),
        "current_requests_per_second": round(total.current_rps, 1),
        "versions": dict(sorted(versions.items())),
        **measured(total),
        **({"arrivals": dict(arrivals)} if arrivals else {}),
        **ratios(arrivals),
    }


def measured(entry: Any) -> dict[str, Any]:
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


def snapshot(environment: Environment, versions: Mapping[str, int], arrivals: Mapping[str, int]) -> Snapshot:
    """All that was counted until now."""
    stats = environment.stats
    entries = {(method or "", name): _totals(entry) for (name, method), entry in stats.entries.items()}
    return Snapshot(time.monotonic(), _totals(stats.total), entries, dict(versions), dict(arrivals))


def _totals(entry: Any) -> Totals:
    return Totals(entry.num_requests, entry.num_failures, dict(entry.response_times))


def endpoints(environment: Environment) -> list[dict[str, Any]]:
    """The figures of each endpoint."""
    entries = environment.stats.entries
    return [
        {"method": method or "", "name": name, **measured(entries[name, method])}
        for name, method in sorted(entries)
        if entries[name, method].num_requests  # locust keeps the names of those that a warm-up alone had
    ]


def errors(environment: Environment) -> list[dict[str, Any]]:
    """The most frequent failures."""
    found = sorted(environment.stats.errors.values(), key=lambda error: -error.occurrences)
    return [
        {"count": error.occurrences, "method": error.method or "", "name": error.name, "error": str(error.error)}
        for error in found[:ERRORS_SHOWN]
    ]


def exceptions(environment: Environment) -> list[dict[str, Any]]:
    """What the locustfile's tasks raised, the most frequent first."""
    raised = environment.runner.exceptions.values() if environment.runner else ()
    found = sorted(raised, key=lambda each: -each["count"])
    return [
        {
            "count": each["count"],
            "where": _where(each["traceback"]),
            "error": each["msg"],
            "traceback": each["traceback"],
        }
        for each in found[:ERRORS_SHOWN]
    ]


def _where(traceback: str) -> str:
    """The line of the locustfile that was running, by the file's own name; empty where it was none of its lines."""
    lines = [found["line"] for found in _FRAME.finditer(traceback)]
    return f"{os.environ.get('LOAD_LOCUSTFILE') or USERS}:{lines[-1]}" if lines else ""
