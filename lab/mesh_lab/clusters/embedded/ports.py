"""Sockets on the host's loopback, and who holds a port that is taken.

Imports little: the host process lives as long as the lab and should weigh next to nothing.
"""

from __future__ import annotations

import errno
import os
import pwd
import socket
import sys

from mesh_lab.clusters.embedded import record

HOST_MODULE = "mesh_lab.clusters.embedded.host"
_LISTENING = "0A"
_TABLES = ("/proc/net/tcp", "/proc/net/tcp6")
_EVERYWHERE = ("0" * 8, "0" * 32)
"""The address of a socket that has its port at all addresses, as the tables write it."""

HERE, WHEREVER, RESERVED, UNAVAILABLE = "here", "everywhere", "reserved", "unavailable"
"""Why a port cannot be had: it is in use at this address, or at all of them; it is for root alone; something else."""

_FIRST_FREE = "net.ipv4.ip_unprivileged_port_start"
_HTTP = 80


class PortTakenError(Exception):
    """The port cannot be had; `holder` names the process that has it, as far as it may be seen.

    `kind` is `HERE`, `WHEREVER`, `RESERVED` or `UNAVAILABLE`.
    """

    def __init__(self, port: int, reason: str, holder: str, kind: str) -> None:
        super().__init__(f"port {port} is {reason}{f': {holder} listens on it' if holder else ''}")
        self.port = port
        self.holder = holder
        self.kind = kind


def bind(host: str, port: int, *, quickly: bool = False) -> socket.socket:
    """Return a TCP socket bound to `host`:`port` (0: any free one) that does not listen yet.

    `quickly`: without looking for the holder of one that is in use, for which all processes are gone through.

    Raises:
        PortTakenError: the port is in use, reserved or not available.
    """
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
    except OSError as error:
        bound.close()
        raise taken(host, port, error, quickly=quickly) from error
    return bound


def listen(bound: socket.socket, backlog: int = 1024, *, quickly: bool = False) -> None:
    """Start to listen.

    Raises:
        PortTakenError: another socket listens; two may have bound a port, but only one can listen.
    """
    host, port = bound.getsockname()
    try:
        bound.listen(backlog)
    except OSError as error:
        bound.close()
        raise taken(host, port, error, quickly=quickly) from error


def taken(host: str, port: int, error: OSError, *, quickly: bool = False) -> PortTakenError:
    """Return the error that says why `port` could not be had at the address `host`."""
    if error.errno == errno.EADDRINUSE:
        wherever = any(address in _EVERYWHERE for address, _, _ in _listeners(host, port))
        return PortTakenError(port, "in use", "" if quickly else holder(host, port), WHEREVER if wherever else HERE)
    if error.errno == errno.EACCES:
        # One that allows port 80 allows 443, so whoever needs both is asked once.
        remedy = f"`sudo sysctl {_FIRST_FREE}={min(port, _HTTP)}` opens it to every user"
        return PortTakenError(port, f"reserved for root: {remedy}", "", RESERVED)
    return PortTakenError(port, f"not available ({error.strerror})", "", UNAVAILABLE)


def holder(host: str, port: int) -> str:
    """Return the process that has `port` at the address `host`, as `COMMAND (pid N)`, or the lab that it belongs to.

    Without the right to look at the process it is only its user; empty when none listens.
    """
    inodes = {inode: owner for _, inode, owner in _listeners(host, port)}
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


def _listeners(host: str, port: int) -> list[tuple[str, str, str]]:
    """The address, the inode and the user of each socket that keeps others from listening there."""
    # Four bytes in the machine's order, and the same as an address of IPv6.
    own = f"{int.from_bytes(socket.inet_aton(host), sys.byteorder):08X}"
    mapped = "0" * 16 + f"{int.from_bytes(bytes((0, 0, 255, 255)), sys.byteorder):08X}" + own
    addresses = {own, mapped, *_EVERYWHERE}
    found: list[tuple[str, str, str]] = []
    for table in _TABLES:
        try:
            with open(table) as lines:
                next(lines, None)
                rows = [line.split() for line in lines]
        except OSError:
            continue
        for row in rows:
            address, _, number = row[1].partition(":")
            if row[3] == _LISTENING and int(number, 16) == port and address in addresses:
                found.append((address, row[9], row[7]))
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
