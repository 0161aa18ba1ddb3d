"""`lab.json`: which processes a running lab consists of, so that other commands find it.

Written only by the host process and removed by it at its end; one that was killed leaves the file behind, so a reader
has to check `alive`, not only that the file exists. Imports little, since the host process does.
"""

from __future__ import annotations

import contextlib
import json
import os

FILE_NAME = "lab.json"
Record = dict[str, object]


def write(state_dir: str, record: Record) -> None:
    """Replace the last record by `record`, atomically."""
    path = f"{state_dir}/{FILE_NAME}"
    partial = f"{path}.{os.getpid()}"
    try:
        with open(partial, "w") as file:
            json.dump(record, file, indent=2)
            file.write("\n")
        os.replace(partial, path)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(partial)
        raise


def read(state_dir: str) -> Record | None:
    """The record, whether or not its processes are alive; None without a readable one."""
    try:
        with open(f"{state_dir}/{FILE_NAME}") as file:
            record = json.load(file)
    except (OSError, ValueError):
        return None
    return record if isinstance(record, dict) else None


def remove(state_dir: str) -> None:
    """Forget the lab."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(f"{state_dir}/{FILE_NAME}")


def alive(record: Record | None) -> bool:
    """Whether the record's host process still runs: that very process, not a later one of the same number."""
    if record is None:
        return False
    pid = record.get("pid")
    return isinstance(pid, int) and started(pid) == record.get("start_ticks") is not None


def started(pid: int) -> int | None:
    """When process `pid` was started, in clock ticks since boot (proc(5)); None when it is dead or a zombie."""
    fields = stat(pid)
    return int(fields[19]) if fields and fields[0] not in "ZX" else None


def children(pid: int) -> list[int]:
    """The processes whose parent is `pid`."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        fields = stat(int(name))
        if fields and int(fields[1]) == pid:
            found.append(int(name))
    return found


def stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the state on; empty when there is no such process."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()
    except (OSError, ValueError):
        return []
