"""kubectl's failures, with stand-ins of it, and what the real one makes of the template."""

from __future__ import annotations

from pathlib import Path

import pytest

from mesh_lab.client import kubectl
from mesh_lab.client.kubectl import Applied, Kubectl
from mesh_lab.errors import LabError
from mesh_lab.install.bringup import MESH, SAMPLES, deployments, install
from mesh_lab.install.readiness import Workload

MANIFESTS = Path(__file__).parents[3] / "manifests"


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    program = tmp_path / "kubectl"
    monkeypatch.setattr(kubectl, "program", lambda: str(program))
    return program


def script(program: Path, body: str) -> Kubectl:
    program.write_text(f"#!/bin/sh\n{body}\n")
    program.chmod(0o755)
    return Kubectl(program.parent / "kubeconfig", program.parent / "cache", timeout=2)


def test_what_was_applied_is_read_from_the_template(stand_in: Path) -> None:
    printed = r"Namespace - istio-system v1\nDeployment istio-system istiod apps/v1\n"
    applied = script(stand_in, f"printf '{printed}'").apply([Path("x")])
    assert applied == [
        Applied("Namespace", "", "istio-system", "v1"),
        Applied("Deployment", "istio-system", "istiod", "apps/v1"),
    ]
    assert deployments(applied) == {Workload("istio-system", "istiod")}


def test_its_own_words_are_shown_when_it_fails(stand_in: Path) -> None:
    failing = script(stand_in, "echo 'error: error parsing bad.yaml: line 3: did not find expected key' >&2; exit 1")
    with pytest.raises(LabError, match=r"`kubectl apply -f bad.yaml` failed with exit code 1:\nerror: error parsing"):
        failing.apply([Path("bad.yaml")])


def test_it_has_a_time_limit(stand_in: Path) -> None:
    script(stand_in, "exec sleep 10")
    with pytest.raises(LabError, match=r"`kubectl get pods` took more than 0\.1 s"):
        Kubectl(stand_in, stand_in, timeout=0.1).run("get", "pods")


def test_it_may_be_missing(stand_in: Path) -> None:
    with pytest.raises(LabError, match=r"cannot run .*: No such file"):
        Kubectl(stand_in, stand_in).run("version")


def test_every_sample_is_there() -> None:
    assert [name for name in SAMPLES if not (MANIFESTS / name).is_file()] == []


def test_a_missing_manifest_is_named(tmp_path: Path) -> None:
    with pytest.raises(LabError, match=f"missing manifests: {tmp_path}/{MESH[0]}"):
        install(
            Kubectl(tmp_path, tmp_path),
            None,  # type: ignore[arg-type]
            tmp_path,
            host_ports={},
            directory=tmp_path,
            timeout=1,
            report=lambda _: None,
        )
