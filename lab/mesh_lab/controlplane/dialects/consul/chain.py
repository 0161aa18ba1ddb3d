"""The discovery chain of a service: its ServiceRouter, then ServiceSplitters, then ServiceResolvers, down to targets.

Follows Consul's compiler (agent/consul/discoverychain/compile.go). An entry that does not fit the others has no effect
and says why, where Consul's servers refuse to store it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from mesh_lab.controlplane.dialects.consul.kinds import ServiceResolver, ServiceRouter, ServiceSplitter
from mesh_lab.controlplane.dialects.consul.kinds.common import HTTPHeaderModifiers
from mesh_lab.controlplane.dialects.consul.kinds.router import ServiceRoute
from mesh_lab.controlplane.dialects.consul.objects import HTTP_LIKE, Entry, Sources, protocol_of
from mesh_lab.controlplane.world.kubernetes import ObjectKey, Origin


class Target(NamedTuple):
    """Instances that requests end at: of a service, or of a subset of it."""

    service: ObjectKey
    subset: str = ""


class Share(NamedTuple):
    """A target's share of requests, in hundredths of a percent, with the changes of headers on the way, outer first."""

    target: Target
    weight: int
    requests: tuple[HTTPHeaderModifiers, ...] = ()
    responses: tuple[HTTPHeaderModifiers, ...] = ()


ALL = 10_000
MOST_SPLITTERS, MOST_SHARES = 50, 1000
"""Splitters that lead to splitters would otherwise multiply without bounds."""


class Branch(NamedTuple):
    """A rule of a ServiceRouter and where it leads; None is the rule for all that no other is for."""

    rule: ServiceRoute | None
    shares: tuple[Share, ...]


@dataclass(frozen=True)
class Chain:
    """What becomes of the calls to a service. `entries` are the service's own, `others` those that they led to."""

    service: ObjectKey
    protocol: str
    branches: tuple[Branch, ...]
    entries: tuple[Entry[ServiceRouter] | Entry[ServiceSplitter] | Entry[ServiceResolver], ...]
    others: tuple[Origin, ...]

    @property
    def is_plain(self) -> bool:
        """Whether calls simply go to the service."""
        return self.branches == (Branch(None, (Share(Target(self.service), ALL),)),)


class Misfit(NamedTuple):
    """An entry that has no effect beside the others, and why."""

    origin: Origin
    message: str


class Compiled(NamedTuple):
    """A chain, and what was left out of it."""

    chain: Chain
    misfits: tuple[Misfit, ...]


class _ChainError(ValueError):
    """The entries contradict each other."""


class Destination(Protocol):
    """What splits, redirects and failovers say of where they lead."""

    @property
    def service(self) -> str:
        """The service; empty for the same."""

    @property
    def service_subset(self) -> str:
        """The subset; empty for the service's default."""

    @property
    def namespace(self) -> str:
        """The namespace; empty for the same."""


def compiled(sources: Sources, service: ObjectKey) -> Compiled:
    """The chain of a service. Where its router cannot be carried out it goes on without that, and so on."""
    router = sources.one(ServiceRouter, service)
    splitter = sources.one(ServiceSplitter, service)
    resolver = sources.one(ServiceResolver, service)
    misfits: list[Misfit] = []
    for first, second, third in ((router, splitter, resolver), (None, splitter, resolver), (None, None, resolver)):
        tried = first or second or third
        try:
            return Compiled(_Compiler(sources, service, first, second, third).chain(), tuple(misfits))
        except _ChainError as error:
            if tried is not None and all(known.origin != tried.origin for known in misfits):
                misfits.append(Misfit(tried.origin, f"discovery chain {service[1]!r} {error}"))
    plain = Branch(None, (Share(Target(service), ALL),))
    return Compiled(Chain(service, protocol_of(sources, service), (plain,), (), ()), tuple(misfits))


