"""Keeps the node's packet filter at what the NetworkPolicies say.

Without any there are no rules, and pods are not watched.

A pod is admitted before it has its address, so the policies that exist then hold for its first packet; of changes the
rules are rewritten as far as they differ. Established connections stay as they are, as with every network plugin that
goes by connection tracking.

What the kernel refuses to load: the policies that it refuses by themselves are closed (what they select is isolated,
and none of their rules lets anything in), and an Event says so. If not even that can be loaded, the rules stay as they
were, the lab is not ready, pods that a policy selects do not start, and it is tried again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Iterator

import msgspec

from mesh_lab.backoff import Backoff
from mesh_lab.kube.changes import Object
from mesh_lab.kube.isolation import IsolationError
from mesh_lab.kube.network.nft import Nft, NftError
from mesh_lab.kube.network.policies.compiling import compile_policies
from mesh_lab.kube.network.policies.model import Member, NamedPort, Rule, World
from mesh_lab.kube.network.policies.text import FAMILIES, NOTHING, Family, Table, change, render
from mesh_lab.kube.objects.containers import Container
from mesh_lab.kube.objects.meta import ObjectMeta, View
from mesh_lab.kube.objects.policies import NetworkPolicy
from mesh_lab.kube.recording import WARNING, Recorder
from mesh_lab.kube.reflector import follow
from mesh_lab.kube.registry.registry import Registry
from mesh_lab.kube.registry.syntax.names import port_name_problem
from mesh_lab.kube.registry.syntax.networks import network
from mesh_lab.kube.resources import NAMESPACES, NETWORK_POLICIES, PODS, Resource

log = logging.getLogger(__name__)

GATHER_SECONDS = 0.003
"""Debounce: changes within this time are applied together."""

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.1, 10.0


class NetworkPolicies:
    """The policies of a cluster, in force on its only node; implements `mesh_lab.kube.isolation.Isolation`.

    `standing` are members of the network that are no pods: cluster DNS.
    """

    def __init__(self, registry: Registry, nft: Nft, recorder: Recorder, standing: Iterable[Member] = ()) -> None:
        self._registry = registry
        self._nft = nft
        self._recorder = recorder
        self._standing = tuple(standing)
        self._addresses: dict[str, tuple[str, ...]] = {}
        self._pods: dict[str, tuple[str, Member]] = {}
        self._read: dict[str, tuple[str, NetworkPolicy]] = {}
        self._applied: tuple[tuple[NetworkPolicy, ...], World] = (), World()
        self._tables: dict[Family, Table | None] = dict.fromkeys(FAMILIES, NOTHING)
        self._watching: list[asyncio.Task[None]] = []
        self._wake = asyncio.Event()
        self._lock = asyncio.Lock()
        self.trouble = ""
        """Why the policies are not in force; empty when they are."""

    async def run(self) -> None:
        """Keep the rules up to date until cancelled. After an error they are applied again, with back-off."""
        backoff = Backoff(FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch(NETWORK_POLICIES))
            while True:
                await self._wake.wait()
                await asyncio.sleep(GATHER_SECONDS)
                self._wake.clear()
                try:
                    await self._apply()
                except NftError as error:
                    pause = backoff.next()
                    log.error("the NetworkPolicies are not in force (again in %.1f s): %s", pause, error)  # noqa: TRY400
                    await asyncio.sleep(pause)
                    self._wake.set()
                    continue
                backoff.reset()
                self._watch_members(group)

    # Called by the node.

    async def admit(self, uid: str, addresses: tuple[str, ...]) -> None:
        """A pod is about to get addresses; see `Isolation.admit`."""
        self._addresses[uid] = addresses
        try:
            await self._apply()
        except NftError as error:
            if any(map(self._is_isolated, addresses)):
                del self._addresses[uid]
                raise IsolationError(f"its NetworkPolicies cannot be put in force: {error}") from error

    def release(self, uid: str) -> None:
        """The pod has its addresses no more."""
        self._addresses.pop(uid, None)
        self._pods.pop(uid, None)
        self._wake.set()

    def clear(self) -> None:
        """No pod has an address."""
        self._addresses.clear()
        self._pods.clear()
        self._wake.set()

    # The present state.

    def _present(self) -> tuple[tuple[NetworkPolicy, ...], World]:
        """The policies and, where there are any, all that they are about: as it is stored, whatever watches know."""
        policies = tuple(self._policies())
        if not policies:
            self._pods.clear()
            return (), World()
        namespaces = {
            each["metadata"]["name"]: each["metadata"].get("labels") or {} for each in self._registry.list(NAMESPACES)
        }
        return policies, World((*self._standing, *self._members()), namespaces)

    def _policies(self) -> Iterator[NetworkPolicy]:
        former, self._read = self._read, {}
        for obj in self._registry.list(NETWORK_POLICIES):
            uid, version = obj["metadata"]["uid"], obj["metadata"]["resourceVersion"]
            known = former.get(uid)
            if known is None or known[0] != version:
                known = version, self._sound(obj)
            self._read[uid] = known
            yield known[1]

    def _sound(self, obj: Object) -> NetworkPolicy:
        """The policy; closed where it is of a lab that stored what this one would refuse."""
        policy = msgspec.convert(obj, NetworkPolicy)
        if fault := next(_faults(policy), ""):
            self._tell(obj, fault)
            return _closed(policy)
        return policy

    def _members(self) -> Iterator[Member]:
        for obj in self._registry.list(PODS):
            uid, version = obj["metadata"]["uid"], obj["metadata"]["resourceVersion"]
            addresses = self._addresses.get(uid)
            if addresses is None:
                continue
            known = self._pods.get(uid)
            if known is None or known[0] != version or known[1].addresses != addresses:
                known = self._pods[uid] = version, _member(obj, addresses)
            yield known[1]

    # What is in force.

    async def _apply(self) -> None:
        """Put the present state in force.

        Raises:
            NftError: it is not in force, nor closed instead.
        """
        async with self._lock:
            present = self._present()
            if present == self._applied and not self.trouble:
                return
            try:
                await self._load(*present)
            except NftError as error:
                self.trouble = f"the NetworkPolicies are not in force: {error}"
                raise
            self._applied, self.trouble = present, ""

    async def _load(self, policies: tuple[NetworkPolicy, ...], world: World) -> None:
        if not await self._objection(policies, world):
            return
        # Now that nothing is known of the table, all of it is made anew.
        if not (reason := await self._objection(policies, world)):
            return
        refused = {policy.metadata.uid: why for policy in policies if (why := await self._refusal(policy, world))}
        refused = refused or {policy.metadata.uid: reason for policy in policies}
        await self._change(tuple(_closed(each) if each.metadata.uid in refused else each for each in policies), world)
        for uid, why in refused.items():
            self._report(uid, why)

    async def _objection(self, policies: tuple[NetworkPolicy, ...], world: World) -> str:
        """Put policies in force; return what the kernel has against them, empty when they are."""
        try:
            await self._change(policies, world)
        except NftError as error:
            log.warning("the NetworkPolicies were refused: %s", error)
            return str(error)
        return ""

    async def _change(self, policies: tuple[NetworkPolicy, ...], world: World) -> None:
        wanted, text = {}, ""
        for each in FAMILIES:
            wanted[each] = render(compile_policies(policies, world, each.version), each)
            part = change(self._tables[each], wanted[each], each)
            if part:
                # Until the new one is known to be there, nothing is known of the table, whatever ends the call.
                self._tables[each] = None
            text += part
        if text:
            await self._nft.apply(text)
        self._tables |= wanted

    async def _refusal(self, policy: NetworkPolicy, world: World) -> str:
        """Return what the kernel has against a policy by itself; empty when it would take it."""
        tables = ((render(compile_policies((policy,), world, each.version), each), each) for each in FAMILIES)
        text = "".join(change(None, table, family) for table, family in tables if table.chains)
        try:
            await self._nft.check(text)
        except NftError as error:
            return str(error)
        return ""

    def _report(self, uid: str, why: str) -> None:
        for obj in self._registry.list(NETWORK_POLICIES):
            if obj["metadata"]["uid"] == uid:
                self._tell(obj, why)

    def _tell(self, obj: Object, why: str) -> None:
        message = f"Not carried out: the pods that it selects are isolated, and none of its rules holds: {why}"
        self._recorder.record(obj, WARNING, "NotEnforced", message)

    def _is_isolated(self, address: str) -> bool:
        policies, world = self._present()
        version = 6 if ":" in address else 4
        return any(address in doors for doors in compile_policies(policies, world, version).isolated.values())

    # What may change it.

    def _watch_members(self, group: asyncio.TaskGroup) -> None:
        """Watch pods and namespaces while there are policies."""
        if self._applied[0] and not self._watching:
            self._watching = [group.create_task(self._watch(each)) for each in (PODS, NAMESPACES)]
        elif not self._applied[0]:
            for task in self._watching:
                task.cancel()
            self._watching = []

    async def _watch(self, resource: Resource) -> None:
        async for _ in follow(self._registry, resource):
            self._wake.set()


class _PodSpec(View, frozen=True, kw_only=True):
    containers: tuple[Container, ...] = ()
    init_containers: tuple[Container, ...] = ()


class _Pod(View, frozen=True, kw_only=True):
    """The little of a pod that policies are about."""

    metadata: ObjectMeta
    spec: _PodSpec = _PodSpec()


def _member(obj: Object, addresses: tuple[str, ...]) -> Member:
    pod = msgspec.convert(obj, _Pod)
    running = (*pod.spec.containers, *(each for each in pod.spec.init_containers if each.is_sidecar))
    ports = tuple(
        NamedPort(port.name, port.protocol.lower(), port.container_port)
        for container in running
        for port in container.ports
        if port.name
    )
    return Member(pod.metadata.namespace, pod.metadata.labels, addresses, ports)


def _faults(policy: NetworkPolicy) -> Iterator[str]:
    """What cannot be compiled, nor written in nft's language."""
    rules: tuple[Rule, ...] = (*policy.spec.ingress, *policy.spec.egress)
    blocks = (peer.ip_block for rule in rules for peer in rule.peers if peer.ip_block is not None)
    texts = (text for block in blocks for text in (block.cidr, *block.excepted))
    yield from (f"{text!r} is no network" for text in texts if network(text) is None)
    names = (port.port for rule in rules for port in rule.ports if isinstance(port.port, str))
    yield from (f"{name!r} is no name of a port" for name in names if port_name_problem(name))


def _closed(policy: NetworkPolicy) -> NetworkPolicy:
    """The policy without its rules: it isolates what it selects, and allows nothing."""
    spec = msgspec.structs.replace(policy.spec, ingress=(), egress=())
    return msgspec.structs.replace(policy, spec=spec)
