"""A kind cluster's life: it is made, found again, repaired and deleted, and never mistaken for another's."""

from __future__ import annotations

import json
import socket
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from mesh_lab.clusters import holding
from mesh_lab.clusters.kind.cluster import KindCluster
from mesh_lab.errors import LabError
from mesh_lab.settings import Kind, Lab, Ports
from tests.unit.clusters.kind.standins import NAME, NODE, NODES, RUNNING, STOPPED, made, quiet, record, verbs
from tests.unit.standins import StandIns, answer


def test_kinds_output_is_the_progress_of_making_a_cluster(cluster: KindCluster, lab: Lab, tools: StandIns) -> None:
    lines: list[str] = []
    assert cluster.up(lines.append)
    assert " ✓ Starting control-plane 🕹️" in lines
    create = made(tools)
    assert create[1:5] == ["create", "cluster", "--name", NAME]
    assert create[create.index("--kubeconfig") + 1] == str(lab.kubeconfig)
    assert create[create.index("--wait") + 1] == "600s"
    status = cluster.status()
    assert (status.phase, set(status.ports)) == ("ready", {"api", "http", "https"})
    config = json.loads((lab.state_dir / "kind.yaml").read_text())
    mappings = {m["containerPort"]: m["hostPort"] for m in config["nodes"][0]["extraPortMappings"]}
    assert mappings == {30080: status.ports["http"], 30443: status.ports["https"]}
    assert config["networking"]["apiServerPort"] == status.ports["api"]


def test_a_second_run_makes_nothing(cluster: KindCluster, lab: Lab, tools: StandIns) -> None:
    cluster.up(quiet)
    assert not cluster.up(quiet)
    assert verbs(tools) == ["create", "get"]
    assert lab.kubeconfig.stat().st_mode & 0o777 == 0o600


def test_down_and_reset_leave_nothing(cluster: KindCluster, lab: Lab, tools: StandIns) -> None:
    cluster.up(quiet)
    assert cluster.down(quiet)
    assert not cluster.status().running
    assert not lab.kubeconfig.exists()
    assert not cluster.down(quiet)
    assert cluster.reset(quiet)
    assert not lab.state_dir.exists()


def test_nodes_and_zones_and_the_image_come_from_the_settings(lab: Lab, tools: StandIns, inotify: Path) -> None:
    kind = Kind(
        nodes=3, zones=("a", "b"), node_image="kindest/node:v1.34.0", registry_mirrors={"docker.io": "http://m:5"}
    )
    lab = Lab(msgspec.structs.replace(lab.settings, kind=kind), lab.directory)
    KindCluster(lab, tools.environ, inotify).up(quiet)
    config = json.loads((lab.state_dir / "kind.yaml").read_text())
    assert [node["role"] for node in config["nodes"]] == ["control-plane", "worker", "worker"]
    assert [node["labels"]["topology.kubernetes.io/zone"] for node in config["nodes"]] == ["a", "b", "a"]
    assert {node["image"] for node in config["nodes"]} == {"kindest/node:v1.34.0"}
    assert 'config_path = "/etc/containerd/certs.d"' in config["containerdConfigPatches"][0]
    mount = config["nodes"][2]["extraMounts"][0]
    hosts = Path(mount["hostPath"], "docker.io", "hosts.toml").read_text()
    assert mount["containerPath"] == "/etc/containerd/certs.d"
    assert 'server = "https://registry-1.docker.io"' in hosts
    assert '[host."http://m:5"]' in hosts


def test_a_half_made_cluster_is_removed_and_made_anew(cluster: KindCluster, lab: Lab, tools: StandIns) -> None:
    record(lab, phase="creating")
    (tools.directory / NODES).write_text(RUNNING)
    lines: list[str] = []
    assert cluster.status().phase == "starting"
    assert cluster.up(lines.append)
    assert any("left half-made" in line for line in lines)
    assert verbs(tools) == ["delete", "create"]
    assert cluster.status().phase == "ready"


def test_stopped_nodes_are_started(cluster: KindCluster, lab: Lab, tools: StandIns) -> None:
    record(lab)
    (tools.directory / NODES).write_text(STOPPED)
    assert not cluster.status().running
    assert cluster.up(quiet)
    assert ["docker", "start", NODE] in tools.calls("docker")
    assert verbs(tools) == ["get"]
    assert cluster.status().phase == "ready"


