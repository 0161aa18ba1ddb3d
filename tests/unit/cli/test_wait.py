"""What `mesh-lab wait` waits for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mesh_lab.cli import wait
from mesh_lab.client.connection import ApiError
from mesh_lab.client.meshstatus import ConfigState, OwnStatus, ProxyState
from mesh_lab.client.objects import Reference
from mesh_lab.errors import LabError
from mesh_lab.meshkinds import KINDS, named

LIST = """
apiVersion: v1
kind: List
items:
- {apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: a}}
- {apiVersion: v1, kind: Service, metadata: {name: b}}
---
{apiVersion: security.istio.io/v1, kind: PeerAuthentication, metadata: {name: c, namespace: d}}
---
{apiVersion: gateway.networking.k8s.io/v1beta1, kind: HTTPRoute, metadata: {name: e}}
"""


def test_a_word_names_the_same_kind_as_with_kubectl() -> None:
    for kind in KINDS:
        assert all(named(word) is kind for word in kind.words[-2:] if kind.group)
    found = named("gateway")
    assert found is not None
    assert found.group == "networking.istio.io", "Istio's, as before the other's CRDs were there"
    assert named("pods") is None


def test_a_file_may_hold_a_list_and_what_is_skipped_is_named(tmp_path: Path) -> None:
    file = tmp_path / "m.yaml"
    file.write_text(LIST)
    skipped: list[str] = []
    assert [str(each) for each in wait._in_file(file, "n", skipped)] == [
        "VirtualService n/a",
        "PeerAuthentication d/c",
        "HTTPRoute n/e",
    ]
    assert skipped == ["Service b"]


def test_what_the_labs_control_plane_never_looks_at_is_not_waited_for() -> None:
    kind = named("wasmplugin")
    assert kind is not None
    with pytest.raises(LabError, match=r"WasmPlugin n/x: not acted on: wasmplugins\.extensions\.istio\.io have no eff"):
        wait._refuse_without_effect(wait.Wanted(kind, "n", "x"), OwnStatus(None))  # type: ignore[arg-type]


def test_of_config_maps_the_mesh_reads_two_where_they_are() -> None:
    found = wait._parse("configmap/istio", "")
    assert found.reference == Reference("v1", "ConfigMap", "istio", "istio-system")
    with pytest.raises(LabError, match="reads only configmap/istio and configmap/istio-sidecar-injector"):
        wait._parse("configmap/other", "")
    assert wait._parse("cm/istio-sidecar-injector", "").namespace == "istio-system"
    assert wait._parse("vs/reviews", "").namespace == "default"


def test_the_injectors_values_are_for_pods_to_come() -> None:
    wanted = wait._parse("configmap/istio-sidecar-injector", "")
    assert "pods are injected by from now on" in wait._live(wanted, ConfigState(found=True, live=True), 0.1)


@pytest.mark.parametrize(("names", "words"), [("a", "on 1 proxy after"), ("ab", "on 2 proxies after")])
def test_proxies_are_counted_in_words_that_fit(names: str, words: str) -> None:
    proxies = tuple(ProxyState(name, "acknowledged") for name in names)
    state = ConfigState(found=True, live=True, proxies=proxies)
    assert words in wait._live(wait._parse("vs/reviews", ""), state, 0.1)


class Api:
    """A cluster with one VirtualService, version 7."""

    def __enter__(self) -> Api:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is open."""

    def served(self, group: str, kind: str, versions: tuple[str, ...]) -> str:
        return f"{group}/{versions[-1]}"

    def get(self, ref: Reference) -> Any:
        assert ref.api_version in ("networking.istio.io/v1alpha3", "gateway.networking.k8s.io/v1alpha2")
        if ref.name != "reviews":
            raise ApiError(404, f"{ref.name} not found")
        return {"metadata": {"resourceVersion": "7"}}


class Status:
    """A control plane on which all is live at once."""

    refused = ""

    def config(self, reference: Reference, version: str = "", *, wait: float = 0.0) -> ConfigState:
        return ConfigState(found=True, live=True, resource_version=version, proxies=(ProxyState("a", "acknowledged"),))


def test_json_tells_what_came_of_each_and_the_exit_code_stays(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(wait, "connect", lambda _: Api())
    monkeypatch.setattr(wait, "status_of", lambda _: Status())
    lab: Any = None
    wait.wait(lab, ["vs/reviews"], [], namespace="", timeout=5, output="json")
    document = json.loads(capsys.readouterr().out)
    assert (document["condition"], document["succeeded"]) == ("live", True)
    assert document["resources"][0] | {"seconds": 0} == {
        "kind": "VirtualService",
        "namespace": "default",
        "name": "reviews",
        "outcome": "live",
        "seconds": 0,
        "proxies": 1,
        "findings": [],
        "message": "",
    }
    with pytest.raises(LabError, match="VirtualService default/none: none not found") as refused:
        wait.wait(lab, ["vs/none", "vs/reviews"], [], namespace="", timeout=5, output="json")
    document = json.loads(capsys.readouterr().out)
    assert [(one["name"], one["outcome"]) for one in document["resources"]] == [("none", "failed"), ("reviews", "live")]
    assert not document["succeeded"]
    assert refused.value.hint == "`kubectl get virtualservices -A` lists those that are."


def test_a_route_of_an_older_release_of_the_definitions_is_waited_for_by_its_own_version(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(wait, "connect", lambda _: Api())
    monkeypatch.setattr(wait, "status_of", lambda _: Status())
    lab: Any = None
    wait.wait(lab, ["tcproute/reviews"], [], namespace="", timeout=5, output="json")
    assert json.loads(capsys.readouterr().out)["succeeded"]
