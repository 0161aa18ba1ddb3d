"""A lab on kind, whose programs are stand-ins."""

from __future__ import annotations

from pathlib import Path

import pytest

from mesh_lab.client import kubectl
from mesh_lab.clusters.kind.cluster import KindCluster
from mesh_lab.settings import Lab, Ports, Settings
from tests.unit.clusters.kind.standins import healthy
from tests.unit.standins import StandIns, answer


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(Settings(cluster="kind", ports=Ports(0, 0, 0)), tmp_path)


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StandIns:
    standins = StandIns(tmp_path / "bin")
    healthy(standins)
    standins.add("kubectl", answer("--kubeconfig", out="ok\n"))
    monkeypatch.setattr(kubectl, "program", lambda: str(standins.directory / "kubectl"))
    return standins


@pytest.fixture
def inotify(tmp_path: Path) -> Path:
    directory = tmp_path / "inotify"
    directory.mkdir()
    (directory / "max_user_watches").write_text("524288\n")
    (directory / "max_user_instances").write_text("512\n")
    return directory


@pytest.fixture
def cluster(lab: Lab, tools: StandIns, inotify: Path) -> KindCluster:
    return KindCluster(lab, tools.environ, inotify)
