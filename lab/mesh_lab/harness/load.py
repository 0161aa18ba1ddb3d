"""A load run: Locust deployed into the cluster, followed while it runs, its reports fetched, everything removed again.

`python -m mesh_lab.harness.load --kubeconfig FILE` (the command `mesh-lab load` calls it).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import re
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from mesh_lab.client import forwarding
from mesh_lab.client.api import Api
from mesh_lab.client.connection import ApiError
from mesh_lab.client.kubectl import CommandFailed
from mesh_lab.client.objects import Items, Reference, objects_in
from mesh_lab.errors import LabError
from mesh_lab.harness import claim
from mesh_lab.harness.claim import RunUnderWay
from mesh_lab.harness.mesh import READY_SECONDS, Mesh
from mesh_lab.harness.workloads import IMAGE_PREFIX
from mesh_lab.resources import LOADTESTS, MANIFESTS

NAMESPACE = "mesh-lab-load"
RUN = Reference("v1", "Namespace", NAMESPACE)
TARGET = "http://istio-ingressgateway.istio-system"
SHAPES = ("steady", "ramp", "spike")
REPORTS = ("load.html", "load_stats.csv", "load_stats_history.csv", "load_failures.csv", "load_exceptions.csv")
MARK = "MESH-LAB "
START_SECONDS, END_SECONDS = 30.0, 30.0
UI_PORT = 8089
ADDRESS_SECONDS = 5.0
RATE_SECONDS = 12.0
"""Locust's current rate is of the ten seconds before the last two, and too low as long as there are not so many."""


class LoadFailed(Exception):  # noqa: N818 - what became of a run
    """The run could not be made, or did not end as it should; the message says why."""


@dataclass(frozen=True, slots=True)
class Settings:
    """A run: users at the peak, its length in seconds, its limits."""

    shape: str
    users: int
    spawn_rate: float
    duration: float
    workers: int
    target: str
    max_p99_ms: float | None
    max_error_ratio: float | None
    ui: bool
    replace: bool = False

    def environment(self) -> dict[str, str]:
        """What the master reads."""
        variables = {
            "LOCUST_HOST": self.target,
            "LOCUST_USERS": str(self.users),
            "LOCUST_SPAWN_RATE": f"{self.spawn_rate:g}",
            "LOAD_SHAPE": self.shape,
            "LOAD_MAX_P99_MS": "" if self.max_p99_ms is None else f"{self.max_p99_ms:g}",
            "LOAD_MAX_ERROR_RATIO": "" if self.max_error_ratio is None else f"{self.max_error_ratio:g}",
            "LOCUST_RUN_TIME": f"{self.duration:g}s",
        }
        if self.ui:
            return variables
        return variables | {
            "LOCUST_HEADLESS": "true",
            "LOCUST_ONLY_SUMMARY": "true",
            "LOCUST_EXPECT_WORKERS": str(self.workers),
            "LOCUST_STOP_TIMEOUT": "5",
            "LOCUST_CSV": "/reports/load",
            "LOCUST_HTML": "/reports/load.html",
        }


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0 when all limits held, 1 when one was broken, the run failed or was interrupted, 2 for wrong usage."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if not options.kubeconfig:
        parser.error("which cluster? give --kubeconfig, or set KUBECONFIG")
    settings = _settings(options)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        with tempfile.TemporaryDirectory() as scratch:
            api = Api(Path(options.kubeconfig), Path(scratch))
            return run(Mesh(api, NAMESPACE), settings, Path(options.reports))
    except (LabError, LoadFailed, RunUnderWay, TimeoutError) as error:
        say(f"mesh-lab load: {error}", error=True)
        return 1
    except KeyboardInterrupt:
        say("mesh-lab load: interrupted; locust is removed", error=True)
        return 1


