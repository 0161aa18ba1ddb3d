"""A token's word, and nobody else's."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from mesh_lab.controlplane.delivery.identity import Authenticator, Caller, Unauthenticated
from mesh_lab.controlplane.kube.client import Unreachable
from mesh_lab.controlplane.kube.kinds import Kind

GOOD: dict[str, Any] = {
    "authenticated": True,
    "audiences": ["istio-ca"],
    "user": {
        "username": "system:serviceaccount:default:reviews",
        "extra": {
            "authentication.kubernetes.io/pod-name": ["reviews-1"],
            "authentication.kubernetes.io/pod-uid": ["u1"],
        },
    },
}


class Reviews:
    """Answers token reviews with one status."""

    def __init__(self, status: dict[str, Any] | Exception) -> None:
        self.status = status
        self.asked: list[dict[str, Any]] = []

    async def create(self, kind: Kind, obj: dict[str, Any], namespace: str = "") -> dict[str, Any]:
        assert kind.plural == "tokenreviews"
        self.asked.append(obj["spec"])
        if isinstance(self.status, Exception):
            raise self.status
        return {"status": self.status}


async def test_a_token_names_its_pod() -> None:
    reviews = Reviews(GOOD)
    caller = await Authenticator(reviews).account("abc")
    assert caller == Caller("default", "reviews", "reviews-1", "u1")
    assert reviews.asked == [{"token": "abc", "audiences": ["istio-ca"]}]


async def test_a_token_that_was_made_for_no_pod_names_its_account_only() -> None:
    user = {"username": "system:serviceaccount:vm:ratings"}
    assert await Authenticator(Reviews({**GOOD, "user": user})).account("abc") == Caller("vm", "ratings", "", "")


async def test_a_good_token_is_reviewed_once_in_a_while_a_bad_one_each_time() -> None:
    reviews = Reviews(GOOD)
    authenticator = Authenticator(reviews)
    await asyncio.gather(*(authenticator.account(t) for t in ("a", "b")))
    await authenticator.account("Bearer a")
    assert len(reviews.asked) == 2
    reviews.status = {"authenticated": False}
    for _ in range(2):
        with pytest.raises(Unauthenticated):
            await authenticator.account("c")
    assert len(reviews.asked) == 4


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"authenticated": False, "error": "expired"}, "expired"),
        ({"audiences": []}, "audience"),
        ({"audiences": None}, "audience"),
        ({"audiences": ["https://kubernetes.default.svc"]}, "audience"),
        ({"user": {"username": "alice", "extra": GOOD["user"]["extra"]}}, "not a service account's"),
        ({"user": {"username": "system:serviceaccount:default"}}, "not a service account's"),
        ({"user": None}, "not a service account's"),
    ],
)
async def test_any_other_token_is_refused(change: dict[str, Any], words: str) -> None:
    with pytest.raises(Unauthenticated, match=words):
        await Authenticator(Reviews({**GOOD, **change})).account("t")


@pytest.mark.parametrize("authorization", ["", "Bearer "])
async def test_no_token_is_refused_without_a_review(authorization: str) -> None:
    reviews = Reviews(GOOD)
    with pytest.raises(Unauthenticated, match="no token"):
        await Authenticator(reviews).account(authorization)
    assert not reviews.asked


async def test_an_api_server_that_is_away_is_no_refusal() -> None:
    with pytest.raises(Unreachable):
        await Authenticator(Reviews(Unreachable("away"))).account("t")
