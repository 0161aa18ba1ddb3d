"""`mesh-lab up`, `down` and `reset`."""

from __future__ import annotations

import contextlib
import re
import shlex
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from mesh_lab.cli.console import progress, say, table
from mesh_lab.client.kubectl import program
from mesh_lab.client.objects import Object
from mesh_lab.clusters.base import Cluster, ClusterStatus, Report
from mesh_lab.clusters.selection import open_cluster
from mesh_lab.clusters.turns import turn
from mesh_lab.errors import ConfigurationRejected, LabError
from mesh_lab.install.bringup import Installed
from mesh_lab.install.readiness import ready_containers
from mesh_lab.load.settings import lacks_locust
from mesh_lab.settings import Lab

_GONE = {
    "embedded": "the lab is down, and what it had stored is kept",
    "kind": "its cluster is deleted",
    "existing": "what it had made in the cluster is removed",
}
"""The text for a lab that was taken down, by the kind of its cluster."""
_SPECIAL = re.compile(r'[\\"$`]')  # to a shell, between double quotes
_ENDED = "`{logs}` shows its last words. What it had stored is kept: `{up}` goes on from there."

_UNTOUCHED = {
    "embedded": _GONE["embedded"],
    "kind": "a cluster that was there before is there still",
    "existing": "nothing was made in the cluster",
}
"""The text for an `up` that was interrupted before it had anything to undo, by the kind of its cluster."""


def up(lab: Lab, *, keep: bool, quiet: bool = False, recover: bool = False) -> None:
    """Bring everything up. What this invocation has started ends with it when it fails or is interrupted.

    A lab in which only a user's resource is wrong stays up, since the resource can only be corrected there. With
    `keep`, a lab that failed stays up, too. With `quiet`, no progress is printed. With `recover`, a damaged journal is
    first replaced by what can be read of it.

    Raises:
        LabError: the lab did not come up, or was interrupted.
    """
    started = time.monotonic()
    cluster = open_cluster(lab)
    program()
    if recover:
        _recover(cluster)
    with _stoppable(), progress(f"bringing up {lab.name}", quiet=quiet) as report, contextlib.ExitStack() as held:
        try:
            held.enter_context(turn(lab.state_dir, lab.settings.longest_up, report))
            fresh = cluster.up(report)
        except KeyboardInterrupt:
            raise LabError(f"interrupted; {_UNTOUCHED[lab.settings.cluster]}") from None
        if fresh:
            report("the cluster answers")
        try:
            installed = _install(lab, report)
        except BaseException as error:
            failed = not isinstance(error, ConfigurationRejected)
            raise _abandoned(lab, cluster, error, report, end=fresh and failed and not keep) from error
    if not quiet:
        _show(lab, cluster.status(), installed, time.monotonic() - started)


def _recover(cluster: Cluster) -> None:
    """Recover the journal and print what was kept and what is lost, even with `quiet`."""
    from mesh_lab.clusters.embedded.cluster import EmbeddedCluster

    if not isinstance(cluster, EmbeddedCluster):
        raise LabError("--recover is for the embedded cluster: the others keep their objects themselves", exit_code=2)
    for line in cluster.recover():
        say(line)


def show_plan(lab: Lab) -> None:
    """Print what `up` would do, and do nothing.

    Raises:
        LabError: the cluster has no plan to show, or cannot be reached.
    """
    from mesh_lab.clusters.existing import ExistingCluster
    from mesh_lab.clusters.kind.cluster import KindCluster
    from mesh_lab.install.recipes import plan

    cluster = open_cluster(lab)
    if not isinstance(cluster, (ExistingCluster, KindCluster)):
        raise LabError("--dry-run is for the clusters kind and existing", exit_code=2)
    for line in (*cluster.plan(), *plan(lab)):
        say(line)


def down(lab: Lab) -> None:
    """Take the lab down.

    Raises:
        LabError: it cannot be taken down.
    """
    with progress(f"taking down {lab.name}") as report:
        _take_off(lab, report)
        was_up = open_cluster(lab).down(report)
    say(f"the lab {lab.name!r} is down" if was_up else f"the lab {lab.name!r} was not up")


def reset(lab: Lab) -> None:
    """Take the lab down and delete its state.

    Raises:
        LabError: it cannot be taken down, or its state cannot be deleted.
    """
    with progress(f"resetting {lab.name}") as report:
        _take_off(lab, report)
        was_there = open_cluster(lab).reset(report)
    say(f"deleted {lab.state_dir}" if was_there else f"the lab {lab.name!r} has kept nothing")


