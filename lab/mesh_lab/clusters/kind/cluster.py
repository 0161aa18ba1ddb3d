"""A cluster made with the `kind` command: create it, find it again, repair it after a crash, delete it.

kind keeps its clusters in containers' labels, so they outlive this program and even the machine's restart. The record
in the state directory says whether a cluster of that name is this lab's: one that is not is never touched.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from mesh_lab.client.kubectl import Kubectl
from mesh_lab.clusters import holding
from mesh_lab.clusters.base import ClusterStatus, Report, report_changes, start_settings
from mesh_lab.clusters.embedded import ports as host_ports
from mesh_lab.clusters.kind import config, failure, machine
from mesh_lab.clusters.kind.provider import Node, Provider, choose
from mesh_lab.errors import LabError
from mesh_lab.programs import Program, ProgramFailedError, Programs, run, stream
from mesh_lab.rfc3339 import timestamp
from mesh_lab.settings import Lab

KIND = Program(
    "kind",
    "it makes the cluster",
    "`{install}` downloads the pinned version into .lab/bin; or see "
    "https://kind.sigs.k8s.io/docs/user/quick-start/#installation",
)
MINIMUM_KIND = (0, 27, 0)
"""The first whose node images look for registries' mirrors where the lab writes them; older ones know no node image
of the Kubernetes that the lab is tested with."""
PREFIX = "mesh-lab-"
_CONFIG = "kind.yaml"
_HOSTS = "certs.d"
_QUICK_SECONDS = 30.0
_DELETE_SECONDS = 120.0
_LOAD_SECONDS = 600.0
_MARGIN_SECONDS = 60.0
_REPAIR_SECONDS = 120.0
_POLL_SECONDS = 1.0


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """What this lab made, and the settings that it was made with. `phase` is `creating` until kind is done."""

    name: str
    provider: str
    phase: str
    ports: dict[str, int]
    started: str
    settings: dict[str, Any] = {}


class KindCluster:
    """A lab's kind cluster."""

    def __init__(self, lab: Lab, environ: Mapping[str, str] = os.environ, inotify: Path | None = None) -> None:
        self._lab = lab
        self._settings = lab.settings.kind
        self._state = lab.state_dir
        self._programs = Programs(lab.tools_dir, environ, lab.tools_command)
        self._inotify = inotify

    @property
    def name(self) -> str:
        """The cluster's name for kind."""
        return f"{PREFIX}{self._lab.name}"

    @property
    def kubeconfig(self) -> Path:
        """Written by kind; nothing else of the user's kubeconfigs is touched."""
        return self._lab.kubeconfig

    def status(self) -> ClusterStatus:
        """Return the status from the record and the nodes' containers.

        Raises:
            LabError: the provider does not answer.
        """
        record = self._record()
        if record is None:
            return ClusterStatus()
        nodes = self._provider(record.provider).nodes(record.name)
        if not nodes or any(node.state != "running" for node in nodes):
            return ClusterStatus()
        phase = "ready" if record.phase == "ready" else "starting"
        return ClusterStatus(phase=phase, started=record.started, ports=record.ports)

    def up(self, report: Report) -> bool:
        """See `Cluster.up`. A cluster that was left half-made is removed first, one that was stopped is started."""
        kind = self._programs.need(KIND)
        self._refuse_old_kind()
        record = self._record()
        provider = self._provider(record.provider if record else self._settings.provider)
        with holding.held(self._state):
            nodes = provider.nodes(self.name)
            if nodes and record is None:
                raise self._foreign()
            if record is not None and nodes and record.phase == "ready":
                report_changes(self._lab, record.settings, report)
                return self._resume(kind, provider, nodes, report)
            if nodes:
                report(f"a cluster {self.name} was left half-made ({_states(nodes)}); removing it")
                self._delete(kind, provider, report)
            self._create(kind, provider, report)
        return True

    def down(self, report: Report) -> bool:
        """Delete the cluster: a kind cluster has no state apart from its containers. False when there was none."""
        record = self._record()
        if record is None:
            return False
        kind, provider = self._programs.need(KIND), self._provider(record.provider)
        with holding.held(self._state):
            there = bool(provider.nodes(record.name))
            self._delete(kind, provider, report)
            holding.forget(self._state, self.kubeconfig.name, _CONFIG)
        return there

    def reset(self, report: Report) -> bool:
        """See `Cluster.reset`."""
        self.down(report)
        return holding.remove(self._state)

    def plan(self) -> list[str]:
        """What `up` would do, without doing it."""
        if self._record() is not None:
            return [f"check the kind cluster {self.name}, and put it right where it is not"]
        hosts, cgroups = str(self._state / _HOSTS), self._provider(self._settings.provider).info().cgroups
        text = self._render(self._asked_ports(), hosts, cgroups)
        return [f"kind create cluster --name {self.name} with this configuration:", *text.splitlines()]

    def started(self) -> dict[str, datetime]:
        """Return when each node was last started, by its name.

        Raises:
            LabError: the provider does not answer.
        """
        record = self._record()
        provider = self._provider(record.provider if record else self._settings.provider)
        return provider.started([node.name for node in provider.nodes(self.name)])

    def load_images(self, images: list[str], report: Report) -> None:
        """Put images of the local store onto every node.

        Raises:
            LabError: an image is not in the store, or cannot be loaded.
        """
        kind = self._programs.need(KIND)
        record = self._record()
        provider = self._provider(record.provider if record else self._settings.provider)
        if missing := [image for image in images if not provider.has_image(image)]:
            raise LabError(
                f"not in {provider.name}'s store: {', '.join(missing)}", hint="`make images` builds the lab's images."
            )
        if provider.name == "docker":
            command = [kind, "load", "docker-image", *images, "--name", self.name]
            stream(command, timeout=_LOAD_SECONDS, report=report, environ=provider.environ)
            return
        archive = self._state / "images.tar"
        try:
            # `kind load docker-image` reads only Docker's store.
            save = [provider.path, "save", "--multi-image-archive", "--output", str(archive), *images]
            run(save, timeout=_LOAD_SECONDS, environ=provider.environ)
            command = [kind, "load", "image-archive", str(archive), "--name", self.name]
            stream(command, timeout=_LOAD_SECONDS, report=report, environ=provider.environ)
        finally:
            archive.unlink(missing_ok=True)

    def _create(self, kind: str, provider: Provider, report: Report) -> None:
        self._check_machine(provider, report)
        cgroups = provider.info().cgroups
        if cgroups == "1":
            report("containers run on cgroup v1: the kubelets are told to accept that")
        with _free(self._asked_ports()) as ports:
            pass
        started = timestamp()
        record = Record(
            name=self.name,
            provider=provider.name,
            phase="creating",
            ports=ports,
            started=started,
            settings=start_settings(self._lab),
        )
        self._write_config(ports, cgroups)
        holding.write(self._state, record)
        limit = self._settings.create_timeout
        command = [kind, "create", "cluster", "--name", self.name, "--config", str(self._state / _CONFIG)]
        # kind would remove a node that did not start, and with it the reason why.
        command += ["--kubeconfig", str(self.kubeconfig), "--wait", f"{limit}s", "--retain"]
        try:
            stream(command, timeout=limit + _MARGIN_SECONDS, report=report, environ=provider.environ)
            self._await_api(time.monotonic() + _REPAIR_SECONDS)
        except BaseException as error:
            raise self._abandoned(kind, provider, error, report) from error
        holding.write(self._state, msgspec.structs.replace(record, phase="ready"))

    def _abandoned(self, kind: str, provider: Provider, error: BaseException, report: Report) -> BaseException:
        """Remove what was made; return the error to raise, with the failure's reason first."""
        reason = _reason(error, provider, self.name) if isinstance(error, ProgramFailedError) else ""
        report("removing what was made")
        by_hand = f"kind delete cluster --name {self.name}"
        try:
            self._delete(kind, provider, report)
            holding.forget(self._state, self.kubeconfig.name, _CONFIG)
            after = "Nothing of it is left."
        except LabError as trouble:
            after = f"It could not be removed ({trouble.message.splitlines()[0]}); `{by_hand}` does."
        except KeyboardInterrupt:
            after = f"Its removal was interrupted, too; `{by_hand}` does it."
        if isinstance(error, ProgramFailedError):
            known = failure.advice(f"{error.output}\n{reason}")
            return ProgramFailedError(reason, error.output, hint="\n".join((*known, after)))
        if isinstance(error, LabError):
            return LabError(error.message, hint="\n".join(filter(None, (error.hint, after))))
        if isinstance(error, KeyboardInterrupt):
            return LabError(f"interrupted while the cluster {self.name} was being made", hint=after)
        return error

    def _resume(self, kind: str, provider: Provider, nodes: list[Node], report: Report) -> bool:
        """Start a cluster that was complete once. False when it was still running."""
        stopped = [node.name for node in nodes if node.state != "running"]
        if stopped:
            report(f"starting nodes that were stopped: {', '.join(stopped)}")
            provider.start(stopped)
        text = run([kind, "get", "kubeconfig", "--name", self.name], timeout=_QUICK_SECONDS, environ=provider.environ)
        holding.write_private(self.kubeconfig, text)
        try:
            self._await_api(time.monotonic() + (_REPAIR_SECONDS if stopped else _QUICK_SECONDS))
        except LabError as error:
            raise LabError(
                f"the kind cluster {self.name} is there, but not well\n{error.message}",
                hint=f"`{self._lab.command('reset')}` deletes it with all that is in it; `{self._lab.command('up')}` "
                "makes a new one."
                if not stopped
                else f"`{provider.name} logs {stopped[0]}` may tell why; `{self._lab.command('down')}` removes it.",
            ) from error
        return bool(stopped)

    def _await_api(self, deadline: float) -> None:
        """Return when the API is ready and every node is.

        Raises:
            LabError: they are not at the deadline; the message has the last failure.
        """
        kubectl = Kubectl(self.kubeconfig, self._state / "kubectl-cache", timeout=_QUICK_SECONDS)
        while True:
            try:
                kubectl.run("get", "--raw", "/readyz")
                left = max(1, int(deadline - time.monotonic()))
                kubectl.run("wait", "--for=condition=Ready", "nodes", "--all", f"--timeout={min(left, 20)}s")
            except LabError:
                if time.monotonic() > deadline:
                    raise
                # `kubectl wait` needs an API that answers, and no event announces that.
                time.sleep(_POLL_SECONDS)
            else:
                return

    def _refuse_old_kind(self) -> None:
        """Refuse a kind that is too old; one whose version is not known counts as new."""
        found = self._programs.version(KIND)
        if found and found < MINIMUM_KIND:
            raise LabError(
                f"kind {_dotted(found)} is too old; the lab needs {_dotted(MINIMUM_KIND)} or later",
                hint=self._programs.remedy(KIND),
            )

    def _delete(self, kind: str, provider: Provider, report: Report) -> None:
        command = [kind, "delete", "cluster", "--name", self.name, "--kubeconfig", str(self.kubeconfig)]
        stream(command, timeout=_DELETE_SECONDS, report=report, environ=provider.environ)
        if left := provider.nodes(self.name):
            raise LabError(
                f"kind says that it deleted {self.name}, but {_states(left)} remain",
                hint=f"{provider.name} rm --force {' '.join(node.name for node in left)}",
            )

    def _check_machine(self, provider: Provider, report: Report) -> None:
        findings = machine.check(provider, self._settings, *([self._inotify] if self._inotify else []))
        if fatal := [finding for finding in findings if finding.fatal]:
            raise LabError(
                "\n".join(finding.what for finding in fatal), hint="\n".join(finding.remedy for finding in fatal)
            )
        for finding in findings:
            report(f"warning: {finding.what}\n  to put it right: {finding.remedy}")

    def _write_config(self, ports: dict[str, int], cgroups: str) -> None:
        hosts = self._state / _HOSTS
        for name, text in config.hosts_files(self._settings.registry_mirrors).items():
            (hosts / name).parent.mkdir(parents=True, exist_ok=True)
            (hosts / name).write_text(text)
        text = self._render(ports, str(hosts), cgroups)
        (self._state / _CONFIG).write_text(text)

    def _render(self, ports: dict[str, int], hosts: str, cgroups: str) -> str:
        family = self._lab.settings.ip_family
        return config.render(self.name, self._settings, ports, hosts, cgroups=cgroups, ip_family=family)

    def _asked_ports(self) -> dict[str, int]:
        return self._lab.settings.own_ports

    def _record(self) -> Record | None:
        return holding.read(self._state, Record)

    def _provider(self, wanted: str) -> Provider:
        return choose(wanted, self._programs)

    def _foreign(self) -> LabError:
        return LabError(
            f"there is a kind cluster {self.name} that this directory's lab did not make, so it stays untouched",
            hint=f"Give the lab another name (`--name`), or delete that one: kind delete cluster --name {self.name}",
        )


