"""Authentication: which user a request comes from, and which one it is done as (`kubectl --as`, impersonation).

A caller authenticates with a client certificate of the lab's authority (common name and organisations are user and
groups) or with a service account's token. All others may read only the version and the health checks: there is
no `system:anonymous`. Impersonation needs the right to `impersonate` each part of the identity:
https://kubernetes.io/docs/reference/access-authn-authz/user-impersonation/
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote

from aiohttp import web
from multidict import CIMultiDictProxy

from mesh_lab.kube.api.auth.attributes import Access
from mesh_lab.kube.api.auth.authorizer import AUTHENTICATED, SERVICE_ACCOUNTS, Authorizer
from mesh_lab.kube.errors import bad_request, unauthorized
from mesh_lab.kube.registry.options import User
from mesh_lab.kube.registry.tokens import TokenIssuer


class Authenticator:
    """Authenticates requests by client certificate or bearer token."""

    def __init__(self, tokens: TokenIssuer) -> None:
        self.tokens = tokens

    def authenticate(self, request: web.Request) -> User:
        """Return the user of a request.

        Raises:
            ApiError: 401, there are no valid credentials.
        """
        user = self._bearer(request.headers) or _certified(request)
        if user is None:
            raise unauthorized()
        return user

    def check_token(self, headers: CIMultiDictProxy[str]) -> None:
        """Reject a wrong token where none is needed, as a real server does.

        Raises:
            ApiError: 401, the token is wrong.
        """
        self._bearer(headers)

    def _bearer(self, headers: CIMultiDictProxy[str]) -> User | None:
        scheme, _, token = headers.get("Authorization", "").strip().partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            return None
        identity = self.tokens.verify(token.strip())
        if identity is None:
            # A wrong token is rejected even beside a right certificate, as a real server does.
            raise unauthorized()
        return identity.user


def user_info(user: User) -> dict[str, Any]:
    """Encode a user as `authentication.k8s.io/v1 UserInfo`."""
    info: dict[str, Any] = {"username": user.name, "groups": list(user.groups)}
    if user.uid:
        info["uid"] = user.uid
    if user.extra:
        info["extra"] = {key: list(values) for key, values in user.extra.items()}
    return info


def _certified(request: web.Request) -> User | None:
    """Return the user of the client certificate, which TLS has verified already."""
    transport = request.transport
    certificate = transport.get_extra_info("peercert") if transport is not None else None
    if not certificate:
        return None
    subject = [pair for relative_name in certificate.get("subject", ()) for pair in relative_name]
    name = next((value for key, value in subject if key == "commonName"), "")
    groups = tuple(value for key, value in subject if key == "organizationName")
    return User(name, (*groups, AUTHENTICATED)) if name else None


_PREFIX = "impersonate-"
_EXTRA = "impersonate-extra-"
_VERB = "impersonate"
_ACCOUNT = "system:serviceaccount:"
_IDENTITIES = "authentication.k8s.io"


def impersonated(user: User, headers: CIMultiDictProxy[str], authorizer: Authorizer) -> User:
    """Return the user that the request is done as: the caller, or the one that it impersonates.

    Raises:
        ApiError: 400, the headers are invalid; 403, the caller may not impersonate this identity.
    """
    given = [(key.lower(), value) for key, value in headers.items() if key.lower().startswith(_PREFIX)]
    if not given:
        return user
    name = headers.get("Impersonate-User")
    if not name:
        raise bad_request("impersonation needs the name of a user (Impersonate-User)")
    if any(not _is_text(value) for _, value in given):
        raise bad_request("the headers of an impersonation must be UTF-8")
    extra: dict[str, tuple[str, ...]] = {}
    for key, value in given:
        if key.startswith(_EXTRA):
            plain = unquote(key.removeprefix(_EXTRA))
            extra[plain] = (*extra.get(plain, ()), value)
    groups, uid = headers.getall("Impersonate-Group", []), headers.get("Impersonate-Uid", "")
    authorizer.require(user, *_actions(name, groups, uid, extra))
    if not groups and name.startswith(_ACCOUNT):
        groups = [SERVICE_ACCOUNTS, f"{SERVICE_ACCOUNTS}:{_account(name)[0]}"]
    return User(name, tuple(dict.fromkeys((*groups, AUTHENTICATED))), uid=uid, extra=extra)


def _actions(name: str, groups: list[str], uid: str, extra: Mapping[str, tuple[str, ...]]) -> Iterator[Access]:
    """Yield what the caller must be allowed to impersonate."""
    if name.startswith(_ACCOUNT):
        namespace, account = _account(name)
        yield Access(_VERB, "", "serviceaccounts", namespace, account)
    else:
        yield Access(_VERB, "", "users", name=name)
    for group in groups:
        yield Access(_VERB, "", "groups", name=group)
    if uid:
        yield Access(_VERB, _IDENTITIES, "uids", name=uid)
    for key, values in extra.items():
        for value in values:
            yield Access(_VERB, _IDENTITIES, "userextras", name=value, subresource=key)


def _account(name: str) -> tuple[str, str]:
    """Split a service account's user name into namespace and name."""
    namespace, _, account = name.removeprefix(_ACCOUNT).partition(":")
    return namespace, account


def _is_text(value: str) -> bool:
    """Return whether a header was UTF-8: other bytes become surrogates, which no answer could repeat."""
    return value.isascii() or not any("\ud800" <= char <= "\udfff" for char in value)
