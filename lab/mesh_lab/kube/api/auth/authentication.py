"""Authentication: which user a request comes from.

A caller proves itself with a client certificate of the lab's authority (common name and organisations are user and
groups) or with a service account's token. Nobody else gets past the version and the health checks: there is no
`system:anonymous`.
"""

from __future__ import annotations

from typing import Any

from aiohttp import web
from multidict import CIMultiDictProxy

from mesh_lab.kube.api.auth.authorizer import AUTHENTICATED
from mesh_lab.kube.errors import unauthorized
from mesh_lab.kube.registry.options import User
from mesh_lab.kube.registry.tokens import TokenIssuer


class Authenticator:
    """Turns what a request shows into a user."""

    def __init__(self, tokens: TokenIssuer) -> None:
        self.tokens = tokens

    def authenticate(self, request: web.Request) -> User:
        """The user who calls. Raises `ApiError` 401 without proof."""
        user = self._bearer(request.headers) or _certified(request)
        if user is None:
            raise unauthorized()
        return user

    def check_token(self, headers: CIMultiDictProxy[str]) -> None:
        """Refuse a wrong token where none is needed, as a real server does. Raises `ApiError` 401."""
        self._bearer(headers)

    def _bearer(self, headers: CIMultiDictProxy[str]) -> User | None:
        scheme, _, token = headers.get("Authorization", "").strip().partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            return None
        identity = self.tokens.verify(token.strip())
        if identity is None:
            # A wrong token is refused even beside a right certificate, as a real server does.
            raise unauthorized()
        return identity.user


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
