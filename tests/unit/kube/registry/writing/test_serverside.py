"""Server-side apply through the registry: what is stored, who owns it, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson
import pytest

from mesh_lab.kube import resources as kinds
from mesh_lab.kube.changes import Object
from mesh_lab.kube.errors import ApiError
from mesh_lab.kube.registry import Patch, PatchKind, Registry
from mesh_lab.kube.registry.options import FieldValidation, WriteOptions
from mesh_lab.kube.registry.ownership.clientside import ANNOTATION
from tests.unit.kube.registry.manifests import crd, deployment

ANN = WriteOptions(field_manager="ann")
BOB = WriteOptions(field_manager="bob")
KUBECTL = WriteOptions(field_manager="kubectl")


def config(data: dict[str, str], **metadata: Any) -> Object:
    return {"metadata": {"name": "c", "namespace": "default", **metadata}, **({"data": data} if data else {})}


async def apply(registry: Registry, data: dict[str, str], options: WriteOptions, **metadata: Any) -> Object:
    return await registry.apply(kinds.CONFIGMAPS, "c", "default", config(data, **metadata), options=options)


def owners(obj: Object) -> dict[str, Any]:
    return {entry["manager"]: entry["fieldsV1"] for entry in obj["metadata"].get("managedFields", [])}


async def test_an_apply_creates_changes_and_takes_back(registry: Registry) -> None:
    made = await apply(registry, {"a": "1", "b": "1"}, ANN)
    assert (made["data"], made["metadata"]["uid"] != "") == ({"a": "1", "b": "1"}, True)
    assert owners(made) == {"ann": {"f:data": {"f:a": {}, "f:b": {}}}}
    changed = await apply(registry, {"a": "2"}, ANN)
    assert (changed["data"], changed["metadata"]["uid"]) == ({"a": "2"}, made["metadata"]["uid"])
    again = await apply(registry, {"a": "2"}, ANN)
    assert again["metadata"]["resourceVersion"] == changed["metadata"]["resourceVersion"]


async def test_two_appliers_share_an_object_until_their_values_conflict(registry: Registry) -> None:
    await apply(registry, {"a": "1"}, ANN)
    await apply(registry, {"a": "1", "b": "1"}, BOB)
    with pytest.raises(ApiError) as caught:
        await apply(registry, {"a": "2", "b": "2"}, ANN)
    assert (caught.value.code, caught.value.reason) == (409, "Conflict")
    assert caught.value.message == 'Apply failed with 2 conflicts: conflicts with "bob":\n- .data.a\n- .data.b'
    assert [(c.reason, c.field, c.message) for c in caught.value.causes] == [
        ("FieldManagerConflict", ".data.a", 'conflict with "bob"'),
        ("FieldManagerConflict", ".data.b", 'conflict with "bob"'),
    ]
    forced = await apply(registry, {"a": "2"}, replace(ANN, force=True))
    assert owners(forced) == {"ann": {"f:data": {"f:a": {}}}, "bob": {"f:data": {"f:b": {}}}}
    left = await apply(registry, {}, ANN)
    assert left["data"] == {"b": "1"}


async def test_other_writes_own_what_they_change(registry: Registry) -> None:
    await apply(registry, {"a": "1"}, ANN)
    edit = Patch(PatchKind.MERGE, {"data": {"a": "9"}})
    await registry.patch(kinds.CONFIGMAPS, "c", "default", edit, options=WriteOptions(field_manager="kubectl-edit"))
    with pytest.raises(ApiError) as caught:
        await apply(registry, {"a": "2"}, ANN)
    words = 'Apply failed with 1 conflict: conflict with "kubectl-edit" using v1: .data.a'
    assert caught.value.message == words


async def test_the_creator_of_an_object_owns_the_fields_that_it_sent(registry: Registry) -> None:
    pod = {"metadata": {"name": "p", "namespace": "default"}, "spec": {"containers": [{"name": "c", "image": "x"}]}}
    made = await registry.create(kinds.PODS, pod, options=WriteOptions(field_manager="kubectl-run"))
    (entry,) = made["metadata"]["managedFields"]
    assert (entry["manager"], entry["operation"], entry["apiVersion"]) == ("kubectl-run", "Update", "v1")
    owned = entry["fieldsV1"]["f:spec"]
    assert owned["f:containers"]['k:{"name":"c"}']["f:image"] == {}
    assert "f:restartPolicy" in owned, "defaults are those of whoever left them out"
    # What admission adds is nobody's: the volume of the token, the account.
    assert made["spec"]["volumes"]
    assert not {"f:volumes", "f:serviceAccountName", "f:tolerations"} & set(owned)
    assert "f:status" not in entry["fieldsV1"]


async def test_each_part_of_the_lab_owns_what_it_writes_in_its_own_name(registry: Registry) -> None:
    await registry.create(kinds.CONFIGMAPS, config({"a": "1"}), options=ANN)
    node = registry.under("kubelet")
    await node.modify(kinds.CONFIGMAPS, "c", "default", lambda obj: {**obj, "data": {"a": "1", "b": "1"}})
    found = registry.get(kinds.CONFIGMAPS, "c", "default")
    assert owners(found) == {"ann": {"f:data": {"f:a": {}}}, "kubelet": {"f:data": {"f:b": {}}}}
    assert {entry["manager"] for o in registry.list(kinds.NAMESPACES) for entry in o["metadata"]["managedFields"]} == {
        "kube-apiserver"
    }


async def test_the_binding_of_a_pod_has_no_owner(registry: Registry) -> None:
    pod = {"metadata": {"name": "p", "namespace": "default"}, "spec": {"containers": [{"name": "c", "image": "x"}]}}
    made = await registry.create(kinds.PODS, pod)

    def bind(obj: Object) -> Object:
        return {**obj, "spec": {**obj["spec"], "nodeName": "n"}}

    await registry.modify(kinds.PODS, "p", "default", bind, subresource="binding")
    bound = registry.get(kinds.PODS, "p", "default")
    assert bound["metadata"]["managedFields"] == made["metadata"]["managedFields"]


async def test_an_object_that_has_no_owners_has_one_at_its_first_apply(registry: Registry) -> None:
    made = await registry.create(kinds.CONFIGMAPS, config({"a": "1", "b": "1"}))
    forget = {**made, "metadata": {**made["metadata"], "managedFields": [{}]}}
    assert "managedFields" not in (await registry.update(kinds.CONFIGMAPS, forget))["metadata"]
    edited = await registry.patch(kinds.CONFIGMAPS, "c", "default", Patch(PatchKind.MERGE, {"data": {"b": "2"}}))
    assert "managedFields" not in edited["metadata"]
    with pytest.raises(ApiError, match=r'conflict with "before-first-apply" using v1: \.data\.a'):
        await apply(registry, {"a": "2"}, ANN)
    shared = await apply(registry, {"a": "1"}, ANN)
    assert owners(shared) == {
        "ann": {"f:data": {"f:a": {}}},
        "before-first-apply": {"f:data": {"f:a": {}, "f:b": {}}},
    }


async def test_kubectl_goes_on_from_what_it_applied_itself(registry: Registry) -> None:
    last = config({"a": "1", "b": "1"})
    body = config(last["data"], annotations={ANNOTATION: orjson.dumps(last).decode()})
    await registry.create(kinds.CONFIGMAPS, body, options=WriteOptions(field_manager="kubectl-client-side-apply"))
    with pytest.raises(ApiError, match="kubectl-client-side-apply"):
        await apply(registry, {"a": "2"}, ANN)
    changed = await apply(registry, {"a": "2"}, KUBECTL)
    assert changed["data"] == {"a": "2", "b": "1"}
    assert orjson.loads(changed["metadata"]["annotations"][ANNOTATION])["data"] == {"a": "2"}
    await registry.patch(kinds.CONFIGMAPS, "c", "default", Patch(PatchKind.MERGE, {"data": {"b": "9"}}), options=BOB)
    with pytest.raises(ApiError, match=r'conflict with "bob" using v1: \.data\.b'):
        await apply(registry, {"a": "2", "b": "3"}, KUBECTL)


async def test_the_status_is_applied_only_through_its_subresource(registry: Registry) -> None:
    wanted = {**deployment(), "status": {"replicas": 7}}
    what = (kinds.DEPLOYMENTS, wanted["metadata"]["name"], "default")
    made = await registry.apply(*what, wanted, options=ANN)
    assert "replicas" not in made["status"]
    assert "f:status" not in owners(made)["ann"]
    status = {"metadata": wanted["metadata"], "spec": {"replicas": 9}, "status": {"replicas": 1}}
    after = await registry.apply(*what, status, subresource="status", options=BOB)
    assert (after["status"]["replicas"], after["spec"]["replicas"]) == (1, made["spec"]["replicas"])
    entry = next(e for e in after["metadata"]["managedFields"] if e["manager"] == "bob")
    assert (entry["subresource"], entry["fieldsV1"]) == ("status", {"f:status": {"f:replicas": {}}})
    with pytest.raises(ApiError) as caught:
        await registry.apply(kinds.DEPLOYMENTS, "nobody", "default", status, subresource="status", options=BOB)
    assert caught.value.code == 404


async def test_a_custom_object_is_applied_in_each_version(registry: Registry) -> None:
    await registry.create(kinds.CRDS, crd())
    old = registry.resources.by_path("example.com", "v1beta1", "routes")
    assert old is not None
    body = {"apiVersion": "example.com/v1beta1", "metadata": {"name": "r", "namespace": "default"}}
    made = await registry.apply(old, "r", "default", {**body, "spec": {"host": "a.b"}}, options=ANN)
    assert (made["apiVersion"], made["metadata"]["managedFields"][0]["apiVersion"]) == ("example.com/v1beta1",) * 2
    after = await registry.apply(old, "r", "default", {**body, "spec": {"host": "b.c"}}, options=ANN)
    assert after["spec"]["host"] == "b.c"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (config({}, managedFields=[{"manager": "x"}]), "metadata.managedFields must be nil"),
        ({**config({}), "daata": {}}, 'unknown field "daata"'),
        (config({"a": 1}), "cannot unmarshal number 1"),  # type: ignore[dict-item]
        ({**config({}), "kind": "Secret"}, "cannot be handled as a ConfigMap"),
    ],
)
async def test_what_cannot_be_applied_is_refused(registry: Registry, body: Object, words: str) -> None:
    strict = replace(ANN, field_validation=FieldValidation.STRICT)
    with pytest.raises(ApiError, match=words) as caught:
        await registry.apply(kinds.CONFIGMAPS, "c", "default", body, options=strict)
    assert caught.value.code == 400


async def test_two_items_of_one_key_are_refused(registry: Registry) -> None:
    ports = [{"port": 80}, {"port": 80, "protocol": "TCP"}]
    body = {"metadata": {"name": "s", "namespace": "default"}, "spec": {"ports": ports}}
    words = r'default/s; v1, Kind=Service\): \.spec\.ports: duplicate entries for key \[port=80,protocol="TCP"\]'
    with pytest.raises(ApiError, match=words):
        await registry.apply(kinds.SERVICES, "s", "default", body, options=ANN)


async def test_a_dry_run_stores_nothing(registry: Registry) -> None:
    shown = await apply(registry, {"a": "1"}, replace(ANN, dry_run=True))
    assert owners(shown) == {"ann": {"f:data": {"f:a": {}}}}
    assert registry.find(kinds.CONFIGMAPS, "c", "default") is None
