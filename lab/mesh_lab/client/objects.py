"""Objects of the Kubernetes API as documents: how one is named, and the manifests that hold some."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Object = dict[str, Any]
Items = dict[str, Object]


@dataclass(frozen=True, slots=True)
class Reference:
    """An object by its kind and name."""

    api_version: str
    kind: str
    name: str
    namespace: str = ""

    @property
    def group(self) -> str:
        """The API group; empty for the core's."""
        return self.api_version.rpartition("/")[0]

    def __str__(self) -> str:
        place = f"{self.namespace}/" if self.namespace else ""
        return f"{self.kind} {place}{self.name}"


def reference(obj: Mapping[str, Any]) -> Reference:
    """Which object this is."""
    meta = obj["metadata"]
    return Reference(obj["apiVersion"], obj["kind"], meta["name"], meta.get("namespace", ""))


def objects_in(manifest: Path | str | Object | Sequence[Object]) -> list[Object]:
    """The objects of a manifest: a file, a directory of them, YAML text, one object or several.

    Raises:
        OSError: the file cannot be read.
        yaml.YAMLError: it is not YAML.
    """
    import yaml

    if isinstance(manifest, Mapping):
        return [dict(manifest)]
    if isinstance(manifest, Path):
        files = sorted(manifest.glob("*.yaml")) if manifest.is_dir() else [manifest]
        return [obj for file in files for obj in objects_in(file.read_text(encoding="utf-8"))]
    if isinstance(manifest, str):
        return [obj for obj in yaml.safe_load_all(manifest) if obj]
    return [dict(obj) for obj in manifest]
