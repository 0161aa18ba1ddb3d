"""The lab's internet in network namespaces of its own: sites answer at their addresses, and nothing else does."""

from __future__ import annotations

from pathlib import Path

from tests.unit.kube.network.isolation import isolated

INSIDE = "tests.unit.kube.outside.inside"


def test_sites_answer_at_their_addresses_and_the_program_starts_with_the_first_call(tmp_path: Path) -> None:
    assert isolated("sites_answer", module=INSIDE, state=str(tmp_path)) == {
        "http": "One",
        "further": "One",
        "by host": "Two",
        "by address": "Two",
        "tcp": "hello",
        "no port": "ECONNREFUSED",
        "no address": "ENETUNREACH",
        "processes": [True, True],
        "ended": True,
    }


def test_a_program_that_was_killed_starts_again_with_the_next_call(tmp_path: Path) -> None:
    assert isolated("program_dies", module=INSIDE, state=str(tmp_path)) == ["One", "One", True]
