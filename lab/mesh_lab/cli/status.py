"""`mesh-lab status` and `logs`: what the lab's processes have written down, and the API's word on pods and proxies."""

from __future__ import annotations

import os

import msgspec

from mesh_lab.cli.console import chosen, say
from mesh_lab.client.api import Api
from mesh_lab.client.connection import ApiError
from mesh_lab.client.controlplane import status_of
from mesh_lab.clusters.selection import open_cluster
from mesh_lab.errors import LabError
from mesh_lab.install.bringup import live_pods
from mesh_lab.install.readiness import ready_containers
from mesh_lab.settings import Lab


class Count(msgspec.Struct, frozen=True):
    """`good` (ready, or in sync) of `total`."""

    good: int
    total: int


class LabStatus(msgspec.Struct, frozen=True, rename="camel"):
    """What `mesh-lab status -o json` prints. `pods` and `proxies` are null as long as they are not known."""

    name: str
    cluster: str
    phase: str
    pid: int | None
    started: str | None
    ports: dict[str, int]
    kubeconfig: str
    state_dir: str
    profile: str = ""
    internet: int = 0
    pods: Count | None = None
    proxies: Count | None = None


def show(lab: Lab, output: str) -> None:
    """Print the status.

    Raises:
        LabError: the format is not known.
        SystemExit: with code 1, when the lab is not up.
    """
    printer = chosen(_PRINTERS, output)
    status = gather(lab)
    say(printer(lab, status))
    if status.phase != "ready":
        raise SystemExit(1)


def logs(lab: Lab, *, follow: bool, lines: int) -> None:
    """Show the lab's own log: replace this process by `tail`, which can follow a file that is replaced.

    Raises:
        LabError: there is no log yet.
    """
    log = lab.state_dir / "lab.log"
    try:
        log.open("rb").close()
    except FileNotFoundError:
        hint = f"The lab has not been up yet, or was reset: `{lab.command('up')}`."
        raise LabError(f"there is no {log}", hint=hint) from None
    except OSError as error:
        raise LabError(f"cannot read {log}: {error.strerror}") from error
    options = ["-F"] if follow else []
    os.execvp("tail", ["tail", "-n", str(lines), *options, str(log)])


def gather(lab: Lab) -> LabStatus:
    """Collect the status from the cluster, the API and the control plane; what does not answer is left out."""
    cluster = open_cluster(lab).status()
    pods = proxies = None
    if cluster.phase == "ready":
        pods, proxies = _counts(lab)
    return LabStatus(
        name=lab.name,
        cluster=lab.settings.cluster,
        phase=cluster.phase,
        pid=cluster.pid,
        started=cluster.started,
        ports=cluster.ports,
        kubeconfig=str(lab.kubeconfig),
        state_dir=str(lab.state_dir),
        profile=cluster.profile,
        internet=cluster.internet,
        pods=pods,
        proxies=proxies,
    )


def _counts(lab: Lab) -> tuple[Count | None, Count | None]:
    with Api(lab.kubeconfig) as api:
        try:
            ready = [ready_containers(pod) for pod in live_pods(api)]
        except ApiError:
            return None, None
        pods = Count(sum(1 for good, total in ready if good == total), len(ready))
        try:
            mesh = status_of(api).mesh()
        except ApiError:
            return pods, None
        return pods, Count(mesh.in_sync, len(mesh.proxies))


def _json(_lab: Lab, status: LabStatus) -> str:
    return msgspec.json.format(msgspec.json.encode(status)).decode()


def _text(lab: Lab, status: LabStatus) -> str:
    lines = [("lab", f"{status.name} ({status.cluster})")]
    if status.phase == "stopped":
        lines.append(("state", f"{status.phase}; `{lab.command('up')}` brings it up"))
        return _aligned(lines)
    ports = status.ports
    lines += [
        ("state", f"{status.phase}, started {status.started}{_process(status.pid)}"),
        ("kubeconfig", status.kubeconfig),
    ]
    if status.profile:
        lines.append(("profile", status.profile))
    if ports:
        lines += [
            ("api", f"https://127.0.0.1:{ports.get('api')}"),
            ("gateway", _gateway(ports)),
        ]
    if status.internet:
        lines.append(("internet", f"{status.internet} names of the lab's own; no way out to the real one"))
    lines += [
        ("pods", f"{status.pods.good} of {status.pods.total} ready" if status.pods else "unknown: no answer"),
        ("proxies", f"{status.proxies.good} of {status.proxies.total} in sync" if status.proxies else "unknown"),
    ]
    return _aligned(lines)


def _gateway(ports: dict[str, int]) -> str:
    ways = [f"http://127.0.0.1:{ports.get('http')}", f"https://127.0.0.1:{ports.get('https')}"]
    if "tcp" in ports:
        ways.append(f"tcp 127.0.0.1:{ports['tcp']}")
    return f"{', '.join(ways[:-1])} and {ways[-1]}"


def _process(pid: int | None) -> str:
    return f", first process {pid}" if pid is not None else ""


def _aligned(lines: list[tuple[str, str]]) -> str:
    return "\n".join(f"{label:<12}{text}" for label, text in lines)


def _kubeconfig(_lab: Lab, status: LabStatus) -> str:
    return status.kubeconfig


_PRINTERS = {"text": _text, "json": _json, "kubeconfig": _kubeconfig}