def _install(lab: Lab, report: Report) -> Installed:
    from mesh_lab.install.recipes import put_on

    return put_on(lab, report)


def _take_off(lab: Lab, report: Report) -> None:
    if lab.settings.cluster != "existing":
        return
    from mesh_lab.install.recipes import take_off

    take_off(lab, report)


def _abandoned(lab: Lab, cluster: Cluster, error: BaseException, report: Report, *, end: bool) -> BaseException:
    """End what was started; return the error to raise, which says what was ended and what could not be."""
    state = f"the lab is still up: `{lab.command('down')}` ends it"
    # For other clusters the error itself says more than whether they run: their processes are not the lab's.
    ended = lab.settings.cluster == "embedded" and not cluster.status().running
    if end:
        try:
            _take_off(lab, report)
            cluster.down(report)
            state = _GONE[lab.settings.cluster]
        except LabError as trouble:
            state = f"and taking it down failed: {trouble.message}\n{trouble.hint}"
        except KeyboardInterrupt:
            state = f"and so was taking it down: `{lab.command('down')}` goes on with that"
    if isinstance(error, KeyboardInterrupt):
        return LabError(f"interrupted; {state}")
    if isinstance(error, LabError) and ended:
        # The error came of the API being gone: its own text, a line for each failed request, would hide that.
        first = error.message.splitlines()[0].rstrip(":")
        return LabError(
            f"the lab has ended while it was being brought up ({first})",
            hint=_ENDED.format(logs=lab.command("logs"), up=lab.command("up")),
        )
    if isinstance(error, LabError):
        retained = f"; `{lab.command('up')} --keep` leaves it up, to look at" if end else ""
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
    from mesh_lab.resources import MANIFESTS

    say()
    table(("NAMESPACE", "POD", "READY", "STATUS", "ADDRESS"), [_row(pod) for pod in installed.pods])
    ports = status.ports
    kubeconfig, programs = _relative(lab.kubeconfig), _relative(Path(program()).parent, ":$PATH")
    gateway = f"http://127.0.0.1:{ports.get('http')}"
    say()
    count = installed.mesh.in_sync
    proxies = "1 proxy is" if count == 1 else f"{count} proxies are"
    say(f"The lab {lab.name!r} is up after {seconds:.1f} s; {proxies} in sync. Try next:")
    say(f"  export KUBECONFIG={kubeconfig} PATH={programs}")
    say("  kubectl get pods -A -o wide")
    place = "" if lab.settings.cluster != "existing" else f" -n {lab.settings.existing.namespace}"
    if not ports:
        gateway = "http://127.0.0.1:8080"
        say(f"  kubectl{place} port-forward service/istio-ingressgateway 8080:80 &")
    samples = lab.settings.mesh.samples
    if samples:
        say(f"  curl -s {gateway}/productpage | grep -o '<title>.*</title>'")
        say(f"  kubectl{place} apply -f {_path(MANIFESTS / 'scenarios' / 'canary-90-10.yaml')}")
        say(f"  {lab.command('wait')}{place} virtualservice/reviews")
    verbs = ("status", "load", "down") if samples and not lacks_locust(lab.settings.cluster) else ("status", "down")
    say(f"  {'; '.join(lab.command(verb) for verb in verbs)}")


def _row(pod: Object) -> tuple[str, ...]:
    ready, containers = ready_containers(pod)
    status = pod.get("status", {})
    metadata = pod["metadata"]
    state = (metadata["namespace"], metadata["name"], f"{ready}/{containers}", status.get("phase", "Pending"))
    return (*state, status.get("podIP", "-"))


def _path(file: Path) -> str:
    """A file as an argument for a shell: from the current directory where it lies below that."""
    here = Path.cwd()
    return shlex.quote(str(file.relative_to(here) if file.is_relative_to(here) else file))


def _relative(path: Path, more: str = "") -> str:
    """`$PWD/...` for what lies below the current directory: short, and right wherever the line is pasted from here.

    `more` follows it. Quoted where a shell would take the path apart.
    """
    here = Path.cwd()
    below = here != here.parent and path.is_relative_to(here)
    name = _SPECIAL.sub(r"\\\g<0>", str(path.relative_to(here) if below else path))
    text = f"{'$PWD/' if below else ''}{name}{more}"
    return text if shlex.quote(str(path)) == str(path) else f'"{text}"'
