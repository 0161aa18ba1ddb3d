"""The lab's first process: `python -m mesh_lab.clusters.embedded.host NAME --spec-fd N --report-fd M`.

It stays in the host's namespaces and does four things: it holds the lock on the lab's state, it owns what only the
host's namespaces can give (listening sockets on the loopback), it starts the kube process in namespaces of its own, and
its end is that process' end. It is small, so that little in it can fail, and imports little, since it stays in memory.

However it ends, nothing outlives it. The kube process is pid 1 of a PID namespace, and the kernel ends such a namespace
with its pid 1. That pid 1 dies when `unshare` dies (`--kill-child`), and `unshare` when this process does (`setpriv
--pdeathsig`). Were this process killed in the instant before those two requests are in place, the kube process would
still find the lifeline pipe closed, whose only writing end is here.

Messages from the kube process (JSON, one a datagram, over the control socket): `listen` is answered with a listening
descriptor, `progress` and `ready` are passed on to the command that waits at the other end of the report pipe.
"""

from __future__ import annotations

import fcntl
import json
import os
import select
import signal
import socket
import sys
import time

from mesh_lab.clusters.embedded import ports, record

LOCK_NAME = "lock"
LOG_NAME = "lab.log"
_LOOPBACK = "127.0.0.1"
_LOCK_PATIENCE_SECONDS = 5.0
_LOCK_PAUSE_SECONDS = 0.02
_UNREADY_STOP_SECONDS = 0.5
_LOG_TAIL_BYTES = 4096
_MESSAGE_BYTES = 65536


class StartError(Exception):
    """The lab cannot start; the message is for the person who started it."""


class AlreadyRunningError(Exception):
    """Another host process has this lab."""


class Reporter:
    """Messages to the waiting command, as JSON lines. They are dropped when it went away or does not read."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor: int | None = descriptor
        os.set_blocking(descriptor, False)

    def send(self, **message: object) -> None:
        """Send a message, or drop it when it cannot be sent."""
        if self._descriptor is None:
            return
        try:
            os.write(self._descriptor, json.dumps(message).encode() + b"\n")
        except BlockingIOError:
            return
        except OSError:
            self.close()

    def close(self) -> None:
        """Close the pipe: no more messages follow."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


