"""Custom resources: from their definition to their end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mesh_lab.kube import resources as kinds
from mesh_lab.kube.changes import Object
from mesh_lab.kube.errors import ApiError
from mesh_lab.kube.registry import ADDED, Patch, PatchKind, Registry
from mesh_lab.kube.registry.custom.definitions import CLEANUP, is_established, version_priority
from mesh_lab.kube.resources import Resource
from mesh_lab.kube.store import Store
from tests.unit.kube.registry.manifests import crd


def route(name: str = "one", **spec: Any) -> Object:
    return {"metadata": {"name": name, "namespace": "default"}, "spec": {"host": "a.b", **spec}}


async def defined(registry: Registry) -> Resource:
    await registry.create(kinds.CRDS, crd())
    found = registry.resources.by_path("example.com", "v1", "routes")
    assert found is not None
    return found


async def test_a_definition_is_established_in_the_write_that_makes_it(registry: Registry) -> None:
    generation = registry.resources.generation
    stored = await registry.create(kinds.CRDS, crd())
    assert is_established(stored)
    assert stored["metadata"]["finalizers"] == [CLEANUP]
    status = stored["status"]
    assert {c["type"]: c["status"] for c in status["conditions"]} == {"NamesAccepted": "True", "Established": "True"}
    assert status["storedVersions"] == ["v1"]
    assert status["acceptedNames"] == {
        "plural": "routes",
        "singular": "route",
        "kind": "Route",
        "listKind": "RouteList",
        "shortNames": ["rt"],
        "categories": ["mesh"],
    }
    assert registry.resources.generation > generation
    served = [r for r in registry.resources.all() if r.group == "example.com"]
    assert [(r.version, r.kind, r.short, r.categories, r.singular) for r in served] == [
        ("v1", "Route", ("rt",), ("mesh",), "route"),
        ("v1beta1", "Route", ("rt",), ("mesh",), "route"),
    ]
    assert registry.resources.get("routes.example.com") == served[0]
    assert registry.resources.by_kind("example.com/v1beta1", "Route") == served[1]
    assert served[0].subresources == {"status", "scale"}
    about = registry.resources.served(served[0])
    assert about is not None
    assert [column.path for column in about.columns] == [".spec.host"]


async def test_objects_are_stored_in_one_version_and_answered_in_each(registry: Registry) -> None:
    v1 = await defined(registry)
    beta = registry.resources.by_path("example.com", "v1beta1", "routes")
    assert beta is not None
    made = await registry.create(beta, route())
    assert made["apiVersion"] == "example.com/v1beta1"
    assert registry.get(v1, "one", "default")["apiVersion"] == "example.com/v1"
    assert registry.list(beta)[0]["apiVersion"] == "example.com/v1beta1"
    assert registry.store.objects("routes.example.com")[0]["apiVersion"] == "example.com/v1"
    watch = registry.watch(beta)
    event = await anext(watch)
    assert (event.type, event.object["apiVersion"]) == (ADDED, "example.com/v1beta1")
    changed = await registry.patch(beta, "one", "default", Patch(PatchKind.MERGE, {"spec": {"weight": 1}}))
    assert changed["apiVersion"] == "example.com/v1beta1"
    assert registry.get(v1, "one", "default")["spec"]["weight"] == 1


async def test_a_custom_object_is_pruned_defaulted_and_checked(registry: Registry) -> None:
    resource = await defined(registry)
    stored = await registry.create(resource, {**route(), "status": {"made": "up"}})
    assert stored["spec"] == {"host": "a.b", "weight": 100, "mode": "SIMPLE"}
    assert "status" not in stored
    with pytest.raises(ApiError, match=r'unknown field "spec\.hots"') as caught:
        await registry.create(resource, route("two", hots="x"))
    assert caught.value.code == 400
    with pytest.raises(ApiError) as caught:
        await registry.create(resource, route("two", weight="x"))
    assert (caught.value.code, caught.value.causes[0].field) == (422, "spec.weight")
    with pytest.raises(ApiError, match=r'unknown field "metadata\.lables"'):
        await registry.create(
            resource, {**route("two"), "metadata": {"name": "two", "namespace": "default", "lables": {}}}
        )
    with pytest.raises(ApiError, match="cannot unmarshal string into Go struct field"):
        await registry.create(
            resource, {**route("two"), "metadata": {"name": "two", "labels": "x"}}, namespace="default"
        )


async def test_status_and_generation_follow_the_subresource(registry: Registry) -> None:
    resource = await defined(registry)
    await registry.create(resource, route())
    patch = Patch(PatchKind.MERGE, {"status": {"weight": 3}, "spec": {"weight": 3}})
    stored = await registry.patch(resource, "one", "default", patch, subresource="status")
    assert (stored["status"], stored["spec"]["weight"], stored["metadata"]["generation"]) == ({"weight": 3}, 100, 1)
    stored = await registry.patch(resource, "one", "default", patch)
    assert (stored["spec"]["weight"], stored["metadata"]["generation"]) == (3, 2)


async def test_objects_are_selected_by_the_fields_of_their_definition(registry: Registry) -> None:
    resource = await defined(registry)
    await registry.create(resource, route("one"))
    await registry.create(resource, route("two", host="c.d"))
    assert [o["metadata"]["name"] for o in registry.list(resource, fields="spec.host=c.d")] == ["two"]
    with pytest.raises(ApiError, match=r"field label not supported: spec\.mode"):
        registry.list(resource, fields="spec.mode=SIMPLE")


@pytest.mark.parametrize(
    ("place", "field"),
    [
        ({"items": {"type": "object", "properties": "x"}}, "items.properties"),
        ({"items": {"type": "object", "properties": {"a": 1}}}, "items.properties.a"),
        ({"items": [{"type": 1}]}, "items[0].type"),
        ({"items": 5}, "items"),
        ({"type": "object", "additionalProperties": {"type": []}}, "additionalProperties.type"),
        ({"type": "object", "additionalProperties": {"typo": "x"}}, "additionalProperties.typo"),
    ],
)
async def test_schemas_within_schemas_are_held_to_theirs(registry: Registry, place: Object, field: str) -> None:
    wrong = crd()
    schema = wrong["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    schema["properties"]["spec"]["properties"]["list"] = {"type": "array", **place}
    with pytest.raises(ApiError) as caught:
        await registry.create(kinds.CRDS, wrong)
    where = "spec.versions[0].schema.openAPIV3Schema.properties.spec.properties.list"
    assert (caught.value.code, caught.value.causes[0].field) == (400, f"{where}.{field}")


def latest(registry: Registry, definition: Object) -> Object:
    """The definition as a change of the present one, whose version a replacement has to name."""
    present = registry.get(kinds.CRDS, definition["metadata"]["name"])["metadata"]
    return {**definition, "metadata": {**definition["metadata"], "resourceVersion": present["resourceVersion"]}}


async def test_a_changed_schema_holds_from_then_on(registry: Registry) -> None:
    resource = await defined(registry)
    changed = crd()
    for version in changed["spec"]["versions"]:
        version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["fresh"] = {"type": "string"}
    await registry.update(kinds.CRDS, latest(registry, changed))
    stored = await registry.create(resource, route(fresh="x"))
    assert stored["spec"]["fresh"] == "x"


async def test_a_version_can_stop_being_served_and_stored(registry: Registry) -> None:
    resource = await defined(registry)
    await registry.create(resource, route())
    changed = crd()
    beta, v1 = changed["spec"]["versions"][1], changed["spec"]["versions"][0]
    v1["storage"], beta["storage"] = False, True
    stored = await registry.update(kinds.CRDS, latest(registry, changed))
    assert stored["status"]["storedVersions"] == ["v1", "v1beta1"]
    await registry.patch(resource, "one", "default", Patch(PatchKind.MERGE, {"spec": {"weight": 2}}))
    assert registry.store.objects("routes.example.com")[0]["apiVersion"] == "example.com/v1beta1"
    v1["served"] = False
    await registry.update(kinds.CRDS, latest(registry, changed))
    assert registry.resources.by_path("example.com", "v1", "routes") is None
    changed["spec"]["versions"] = [beta]
    with pytest.raises(ApiError, match=r"missing from spec\.versions"):
        await registry.update(kinds.CRDS, latest(registry, changed))


async def test_names_of_another_definition_are_not_accepted(registry: Registry) -> None:
    await defined(registry)
    second = crd()
    second["metadata"]["name"] = "ways.example.com"
    second["spec"]["names"] = {"plural": "ways", "kind": "Way", "shortNames": ["rt"]}
    stored = await registry.create(kinds.CRDS, second)
    conditions = {c["type"]: (c["status"], c["reason"], c["message"]) for c in stored["status"]["conditions"]}
    assert conditions["NamesAccepted"] == ("False", "NameConflict", 'shortNames: "rt" is already in use')
    assert conditions["Established"][0] == "False"
    assert registry.resources.by_path("example.com", "v1", "ways") is None


async def test_a_definition_takes_its_objects_along(registry: Registry) -> None:
    resource = await defined(registry)
    for index in range(3):
        await registry.create(resource, route(f"r{index}"))
    await registry.delete(kinds.CRDS, "routes.example.com")
    assert registry.find(kinds.CRDS, "routes.example.com") is None
    assert registry.resources.get("routes.example.com") is None
    assert registry.store.count("routes.example.com") == 0
    # And it may come back.
    assert registry.list(await defined(registry)) == []


async def test_a_definition_waits_for_objects_that_wait(registry: Registry) -> None:
    resource = await defined(registry)
    obj = route()
    obj["metadata"]["finalizers"] = ["example.com/hold"]
    await registry.create(resource, obj)
    waiting = await registry.delete(kinds.CRDS, "routes.example.com")
    assert waiting["metadata"]["deletionTimestamp"]
    assert "deletionTimestamp" in registry.get(resource, "one", "default")["metadata"]
    with pytest.raises(ApiError, match="terminating") as caught:
        await registry.create(resource, route("two"))
    assert caught.value.code == 405
    await registry.patch(resource, "one", "default", Patch(PatchKind.MERGE, {"metadata": {"finalizers": None}}))
    assert registry.find(kinds.CRDS, "routes.example.com") is None
    assert registry.resources.get("routes.example.com") is None


async def test_custom_resources_survive_a_restart(tmp_path: Path) -> None:
    registry = Registry(Store.open(tmp_path / "journal.db"))
    await registry.bootstrap()
    stored = await registry.create(await defined(registry), route())
    await registry.store.close()
    again = Registry(Store.open(tmp_path / "journal.db"))
    resource = again.resources.by_path("example.com", "v1", "routes")
    assert resource is not None
    assert again.get(resource, "one", "default") == stored
    await again.store.close()


def test_versions_are_preferred_as_kubernetes_does() -> None:
    versions = ["v1alpha1", "foo1", "v10beta3", "v2", "v1", "v11alpha2", "v3beta1", "v10", "v11beta2", "foo10"]
    assert sorted(versions, key=version_priority) == [
        "v10",
        "v2",
        "v1",
        "v11beta2",
        "v10beta3",
        "v3beta1",
        "v11alpha2",
        "v1alpha1",
        "foo1",
        "foo10",
    ]


async def test_an_object_of_an_older_schema_can_still_be_written(registry: Registry) -> None:
    resource = await defined(registry)
    await registry.create(resource, route(weight=7))
    tighter = crd()
    for version in tighter["spec"]["versions"]:
        version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["weight"]["maximum"] = 5
        version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["other"] = {
            "type": "integer",
            "maximum": 5,
        }
    tighter["metadata"]["resourceVersion"] = registry.get(kinds.CRDS, tighter["metadata"]["name"])["metadata"][
        "resourceVersion"
    ]
    await registry.update(kinds.CRDS, tighter)

    async def patched(body: Object, subresource: str = "") -> Object:
        patch = Patch(PatchKind.MERGE, body)
        return await registry.patch(resource, "one", "default", patch, subresource=subresource)

    marked = await patched({"status": {"conditions": [{"type": "Programmed", "status": "False"}]}}, "status")
    assert marked["status"]["conditions"]
    assert (await patched({"metadata": {"labels": {"a": "b"}}}))["metadata"]["labels"] == {"a": "b"}
    for worse in ({"weight": 8}, {"other": 8}):
        with pytest.raises(ApiError) as caught:
            await patched({"spec": worse})
        assert caught.value.code == 422
    assert (await patched({"spec": {"weight": 5}}))["spec"]["weight"] == 5
    with pytest.raises(ApiError):
        await patched({"spec": {"weight": 7}})
