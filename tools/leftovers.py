#!/usr/bin/env python3
"""Shows that a lab which has ended left nothing behind, even beside labs that go on.

leftovers.py before FILE        what the host has: interfaces, mounts, nftables rules
leftovers.py during FILE PID    add what the lab whose first process is PID has: its processes and their namespaces
leftovers.py after FILE         exit code 1, and a list, when any of the lab's is left or the host has more than before
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

PATIENCE_SECONDS = 5.0
NAMESPACES = ("net", "mnt", "pid", "user", "ipc", "uts")


def host() -> list[str]:
    """What a lab could have added to the host's own namespaces."""
    interfaces = [line.split(":")[0].strip() for line in Path("/proc/net/dev").read_text().splitlines()[2:]]
    mounts = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    environment = os.environ | {"PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"}
    # Without their counters: other people's rules (Docker's) count on.
    rules = subprocess.run(
        ["nft", "--stateless", "list", "ruleset"], env=environment, capture_output=True, text=True, check=False
    )
    return [
        *(f"interface {name}" for name in interfaces),
        *(f"mount {place}" for place in mounts),
        *(f"rule {line.strip()}" for line in rules.stdout.splitlines()),
    ]


def processes() -> dict[int, tuple[int, str]]:
    """Each process' parent and when it was started."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
            if fields[0] not in "ZX":
                found[int(entry.name)] = (int(fields[1]), fields[19])
    return found


def descendants(first: int) -> dict[int, str]:
    """The processes that `first` has started, directly or not, and itself; with the time of their start."""
    every = processes()
    found = {first: every[first][1]}
    while more := {pid: at for pid, (parent, at) in every.items() if parent in found and pid not in found}:
        found |= more
    return found


def namespaces(pids: list[int]) -> set[str]:
    """The namespaces that processes are in."""
    found = set()
    for pid in pids:
        for kind in NAMESPACES:
            with contextlib.suppress(OSError):
                found.add(str(Path(f"/proc/{pid}/ns/{kind}").readlink()))
    return found


def during(first: int) -> list[str]:
    """A lab's processes, and the namespaces that are its own."""
    lab = descendants(first)
    own = namespaces(list(lab)) - namespaces([os.getpid()])
    return [*(f"process {pid} {at}" for pid, at in lab.items()), *(f"namespace {name}" for name in own)]


def left(known: dict[str, list[str]]) -> list[str]:
    """What there is of the lab, and what the host has more than before.

    The kernel gives a namespace's number to the next one, so another lab that has just come up may have those of the
    one that went. Its processes are below its own first process, which is in the host's namespaces; a process that
    outlived its lab has lost that parent, and is a child of init.
    """
    every = processes()
    now = {f"process {pid} {at}" for pid, (_, at) in every.items()}
    now |= {f"namespace {name}" for name in namespaces([pid for pid, (parent, _) in every.items() if parent <= 1])}
    return [*sorted(now & set(known["lab"])), *(line for line in host() if line not in known["host"])]


def main(arguments: list[str]) -> int:
    """Read the module's text."""
    match arguments:
        case ["before", file]:
            Path(file).write_text(json.dumps({"host": host(), "lab": []}))
        case ["during", file, pid]:
            known = json.loads(Path(file).read_text())
            known["lab"] += during(int(pid))
            Path(file).write_text(json.dumps(known))
        case ["after", file]:
            known = json.loads(Path(file).read_text())
            deadline = time.monotonic() + PATIENCE_SECONDS
            # The kernel takes a moment to end a namespace's processes after its first.
            while (found := left(known)) and time.monotonic() < deadline:
                time.sleep(0.05)
            sys.stdout.writelines(f"left behind: {line}\n" for line in found)
            return 1 if found else 0
        case _:
            sys.stderr.write(__doc__ or "")
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
