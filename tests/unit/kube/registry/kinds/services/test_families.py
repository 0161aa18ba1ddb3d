"""Services of one IP family and of two: what is allocated, defaulted and refused, on both kinds of clusters."""

from __future__ import annotations

from copy import deepcopy
from ipaddress import ip_address, ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh_lab.kube import resources as kinds
from mesh_lab.kube.changes import Object
from mesh_lab.kube.errors import ApiError
from mesh_lab.kube.registry import Registry
from mesh_lab.kube.store import Store
from tests.unit.kube.registry.manifests import service

RANGES = {"IPv4": "10.96.0.0/16", "IPv6": "fd00:10:96::/112"}


@pytest.fixture
async def dual() -> Registry:
    made = Registry(Store(), service_cidr=",".join(RANGES.values()))
    await made.bootstrap()
    return made


async def create(registry: Registry, name: str = "web", **spec: Any) -> Object:
    stored: Object = (await registry.create(kinds.SERVICES, service(name, **spec)))["spec"]
    return stored


async def change(registry: Registry, name: str = "web", **spec: Any) -> Object:
    """Like `kubectl patch`: a value of None removes the field."""

    def merge(obj: Object) -> Object:
        obj["spec"] = {key: value for key, value in (obj["spec"] | spec).items() if value is not None}
        return obj

    stored = await registry.modify(kinds.SERVICES, name, "default", merge)
    assert stored is not None
    found: Object = stored["spec"]
    return found


def families_of(spec: Object) -> list[str]:
    return [f"IPv{ip_address(one).version}" for one in spec["clusterIPs"]]


@pytest.mark.parametrize(
    ("asked", "policy", "families"),
    [
        ({}, "SingleStack", ["IPv4"]),
        ({"ipFamilyPolicy": "PreferDualStack"}, "PreferDualStack", ["IPv4", "IPv6"]),
        ({"ipFamilyPolicy": "RequireDualStack"}, "RequireDualStack", ["IPv4", "IPv6"]),
        ({"ipFamilies": ["IPv6"]}, "SingleStack", ["IPv6"]),
        ({"ipFamilies": ["IPv6"], "ipFamilyPolicy": "PreferDualStack"}, "PreferDualStack", ["IPv6", "IPv4"]),
        ({"ipFamilies": ["IPv6", "IPv4"], "ipFamilyPolicy": "RequireDualStack"}, "RequireDualStack", ["IPv6", "IPv4"]),
        ({"clusterIP": "fd00:10:96::7"}, "SingleStack", ["IPv6"]),
        ({"clusterIP": "fd00:10:96::7", "ipFamilyPolicy": "RequireDualStack"}, "RequireDualStack", ["IPv6", "IPv4"]),
    ],
)
async def test_a_service_has_an_address_of_each_of_its_families(
    dual: Registry, asked: Object, policy: str, families: list[str]
) -> None:
    spec = await create(dual, **asked)
    assert (spec["ipFamilyPolicy"], spec["ipFamilies"], families_of(spec)) == (policy, families, families)
    assert spec["clusterIP"] == spec["clusterIPs"][0]
    assert all(ip_address(one) in ip_network(RANGES[f]) for one, f in zip(spec["clusterIPs"], families, strict=True))


@pytest.mark.parametrize(
    ("asked", "policy", "families"),
    [
        ({"selector": {"app": "web"}}, "SingleStack", ["IPv4"]),
        ({"selector": {"app": "web"}, "ipFamilyPolicy": "PreferDualStack"}, "PreferDualStack", ["IPv4", "IPv6"]),
        ({"selector": None}, "RequireDualStack", ["IPv4", "IPv6"]),
        ({"selector": None, "ipFamilyPolicy": "SingleStack"}, "SingleStack", ["IPv4"]),
    ],
)
async def test_a_headless_service_has_families_without_addresses(
    dual: Registry, asked: Object, policy: str, families: list[str]
) -> None:
    spec = await create(dual, clusterIP="None", **asked)
    assert (spec["ipFamilyPolicy"], spec["ipFamilies"], spec["clusterIPs"]) == (policy, families, ["None"])


