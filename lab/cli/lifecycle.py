"""`mesh-lab up`, `down` and `reset`."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import lab as package
from lab.cli.console import progress, say, table
from lab.clusters.base import Cluster, ClusterStatus, Report
from lab.clusters.selection import open_cluster
from lab.errors import LabError
from lab.install.api import Api, Object
from lab.install.bringup import Installed, install
from lab.install.readiness import ready_containers
from lab.kubectl import Kubectl, program
from lab.settings import Lab

MANIFESTS = Path(package.__file__).parent.parent / "manifests"


def up(lab: Lab, *, keep: bool, quiet: bool = False) -> None:
    """Bring everything up. What this invocation has started ends with it when it fails or is interrupted.

    With `keep`, a lab that failed stays. With `quiet`, nothing is printed. Raises `LabError`.
    """
    started = time.monotonic()
    cluster = open_cluster(lab)
    program()
    with _stoppable(), progress(f"bringing up {lab.name}", quiet=quiet) as report:
        try:
            fresh = cluster.up(report)
        except KeyboardInterrupt:
            raise LabError("interrupted; the lab is down, and what it had stored is kept") from None
        if fresh:
            report("the cluster answers")
        try:
            installed = _install(lab, report)
        except BaseException as error:
            raise _abandoned(cluster, error, report, end=fresh and not keep) from error
    if not quiet:
        _show(lab, cluster.status(), installed, time.monotonic() - started)


def down(lab: Lab) -> None:
    """Take the lab down. Raises `LabError`."""
    with progress(f"taking down {lab.name}") as report:
        was_up = open_cluster(lab).down(report)
    say(f"the lab {lab.name!r} is down" if was_up else f"the lab {lab.name!r} was not up")


def reset(lab: Lab) -> None:
    """Delete everything that the lab has kept. Raises `LabError`."""
    with progress(f"resetting {lab.name}") as report:
        was_there = open_cluster(lab).reset(report)
    say(f"deleted {lab.state_dir}" if was_there else f"the lab {lab.name!r} has kept nothing")


def _install(lab: Lab, report: Report) -> Installed:
    kubectl = Kubectl(lab.kubeconfig, lab.state_dir / "kubectl-cache")
    with Api(lab.kubeconfig) as api:
        return install(kubectl, api, MANIFESTS, timeout=lab.settings.timeouts.ready, report=report)


def _abandoned(cluster: Cluster, error: BaseException, report: Report, *, end: bool) -> BaseException:
    """End what was started, and say so in what is raised."""
    if end:
        cluster.down(report)
    state = "the lab is down, and what it had stored is kept" if end else "the lab is still up: `mesh-lab down` ends it"
    if isinstance(error, KeyboardInterrupt):
        return LabError(f"interrupted; {state}")
    if isinstance(error, LabError):
        retained = "; `mesh-lab up --keep` leaves it up, to look at" if end else ""
        return LabError(error.message, hint="\n".join(filter(None, (error.hint, f"{state}{retained}."))))
    return error


@contextlib.contextmanager
def _stoppable() -> Iterator[None]:
    """Let a request to end, or a closed terminal, do what Ctrl-C does."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _show(lab: Lab, status: ClusterStatus, installed: Installed, seconds: float) -> None:
    say()
    table(("NAMESPACE", "POD", "READY", "STATUS", "ADDRESS"), [_row(pod) for pod in installed.pods])
    ports = status.ports
    kubeconfig = _relative(lab.kubeconfig)
    gateway = f"http://127.0.0.1:{ports.get('http')}"
    say()
    say(f"The lab {lab.name!r} is up after {seconds:.1f} s; {installed.mesh.in_sync} proxies are in sync. Try next:")
    say(f"  export KUBECONFIG={kubeconfig} PATH={_relative(Path(program()).parent)}:$PATH")
    say("  kubectl get pods -A -o wide")
    say(f"  curl -s {gateway}/productpage | grep -o '<title>.*</title>'")
    say("  kubectl apply -f manifests/scenarios/canary-90-10.yaml && mesh-lab wait virtualservice/reviews")
    say("  mesh-lab status; mesh-lab load; mesh-lab down")


def _row(pod: Object) -> tuple[str, ...]:
    ready, containers = ready_containers(pod)
    status = pod.get("status", {})
    metadata = pod["metadata"]
    state = (metadata["namespace"], metadata["name"], f"{ready}/{containers}", status.get("phase", "Pending"))
    return (*state, status.get("podIP", "-"))


def _relative(path: Path) -> str:
    """`$PWD/...` for what lies below the current directory: short, and right wherever the line is pasted from here."""
    try:
        return f"$PWD/{path.relative_to(Path.cwd())}"
    except ValueError:
        return str(path)
