"""The runtime's loop: receives requests, starts processes, reports their ends.

Nothing here waits. A container that hangs while it is being made hangs in its own process; the loop goes on and, after
its time limit, kills it and reports that.
"""

from __future__ import annotations

import gc
import json
import os
import select
import signal
import socket
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from mesh_lab.kube.node.runtime import process, sandbox, wire


class _Child:
    """A process that the runtime started.

    `request` is the start that has not been answered yet; `give_up` its time limit. No dataclass here nor in what this
    imports: their module is a quarter of this small process, 1.6 MB.
    """

    __slots__ = ("give_up", "number", "pid", "pidfd", "report", "request", "said")

    def __init__(
        self, number: int, pid: int, pidfd: int, report: int | None, request: int | None, give_up: float
    ) -> None:
        self.number = number
        self.pid = pid
        self.pidfd = pidfd
        self.report = report
        self.request = request
        self.give_up = give_up
        self.said = bytearray()


class Server:
    """Serves one node agent over `link`, and ends when the agent does. `start_limit`: seconds from fork to exec."""

    def __init__(self, link: socket.socket, home: process.Home, start_limit: float) -> None:
        self._link = link
        self._start_limit = start_limit
        self._home = home
        self._poll = select.epoll()
        self._outgoing: deque[tuple[bytes, list[int]]] = deque()
        self._sandboxes: dict[int, sandbox.Sandbox] = {}
        self._children: dict[int, _Child] = {}
        self._ready: dict[int, Callable[[], None]] = {}  # descriptor → what to do when it is readable
        self._last = 0
        self._operations: dict[str, Callable[[int, dict[str, Any], list[int]], None]] = {
            "sandbox": self._create_sandbox,
            "remove": self._remove_sandbox,
            "start": self._start,
            "exec": self._exec,
            "signal": self._signal,
            "socket": self._socket,
        }

    def run(self) -> None:
        """Report readiness, and serve until the agent closes its end."""
        self._link.setblocking(False)
        self._poll.register(self._link, select.EPOLLIN)
        self._send({"ready": os.getpid()})
        gc.collect()
        gc.freeze()  # the children would copy every page whose reference counts a collection touches
        while True:
            for descriptor, events in self._poll.poll(self._patience()):
                if descriptor == self._link.fileno():
                    if events & select.EPOLLOUT:
                        self._flush()
                    if events & (select.EPOLLIN | select.EPOLLHUP) and not self._serve_one():
                        return
                elif descriptor in self._ready:  # else an earlier event of this round took it away
                    self._ready[descriptor]()
            self._end_late_starts()

    def _patience(self) -> float:
        waiting = [child.give_up for child in self._children.values() if child.request is not None]
        return max(0.0, min(waiting) - time.monotonic()) if waiting else -1

    def _end_late_starts(self) -> None:
        now = time.monotonic()
        for child in self._children.values():
            if child.request is not None and child.give_up <= now:
                child.said = bytearray(json.dumps({"error": f"not started within {self._start_limit:g} s"}).encode())
                child.give_up = now + self._start_limit
                signal.pidfd_send_signal(child.pidfd, signal.SIGKILL)

    def _serve_one(self) -> bool:
        try:
            message, descriptors = wire.receive(self._link)
        except BlockingIOError:
            return True
        except ConnectionResetError:
            return False
        if message is None:
            return False
        try:
            self._operations[message["op"]](message["id"], message, descriptors)
        except OSError as error:
            self._send({"id": message["id"], "error": error.strerror or str(error)})
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
        return True

    def _send(self, message: dict[str, Any], descriptors: list[int] | None = None) -> None:
        """Queue a message; its descriptors are closed once it is sent."""
        self._outgoing.append((wire.encode(message), descriptors or []))
        self._flush()

    def _flush(self) -> None:
        while self._outgoing:
            data, descriptors = self._outgoing[0]
            try:
                socket.send_fds(self._link, [data], descriptors)
            except BlockingIOError:
                self._poll.modify(self._link, select.EPOLLIN | select.EPOLLOUT)
                return
            except (BrokenPipeError, ConnectionResetError):
                self._outgoing.clear()  # the agent is gone, which the next read reports
                return
            self._outgoing.popleft()
            for descriptor in descriptors:
                os.close(descriptor)
        self._poll.modify(self._link, select.EPOLLIN)

    def _watch(self, descriptor: int, action: Callable[[], None]) -> None:
        self._ready[descriptor] = action
        self._poll.register(descriptor, select.EPOLLIN)

    def _forget(self, descriptor: int) -> None:
        self._poll.unregister(descriptor)
        del self._ready[descriptor]
        os.close(descriptor)

    # Operations: each answers the request, now or when its child has become the command.

    def _create_sandbox(self, request: int, message: dict[str, Any], _descriptors: list[int]) -> None:
        self._last += 1
        made = sandbox.create(
            self._home.sandbox, message["hostname"], message["sysctls"], host_network=message["host_network"]
        )
        self._sandboxes[self._last] = made
        self._send({"id": request, "sandbox": self._last})

    def _remove_sandbox(self, request: int, message: dict[str, Any], _descriptors: list[int]) -> None:
        gone = self._sandboxes.pop(message["sandbox"], None)
        if gone is not None:
            gone.close()
        self._send({"id": request})

    def _socket(self, request: int, message: dict[str, Any], _descriptors: list[int]) -> None:
        where = self._sandboxes.get(message["sandbox"])
        if where is None:
            raise OSError(f"no sandbox {message['sandbox']}")
        made = sandbox.open_socket(
            self._home.sandbox, where, message["family"], message["kind"], message.get("protocol", 0)
        )
        self._send({"id": request}, [made.detach()])

    def _start(self, request: int, message: dict[str, Any], descriptors: list[int]) -> None:
        where = self._sandboxes.get(message["sandbox"])
        if where is None:
            raise OSError(f"no sandbox {message['sandbox']}")
        self._adopt(request, process.start_container(self._home, where, message["spec"], descriptors))

    def _exec(self, request: int, message: dict[str, Any], descriptors: list[int]) -> None:
        target = self._children.get(message["process"])
        if target is None:
            raise OSError("the container is not running")
        self._adopt(request, process.start_inside(self._home, target.pidfd, message["spec"], descriptors))

    def _signal(self, request: int, message: dict[str, Any], _descriptors: list[int]) -> None:
        target = self._children.get(message["process"])
        if target is not None:
            if message.get("group"):
                os.killpg(target.pid, message["signal"])  # it leads one, and has not been reaped: the number is its own
            else:
                signal.pidfd_send_signal(target.pidfd, message["signal"])
        self._send({"id": request, "found": target is not None})

    # Children.

    def _adopt(self, request: int, started: process.Started) -> None:
        self._last += 1
        give_up = time.monotonic() + self._start_limit
        child = _Child(self._last, started.pid, started.pidfd, started.report, request, give_up)
        self._children[child.number] = child
        self._watch(started.report, lambda: self._hear(child))
        self._watch(started.pidfd, lambda: self._reap(child))

    def _hear(self, child: _Child) -> None:
        """Read the child's report: an error, or the pipe's end, when it became the command or died."""
        assert child.report is not None
        data = os.read(child.report, 4096)
        if data:
            child.said += data
            return
        self._forget(child.report)
        child.report = None
        if child.request is not None and not child.said:
            self._send({"id": child.request, "process": child.number, "pid": child.pid})
            child.request = None

    def _reap(self, child: _Child) -> None:
        while child.report is not None:  # it is dead, so its end of the pipe is closed
            self._hear(child)
        _, status = os.waitpid(child.pid, 0)
        self._forget(child.pidfd)
        del self._children[child.number]
        if child.request is not None:
            self._send({"id": child.request, **json.loads(child.said)})
        else:
            self._send({"exit": child.number, "status": status})