async def test_a_headless_service_that_selects_nothing_has_two_families_on_any_cluster(registry: Registry) -> None:
    spec = await create(registry, clusterIP="None", selector=None)
    assert (spec["ipFamilyPolicy"], spec["ipFamilies"]) == ("RequireDualStack", ["IPv4", "IPv6"])


@pytest.mark.parametrize(
    ("asked", "field", "words"),
    [
        ({"ipFamilies": ["IPv4", "IPv6"]}, "spec.ipFamilyPolicy", "when multiple IP families are specified"),
        (
            {"clusterIP": "10.96.0.9", "clusterIPs": ["10.96.0.9", "fd00:10:96::9"]},
            "spec.ipFamilyPolicy",
            "cluster IPs",
        ),
        ({"ipFamilies": ["IPv6", "IPv6"]}, "spec.ipFamilies[1]", "Duplicate value"),
        ({"ipFamilies": ["IPv5"]}, "spec.ipFamilies[0]", 'supported values: "IPv4", "IPv6"'),
        (
            {"clusterIP": "10.96.0.9", "ipFamilies": ["IPv6"]},
            "spec.clusterIPs[0]",
            r"expected an IPv6 value as indicated by `ipFamilies\[0\]`",
        ),
        (
            {"clusterIP": "10.96.0.9", "clusterIPs": ["10.96.0.9", "10.96.0.8"], "ipFamilyPolicy": "RequireDualStack"},
            "spec.clusterIPs",
            "may specify no more than one IP for each IP family",
        ),
        ({"clusterIP": "None", "clusterIPs": ["None", "fd00:10:96::9"]}, "spec.clusterIPs", "'None' must be the first"),
        ({"clusterIPs": ["10.96.0.9"]}, "spec.clusterIPs", "must be empty when `clusterIP` is not specified"),
        ({"clusterIP": "fd00:10:97::9"}, "spec.clusterIPs", "does not match the current range"),
        (
            {"type": "ExternalName", "externalName": "a.test", "ipFamilies": ["IPv4"]},
            "spec.ipFamilies",
            "may not be set for ExternalName services",
        ),
    ],
)
async def test_what_does_not_fit_together_is_refused(dual: Registry, asked: Object, field: str, words: str) -> None:
    with pytest.raises(ApiError, match=words) as caught:
        await create(dual, **asked)
    assert (caught.value.code, caught.value.causes[0].field) == (422, field)


async def test_a_cluster_of_one_family_says_so(registry: Registry) -> None:
    with pytest.raises(ApiError, match="this cluster is not configured for dual-stack services"):
        await create(registry, ipFamilyPolicy="RequireDualStack")
    with pytest.raises(ApiError, match=r"spec.clusterIPs\[0\]: .*IPv6 is not configured on this cluster"):
        await create(registry, clusterIP="fd00:10:96::9")


async def test_a_second_family_comes_and_goes_and_the_first_address_stays(dual: Registry) -> None:
    first = (await create(dual))["clusterIP"]
    both = await change(dual, ipFamilyPolicy="RequireDualStack")
    assert (both["clusterIPs"][0], families_of(both)) == (first, ["IPv4", "IPv6"])
    one = await change(dual, ipFamilyPolicy="SingleStack")
    assert (one["clusterIPs"], one["ipFamilies"]) == ([first], ["IPv4"])


async def test_a_second_address_goes_only_with_the_policy(dual: Registry) -> None:
    spec = await create(dual, ipFamilyPolicy="PreferDualStack")
    for reduced in ({"clusterIPs": spec["clusterIPs"][:1]}, {"ipFamilies": ["IPv4"]}):
        with pytest.raises(ApiError, match="must be 'SingleStack' to release the secondary"):
            await change(dual, **reduced)
    kept = await change(dual, ipFamilyPolicy="SingleStack", ipFamilies=["IPv4"])
    assert kept["clusterIPs"] == spec["clusterIPs"][:1]