class Host:
    """The process' state between its start and its end."""

    def __init__(self, spec: dict[str, object], reporter: Reporter) -> None:
        self.name = str(spec["name"])
        self.state_dir = str(spec["state_dir"])
        self._spec = spec
        self._reporter = reporter
        self._bound: dict[int, socket.socket] = {}
        self._record: record.Record = {}
        self._log_start = 0

    def run(self) -> int:
        """Run until a signal or the kube process' end; the exit code says which of them it was."""
        lock = self._lock()
        try:
            return self._run(lock)
        finally:
            record.remove(self.state_dir)
            os.close(lock)

    def _run(self, lock: int) -> int:
        self._log_start = _size(f"{self.state_dir}/{LOG_NAME}")
        addresses = self._bind_ports()
        control, kube_control = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        lifeline_read, lifeline = os.pipe()
        api = self._bound.pop(addresses["api"])
        ports.listen(api)
        config = self._kube_config(addresses, api.fileno(), kube_control.fileno(), lifeline_read)
        signals = _signals()
        self._write_record(addresses)
        # The kube process holds the lock too: it is free only when no process uses the state any more.
        starter = self._spawn(config, (config, api.fileno(), kube_control.fileno(), lifeline_read, lock))
        for descriptor in (config, lifeline_read):
            os.close(descriptor)
        api.close()
        kube_control.close()
        try:
            return self._serve(starter, control, signals, lifeline)
        finally:
            control.close()

    def _lock(self) -> int:
        """Take the lab; a predecessor that is just being killed is waited for."""
        lock = os.open(f"{self.state_dir}/{LOCK_NAME}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        deadline = time.monotonic() + _LOCK_PATIENCE_SECONDS
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if record.alive(record.read(self.state_dir)):
                    raise AlreadyRunningError from None
                if time.monotonic() > deadline:
                    raise StartError(f"another process holds {self.state_dir}/{LOCK_NAME} (`fuser` names it)") from None
                time.sleep(_LOCK_PAUSE_SECONDS)
            else:
                return lock

    def _bind_ports(self) -> dict[str, int]:
        """Take all configured ports before anything is started, so that a taken one costs nothing."""
        addresses: dict[str, int] = {}
        wanted = self._spec["ports"]
        assert isinstance(wanted, dict)
        for label, port in wanted.items():
            bound = ports.bind(_LOOPBACK, port)
            addresses[label] = bound.getsockname()[1]
            self._bound[addresses[label]] = bound
        return addresses

    def _kube_config(self, addresses: dict[str, int], api: int, control: int, lifeline: int) -> int:
        """The kube process' configuration in an anonymous file."""
        kube = self._spec["kube"]
        assert isinstance(kube, dict)
        config = kube | {
            "name": self.name,
            "state_dir": self.state_dir,
            "api_fd": api,
            "control_fd": control,
            "lifeline_fd": lifeline,
            "api_port": addresses["api"],
            "host_ports": [
                {k: v for k, v in entry.items() if k != "label"} | {"host_port": addresses[entry["label"]]}
                for entry in kube.get("host_ports", ())
            ],
        }
        descriptor = os.memfd_create("kube-config")
        os.write(descriptor, json.dumps(config).encode())
        os.lseek(descriptor, 0, os.SEEK_SET)
        return descriptor

    def _spawn(self, config: int, inherited: tuple[int, ...]) -> int:
        command, environment = self._spec["command"], self._spec["environment"]
        assert isinstance(command, list)
        assert isinstance(environment, dict)
        argv = [word.replace("{config_fd}", str(config)) for word in command]
        for descriptor in inherited:
            os.set_inheritable(descriptor, True)
        try:
            return os.posix_spawnp(argv[0], argv, environment, setsigmask=[], setsigdef=[signal.SIGPIPE])
        except OSError as error:
            raise StartError(f"cannot run {argv[0]}: {error.strerror}") from error

    def _write_record(self, addresses: dict[str, int]) -> None:
        self._record = {
            "name": self.name,
            "pid": os.getpid(),
            "start_ticks": record.started(os.getpid()),
            "started": _timestamp(),
            "phase": "starting",
            "ports": addresses,
            "settings": self._spec["settings"],
            "profile": self._spec.get("profile", ""),
            "internet": self._spec.get("internet", 0),
        }
        record.write(self.state_dir, self._record)

    def _serve(self, starter: int, control: socket.socket, signals: socket.socket, lifeline: int) -> int:
        """Answer the kube process until it ends; on a signal, ask it to end, and see that it does."""
        ended = os.pidfd_open(starter)
        poller = select.poll()
        for descriptor in (control.fileno(), signals.fileno(), ended):
            poller.register(descriptor, select.POLLIN)
        deadline: float | None = None
        while True:
            wait_ms = None if deadline is None else max(0, int((deadline - time.monotonic()) * 1000) + 1)
            ready = {descriptor for descriptor, _ in poller.poll(wait_ms)}
            if control.fileno() in ready and not self._answer(control):
                poller.unregister(control.fileno())
            if ended in ready:
                break
            if signals.fileno() in ready:
                signals.recv(4096)
                deadline = time.monotonic() + (self._stop(starter) if deadline is None else 0)
            if deadline is not None and time.monotonic() >= deadline:
                _log("the kube process did not end in time; killing it")
                # `unshare` outlives it, and so its end says that the whole PID namespace is gone.
                for victim in record.children(starter) or [starter]:
                    os.kill(victim, signal.SIGKILL)
                deadline = time.monotonic() + _UNREADY_STOP_SECONDS
        status = os.waitstatus_to_exitcode(os.waitpid(starter, 0)[1])
        os.close(lifeline)
        if deadline is not None:
            _log("stopped")
            return 0
        self._report_death(status)
        return 1

    def _stop(self, starter: int) -> float:
        """Ask the kube process to end; return how many seconds it has for that."""
        _log("stopping")
        for kube in record.children(starter):
            os.kill(kube, signal.SIGTERM)
        # Before it is ready it may not have installed its handler, and a PID namespace's init ignores the rest.
        limit = self._spec["stop_timeout_s"] if self._record["phase"] == "ready" else _UNREADY_STOP_SECONDS
        assert isinstance(limit, int | float)
        return limit

    def _answer(self, control: socket.socket) -> bool:
        """Take one message; False when the kube process has closed its end."""
        try:
            datagram = control.recv(_MESSAGE_BYTES)
        except OSError:
            return False
        if not datagram:
            return False
        try:
            message = json.loads(datagram)
            operation = message["op"]
        except (ValueError, KeyError, TypeError):
            _log(f"a malformed message: {datagram[:200]!r}")
            return True
        if operation == "listen":
            self._listen(control, message)
        elif operation == "progress":
            self._reporter.send(op="progress", text=str(message.get("text", "")))
        elif operation == "ready":
            self._record["phase"] = "ready"
            record.write(self.state_dir, self._record)
            self._reporter.send(op="ready")
            self._reporter.close()
        else:
            _log(f"a message of an unknown kind: {operation!r}")
        return True

    def _listen(self, control: socket.socket, message: dict[str, object]) -> None:
        """Hand over a listening descriptor and keep none, so that the port is free when the kube process closes it."""
        port, host = message.get("port"), str(message.get("host", _LOOPBACK))
        quickly = message.get("quickly") is True
        try:
            if not isinstance(port, int) or not 0 <= port <= 65535 or not host.startswith("127."):
                reply: dict[str, object] = {"ok": False, "error": f"cannot listen on {host}:{port}"}
                socket.send_fds(control, [json.dumps(reply).encode()], [])
                return
            taken = self._bound.pop(port, None) if host == _LOOPBACK else None
            listening = taken or ports.bind(host, port, quickly=quickly)
            ports.listen(listening, quickly=quickly)
        except ports.PortTakenError as error:
            reply = {"ok": False, "error": str(error), "kind": error.kind}
            control.send(json.dumps(reply).encode())
            return
        with listening:
            reply = {"ok": True, "port": listening.getsockname()[1]}
            socket.send_fds(control, [json.dumps(reply).encode()], [listening.fileno()])

    def _report_death(self, status: int) -> None:
        how = f"was ended by signal {-status}" if status < 0 else f"ended with exit code {status}"
        _log(f"the kube process {how}")
        self._reporter.send(op="failed", message=f"the cluster's process {how}", log=self._log_tail())

    def _log_tail(self) -> str:
        """What was logged since this process started, or the end of it."""
        try:
            with open(f"{self.state_dir}/{LOG_NAME}", "rb") as log:
                log.seek(max(self._log_start, log.seek(0, os.SEEK_END) - _LOG_TAIL_BYTES))
                return log.read().decode("utf-8", "replace")
        except OSError:
            return ""


def main(arguments: list[str]) -> int:
    """Read the specification, run the lab, report what prevents it."""
    spec_fd, report_fd = int(arguments[2]), int(arguments[4])
    os.chdir("/")
    # Containers must be able to read what the lab makes for them, whatever the user's umask keeps from others; the
    # state directory itself is closed to them.
    os.umask(0o022)
    reporter = Reporter(report_fd)
    with os.fdopen(spec_fd) as document:
        spec = json.load(document)
    host = Host(spec, reporter)
    try:
        return host.run()
    except AlreadyRunningError:
        reporter.send(op="running")
    except ports.PortTakenError as error:
        reporter.send(op="failed", kind="port", port=error.port, message=str(error))
    except StartError as error:
        reporter.send(op="failed", message=str(error))
    except OSError as error:
        # A failed write names no file; all that is written here is in the state directory.
        place = error.filename or host.state_dir
        reporter.send(op="failed", message=f"{place}: {error.strerror or error}")
    return 1


def _signals() -> socket.socket:
    """A socket that becomes readable on SIGTERM or SIGINT; SIGHUP, of a closed terminal, is ignored."""
    read, write = socket.socketpair()
    for end in (read, write):
        end.setblocking(False)
    signal.set_wakeup_fd(write.detach(), warn_on_full_buffer=False)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: None)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    return read


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0


def _timestamp() -> str:
    """The present as `mesh_lab.rfc3339` writes it, without the half megabyte that its import of datetime takes."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def _log(text: str) -> None:
    sys.stderr.write(f"{_timestamp()} host: {text}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