@dataclass
class _Compiler:
    """Makes one chain, and remembers which entries it met."""

    sources: Sources
    service: ObjectKey
    router: Entry[ServiceRouter] | None
    splitter: Entry[ServiceSplitter] | None
    resolver: Entry[ServiceResolver] | None
    met: dict[Origin, None] = field(default_factory=dict)
    split: dict[ObjectKey, tuple[Share, ...]] = field(default_factory=dict)

    def chain(self) -> Chain:
        """The chain.

        Raises:
            _ChainError: it cannot be made.
        """
        branches = tuple(self._branches())
        protocol = protocol_of(self.sources, self.service)
        if self.router is not None or self.splitter is not None:
            self._require_http(protocol, branches)
        own = tuple(entry for entry in (self.router, self.splitter, self.resolver) if entry is not None)
        others = tuple(origin for origin in self.met if all(origin != entry.origin for entry in own))
        return Chain(self.service, protocol, branches, own, others)

    def _branches(self) -> Iterator[Branch]:
        for rule in self.router.spec.routes if self.router is not None else ():
            yield Branch(rule, self._leading_to(rule.destination))
        yield Branch(None, self._shares(self.service, (self.service,)))

    def _leading_to(self, destination: Destination | None) -> tuple[Share, ...]:
        """Where a rule leads: a subset is not split any more."""
        if destination is None:
            return self._shares(self.service, (self.service,))
        target = moved(Target(self.service), destination)
        if target.subset:
            return (Share(self.resolved(target), ALL),)
        return self._shares(target.service, (target.service,))

    def _shares(self, service: ObjectKey, path: tuple[ObjectKey, ...]) -> tuple[Share, ...]:
        """The shares of a service's requests; those of a splitter that another leads to are shares of a share."""
        splitter = self._splitter(service)
        if splitter is None:
            return (Share(self.resolved(Target(service)), ALL),)
        if service in self.split:
            return self.split[service]
        if len(path) > MOST_SPLITTERS:
            raise _ChainError(f"has more than {MOST_SPLITTERS} splitters one after the other")
        self.met[splitter.origin] = None
        found: list[Share] = []
        for split in splitter.spec.splits:
            target = moved(Target(service), split)
            weight = round(split.weight * 100)
            if target.service == service or target.subset:
                inner: tuple[Share, ...] = (Share(self.resolved(target), ALL),)
            elif target.service in path:
                raise _ChainError(f"has splitters that lead to each other: {' -> '.join(n for _, n in path)}")
            else:
                inner = self._shares(target.service, (*path, target.service))
            found += [_within(each, weight, split.request_headers, split.response_headers) for each in inner]
        self.split[service] = _together(found)
        if len(self.split[service]) > MOST_SHARES:
            raise _ChainError(f"has more than {MOST_SHARES} shares")
        return self.split[service]

    def _splitter(self, service: ObjectKey) -> Entry[ServiceSplitter] | None:
        return self.splitter if service == self.service else self.sources.one(ServiceSplitter, service)

    def resolved(self, target: Target) -> Target:
        """What a target comes to by redirects and default subsets."""
        seen: list[Target] = []
        while True:
            own = target.service == self.service
            entry = self.resolver if own else self.sources.one(ServiceResolver, target.service)
            if entry is not None:
                self.met[entry.origin] = None
                following = moved(target, entry.spec.redirect) if entry.spec.redirect is not None else target
                if following != target:
                    seen.append(target)
                    if following in seen:
                        raise _ChainError("has a circular resolver redirect")
                    target = following
                    continue
            subset = target.subset or (entry.spec.default_subset if entry is not None else "")
            if subset and (entry is None or subset not in entry.spec.subsets):
                raise _ChainError(f"leads to a subset that service {target.service[1]!r} does not have: {subset!r}")
            return Target(target.service, subset)

    def _require_http(self, protocol: str, branches: tuple[Branch, ...]) -> None:
        if protocol not in HTTP_LIKE:
            raise _ChainError(
                f'uses a protocol "{protocol}" that does not permit advanced routing or splitting behavior; '
                "set spec.protocol of its ServiceDefaults to http, http2 or grpc"
            )
        for target in (share.target for branch in branches for share in branch.shares):
            other = protocol_of(self.sources, target.service)
            if other != protocol:
                raise _ChainError(
                    f'uses inconsistent protocols; service "{target.service[1]}" has "{other}" '
                    f'which is not "{protocol}"'
                )


def _together(shares: Iterable[Share]) -> tuple[Share, ...]:
    """The shares, with those as one that differ in nothing but their weights."""
    weights: dict[Share, int] = {}
    for share in shares:
        alike = share._replace(weight=0)
        weights[alike] = weights.get(alike, 0) + share.weight
    return tuple(share._replace(weight=weight) for share, weight in weights.items())


def moved(target: Target, to: Destination) -> Target:
    """Where a target is sent on to. The subset of one service is none of another's."""
    namespace, name = to.namespace or target.service[0], to.service or target.service[1]
    subset = target.subset if (namespace, name) == target.service else ""
    return Target((namespace, name), to.service_subset or subset)


def failed_over(sources: Sources, target: Target) -> Target:
    """What one that stands in comes to: by redirects and default subsets, too.

    Raises:
        ValueError: it leads nowhere.
    """
    resolver = sources.one(ServiceResolver, target.service)
    return _Compiler(sources, target.service, None, None, resolver).resolved(target)


def _within(
    share: Share, weight: int, requests: HTTPHeaderModifiers | None, responses: HTTPHeaderModifiers | None
) -> Share:
    """A share of a share. Requests pass the outer changes first, answers the inner ones."""
    before = (requests,) if requests is not None else ()
    after = (responses,) if responses is not None else ()
    return Share(
        share.target,
        round(share.weight * weight / ALL),
        (*before, *share.requests),
        (*share.responses, *after),
    )
