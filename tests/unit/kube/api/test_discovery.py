"""Discovery and OpenAPI: what a client may know of the server before it asks for anything."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh_lab.kube.api import openapi
from mesh_lab.kube.api.discovery import priority
from mesh_lab.kube.registry import Patch, PatchKind, Registry
from mesh_lab.kube.registry.kinds import RESOURCES
from mesh_lab.kube.resources import CRDS, Resource
from tests.unit.kube.api.conftest import Server

SCHEMA = {"openAPIV3Schema": {"type": "object", "description": "Another widget."}}
AGGREGATED = {"Accept": "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"}


def crd() -> dict[str, Any]:
    schema = {
        "type": "object",
        "description": "A widget of the tests.",
        "properties": {
            "spec": {"type": "object", "properties": {"size": {"type": "integer", "description": "How large it is."}}}
        },
    }
    columns = [{"name": "Size", "type": "integer", "jsonPath": ".spec.size"}]
    versions = [
        {"name": name, "served": True, "storage": name == "v1", "schema": {"openAPIV3Schema": schema}}
        | {"additionalPrinterColumns": columns}
        for name in ("v1alpha3", "v1", "v1beta1")
    ]
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.lab.test"},
        "spec": {
            "group": "lab.test",
            "scope": "Namespaced",
            "names": {"plural": "widgets", "kind": "Widget", "singular": "widget", "shortNames": ["wi"]},
            "versions": versions,
        },
    }


async def test_aggregated_discovery_names_every_kind(server: Server) -> None:
    found = set()
    for path in ("/api", "/apis"):
        async with server.client.get(server.url + path, headers=AGGREGATED) as response:
            assert "as=APIGroupDiscoveryList" in response.headers["Content-Type"]
            for group in (await response.json(content_type=None))["items"]:
                for version in group["versions"]:
                    for resource in version["resources"]:
                        found.add((group["metadata"].get("name", ""), version["version"], resource["resource"]))
    assert found == {(r.group, r.version, r.plural) for r in RESOURCES}


async def test_legacy_discovery_agrees_with_aggregated_discovery(server: Server) -> None:
    groups = (await server.json("GET", "/apis"))["groups"]
    versions = [entry["groupVersion"] for group in groups for entry in group["versions"]]
    found = set()
    for path in ("/api/v1", *(f"/apis/{version}" for version in versions)):
        for entry in (await server.json("GET", path))["resources"]:
            if "/" not in entry["name"]:
                found.add((path, entry["name"], entry["kind"], entry["namespaced"]))
    assert found == {
        (f"/apis/{r.api_version}" if r.group else f"/api/{r.version}", r.plural, r.kind, r.namespaced)
        for r in RESOURCES
    }


async def test_the_root_lists_the_paths(server: Server) -> None:
    paths = (await server.json("GET", "/"))["paths"]
    assert {"/api", "/api/v1", "/apis", "/apis/apps", "/apis/apps/v1", "/openapi/v3", "/version"} <= set(paths)
    for path in paths:
        async with server.client.get(server.url + path) as response:
            assert response.status == 200, path


async def test_subresources_are_listed_with_their_kinds(server: Server) -> None:
    entries = {entry["name"]: entry for entry in (await server.json("GET", "/api/v1"))["resources"]}
    assert (entries["pods/exec"]["kind"], entries["pods/exec"]["verbs"]) == ("PodExecOptions", ["create", "get"])
    assert (entries["pods/eviction"]["group"], entries["pods/eviction"]["kind"]) == ("policy", "Eviction")
    assert entries["serviceaccounts/token"]["kind"] == "TokenRequest"


async def test_a_custom_resource_is_discovered_with_its_best_version_first(server: Server) -> None:
    before = await server.json("GET", "/openapi/v3")
    await server.registry.create(CRDS, crd())
    group = await server.json("GET", "/apis/lab.test")
    assert [entry["version"] for entry in group["versions"]] == ["v1", "v1beta1", "v1alpha3"]
    assert group["preferredVersion"]["version"] == "v1"
    after = await server.json("GET", "/openapi/v3")
    assert set(after["paths"]) - set(before["paths"]) == {f"apis/lab.test/{v}" for v in ("v1", "v1beta1", "v1alpha3")}
    document = await server.json("GET", after["paths"]["apis/lab.test/v1"]["serverRelativeURL"])
    schema = document["components"]["schemas"]["test.lab.v1.Widget"]
    assert schema["x-kubernetes-group-version-kind"] == [{"group": "lab.test", "version": "v1", "kind": "Widget"}]
    assert schema["properties"]["spec"]["properties"]["size"]["description"] == "How large it is."


async def test_each_reference_of_the_openapi_document_can_be_resolved(server: Server) -> None:
    index = await server.json("GET", "/openapi/v3")
    for entry in index["paths"].values():
        document = await server.json("GET", entry["serverRelativeURL"])
        known = set(document["components"]["schemas"])
        assert references(document) <= {f"#/components/schemas/{name}" for name in known}


def references(value: Any) -> set[str]:
    if isinstance(value, dict):
        own = {value["$ref"]} if isinstance(value.get("$ref"), str) else set()
        return own.union(*map(references, value.values()))
    if isinstance(value, list):
        return set().union(*map(references, value))
    return set()


async def test_each_openapi_operation_has_its_action_and_kind(server: Server) -> None:
    document = await server.json("GET", "/openapi/v3/apis/apps/v1")
    post = document["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments"]["post"]
    assert post["x-kubernetes-action"] == "post"
    assert post["x-kubernetes-group-version-kind"] == {"group": "apps", "version": "v1", "kind": "Deployment"}
    assert "fieldValidation" in [parameter["name"] for parameter in post["parameters"]]
    one = document["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"]
    assert set(one) == {"parameters", "get", "put", "patch", "delete"}
    assert "application/apply-patch+yaml" in one["patch"]["requestBody"]["content"]


async def test_a_document_is_packed_for_those_who_take_it_so(server: Server) -> None:
    async def ask(accepted: str) -> tuple[str, str, bytes]:
        headers = {"Accept-Encoding": accepted}
        url = f"{server.url}/openapi/v3/apis/apps/v1"
        async with server.client.get(url, headers=headers, auto_decompress=False) as answer:
            return answer.headers.get("Content-Encoding", ""), answer.headers["ETag"], await answer.read()

    packed, plain = await ask("gzip"), await ask("identity")
    assert (packed[0], plain[0]) == ("gzip", "")
    assert packed[1] == plain[1] == f'"{hashlib.sha512(plain[2]).hexdigest().upper()}"'
    assert gzip.decompress(packed[2]) == plain[2]
    assert len(packed[2]) < len(plain[2]) / 4


async def test_a_document_keeps_its_hash_until_it_changes(server: Server) -> None:
    first, second = [await server.json("GET", "/openapi/v3") for _ in range(2)]
    assert first == second
    await server.registry.create(CRDS, crd())
    third = await server.json("GET", "/openapi/v3")
    assert first["paths"]["apis/apps/v1"] == third["paths"]["apis/apps/v1"]


async def test_a_new_definition_has_only_its_own_documents_made(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    await server.json("GET", "/openapi/v3")
    made: list[str] = []
    make = openapi._document

    def noted(registry: Registry, resources: Sequence[Resource], version: str) -> dict[str, Any]:
        made.append(resources[0].api_version)
        return make(registry, resources, version)

    monkeypatch.setattr(openapi, "_document", noted)
    await server.registry.create(CRDS, crd())
    await server.json("GET", "/openapi/v3")
    assert sorted(made) == ["lab.test/v1", "lab.test/v1alpha3", "lab.test/v1beta1"]
    made.clear()
    changed = {"spec": {"versions": [{**each, "schema": SCHEMA} for each in crd()["spec"]["versions"]]}}
    await server.registry.patch(CRDS, crd()["metadata"]["name"], "", Patch(PatchKind.MERGE, changed))
    await server.json("GET", "/openapi/v3")
    assert sorted(made) == ["lab.test/v1", "lab.test/v1alpha3", "lab.test/v1beta1"]


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        ("v2", "v1"),
        ("v1", "v1beta2"),
        ("v1beta2", "v1beta1"),
        ("v1beta1", "v2alpha1"),
        ("v10", "v9"),
        ("v1alpha1", "x"),
    ],
)
def test_versions_are_preferred_as_kubernetes_does(better: str, worse: str) -> None:
    assert priority(better) > priority(worse)


@given(st.text(max_size=12))
def test_any_version_can_be_ordered(version: str) -> None:
    assert len(priority(version)) == 3
