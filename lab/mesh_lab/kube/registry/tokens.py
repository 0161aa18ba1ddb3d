"""Service-account tokens: signed statements of which service account, and which pod, a caller is.

The claims are those of Kubernetes' bound tokens
(https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/#bound-service-account-tokens), so
clients that look into a token (Istio's agent, cloud SDKs) find what they expect. A token dies with its service account
and with its pod: both are looked up at each verification, by uid, so that a recreated namesake does not revive it.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from mesh_lab.kube.errors import Cause, invalid, not_found
from mesh_lab.kube.registry.options import User
from mesh_lab.kube.resources import PODS, SERVICEACCOUNTS, Resource

log = logging.getLogger(__name__)

ISSUER = "https://kubernetes.default.svc.cluster.local"
SHORTEST_SECONDS = 600
LONGEST_SECONDS = 2**32
USUAL_SECONDS = 3600
_ALGORITHM = "ES256"


@dataclass(frozen=True)
class Identity:
    """The account that a token is for, and the audiences that it was checked for and has."""

    user: User
    audiences: tuple[str, ...]


class Reader(Protocol):
    """The part of the registry that tokens need."""

    def find(self, r: Resource, name: str, namespace: str = "") -> dict[str, Any] | None:
        """The object, or None."""
        ...


class TokenIssuer:
    """Issues and verifies the tokens of one lab. `signing_key` is a P-256 private key in PEM."""

    def __init__(self, signing_key: bytes, reader: Reader) -> None:
        key = load_pem_private_key(signing_key, None)
        if not isinstance(key, EllipticCurvePrivateKey):
            raise TypeError("the service-account signing key is not an elliptic-curve key")
        self._private = key
        self._public = key.public_key()
        public = self._public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        self._key_id = uuid.uuid5(uuid.NAMESPACE_OID, public.hex()).hex
        self._reader = reader

    def issue(
        self,
        namespace: str,
        service_account: str,
        *,
        audiences: Iterable[str] = (),
        expires_s: int = USUAL_SECONDS,
        pod: tuple[str, str] | None = None,
    ) -> tuple[str, datetime]:
        """A token for the service account and the time when it ends.

        `pod` is (name, uid) of the pod that it is bound to. No audience means the API server itself.

        Raises:
            ApiError: 404 without such a service account, 422 for a life under ten minutes.
        """
        if not SHORTEST_SECONDS <= expires_s <= LONGEST_SECONDS:
            cause = Cause(
                "spec.expirationSeconds",
                f"Invalid value: {expires_s}: may not specify a duration under 10 minutes or over 2^32 seconds",
            )
            raise invalid("TokenRequest", service_account, (cause,), "authentication.k8s.io")
        account = self._reader.find(SERVICEACCOUNTS, service_account, namespace)
        if account is None:
            raise not_found("serviceaccounts", service_account)
        now = int(time.time())
        bound: dict[str, Any] = {
            "namespace": namespace,
            "serviceaccount": {"name": service_account, "uid": account["metadata"].get("uid", "")},
        }
        if pod is not None:
            bound["pod"] = {"name": pod[0], "uid": pod[1]}
        claims = {
            "iss": ISSUER,
            "sub": username(namespace, service_account),
            "aud": list(audiences) or [ISSUER],
            "iat": now,
            "nbf": now,
            "exp": now + expires_s,
            "jti": str(uuid.uuid4()),
            "kubernetes.io": bound,
        }
        token = jwt.encode(claims, self._private, algorithm=_ALGORITHM, headers={"kid": self._key_id})
        return token, datetime.fromtimestamp(now + expires_s, UTC)

    def verify(self, token: str, audiences: Iterable[str] = ()) -> Identity | None:
        """The user that the token authenticates.

        None when another issuer signed it, it has expired, it is for other audiences, or its account or pod is gone.

        No audience means the API server itself.
        """
        wanted = tuple(audiences) or (ISSUER,)
        try:
            claims = jwt.decode(
                token,
                self._public,
                algorithms=[_ALGORITHM],
                audience=wanted,
                issuer=ISSUER,
                options={"require": ["exp", "iat", "sub", "aud"]},
            )
        except (jwt.InvalidTokenError, UnicodeError) as error:
            log.info("a bearer token is refused: %s", error)
            return None
        bound = claims["kubernetes.io"]
        namespace, account = bound["namespace"], bound["serviceaccount"]
        extra = {"authentication.kubernetes.io/credential-id": (f"JTI={claims['jti']}",)}
        if not self._lives(SERVICEACCOUNTS, namespace, account):
            log.info("a token of service account %s/%s is refused: the account is gone", namespace, account["name"])
            return None
        if pod := bound.get("pod"):
            if not self._lives(PODS, namespace, pod):
                log.info("a token of pod %s/%s is refused: the pod is gone", namespace, pod["name"])
                return None
            extra["authentication.kubernetes.io/pod-name"] = (pod["name"],)
            extra["authentication.kubernetes.io/pod-uid"] = (pod["uid"],)
        user = User(
            name=claims["sub"],
            uid=account["uid"],
            groups=("system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated"),
            extra=extra,
        )
        return Identity(user, tuple(a for a in wanted if a in claims["aud"]))

    def _lives(self, resource: Resource, namespace: str, reference: Mapping[str, str]) -> bool:
        found = self._reader.find(resource, reference["name"], namespace)
        return found is not None and found["metadata"].get("uid", "") == reference["uid"]


def username(namespace: str, service_account: str) -> str:
    """The user name under which a service account acts."""
    return f"system:serviceaccount:{namespace}:{service_account}"
