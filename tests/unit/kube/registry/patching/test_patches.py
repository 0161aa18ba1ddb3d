"""JSON merge patch and strategic merge patch."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh_lab.kube.errors import ApiError
from mesh_lab.kube.registry.options import Patch, PatchKind
from mesh_lab.kube.registry.patching.patches import apply_patch, merge
from mesh_lab.kube.schemas import builtin_schema
from tests.unit.kube.registry.patching.test_jsonpatch import JSON

POD = builtin_schema("v1", "Pod")
DEPLOYMENT = builtin_schema("apps/v1", "Deployment")
SERVICE = builtin_schema("v1", "Service")

# RFC 7396, appendix A: (original, patch, result).
_RFC: list[tuple[Any, Any, Any]] = [
    ({"a": "b"}, {"a": "c"}, {"a": "c"}),
    ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
    ({"a": "b"}, {"a": None}, {}),
    ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
    ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
    ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
    ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
    ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
    (["a", "b"], ["c", "d"], ["c", "d"]),
    ({"a": "b"}, ["c"], ["c"]),
    ({"a": "foo"}, None, None),
    ({"a": "foo"}, "bar", "bar"),
    ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
    ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
    ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
]


@pytest.mark.parametrize(("original", "patch", "result"), _RFC)
def test_merge_patch_follows_the_rfc(original: Any, patch: Any, result: Any) -> None:
    before = deepcopy(original)
    assert merge(original, patch) == result
    assert original == before


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(one) for key, one in value.items() if one is not None}
    return value


@given(JSON, JSON)
def test_a_merge_patch_twice_is_as_once(original: Any, patch: Any) -> None:
    once = merge(original, patch)
    assert merge(once, patch) == once


@given(st.dictionaries(st.text(max_size=2), JSON, max_size=4))
def test_merging_into_nothing_gives_the_patch_without_its_nulls(patch: dict[str, Any]) -> None:
    assert merge({}, patch) == _without_nulls(patch)


def strategic(original: dict[str, Any], patch: dict[str, Any], schema: Any = POD) -> dict[str, Any]:
    before = deepcopy(original)
    result = apply_patch(Patch(PatchKind.STRATEGIC, patch), original, schema, custom=False)
    assert original == before
    return result


def containers(*names: str, **more: Any) -> dict[str, Any]:
    return {"spec": {"containers": [{"name": name, **more} for name in names]}}


def test_lists_with_a_key_are_merged_by_it() -> None:
    result = strategic(
        containers("a", "b", image="x:1"), {"spec": {"containers": [{"name": "b", "image": "x:2"}, {"name": "c"}]}}
    )
    assert result["spec"]["containers"] == [
        {"name": "a", "image": "x:1"},
        {"name": "b", "image": "x:2"},
        {"name": "c"},
    ]


def test_lists_without_a_key_are_replaced() -> None:
    result = strategic(containers("a", args=["1", "2"]), containers("a", args=["3"]))
    assert result["spec"]["containers"][0]["args"] == ["3"]


def test_nested_lists_are_merged_by_their_own_keys() -> None:
    original = containers("a", env=[{"name": "X", "value": "1"}, {"name": "Y", "value": "1"}])
    result = strategic(original, containers("a", env=[{"name": "Y", "value": "2"}]))
    assert result["spec"]["containers"][0]["env"] == [{"name": "X", "value": "1"}, {"name": "Y", "value": "2"}]


def test_services_ports_are_merged_by_number() -> None:
    original = {"spec": {"ports": [{"port": 80, "name": "http", "nodePort": 30080}]}}
    result = strategic(original, {"spec": {"ports": [{"port": 80, "name": "web"}]}}, SERVICE)
    assert result["spec"]["ports"] == [{"port": 80, "name": "web", "nodePort": 30080}]


def test_an_item_can_be_deleted() -> None:
    result = strategic(containers("a", "b"), {"spec": {"containers": [{"name": "a", "$patch": "delete"}]}})
    assert result == containers("b")


def test_deleting_an_item_that_is_not_there_changes_nothing() -> None:
    result = strategic(containers("a"), {"spec": {"containers": [{"name": "z", "$patch": "delete"}]}})
    assert result == containers("a")


def test_a_list_can_be_replaced() -> None:
    patch = {"spec": {"containers": [{"name": "c"}, {"$patch": "replace"}]}}
    assert strategic(containers("a", "b"), patch) == containers("c")


def test_a_map_can_be_replaced_or_emptied() -> None:
    original = {"metadata": {"labels": {"a": "1", "b": "2"}, "annotations": {"x": "y"}}}
    patch = {"metadata": {"labels": {"c": "3", "$patch": "replace"}, "annotations": {"$patch": "delete"}}}
    assert strategic(original, patch) == {"metadata": {"labels": {"c": "3"}, "annotations": {}}}


def test_null_removes_and_maps_merge() -> None:
    original = {"metadata": {"labels": {"a": "1", "b": "2"}}}
    assert strategic(original, {"metadata": {"labels": {"a": None, "c": "3"}}}) == {
        "metadata": {"labels": {"b": "2", "c": "3"}}
    }


def test_plain_values_are_united_and_taken_out() -> None:
    original = {"metadata": {"finalizers": ["a/a", "b/b"]}}
    assert strategic(original, {"metadata": {"finalizers": ["b/b", "c/c"]}}) == {
        "metadata": {"finalizers": ["a/a", "b/b", "c/c"]}
    }
    patch = {"metadata": {"$deleteFromPrimitiveList/finalizers": ["a/a"]}}
    assert strategic(original, patch) == {"metadata": {"finalizers": ["b/b"]}}


def test_retained_keys_drop_the_others() -> None:
    original = {"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}}
    patch = {"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}}
    assert strategic(original, patch, DEPLOYMENT) == {"spec": {"strategy": {"type": "Recreate"}}}


def test_a_volume_changes_its_source_by_retained_keys() -> None:
    original = {"spec": {"volumes": [{"name": "v", "emptyDir": {}}, {"name": "w", "emptyDir": {}}]}}
    patch = {"spec": {"volumes": [{"name": "v", "$retainKeys": ["name", "secret"], "secret": {"secretName": "s"}}]}}
    assert strategic(original, patch)["spec"]["volumes"] == [
        {"name": "v", "secret": {"secretName": "s"}},
        {"name": "w", "emptyDir": {}},
    ]


@pytest.mark.parametrize(
    ("order", "result"),
    [
        (["c", "a", "b"], ["c", "a", "b"]),
        (["b", "a"], ["b", "a", "c"]),
        # What the patch does not name stays before those that it stood before.
        (["c"], ["a", "b", "c"]),
    ],
)
def test_the_order_of_elements_is_set(order: list[str], result: list[str]) -> None:
    patch = {"spec": {"$setElementOrder/containers": [{"name": name} for name in order]}}
    assert strategic(containers("a", "b", "c"), patch) == containers(*result)


def test_kubectl_apply_adds_a_container_before_one_that_a_webhook_added() -> None:
    patch = {
        "spec": {
            "$setElementOrder/containers": [{"name": "new"}, {"name": "app"}],
            "containers": [{"name": "new", "image": "x"}],
        }
    }
    result = strategic(containers("app", "istio-proxy"), patch)
    assert [container["name"] for container in result["spec"]["containers"]] == ["new", "app", "istio-proxy"]


@pytest.mark.parametrize(
    ("patch", "words"),
    [
        ({"spec": {"containers": [{"image": "x"}]}}, "does not contain declared merge key: name"),
        ({"spec": {"$patch": "explode"}}, "unrecognized"),
    ],
)
def test_a_malformed_strategic_patch_is_refused(patch: dict[str, Any], words: str) -> None:
    with pytest.raises(ApiError, match=words) as caught:
        strategic(containers("a"), patch)
    assert caught.value.code == 400


def test_custom_resources_take_no_strategic_patch() -> None:
    with pytest.raises(ApiError, match="merge-patch") as caught:
        apply_patch(Patch(PatchKind.STRATEGIC, {}), {}, POD, custom=True)
    assert caught.value.code == 415


NAMES = st.lists(st.sampled_from("abcde"), unique=True, max_size=5)


@given(NAMES, NAMES.filter(bool))
def test_a_strategic_patch_twice_is_as_once(present: list[str], patched: list[str]) -> None:
    patch = containers(*patched, image="new")
    patch["spec"]["$setElementOrder/containers"] = [{"name": name} for name in patched]
    once = strategic(containers(*present, image="old"), patch)
    assert strategic(once, patch) == once
    names = [container["name"] for container in once["spec"]["containers"]]
    assert set(names) == {*present, *patched}
    assert len(names) == len(set(names))
    assert [name for name in names if name in patched] == patched
    assert all((c["image"] == "new") == (c["name"] in patched) for c in once["spec"]["containers"])


def test_a_json_patch_has_the_limits_of_a_real_server() -> None:
    operation = {"op": "test", "path": "/a", "value": 1}
    assert apply_patch(Patch(PatchKind.JSON, [operation] * 10_000), {"a": 1}, POD, custom=False) == {"a": 1}
    with pytest.raises(ApiError, match="maximum operations in a JSON patch is 10000, got 10001") as caught:
        apply_patch(Patch(PatchKind.JSON, [operation] * 10_001), {"a": 1}, POD, custom=False)
    assert caught.value.code == 413
    doubling = [{"op": "copy", "from": "/a", "path": f"/a/{number}"} for number in range(40)]
    with pytest.raises(ApiError, match="the accumulated size increase of copy") as caught:
        apply_patch(Patch(PatchKind.JSON, doubling), {"a": {"text": "x" * 1000}}, POD, custom=False)
    assert caught.value.code == 422


def test_a_list_of_thousands_is_merged_in_one_pass() -> None:
    env = [{"name": f"V{number}", "value": "old"} for number in range(20_000)]
    wanted = [{"name": one["name"], "value": "new"} for one in reversed(env)]
    order = [{"name": one["name"]} for one in wanted]
    patch = {"spec": {"containers": [{"name": "c", "env": wanted, "$setElementOrder/env": order}]}}
    pod = {"spec": {"containers": [{"name": "c", "env": env}]}}
    merged = apply_patch(Patch(PatchKind.STRATEGIC, patch), pod, POD, custom=False)
    assert merged["spec"]["containers"][0]["env"] == wanted
