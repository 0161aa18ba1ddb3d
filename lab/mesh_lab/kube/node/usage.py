"""What containers use of processor and memory, read from /proc (proc(5)): the lab has no cgroups of its own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from mesh_lab.kube.streams import ContainerUsage

_NANO = 1_000_000_000
_PROC = Path("/proc")


def of_tree(first: int, proc: Path = _PROC) -> ContainerUsage | None:
    """The usage of a process and its descendants, ended ones that were waited for included; None when it is gone.

    Commands that were started in a container from outside (`kubectl exec`) are no descendants of its process.
    """
    ticks, pages, seen = 0, 0, False
    for pid in _tree(first, proc):
        try:
            # The name in parentheses may hold anything; fields are counted from behind it.
            fields = (proc / str(pid) / "stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        seen = True
        ticks += sum(int(field) for field in fields[11:15])
        pages += int(fields[21])
    if not seen:
        return None
    return ContainerUsage(ticks * _NANO // os.sysconf("SC_CLK_TCK"), pages * os.sysconf("SC_PAGE_SIZE"))


def _tree(first: int, proc: Path) -> Iterator[int]:
    yield first
    try:
        lists = [(task / "children").read_text() for task in (proc / str(first) / "task").iterdir()]
    except (FileNotFoundError, ProcessLookupError):
        return
    for child in " ".join(lists).split():
        yield from _tree(int(child), proc)
