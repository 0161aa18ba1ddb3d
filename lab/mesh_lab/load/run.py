"""A load run: Locust deployed into the cluster, followed while it runs, its reports fetched, and all of it removed."""

from __future__ import annotations

import contextlib
import json
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mesh_lab.client import forwarding
from mesh_lab.client.api import Api
from mesh_lab.client.kubectl import CommandFailed
from mesh_lab.client.objects import Items, Object, Reference, objects_in
from mesh_lab.errors import LabError
from mesh_lab.install.readiness import Workload, await_deployments
from mesh_lab.load import claim, comparing, figures, locustfiles, page, probing, provenance, series
from mesh_lab.load.observing import Clock, observed
from mesh_lab.load.settings import Settings, Shape
from mesh_lab.resources import MANIFESTS

Report = Callable[[str], None]
NAMESPACE = "mesh-lab-load"
RUN = Reference("v1", "Namespace", NAMESPACE)
MASTER, WORKER = "locust-master", "locust-worker"
REPORTS = ("load.html", "load_stats.csv", "load_stats_history.csv", "load_failures.csv", "load_exceptions.csv")
MARK = "MESH-LAB "
READY_SECONDS, START_SECONDS, END_SECONDS = 60.0, 30.0, 30.0
UI_PORT = 8089
ADDRESS_SECONDS = 5.0


class LoadFailed(LabError):  # noqa: N818 - the outcome of a run
    """The run could not be made, or did not end as it should; the message says why."""


def run(api: Api, settings: Settings, reports: Path, report: Report) -> dict[str, Any] | None:
    """Deploy, follow, fetch; remove what was made, whatever happens. The run's figures; None with Locust's page."""
    contents = locustfiles.files(settings.locustfile, settings.target if settings.page else "")
    if settings.locustfile is not None:
        locustfiles.try_out(settings.locustfile, contents, settings.shape)
    if not settings.ui:
        prepare(reports)
    whole = None if settings.ui else READY_SECONDS + _longest(settings)
    mine = claim.Claim.here(whole)
    claim.take(api, _namespace(settings), mine, replace=settings.replace)
    try:
        deploy(api, settings, contents, report)
        if settings.ui:
            show_page(api, report)
            return None
        probe(api, settings)
        with observed(api, settings.duration) as observer:
            summary = follow(api, settings, report, observer.clock)
            summary |= observer.found()
        summary |= {"settings": settings.asked(), "made": provenance.made()}
        if settings.shape == Shape.SOAK:
            summary["trend"] = trend(summary["windows"])
        keep(api, summary, reports)
    except LabError:
        if not claim.held(api, RUN, mine):
            raise LoadFailed("another load run has ended this one (--replace), or its namespace was deleted") from None
        raise
    else:
        return summary
    finally:
        remove(api, mine)


def deploy(api: Api, settings: Settings, contents: Mapping[str, str], report: Report) -> None:
    """Apply the manifests and wait until the master listens and the workers run.

    Raises:
        LabError: they did not come up.
    """
    objects = [_config_map("locustfile", contents), _config_map("load-settings", settings.environment())]
    objects.append(_config_map("load-workers", settings.worker_environment()))
    objects += [_fitted(obj, settings) for obj in _manifests()[1:]]
    objects += objects_in(MANIFESTS / "load" / "ui.yaml") if settings.ui else []
    for obj in objects:
        api.apply({**obj, "metadata": {"namespace": NAMESPACE, **obj["metadata"]}})
    report(f"starting locust: a master and {settings.workers} workers")
    workloads = {Workload(NAMESPACE, MASTER), Workload(NAMESPACE, WORKER)}
    await_deployments(api, workloads, time.monotonic() + READY_SECONDS, report)


def probe(api: Api, settings: Settings) -> None:
    """Refuse a target that is not there; a locustfile without one may have its own.

    Raises:
        LabError: there is no such target (exit code 2).
    """
    if settings.targeted or settings.locustfile is None:
        probing.probe(api, NAMESPACE, _pod(api, "worker"), settings.target)


def _fitted(obj: Object, settings: Settings) -> Object:
    """An object of the manifest with the run's workers and the cluster's images."""
    if obj["kind"] != "Deployment":
        return obj
    spec = obj["spec"]
    if obj["metadata"]["name"] == WORKER:
        spec["replicas"] = settings.workers
        if settings.in_mesh:
            spec["template"]["metadata"]["labels"] |= _injected(settings)
    for container in spec["template"]["spec"]["containers"]:
        container["image"] = f"{settings.image_prefix}{container['image']}"
    return obj


def _injected(settings: Settings) -> dict[str, str]:
    """The labels of a pod with a sidecar, in a namespace that says nothing."""
    return {"istio.io/rev": settings.revision} if settings.revision else {"sidecar.istio.io/inject": "true"}


def remove(api: Api, mine: claim.Claim) -> None:
    """Delete the namespace of this run and wait until it is gone; that of a run that has replaced it stays."""
    if claim.held(api, RUN, mine):
        claim.remove(api, RUN)


