"""The CustomResourceDefinitions that are made from the types."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from mesh_lab.controlplane.crds import definitions, render, structural
from mesh_lab.controlplane.istiokinds import KINDS

FILE = Path(__file__).parents[3] / "manifests" / "mesh" / "crds.yaml"


def schema(kind: str) -> dict[str, Any]:
    definition = next(each for each in definitions() if each["spec"]["names"]["kind"] == kind)
    return definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]


def walk(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for child in (*node.get("properties", {}).values(), node.get("items"), node.get("additionalProperties")):
        if isinstance(child, dict):
            yield from walk(child)


def test_the_file_is_what_the_types_say() -> None:
    assert FILE.read_text() == render(), "run: python -m mesh_lab.controlplane.crds > manifests/mesh/crds.yaml"


def test_the_file_is_plain_yaml_of_all_kinds() -> None:
    assert [each["spec"]["names"]["kind"] for each in yaml.safe_load_all(FILE.read_text())] == list(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_schemas_are_structural(kind: str) -> None:
    for node in walk(schema(kind)):
        assert node.keys().isdisjoint({"$ref", "anyOf", "oneOf", "$defs", "default"})
        assert node["type"] in ("object", "array", "string", "integer", "number", "boolean")
        assert not (node["type"] == "object" and "properties" in node and "additionalProperties" in node)


def test_limits_and_choices_are_kept() -> None:
    route = schema("VirtualService")["properties"]["http"]["items"]["properties"]
    assert route["route"]["items"]["properties"]["weight"]["minimum"] == 0
    assert route["timeout"]["pattern"].startswith("^([0-9]+")
    assert route["fault"]["properties"]["delay"]["properties"]["percentage"]["properties"]["value"]["maximum"] == 100
    assert schema("PeerAuthentication")["properties"]["mtls"]["properties"]["mode"]["enum"] == [
        "DISABLE",
        "PERMISSIVE",
        "STRICT",
        "UNSET",
    ]
    assert schema("DestinationRule")["required"] == ["host"]
    assert schema("PeerAuthentication")["properties"]["portLevelMtls"]["minProperties"] == 1


def test_names_and_versions_are_istios() -> None:
    definition = next(definitions())
    assert definition["metadata"]["name"] == "virtualservices.networking.istio.io"
    assert definition["spec"]["names"]["shortNames"] == ["vs"]
    assert [each["name"] for each in definition["spec"]["versions"]] == ["v1", "v1beta1", "v1alpha3"]
    assert [each["name"] for each in definition["spec"]["versions"] if each["storage"]] == ["v1"]
    assert all("status" in each["subresources"] for each in definition["spec"]["versions"])


def test_a_type_without_a_structural_form_is_an_error() -> None:
    with pytest.raises(ValueError, match="no structural schema"):
        structural({"anyOf": [{"type": "string"}, {"type": "integer"}]}, {})