def run(mesh: Mesh, settings: Settings, reports: Path) -> int:
    """Deploy, follow, fetch, judge; remove what was made, whatever happens."""
    if not settings.ui:
        prepare(reports)
    whole = None if settings.ui else READY_SECONDS + _longest(settings)
    mine = claim.Claim.here(whole)
    claim.take(mesh.api, _manifests()[0], mine, replace=settings.replace)
    try:
        deploy(mesh, settings)
        if settings.ui:
            return show_page(mesh)
        summary = follow(mesh, settings)
        try:
            fetch(mesh, reports)
            (reports / "load.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
        except OSError as error:
            raise LoadFailed(f"cannot write to {error.filename or reports}: {error.strerror}") from error
        print_summary(summary, reports)
        return int(bool(summary["broken_limits"]))
    except (LoadFailed, ApiError, CommandFailed, TimeoutError):
        if not claim.held(mesh.api, RUN, mine):
            raise LoadFailed("another load run has ended this one (--replace), or its namespace was deleted") from None
        raise
    finally:
        remove(mesh, mine)


def deploy(mesh: Mesh, settings: Settings) -> None:
    """Apply the manifests and wait until the master listens and the workers run.

    Raises:
        TimeoutError: they did not come up.
    """
    files = {path.name: path.read_text(encoding="utf-8") for path in sorted(LOADTESTS.glob("*.*"))}
    mesh.apply([_config_map("locustfile", files), _config_map("load-settings", settings.environment())])
    for obj in _manifests()[1:]:
        if obj["metadata"]["name"] == "locust-worker":
            obj["spec"]["replicas"] = settings.workers
        if obj["kind"] == "Deployment":
            for container in obj["spec"]["template"]["spec"]["containers"]:
                container["image"] = f"{IMAGE_PREFIX}{container['image']}"
        mesh.api.apply(obj)
    if settings.ui:
        mesh.apply(MANIFESTS / "load" / "ui.yaml")
    say(f"starting locust: a master and {settings.workers} workers")
    mesh.ready(READY_SECONDS)


def remove(mesh: Mesh, mine: claim.Claim) -> None:
    """Delete the namespace of this run and wait until it is gone; that of a run that has replaced it stays."""
    if claim.held(mesh.api, RUN, mine):
        claim.remove(mesh.api, RUN)


def follow(mesh: Mesh, settings: Settings) -> dict[str, Any]:
    """Print the progress until the run is over; its summary.

    Raises:
        LoadFailed: the master ended without one, or much too late.
    """
    say(f"{settings.shape} load on {settings.target}: up to {settings.users} users for {settings.duration:g} s")
    limit = _longest(settings)
    summary: dict[str, Any] | None = None
    lines: list[str] = []
    for line in _log(mesh, limit):
        lines.append(line)
        what, _, rest = line.removeprefix(MARK).partition(" ")
        if not line.startswith(MARK):
            continue
        if what == "PROGRESS":
            print_progress(json.loads(rest))
        elif what == "SUMMARY":
            summary = json.loads(rest)
        elif what == "EXIT":
            break
    if summary is None:
        tail = "\n".join(f"  {line}" for line in lines[-15:])
        raise LoadFailed(f"locust ended without a summary, or not within {limit:g} s; the end of its log:\n{tail}")
    return summary


def _longest(settings: Settings) -> float:
    """How many seconds the master runs at most."""
    return settings.duration + START_SECONDS + END_SECONDS


def _manifests() -> list[dict[str, Any]]:
    """The namespace, and what goes into it."""
    return [dict(obj) for obj in objects_in(MANIFESTS / "load" / "load.yaml")]


def _log(mesh: Mesh, limit: float) -> Iterator[str]:
    """The master's log, as it grows, for `limit` seconds."""
    master = _master(mesh)
    end = time.monotonic() + limit
    for line in mesh.api.follow_log(NAMESPACE, master, "locust", limit):
        yield line
        if time.monotonic() > end:
            return


def prepare(reports: Path) -> None:
    """Make the directory of the reports; a run that could not be reported is not begun.

    Raises:
        LoadFailed: nothing can be written there.
    """
    try:
        reports.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=reports):
            pass
    except OSError as error:
        raise LoadFailed(f"cannot write to {reports}: {error.strerror}; --reports DIR puts them elsewhere") from error


def fetch(mesh: Mesh, reports: Path) -> None:
    """Copy what locust wrote into `reports`."""
    master = _master(mesh)
    for name in REPORTS:
        try:
            text = mesh.exec(master, "cat", f"/reports/{name}", container="locust")
        except CommandFailed:
            continue  # locust writes the files of failures and exceptions only when there are some
        (reports / name).write_text(text, encoding="utf-8")


def show_page(mesh: Mesh) -> int:
    """Locust's page on the host, until Ctrl-C: at its Service's address, or else by a forwarded port."""
    with contextlib.ExitStack() as stack:
        address = _load_balancer(mesh)
        if address is None:
            forward = forwarding.forwarded(mesh.api.kubectl_command(), NAMESPACE, _master(mesh), UI_PORT)
            address = f"127.0.0.1:{stack.enter_context(forward)}"
        say(f"Locust's page: http://{address}/ (Ctrl-C ends it and removes locust)")
        try:
            signal.pause()
        except KeyboardInterrupt:
            say("removing locust")
    return 0


