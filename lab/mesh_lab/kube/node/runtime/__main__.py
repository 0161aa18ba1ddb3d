"""`python -m mesh_lab.kube.node.runtime FD DIRECTORY LIMIT [READ_ONLY_DIR...]`, started by the node agent only.

FD is the runtime's end of a socket pair. DIRECTORY becomes a tmpfs, seen in the lab's mount namespace only: the
agent keeps the pods' volumes there, and containers' roots are put together in its `rootfs`. LIMIT is how
many seconds a container may take from fork to exec.
"""

from __future__ import annotations

import os
import resource
import signal
import socket
import sys

from mesh_lab.kube.node.runtime import syscalls
from mesh_lab.kube.node.runtime.process import Home
from mesh_lab.kube.node.runtime.rootfs import HostFiles
from mesh_lab.kube.node.runtime.server import Server

_OPEN_FILES = 65536


def main() -> None:
    """Serve the agent at the other end of the inherited socket."""
    link = socket.socket(fileno=int(sys.argv[1]))
    link.set_inheritable(False)
    directory, limit, read_only_dirs = sys.argv[2], float(sys.argv[3]), sys.argv[4:]
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal is for the agent to handle
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    files = _OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, _OPEN_FILES)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, hard))
    # In a user namespace a process that leaves a namespace of the host for a pod's cannot go back; from one of its
    # own it can.
    syscalls.unshare(syscalls.CLONE_NEWIPC | syscalls.CLONE_NEWUTS)
    staging = f"{directory}/rootfs"
    if not os.path.ismount(directory):
        syscalls.mount("tmpfs", directory, syscalls.MS_NOSUID | syscalls.MS_NODEV, "mode=0755")
    os.makedirs(staging, exist_ok=True)
    Server(link, Home.here(staging, HostFiles(read_only_dirs)), limit).run()


main()