def follow(api: Api, settings: Settings, report: Report, clock: Clock) -> dict[str, Any]:
    """Report the progress until the run is over, and tell the clock of it; its summary.

    Raises:
        LoadFailed: the master ended without one, or much too late.
    """
    shape = settings.shape if settings.shape != Shape.OWN else "the locustfile's"
    level = f"{settings.users} users" if settings.rate is None else f"{settings.rate:g} tasks a second"
    report(f"{shape} load on {settings.target}: up to {level} for {settings.duration:g} s")
    limit = _longest(settings)
    summary: dict[str, Any] | None = None
    lines: list[str] = []
    for line in _log(api, limit):
        lines.append(line)
        what, _, rest = line.removeprefix(MARK).partition(" ")
        if not line.startswith(MARK):
            continue
        if what == "PROGRESS":
            found = json.loads(rest)
            clock.see(found["elapsed"])
            report(figures.progress(found))
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
    return settings.warm_up + settings.duration + START_SECONDS + END_SECONDS


def _namespace(settings: Settings) -> Object:
    """The run's namespace. Where its label disables injection, no pod's label enables it."""
    namespace = _manifests()[0]
    if settings.in_mesh:
        del namespace["metadata"]["labels"]
    return namespace


def _manifests() -> list[Object]:
    """The namespace, and what goes into it."""
    return [dict(obj) for obj in objects_in(MANIFESTS / "load" / "load.yaml")]


def _log(api: Api, limit: float) -> Iterator[str]:
    """The master's log, as it grows, for `limit` seconds."""
    master = _pod(api)
    end = time.monotonic() + limit
    for line in api.follow_log(NAMESPACE, master, "locust", limit):
        yield line
        if time.monotonic() > end:
            return


def prepare(reports: Path) -> None:
    """Make the directory of the reports; without one the run does not start.

    Raises:
        LoadFailed: nothing can be written there.
    """
    try:
        reports.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=reports):
            pass
    except OSError as error:
        raise LoadFailed(f"cannot write to {reports}: {error.strerror}; --reports DIR puts them elsewhere") from error


def trend(windows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The second half of a run against the first; empty where it is too short to tell."""
    half = len(windows) // 2
    if half < comparing.LEAST_WINDOWS:
        return []
    return [{**asdict(each), "verdict": each.verdict} for each in comparing.compare(windows[:half], windows[-half:])]


def keep(api: Api, summary: Mapping[str, Any], reports: Path) -> None:
    """Write the run's figures and what locust wrote into `reports`.

    Raises:
        LoadFailed: nothing more can be written there.
    """
    try:
        fetch(api, reports)
        _write(reports, summary)
    except OSError as error:
        raise LoadFailed(f"cannot write to {error.filename or reports}: {error.strerror}") from error


def _write(reports: Path, summary: Mapping[str, Any]) -> None:
    """What is made of the figures on this machine."""
    (reports / "load.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    windows = series.as_csv(series.points(summary["windows"]), summary["marks"])
    (reports / "windows.csv").write_text(windows, encoding="utf-8")
    if not page.missing():
        (reports / "report.html").write_text(page.page(summary), encoding="utf-8")


def fetch(api: Api, reports: Path) -> None:
    """Copy what locust wrote into `reports`."""
    master = _pod(api)
    for name in REPORTS:
        try:
            text = api.kubectl("exec", "-n", NAMESPACE, master, "-c", "locust", "--", "cat", f"/reports/{name}")
        except CommandFailed:
            continue  # locust writes the files of failures and exceptions only when there are some
        (reports / name).write_text(text, encoding="utf-8")


def show_page(api: Api, report: Report) -> None:
    """Locust's page on the host, until Ctrl-C: at its Service's address, or else by a forwarded port."""
    with contextlib.ExitStack() as stack:
        address = _load_balancer(api)
        if address is None:
            forward = forwarding.forwarded(api.kubectl_command(), NAMESPACE, _pod(api), UI_PORT)
            address = f"127.0.0.1:{stack.enter_context(forward)}"
        report(f"Locust's page: http://{address}/ (Ctrl-C ends it and removes locust)")
        try:
            signal.pause()
        except KeyboardInterrupt:
            report("removing locust")


def _load_balancer(api: Api) -> str | None:
    """Where the Service answers outside the cluster; None where nothing gives it an address (as on kind)."""
    try:
        services = api.wait_until(
            api.path("v1", "Service", NAMESPACE),
            lambda items: bool(_addresses(items)),
            timeout=ADDRESS_SECONDS,
            why="the service locust-ui gets an address",
            describe=lambda items: f"  {items.get('locust-ui', {}).get('status')}",
        )
    except TimeoutError:
        return None
    return f"{_addresses(services)[0]}:{UI_PORT}"


def _pod(api: Api, role: str = "master") -> str:
    """A pod of the run, the master's or a worker's.

    Raises:
        LoadFailed: there is none.
    """
    pods = api.list_all("v1", "Pod", NAMESPACE, f"app=locust,role={role}")
    names = sorted(str(pod["metadata"]["name"]) for pod in pods if "deletionTimestamp" not in pod["metadata"])
    if not names:
        raise LoadFailed(f"locust's {role} is gone")
    return names[0]


def _addresses(services: Items) -> list[str]:
    ingress = services.get("locust-ui", {}).get("status", {}).get("loadBalancer", {}).get("ingress", [])
    answering = (entry for entry in ingress if not any(port.get("error") for port in entry.get("ports") or ()))
    return [entry.get("ip") or entry.get("hostname") for entry in answering]


def _config_map(name: str, data: Mapping[str, str]) -> Object:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": dict(data)}
