"""The embedded cluster, seen from the command line: start the host process, wait for it, find it again, end it.

`lab.json` says which process it is, the lock on the state directory whether a process still uses that state. The
kube process holds the lock, too, so that "the lock is free" means "nothing is left".
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

import mesh_lab as package
from mesh_lab.clusters import turns
from mesh_lab.clusters.base import ClusterStatus, Report, report_changes
from mesh_lab.clusters.embedded import families, host, namespaces, ports, record, specification
from mesh_lab.errors import LabError
from mesh_lab.settings import Lab

KUBE_COMMAND = (sys.executable, "-P", "-m", "mesh_lab.kube", "--config-fd", "{config_fd}")
RECOVERY_MODULE = "mesh_lab.kube.recovery"
JOURNAL_NAME = "journal.db"
_STATUS = tuple(ClusterStatus.__struct_fields__)
_MAX_LOG_BYTES = 8 * 1024 * 1024
_KILL_PATIENCE_SECONDS = 5.0
_POLL_SECONDS = 0.02
_RECOVERY_SECONDS = 60.0
_SHOWN_LINES = 10
_INTERRUPTIONS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class EmbeddedCluster:
    """A lab's embedded cluster. `kube_command` is what runs as the kube process."""

    def __init__(
        self, lab: Lab, environ: Mapping[str, str] = os.environ, kube_command: tuple[str, ...] = KUBE_COMMAND
    ) -> None:
        self._lab = lab
        self._environ = environ
        self._kube_command = kube_command
        self._state = lab.state_dir
        self._timeouts = lab.settings.timeouts

    @property
    def kubeconfig(self) -> Path:
        """The kubeconfig, which the kube process writes."""
        return self._lab.kubeconfig

    @property
    def log(self) -> Path:
        """The log of the host and kube processes."""
        return self._state / host.LOG_NAME

    def status(self) -> ClusterStatus:
        """Return the status from `lab.json`, which counts only while its process is alive.

        Raises:
            LabError: the state may not be read, which must not look like a lab that is down.
        """
        self._refuse_foreign()
        found = record.read(str(self._state))
        if found is None or not record.alive(found):
            return ClusterStatus()
        return msgspec.convert({field: found[field] for field in _STATUS if field in found}, ClusterStatus)

    def up(self, report: Report) -> bool:
        """See `Cluster.up`. Ports of the running lab stay as they are, whatever the settings say now."""
        status = self.status()
        if status.running:
            self._await_other(status, report)
            return False
        obstacles = namespaces.obstacles(environ=self._environ)
        if self._lab.settings.ip_family == "dual":
            obstacles += families.obstacles()
        if obstacles:
            raise LabError(
                "\n".join(o.what for o in obstacles), hint="\n".join(f"to allow it: {o.remedy}" for o in obstacles)
            )
        self._prepare_state()
        return self._start(report)

    def down(self, report: Report) -> bool:
        """See `Cluster.down`. A host process that does not end in time is killed, which loses no state."""
        pid = self.status().pid
        if pid is not None:
            report("stopping")
            self._end(pid)
        if self._is_state():
            with self._locked():
                record.remove(str(self._state))
        return pid is not None

    def recover(self) -> list[str]:
        """Replace a damaged journal by what can be read of it; the lines say what was kept and what is lost.

        Raises:
            LabError: the lab is running, or its state cannot be written.
        """
        if self.status().running:
            raise LabError("the lab is running, so its journal is in use", hint="`mesh-lab down` takes it down.")
        if not self._is_state():
            return []
        with self._locked():
            # In a process of its own: the code that reads journals is a part of the kube process.
            done = subprocess.run(
                [sys.executable, "-P", "-m", RECOVERY_MODULE, str(self._state / JOURNAL_NAME)],
                capture_output=True,
                text=True,
                check=False,
                timeout=_RECOVERY_SECONDS,
            )
        if done.returncode:
            raise LabError(f"the journal cannot be recovered: {done.stderr.strip()}")
        return done.stdout.splitlines()

    def reset(self, report: Report) -> bool:
        """See `Cluster.reset`. Deletes only a directory that a lab has made."""
        self._refuse_foreign()
        if not self._state.exists() or set(self._state.iterdir()) <= {
            self._lab.tools_dir,
            self._state / turns.LOCK_NAME,
        }:
            return False
        if not self._is_state():
            raise LabError(
                f"{self._state} does not look like a lab's state, so it stays",
                hint="A lab's state directory has a file `lock` in it.",
            )
        self.down(report)
        with self._locked():
            try:
                self._delete_state()
            except OSError as error:
                raise LabError(f"cannot delete {error.filename}: {error.strerror}") from error
        return True

    def _refuse_foreign(self) -> None:
        if not self._state.is_dir() or os.access(self._state, os.R_OK | os.X_OK):
            return
        owner = self._state.stat().st_uid
        whose = "this user's, and closed" if owner == os.geteuid() else f"that of {ports.user(owner)}"
        raise LabError(
            f"the state in {self._state} is {whose}", hint="Work on that lab as that user; `--dir` chooses another."
        )

    def _is_state(self) -> bool:
        return (self._state / host.LOCK_NAME).is_file()

    def _delete_state(self) -> None:
        """Delete everything but the programs that `mesh-lab tools install` has put there, which are no lab's state."""
        if self._lab.tools_dir.parent != self._state or not self._lab.tools_dir.exists():
            shutil.rmtree(self._state)
            return
        for path in self._state.iterdir():
            if path.is_dir() and not path.is_symlink() and path != self._lab.tools_dir:
                shutil.rmtree(path)
            elif path != self._lab.tools_dir:
                path.unlink()

    def _prepare_state(self) -> None:
        try:
            self._state.mkdir(mode=0o700, parents=True, exist_ok=True)
            if self.log.exists() and self.log.stat().st_size > _MAX_LOG_BYTES:
                self.log.replace(self.log.with_suffix(".log.1"))
            self.log.touch(mode=0o600)
        except OSError as error:
            raise LabError(
                f"cannot write to {error.filename or self._state}: {error.strerror}",
                hint=f"The lab keeps its state in {self._state}; `--dir` puts it elsewhere.",
            ) from error

    def _start(self, report: Report) -> bool:
        read, write = os.pipe()
        pid: int | None = None
        # No interruption may come between the start and the note of what was started.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, _INTERRUPTIONS)
        try:
            try:
                pid = self._spawn_host(write)
            finally:
                os.close(write)
                signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            started = self._await_ready(read, report)
        except BaseException:
            if pid is not None:
                self._end(pid)
            raise
        finally:
            os.close(read)
        if not started:
            os.waitpid(pid, 0)
            self._await_other(self.status(), report)
        return started

    def _spawn_host(self, report_fd: int) -> int:
        """Start the first process: a session of its own, so that a closed terminal or a Ctrl-C does not reach it."""
        source = str(Path(package.__file__).parent.parent)
        spec = os.memfd_create("lab-spec")
        try:
            described = specification.describe(self._lab, self._environ, self._kube_command, source)
            os.write(spec, msgspec.json.encode(described))
            os.lseek(spec, 0, os.SEEK_SET)
            for descriptor in (spec, report_fd):
                os.set_inheritable(descriptor, True)
            module = ["-m", ports.HOST_MODULE, self._lab.name]
            return os.posix_spawn(
                sys.executable,
                [sys.executable, "-P", "-S", *module, "--spec-fd", str(spec), "--report-fd", str(report_fd)],
                {"PYTHONPATH": source, "PATH": specification.search_path(self._environ), "LANG": "C.UTF-8"},
                file_actions=[
                    (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                    (os.POSIX_SPAWN_OPEN, 1, str(self.log), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600),
                    (os.POSIX_SPAWN_DUP2, 1, 2),
                ],
                setsid=True,
                setsigmask=[],
            )
        finally:
            os.close(spec)

    def _await_ready(self, descriptor: int, report: Report) -> bool:
        """Pass the host process' messages on until it is ready; False when another host process has the lab."""
        deadline = time.monotonic() + self._timeouts.cluster
        for message in _messages(descriptor, deadline):
            operation = message.get("op")
            if operation == "progress":
                report(str(message.get("text")))
            elif operation == "ready":
                return True
            elif operation == "running":
                return False
            elif operation == "failed":
                raise self._failure(message)
        if time.monotonic() >= deadline:
            raise LabError(
                f"the cluster was not ready after {self._timeouts.cluster} s",
                hint=f"{self.log} tells how far it came; [timeouts] cluster in lab.toml is the limit.",
            )
        raise LabError("the lab's first process ended without a word", hint=f"See the end of {self.log}.")

    def _failure(self, message: Mapping[str, Any]) -> LabError:
        text = str(message.get("message"))
        if message.get("kind") == "port":
            return LabError(text, hint=self._port_hint(message.get("port")))
        log = _gist(str(message.get("log", "")))
        if "unshare:" in log or "newuidmap:" in log:
            return LabError(f"{text}\n{log}", hint="`mesh-lab doctor` tells what keeps the lab from its namespaces.")
        return LabError(f"{text}\n{log}" if log else text, hint=f"The whole log: {self.log}")

    def _port_hint(self, port: object) -> str:
        ports = self._lab.settings.ports
        for label in ports.__struct_fields__:
            if getattr(ports, label) == port:
                return (
                    f"End that process, or choose another port: MESH_LAB_{label.upper()}_PORT=N, or "
                    f"`{label} = N` under [ports] in lab.toml (0 takes any free one)."
                )
        return "End that process, or choose another host_port under [[host_ports]] in lab.toml."

    def _await_other(self, status: ClusterStatus, report: Report) -> None:
        """Another invocation has started the lab: wait until it is ready."""
        recorded = (record.read(str(self._state)) or {}).get("settings")
        report_changes(self._lab, recorded if isinstance(recorded, dict) else {}, report)
        configured = self._lab.settings.ports
        for label, port in status.ports.items():
            wanted = getattr(configured, label, 0)
            if wanted and wanted != port:
                report(f"already runs with {label} port {port}; for port {wanted}, `{self._lab.command('down')}` first")
        deadline = time.monotonic() + self._timeouts.cluster
        while status.phase == "starting" and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
            status = self.status()
        if status.phase != "ready":
            raise LabError(f"the lab that another command was starting is {status.phase}", hint=f"See {self.log}.")

    def _end(self, pid: int) -> None:
        """Ask the host process to end, kill it after a while, and return when it is gone."""
        try:
            process = os.pidfd_open(pid)
        except ProcessLookupError:
            return
        try:
            # The descriptor holds the process: its number cannot be reused between the two calls.
            if record.started(pid) is None:
                return
            signal.pidfd_send_signal(process, signal.SIGTERM)
            if not select.select([process], [], [], self._timeouts.stop + _KILL_PATIENCE_SECONDS)[0]:
                signal.pidfd_send_signal(process, signal.SIGKILL)
                select.select([process], [], [], _KILL_PATIENCE_SECONDS)
        except ProcessLookupError:
            return
        except PermissionError as error:
            raise LabError(
                f"the lab's first process (pid {pid}) belongs to another user", hint="End the lab as that user."
            ) from error
        finally:
            os.close(process)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the lab's lock: nothing uses its state now. Processes that are just dying are waited for."""
        try:
            lock = os.open(self._state / host.LOCK_NAME, os.O_RDWR | os.O_CLOEXEC)
        except OSError as error:
            raise LabError(f"cannot open {error.filename}: {error.strerror}") from error
        try:
            deadline = time.monotonic() + _KILL_PATIENCE_SECONDS
            while not _try_lock(lock):
                if time.monotonic() > deadline:
                    raise LabError(f"the lab in {self._state} is in use by another command")
                time.sleep(_POLL_SECONDS)
            yield
        finally:
            os.close(lock)


def _gist(log: str) -> str:
    """The part of the kube process' last output that a person needs: of a traceback, the last line."""
    lines = [line for line in log.splitlines() if line.strip() and " host: " not in line]
    if any(line.startswith("Traceback ") for line in lines):
        return lines[-1]
    return "\n".join(lines[-_SHOWN_LINES:])


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _messages(descriptor: int, deadline: float) -> Iterator[dict[str, Any]]:
    """JSON lines from `descriptor` until its end or the deadline (in `time.monotonic` seconds)."""
    pending = b""
    while (left := deadline - time.monotonic()) > 0 and select.select([descriptor], [], [], left)[0]:
        chunk = os.read(descriptor, 65536)
        if not chunk:
            return
        *lines, pending = (pending + chunk).split(b"\n")
        yield from (json.loads(line) for line in lines)
