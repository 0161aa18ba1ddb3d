"""Sockets on the host's loopback, and who holds a port that is taken.

Imports little: the host process lives as long as the lab and should weigh next to nothing.
"""

from __future__ import annotations

import errno
import os
import pwd
import socket

from mesh_lab.clusters.embedded import record

HOST_MODULE = "mesh_lab.clusters.embedded.host"
_LISTENING = "0A"
_TABLES = ("/proc/net/tcp", "/proc/net/tcp6")


class PortTakenError(Exception):
    """The port cannot be had; `holder` names the process that has it, as far as it may be seen."""

    def __init__(self, port: int, reason: str, holder: str) -> None:
        super().__init__(f"port {port} is {reason}{f': {holder} listens on it' if holder else ''}")
        self.port = port
        self.holder = holder


def bind(host: str, port: int) -> socket.socket:
    """Return a TCP socket bound to `host`:`port` (0: any free one) that does not listen yet.

    Raises:
        PortTakenError: the port is in use, reserved or not available.
    """
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
    except OSError as error:
        bound.close()
        raise taken(port, error) from error
    return bound


def listen(bound: socket.socket, backlog: int = 1024) -> None:
    """Start to listen.

    Raises:
        PortTakenError: another socket listens; two may have bound a port, but only one can listen.
    """
    port = bound.getsockname()[1]
    try:
        bound.listen(backlog)
    except OSError as error:
        bound.close()
        raise taken(port, error) from error


def taken(port: int, error: OSError) -> PortTakenError:
    """Return the error that says why `port` could not be had."""
    if error.errno == errno.EADDRINUSE:
        return PortTakenError(port, "in use", holder(port))
    if error.errno == errno.EACCES:
        return PortTakenError(port, "reserved for root (ports below 1024 are)", "")
    return PortTakenError(port, f"not available ({error.strerror})", "")


def holder(port: int) -> str:
    """Return the process that listens on `port`, as `COMMAND (pid N)`, or the lab that it belongs to.

    Without the right to look at the process it is only its user; empty when none listens.
    """
    inodes = dict(_listeners(port))
    if not inodes:
        return ""
    wanted = {f"socket:[{inode}]" for inode in inodes}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        if any(link in wanted for link in _descriptors(pid)):
            return _lab(pid) or f"{_command(pid)} (pid {pid})"
    return f"a process of {user(int(next(iter(inodes.values()))))}"


def _lab(pid: str) -> str:
    """The lab that a process belongs to: its sockets are in several processes, none of which is named after the lab."""
    while pid not in ("0", "1", ""):
        words = _words(pid)
        if HOST_MODULE in words[:-1]:
            name = words[words.index(HOST_MODULE) + 1]
            locks = [link for link in _descriptors(pid) if link.endswith("/lock")]
            place = f" in {os.path.dirname(locks[0])}" if locks else ""
            return f"the lab {name!r}{place} (first process {pid})"
        fields = record.stat(int(pid))
        pid = fields[1] if fields else ""
    return ""


def user(uid: int) -> str:
    """A user by name and number, as far as there is a name."""
    try:
        return f"{pwd.getpwuid(uid).pw_name} (uid {uid})"
    except KeyError:
        return f"the user with uid {uid}"


def _listeners(port: int) -> list[tuple[str, str]]:
    found = []
    for table in _TABLES:
        try:
            with open(table) as lines:
                next(lines, None)
                rows = [line.split() for line in lines]
        except OSError:
            continue
        found += [(r[9], r[7]) for r in rows if r[3] == _LISTENING and int(r[1].rpartition(":")[2], 16) == port]
    return found


def _descriptors(pid: str) -> list[str]:
    links = []
    try:
        for descriptor in os.listdir(f"/proc/{pid}/fd"):
            try:
                links.append(os.readlink(f"/proc/{pid}/fd/{descriptor}"))
            except OSError:
                continue
    except OSError:
        return []
    return links


def _command(pid: str) -> str:
    words = _words(pid)
    if not words or not words[0]:
        return "a process"
    # A program may be given whole scripts as arguments; this is to be one line.
    text = " ".join(" ".join((os.path.basename(words[0]), *words[1:])).split())
    return text if len(text) <= 80 else text[:77] + "..."


def _words(pid: str) -> list[str]:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read().rstrip(b"\0").decode("utf-8", "replace").split("\0")
    except OSError:
        return []
