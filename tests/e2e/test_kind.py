"""A lab on kind from nothing to nothing, where Docker (or Podman) and kind are. Alone: `make e2e ARGS='-m kind'`."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mesh_lab.errors import LabError
from mesh_lab.settings import load
from tests.e2e.conftest import ROOT

pytestmark = [pytest.mark.kind, pytest.mark.timeout(3600)]
NAME = "kind-test"
CLI = (sys.executable, "-m", "mesh_lab.cli")


def obstacle() -> str:
    """Why there can be no kind cluster here; empty when there can."""
    from mesh_lab.clusters.kind.provider import choose
    from mesh_lab.programs import Programs

    own = load(ROOT, {}).tools_dir
    programs = Programs(own, os.environ)
    for name in ("kind", "istioctl"):
        if programs.find(name) is None:
            return f"{name} is not installed (`mesh-lab tools install`)"
    try:
        choose("auto", programs).info()
    except LabError as error:
        return error.message.splitlines()[0]
    return ""


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory with this one's settings, mirrors and pins included, and with ports of its own."""
    if why := obstacle():
        pytest.skip(f"needs Docker or Podman, kind and istioctl: {why}")
    shutil.copyfile(ROOT / "lab.toml", tmp_path / "lab.toml")
    for port in ("API", "HTTP", "HTTPS"):
        monkeypatch.setenv(f"MESH_LAB_{port}_PORT", "0")
    own = load(ROOT, {}).tools_dir
    if own.is_dir():
        shutil.copytree(own, tmp_path / ".lab" / "bin")
    yield tmp_path
    lab(tmp_path, "reset")


def lab(directory: Path, command: str, *arguments: str) -> str:
    """What a command of the lab prints."""
    done = subprocess.run(
        [*CLI, "--dir", str(directory), "--name", NAME, command, "--cluster", "kind", *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=3000,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_up_traffic_wait_and_down(directory: Path) -> None:
    lab(directory, "up")
    kubeconfig = lab(directory, "status", "-o", "kubeconfig").strip()
    kubectl = ["kubectl", "--kubeconfig", kubeconfig]
    manifest = str(ROOT / "manifests/scenarios/canary-90-10.yaml")
    subprocess.run([*kubectl, "apply", "-f", manifest], check=True, timeout=60)
    assert lab(directory, "wait", "virtualservice/reviews").endswith("live\n")
    client = ["exec", "deploy/traffic-client", "-c", "client", "--", "mesh-lab-app", "send"]
    subprocess.run([*kubectl, *client, "http://istio-ingressgateway.istio-system/productpage"], check=True, timeout=60)
    lab(directory, "down")
    assert (
        "stopped"
        in subprocess.run(
            [
                sys.executable,
                "-m",
                "mesh_lab.cli",
                "--dir",
                str(directory),
                "--name",
                NAME,
                "status",
                "--cluster",
                "kind",
            ],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        ).stdout
    )
