"""Reads and writes: names, versions, subresources, conflicts, admission, dry runs."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from mesh_lab.kube import resources as kinds
from mesh_lab.kube.changes import Object
from mesh_lab.kube.errors import ApiError, forbidden
from mesh_lab.kube.registry import (
    SYSTEM,
    AdmissionRequest,
    FieldValidation,
    Open,
    Patch,
    PatchKind,
    Registry,
    User,
    WriteOptions,
)
from mesh_lab.kube.store import Store
from tests.unit.kube.registry.manifests import config_map, deployment, pod, service


def version(obj: Object) -> int:
    return int(obj["metadata"]["resourceVersion"])


async def error_of(awaitable: Any) -> ApiError:
    with pytest.raises(ApiError) as caught:
        await awaitable
    return caught.value


async def test_the_system_namespaces_are_there_and_bootstrap_may_be_repeated(registry: Registry) -> None:
    await registry.bootstrap()
    names = [o["metadata"]["name"] for o in registry.list(kinds.NAMESPACES)]
    assert names == ["default", "kube-node-lease", "kube-public", "kube-system"]


async def test_a_webhook_that_refuses_everything_keeps_no_cluster_from_starting_again(registry: Registry) -> None:
    class Closed(Open):
        async def mutate(self, request: AdmissionRequest) -> Object | None:
            raise forbidden("admission webhook denied the request")

    registry.admission = Closed()
    await registry.bootstrap()
    assert (await error_of(registry.create(kinds.CONFIGMAPS, config_map()))).code == 403


async def test_the_server_decides_its_part_of_the_metadata(registry: Registry) -> None:
    obj = config_map()
    obj["metadata"] |= {"uid": "mine", "creationTimestamp": "2000-01-01T00:00:00Z", "generation": 7, "selfLink": "/x"}
    meta = (await registry.create(kinds.CONFIGMAPS, obj))["metadata"]
    assert meta["uid"] != "mine"
    assert meta["creationTimestamp"] > "2020"
    assert "generation" not in meta
    assert "selfLink" not in meta
    assert obj["metadata"]["uid"] == "mine"


async def test_a_name_is_made_of_a_prefix(registry: Registry) -> None:
    obj = {"metadata": {"generateName": "thing-", "namespace": "default"}}
    names = {(await registry.create(kinds.CONFIGMAPS, obj))["metadata"]["name"] for _ in range(20)}
    assert len(names) == 20
    assert all(name.startswith("thing-") and len(name) == 11 for name in names)


async def test_a_long_prefix_is_cut_so_that_the_name_fits(registry: Registry) -> None:
    obj = {"metadata": {"generateName": "x" * 80, "namespace": "default"}}
    assert len((await registry.create(kinds.CONFIGMAPS, obj))["metadata"]["name"]) == 63


async def test_a_name_is_taken_once(registry: Registry) -> None:
    await registry.create(kinds.CONFIGMAPS, config_map())
    error = await error_of(registry.create(kinds.CONFIGMAPS, config_map()))
    assert (error.code, error.message) == (409, 'configmaps "config" already exists')


async def test_the_second_of_two_creates_at_once_fails(tmp_path: Path) -> None:
    registry = Registry(Store.open(tmp_path / "journal.db"))
    await registry.bootstrap()
    results = await asyncio.gather(
        *(registry.create(kinds.CONFIGMAPS, config_map()) for _ in range(3)), return_exceptions=True
    )
    assert [getattr(one, "code", None) for one in results] == [None, 409, 409]
    await registry.store.close()


@pytest.mark.parametrize(
    ("obj", "namespace", "code", "words"),
    [
        ({"metadata": {"name": "a", "namespace": "x"}}, "default", 400, "does not match the namespace sent"),
        ({"metadata": {"name": "a"}}, "", 400, "an empty namespace may not be set"),
        ({"metadata": {"name": "a"}}, "nowhere", 404, 'namespaces "nowhere" not found'),
        ({"kind": "Secret", "metadata": {"name": "a"}}, "default", 400, "cannot be handled as a ConfigMap"),
        ({"apiVersion": "v2", "metadata": {"name": "a"}}, "default", 400, "does not match the expected API version"),
        ({"metadata": {"name": "a", "resourceVersion": "5"}}, "default", 400, "resourceVersion should not be set"),
    ],
)
async def test_an_object_in_the_wrong_place_is_refused(
    registry: Registry, obj: Object, namespace: str, code: int, words: str
) -> None:
    error = await error_of(registry.create(kinds.CONFIGMAPS, obj, namespace=namespace))
    assert error.code == code
    assert words in error.message


async def test_unknown_fields_are_refused_warned_of_or_dropped(registry: Registry) -> None:
    obj = deployment() | {"extra": 1}
    error = await error_of(registry.create(kinds.DEPLOYMENTS, obj))
    assert error.code == 400
    assert error.message == (
        'Deployment in version "v1" cannot be handled as a Deployment: strict decoding error: unknown field "extra"'
    )
    warnings: list[str] = []
    warn = WriteOptions(field_validation=FieldValidation.WARN, warnings=warnings, dry_run=True)
    assert "extra" not in await registry.create(kinds.DEPLOYMENTS, obj, options=warn)
    assert warnings == ['unknown field "extra"']
    ignore = WriteOptions(field_validation=FieldValidation.IGNORE, warnings=warnings)
    assert "extra" not in await registry.create(kinds.DEPLOYMENTS, obj, options=ignore)
    assert len(warnings) == 1


async def test_an_update_with_an_old_version_conflicts(registry: Registry) -> None:
    first = await registry.create(kinds.CONFIGMAPS, config_map(a="1"))
    await registry.update(kinds.CONFIGMAPS, {**first, "data": {"a": "2"}})
    error = await error_of(registry.update(kinds.CONFIGMAPS, {**first, "data": {"a": "3"}}))
    assert (error.code, error.reason) == (409, "Conflict")
    assert "the object has been modified; please apply your changes to the latest version" in error.message


async def test_an_update_without_a_version_wins(registry: Registry) -> None:
    first = await registry.create(kinds.CONFIGMAPS, config_map(a="1"))
    second = await registry.update(kinds.CONFIGMAPS, config_map(a="2"))
    assert second["data"] == {"a": "2"}
    assert second["metadata"]["uid"] == first["metadata"]["uid"]
    assert version(second) > version(first)


async def test_an_update_of_a_former_namesake_conflicts(registry: Registry) -> None:
    first = await registry.create(kinds.CONFIGMAPS, config_map())
    await registry.delete(kinds.CONFIGMAPS, "config", "default")
    await registry.create(kinds.CONFIGMAPS, config_map())
    stale = {**first, "metadata": {**first["metadata"], "resourceVersion": ""}}
    error = await error_of(registry.update(kinds.CONFIGMAPS, stale))
    assert error.code == 409
    assert "Precondition failed: UID" in error.message


async def test_a_write_that_changes_nothing_keeps_the_version(registry: Registry) -> None:
    first = await registry.create(kinds.DEPLOYMENTS, deployment())
    assert await registry.update(kinds.DEPLOYMENTS, deployment()) is first
    patch = Patch(PatchKind.MERGE, {"spec": {"replicas": 1}})
    assert await registry.patch(kinds.DEPLOYMENTS, "web", "default", patch) is first
    assert registry.revision == version(first)


async def test_the_generation_counts_changes_of_the_spec(registry: Registry) -> None:
    first = await registry.create(kinds.DEPLOYMENTS, deployment())
    assert first["metadata"]["generation"] == 1

    async def after(patch: Object, subresource: str = "") -> int:
        stored = await registry.patch(
            kinds.DEPLOYMENTS, "web", "default", Patch(PatchKind.MERGE, patch), subresource=subresource
        )
        return int(stored["metadata"]["generation"])

    assert await after({"metadata": {"labels": {"x": "y"}}}) == 1
    assert await after({"status": {"replicas": 1}}, "status") == 1
    assert await after({"spec": {"replicas": 2}}) == 2
    assert await after({"metadata": {"generation": 9}}) == 2


async def test_the_status_is_written_through_its_subresource_alone(registry: Registry) -> None:
    obj = deployment() | {"status": {"replicas": 5}}
    stored = await registry.create(kinds.DEPLOYMENTS, obj)
    assert stored["status"] == {}
    both = {**stored, "status": {"replicas": 1}, "spec": {**stored["spec"], "replicas": 7}}
    stored = await registry.update(kinds.DEPLOYMENTS, both, subresource="status")
    assert (stored["status"], stored["spec"]["replicas"]) == ({"replicas": 1}, 1)
    both = {**stored, "status": {"replicas": 9}, "spec": {**stored["spec"], "replicas": 7}}
    stored = await registry.update(kinds.DEPLOYMENTS, both)
    assert (stored["status"], stored["spec"]["replicas"]) == ({"replicas": 1}, 7)


async def test_modify_repeats_after_each_concurrent_write(registry: Registry) -> None:
    await registry.create(kinds.CONFIGMAPS, config_map(n="0"))

    class Slow(Open):
        """Another writer is always quicker than the webhooks."""

        interfered = 0

        async def mutate(self, request: AdmissionRequest) -> Object | None:
            if request.operation == "UPDATE" and self.interfered < 3:
                self.interfered += 1
                head = registry.store.head("configmaps", "default", "config")
                assert head is not None
                changed = {
                    **head,
                    "metadata": dict(head["metadata"]),
                    "data": {**head["data"], "o": str(self.interfered)},
                }
                await registry.store.put("configmaps", "default", "config", changed)
            return request.obj

    registry.admission = Slow()
    calls = []

    def count(obj: Object) -> Object:
        calls.append(obj["metadata"]["resourceVersion"])
        obj["data"]["n"] = str(int(obj["data"]["n"]) + 1)
        return obj

    stored = await registry.modify(kinds.CONFIGMAPS, "config", "default", count)
    assert stored is not None
    assert stored["data"] == {"n": "1", "o": "3"}
    assert len(set(calls)) == 4


async def test_modify_without_a_change_or_an_object_writes_nothing(registry: Registry) -> None:
    stored = await registry.create(kinds.CONFIGMAPS, config_map())
    assert await registry.modify(kinds.CONFIGMAPS, "config", "default", lambda _: None) is stored
    assert await registry.modify(kinds.CONFIGMAPS, "nothing", "default", lambda obj: obj) is None


async def test_concurrent_changes_of_one_object_are_all_stored(tmp_path: Path) -> None:
    registry = Registry(Store.open(tmp_path / "journal.db"))
    await registry.bootstrap()
    await registry.create(kinds.CONFIGMAPS, config_map())

    def adder(key: str) -> Any:
        def add(obj: Object) -> Object:
            obj.setdefault("data", {})[key] = "x"
            return obj

        return add

    keys = [f"k{i}" for i in range(50)]
    await asyncio.gather(*(registry.modify(kinds.CONFIGMAPS, "config", "default", adder(key)) for key in keys))
    assert sorted(registry.get(kinds.CONFIGMAPS, "config", "default")["data"]) == sorted(keys)
    await registry.store.close()


async def test_a_stored_object_is_never_changed(registry: Registry) -> None:
    stored = await registry.create(kinds.DEPLOYMENTS, deployment())
    text = repr(stored)

    def change(obj: Object) -> Object:
        obj["spec"]["template"]["spec"]["containers"][0]["image"] = "other:1"
        obj["metadata"]["labels"]["new"] = "x"
        return obj

    await registry.modify(kinds.DEPLOYMENTS, "web", "default", change)
    await registry.patch(
        kinds.DEPLOYMENTS,
        "web",
        "default",
        Patch(PatchKind.STRATEGIC, {"spec": {"template": {"spec": {"containers": [{"name": "web", "image": "z:1"}]}}}}),
    )
    assert repr(stored) == text


async def test_a_patch_may_state_the_version_that_it_is_for(registry: Registry) -> None:
    first = await registry.create(kinds.CONFIGMAPS, config_map(a="1"))
    body = {"metadata": {"resourceVersion": first["metadata"]["resourceVersion"]}, "data": {"a": "2"}}
    await registry.patch(kinds.CONFIGMAPS, "config", "default", Patch(PatchKind.MERGE, body))
    error = await error_of(registry.patch(kinds.CONFIGMAPS, "config", "default", Patch(PatchKind.MERGE, body)))
    assert error.code == 409


@pytest.mark.parametrize(
    ("patch", "code", "words"),
    [
        (Patch(PatchKind.MERGE, {"metadata": {"name": "other"}}), 400, "does not match the name on the URL"),
        (Patch(PatchKind.MERGE, {"dta": {}}), 400, 'unknown field "dta"'),
        (Patch(PatchKind.MERGE, []), 400, "the patch must be an object"),
        (Patch(PatchKind.JSON, [{"op": "test", "path": "/data/a", "value": "x"}]), 422, "testing value /data/a failed"),
        (Patch(PatchKind.JSON, {}), 400, "error decoding patch"),
        (Patch(PatchKind.JSON, [{"op": "replace", "path": "", "value": 1}]), 422, "no object"),
    ],
)
async def test_an_invalid_patch_is_refused(registry: Registry, patch: Patch, code: int, words: str) -> None:
    await registry.create(kinds.CONFIGMAPS, config_map(a="1"))
    error = await error_of(registry.patch(kinds.CONFIGMAPS, "config", "default", patch))
    assert error.code == code
    assert words in error.message


async def test_a_patch_of_nothing_is_not_found(registry: Registry) -> None:
    error = await error_of(registry.patch(kinds.DEPLOYMENTS, "web", "default", Patch(PatchKind.MERGE, {})))
    assert (error.code, error.message) == (404, 'deployments.apps "web" not found')


async def test_a_dry_run_returns_the_object_and_stores_nothing(registry: Registry) -> None:
    dry = WriteOptions(dry_run=True)
    before = registry.revision
    made = await registry.create(kinds.SERVICES, service(), options=dry)
    assert made["spec"]["clusterIP"].startswith("10.96.")
    await registry.create(kinds.CONFIGMAPS, config_map(a="1"))
    changed = await registry.update(kinds.CONFIGMAPS, config_map(a="2"), options=dry)
    assert changed["data"] == {"a": "2"}
    assert registry.get(kinds.CONFIGMAPS, "config", "default")["data"] == {"a": "1"}
    assert registry.find(kinds.SERVICES, "web", "default") is None
    assert registry.revision == before + 1


class Recording(Open):
    """Admission that labels what it sees, and refuses what is called `evil`."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, bool, User]] = []

    async def mutate(self, request: AdmissionRequest) -> Object | None:
        self.seen.append((request.operation, request.resource.key, request.dry_run, request.user))
        obj = request.obj
        if obj is None:
            return None
        if obj["metadata"].get("name") == "evil":
            raise forbidden("admission webhook denied the request")
        labels = {**obj["metadata"].get("labels", {}), "admitted": request.operation.lower()}
        return {**obj, "metadata": {**obj["metadata"], "labels": labels}}


