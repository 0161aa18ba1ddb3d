"""What a served resource is called, and the resources that other code works with by name.

All of them, and what each kind does: `mesh_lab.kube.registry.kinds`. Custom resources join them at run time, when their
CustomResourceDefinition is established. Names, short names and categories are those of `kubectl api-resources` on
Kubernetes 1.33.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

ALL_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
CREATE_ONLY = ("create",)


@dataclass(frozen=True)
class Resource:
    """One served resource. `subresources` are names such as `status`; reviews are answered and not `stored`."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True
    short: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    subresources: frozenset[str] = field(default_factory=frozenset)
    verbs: tuple[str, ...] = ALL_VERBS
    singular: str = ""
    stored: bool = True

    @cached_property
    def api_version(self) -> str:
        """`v1`, or `group/version`."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @cached_property
    def key(self) -> str:
        """The resource's name across versions: `pods`, `deployments.apps`. The store files objects under it."""
        return f"{self.plural}.{self.group}" if self.group else self.plural


def _with(*names: str) -> frozenset[str]:
    return frozenset(names)


NAMESPACES = Resource("", "v1", "namespaces", "Namespace", False, ("ns",), (), _with("status", "finalize"))
NODES = Resource("", "v1", "nodes", "Node", False, ("no",), (), _with("status", "proxy"))
PODS = Resource(
    "",
    "v1",
    "pods",
    "Pod",
    True,
    ("po",),
    ("all",),
    _with("status", "log", "exec", "attach", "portforward", "proxy", "eviction", "ephemeralcontainers", "binding"),
)
SERVICES = Resource("", "v1", "services", "Service", True, ("svc",), ("all",), _with("status", "proxy"))
CONFIGMAPS = Resource("", "v1", "configmaps", "ConfigMap", True, ("cm",))
SECRETS = Resource("", "v1", "secrets", "Secret", True)
SERVICEACCOUNTS = Resource("", "v1", "serviceaccounts", "ServiceAccount", True, ("sa",), (), _with("token"))
EVENTS = Resource("", "v1", "events", "Event", True, ("ev",))
LEASES = Resource("coordination.k8s.io", "v1", "leases", "Lease", True)
ENDPOINTSLICES = Resource("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice", True)
ENDPOINTS = Resource("", "v1", "endpoints", "Endpoints", True, ("ep",))
DEPLOYMENTS = Resource("apps", "v1", "deployments", "Deployment", True, ("deploy",), ("all",), _with("status", "scale"))
REPLICASETS = Resource("apps", "v1", "replicasets", "ReplicaSet", True, ("rs",), ("all",), _with("status", "scale"))
STATEFULSETS = Resource("apps", "v1", "statefulsets", "StatefulSet", True, ("sts",), ("all",), _with("status", "scale"))
CRDS = Resource(
    "apiextensions.k8s.io",
    "v1",
    "customresourcedefinitions",
    "CustomResourceDefinition",
    False,
    ("crd", "crds"),
    ("api-extensions",),
    _with("status"),
)
MUTATING_WEBHOOKS = Resource(
    "admissionregistration.k8s.io",
    "v1",
    "mutatingwebhookconfigurations",
    "MutatingWebhookConfiguration",
    False,
    (),
    ("api-extensions",),
)
VALIDATING_WEBHOOKS = Resource(
    "admissionregistration.k8s.io",
    "v1",
    "validatingwebhookconfigurations",
    "ValidatingWebhookConfiguration",
    False,
    (),
    ("api-extensions",),
)
POLICIES = Resource(
    "admissionregistration.k8s.io",
    "v1",
    "validatingadmissionpolicies",
    "ValidatingAdmissionPolicy",
    False,
    (),
    ("api-extensions",),
    _with("status"),
)
POLICY_BINDINGS = Resource(
    "admissionregistration.k8s.io",
    "v1",
    "validatingadmissionpolicybindings",
    "ValidatingAdmissionPolicyBinding",
    False,
    (),
    ("api-extensions",),
)
TOKEN_REVIEWS = Resource(
    "authentication.k8s.io", "v1", "tokenreviews", "TokenReview", False, verbs=CREATE_ONLY, stored=False
)
SELF_SUBJECT_REVIEWS = Resource(
    "authentication.k8s.io", "v1", "selfsubjectreviews", "SelfSubjectReview", False, verbs=CREATE_ONLY, stored=False
)
SUBJECT_ACCESS_REVIEWS = Resource(
    "authorization.k8s.io", "v1", "subjectaccessreviews", "SubjectAccessReview", False, verbs=CREATE_ONLY, stored=False
)
SELF_SUBJECT_ACCESS_REVIEWS = Resource(
    "authorization.k8s.io",
    "v1",
    "selfsubjectaccessreviews",
    "SelfSubjectAccessReview",
    False,
    verbs=CREATE_ONLY,
    stored=False,
)
SELF_SUBJECT_RULES_REVIEWS = Resource(
    "authorization.k8s.io",
    "v1",
    "selfsubjectrulesreviews",
    "SelfSubjectRulesReview",
    False,
    verbs=CREATE_ONLY,
    stored=False,
)

NETWORK_POLICIES = Resource("networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy", True, ("netpol",))

# The part of role-based access control that is enforced: mesh_lab.kube.api.auth.enforced.
ROLES = Resource("rbac.authorization.k8s.io", "v1", "roles", "Role", True)
ROLEBINDINGS = Resource("rbac.authorization.k8s.io", "v1", "rolebindings", "RoleBinding", True)
CLUSTERROLES = Resource("rbac.authorization.k8s.io", "v1", "clusterroles", "ClusterRole", False)
CLUSTERROLEBINDINGS = Resource("rbac.authorization.k8s.io", "v1", "clusterrolebindings", "ClusterRoleBinding", False)
