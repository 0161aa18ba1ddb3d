"""Docker or Podman and kind itself: found, old, missing, or without an answer."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mesh_lab.clusters.kind.cluster import KindCluster
from mesh_lab.errors import LabError
from mesh_lab.settings import Lab
from tests.unit.clusters.kind.standins import DAEMON_AWAY, DENIED, healthy, made, quiet, verbs
from tests.unit.standins import StandIns, answer


@pytest.mark.parametrize(
    ("error", "remedy"),
    [(DAEMON_AWAY, "sudo systemctl start docker"), (DENIED, "sudo usermod --append --groups docker")],
)
def test_when_docker_does_not_answer_its_error_is_shown_with_a_remedy(
    cluster: KindCluster, tools: StandIns, error: str, remedy: str
) -> None:
    tools.prefer("docker", answer("ps", err=[f"{error}\n"], code=1))
    with pytest.raises(LabError) as failure:
        cluster.up(quiet)
    assert error in failure.value.message
    assert remedy in failure.value.hint
    assert verbs(tools) == []


def test_an_error_of_the_daemon_in_the_output_of_docker_info_is_found(cluster: KindCluster, tools: StandIns) -> None:
    tools.prefer("docker", answer("info", out=json.dumps({"NCPU": 0, "ServerErrors": [DAEMON_AWAY]})))
    with pytest.raises(LabError, match="docker does not answer") as failure:
        cluster.up(quiet)
    assert "sudo systemctl start docker" in failure.value.hint


def test_a_docker_that_hangs_times_out(cluster: KindCluster, tools: StandIns, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mesh_lab.clusters.kind.provider._QUICK_SECONDS", 0.5)
    tools.prefer("docker", answer("ps", hangs=True))
    with pytest.raises(LabError, match=r"did not end within 0\.5 s"):
        cluster.up(quiet)


def test_the_status_is_an_error_while_docker_does_not_answer(cluster: KindCluster, tools: StandIns) -> None:
    cluster.up(quiet)
    tools.prefer("docker", answer("ps", err=[DAEMON_AWAY], code=1))
    with pytest.raises(LabError, match="docker does not answer"):
        cluster.status()


def test_a_docker_without_an_answer_is_not_reported_as_a_missing_image(cluster: KindCluster, tools: StandIns) -> None:
    cluster.up(quiet)
    tools.prefer("docker", answer("image", "inspect", err=[DAEMON_AWAY], code=1))
    with pytest.raises(LabError, match="docker does not answer"):
        cluster.load_images(["mesh-lab/apps"], quiet)


@pytest.mark.parametrize("missing", ["kind", "docker"])
def test_a_missing_program_is_named_with_its_purpose_and_how_to_install_it(
    cluster: KindCluster, tools: StandIns, missing: str
) -> None:
    (tools.directory / missing).unlink()
    with pytest.raises(LabError, match=f"{missing} is not installed: ") as failure:
        cluster.up(quiet)
    assert {"kind": "mesh-lab tools install", "docker": "apt-get install docker.io"}[missing] in failure.value.hint


def test_a_kind_that_is_too_old_is_refused_before_anything_is_made(cluster: KindCluster, tools: StandIns) -> None:
    tools.prefer("kind", answer("version", out="kind v0.11.1 go1.16.4 linux/amd64\n"))
    with pytest.raises(LabError, match=r"kind 0\.11\.1 is too old; the lab needs 0\.27\.0 or later") as failure:
        cluster.up(quiet)
    assert "mesh-lab tools install" in failure.value.hint
    assert verbs(tools) == []


def test_the_labs_own_directory_of_tools_comes_first(lab: Lab, tools: StandIns, inotify: Path) -> None:
    own = StandIns(lab.directory / ".lab")
    own.directory.rmdir()
    own = StandIns(_made(lab.tools_dir))
    healthy(own)
    (own.directory / "docker").unlink()
    tools.add("kind", answer("create", code=9))
    tools.prefer("docker", answer("ps"))
    KindCluster(lab, tools.environ, inotify).up(quiet)
    assert made(own)[1] == "create"


def _made(directory: Path) -> Path:
    directory.parent.mkdir(parents=True, exist_ok=True)
    return directory


def test_without_docker_podman_is_used_and_named_to_kind(lab: Lab, tools: StandIns, inotify: Path) -> None:
    (tools.directory / "docker").rename(tools.directory / "podman")
    (tools.directory / "docker.json").rename(tools.directory / "podman.json")
    podman = json.dumps({"host": {"cpus": 4, "memTotal": 8 * 2**30}})
    tools.prefer("podman", answer("info", out=podman), answer("save"))
    tools.prefer("kind", answer("load", "image-archive"))
    cluster = KindCluster(lab, tools.environ, inotify)
    cluster.up(quiet)
    cluster.load_images(["mesh-lab/apps"], quiet)
    assert cluster._provider("auto").environ["KIND_EXPERIMENTAL_PROVIDER"] == "podman"
    assert verbs(tools) == ["create", "load"]
