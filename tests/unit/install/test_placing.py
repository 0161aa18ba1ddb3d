"""The lab's manifests as a guest's: everything in one namespace, labelled, with a gateway and images of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from mesh_lab.errors import LabError
from mesh_lab.install.bringup import SAMPLES
from mesh_lab.install.placing import Place, namespace, placed, read

MANIFESTS = Path(__file__).parents[3] / "manifests"
PLACE = Place("guest", {"mesh-lab/instance": "lab-1"}, "lab-1", "registry.example.com/team/")
FILES = [MANIFESTS / name for name in ("mesh/gateway.yaml", *SAMPLES)]


def test_everything_is_in_the_namespace_and_carries_the_label() -> None:
    objects = placed(read(FILES), PLACE)
    assert len(objects) > 20
    assert {obj["metadata"]["namespace"] for obj in objects} == {"guest"}
    assert {obj["metadata"]["labels"]["mesh-lab/instance"] for obj in objects} == {"lab-1"}
    assert "Namespace" not in {obj["kind"] for obj in objects}


def test_the_gateway_is_the_labs_own_everywhere_it_is_named() -> None:
    objects = placed(read(FILES), PLACE)
    by_kind = {(obj["kind"], obj["metadata"]["name"]): obj for obj in objects}
    deployment = by_kind["Deployment", "istio-ingressgateway"]
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert labels["istio"] == "lab-1"
    assert deployment["spec"]["selector"]["matchLabels"].items() <= labels.items()
    assert by_kind["Service", "istio-ingressgateway"]["spec"]["selector"].items() <= labels.items()
    assert by_kind["Gateway", "bookinfo-gateway"]["spec"]["selector"] == {"istio": "lab-1"}


def test_only_the_labs_own_images_come_from_the_given_registry() -> None:
    images = {
        container["image"]
        for obj in placed(read(FILES), PLACE)
        if obj["kind"] == "Deployment"
        for container in obj["spec"]["template"]["spec"]["containers"]
    }
    assert "registry.example.com/team/mesh-lab/apps" in images
    assert "docker.io/istio/examples-bookinfo-ratings-v1:1.20.3" in images
    assert "auto" in images


def test_what_is_read_stays_as_it_was() -> None:
    objects = read(FILES)
    placed(objects, PLACE)
    assert objects == read(FILES)


def test_the_namespace_asks_for_sidecars_as_its_control_plane_wants_it() -> None:
    made = namespace(PLACE, ("istio.io/rev", "canary"))
    assert made["metadata"]["labels"] == {"mesh-lab/instance": "lab-1", "istio.io/rev": "canary"}


def test_a_broken_manifest_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text("a: [")
    with pytest.raises(LabError, match=r"x\.yaml is not YAML"):
        read([tmp_path / "x.yaml"])
    with pytest.raises(LabError, match=r"cannot read .*y\.yaml"):
        read([tmp_path / "y.yaml"])
