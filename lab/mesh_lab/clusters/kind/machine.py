"""What kind needs of this machine, checked before it starts. The limits are those of kind's known issues.

https://kind.sigs.k8s.io/docs/user/known-issues/#pod-errors-due-to-too-many-open-files
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mesh_lab.clusters.kind.provider import Provider
from mesh_lab.settings import Kind

MINIMUM_CORES = 2
NODE_MEMORY_MB = 1536
MESH_MEMORY_MB = 2048
STORE_DISK_MB = 5120
MINIMUM_INOTIFY = {"max_user_watches": 524288, "max_user_instances": 512}
_PROC = Path("/proc/sys/fs/inotify")


@dataclass(frozen=True)
class Finding:
    """Something that is not as it should be: fatal, or only likely to make trouble."""

    what: str
    remedy: str
    fatal: bool = False


def check(provider: Provider, kind: Kind, inotify: Path = _PROC) -> list[Finding]:
    """Return everything that the machine lacks.

    Raises:
        LabError: the provider does not answer.
    """
    info = provider.info()
    checks: tuple[Callable[[], list[Finding]], ...] = (
        lambda: _cores(info.cores),
        lambda: _memory(info.memory_mb, kind),
        lambda: _inotify(inotify) if info.local else [],
        lambda: _disk(info.store) if info.local and info.store else [],
    )
    return [finding for one in checks for finding in one()]


def _cores(cores: int) -> list[Finding]:
    if not cores or cores >= MINIMUM_CORES:
        return []
    return [
        Finding(
            f"{cores} core for containers; kubeadm refuses fewer than {MINIMUM_CORES}",
            "Give the machine, or the virtual machine that Docker runs in, more cores.",
            fatal=True,
        )
    ]


def _memory(memory_mb: int, kind: Kind) -> list[Finding]:
    wanted = MESH_MEMORY_MB + kind.nodes * NODE_MEMORY_MB
    if not memory_mb or memory_mb >= wanted:
        return []
    return [
        Finding(
            f"{memory_mb} MB of memory for containers; {kind.nodes} node(s), Istio and Bookinfo want {wanted} MB",
            "Set fewer nodes under [kind] in lab.toml, or give the machine more (Docker Desktop: Settings, Resources).",
            fatal=memory_mb < wanted // 2,
        )
    ]


def _inotify(directory: Path) -> list[Finding]:
    """Too small, they show as "too many open files" in pods that then never start."""
    low = {}
    for name, minimum in MINIMUM_INOTIFY.items():
        try:
            value = int((directory / name).read_text())
        except (OSError, ValueError):
            continue
        if value < minimum:
            low[name] = value
    if not low:
        return []
    settings = " ".join(f"fs.inotify.{name}={MINIMUM_INOTIFY[name]}" for name in low)
    present = ", ".join(f"fs.inotify.{name} is {value}" for name, value in low.items())
    return [Finding(f'{present}: pods may fail with "too many open files"', f"sudo sysctl {settings}")]


def _disk(store: str) -> list[Finding]:
    """The node image, Istio's and the lab's take most of it; a full disk shows as evicted pods."""
    place = next((p for p in (Path(store), *Path(store).parents) if p.exists()), Path("/"))
    free = shutil.disk_usage(place).free // 2**20
    if free >= STORE_DISK_MB:
        return []
    return [
        Finding(
            f"{free} MB free at {store}, where images and nodes are; they want {STORE_DISK_MB} MB",
            "Free some space: `docker system df` tells what takes it, `docker system prune` removes what is unused.",
        )
    ]
