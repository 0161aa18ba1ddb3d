"""Which pods a selector means: an index of labels, so that a selector costs what it finds and not what there is."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from ipaddress import ip_address

from mesh_lab.kube.network.policies.model import World
from mesh_lab.kube.objects.meta import LabelSelector, LabelSelectorRequirement
from mesh_lab.kube.objects.policies import PolicyPeer

_NONE: frozenset[str] = frozenset()
_EVERYONE = LabelSelector()

PortSet = frozenset[tuple[str, str, int]]


class _Namespace:
    """The pods of a namespace, by their addresses."""

    def __init__(self) -> None:
        self.everyone: set[str] = set()
        self.having: defaultdict[str, set[str]] = defaultdict(set)
        self.equal: defaultdict[tuple[str, str], set[str]] = defaultdict(set)

    def selected(self, selector: LabelSelector) -> AbstractSet[str]:
        found: AbstractSet[str] = self.everyone
        for pair in selector.match_labels.items():
            found = found & self.equal.get(pair, _NONE)
        for term in selector.match_expressions:
            found = self._narrowed(found, term)
        return found

    def _narrowed(self, found: AbstractSet[str], term: LabelSelectorRequirement) -> AbstractSet[str]:
        """Kubernetes' rules: `NotIn` holds for an absent key; an unknown operator matches nothing."""
        match term.operator:
            case "In":
                return found & self._with_any(term)
            case "NotIn":
                return found - self._with_any(term)
            case "Exists":
                return found & self.having.get(term.key, _NONE)
            case "DoesNotExist":
                return found - self.having.get(term.key, _NONE)
            case _:
                return _NONE

    def _with_any(self, term: LabelSelectorRequirement) -> AbstractSet[str]:
        return _NONE.union(*(self.equal.get((term.key, value), _NONE) for value in term.values))


class Index:
    """A world in one address family (4 or 6): who is selected, and where ports have names."""

    def __init__(self, world: World, version: int) -> None:
        self._labels = world.namespaces
        self._namespaces: defaultdict[str, _Namespace] = defaultdict(_Namespace)
        self._ports: defaultdict[tuple[str, str], set[tuple[str, str, int]]] = defaultdict(set)
        for member in world.members:
            for address in member.addresses:
                if ip_address(address).version != version:
                    continue
                namespace = self._namespaces[member.namespace]
                namespace.everyone.add(address)
                for pair in member.labels.items():
                    namespace.having[pair[0]].add(address)
                    namespace.equal[pair].add(address)
                for name, protocol, number in member.ports:
                    self._ports[name, protocol].add((address, protocol, number))

    def selected(self, namespace: str, selector: LabelSelector) -> AbstractSet[str]:
        """The addresses of the pods of a namespace that a selector matches."""
        pods = self._namespaces.get(namespace)
        return _NONE if pods is None else pods.selected(selector)

    def peers(self, namespace: str, peer: PolicyPeer) -> Iterator[AbstractSet[str]]:
        """The addresses of the pods that a peer of a policy in `namespace` selects, in parts."""
        pods = peer.pod_selector or _EVERYONE
        if peer.namespace_selector is None:
            yield self.selected(namespace, pods)
            return
        for name, labels in self._labels.items():
            if peer.namespace_selector.matches(dict(labels)):
                yield self.selected(name, pods)

    def named(self, name: str, protocol: str) -> PortSet:
        """Where containers declare a port of this name: address, protocol and number."""
        return frozenset(self._ports.get((name, protocol), ()))
