"""What the lab makes of kind: each decision, with stand-ins that speak like the real kind, docker and kubectl."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from mesh_lab.client import kubectl
from mesh_lab.clusters import holding
from mesh_lab.clusters.kind import cluster as kind_cluster
from mesh_lab.clusters.kind import machine
from mesh_lab.clusters.kind.cluster import KindCluster, Record
from mesh_lab.errors import LabError
from mesh_lab.settings import Kind, Lab, Ports, Settings
from tests.unit.clusters.kind_standins import (
    DAEMON_AWAY,
    DENIED,
    KUBEADM_FAILED,
    KUBELET_ERROR,
    NAME,
    NODES,
    PULL_FAILED,
    RUNNING,
    STOPPED,
    healthy,
    info,
)
from tests.unit.standins import StandIns, answer

NODE = f"{NAME}-control-plane"


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(Settings(cluster="kind", ports=Ports(0, 0, 0)), tmp_path)


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StandIns:
    made = StandIns(tmp_path / "bin")
    healthy(made)
    made.add("kubectl", answer("--kubeconfig", out="ok\n"))
    monkeypatch.setattr(kubectl, "program", lambda: str(made.directory / "kubectl"))
    return made


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


def record(lab: Lab, phase: str = "ready") -> None:
    holding.prepare(lab.state_dir)
    ports = {"api": 1, "http": 2, "https": 3}
    holding.write(lab.state_dir, Record(name=NAME, provider="docker", phase=phase, ports=ports, started="2026-01-01"))


def verbs(tools: StandIns) -> list[str]:
    return [call[1] for call in tools.calls("kind") if call[1] != "version"]


def made(tools: StandIns) -> list[str]:
    """The first call of kind that makes something."""
    return next(call for call in tools.calls("kind") if call[1] != "version")


def quiet(_line: str) -> None:
    """Listen to nothing."""


def test_a_cluster_is_made_with_kinds_own_words_as_progress(cluster: KindCluster, lab: Lab, tools: StandIns) -> None:
    said: list[str] = []
    assert cluster.up(said.append)
    assert " ✓ Starting control-plane 🕹️" in said
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


def test_down_leaves_nothing(cluster: KindCluster, lab: Lab, tools: StandIns) -> None:
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


@pytest.mark.parametrize(
    ("output", "advice"),
    [(PULL_FAILED, "[kind.registry_mirrors]"), (KUBEADM_FAILED, "systemd.unified_cgroup_hierarchy=1")],
)
def test_when_kind_fails_its_words_are_shown_and_nothing_is_left(
    cluster: KindCluster, lab: Lab, tools: StandIns, output: list[str], advice: str
) -> None:
    tools.prefer("kind", answer("create", "cluster", err=output, code=1, writes={NODES: RUNNING}))
    with pytest.raises(LabError, match="failed with exit code 1") as failure:
        cluster.up(quiet)
    assert "ERROR: failed to create cluster" in failure.value.message
    assert advice in failure.value.hint
    assert "ootless" not in failure.value.hint
    assert "Nothing of it is left." in failure.value.hint
    assert verbs(tools) == ["create", "delete"]
    assert not cluster.status().running
    assert not (lab.state_dir / holding.RECORD).exists()


def test_of_all_that_kubeadm_logs_the_reason_is_shown_and_what_the_kubelet_said(
    cluster: KindCluster, tools: StandIns
) -> None:
    tools.prefer("kind", answer("create", "cluster", err=KUBEADM_FAILED, code=1, writes={NODES: RUNNING}))
    with pytest.raises(LabError) as failure:
        cluster.up(quiet)
    lines = failure.value.message.splitlines()
    assert lines[0] == "`kind create cluster --name ...` failed with exit code 1"
    assert lines[1].startswith("ERROR: failed to create cluster: failed to init node with kubeadm")
    assert lines[2].startswith("[kubelet-check] Waiting for a healthy kubelet")
    assert lines[3].startswith("error: error execution phase wait-control-plane")
    assert lines[4:7] == [line.rstrip() for line in KUBEADM_FAILED[-3:]]
    assert lines[7:] == [f'the kubelet of {NODE}: "command failed" err="{KUBELET_ERROR}"']
    create = made(tools)
    assert "--retain" in create


def test_a_kubelet_that_cannot_be_asked_hides_no_other_reason(cluster: KindCluster, tools: StandIns) -> None:
    tools.prefer("kind", answer("create", "cluster", err=PULL_FAILED, code=1, writes={NODES: RUNNING}))
    tools.prefer("docker", answer("exec", err=["Error response from daemon: container is not running\n"], code=1))
    with pytest.raises(LabError, match="no such host") as failure:
        cluster.up(quiet)
    assert "the kubelet of" not in failure.value.message


def test_when_even_the_removal_fails_the_command_for_it_is_told(cluster: KindCluster, tools: StandIns) -> None:
    tools.prefer(
        "kind",
        answer("create", "cluster", err=KUBEADM_FAILED, code=1, writes={NODES: RUNNING}),
        answer("delete", "cluster", err=['ERROR: failed to delete cluster "x"\n'], code=1),
    )
    with pytest.raises(LabError, match="failed to init node") as failure:
        cluster.up(quiet)
    assert f"`kind delete cluster --name {NAME}` does" in failure.value.hint


def test_a_kind_that_hangs_is_ended_with_all_that_it_started(
    lab: Lab, tools: StandIns, inotify: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kind_cluster, "_MARGIN_SECONDS", 0.0)
    lab = Lab(msgspec.structs.replace(lab.settings, kind=Kind(create_timeout=1)), lab.directory)
    tools.prefer("kind", answer("create", "cluster", err=KUBEADM_FAILED[:5], hangs=True, pid="pid"))
    with pytest.raises(LabError, match="did not end within 1 s") as failure:
        KindCluster(lab, tools.environ, inotify).up(quiet)
    assert "Preparing nodes" in failure.value.message
    with pytest.raises(ProcessLookupError):
        os.kill(int((tools.directory / "pid").read_text()), 0)


@contextmanager
def interrupted_once(*files: Path) -> Iterator[None]:
    """A Ctrl-C as soon as each of these files is there."""

    def interrupt() -> None:
        for file in files:
            deadline = time.monotonic() + 20
            while not file.exists() and time.monotonic() < deadline:
                time.sleep(0.01)
            os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        yield
    finally:
        thread.join()


def test_ctrl_c_again_while_it_is_removed_says_how_to_remove_it(cluster: KindCluster, tools: StandIns) -> None:
    tools.prefer("kind", answer("create", "cluster", hangs=True, writes={NODES: RUNNING}))
    tools.prefer("kind", answer("delete", "cluster", hangs=True, writes={"removing": ""}))
    both = (tools.directory / NODES, tools.directory / "removing")
    with interrupted_once(*both), pytest.raises(LabError, match="interrupted while the cluster") as failure:
        cluster.up(quiet)
    assert failure.value.hint == (
        "Its removal was interrupted, too; `kind delete cluster --name mesh-lab-lab` does it."
    )
    # The record says whose it is, so that the next `up` or `down` goes on with it.
    assert cluster.status().phase == "starting"


def test_ctrl_c_while_kind_works_removes_what_was_made(cluster: KindCluster, lab: Lab, tools: StandIns) -> None:
    tools.prefer("kind", answer("create", "cluster", hangs=True, pid="pid", writes={NODES: RUNNING}))

    with interrupted_once(tools.directory / NODES), pytest.raises(LabError, match="interrupted while the") as failure:
        cluster.up(quiet)
    assert failure.value.hint == "Nothing of it is left."
    assert verbs(tools) == ["create", "delete"]
    with pytest.raises(ProcessLookupError):
        os.kill(int((tools.directory / "pid").read_text()), 0)


def test_a_cluster_that_a_crash_left_half_made_is_removed_and_made_anew(
    cluster: KindCluster, lab: Lab, tools: StandIns
) -> None:
    record(lab, phase="creating")
    (tools.directory / NODES).write_text(RUNNING)
    said: list[str] = []
    assert cluster.status().phase == "starting"
    assert cluster.up(said.append)
    assert any("left half-made" in line for line in said)
    assert verbs(tools) == ["delete", "create"]
    assert cluster.status().phase == "ready"


def test_nodes_that_a_restart_of_the_machine_stopped_are_started(
    cluster: KindCluster, lab: Lab, tools: StandIns
) -> None:
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


def test_a_cluster_of_that_name_that_is_not_the_labs_is_not_touched(cluster: KindCluster, tools: StandIns) -> None:
    (tools.directory / NODES).write_text(RUNNING)
    with pytest.raises(LabError, match="did not make, so it stays untouched") as failure:
        cluster.up(quiet)
    assert f"kind delete cluster --name {NAME}" in failure.value.hint
    assert not cluster.down(quiet)
    assert verbs(tools) == []


@pytest.mark.parametrize(
    ("said", "remedy"),
    [(DAEMON_AWAY, "sudo systemctl start docker"), (DENIED, "sudo usermod --append --groups docker")],
)
def test_a_docker_that_does_not_answer_is_told_with_what_it_says(
    cluster: KindCluster, tools: StandIns, said: str, remedy: str
) -> None:
    tools.prefer("docker", answer("ps", err=[f"{said}\n"], code=1))
    with pytest.raises(LabError) as failure:
        cluster.up(quiet)
    assert said in failure.value.message
    assert remedy in failure.value.hint
    assert verbs(tools) == []


def test_a_client_that_tells_of_its_daemon_in_its_answer_is_understood(cluster: KindCluster, tools: StandIns) -> None:
    tools.prefer("docker", answer("info", out=json.dumps({"NCPU": 0, "ServerErrors": [DAEMON_AWAY]})))
    with pytest.raises(LabError, match="docker does not answer") as failure:
        cluster.up(quiet)
    assert "sudo systemctl start docker" in failure.value.hint


def test_a_docker_that_hangs_is_not_waited_for(
    cluster: KindCluster, tools: StandIns, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mesh_lab.clusters.kind.provider._QUICK_SECONDS", 0.5)
    tools.prefer("docker", answer("ps", hangs=True))
    with pytest.raises(LabError, match=r"did not end within 0\.5 s"):
        cluster.up(quiet)


@pytest.mark.parametrize(
    ("cores", "memory_mb", "told"),
    [(1, 8192, "1 core for containers"), (4, 1024, "1024 MB of memory for containers")],
)
def test_a_machine_that_is_too_small_is_refused(
    cluster: KindCluster, tools: StandIns, cores: int, memory_mb: int, told: str
) -> None:
    tools.prefer("docker", answer("info", out=info(cores, memory_mb)))
    with pytest.raises(LabError, match=told):
        cluster.up(quiet)
    assert verbs(tools) == []


@pytest.mark.parametrize(("cgroups", "patched"), [("1", True), ("v1", True), ("2", False), ("v2", False)])
def test_on_cgroup_v1_the_kubelets_are_told_to_accept_it(
    cluster: KindCluster, lab: Lab, tools: StandIns, cgroups: str, patched: bool
) -> None:
    tools.prefer("docker", answer("info", out=info(cgroups=cgroups)))
    said: list[str] = []
    assert cluster.up(said.append)
    config = json.loads((lab.state_dir / "kind.yaml").read_text())
    patches = ["kind: KubeletConfiguration\nfailCgroupV1: false\n"] if patched else []
    assert config.get("kubeadmConfigPatches", []) == patches
    assert any("cgroup v1" in line for line in said) is patched


def test_a_kind_that_is_too_old_is_refused_before_anything_is_made(cluster: KindCluster, tools: StandIns) -> None:
    tools.prefer("kind", answer("version", out="kind v0.11.1 go1.16.4 linux/amd64\n"))
    with pytest.raises(LabError, match=r"kind 0\.11\.1 is too old; the lab needs 0\.27\.0 or later") as failure:
        cluster.up(quiet)
    assert "mesh-lab tools install" in failure.value.hint
    assert verbs(tools) == []


def test_little_room_where_images_go_is_a_warning(
    cluster: KindCluster, tools: StandIns, monkeypatch: pytest.MonkeyPatch
) -> None:
    tools.prefer("docker", answer("info", out=info(store="/nowhere/docker")))
    usage = shutil.disk_usage("/")._replace(free=600 * 2**20)
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda _: usage)
    said: list[str] = []
    cluster.up(said.append)
    assert "warning: 600 MB free at /nowhere/docker, where images and nodes are; they want 5120 MB" in "\n".join(said)


def test_the_missing_node_image_is_no_matter_of_the_nodes_mirrors(cluster: KindCluster, tools: StandIns) -> None:
    tools.prefer("kind", answer("create", "cluster", err=PULL_FAILED, code=1))
    with pytest.raises(LabError) as failure:
        cluster.up(quiet)
    assert "[kind.registry_mirrors] is for the nodes" in failure.value.hint


def test_a_docker_that_has_ended_is_no_lab_that_is_stopped(cluster: KindCluster, tools: StandIns) -> None:
    cluster.up(quiet)
    tools.prefer("docker", answer("ps", err=[DAEMON_AWAY], code=1))
    with pytest.raises(LabError, match="docker does not answer"):
        cluster.status()


def test_a_docker_that_ends_while_images_are_loaded_is_told_as_that(cluster: KindCluster, tools: StandIns) -> None:
    cluster.up(quiet)
    tools.prefer("docker", answer("image", "inspect", err=[DAEMON_AWAY], code=1))
    with pytest.raises(LabError, match="docker does not answer"):
        cluster.load_images(["mesh-lab/apps"], quiet)


@pytest.mark.parametrize(
    "written", ["2026-01-01T10:00:00.123456789Z", "2026-01-01 11:00:00.5 +0100 CET", "2026-01-01T10:00:00Z"]
)
def test_the_start_of_nodes_is_known_to_the_second(cluster: KindCluster, tools: StandIns, written: str) -> None:
    cluster.up(quiet)
    tools.prefer("docker", answer("inspect", out=f"/{NAME}-control-plane\t{written}\n"))
    assert cluster.started() == {f"{NAME}-control-plane": datetime(2026, 1, 1, 10, tzinfo=UTC)}


def test_low_inotify_limits_are_a_warning_with_the_command(cluster: KindCluster, inotify: Path) -> None:
    (inotify / "max_user_instances").write_text("128\n")
    said: list[str] = []
    cluster.up(said.append)
    warning = next(line for line in said if line.startswith("warning"))
    assert "fs.inotify.max_user_instances is 128" in warning
    assert "sudo sysctl fs.inotify.max_user_instances=512" in warning


@pytest.mark.parametrize("missing", ["kind", "docker"])
def test_a_missing_tool_is_told_with_what_for_and_how_to_get_it(
    cluster: KindCluster, tools: StandIns, missing: str
) -> None:
    (tools.directory / missing).unlink()
    with pytest.raises(LabError, match=f"{missing} is not installed: ") as failure:
        cluster.up(quiet)
    assert {"kind": "mesh-lab tools install", "docker": "apt-get install docker.io"}[missing] in failure.value.hint


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


def test_podman_is_taken_where_docker_is_missing_and_kind_is_told(lab: Lab, tools: StandIns, inotify: Path) -> None:
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


def test_an_image_that_cannot_be_loaded_is_told_in_kinds_words(cluster: KindCluster, tools: StandIns) -> None:
    cluster.up(quiet)
    said = 'ERROR: failed to load image: command "docker exec --privileged -i ctr images import -" failed\n'
    tools.prefer("kind", answer("load", err=[said], code=1))
    with pytest.raises(LabError, match="failed to load image"):
        cluster.load_images(["mesh-lab/apps"], quiet)


def test_a_taken_port_is_told_with_its_holder_before_anything_is_made(lab: Lab, tools: StandIns, inotify: Path) -> None:
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


def test_two_commands_at_once_do_not_meet(cluster: KindCluster, lab: Lab) -> None:
    with holding.held(lab.state_dir), pytest.raises(LabError, match="in use by another command"):
        cluster.up(quiet)


def test_a_damaged_record_is_not_guessed_at(cluster: KindCluster, lab: Lab, tools: StandIns) -> None:
    record(lab)
    (lab.state_dir / holding.RECORD).write_text('{"name": ')
    with pytest.raises(LabError, match=r"cannot read .*cluster\.json"):
        cluster.up(quiet)
    assert verbs(tools) == []
