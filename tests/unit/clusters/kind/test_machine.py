"""What kind needs of the machine is checked before anything is made."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from mesh_lab.clusters.kind import machine
from mesh_lab.clusters.kind.cluster import KindCluster
from mesh_lab.errors import LabError
from mesh_lab.settings import Lab
from tests.unit.clusters.kind.standins import info, quiet, verbs
from tests.unit.standins import StandIns, answer


@pytest.mark.parametrize(
    ("cores", "memory_mb", "message"),
    [(1, 8192, "1 core for containers"), (4, 1024, "1024 MB of memory for containers")],
)
def test_a_machine_that_is_too_small_is_refused(
    cluster: KindCluster, tools: StandIns, cores: int, memory_mb: int, message: str
) -> None:
    tools.prefer("docker", answer("info", out=info(cores, memory_mb)))
    with pytest.raises(LabError, match=message):
        cluster.up(quiet)
    assert verbs(tools) == []


@pytest.mark.parametrize(("cgroups", "patched"), [("1", True), ("v1", True), ("2", False), ("v2", False)])
def test_on_cgroup_v1_the_kubelets_are_configured_to_accept_it(
    cluster: KindCluster, lab: Lab, tools: StandIns, cgroups: str, patched: bool
) -> None:
    tools.prefer("docker", answer("info", out=info(cgroups=cgroups)))
    lines: list[str] = []
    assert cluster.up(lines.append)
    config = json.loads((lab.state_dir / "kind.yaml").read_text())
    patches = ["kind: KubeletConfiguration\nfailCgroupV1: false\n"] if patched else []
    assert config.get("kubeadmConfigPatches", []) == patches
    assert any("cgroup v1" in line for line in lines) is patched


def test_a_nearly_full_disk_is_a_warning(
    cluster: KindCluster, tools: StandIns, monkeypatch: pytest.MonkeyPatch
) -> None:
    tools.prefer("docker", answer("info", out=info(store="/nowhere/docker")))
    usage = shutil.disk_usage("/")._replace(free=600 * 2**20)
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda _: usage)
    lines: list[str] = []
    cluster.up(lines.append)
    assert "warning: 600 MB free at /nowhere/docker, where images and nodes are; they want 5120 MB" in "\n".join(lines)


def test_low_inotify_limits_are_a_warning_with_the_command(cluster: KindCluster, inotify: Path) -> None:
    (inotify / "max_user_instances").write_text("128\n")
    lines: list[str] = []
    cluster.up(lines.append)
    warning = next(line for line in lines if line.startswith("warning"))
    assert "fs.inotify.max_user_instances is 128" in warning
    assert "sudo sysctl fs.inotify.max_user_instances=512" in warning
