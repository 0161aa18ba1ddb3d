"""Sandboxes: the network, IPC and host name of a pod, shared by its containers.

A sandbox is three descriptors, not a process. Namespaces live as long as a descriptor is open, so they need no pause
container, cannot be killed by a workload, and are gone with the runtime.
"""

from __future__ import annotations

import contextlib
import os
import socket

from mesh_lab.kube.node.runtime import syscalls as sc

_KINDS = (("net", sc.CLONE_NEWNET), ("ipc", sc.CLONE_NEWIPC), ("uts", sc.CLONE_NEWUTS))

# What container runtimes set in each pod: all users may bind port 80 and send echo requests. IPv6 is on the loopback
# only: the lab's network is IPv4, and link-local chatter costs.
_SYSCTLS = {
    "net/ipv4/ip_unprivileged_port_start": "0",
    "net/ipv4/ping_group_range": "0 65535",
    # The address of load balancers is one of the loopback network. The node passes on nothing to any other of it.
    "net/ipv4/conf/all/route_localnet": "1",
    "net/ipv6/conf/default/disable_ipv6": "1",
}


class Sandbox:
    """Namespaces of one pod; `close` releases them."""

    def __init__(self, descriptors: tuple[int, int, int]) -> None:
        self._descriptors = descriptors

    @classmethod
    def here(cls) -> Sandbox:
        """Open the namespaces that this process is in."""
        net, ipc, uts = (os.open(f"/proc/self/ns/{name}", os.O_RDONLY | os.O_CLOEXEC) for name, _ in _KINDS)
        return cls((net, ipc, uts))

    def enter(self) -> None:
        """Move this process into the sandbox."""
        for descriptor, (_, flag) in zip(self._descriptors, _KINDS, strict=True):
            sc.setns(descriptor, flag)

    def close(self) -> None:
        """Close the descriptors; the namespaces end with their last process and open socket."""
        for descriptor in self._descriptors:
            os.close(descriptor)


def create(home: Sandbox, hostname: str, sysctls: dict[str, str], *, host_network: bool) -> Sandbox:
    """Make a sandbox with new namespaces; with `host_network`, in the node's network. This process ends up in `home`.

    Raises:
        OSError: the kernel refuses a namespace or a sysctl.
    """
    flags = sc.CLONE_NEWIPC | sc.CLONE_NEWUTS | (0 if host_network else sc.CLONE_NEWNET)
    try:
        sc.unshare(flags)
        socket.sethostname(hostname)
        if not host_network:
            for name, value in _SYSCTLS.items():
                with contextlib.suppress(OSError):  # a kernel without IPv6, or without unprivileged ping
                    _set(name, value)
        for name, value in sysctls.items():
            _set(name.replace(".", "/"), value)
        return Sandbox.here()
    finally:
        home.enter()


def open_socket(home: Sandbox, sandbox: Sandbox, family: int, kind: int, protocol: int) -> socket.socket:
    """Open a socket in the sandbox' network; it stays there wherever it is used."""
    try:
        sandbox.enter()
        return socket.socket(family, kind | socket.SOCK_CLOEXEC, protocol)
    finally:
        home.enter()


def _set(name: str, value: str) -> None:
    try:
        with open(f"/proc/sys/{name}", "w", encoding="ascii") as file:
            file.write(value)
    except OSError as error:
        raise OSError(error.errno, f"sysctl {name.replace('/', '.')}={value}: {error.strerror}") from error