def _load_balancer(mesh: Mesh) -> str | None:
    """Where the Service answers outside the cluster; None where nothing gives it an address (as on kind)."""
    try:
        services = mesh.api.wait_until(
            mesh.api.path("v1", "Service", NAMESPACE),
            lambda items: bool(_addresses(items)),
            timeout=ADDRESS_SECONDS,
            why="the service locust-ui gets an address",
            describe=lambda items: f"  {items.get('locust-ui', {}).get('status')}",
        )
    except TimeoutError:
        return None
    return f"{_addresses(services)[0]}:{UI_PORT}"


def _master(mesh: Mesh) -> str:
    masters = [p for p in mesh.pods("locust") if p["metadata"]["labels"].get("role") == "master"]
    return str(masters[0]["metadata"]["name"])


def _addresses(services: Items) -> list[str]:
    ingress = services.get("locust-ui", {}).get("status", {}).get("loadBalancer", {}).get("ingress", [])
    return [entry.get("ip") or entry.get("hostname") for entry in ingress]


def print_progress(figures: Mapping[str, Any]) -> None:
    """One line a second."""
    young = figures["seconds"] < RATE_SECONDS
    rate = figures["requests_per_second" if young else "current_requests_per_second"]
    p50, p99 = figures["p50_ms"], figures["p99_ms"]
    latency = f"p50 {p50:.0f} ms  p99 {p99:.0f} ms  {figures['failures']} errors"
    say(f"{figures['seconds']:6.0f} s  {figures['users']:4} users  {rate:8.1f} requests/s  {latency}")


def print_summary(summary: Mapping[str, Any], reports: Path) -> None:
    """The figures of the whole run."""
    versions = summary["versions"]
    seen = sum(versions.values()) or 1
    shares = ", ".join(f"{name} {count / seen:.1%} ({count})" for name, count in versions.items()) or "none seen"
    say("")
    say(f"requests          {summary['requests']} in {summary['seconds']:.0f} s")
    say(f"requests/s        {summary['requests_per_second']:.1f}")
    say(f"p50 / p90 / p99   {summary['p50_ms']:.0f} / {summary['p90_ms']:.0f} / {summary['p99_ms']:.0f} ms")
    say(f"errors            {summary['failures']} ({summary['error_ratio']:.2%})")
    say(f"reviews versions  {shares}")
    say(f"reports           {reports}/load.html, load_stats.csv, load.json")
    for broken in summary["broken_limits"]:
        say(f"limit broken: {broken}", error=True)


def say(line: str, *, error: bool = False) -> None:
    """Tell the user."""
    stream = sys.stderr if error else sys.stdout
    stream.write(f"{line}\n")
    stream.flush()


def _config_map(name: str, data: Mapping[str, str]) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": dict(data)}


def _interrupt(_: int, __: FrameType | None) -> None:
    raise KeyboardInterrupt


def _settings(options: argparse.Namespace) -> Settings:
    return Settings(
        shape=options.shape,
        users=options.users,
        spawn_rate=options.spawn_rate or options.users,
        duration=options.duration,
        workers=options.workers,
        target=options.target,
        max_p99_ms=options.max_p99_ms,
        max_error_ratio=options.max_error_ratio,
        ui=options.ui,
        replace=options.replace,
    )


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)


def _positive(text: str) -> float:
    if not 0 < (number := _number(text)) < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return number


def _ratio(text: str) -> float:
    if not 0 <= (number := _number(text)) <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 to 1")
    return number


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _url(text: str) -> str:
    if not re.match(r"https?://[^/]", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not an http:// or https:// URL")
    return text


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mesh-lab load", description="Puts load on Bookinfo through the ingress gateway."
    )
    add = parser.add_argument
    add("--kubeconfig", default=os.environ.get("KUBECONFIG"), metavar="FILE", help="the cluster (default: $KUBECONFIG)")
    add("--shape", choices=SHAPES, default="steady", help="how the users come (default: steady)")
    add("--users", type=_count, default=50, metavar="N", help="at the peak (default 50)")
    add("--spawn-rate", type=_positive, metavar="R", help="users that may start in a second (default: all)")
    add("--duration", type=_positive, default=30.0, metavar="S", help="in seconds (default 30)")
    add("--workers", type=_count, default=1, metavar="N", help="locust's workers (default 1)")
    add("--target", type=_url, default=TARGET, metavar="URL", help=f"default {TARGET}")
    add("--max-p99-ms", type=_positive, metavar="MS", help="fail when the 99th percentile is above")
    add(
        "--max-error-ratio",
        type=_ratio,
        default=0.0,
        metavar="X",
        help="fail when more requests fail, 0 to 1 (default 0: none may)",
    )
    add("--reports", default="reports", metavar="DIR", help="where CSV, HTML and JSON go (default: reports)")
    add("--ui", action="store_true", help="open Locust's page on the host instead")
    add("--replace", action="store_true", help="end a run that is under way first (otherwise it is refused)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