async def test_webhooks_change_and_refuse_what_is_written(registry: Registry) -> None:
    registry.admission = hooks = Recording()
    user = User("somebody")
    made = await registry.create(kinds.CONFIGMAPS, config_map(), options=WriteOptions(user=user))
    assert made["metadata"]["labels"] == {"admitted": "create"}
    changed = await registry.update(kinds.CONFIGMAPS, config_map(a="1"))
    assert changed["metadata"]["labels"] == {"admitted": "update"}
    assert changed["metadata"]["uid"] == made["metadata"]["uid"]
    error = await error_of(registry.create(kinds.CONFIGMAPS, config_map("evil")))
    assert error.code == 403
    await registry.delete(kinds.CONFIGMAPS, "config", "default")
    assert hooks.seen == [
        ("CREATE", "configmaps", False, user),
        ("UPDATE", "configmaps", False, SYSTEM),
        ("CREATE", "configmaps", False, SYSTEM),
        ("DELETE", "configmaps", False, SYSTEM),
    ]


async def test_what_a_webhook_makes_is_held_to_the_rules(registry: Registry) -> None:
    class Breaking(Open):
        async def mutate(self, request: AdmissionRequest) -> Object | None:
            return {**(request.obj or {}), "data": {"not/a/key": "x"}}

    registry.admission = Breaking()
    error = await error_of(registry.create(kinds.CONFIGMAPS, config_map()))
    assert error.code == 422


