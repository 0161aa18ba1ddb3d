"""What goes onto a foreign cluster and comes off again, with stand-ins of kubectl and istioctl."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from mesh_lab.client import kubectl
from mesh_lab.clusters import holding
from mesh_lab.clusters.existing import IstioMade, Record
from mesh_lab.errors import LabError
from mesh_lab.install import recipes
from mesh_lab.settings import Existing, Lab, Settings
from tests.unit.client.serving import serve
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
    made.add(
        "istioctl",
        answer("install", err=["✔ Installation complete\n"]),
        answer("uninstall"),
        answer("version", out="client version: 1.30.3\n"),
    )
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
    return [" ".join((name, *words)) for name, words in shown if (name, words) != ("istioctl", ["version"])]


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


def asked_for(lab: Lab) -> Lab:
    """The same lab with `--install-istio`."""
    return Lab(Settings(cluster="existing", existing=Existing(contexts=["team"], install_istio=True)), lab.directory)


def bare(**more: Any) -> dict[str, Any]:
    """A cluster without Istio."""
    empty: dict[str, Any] = {"items": []}
    crds = {"items": [{"metadata": {"name": "crontabs.example.com"}}]}
    pages = dict.fromkeys(("deployments", "pods", "events", "configmaps"), empty)
    return {**pages, "customresourcedefinitions": crds, **more}


def test_an_istio_that_fails_to_install_is_on_record_before_it_is_begun(lab: Lab, tools: StandIns) -> None:
    record(lab)
    tools.prefer("istioctl", answer("install", err=["Error: failed to install manifests\n"], code=1))
    applied = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "istio-system"}}
    tools.prefer("kubectl", answer(*start(lab), "apply", out=json.dumps(applied)))
    theirs = {"items": [{"metadata": {"namespace": "theirs", "name": "istio-ca-root-cert"}}]}
    with (
        cluster(lab, **bare(configmaps=theirs)),
        pytest.raises(LabError, match="failed to install manifests"),
    ):
        recipes.put_on(asked_for(lab), quiet)
    kept = holding.read(lab.state_dir, Record)
    assert kept is not None
    assert kept.istio == IstioMade(revision="", certified=("theirs",))
    # Whose it is stands on all that istioctl makes.
    assert json.loads((lab.state_dir / "istio.yaml").read_text())["metadata"]["name"] == "lab-1"


@pytest.mark.parametrize(
    ("there", "message"),
    [
        ({"istio_system": {"metadata": {"name": "istio-system"}}}, "the namespace istio-system"),
        ({"customresourcedefinitions": {"items": [{"metadata": {"name": CRDS[0]}}]}}, f"the kind {CRDS[0]}"),
    ],
)
def test_an_installation_that_would_change_what_is_there_is_refused(
    lab: Lab, tools: StandIns, there: dict[str, Any], message: str
) -> None:
    record(lab)
    with cluster(lab, **bare(**there)), pytest.raises(LabError, match=f"would change: {message}"):
        recipes.put_on(asked_for(lab), quiet)
    assert tools.calls() == []
    kept = holding.read(lab.state_dir, Record)
    assert kept is not None
    assert kept.istio is None


def removing(lab: Lab, tools: StandIns, *, used: str = "") -> None:
    """A cluster with an Istio of the lab's, as kubectl lists it; `used` are resources of its kinds."""
    tools.prefer(
        "kubectl",
        answer(*start(lab), "get", "customresourcedefinitions", out=f"customresourcedefinition.x/{CRDS[0]}\n"),
        answer(*start(lab), "get", "configmaps", out="default theirs"),
        answer(*start(lab), "get", CRDS[0], out=used),
    )


