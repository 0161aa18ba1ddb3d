"""The levels that a namespace's labels name."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from mesh_lab.kube.errors import Cause

PRIVILEGED, BASELINE, RESTRICTED = "privileged", "baseline", "restricted"
LEVELS = (PRIVILEGED, BASELINE, RESTRICTED)
MODES = ("enforce", "audit", "warn")
_PREFIX = "pod-security.kubernetes.io/"
_LATEST = "latest"
_VERSION = re.compile(r"v1\.(0|[1-9]\d*)")


@dataclass(frozen=True)
class Level:
    """A level as it is written: the checks are always those of the latest version."""

    name: str = PRIVILEGED
    version: str = _LATEST

    def __str__(self) -> str:
        return f"{self.name}:{self.version}"


def level(labels: Mapping[str, str], mode: str) -> Level:
    """What a namespace's labels ask for in a mode; `privileged`, which asks nothing, without a label.

    An unknown level is the strictest, so that nothing gets in by a mistake that an older lab let pass.
    """
    name = labels.get(f"{_PREFIX}{mode}", PRIVILEGED)
    return Level(name if name in LEVELS else RESTRICTED, labels.get(f"{_PREFIX}{mode}-version", _LATEST))


def check_labels(labels: Mapping[str, str]) -> Iterator[Cause]:
    """Everything that is wrong with a namespace's labels of this kind."""
    for mode in MODES:
        key = f"{_PREFIX}{mode}"
        if (name := labels.get(key)) is not None and name not in LEVELS:
            yield Cause(f"metadata.labels[{key}]", f'Invalid value: "{name}": must be one of {", ".join(LEVELS)}')
        version = labels.get(f"{key}-version")
        if version is not None and version != _LATEST and not _VERSION.fullmatch(version):
            words = f'Invalid value: "{version}": must be "latest" or "v1.x"'
            yield Cause(f"metadata.labels[{key}-version]", words)
