"""ServiceIntentions as the internal model has them: which clients each service denies.

Of all intentions for a call the most exact counts: first by the destination, then by the source. What none is for is
let in, as with Consul without ACLs. https://developer.hashicorp.com/consul/docs/connect/intentions

Consul knows a client by the name of its service, the mesh by its service account. A service's accounts are those of its
pods and machines. An account that others have as well cannot tell them apart: what is denied to one of them is denied
to all, and what is allowed to one is allowed to none by that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, cast

from mesh_lab.controlplane.dialects.consul.kinds import ServiceIntentions
from mesh_lab.controlplane.dialects.consul.kinds.intentions import (
    HeaderPermission,
    IntentionHTTPPermission,
    SourceIntention,
)
from mesh_lab.controlplane.dialects.consul.objects import Sources, is_permissive, spec_of
from mesh_lab.controlplane.model import AuthorizationPolicy
from mesh_lab.controlplane.model.base import WorkloadSelector
from mesh_lab.controlplane.model.clients import ClientRule, HeaderTest, RequestTest, Unless, WorkloadPolicy
from mesh_lab.controlplane.world.gatewayapi import Resource
from mesh_lab.controlplane.world.kubernetes import ObjectKey, Origin, Pod
from mesh_lab.controlplane.world.snapshot import Config

ANY = "*"
_UNKNOWN = ""
"""Clients without an identity of the mesh."""
_REFUSE_ALL = SourceIntention(name=ANY, namespace=ANY, action="deny")
_NO_REQUEST = Unless(RequestTest(), (RequestTest(),))
"""Denies no request, and every connection that is not of HTTP."""


class Intention(NamedTuple):
    """One source of one destination, with all names in full."""

    destination: ObjectKey
    source: ObjectKey
    said: SourceIntention
    origin: Origin
    created: str

    @property
    def level(self) -> tuple[int, int]:
        """Its precedence: the less, the sooner it counts."""
        return (self.destination.count(ANY), self.source.count(ANY))


@dataclass(frozen=True)
class Workloads:
    """The pods and machines of the mesh by the names of services, and the accounts by which these are known."""

    pods: Iterable[Pod]
    selectors: Mapping[ObjectKey, Mapping[str, str]]

    @cached_property
    def _by_account(self) -> Mapping[str, list[Pod]]:
        found: dict[str, list[Pod]] = {}
        for pod in self.pods:
            if not pod.service_account:  # a WorkloadEntry need not say it
                continue
            found.setdefault(f"{pod.namespace}/{pod.service_account}", []).append(pod)
        return found

    def accounts(self, service: ObjectKey) -> tuple[str, ...]:
        """The accounts of a service's workloads; where it has none, the account of its name, as consul-k8s has it.

        An account that no workload is known by is one of them, too: a proxy may have it before istiod knows whose.
        """
        selector = self.selectors.get(service)
        found = self._behind(service, selector) if selector is not None else ()
        return found or ("/".join(service),)

    def own_accounts(self, service: ObjectKey) -> tuple[str, ...]:
        """Of these, those that no other workload has."""
        selector = self.selectors.get(service)
        if selector is None:
            return self.accounts(service)
        return tuple(
            account
            for account in self.accounts(service)
            if all(self._is_of(pod, service, selector) for pod in self._by_account.get(account, ()))
        )

    def knows(self, service: ObjectKey) -> bool:
        """Whether any workload is known by the name of a service."""
        return any(account in self._by_account for account in self.accounts(service))

    def _behind(self, service: ObjectKey, selector: Mapping[str, str]) -> tuple[str, ...]:
        return tuple(
            account
            for account, pods in self._by_account.items()
            if any(self._is_of(pod, service, selector) for pod in pods)
        )

    @staticmethod
    def _is_of(pod: Pod, service: ObjectKey, selector: Mapping[str, str]) -> bool:
        return pod.namespace == service[0] and all(pod.labels.get(key) == value for key, value in selector.items())


def workloads_of(sources: Sources) -> Workloads:
    """Those of a snapshot."""
    selectors = {key: service.selector for key, service in sources.services.items() if service.selector}
    return Workloads(sources.workloads, selectors)


def intentions(sources: Sources) -> Iterator[Intention]:
    """All intentions. An object in error denies all calls to its destination."""
    for resource in sources.all(ServiceIntentions).values():
        spec = spec_of(resource)
        destination, said = _destination(resource, spec), spec.sources if spec is not None else [_REFUSE_ALL]
        for source in said:
            name = (source.namespace or resource.namespace, source.name)
            yield Intention(destination, name, source, resource.origin, resource.created)


def _destination(resource: Resource[ServiceIntentions], spec: ServiceIntentions | None) -> ObjectKey:
    """What an object is for; where that cannot be read, the whole of its namespace."""
    if spec is not None:
        return (spec.destination.namespace or resource.namespace, spec.destination.name)
    raw = resource.raw.get("destination")
    stated: Mapping[str, Any] = raw if isinstance(raw, Mapping) else {}
    name, namespace = stated.get("name"), stated.get("namespace")
    return (
        namespace if isinstance(namespace, str) and namespace else resource.namespace,
        name if isinstance(name, str) and name else ANY,
    )


def policies(sources: Sources) -> Iterator[Config[AuthorizationPolicy]]:
    """One policy for each service that is named, and one for the others of each namespace that a wildcard is for."""
    found = sorted(intentions(sources), key=lambda each: (each.level, each.origin.key))
    if not found:
        return
    workloads = workloads_of(sources)
    named = {each.destination for each in found if ANY not in each.destination}
    for service in sorted(named & workloads.selectors.keys()):
        selector = WorkloadSelector(match_labels=dict(workloads.selectors[service]))
        yield from _policy(service, _for(found, service), selector, (), sources, workloads)
    everywhere = {*sources.namespaces, *(pod.namespace for pod in sources.workloads)} - {sources.root_namespace}
    for namespace in sorted(everywhere):
        concerned = _for(found, (namespace, ANY))
        apart = [workloads.selectors[s] for s in sorted(named & workloads.selectors.keys()) if s[0] == namespace]
        apart += [p.labels for p in sources.pods.values() if p.router and p.namespace == namespace]
        yield from _policy((namespace, ANY), concerned, None, apart, sources, workloads)


def _for(found: list[Intention], service: ObjectKey) -> list[Intention]:
    """The intentions for the calls to a service, the most exact first."""
    namespace, name = service
    wanted = {service, (namespace, ANY), (ANY, ANY)} if name != ANY else {(namespace, ANY), (ANY, ANY)}
    return [each for each in found if each.destination in wanted]


def _policy(
    service: ObjectKey,
    concerned: list[Intention],
    selector: WorkloadSelector | None,
    apart: Iterable[Mapping[str, str]],
    sources: Sources,
    workloads: Workloads,
) -> Iterator[Config[AuthorizationPolicy]]:
    rules = list(_rules(concerned, workloads))
    if not rules:
        return
    if not is_permissive(sources, service):
        rules.append(ClientRule(clients=(_UNKNOWN,)))
    spec = WorkloadPolicy(
        selector=selector, rules=cast("list[Any]", rules), action="DENY", apart_from=tuple(map(dict, apart))
    )
    origins = tuple(dict.fromkeys(each.origin for each in concerned))
    name = f"{service[1].replace(ANY, 'all')}-consul"
    created = min(each.created for each in concerned)
    yield Config(origins[0], service[0], name, {}, created, spec, merged_from=origins[1:])


def _rules(concerned: list[Intention], workloads: Workloads) -> Iterator[ClientRule]:
    """What is denied to the clients of each source, but for those that a more exact intention is for."""
    settled: list[str] = []
    level, passed = (-1, -1), list[str]()
    for each in concerned:
        if each.level != level:
            level = each.level
            settled += passed
            passed = []
        denied = _denied(each.said)
        clients = _clients(each.source, workloads.accounts)
        if denied is not None and clients:
            yield ClientRule(clients=clients, but_not=tuple(dict.fromkeys(settled)), requests=denied)
        if each.said.action != "deny":
            passed += _clients(each.source, workloads.own_accounts)


def _clients(source: ObjectKey, known: Callable[[ObjectKey], tuple[str, ...]]) -> tuple[str, ...]:
    """The accounts that a source means, `known` by name; a wildcard means all of a namespace, or all."""
    namespace, name = source
    if namespace == ANY:
        return (ANY,)
    return (f"{namespace}/{ANY}",) if name == ANY else known(source)


def _denied(said: SourceIntention) -> tuple[Unless, ...] | None:
    """The requests that a source is denied: none of them (None), all (an empty tuple), or those of some forms."""
    if said.action == "allow":
        return None
    if said.action == "deny":
        return ()
    found: list[Unless] = []
    before: list[RequestTest] = []
    for permission in said.permissions:
        test = _test(permission.http) if permission.http is not None else RequestTest()
        if permission.action == "allow":
            before.append(test)
        else:
            found.append(Unless(test, tuple(before)))
    return tuple(found) or (_NO_REQUEST,)


def _test(http: IntentionHTTPPermission) -> RequestTest:
    return RequestTest(
        http.path_exact, http.path_prefix, http.path_regex, tuple(http.methods), tuple(map(_header, http.header))
    )


def _header(each: HeaderPermission) -> HeaderTest:
    for kind in ("exact", "prefix", "suffix", "contains", "regex"):
        value = getattr(each, kind)
        if value:
            return HeaderTest(each.name.lower(), kind, value, each.ignore_case, each.invert)
    return HeaderTest(each.name.lower(), "present", invert=each.invert)


class Confusion(NamedTuple):
    """A source that cannot be told from others, or that no workload is."""

    origin: Origin
    path: str
    message: str


def confusions(sources: Sources) -> Iterator[Confusion]:
    """Sources that no workload is called by, or whose account others have as well; destinations that are no Service.

    And destinations that several objects are for, of which Consul's webhook takes one only.
    """
    workloads = workloads_of(sources)
    named: dict[ObjectKey, Origin] = {}
    for resource in sorted(sources.all(ServiceIntentions).values(), key=lambda each: each.precedence):
        spec = spec_of(resource)
        if spec is None:
            continue
        destination = _destination(resource, spec)
        first = named.setdefault(destination, resource.origin)
        if first is not resource.origin:
            text = f"{first.namespace}/{first.name} is for the same destination: what either denies is denied"
            yield Confusion(resource.origin, "spec.destination", text)
        if ANY not in destination and destination not in workloads.selectors:
            text = f"there is no Service {destination[0]}/{destination[1]} with pods: it denies nothing"
            yield Confusion(resource.origin, "spec.destination.name", text)
        for index, source in enumerate(spec.sources):
            key = (source.namespace or resource.namespace, source.name)
            if ANY not in key:
                yield from _confused(resource.origin, f"spec.sources[{index}].name", key, workloads)


def _confused(origin: Origin, path: str, source: ObjectKey, workloads: Workloads) -> Iterator[Confusion]:
    accounts, own = workloads.accounts(source), workloads.own_accounts(source)
    if not workloads.knows(source):
        text = f"no workload is called {source[0]}/{source[1]}: there is neither such a Service nor such an account"
        yield Confusion(origin, path, text)
    for account in sorted(set(accounts) - set(own)):
        text = (
            f"the service account {account} of {source[1]} is that of other workloads, too, and so they are not told "
            "apart: what is allowed to it by name is not allowed by that, and what is denied to it is denied to all of "
            "them; give it an account of its own"
        )
        yield Confusion(origin, path, text)