def test_a_record_without_a_cluster_makes_one(cluster: KindCluster, lab: Lab, tools: StandIns) -> None:
    record(lab)
    assert cluster.up(quiet)
    assert verbs(tools) == ["create"]


def test_a_cluster_of_the_same_name_without_a_record_is_not_touched(cluster: KindCluster, tools: StandIns) -> None:
    (tools.directory / NODES).write_text(RUNNING)
    with pytest.raises(LabError, match="did not make, so it stays untouched") as failure:
        cluster.up(quiet)
    assert f"kind delete cluster --name {NAME}" in failure.value.hint
    assert not cluster.down(quiet)
    assert verbs(tools) == []


@pytest.mark.parametrize(
    "written", ["2026-01-01T10:00:00.123456789Z", "2026-01-01 11:00:00.5 +0100 CET", "2026-01-01T10:00:00Z"]
)
def test_the_start_of_nodes_is_known_to_the_second(cluster: KindCluster, tools: StandIns, written: str) -> None:
    cluster.up(quiet)
    tools.prefer("docker", answer("inspect", out=f"/{NAME}-control-plane\t{written}\n"))
    assert cluster.started() == {f"{NAME}-control-plane": datetime(2026, 1, 1, 10, tzinfo=UTC)}


def test_images_are_loaded_and_missing_ones_named(cluster: KindCluster, tools: StandIns) -> None:
    cluster.up(quiet)
    cluster.load_images(["mesh-lab/apps", "mesh-lab/locust"], quiet)
    assert tools.calls("kind")[-1] == [
        "kind",
        "load",
        "docker-image",
        "mesh-lab/apps",
        "mesh-lab/locust",
        "--name",
        NAME,
    ]
    words = ("image", "inspect", "--format", "{{.Architecture}}", "mesh-lab/locust")
    tools.prefer("docker", answer(*words, err=["Error: No such image: mesh-lab/locust\n"], code=1))
    with pytest.raises(LabError, match="not in docker's store: mesh-lab/locust") as failure:
        cluster.load_images(["mesh-lab/apps", "mesh-lab/locust"], quiet)
    assert "make images" in failure.value.hint


def test_when_an_image_cannot_be_loaded_kinds_error_is_shown(cluster: KindCluster, tools: StandIns) -> None:
    cluster.up(quiet)
    error = 'ERROR: failed to load image: command "docker exec --privileged -i ctr images import -" failed\n'
    tools.prefer("kind", answer("load", err=[error], code=1))
    with pytest.raises(LabError, match="failed to load image"):
        cluster.load_images(["mesh-lab/apps"], quiet)


def test_a_port_in_use_is_reported_before_anything_is_made(lab: Lab, tools: StandIns, inotify: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        lab = Lab(msgspec.structs.replace(lab.settings, ports=Ports(0, port, 0)), lab.directory)
        with pytest.raises(LabError, match=f"port {port} is in use") as failure:
            KindCluster(lab, tools.environ, inotify).up(quiet)
    assert "MESH_LAB_HTTP_PORT" in failure.value.hint
    assert verbs(tools) == []


def test_the_plan_makes_nothing(cluster: KindCluster, lab: Lab, tools: StandIns) -> None:
    plan = "\n".join(cluster.plan())
    assert f"kind create cluster --name {NAME}" in plan
    assert '"kindest/node:' in plan
    assert [call[:2] for call in tools.calls()] == [["docker", "info"]], "it only asks"
    assert not lab.state_dir.exists()


def test_a_second_command_at_the_same_time_is_refused(cluster: KindCluster, lab: Lab) -> None:
    with holding.held(lab.state_dir), pytest.raises(LabError, match="in use by another command"):
        cluster.up(quiet)


def test_a_damaged_record_is_an_error(cluster: KindCluster, lab: Lab, tools: StandIns) -> None:
    record(lab)
    (lab.state_dir / holding.RECORD).write_text('{"name": ')
    with pytest.raises(LabError, match=r"cannot read .*cluster\.json"):
        cluster.up(quiet)
    assert verbs(tools) == []
