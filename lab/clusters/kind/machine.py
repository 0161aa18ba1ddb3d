"""What kind needs of this machine, checked before it starts. The limits are those of kind's known issues.

https://kind.sigs.k8s.io/docs/user/known-issues/#pod-errors-due-to-too-many-open-files
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lab.clusters.kind.provider import Provider
from lab.settings import Kind

MINIMUM_CORES = 2
NODE_MEMORY_MB = 1536
MESH_MEMORY_MB = 2048
MINIMUM_INOTIFY = {"max_user_watches": 524288, "max_user_instances": 512}
_PROC = Path("/proc/sys/fs/inotify")


@dataclass(frozen=True)
class Finding:
    """Something that is not as it should be: fatal, or only likely to make trouble."""

    what: str
    remedy: str
    fatal: bool = False


def check(provider: Provider, kind: Kind, inotify: Path = _PROC) -> list[Finding]:
    """Everything that the machine lacks. Raises `LabError` when the provider does not answer."""
    info = provider.info()
    checks: tuple[Callable[[], list[Finding]], ...] = (
        lambda: _cores(info.cores),
        lambda: _memory(info.memory_mb, kind),
        lambda: _cgroups(info.cgroups),
        lambda: _inotify(inotify) if info.local else [],
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


def _cgroups(version: str) -> list[Finding]:
    """A kubelet from 1.35 on does not start on version 1 unless it is told to; kind does not tell it."""
    if version.removeprefix("v") != "1":
        return []
    return [
        Finding(
            "containers run on cgroup v1: nodes of Kubernetes 1.35 and later do not start there",
            "Boot with systemd.unified_cgroup_hierarchy=1, or set a node_image of Kubernetes 1.34 under [kind] in "
            "lab.toml.",
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