def test_an_istio_that_the_lab_installed_comes_off_after_the_samples(lab: Lab, tools: StandIns) -> None:
    record(lab, IstioMade(revision="", certified=("theirs",)))
    removing(lab, tools)
    recipes.take_off(lab, quiet)
    asked = [call[1:] if call[0] == "istioctl" else call[5:] for call in tools.calls()]
    mine, made = "mesh-lab/instance=lab-1", "install.operator.istio.io/owning-resource=lab-1"
    end = ["--ignore-not-found", "--timeout=180s"]
    assert asked[0] == ["delete", "namespaces", "--selector", mine, "--field-selector", "metadata.name=mesh-lab", *end]
    assert asked[1][:2] == ["uninstall", "--filename"]
    assert asked[2] == ["delete", "namespaces", "--selector", mine, *end]
    assert asked[3][2:4] == ["--selector", made]
    assert set(asked[3][1].split(",")) >= {"clusterroles", "validatingwebhookconfigurations"}
    assert asked[4][:4] == ["get", "customresourcedefinitions", "--selector", made]
    assert asked[6] == ["delete", "customresourcedefinition", CRDS[0], *end]
    # A namespace that had the roots of another mesh keeps them.
    certificates = [call for call in asked if call[:2] == ["delete", "configmap"]]
    assert [(call[2], call[4]) for call in certificates] == [
        ("istio-ca-root-cert", "default"),
        ("istio-ca-crl", "default"),
    ]
    kept = holding.read(lab.state_dir, Record)
    assert kept is not None
    assert kept.istio is None


def test_istioctl_is_never_told_to_remove_what_others_have_installed(lab: Lab, tools: StandIns) -> None:
    """`--purge` takes every Istio, and the kinds of resource with all resources of theirs."""
    for revision in ("", "canary"):
        record(lab, IstioMade(revision=revision))
        removing(lab, tools)
        recipes.take_off(lab, quiet)
        written = json.loads((lab.state_dir / "istio.yaml").read_text())
        assert (written["metadata"]["name"], written["spec"].get("revision", "")) == ("lab-1", revision)
    assert all("--purge" not in call for call in tools.calls("istioctl"))


def test_a_kind_of_resource_that_somebody_uses_stays(lab: Lab, tools: StandIns) -> None:
    record(lab, IstioMade(revision="canary"))
    removing(lab, tools, used="gateway.networking.istio.io/theirs\n")
    said: list[str] = []
    recipes.take_off(lab, said.append)
    assert said == [f"{CRDS[0]} has resources that the lab did not make, so it stays"]
    assert "kubectl delete customresourcedefinition" not in verbs(tools)


def test_an_istio_that_cannot_be_removed_stays_on_record_and_the_way_out_is_reported(lab: Lab, tools: StandIns) -> None:
    record(lab, IstioMade(revision=""))
    tools.prefer("istioctl", answer("uninstall", err=["Error: the server was unable to return a response\n"], code=1))
    with pytest.raises(LabError, match=r"may still be there\n(.*\n)*.*unable to return a response") as failure:
        recipes.take_off(lab, quiet)
    assert failure.value.hint == "Again: `mesh-lab down --cluster existing`"
    kept = holding.read(lab.state_dir, Record)
    assert kept is not None
    assert kept.istio is not None


def test_an_istio_that_was_found_stays(lab: Lab, tools: StandIns) -> None:
    record(lab)
    recipes.take_off(lab, quiet)
    assert tools.calls() == []


class Gateway(BaseHTTPRequestHandler):
    """Serves the page at the third request."""

    requested = 0

    def do_GET(self) -> None:
        Gateway.requested += 1
        self.send_response(200 if Gateway.requested > 2 else 503)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class' name
        """Say nothing."""


def test_the_gateway_is_asked_before_a_lab_is_said_to_be_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recipes, "_PAUSE_SECONDS", 0.01)
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")  # which a loopback address does not go through
    reported: list[str] = []
    with ThreadingHTTPServer(("127.0.0.1", 0), Gateway) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        port = server.server_address[1]
        recipes._await_gateway(port, time.monotonic() + 20, reported.append)
        server.shutdown()
        thread.join()
    assert Gateway.requested == 3
    (line,) = reported
    assert "HTTP Error 503" in line
    with pytest.raises(LabError, match="but the gateway does not serve"):
        recipes._await_gateway(port, time.monotonic() - 1, reported.append)
