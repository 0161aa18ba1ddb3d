"""Regular expressions are judged as Envoy judges them: by RE2."""

from __future__ import annotations

import json
import random
import subprocess
from pathlib import Path

import pytest

from mesh_lab.controlplane.injection.bootstrap import ProxySettings, config
from mesh_lab.controlplane.validation.common import regex
from tests.unit.controlplane.envoy import ENVOY

# What Python's `re` takes and RE2 does not, and the other way round, first.
WRONG = {
    "a{1001}": "invalid repetition size",
    "(?>a)": "invalid perl operator",
    r"a\Z": "invalid escape sequence",
    "(?=a)": "RE2 knows no look-around",
    r"(a)\1": "no back-reference",
    "a++": "no possessive quantifier",
    "(a": "missing )",
    "[z-a]": "invalid character class range",
    "((a{1000}b){10}c){10}": "invalid repetition size",
    r"\x{100}": "invalid escape sequence",
    "a{1000}" * 33: "its program has 33004 steps",
    "a{1000}" * 4000: "pattern too large",
}
RIGHT = [
    "(?<name>a)",
    r"\Q.\E",
    "(?P<name>a)",
    r"\pN\p{Greek}",
    "[[:alpha:]]",
    "a(?i)b",
    r"a\z",
    "[ü-é]",
    "a{1000}" * 32,
]


TYPES = "type.googleapis.com/envoy.extensions.filters"


def accepted_by_envoy(directory: Path, *patterns: str) -> bool:
    routes = [{"match": {"safe_regex": {"regex": p}}, "direct_response": {"status": 200}} for p in patterns]
    manager = {
        "@type": f"{TYPES}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "x",
        "route_config": {"virtual_hosts": [{"name": "x", "domains": ["*"], "routes": routes}]},
        "http_filters": [
            {
                "name": "router",
                "typed_config": {"@type": f"{TYPES}.http.router.v3.Router"},
            }
        ],
    }
    bootstrap = {
        "layered_runtime": config(ProxySettings("sidecar"))["layered_runtime"],
        "static_resources": {
            "listeners": [
                {
                    "name": "x",
                    "address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}},
                    "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
                }
            ]
        },
    }
    file = directory / "bootstrap.json"
    file.write_text(json.dumps(bootstrap))
    command = [ENVOY, "--mode", "validate", "--disable-hot-restart", "-l", "critical", "-c", file]
    return subprocess.run(command, capture_output=True, timeout=60, check=False).returncode == 0


def problems(pattern: str) -> list[str]:
    return [problem.message for problem in regex("spec.x", pattern)]


@pytest.mark.parametrize("pattern", WRONG, ids=lambda pattern: pattern[:20])
def test_what_envoy_would_reject_is_an_error(tmp_path: Path, pattern: str) -> None:
    (message,) = problems(pattern)
    assert message.startswith("invalid regex")
    assert WRONG[pattern] in message
    assert not accepted_by_envoy(tmp_path, pattern)


def test_what_envoy_takes_is_taken(tmp_path: Path) -> None:
    assert [problems(pattern) for pattern in RIGHT] == [[]] * len(RIGHT)
    assert accepted_by_envoy(tmp_path, *RIGHT)


PIECES = (*r"ab.*+?|()[]{}^$\-1:=!<>", r"\d", r"\b", "(?:", "(?i)", "{2,3}", r"\pL", "é")


def test_envoy_takes_all_that_is_taken_of_what_is_made_up(tmp_path: Path) -> None:
    draw = random.Random(9)
    made = ("".join(draw.choices(PIECES, k=draw.randint(1, 8))) for _ in range(3000))
    taken = [pattern for pattern in made if not problems(pattern)]
    assert len(taken) > 300
    assert accepted_by_envoy(tmp_path, *taken)


def test_nothing_is_written_to_stderr(capfd: pytest.CaptureFixture[str]) -> None:
    assert problems("(a")
    assert capfd.readouterr() == ("", "")
