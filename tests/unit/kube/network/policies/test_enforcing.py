"""Rules follow what is stored, cost nothing without policies, and what the kernel refuses stays closed and is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from mesh_lab.kube.isolation import IsolationError
from mesh_lab.kube.network.nft import Nft, NftError
from mesh_lab.kube.network.policies.enforcing import NetworkPolicies
from mesh_lab.kube.network.policies.model import Member
from mesh_lab.kube.recording import Recorder
from mesh_lab.kube.registry.registry import Registry
from mesh_lab.kube.resources import EVENTS, NAMESPACES, NETWORK_POLICIES, PODS, SERVICEACCOUNTS
from mesh_lab.kube.store import Store

Object = dict[str, Any]
LIMIT = 10.0
DENY: Object = {"podSelector": {"matchLabels": {"app": "web"}}}


class FakeNft(Nft):
    """Takes scripts, but for those that hold a forbidden word, and notes them."""

    def __init__(self) -> None:
        self.taken: list[str] = []
        self.forbidden: str | None = None

    async def apply(self, text: str) -> None:
        await self.check(text)
        self.taken.append(text)

    async def check(self, text: str) -> None:
        await asyncio.sleep(0)
        if self.forbidden is not None and self.forbidden in text:
            raise NftError(f"the kernel knows no {self.forbidden}")


class Lab:
    """A registry, and its policies over a fake kernel."""

    def __init__(self) -> None:
        self.registry = Registry(Store())
        self.nft = FakeNft()
        self.recorder = Recorder(self.registry, "network")
        dns = Member("kube-system", {"k8s-app": "kube-dns"}, ("10.96.0.10",))
        self.policies = NetworkPolicies(self.registry, self.nft, self.recorder, [dns])

    async def policy(self, name: str, spec: Object, namespace: str = "default") -> None:
        await self.registry.create(NETWORK_POLICIES, {"metadata": {"name": name, "namespace": namespace}, "spec": spec})

    async def pod(self, name: str, address: str, *ports: Object, **labels: str) -> str:
        """Store a pod, and have the node admit it; returns its uid."""
        container = {"name": "main", "image": "app", "ports": list(ports)}
        metadata = {"name": name, "namespace": "default", "labels": labels}
        obj = {"metadata": metadata, "spec": {"containers": [container]}}
        uid: str = (await self.registry.create(PODS, obj))["metadata"]["uid"]
        await self.policies.admit(uid, (address,))
        return uid

    async def relabel(self, name: str, **labels: str) -> None:
        await self.registry.modify(
            PODS, name, "default", lambda old: {**old, "metadata": {**old["metadata"], "labels": labels}}
        )

    async def until(self, holds: Callable[[str], bool]) -> None:
        """Wait until the scripts taken so far are as they should be."""
        async with asyncio.timeout(LIMIT):
            while not holds("".join(self.nft.taken)):  # noqa: ASYNC110
                await asyncio.sleep(0.002)

    async def events(self) -> list[Object]:
        """Wait for the first events."""
        async with asyncio.timeout(LIMIT):
            while not (events := self.registry.list(EVENTS)):  # noqa: ASYNC110
                await asyncio.sleep(0.002)
        return events

    def forget(self) -> None:
        """Begin anew with what is taken."""
        self.nft.taken.clear()


@pytest.fixture
async def lab() -> AsyncIterator[Lab]:
    made = Lab()
    await made.registry.bootstrap()
    await made.registry.create(SERVICEACCOUNTS, {"metadata": {"name": "default", "namespace": "default"}})
    async with asyncio.TaskGroup() as group:
        running = [group.create_task(each.run()) for each in (made.policies, made.recorder)]
        yield made
        for each in running:
            each.cancel()


async def test_without_policies_nothing_is_done(lab: Lab) -> None:
    uid = await lab.pod("web", "10.244.0.2", app="web")
    await lab.relabel("web", app="db")
    lab.policies.release(uid)
    lab.policies.clear()
    await asyncio.sleep(0.02)
    assert lab.nft.taken == []
    assert lab.policies._watching == []
    assert lab.policies.trouble == ""


async def test_a_pod_has_its_rules_when_it_is_admitted(lab: Lab) -> None:
    await lab.policy("deny", DENY)
    await lab.pod("web", "10.244.0.2", app="web")
    assert "10.244.0.2 : goto guard/in/" in "".join(lab.nft.taken), "before its containers start, not soon after"


async def test_rules_follow_pods_namespaces_and_policies(lab: Lab) -> None:
    await lab.policy("allow", DENY | {"ingress": [{"from": [{"namespaceSelector": {"matchLabels": {"team": "red"}}}]}]})
    await lab.pod("web", "10.244.0.2", app="web")
    uid = await lab.pod("client", "10.244.0.3")
    lab.forget()
    await lab.registry.modify(
        NAMESPACES, "default", "", lambda old: {**old, "metadata": {**old["metadata"], "labels": {"team": "red"}}}
    )
    await lab.until(lambda text: "{ 10.244.0.2, 10.244.0.3 }" in text)
    lab.forget()
    await lab.relabel("client", app="web")
    await lab.until(lambda text: "add element ip mesh_lab_policies ingress { 10.244.0.3 : goto" in text)
    lab.forget()
    lab.policies.release(uid)
    await lab.until(lambda text: "delete element ip mesh_lab_policies ingress { 10.244.0.3 : goto" in text)
    lab.forget()
    await lab.registry.delete(NETWORK_POLICIES, "allow", "default")
    await lab.until(lambda text: text == "table ip mesh_lab_policies\ndelete table ip mesh_lab_policies\n")
    async with asyncio.timeout(LIMIT):
        while lab.policies._watching:  # noqa: ASYNC110
            await asyncio.sleep(0.002)


async def test_cluster_dns_is_a_pod_to_policies(lab: Lab) -> None:
    peer = {"namespaceSelector": {}, "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}}}
    await lab.policy("dns-only", {"podSelector": {}, "policyTypes": ["Egress"], "egress": [{"to": [peer]}]})
    await lab.pod("web", "10.244.0.2")
    assert "{ 10.96.0.10 }" in "".join(lab.nft.taken)


async def test_named_ports_are_the_containers(lab: Lab) -> None:
    await lab.policy("named", DENY | {"ingress": [{"ports": [{"port": "http"}]}]})
    await lab.pod("web", "10.244.0.2", {"name": "http", "containerPort": 8080}, app="web")
    assert "port/tcp/http { 10.244.0.2 . tcp . 8080 }" in "".join(lab.nft.taken)


async def test_a_change_that_is_refused_is_made_by_loading_all_anew(lab: Lab) -> None:
    await lab.policy("deny", DENY)
    await lab.pod("web", "10.244.0.2", app="web")
    lab.nft.forbidden = "mesh_lab_policies ingress { 10.244.0.3"  # the element, not the table with both
    await lab.pod("other", "10.244.0.3", app="web")
    assert lab.nft.taken[-1].startswith("table ip mesh_lab_policies\ndelete table")
    assert lab.policies.trouble == ""


async def test_a_policy_that_the_kernel_refuses_is_closed_and_says_so(lab: Lab) -> None:
    lab.nft.forbidden = "sctp"
    await lab.policy("sound", {"podSelector": {"matchLabels": {"app": "db"}}, "ingress": [{"ports": [{"port": 5432}]}]})
    await lab.policy("refused", DENY | {"ingress": [{"ports": [{"port": 80, "protocol": "SCTP"}]}, {}]})
    await lab.pod("web", "10.244.0.2", app="web")
    await lab.pod("db", "10.244.0.3", app="db")
    text = lab.nft.taken[-1]
    assert "tcp dport { 5432 } accept" in text, "others hold as they are"
    assert "10.244.0.2 : goto guard/in/" in text
    assert not [line for line in text.splitlines() if "/default/refused/" in line and "accept" in line]
    assert lab.policies.trouble == ""
    events = await lab.events()
    assert {(each["involvedObject"]["name"], each["reason"]) for each in events} == {("refused", "NotEnforced")}
    assert "the kernel knows no sctp" in events[0]["message"]


@pytest.mark.parametrize(
    ("rule", "fault"),
    [
        ({"from": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["nowhere"]}}]}, "'nowhere' is no network"),
        ({"from": [{"ipBlock": {"cidr": "10.0.0.1"}}]}, "'10.0.0.1' is no network"),
        ({"ports": [{"port": "http; flush ruleset"}]}, "'http; flush ruleset' is no name of a port"),
    ],
)
async def test_a_policy_of_an_older_lab_that_cannot_be_read_is_closed_and_says_so(
    lab: Lab, rule: Object, fault: str
) -> None:
    await lab.policy("old", DENY | {"ingress": [{"from": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}]})
    await lab.policy("new", {"podSelector": {}, "policyTypes": ["Egress"], "egress": [{}]})
    stored = lab.registry.get(NETWORK_POLICIES, "old", "default")
    damaged = stored | {"spec": stored["spec"] | {"ingress": [rule, {}]}}
    await lab.registry.store.put(NETWORK_POLICIES.key, "default", "old", damaged)
    await lab.pod("web", "10.244.0.2", app="web")
    text = "".join(lab.nft.taken)
    assert not [line for line in text.splitlines() if "/default/old/" in line and "accept" in line]
    assert "10.244.0.2 : goto guard/in/" in text
    (event,) = await lab.events()
    assert (event["involvedObject"]["name"], event["reason"]) == ("old", "NotEnforced")
    assert event["message"].endswith(fault)


async def test_without_rules_no_isolated_pod_starts_and_others_do(lab: Lab) -> None:
    await lab.policy("deny", DENY)
    lab.nft.forbidden = "table ip "  # which every script holds
    with pytest.raises(IsolationError, match="the kernel knows no"):
        await lab.pod("web", "10.244.0.2", app="web")
    assert lab.policies.trouble.startswith("the NetworkPolicies are not in force")
    await lab.pod("db", "10.244.0.3", app="db")
    lab.nft.forbidden = None
    web = lab.registry.get(PODS, "web", "default")["metadata"]["uid"]
    await lab.policies.admit(web, ("10.244.0.4", "fd00:10:244::4"))
    for address in ("10.244.0.4", "fd00:10:244::4"):
        assert f"{address} : goto guard/in/" in "".join(lab.nft.taken)
    assert lab.policies.trouble == ""
