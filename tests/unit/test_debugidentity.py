"""How the lab's tools show istiod who they are: only when it asks for that, and once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from mesh_lab.debugidentity import HEADER, TOKENS, DebugIdentity


class NotGivenError(Exception):
    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class Istiod:
    """Answers who shows the latest token, and makes tokens."""

    def __init__(self, code: int = 401) -> None:
        self.made: list[tuple[str, Any]] = []
        self.shown: list[str | None] = []
        self.token = "" if code == 401 else "no token helps"
        self.code = code

    def create(self, path: str, body: Mapping[str, Any]) -> Any:
        self.made.append((path, body["spec"]["audiences"]))
        self.token = f"t{len(self.made)}"
        return {"status": {"token": self.token}}

    def send(self, headers: Mapping[str, str]) -> str:
        self.shown.append(headers.get(HEADER))
        if headers.get(HEADER) != f"Bearer {self.token}":
            raise NotGivenError(self.code)
        return "answer"


def code_of(error: Exception) -> int:
    return error.code if isinstance(error, NotGivenError) else 0


def test_a_token_is_made_when_it_is_asked_for_and_kept() -> None:
    istiod = Istiod()
    identity = DebugIdentity(istiod.create)
    assert [identity.ask(istiod.send, code_of) for _ in range(3)] == ["answer"] * 3
    assert istiod.made == [(TOKENS, ["istio-ca"])]
    assert istiod.shown == [None, "Bearer t1", "Bearer t1", "Bearer t1"]


def test_a_token_that_is_no_longer_taken_is_replaced() -> None:
    istiod = Istiod()
    identity = DebugIdentity(istiod.create)
    identity.ask(istiod.send, code_of)
    istiod.token = "another"
    assert identity.ask(istiod.send, code_of) == "answer"
    assert len(istiod.made) == 2


def test_other_failures_are_the_callers() -> None:
    istiod = Istiod(503)
    with pytest.raises(NotGivenError, match="503"):
        DebugIdentity(istiod.create).ask(istiod.send, code_of)
    assert istiod.made == []