async def test_the_first_family_and_address_may_not_change(dual: Registry) -> None:
    spec = await create(dual, ipFamilyPolicy="PreferDualStack")
    with pytest.raises(ApiError, match=r"spec.ipFamilies\[0\]: .*may not change once set"):
        await change(dual, ipFamilies=["IPv6", "IPv4"])
    turned = spec["clusterIPs"][::-1]
    with pytest.raises(ApiError, match=r"spec.clusterIPs\[0\]: .*may not change once set"):
        await change(dual, clusterIP=turned[0], clusterIPs=turned, ipFamilies=["IPv6", "IPv4"])


async def test_a_client_that_knows_one_address_keeps_both(dual: Registry) -> None:
    spec = await create(dual, ipFamilyPolicy="RequireDualStack")
    manifest = service("web", clusterIP=spec["clusterIP"], selector={"app": "new"})
    updated = (await dual.update(kinds.SERVICES, manifest))["spec"]
    assert (updated["clusterIPs"], updated["ipFamilyPolicy"]) == (spec["clusterIPs"], "RequireDualStack")


async def test_an_external_name_has_none_and_gets_them_back(dual: Registry) -> None:
    await create(dual, ipFamilyPolicy="PreferDualStack")
    external = await change(dual, type="ExternalName", externalName="a.test")
    assert not external.keys() & {"clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"}
    assert families_of(await change(dual, type="ClusterIP", externalName=None)) == ["IPv4"]


async def test_what_only_prefers_two_families_is_not_changed_by_an_update(registry: Registry) -> None:
    await create(registry, ipFamilyPolicy="PreferDualStack")
    later = Registry(registry.store, service_cidr=",".join(RANGES.values()))
    assert families_of(await change(later, selector={"app": "new"})) == ["IPv4"]
    assert families_of(await change(later, ipFamilyPolicy="RequireDualStack")) == ["IPv4", "IPv6"]


async def test_a_cluster_that_has_lost_a_family_still_takes_a_status(dual: Registry) -> None:
    spec = await create(dual, ipFamilyPolicy="RequireDualStack")
    smaller = Registry(dual.store)
    changed = await smaller.modify(
        kinds.SERVICES, "web", "default", lambda obj: {**obj, "status": {"loadBalancer": {}}}, subresource="status"
    )
    assert changed is not None
    assert changed["spec"]["clusterIPs"] == spec["clusterIPs"]


ADDRESSES = st.sampled_from(["10.96.0.9", "fd00:10:96::9", "None"])
SPECS = st.fixed_dictionaries(
    {},
    optional={
        "ipFamilyPolicy": st.sampled_from(["SingleStack", "PreferDualStack", "RequireDualStack"]),
        "ipFamilies": st.lists(st.sampled_from(list(RANGES)), max_size=2),
        "clusterIPs": st.lists(ADDRESSES, min_size=1, max_size=2),
        "selector": st.just({"app": "web"}),
    },
)


@given(SPECS)
async def test_whatever_is_taken_is_whole_and_taken_again_as_it_is(asked: Object) -> None:
    dual = Registry(Store(), service_cidr=",".join(RANGES.values()))
    await dual.create(kinds.NAMESPACES, {"metadata": {"name": "default"}})
    if "clusterIPs" in asked:
        asked = {**asked, "clusterIP": asked["clusterIPs"][0]}
    try:
        made = await dual.create(kinds.SERVICES, {**service("web"), "spec": {"ports": [{"port": 80}], **asked}})
    except ApiError as error:
        if error.code != 422:
            raise
        return
    spec = made["spec"]
    families = spec["ipFamilies"]
    assert len(set(families)) == len(families) == {"SingleStack": 1}.get(spec["ipFamilyPolicy"], 2)
    assert spec["clusterIP"] == spec["clusterIPs"][0]
    if spec["clusterIP"] != "None":
        assert families_of(spec) == families
        assert all(ip_address(a) in ip_network(RANGES[f]) for a, f in zip(spec["clusterIPs"], families, strict=True))
    assert families[: len(asked.get("ipFamilies", ()))] == asked.get("ipFamilies", [])
    again = await dual.update(kinds.SERVICES, deepcopy(made))
    assert again["spec"] == spec
