"""Who calls, and what they may do.

A caller proves itself with a client certificate of the lab's authority (common name and organisations are user and
groups) or with a service account's token. Nobody else gets past the version and the health checks: there is no
`system:anonymous`.

Authorisation is two rules, and no more is claimed: administrators (`system:masters`) and the lab's service accounts may
do everything; whoever else is authenticated may look at discovery and ask what they may do. Roles and bindings are
stored, so that published manifests apply, and are not enforced.
"""

from __future__ import annotations

from typing import Any

from aiohttp import web
from multidict import CIMultiDictProxy

from lab.kube.api.paths import Target
from lab.kube.errors import ApiError, bad_request, forbidden, unauthorized
from lab.kube.registry.options import User
from lab.kube.registry.tokens import TokenIssuer

MASTERS = "system:masters"
AUTHENTICATED = "system:authenticated"
_ALL_POWERFUL = frozenset({MASTERS, "system:serviceaccounts"})
_EXTRA = "impersonate-extra-"


class Authenticator:
    """Turns what a request shows into a user."""

    def __init__(self, tokens: TokenIssuer) -> None:
        self.tokens = tokens

    def authenticate(self, request: web.Request) -> User:
        """The user who calls, or whom an administrator asked to be taken for (`kubectl --as`).

        Raises `ApiError` 401 without proof, 403 for an impersonation by somebody who may not.
        """
        user = self._bearer(request.headers) or _certified(request)
        if user is None:
            raise unauthorized()
        return _impersonated(user, request.headers)

    def _bearer(self, headers: CIMultiDictProxy[str]) -> User | None:
        scheme, _, token = headers.get("Authorization", "").strip().partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            return None
        identity = self.tokens.verify(token.strip())
        if identity is None:
            # A wrong token is refused even beside a right certificate, as a real server does.
            raise unauthorized()
        return identity.user


def authorize(user: User, verb: str, target: Target) -> None:
    """Raise `ApiError` 403 unless the user may do this."""
    if allowed(user):
        return
    where = f' in the namespace "{target.namespace}"' if target.namespace else " at the cluster scope"
    plural = f"{target.plural}/{target.subresource}" if target.subresource else target.plural
    name = f' "{target.name}"' if target.name else ""
    group = f"{target.plural}.{target.group}" if target.group else target.plural
    raise forbidden(
        f'{group}{name} is forbidden: User "{user.name}" cannot {verb} resource "{plural}" '
        f'in API group "{target.group}"{where}'
    )


def allowed(user: User) -> bool:
    """Whether the user may do everything; the lab knows nothing in between."""
    return not _ALL_POWERFUL.isdisjoint(user.groups)


def user_info(user: User) -> dict[str, Any]:
    """The JSON of `authentication.k8s.io/v1 UserInfo`."""
    info: dict[str, Any] = {"username": user.name, "groups": list(user.groups)}
    if user.uid:
        info["uid"] = user.uid
    if user.extra:
        info["extra"] = {key: list(values) for key, values in user.extra.items()}
    return info


def _certified(request: web.Request) -> User | None:
    """The user of the client certificate, which TLS has checked against the lab's authority already."""
    transport = request.transport
    certificate = transport.get_extra_info("peercert") if transport is not None else None
    if not certificate:
        return None
    subject = [pair for relative_name in certificate.get("subject", ()) for pair in relative_name]
    name = next((value for key, value in subject if key == "commonName"), "")
    groups = tuple(value for key, value in subject if key == "organizationName")
    return User(name, (*groups, AUTHENTICATED)) if name else None


def _impersonated(user: User, headers: CIMultiDictProxy[str]) -> User:
    name = headers.get("Impersonate-User")
    if name is None:
        if any(key.lower().startswith("impersonate-") for key in headers):
            raise bad_request("impersonation needs the name of a user (Impersonate-User)")
        return user
    if any(not _is_text(value) for key, value in headers.items() if key.lower().startswith("impersonate-")):
        raise bad_request("the headers of an impersonation must be UTF-8")
    if MASTERS not in user.groups:
        raise _may_not_impersonate(user, name)
    groups = headers.getall("Impersonate-Group", [])
    if not groups and name.startswith("system:serviceaccount:"):
        namespace = name.split(":")[2]
        groups = ["system:serviceaccounts", f"system:serviceaccounts:{namespace}"]
    extra: dict[str, tuple[str, ...]] = {}
    for key, value in headers.items():
        if key.lower().startswith(_EXTRA):
            extra[key.lower().removeprefix(_EXTRA)] = (*extra.get(key.lower().removeprefix(_EXTRA), ()), value)
    return User(
        name, tuple(dict.fromkeys((*groups, AUTHENTICATED))), uid=headers.get("Impersonate-Uid", ""), extra=extra
    )


def _is_text(value: str) -> bool:
    """Whether a header was UTF-8: what was not is kept in surrogates, which no answer could repeat."""
    return value.isascii() or not any("\ud800" <= char <= "\udfff" for char in value)


def _may_not_impersonate(user: User, name: str) -> ApiError:
    return forbidden(
        f'users "{name}" is forbidden: User "{user.name}" cannot impersonate resource "users" '
        'in API group "" at the cluster scope'
    )
