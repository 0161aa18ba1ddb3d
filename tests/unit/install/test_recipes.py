"""What goes onto a foreign cluster and comes off again, with stand-ins of kubectl and istioctl."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from lab import kubectl
from lab.clusters import holding
from lab.clusters.existing import IstioMade, Record
from lab.errors import LabError
from lab.install import recipes
from lab.settings import Existing, Lab, Settings
from tests.unit.install.serving import serve
from tests.unit.standins import StandIns, answer

CRDS = ("gateways.networking.istio.io", "virtualservices.networking.istio.io")


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    made = Lab(Settings(cluster="existing", existing=Existing(contexts=["team"])), tmp_path)
    made.state_dir.mkdir()
    return made


@pytest.fixture
def tools(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> StandIns:
    made = StandIns(lab.directory / "bin")
    made.add("kubectl", *[answer(*start(lab), *verb) for verb in (("get",), ("delete",), ("apply",))])
    made.add("istioctl", answer("install", err=["✔ Installation complete\n"]), answer("uninstall"))
    monkeypatch.setattr(kubectl, "program", lambda: str(made.directory / "kubectl"))
    monkeypatch.setenv("PATH", str(made.directory))
    return made


def start(lab: Lab) -> tuple[str, ...]:
    return ("--kubeconfig", str(lab.kubeconfig), "--cache-dir", str(lab.state_dir / "kubectl-cache"))


def record(lab: Lab, istio: IstioMade | None = None) -> Record:
    made = Record(
        context="team", server="https://k", instance="lab-1", namespace="mesh-lab", started="2026-01-01", istio=istio
    )
    holding.write(lab.state_dir, made)
    return made


@contextmanager
def cluster(lab: Lab, **answers: Any) -> Iterator[None]:
    """An API that has what `answers` say, by the last part of the path."""

    def give(path: str) -> Any:
        name = path.partition("?")[0].rpartition("/")[2].replace("-", "_")
        return answers.get(name, (404, f"{path} not found"))

    with serve(lab.state_dir, give):
        yield


def verbs(tools: StandIns) -> list[str]:
    shown = [(call[0], call[5:7] if call[0] == "kubectl" else call[1:2]) for call in tools.calls()]
    return [" ".join((name, *words)) for name, words in shown]


def quiet(_line: str) -> None:
    """Listen to nothing."""


def test_without_istio_the_lab_says_how_to_have_it_and_makes_nothing(lab: Lab, tools: StandIns) -> None:
    record(lab)
    with cluster(lab, deployments={"items": []}), pytest.raises(LabError, match="the cluster has no Istio") as failure:
        recipes.put_on(lab, quiet)
    assert "--install-istio" in failure.value.hint
    assert tools.calls() == []


def test_a_namespace_of_somebody_elses_is_refused(lab: Lab, tools: StandIns) -> None:
    record(lab)
    theirs = {"metadata": {"name": "mesh-lab", "labels": {"mesh-lab/instance": "lab-2"}}}
    with (
        cluster(lab, deployments={"items": []}, mesh_lab=theirs),
        pytest.raises(LabError, match="belongs to the lab lab-2"),
    ):
        recipes.put_on(lab, quiet)
    assert tools.calls() == []


def test_an_istio_that_fails_to_install_is_on_record_before_it_is_begun(lab: Lab, tools: StandIns) -> None:
    lab = Lab(Settings(cluster="existing", existing=Existing(contexts=["team"], install_istio=True)), lab.directory)
    record(lab)
    tools.prefer("istioctl", answer("install", err=["Error: failed to install manifests\n"], code=1))
    applied = {"kind": "Namespace", "metadata": {"name": "istio-system"}}
    tools.prefer("kubectl", answer(*start(lab), "apply", out=json.dumps(applied)))
    crds = {"items": [{"metadata": {"name": CRDS[0]}}, {"metadata": {"name": "crontabs.example.com"}}]}
    empty = {"items": []}
    with (
        cluster(lab, deployments=empty, customresourcedefinitions=crds, pods=empty, events=empty),
        pytest.raises(LabError, match="failed to install manifests"),
    ):
        recipes.put_on(lab, quiet)
    kept = holding.read(lab.state_dir, Record)
    assert kept is not None
    # The CRDs were there before, so they are not the lab's to remove.
    assert kept.istio == IstioMade(namespace_made=True, revision="", crds=())


def test_an_istio_that_the_lab_installed_comes_off_after_the_samples(lab: Lab, tools: StandIns) -> None:
    record(lab, IstioMade(namespace_made=True, revision="", crds=CRDS))
    recipes.take_off(lab, quiet)
    assert verbs(tools) == [
        "kubectl delete namespace",
        "istioctl uninstall",
        f"kubectl get {CRDS[0]}",
        "kubectl delete customresourcedefinition",
        f"kubectl get {CRDS[1]}",
        "kubectl delete customresourcedefinition",
    ]
    kept = holding.read(lab.state_dir, Record)
    assert kept is not None
    assert kept.istio is None


def test_a_kind_of_resource_that_somebody_uses_stays(lab: Lab, tools: StandIns) -> None:
    record(lab, IstioMade(namespace_made=False, revision="canary", crds=CRDS[:1]))
    tools.prefer("kubectl", answer(*start(lab), "get", out="gateway.networking.istio.io/theirs\n"))
    said: list[str] = []
    recipes.take_off(lab, said.append)
    assert said == [f"{CRDS[0]} has resources that the lab did not make, so it stays"]
    assert "kubectl delete customresourcedefinition" not in verbs(tools)


def test_an_istio_that_was_found_stays(lab: Lab, tools: StandIns) -> None:
    record(lab)
    recipes.take_off(lab, quiet)
    assert tools.calls() == []
