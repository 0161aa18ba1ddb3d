"""An existing cluster, not made by the lab: the lab is a guest there.

Only contexts that the user has allowed are touched. All that the lab makes is in namespaces that carry a label of this
lab's own, chosen at random before anything is made; `down` removes what carries it, and nothing else.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from mesh_lab.client.kubeconfig import secret
from mesh_lab.client.kubectl import Kubectl, program
from mesh_lab.clusters import holding
from mesh_lab.clusters.base import ClusterStatus, Report
from mesh_lab.errors import LabError
from mesh_lab.programs import ProgramFailedError, run
from mesh_lab.rfc3339 import timestamp
from mesh_lab.settings import FILE_NAME, Lab

INSTANCE_LABEL = "mesh-lab/instance"
MINIMUM_KUBERNETES = (1, 30)
_QUICK_SECONDS = 30.0
_DELETE_SECONDS = 180


class IstioMade(msgspec.Struct, frozen=True):
    """An installation of Istio by the lab: its revision, and the namespaces that had its root certificate before."""

    revision: str
    certified: tuple[str, ...] = ()


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """Which cluster it is, and the label of the lab's objects in it."""

    context: str
    server: str
    instance: str
    namespace: str
    started: str
    phase: str = "starting"
    istio: IstioMade | None = None


class ExistingCluster:
    """A lab's place in a cluster that it does not own."""

    def __init__(self, lab: Lab, environ: Mapping[str, str] = os.environ) -> None:
        self._lab = lab
        self._settings = lab.settings.existing
        self._state = lab.state_dir
        self._environ = environ

    @property
    def kubeconfig(self) -> Path:
        """A copy of the user's, with only the one context; the user's own is never written to."""
        return self._lab.kubeconfig

    def status(self) -> ClusterStatus:
        """Return the status from the record; it does not tell whether the cluster answers."""
        record = self.record()
        return ClusterStatus(phase=record.phase, started=record.started) if record else ClusterStatus()

    def record(self) -> Record | None:
        """Return the record of a lab that is up; None when it is down.

        Raises:
            LabError: it cannot be read.
        """
        return holding.read(self._state, Record)

    def up(self, report: Report) -> bool:
        """Check that the cluster may and can be used; record which it is, before anything is made in it."""
        access = self._access()
        report(f"context {access.context} at {access.server}")
        with holding.held(self._state):
            record = self.record()
            if record is not None and (record.context, record.server) != (access.context, access.server):
                raise LabError(
                    f"this lab is on {record.context} at {record.server} already",
                    hint=f"`{self._lab.command('down')}` first, or another `--name`.",
                )
            holding.write_private(self.kubeconfig, access.text)
            try:
                self._check(report, Kubectl(self.kubeconfig, self._state / "kubectl-cache", timeout=_QUICK_SECONDS))
            except LabError:
                if record is None:
                    self.kubeconfig.unlink(missing_ok=True)
                raise
            if record is not None:
                return False
            started = timestamp()
            holding.write(
                self._state,
                Record(
                    context=access.context,
                    server=access.server,
                    instance=f"{self._lab.name}-{secrets.token_hex(4)}",
                    namespace=self._settings.namespace,
                    started=started,
                ),
            )
        return True

    def down(self, report: Report) -> bool:
        """Delete the namespaces that carry the lab's label.

        Raises:
            LabError: they were not all deleted; it says how to remove what is left.
        """
        record = self.record()
        if record is None:
            return False
        selector = f"{INSTANCE_LABEL}={record.instance}"
        with holding.held(self._state):
            report(f"deleting the namespaces labelled {selector}")
            try:
                Kubectl(self.kubeconfig, self._state / "kubectl-cache", timeout=_DELETE_SECONDS + _QUICK_SECONDS).run(
                    "delete", "namespaces", "--selector", selector, "--wait", f"--timeout={_DELETE_SECONDS}s"
                )
            except LabError as error:
                raise LabError(
                    f"what the lab made on {record.context} may still be there\n{error.message}",
                    hint=f"Again: `{self._lab.command('down')}`; by hand: kubectl --context {record.context} "
                    f"delete namespaces --selector {selector}",
                ) from error
            holding.forget(self._state, self.kubeconfig.name)
        return True

    def reset(self, report: Report) -> bool:
        """See `Cluster.reset`."""
        self.down(report)
        return holding.remove(self._state)

    def plan(self) -> list[str]:
        """Return which cluster `up` would use; nothing is written, and the cluster is only read.

        Raises:
            LabError: the cluster may not be used, does not answer, or is too old.
        """
        access = self._access()
        lines = [f"use the context {access.context} at {access.server}"]
        with self.looked_at() as kubeconfig, tempfile.TemporaryDirectory() as cache:
            self._check(lines.append, Kubectl(kubeconfig, Path(cache), timeout=_QUICK_SECONDS))
        return lines

    @contextlib.contextmanager
    def looked_at(self) -> Any:
        """A kubeconfig for looking at the cluster without being up: a copy that is gone afterwards."""
        if self.record() is not None:
            yield self.kubeconfig
            return
        with secret(self._access().text.encode()) as file:
            yield file

    def _access(self) -> _Access:
        """Return the user's kubeconfig, reduced to the one context.

        Raises:
            LabError: the context may not be used, or cannot be.
        """
        given = self._settings.kubeconfig
        environ = dict(self._environ)
        if given:
            file = Path(given).expanduser()
            file = file if file.is_absolute() else self._lab.directory / file
            if not file.is_file():
                raise LabError(f"there is no kubeconfig {file}", hint="--kubeconfig FILE says where it is.")
            environ["KUBECONFIG"] = str(file)
        command = [program(), "config", "view", "--minify", "--flatten", "--raw", "--output", "json"]
        if self._settings.context:
            command += ["--context", self._settings.context]
        where = environ.get("KUBECONFIG") or str(Path("~/.kube/config").expanduser())
        try:
            document = json.loads(run(command, timeout=_QUICK_SECONDS, environ=environ))
            context = str(document["current-context"])
            server = str(document["clusters"][0]["cluster"]["server"])
        except ProgramFailedError as error:
            raise LabError(f"the kubeconfig {where} cannot be used\n{error.message}", hint=_HINT_CONTEXTS) from error
        except (ValueError, KeyError, TypeError, IndexError) as error:
            raise LabError(f"the kubeconfig {where} names no cluster", hint=_HINT_CONTEXTS) from error
        self._refuse_unlisted(context)
        _anchor(document, [Path(part) for part in where.split(os.pathsep) if part])
        return _Access(context, server, json.dumps(document, indent=2) + "\n")

    def _refuse_unlisted(self, context: str) -> None:
        if context in self._settings.contexts:
            return
        listed = ", ".join(self._settings.contexts) or "none"
        raise LabError(
            f"the context {context!r} is not on the list of contexts that the lab may touch (on it: {listed})",
            hint=f"To allow it, under [existing] in {self._lab.directory / FILE_NAME}:\n"
            f"contexts = [{json.dumps(context)}]",
        )

    def _check(self, report: Report, kubectl: Kubectl) -> None:
        """Check that the lab can use the cluster.

        Raises:
            LabError: it does not answer, is too old, or lets the lab make no namespace.
        """
        try:
            version = json.loads(kubectl.run("version", "--output", "json", "--request-timeout=15s"))["serverVersion"]
        except LabError as error:
            raise LabError(f"the cluster does not answer\n{error.message}", hint=_HINT_UNREACHABLE) from error
        except (ValueError, KeyError) as error:
            raise LabError("the cluster does not say which version it is") from error
        found = (_number(version["major"]), _number(version["minor"]))
        if found < MINIMUM_KUBERNETES:
            minimum = ".".join(str(part) for part in MINIMUM_KUBERNETES)
            raise LabError(f"the cluster is too old: Kubernetes {version['gitVersion']}, {minimum} or later is needed")
        report(f"Kubernetes {version['gitVersion']}")
        try:
            kubectl.run("auth", "can-i", "create", "namespaces")
        except LabError as error:
            raise LabError(
                "the kubeconfig's user may not create namespaces in this cluster",
                hint="Ask for that right, or use another user: all that the lab makes is in namespaces of its own.",
            ) from error


