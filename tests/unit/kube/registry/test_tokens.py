"""Service-account tokens: whom they name, and what ends them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jwt
import pytest

from mesh_lab.kube import pki
from mesh_lab.kube.errors import ApiError
from mesh_lab.kube.registry.tokens import ISSUER, TokenIssuer
from mesh_lab.kube.resources import PODS, SERVICEACCOUNTS, Resource


class Objects:
    """A reader over a dict."""

    def __init__(self) -> None:
        self.uids = {(SERVICEACCOUNTS.key, "shop", "cart"): "u-1", (PODS.key, "shop", "cart-7"): "u-2"}

    def find(self, r: Resource, name: str, namespace: str = "") -> dict[str, Any] | None:
        uid = self.uids.get((r.key, namespace, name))
        return None if uid is None else {"metadata": {"name": name, "namespace": namespace, "uid": uid}}


@pytest.fixture
def objects() -> Objects:
    return Objects()


@pytest.fixture
def issuer(tmp_path: Path, objects: Objects) -> TokenIssuer:
    return TokenIssuer(pki.ensure(tmp_path).signing_key, objects)


def test_a_token_names_its_service_account_and_pod(issuer: TokenIssuer) -> None:
    token, _ = issuer.issue("shop", "cart", pod=("cart-7", "u-2"))
    who = issuer.verify(token)
    assert who is not None
    assert who.user.name == "system:serviceaccount:shop:cart"
    assert who.user.groups == ("system:serviceaccounts", "system:serviceaccounts:shop", "system:authenticated")
    assert who.user.extra["authentication.kubernetes.io/pod-name"] == ("cart-7",)
    assert who.audiences == (ISSUER,)


def test_the_claims_are_those_of_kubernetes(issuer: TokenIssuer) -> None:
    token, expiry = issuer.issue("shop", "cart", audiences=["istio-ca"], expires_s=43200, pod=("cart-7", "u-2"))
    claims = jwt.decode(token, options={"verify_signature": False})
    assert claims["kubernetes.io"] == {
        "namespace": "shop",
        "serviceaccount": {"name": "cart", "uid": "u-1"},
        "pod": {"name": "cart-7", "uid": "u-2"},
    }
    assert claims["aud"] == ["istio-ca"]
    assert claims["exp"] == int(expiry.timestamp()) == claims["iat"] + 43200


def test_a_token_for_others_is_refused(issuer: TokenIssuer) -> None:
    token, _ = issuer.issue("shop", "cart", audiences=["istio-ca"])
    assert issuer.verify(token) is None
    assert issuer.verify(token, ["vault", "istio-ca"]) is not None


def test_a_token_dies_with_its_pod(issuer: TokenIssuer, objects: Objects) -> None:
    token, _ = issuer.issue("shop", "cart", pod=("cart-7", "u-2"))
    objects.uids[PODS.key, "shop", "cart-7"] = "u-3"
    assert issuer.verify(token) is None


def test_a_token_dies_with_its_service_account(issuer: TokenIssuer, objects: Objects) -> None:
    token, _ = issuer.issue("shop", "cart")
    del objects.uids[SERVICEACCOUNTS.key, "shop", "cart"]
    assert issuer.verify(token) is None


def test_another_labs_token_is_refused(issuer: TokenIssuer, objects: Objects, tmp_path: Path) -> None:
    other = TokenIssuer(pki.ensure(tmp_path / "other").signing_key, objects)
    token, _ = other.issue("shop", "cart")
    assert issuer.verify(token) is None


@pytest.mark.parametrize("token", ["", "abc", "a.b.c", "eyJhbGciOiJub25lIn0.e30."])
def test_an_invalid_token_is_refused(issuer: TokenIssuer, token: str) -> None:
    assert issuer.verify(token) is None


def test_an_unknown_service_account_gets_none(issuer: TokenIssuer) -> None:
    with pytest.raises(ApiError, match='serviceaccounts "nobody" not found'):
        issuer.issue("shop", "nobody")


def test_a_token_of_less_than_ten_minutes_is_refused(issuer: TokenIssuer) -> None:
    with pytest.raises(ApiError, match=r"spec\.expirationSeconds: Invalid value: 599"):
        issuer.issue("shop", "cart", expires_s=599)
