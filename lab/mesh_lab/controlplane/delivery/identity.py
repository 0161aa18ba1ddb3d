"""The identity of a proxy: what a TokenReview says of its token, and nothing else.

A token names a service account and, if it was made for one, its pod; https://kubernetes.io/docs/reference/access-authn-authz/
service-accounts-admin/#additional-metadata-in-pod-bound-tokens. What a proxy says of itself is only compared with it.
"""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any, NamedTuple, Protocol

from mesh_lab.controlplane.kube.kinds import TOKEN_REVIEWS, Kind
from mesh_lab.debugidentity import AUDIENCE

# How long a review holds: all proxies come back at once after a restart, each several times over.
_REVIEW_LIFE = 5.0
_REVIEWS_KEPT = 10_000
_USER_PREFIX = "system:serviceaccount:"
_POD_NAME = "authentication.kubernetes.io/pod-name"
_POD_UID = "authentication.kubernetes.io/pod-uid"


class Unauthenticated(Exception):  # noqa: N818 - gRPC's word for this status
    """The caller has not proved its identity. The message is meant for the caller."""


class Caller(NamedTuple):
    """The service account of a token, and the pod it was made for; none has one that was not made for a pod."""

    namespace: str
    service_account: str
    pod: str
    pod_uid: str


class Reviewer(Protocol):
    """What this needs of the API."""

    async def create(self, kind: Kind, obj: dict[str, Any], namespace: str = "") -> dict[str, Any]:
        """Create an object."""


class Authenticator:
    """Reviews tokens, remembering the good ones for a few seconds."""

    def __init__(self, api: Reviewer) -> None:
        self._api = api
        self._known: dict[bytes, tuple[float, Caller]] = {}

    async def account(self, authorization: str) -> Caller:
        """The caller by the header `authorization`, with a pod or without.

        Raises:
            Unauthenticated: the token is missing or invalid.
            ApiError: the API server answers the review with an error.
            Unreachable: the API server does not answer.
        """
        token = authorization.removeprefix("Bearer ").strip()
        if not token:
            raise Unauthenticated("no token: send one of the service account, audience istio-ca, as 'authorization'")
        now = asyncio.get_running_loop().time()
        digest = hashlib.sha256(token.encode()).digest()
        known = self._known.get(digest)
        if known is not None and known[0] > now:
            return known[1]
        caller = await self._review(token)
        if len(self._known) >= _REVIEWS_KEPT:
            self._known.clear()
        self._known[digest] = (now + _REVIEW_LIFE, caller)
        return caller

    async def _review(self, token: str) -> Caller:
        answer = await self._api.create(
            TOKEN_REVIEWS,
            {
                "apiVersion": "authentication.k8s.io/v1",
                "kind": "TokenReview",
                "metadata": {},
                "spec": {"token": token, "audiences": [AUDIENCE]},
            },
        )
        status = answer.get("status") or {}
        if not status.get("authenticated"):
            raise Unauthenticated(f"the token is not valid: {status.get('error') or 'the API server does not know it'}")
        # A server that knows nothing of audiences leaves them out: its answer is then for another audience.
        if AUDIENCE not in (status.get("audiences") or ()):
            raise Unauthenticated(f"the token is not for the audience {AUDIENCE}")
        user = status.get("user") or {}
        namespace, _, account = user.get("username", "").removeprefix(_USER_PREFIX).partition(":")
        extra = user.get("extra") or {}
        pod, uid = (next(iter(extra.get(key) or ()), "") for key in (_POD_NAME, _POD_UID))
        if not user.get("username", "").startswith(_USER_PREFIX) or not account:
            raise Unauthenticated("the token is not a service account's")
        return Caller(namespace, account, pod, uid)
