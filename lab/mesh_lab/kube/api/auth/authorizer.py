"""Authorization: administrators may do all, service accounts all that is not enforced, others what roles grant."""

from __future__ import annotations

from dataclasses import dataclass

from mesh_lab.kube.api.auth import rbac
from mesh_lab.kube.api.auth.attributes import Action
from mesh_lab.kube.api.auth.enforced import enforced
from mesh_lab.kube.errors import forbidden
from mesh_lab.kube.registry.options import User

MASTERS = "system:masters"
SERVICE_ACCOUNTS = "system:serviceaccounts"
AUTHENTICATED = "system:authenticated"
NOT_ENFORCED = (
    "RBAC is not enforced for this resource in the embedded cluster: service accounts may do this without a role"
)


@dataclass(frozen=True)
class Decision:
    """Whether something is allowed, and by which binding; a denial has no reason, as no rule denies."""

    allowed: bool
    reason: str = ""


class Authorizer:
    """Decides by the stored roles and bindings."""

    def __init__(self, reader: rbac.Reader) -> None:
        self._reader = reader

    def decide(self, user: User, action: Action) -> Decision:
        """Decide whether the user may do it, for requests and for access reviews."""
        if is_administrator(user):
            return Decision(True, f'group "{MASTERS}" may do everything')
        if is_service_account(user) and not enforced(action):
            return Decision(True, NOT_ENFORCED)
        namespace = getattr(action, "namespace", "")
        for grant in rbac.grants(user, namespace, self._reader):
            if grant.rule.allows(action):
                return Decision(True, f"RBAC: allowed by {grant.source}")
        return Decision(False)

    def require(self, user: User, *actions: Action) -> None:
        """Require that the user may do all of it.

        Raises:
            ApiError: 403, one of the actions is not allowed.
        """
        for action in actions:
            if not self.decide(user, action).allowed:
                raise forbidden(action.refusal(user.name))

    def rules(self, user: User, namespace: str) -> list[rbac.Rule]:
        """Return what stored roles grant the user in a namespace (none: in the whole cluster)."""
        return [grant.rule for grant in rbac.grants(user, namespace, self._reader)]


def is_administrator(user: User) -> bool:
    """Return whether the user may do all without a role."""
    return MASTERS in user.groups


def is_service_account(user: User) -> bool:
    """Return whether the user is a service account, for which only a part of RBAC is enforced."""
    return SERVICE_ACCOUNTS in user.groups
