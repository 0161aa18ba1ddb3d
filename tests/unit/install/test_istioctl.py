"""Istio by istioctl, with a stand-in that speaks like 1.30: what it is told, how stalls and failures are reported."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from mesh_lab import programs
from mesh_lab.client.api import Api
from mesh_lab.errors import LabError
from mesh_lab.install.istioctl import Istioctl, merged, overlay
from mesh_lab.settings import Istio, Lab, Settings, load
from tests.unit.client.serving import serve
from tests.unit.standins import StandIns, answer

INSTALLED = [
    "- Processing resources for Istio core.\n",
    "✔ Istio core installed ⛵️\n",
    "- Processing resources for Istiod.\n",
    "- Processing resources for Istiod. Waiting for Deployment/istio-system/istiod\n",
    "✔ Istiod installed 🧠\n",
    "- Processing resources for Ingress gateways.\n",
    "✔ Ingress gateways installed 🛬\n",
    "✔ Installation complete\n",
]
STALLED = [
    *INSTALLED[:4],
    (
        "✘ Istiod encountered an error: failed to wait for resource: resources not ready after 10m0s: "
        "context deadline exceeded\n"
    ),
    "  Deployment/istio-system/istiod (container failed to start: ImagePullBackOff)\n",
    "Error: failed to install manifests: errors occurred during operation\n",
]


@pytest.fixture
def tools(tmp_path: Path) -> StandIns:
    made = StandIns(tmp_path / "bin")
    made.add(
        "istioctl",
        answer("install", err=INSTALLED),
        answer("uninstall", err=["✔ Uninstall complete\n"]),
        answer("version", out="client version: 1.30.3\n"),
    )
    return made


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    made = Lab(Settings(cluster="kind"), tmp_path)
    made.state_dir.mkdir()
    return made


def stuck(path: str) -> Any:
    """A cluster in which istiod's image cannot be pulled."""
    if "/pods" in path:
        waiting = {"reason": "ImagePullBackOff", "message": 'Back-off pulling image "docker.io/istio/pilot:1.30.3"'}
        status = {"phase": "Pending", "containerStatuses": [{"name": "discovery", "state": {"waiting": waiting}}]}
        pod = {"metadata": {"name": "istiod-1"}, "spec": {"containers": [{"name": "discovery"}]}, "status": status}
        return {"items": [pod]}
    event = {
        "type": "Warning",
        "reason": "Failed",
        "message": "no route to host",
        "involvedObject": {"name": "istiod-1"},
    }
    return {"items": [event]}


def install(lab: Lab, tools: StandIns, tmp_path: Path, *, gateway: bool = True) -> list[str]:
    said: list[str] = []
    with serve(tmp_path, stuck) as (_, kubeconfig), Api(kubeconfig) as api:
        Istioctl(lab, tools.environ).install(api, said.append, owner="lab-1", gateway=gateway)
    return said


def test_istioctls_own_words_are_the_progress(lab: Lab, tools: StandIns, tmp_path: Path) -> None:
    said = install(lab, tools, tmp_path)
    assert said[-1] == "✔ Installation complete"
    _, call = tools.calls("istioctl")
    assert call[1:3] == ["install", "--skip-confirmation"]
    assert call[call.index("--kubeconfig") + 1] == str(lab.kubeconfig)
    assert call[call.index("--readiness-timeout") + 1] == "600s"
    written = json.loads(Path(call[call.index("--filename") + 1]).read_text())
    assert written == overlay(Istio(), owner="lab-1", gateway=True)


def test_profile_revision_and_values_come_from_the_settings() -> None:
    istio = Istio(profile="minimal", revision="canary", values={"pilot": {"env": {"A": "1"}}, "meshConfig": {"x": 1}})
    spec = overlay(istio, owner="lab-1", gateway=False)["spec"]
    assert (spec["profile"], spec["revision"]) == ("minimal", "canary")
    assert spec["values"]["pilot"] == {"env": {"PILOT_ANALYSIS_INTERVAL": "1s", "A": "1"}}
    assert spec["values"]["meshConfig"] == {"accessLogFile": "/dev/stdout", "x": 1}
    assert spec["components"]["ingressGateways"] == [{"name": "istio-ingressgateway", "enabled": False}]


def test_the_gateway_is_on_the_ports_that_kind_maps_to_the_hosts() -> None:
    (gateway,) = overlay(Istio(), owner="lab-1", gateway=True)["spec"]["components"]["ingressGateways"]
    service = gateway["k8s"]["service"]
    assert service["type"] == "NodePort"
    assert {p["port"]: (p["targetPort"], p.get("nodePort")) for p in service["ports"]} == {
        15021: (15021, None),
        80: (8080, 30080),
        443: (8443, 30443),
    }


