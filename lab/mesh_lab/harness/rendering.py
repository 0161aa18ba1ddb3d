"""Manifests that have to be rendered first: kustomizations, by kubectl, and charts, by the helm that is on PATH."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from mesh_lab.client import kubectl
from mesh_lab.client.objects import Object, objects_in
from mesh_lab.errors import LabError

KUSTOMIZATIONS = ("kustomization.yaml", "kustomization.yml", "Kustomization")
"""https://kubectl.docs.kubernetes.io/references/kustomize/glossary/#kustomization"""
CHART = "Chart.yaml"
_SECONDS = 60.0


def is_rendered(path: Path) -> bool:
    """Whether a directory is a kustomization, or a chart."""
    return any((path / name).is_file() for name in (*KUSTOMIZATIONS, CHART))


def rendered(path: Path, namespace: str) -> list[Object]:
    """The objects of a kustomization, or of a chart with its default values, for a namespace.

    Raises:
        LabError: it cannot be rendered; the message is kubectl's or helm's own.
    """
    if (path / CHART).is_file():
        return chart(path, namespace)
    return _objects([kubectl.program(), "kustomize", str(path)], "")


def chart(
    path: Path | str, namespace: str, *, release: str = "test", values: Mapping[str, Any] | None = None
) -> list[Object]:
    """The objects of a Helm chart, as `helm template RELEASE PATH --namespace NAMESPACE` makes them.

    `values` overrule those of the chart. Hooks are left out: nobody runs them here.

    Raises:
        LabError: helm is missing, or the chart does not render; the message is helm's own.
    """
    helm = shutil.which("helm")
    if helm is None:
        raise LabError(f"{path} is a chart, and helm is not on PATH", hint="https://helm.sh/docs/intro/install/")
    command = [helm, "template", release, str(path), "--namespace", namespace, "--no-hooks", "--values", "-"]
    return _objects(command, json.dumps(dict(values or {})))


def _objects(command: list[str], given: str) -> list[Object]:
    shown = " ".join([Path(command[0]).name, *command[1:]])
    try:
        done = subprocess.run(command, input=given, capture_output=True, text=True, check=False, timeout=_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise LabError(f"`{shown}` took more than {_SECONDS:g} s") from error
    if done.returncode:
        raise LabError(f"`{shown}` failed with exit code {done.returncode}:\n{done.stderr.strip()}")
    try:
        return objects_in(done.stdout)
    except yaml.YAMLError as error:
        raise LabError(f"what `{shown}` prints is not YAML: {error}") from error
