"""The part of RBAC that the embedded cluster enforces for service accounts.

All else is open to them: charts and manifests come with roles, but few labs have a use for them. What is enforced keeps
the mesh's root of trust, the Secrets of `istio-system`, with istiod and administrators. Reading them is one entry;
the others close detours: to become istiod, to run a program beside it, to grant oneself the right, or to change what
others write. Enforcing more is one more entry. For users that are no service accounts all of RBAC is enforced.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from mesh_lab.kube.api.auth.attributes import Access, Action
from mesh_lab.kube.api.auth.rbac import ALL, Rule
from mesh_lab.kube.resources import ALL_VERBS, Resource

_MESH = frozenset({"istio-system"})
_WRITES = frozenset({"create", "update", "patch", "delete", "deletecollection"})
_GRANTS = _WRITES | {"bind", "escalate"}
_LAUNCHES = frozenset({"create", "update", "patch"})
_ANY = frozenset({ALL})


@dataclass(frozen=True)
class Entry:
    """Some verbs on some resources. `NAME/*` are all subresources of NAME.

    Without `namespaces` it holds everywhere; with them, for requests that mean all namespaces, too.
    """

    group: str
    resources: frozenset[str]
    verbs: frozenset[str]
    namespaces: frozenset[str] = frozenset()

    def covers(self, action: Access) -> bool:
        """Return whether this entry enforces roles for the action. Access reviews use `*` for all."""
        return (
            action.group in (self.group, ALL)
            and (action.resource == ALL or not self.resources.isdisjoint(_names(action)))
            and (ALL in self.verbs or action.verb in self.verbs or action.verb == ALL)
            and (not self.namespaces or not action.namespace or action.namespace in self.namespaces)
        )


ENFORCED: tuple[Entry, ...] = (
    Entry("", frozenset({"secrets"}), _ANY, _MESH),
    Entry("", frozenset({"serviceaccounts/token"}), _ANY, _MESH),
    Entry("", frozenset({"pods"}), _LAUNCHES, _MESH),
    Entry("", frozenset({"pods/exec", "pods/attach", "pods/portforward", "pods/ephemeralcontainers"}), _ANY, _MESH),
    Entry("", frozenset({"pods/proxy", "services/proxy"}), _ANY, _MESH),
    Entry("apps", frozenset({"deployments", "replicasets"}), _LAUNCHES, _MESH),
    Entry("rbac.authorization.k8s.io", frozenset({"roles", "rolebindings"}), _GRANTS, _MESH),
    Entry("rbac.authorization.k8s.io", frozenset({"clusterroles", "clusterrolebindings"}), _GRANTS),
    Entry(
        "admissionregistration.k8s.io",
        frozenset({"mutatingwebhookconfigurations", "validatingwebhookconfigurations"}),
        _WRITES,
    ),
    Entry("", frozenset({"users", "groups", "serviceaccounts"}), frozenset({"impersonate"})),
    Entry("authentication.k8s.io", frozenset({"uids", "userextras/*"}), frozenset({"impersonate"})),
)


def _names(action: Access) -> tuple[str, str]:
    return action.full_resource, f"{action.resource}/{ALL}"


def enforced(action: Action) -> bool:
    """Return whether a service account needs a role for the action."""
    return isinstance(action, Access) and any(entry.covers(action) for entry in ENFORCED)


def free_rules(resources: Iterable[Resource], namespace: str) -> list[Rule]:
    """Return what service accounts may do in a namespace without a role, as rules."""
    free: dict[tuple[str, tuple[str, ...]], set[str]] = {}
    for resource in resources:
        inside = namespace if resource.namespaced else ""
        for name in ("", *sorted(resource.subresources)):
            actions = [Access(verb, resource.group, resource.plural, inside, "", name) for verb in ALL_VERBS]
            verbs = tuple(action.verb for action in actions if not enforced(action))
            if verbs:
                verbs = (ALL,) if len(verbs) == len(ALL_VERBS) else verbs
                free.setdefault((resource.group, verbs), set()).add(actions[0].full_resource)
    return [Rule(verbs, (group,), tuple(sorted(names))) for (group, verbs), names in sorted(free.items())]