def test_on_one_machine_little_is_asked_for_unless_the_settings_ask_for_more() -> None:
    istio = Istio(values={"global": {"proxy": {"resources": {"requests": {"cpu": "1"}}}}})
    spec = overlay(istio, owner="lab-1", gateway=True)["spec"]
    assert spec["values"]["global"]["proxy"]["resources"]["requests"] == {"cpu": "1", "memory": "40Mi"}
    assert spec["values"]["pilot"]["resources"]["requests"]["cpu"] == "10m"
    assert spec["components"]["ingressGateways"][0]["k8s"]["resources"]["requests"]["cpu"] == "10m"
    guest = overlay(Istio(), owner="lab-1", gateway=False)["spec"]["values"]
    assert "resources" not in guest["pilot"]
    assert "proxy" not in guest["global"]


def test_trees_are_merged_and_the_later_is_right() -> None:
    assert merged({"a": {"b": 1, "c": 2}, "d": 3}, {"a": {"b": 9}, "d": {"e": 4}}) == {
        "a": {"b": 9, "c": 2},
        "d": {"e": 4},
    }


def test_a_failure_is_reported_with_the_pods_and_their_events(lab: Lab, tools: StandIns, tmp_path: Path) -> None:
    tools.prefer("istioctl", answer("install", err=STALLED, code=1))
    with pytest.raises(LabError, match="resources not ready after 10m0s") as failure:
        install(lab, tools, tmp_path)
    assert 'Back-off pulling image "docker.io/istio/pilot:1.30.3"' in failure.value.message
    assert "Failed: no route to host" in failure.value.message
    assert "[kind.registry_mirrors]" in failure.value.hint


def test_a_stall_is_reported_while_it_lasts_and_ended_at_the_limit(
    lab: Lab, tools: StandIns, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(programs, "_SILENCE_SECONDS", 0.3)
    monkeypatch.setattr("mesh_lab.install.istioctl._MARGIN_SECONDS", 1.0)
    lab = Lab(msgspec.structs.replace(lab.settings, istio=Istio(install_timeout=1)), lab.directory)
    tools.prefer("istioctl", answer("install", err=INSTALLED[:4], hangs=True))
    said: list[str] = []
    with serve(tmp_path, stuck) as (_, kubeconfig), Api(kubeconfig) as api, pytest.raises(LabError) as failure:
        Istioctl(lab, tools.environ).install(api, said.append, owner="lab-1", gateway=False)
    assert "did not end within 2 s" in failure.value.message
    stalls = [line for line in said if line.startswith("still waiting:")]
    # The same news is reported once.
    assert len(stalls) == 1
    assert "ImagePullBackOff" in stalls[0]


def test_what_is_removed_is_what_its_owner_has_installed(lab: Lab, tools: StandIns) -> None:
    Istioctl(lab, tools.environ).uninstall(lambda _: None, owner="lab-1", revision="canary")
    (call,) = tools.calls("istioctl")
    assert call[1:3] == ["uninstall", "--filename"]
    written = json.loads(Path(call[3]).read_text())
    assert written == overlay(Istio(revision="canary"), owner="lab-1", gateway=False)
    assert written["metadata"] == {"namespace": "istio-system", "name": "lab-1"}


def test_a_missing_istioctl_is_reported_with_how_to_get_it(lab: Lab, tools: StandIns, tmp_path: Path) -> None:
    (tools.directory / "istioctl").unlink()
    with pytest.raises(LabError, match="istioctl is not installed: it installs Istio") as failure:
        install(lab, tools, tmp_path)
    assert "mesh-lab tools install" in failure.value.hint


def test_an_istio_that_is_too_old_is_refused(tmp_path: Path) -> None:
    (tmp_path / "lab.toml").write_text('[istio]\nversion = "1.27.5"\n')
    with pytest.raises(LabError, match=r"istio.version: 1\.27\.5 is too old; the lab needs 1\.28 or later"):
        load(tmp_path, {})


def test_the_version_that_is_installed_is_istioctls_own(lab: Lab, tools: StandIns, tmp_path: Path) -> None:
    tools.prefer("istioctl", answer("version", out="1.29.1\n"))
    assert install(lab, tools, tmp_path)[0] == "installing Istio 1.29.1"


def test_an_istioctl_that_is_too_old_installs_nothing(lab: Lab, tools: StandIns, tmp_path: Path) -> None:
    tools.prefer("istioctl", answer("version", out="client version: 1.20.0\n"))
    with pytest.raises(LabError, match=r"istioctl 1\.20\.0 is too old; the lab needs 1\.28 or later") as failure:
        install(lab, tools, tmp_path)
    assert "mesh-lab tools install" in failure.value.hint
    assert [call[1] for call in tools.calls("istioctl")] == ["version"]


def test_a_cluster_of_both_families_has_istio_for_both() -> None:
    values = overlay(Istio(), owner="lab-1", gateway=True, dual=True)["spec"]["values"]
    assert values["pilot"]["env"]["ISTIO_DUAL_STACK"] == "true"
    assert values["meshConfig"]["defaultConfig"]["proxyMetadata"] == {"ISTIO_DUAL_STACK": "true"}
    assert values["pilot"]["resources"], "beside what it has in any case"
    assert "ISTIO_DUAL_STACK" not in str(overlay(Istio(), owner="lab-1", gateway=True))
