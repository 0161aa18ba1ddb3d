"""When kind fails, hangs or is interrupted: its reason is shown, and what it had made is removed."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from mesh_lab.clusters import holding
from mesh_lab.clusters.kind import cluster as kind_cluster
from mesh_lab.clusters.kind.cluster import KindCluster
from mesh_lab.errors import LabError
from mesh_lab.settings import Kind, Lab
from tests.unit.clusters.kind.standins import (
    KUBEADM_FAILED,
    KUBELET_ERROR,
    NAME,
    NODE,
    NODES,
    PULL_FAILED,
    RUNNING,
    made,
    quiet,
    verbs,
)
from tests.unit.standins import StandIns, answer


@pytest.mark.parametrize(
    ("output", "advice"),
    [(PULL_FAILED, "[kind.registry_mirrors]"), (KUBEADM_FAILED, "systemd.unified_cgroup_hierarchy=1")],
)
def test_when_kind_fails_its_error_is_shown_and_nothing_is_left(
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


def test_of_kubeadms_log_only_the_reason_is_shown_with_the_kubelets_error(
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


def test_without_a_kubelets_journal_kinds_reason_is_still_shown(cluster: KindCluster, tools: StandIns) -> None:
    tools.prefer("kind", answer("create", "cluster", err=PULL_FAILED, code=1, writes={NODES: RUNNING}))
    tools.prefer("docker", answer("exec", err=["Error response from daemon: container is not running\n"], code=1))
    with pytest.raises(LabError, match="no such host") as failure:
        cluster.up(quiet)
    assert "the kubelet of" not in failure.value.message


def test_when_the_removal_fails_too_its_command_is_named(cluster: KindCluster, tools: StandIns) -> None:
    tools.prefer(
        "kind",
        answer("create", "cluster", err=KUBEADM_FAILED, code=1, writes={NODES: RUNNING}),
        answer("delete", "cluster", err=['ERROR: failed to delete cluster "x"\n'], code=1),
    )
    with pytest.raises(LabError, match="failed to init node") as failure:
        cluster.up(quiet)
    assert f"`kind delete cluster --name {NAME}` does" in failure.value.hint


def test_a_missing_node_image_is_not_blamed_on_the_nodes_mirrors(cluster: KindCluster, tools: StandIns) -> None:
    tools.prefer("kind", answer("create", "cluster", err=PULL_FAILED, code=1))
    with pytest.raises(LabError) as failure:
        cluster.up(quiet)
    assert "[kind.registry_mirrors] is for the nodes" in failure.value.hint


def test_a_kind_that_hangs_is_ended_with_its_children(
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
def interrupted(*files: Path) -> Iterator[None]:
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


def test_ctrl_c_while_kind_works_removes_what_was_made(cluster: KindCluster, lab: Lab, tools: StandIns) -> None:
    tools.prefer("kind", answer("create", "cluster", hangs=True, pid="pid", writes={NODES: RUNNING}))

    with interrupted(tools.directory / NODES), pytest.raises(LabError, match="interrupted while the") as failure:
        cluster.up(quiet)
    assert failure.value.hint == "Nothing of it is left."
    assert verbs(tools) == ["create", "delete"]
    with pytest.raises(ProcessLookupError):
        os.kill(int((tools.directory / "pid").read_text()), 0)


def test_ctrl_c_during_the_removal_names_its_command(cluster: KindCluster, tools: StandIns) -> None:
    tools.prefer("kind", answer("create", "cluster", hangs=True, writes={NODES: RUNNING}))
    tools.prefer("kind", answer("delete", "cluster", hangs=True, writes={"removing": ""}))
    both = (tools.directory / NODES, tools.directory / "removing")
    with interrupted(*both), pytest.raises(LabError, match="interrupted while the cluster") as failure:
        cluster.up(quiet)
    assert failure.value.hint == (
        "Its removal was interrupted, too; `kind delete cluster --name mesh-lab-lab` does it."
    )
    # The record says whose it is, so that the next `up` or `down` goes on with it.
    assert cluster.status().phase == "starting"