async def test_containers_that_a_webhook_adds_get_defaults_and_the_token(registry: Registry) -> None:
    class Injecting(Open):
        async def mutate(self, request: AdmissionRequest) -> Object | None:
            obj = request.obj
            assert obj is not None
            added = {"name": "proxy", "image": "proxy:1"}
            return {**obj, "spec": {**obj["spec"], "containers": [*obj["spec"]["containers"], added]}}

    registry.admission = Injecting()
    stored = await registry.create(kinds.PODS, pod())
    main, proxy = stored["spec"]["containers"]
    assert proxy["imagePullPolicy"] == "IfNotPresent"
    assert proxy["volumeMounts"] == main["volumeMounts"]
    assert len(stored["spec"]["volumes"]) == 1


async def test_lists_are_selected_and_sorted(registry: Registry) -> None:
    for namespace, name, app in (("kube-system", "z", "web"), ("default", "b", "web"), ("default", "a", "db")):
        obj = {"metadata": {"name": name, "namespace": namespace, "labels": {"app": app}}}
        await registry.create(kinds.CONFIGMAPS, obj)

    def names(*args: Any, **options: Any) -> list[str]:
        return [o["metadata"]["name"] for o in registry.list(kinds.CONFIGMAPS, *args, **options)]

    assert names() == ["a", "b", "z"]
    assert names("default") == ["a", "b"]
    assert names(labels="app=web") == ["b", "z"]
    assert names(fields="metadata.name!=a,metadata.namespace=default") == ["b"]
    assert names("nowhere") == []


