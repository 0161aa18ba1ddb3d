"""Starting a container's command, or another command inside a running container.

The runtime forks; the child makes the container around itself and then becomes the command. The command is process 1
of its PID namespace, as in Kubernetes: it must reap orphans, it ignores signals that it does not handle, and its
end ends the whole container. What fails before the exec comes back over a pipe that the exec closes.
"""

from __future__ import annotations

import contextlib
import fcntl
import gc
import json
import os
import select
import signal
import socket
import termios
from typing import Any, NamedTuple, NoReturn

from mesh_lab.kube.node.runtime import TOOLS
from mesh_lab.kube.node.runtime import syscalls as sc
from mesh_lab.kube.node.runtime.rootfs import HostFiles, build
from mesh_lab.kube.node.runtime.sandbox import Sandbox

# Python ignores these, and what is ignored stays ignored over an exec.
_RESTORED_SIGNALS = (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT, signal.SIGTERM)


class Started(NamedTuple):
    """A forked child: its number, a pidfd, and a pipe that ends at the exec, or says why there was none."""

    pid: int
    pidfd: int
    report: int


class Home(NamedTuple):
    """The runtime's own surroundings: its sandbox, its PID namespace, its life, and where roots are put together."""

    sandbox: Sandbox
    pid_namespace: int
    life: int
    staging: str
    files: HostFiles

    @classmethod
    def here(cls, staging: str, files: HostFiles) -> Home:
        """Open this process' present namespaces."""
        namespace = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
        return cls(Sandbox.here(), namespace, os.pidfd_open(os.getpid()), staging, files)


def start_container(home: Home, sandbox: Sandbox, spec: dict[str, Any], stdio: list[int]) -> Started:
    """Fork the first process of a new container in `sandbox`.

    `stdio` is three descriptors, or one socket that wants a terminal.
    """

    def surround() -> None:
        sandbox.enter()
        sc.unshare(sc.CLONE_NEWNS)
        build(home.staging, home.files, spec["root"])

    sc.unshare(sc.CLONE_NEWPID)
    return _fork(home, surround, spec, stdio)


def start_inside(home: Home, container: int, spec: dict[str, Any], stdio: list[int]) -> Started:
    """Fork a process into the container whose first process the pidfd `container` stands for."""

    def surround() -> None:
        sc.setns(container, sc.CLONE_NEWNS | sc.CLONE_NEWNET | sc.CLONE_NEWIPC | sc.CLONE_NEWUTS)

    sc.setns(container, sc.CLONE_NEWPID)
    return _fork(home, surround, spec, stdio)


def _fork(home: Home, surround: Any, spec: dict[str, Any], stdio: list[int]) -> Started:
    report, reporter = os.pipe()
    try:
        pid = os.fork()
        if pid == 0:
            _child(home, surround, spec, stdio, reporter)
    except OSError:
        os.close(report)
        raise
    finally:
        os.close(reporter)
        sc.setns(home.pid_namespace, sc.CLONE_NEWPID)
    return Started(pid, os.pidfd_open(pid), report)


def _child(home: Home, surround: Any, spec: dict[str, Any], stdio: list[int], reporter: int) -> NoReturn:
    gc.disable()
    try:
        os.setsid()
        os.umask(0o022)
        surround()
        _take_stdio(stdio, spec["uid"])
        _enter_directory(spec["cwd"])
        _become(spec)
        for number in _RESTORED_SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        sc.die_with_parent(signal.SIGKILL)
        if select.select([home.life], [], [], 0)[0]:
            os._exit(1)  # the runtime died before PDEATHSIG was set
        _execute(spec["argv"], spec["env"])
    except BaseException as error:  # noqa: BLE001 - a forked child has no caller to raise to
        text = error.strerror if isinstance(error, OSError) and error.filename is None else None
        with contextlib.suppress(OSError):
            os.write(reporter, json.dumps({"error": text or str(error) or repr(error)}).encode())
    finally:
        os._exit(127)


def _take_stdio(stdio: list[int], uid: int) -> None:
    if len(stdio) == 1:
        descriptors = [_open_terminal(stdio[0], uid)] * 3
    else:
        descriptors = stdio
        for descriptor in descriptors:
            # A program may open /dev/stdout by its path, which the pipe's owner may do.
            with contextlib.suppress(OSError):
                os.fchown(descriptor, uid, -1)
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)


def _open_terminal(console: int, uid: int) -> int:
    leader, follower = os.openpty()
    os.fchown(follower, uid, -1)
    with socket.socket(fileno=os.dup(console)) as link:
        socket.send_fds(link, [b"t"], [leader])
    fcntl.ioctl(follower, termios.TIOCSCTTY, 0)
    return follower


def _enter_directory(path: str) -> None:
    with contextlib.suppress(OSError):
        os.makedirs(path, exist_ok=True)
    os.chdir(path)


def _become(spec: dict[str, Any]) -> None:
    sc.keep_capabilities(frozenset(spec["capabilities"]))
    os.setgroups(spec["groups"])
    os.setresgid(spec["gid"], spec["gid"], spec["gid"])
    os.setresuid(spec["uid"], spec["uid"], spec["uid"])
    if spec["no_new_privileges"]:
        sc.no_new_privileges()


def _execute(argv: list[str], env: dict[str, str]) -> NoReturn:
    program = argv[0]
    try:
        os.execvpe(program, argv, env)
    except FileNotFoundError:
        # Published images have programs at paths of their own, /usr/bin/fortio; a container finds the lab's in TOOLS.
        if program.startswith("/"):
            with contextlib.suppress(OSError):
                os.execve(f"{TOOLS}/{os.path.basename(program)}", argv, env)
        where = "no such file or directory" if "/" in program else "executable file not found in $PATH"
        raise FileNotFoundError(f'exec: "{program}": {where}') from None
    except OSError as error:
        raise PermissionError(f'exec: "{program}": {error.strerror}') from error
