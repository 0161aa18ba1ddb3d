"""`kubectl --as`: to be taken for another user, which needs the right to `impersonate` each part of that identity.

https://kubernetes.io/docs/reference/access-authn-authz/user-impersonation/
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from urllib.parse import unquote

from multidict import CIMultiDictProxy

from mesh_lab.kube.api.auth import Access, Authorizer
from mesh_lab.kube.api.auth.authorizer import AUTHENTICATED, SERVICE_ACCOUNTS
from mesh_lab.kube.errors import bad_request
from mesh_lab.kube.registry.options import User

_PREFIX = "impersonate-"
_EXTRA = "impersonate-extra-"
_VERB = "impersonate"
_ACCOUNT = "system:serviceaccount:"
_IDENTITIES = "authentication.k8s.io"


def impersonated(user: User, headers: CIMultiDictProxy[str], authorizer: Authorizer) -> User:
    """The user that the request is to be taken for: the one who calls, unless the headers name another.

    Raises:
        ApiError: 400, the headers make no identity; 403, the caller may not be taken for it.
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
    """What the caller must be allowed to impersonate."""
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
    """Namespace and name of a service account's user name."""
    namespace, _, account = name.removeprefix(_ACCOUNT).partition(":")
    return namespace, account


def _is_text(value: str) -> bool:
    """Whether a header was UTF-8: what was not is kept in surrogates, which no answer could repeat."""
    return value.isascii() or not any("\ud800" <= char <= "\udfff" for char in value)
