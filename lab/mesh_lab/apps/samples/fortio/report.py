"""What `fortio load` prints, line by line as scripts read it, and its file of `-json`."""

from __future__ import annotations

import json
import os
from typing import Any

from mesh_lab.apps.samples.fortio.flags import Options
from mesh_lab.apps.samples.fortio.histogram import Counter, Histogram
from mesh_lab.apps.samples.fortio.running import Result

VERSION = "1.69.5-mesh-lab"


def opening(options: Options, url: str) -> list[str]:
    """The lines before a run."""
    processors = os.cpu_count() or 1
    length = f"{options.n} calls" if options.n else (f"{options.t:g}s" if options.t else "until interrupted")
    rate = f"{options.qps:g}"
    lines = [
        f"Fortio {VERSION} running at {rate} queries per second, {processors}->{processors} procs, for {length}: {url}"
    ]
    pace = "max qps" if options.qps <= 0 else f"{options.qps:g} qps"
    threads = f"Starting at {pace} with {options.c} thread(s) [gomax {processors}] for"
    if options.n:
        each = f"exactly {options.n} calls ({options.n // options.c} per thread + {options.n % options.c})"
        return [*lines, f"{threads} {each}"]
    calls = f" : {int(options.qps * options.t / options.c)} calls each" if options.qps > 0 and options.t else ""
    return [*lines, f"{threads} {length}{calls}"]


def closing(result: Result) -> list[str]:
    """The lines after a run."""
    calls = len(result.times.values)
    rate = calls / result.seconds if result.seconds else 0.0
    sockets = sum(worker.sockets for worker in result.connections)
    perfect = result.options.c if result.options.keepalive else calls
    addresses: dict[str, int] = {}
    for worker in result.connections:
        place = f"{worker.address}:{worker.origin.port}"
        addresses[place] = addresses.get(place, 0) + worker.sockets
    average = sum(result.times.values) / calls * 1000 if calls else 0.0
    options = result.options
    flags = [str(flag).lower() for flag in (options.uniform, options.jitter, not options.nocatchup)]
    return [
        f"Ended after {_duration(result.seconds)} : {calls} calls. qps={rate:.5g}",
        *result.times.lines("Aggregated Function Time", options.p),
        *result.errors.lines("Error cases", options.p),
        "# Socket and IP used for each connection:",
        *(_sockets(number, worker) for number, worker in enumerate(result.connections)),
        _connecting(result).summary("Connection time (s)"),
        f"Sockets used: {sockets} (for perfect keepalive, would be {perfect})",
        f"Uniform: {flags[0]}, Jitter: {flags[1]}, Catchup allowed: {flags[2]}",
        "IP addresses distribution:",
        *(f"{place}: {number}" for place, number in addresses.items()),
        *(f"Code {code:3d} : {number} ({100 * number / calls:.1f} %)" for code, number in sorted(result.codes.items())),
        result.header_sizes.summary("Response Header Sizes"),
        result.sizes.summary("Response Body/Total Sizes"),
        f"All done {calls} calls (plus {result.warmups} warmup) {average:.3f} ms avg, {rate:.1f} qps",
    ]


def as_json(result: Result) -> str:
    """The result under the published names; sizes and times of sockets are left out."""
    calls = len(result.times.values)
    value: dict[str, Any] = {
        "RunType": "HTTP",
        "Labels": result.options.labels,
        "RequestedQPS": f"{result.options.qps:g}" if result.options.qps > 0 else "max",
        "ActualQPS": calls / result.seconds if result.seconds else 0.0,
        "ActualDuration": int(result.seconds * 1e9),
        "NumThreads": result.options.c,
        "Version": VERSION,
        "DurationHistogram": _histogram(result.times, result.options),
        "ErrorsDurationHistogram": _histogram(result.errors, result.options),
        "RetCodes": {str(code): number for code, number in sorted(result.codes.items())},
        "URL": result.url,
        "SocketCount": sum(worker.sockets for worker in result.connections),
    }
    return json.dumps(value, indent=2) + "\n"


def _histogram(times: Histogram, options: Options) -> dict[str, Any]:
    if not times.values:
        return {"Count": 0}
    shares = [{"Percentile": wanted, "Value": times.percentile(wanted)} for wanted in options.p]
    total = sum(times.values)
    return {
        "Count": len(times.values),
        "Min": min(times.values),
        "Max": max(times.values),
        "Sum": total,
        "Avg": total / len(times.values),
        "Percentiles": shares,
    }


def _sockets(number: int, worker: Any) -> str:
    timing = worker.connecting.summary("connection timing")
    return f"[{number}] {worker.sockets:3d} socket used, resolved to {worker.address}:{worker.origin.port}, {timing}"


def _connecting(result: Result) -> Counter:
    return Counter([took for worker in result.connections for took in worker.connecting.values])


def _duration(seconds: float) -> str:
    return f"{seconds:.6g}s" if seconds >= 1 else f"{seconds * 1000:.6g}ms"