class _Access(msgspec.Struct, frozen=True):
    context: str
    server: str
    text: str


_HINT_CONTEXTS = "`kubectl config get-contexts` lists what there is; --kubeconfig FILE and --context NAME choose."
_HINT_UNREACHABLE = "Is it up, and reachable from here (VPN, firewall)? Are the kubeconfig's credentials still valid?"


def _anchor(document: Mapping[str, Any], files: list[Path]) -> None:
    """Have a user's paths lead from the copy to where they led from the file that names the user.

    kubectl embeds certificates, but leaves login programs and token files as they are. Of several files the first
    that has the user counts.
    """
    import yaml

    for entry in document.get("users") or ():
        user = entry.get("user") or {}
        program = user.get("exec") or {}
        fields = [(user, "tokenFile")] if user.get("tokenFile") else []
        fields += [(program, "command")] if os.sep in str(program.get("command", "")) else []
        for file in files if fields else ():
            with contextlib.suppress(OSError, yaml.YAMLError, AttributeError, KeyError, TypeError):
                names = [user["name"] for user in yaml.safe_load(file.read_text(encoding="utf-8"))["users"]]
                if entry["name"] in names:
                    for section, field in fields:
                        section[field] = str(file.absolute().parent / section[field])
                    break


def _number(text: str) -> int:
    """Parse a version's number; some providers write `30+`."""
    digits = "".join(character for character in str(text) if character.isdigit())
    return int(digits or 0)
