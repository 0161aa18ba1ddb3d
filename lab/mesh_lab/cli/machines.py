"""`mesh-lab vm`: virtual machines of the embedded lab, each a process in a network namespace of its own."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from mesh_lab.cli.access import require_running
from mesh_lab.cli.console import table
from mesh_lab.client import machinefiles, machines
from mesh_lab.client.api import Api
from mesh_lab.client.machines import Event, Machine
from mesh_lab.errors import LabError
from mesh_lab.settings import Lab


def run(
    lab: Lab,
    name: str,
    command: list[str],
    *,
    namespace: str,
    group: str,
    directory: Path | None,
    address: str,
    wait: float,
) -> None:
    """Run a machine until its program ends, and end with its exit code.

    Raises:
        LabError: it cannot be run.
        SystemExit: with the exit code of its program, unless that is 0.
    """
    if group and directory is not None:
        raise LabError("--group and --files exclude each other: the files name the group already", exit_code=2)
    with _connected(lab) as api:
        files, stated = _files(api, name, namespace, group, directory)
        _relay(
            machines.run(api, Machine(namespace, name, files, address or stated, command, wait)), f"{namespace}/{name}"
        )


def _files(api: Api, name: str, namespace: str, group: str, directory: Path | None) -> tuple[dict[str, str], str]:
    """The files of a machine, and the address that they, or its WorkloadEntry, state."""
    if directory is None:
        kind = "WorkloadGroup" if group else "WorkloadEntry"
        return machines.files_for(api, kind, namespace, group or name)
    files = machinefiles.read(directory)
    place, stated = machinefiles.namespace_in(files)
    if place and place != namespace:
        raise LabError(
            f"{directory} is for namespace {place}, not {namespace}", hint=f"--namespace {place}", exit_code=2
        )
    return files, stated


def execute(lab: Lab, name: str, command: list[str], *, namespace: str) -> None:
    """Run a command in a machine, and end with its exit code.

    Raises:
        LabError: the machine does not run.
        SystemExit: with the command's exit code, unless that is 0.
    """
    if not command:
        raise LabError("no command", hint=f"mesh-lab vm exec {name} -- COMMAND", exit_code=2)
    with _connected(lab) as api:
        _relay(machines.execute(api, namespace, name, command), "")


def show(lab: Lab) -> None:
    """List the machines that run.

    Raises:
        LabError: the lab is not up.
    """
    with _connected(lab) as api:
        table(("NAMESPACE", "NAME", "ADDRESS"), machines.running(api))


def _connected(lab: Lab) -> Api:
    if lab.settings.cluster != "embedded":
        raise LabError(
            f"a cluster of kind {lab.settings.cluster} has no machines of the lab's",
            hint="https://istio.io/latest/docs/setup/install/virtual-machine/ connects one of yours to it.",
            exit_code=2,
        )
    require_running(lab)
    return Api(lab.kubeconfig)


def _relay(events: Iterable[Event], started: str) -> None:
    """Print what a program writes, each stream to its own."""
    for event in events:
        if address := event.get("address"):
            sys.stderr.write(f"machine {started} has the address {address}\n")
        sys.stdout.write(event.get("out", ""))
        sys.stdout.flush()
        sys.stderr.write(event.get("err", ""))
        sys.stderr.flush()
        if code := event.get("exit"):
            raise SystemExit(code)