@contextlib.contextmanager
def _free(asked: dict[str, int]) -> Iterator[dict[str, int]]:
    """Choose the ports that were left open; gives all of them, each bound during the `with` block.

    Raises:
        LabError: a port is taken; names the process that has it.
    """
    with contextlib.ExitStack() as held:
        ports = {}
        for label, port in asked.items():
            try:
                bound = held.enter_context(host_ports.bind("127.0.0.1", port))
            except host_ports.PortTakenError as error:
                variable = f"MESH_LAB_{label.upper()}_PORT"
                raise LabError(
                    str(error), hint=f"End that process, or choose another port: {variable}=N (0 takes any free one)."
                ) from error
            ports[label] = int(bound.getsockname()[1])
        yield ports


def _states(nodes: list[Node]) -> str:
    return ", ".join(f"{node.name}: {node.state}" for node in nodes)


def _reason(error: ProgramFailedError, provider: Provider, name: str) -> str:
    """What failed and why, from the output of kind and the journals of the nodes that it has left."""
    lines = failure.reason(error.output)
    try:
        nodes = failure.kubelets(provider, provider.nodes(name))
    except LabError:
        nodes = []
    return "\n".join([error.message.splitlines()[0], *lines, *nodes] if lines else [error.message, *nodes])


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(str(part) for part in version)
