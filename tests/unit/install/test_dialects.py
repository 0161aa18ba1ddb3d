"""What a mesh is installed with for its dialects: their definitions, and istiod told of them."""

from __future__ import annotations

import json
from pathlib import Path

from mesh_lab.install.bringup import _mesh, _speaking
from mesh_lab.install.dialects import control_plane

MANIFESTS = Path(__file__).parents[3] / "manifests"


def test_istiod_is_told_by_a_variable(tmp_path: Path) -> None:
    file = control_plane(MANIFESTS / "mesh" / "istiod.yaml", tmp_path, ("istio", "consul"))
    items = json.loads(file.read_text())["items"]
    (deployment,) = (each for each in items if each["kind"] == "Deployment")
    env = deployment["spec"]["template"]["spec"]["containers"][0]["env"]
    assert {"name": "DIALECTS", "value": "istio,consul"} in env
    assert {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}} in env


def test_by_default_the_manifests_are_as_they_are(tmp_path: Path) -> None:
    files = _mesh(MANIFESTS, {}, tmp_path, "default")
    assert _speaking(files, MANIFESTS, tmp_path, ("gateway", "istio")) == files


def test_definitions_come_first(tmp_path: Path) -> None:
    files = _mesh(MANIFESTS, {}, tmp_path, "default")
    made = _speaking(files, MANIFESTS, tmp_path, ("istio", "gateway", "consul"))
    assert made[0] == MANIFESTS / "dialects" / "consul.yaml"
    assert [file.stem for file in made[1:]] == [file.stem for file in files]
    assert tmp_path / "istiod.json" in made
