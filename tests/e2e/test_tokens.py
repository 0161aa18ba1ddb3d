"""Tokens of end users: who may call with which, and what is refused."""

from __future__ import annotations

import base64
import json
import time
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256

from mesh_lab.testing import Mesh, Object, TrafficClient, assert_all, authorization_policy

ISSUER = "issuer@example.com"


def encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Issuer:
    """Signs tokens with a key of its own (RFC 7515, RS256)."""

    def __init__(self) -> None:
        self._key = rsa.generate_private_key(65537, 2048)

    @property
    def jwks(self) -> str:
        public = self._key.public_key().public_numbers()
        parts = {"n": public.n, "e": public.e}
        key = {name: encoded(part.to_bytes((part.bit_length() + 7) // 8, "big")) for name, part in parts.items()}
        return json.dumps({"keys": [{"kty": "RSA", "kid": "one", **key}]})

    def token(self, **claims: Any) -> str:
        content = {"iss": ISSUER, "sub": "someone", "exp": int(time.time()) + 3600, **claims}
        head = {"alg": "RS256", "typ": "JWT", "kid": "one"}
        signed = ".".join(encoded(json.dumps(part).encode()) for part in (head, content))
        return f"{signed}.{encoded(self._key.sign(signed.encode(), padding.PKCS1v15(), SHA256()))}"


@pytest.fixture(scope="module")
def shop(mesh_shared: Mesh) -> Mesh:
    mesh_shared.deploy_echo("echo")
    mesh_shared.deploy_client("friend")
    mesh_shared.ready()
    mesh_shared.wait_endpoints("echo", 1)
    return mesh_shared


@pytest.fixture(scope="module")
def issuer() -> Issuer:
    return Issuer()


@pytest.fixture
def friend(shop: Mesh) -> TrafficClient:
    return shop.client("friend")


def authentication(issuer: Issuer, **more: Any) -> Object:
    rule = {"issuer": ISSUER, "jwks": issuer.jwks, **more}
    return {
        "apiVersion": "security.istio.io/v1",
        "kind": "RequestAuthentication",
        "metadata": {"name": "tokens"},
        "spec": {"selector": {"matchLabels": {"app": "echo"}}, "jwtRules": [rule]},
    }


def bearing(token: str) -> dict[str, Any]:
    return {"headers": {"authorization": f"Bearer {token}"}}


@pytest.mark.mesh_feature("security/tokens", protocol="http1", api="requestauthentication")
def test_a_good_token_and_none_pass_and_a_bad_one_is_refused(shop: Mesh, issuer: Issuer, friend: TrafficClient) -> None:
    with shop.applied(authentication(issuer)):
        assert_all(friend.send("http://echo"))
        assert_all(friend.send("http://echo", **bearing(issuer.token())))
        assert_all(friend.send("http://echo", **bearing("a.b.c")), status=401)
        assert_all(friend.send("http://echo", **bearing(Issuer().token())), status=401)
        assert_all(friend.send("http://echo", **bearing(issuer.token(exp=1))), status=401)
    assert_all(friend.send("http://echo", **bearing("a.b.c")))


def test_a_policy_asks_for_the_claims_of_a_token(shop: Mesh, issuer: Issuer, friend: TrafficClient) -> None:
    rule = {
        "from": [{"source": {"requestPrincipals": [f"{ISSUER}/*"]}}],
        "when": [{"key": "request.auth.claims[org][team]", "values": ["red"]}],
    }
    with shop.applied([authentication(issuer), authorization_policy("team", "ALLOW", "echo", rule)]):
        assert_all(friend.send("http://echo"), status=403)
        assert_all(friend.send("http://echo", **bearing(issuer.token(org={"team": "blue"}))), status=403)
        assert_all(friend.send("http://echo", **bearing(issuer.token(org={"team": ["blue", "red"]}))))
