"""Authorization: administrators may do all, service accounts all that is not enforced, others what their roles say."""

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
    """Whether something is allowed, and by what; a refusal has no reason, for no rule is one."""

    allowed: bool
    reason: str = ""


class Authorizer:
    """Decides by the roles and bindings as they are stored at the time."""

    def __init__(self, reader: rbac.Reader) -> None:
        self._reader = reader

    def decide(self, user: User, action: Action) -> Decision:
        """Whether the user may do it. The server does what is decided here, and reviews answer it."""
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
        """Refuse what the user may not do.

        Raises:
            ApiError: 403, one of the actions is not allowed.
        """
        for action in actions:
            if not self.decide(user, action).allowed:
                raise forbidden(action.refusal(user.name))

    def rules(self, user: User, namespace: str) -> list[rbac.Rule]:
        """What stored roles grant the user in a namespace (none: in the whole cluster)."""
        return [grant.rule for grant in rbac.grants(user, namespace, self._reader)]


def is_administrator(user: User) -> bool:
    """Whether no rule is asked for the user at all."""
    return MASTERS in user.groups


def is_service_account(user: User) -> bool:
    """Whether the user acts for a pod, and is held to no more than what is enforced."""
    return SERVICE_ACCOUNTS in user.groups