async def test_pages_show_one_revision_while_objects_change(registry: Registry) -> None:
    for index in range(7):
        await registry.create(kinds.CONFIGMAPS, config_map(f"c{index}"))
    first = registry.page(kinds.CONFIGMAPS, limit=3)
    assert first.remaining == 4
    await registry.delete(kinds.CONFIGMAPS, "c4", "default")
    await registry.create(kinds.CONFIGMAPS, config_map("c3b"))
    await registry.update(kinds.CONFIGMAPS, config_map("c5", new="x"))
    second = registry.page(kinds.CONFIGMAPS, limit=3, token=first.token)
    third = registry.page(kinds.CONFIGMAPS, limit=3, token=second.token)
    names = [o["metadata"]["name"] for page in (first, second, third) for o in page.items]
    assert names == [f"c{index}" for index in range(7)]
    assert {page.revision for page in (first, second, third)} == {first.revision}
    assert "new" not in second.items[2]["data"]
    assert third.token == ""


async def test_a_malformed_continue_token_is_refused(registry: Registry) -> None:
    for token in ("x", "e30=", "!!"):
        with pytest.raises(ApiError, match="continue key is not valid"):
            registry.page(kinds.CONFIGMAPS, limit=1, token=token)


async def test_state_and_revisions_survive_a_restart(tmp_path: Path) -> None:
    registry = Registry(Store.open(tmp_path / "journal.db"))
    await registry.bootstrap()
    made = await registry.create(kinds.CONFIGMAPS, config_map(a="1"))
    await registry.store.close()
    again = Registry(Store.open(tmp_path / "journal.db"))
    await again.bootstrap()
    assert again.get(kinds.CONFIGMAPS, "config", "default") == made
    assert version(await again.update(kinds.CONFIGMAPS, config_map(a="2"))) == version(made) + 1
    await again.store.close()
