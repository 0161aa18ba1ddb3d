"""The service of global rate limits: its configuration, its counting, its protocols."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from mesh_lab.apps.grpc import wire
from mesh_lab.apps.grpc.server import GrpcServer
from mesh_lab.apps.http.client import fetch
from mesh_lab.apps.samples.ratelimit.config import ConfigError, Limit, load
from mesh_lab.apps.samples.ratelimit.limiter import Descriptor, Limiter
from mesh_lab.apps.samples.ratelimit.program import directory
from mesh_lab.apps.samples.ratelimit.service import METHOD, RateLimits
from tests.unit.apps.conftest import Start
from tests.unit.apps.grpc.calls import call

CONFIG = """
domain: ratelimit
descriptors:
  - key: PATH
    value: "/productpage"
    rate_limit: {unit: minute, requests_per_unit: 1}
  - key: PATH
    value: "api"
    rate_limit: {unit: MINUTE, requests_per_unit: 2}
    descriptors:
      - key: METHOD
        value: POST
        rate_limit: {unit: hour, requests_per_unit: 3, name: posts}
  - key: PATH
    rate_limit: {unit: minute, requests_per_unit: 100}
  - key: FREE
    rate_limit: {unlimited: true}
  - key: SHADOW
    rate_limit: {unit: second, requests_per_unit: 0}
    shadow_mode: true
  - key: USER
    value: test-*
    rate_limit: {unit: day, requests_per_unit: 7}
"""


@pytest.fixture
def configuration(tmp_path: Path) -> Path:
    (tmp_path / "config.yaml").write_text(CONFIG)
    return tmp_path


def limiter(configuration: Path, times: list[float]) -> Limiter:
    return Limiter(load(configuration), lambda: times[-1])


@pytest.mark.parametrize(
    ("entries", "limit"),
    [
        ([("PATH", "/productpage")], Limit(1, "minute")),
        ([("PATH", "/else")], Limit(100, "minute")),
        ([("PATH", "api"), ("METHOD", "POST")], Limit(3, "hour", name="posts")),
        ([("PATH", "api"), ("METHOD", "GET")], None),
        ([("PATH", "api")], Limit(2, "minute")),
        ([("USER", "test-1")], Limit(7, "day")),
        ([("USER", "other")], None),
        ([("NONE", "")], None),
        ([], None),
    ],
)
def test_a_descriptor_has_the_limit_of_its_last_entry(
    configuration: Path, entries: list[tuple[str, str]], limit: Limit | None
) -> None:
    assert load(configuration)["ratelimit"].find(entries) == limit


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("descriptors: []", "cannot have empty domain"),
        ("domain: d\ndescriptors: [{value: x}]", "descriptor has empty key"),
        ("domain: d\ndescriptors: [{key: a}, {key: a}]", "duplicate descriptor composite key 'a'"),
        ("domain: d\ndescriptors: [{key: a, rate_limit: {unit: moon}}]", "invalid rate limit unit 'moon'"),
        ("domain: d\ndescriptors: [{key: a, ratelimit: {}}]", "unknown key 'ratelimit'"),
        ("domain: d\ndescriptors: [{key: a, rate_limit: {unit: day, requests_per_unit: x}}]", "a number expected"),
        ("domain: d\ndescriptors: {}", "a list expected"),
        ("a: [", "error loading config file"),
    ],
)
def test_a_configuration_that_is_not_understood_names_its_file(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(ConfigError, match=message) as error:
        load(tmp_path)
    assert "config.yaml" in str(error.value)


def test_a_domain_is_in_one_file_and_there_must_be_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no file"):
        load(tmp_path)
    for name in ("a.yaml", "b.yml"):
        (tmp_path / name).write_text("domain: d")
    with pytest.raises(ConfigError, match="duplicate domain 'd'"):
        load(tmp_path)


def test_requests_are_counted_by_descriptor_until_the_window_ends(configuration: Path) -> None:
    times = [120.0]
    limits = limiter(configuration, times)
    page, other = (Descriptor((("PATH", path),)) for path in ("/productpage", "/else"))
    first, second = limits.check("ratelimit", [page, other], 0)
    assert (first.over, first.remaining, first.reset_seconds, second.remaining) == (False, 0, 60, 99)
    times.append(150.0)
    again = limits.check("ratelimit", [page], 1)[0]
    assert (again.over, again.reset_seconds) == (True, 30)
    times.append(180.0)
    assert not limits.check("ratelimit", [page], 1)[0].over


def test_what_is_not_limited_is_let_through(configuration: Path) -> None:
    limits = limiter(configuration, [0.0])
    for domain, entry in (("other", ("PATH", "x")), ("ratelimit", ("FREE", "x")), ("ratelimit", ("SHADOW", "x"))):
        assert not limits.check(domain, [Descriptor((entry,))], 1000)[0].over


def test_a_request_may_bring_its_own_limit_and_count_for_several(configuration: Path) -> None:
    limits = limiter(configuration, [0.0])
    own = Descriptor((("ANY", "x"),), Limit(5, "hour"))
    assert [limits.check("ratelimit", [own], 3)[0].over for _ in range(2)] == [False, True]


def ask(*entries: tuple[str, str], hits: int = 0, unit: int = 0) -> bytes:
    descriptor: dict[int, bytes | list[bytes]] = {1: [wire.encode({1: key, 2: value}) for key, value in entries]}
    if unit:
        descriptor[2] = wire.encode({1: 1, 2: unit})
    return wire.encode({1: "ratelimit", 2: [wire.encode(descriptor)], 3: hits})


async def test_over_grpc_as_envoy_asks(start: Start, configuration: Path) -> None:
    limits = RateLimits(configuration, limiter(configuration, [90.0]), lambda: 0.0)
    _, url = await start(GrpcServer({METHOD: limits.should_rate_limit}))
    answers = [await call(url, METHOD, ask(("PATH", "/productpage"))) for _ in range(2)]
    assert [wire.integer(answer, 1) for answer in answers] == [1, 2]
    status = wire.messages(answers[1], 2)[0]
    current = wire.message(status, 2)
    assert wire.integer(status, 1) == 2
    assert (wire.integer(current, 1), wire.integer(current, 2)) == (1, 2), "one a minute"
    assert wire.integer(wire.message(status, 4), 1) == 30
    assert wire.integer(await call(url, METHOD, ask(("NONE", "x"))), 1) == 1
    assert wire.integer(await call(url, METHOD, ask(("NONE", "x"), hits=2, unit=3)), 1) == 2


async def test_over_http_in_json(start: Start, configuration: Path) -> None:
    limits = RateLimits(configuration, limiter(configuration, [90.0]), lambda: 0.0)
    _, url = await start(limits.http)
    body = json.dumps({"domain": "ratelimit", "descriptors": [{"entries": [{"key": "PATH", "value": "/productpage"}]}]})
    first, second = [await fetch(f"{url}/json", method="POST", body=body.encode()) for _ in range(2)]
    assert (first.status, json.loads(first.body)["overallCode"]) == (200, "OK")
    assert (second.status, json.loads(second.body)["statuses"][0]["code"]) == (429, "OVER_LIMIT")
    assert (await fetch(f"{url}/json", method="POST", body=b"[]")).status == 400
    assert (await fetch(f"{url}/healthcheck")).body == b"OK"
    _, url = await start(limits.debug)
    page = (await fetch(f"{url}/rlconfig")).body.decode()
    assert "ratelimit.PATH_/productpage: unit=MINUTE requests_per_unit=1, shadow_mode: false\n" in page
    assert "ratelimit.PATH_api.METHOD_POST: unit=HOUR requests_per_unit=3" in page


async def test_a_changed_configuration_is_read_again_and_a_wrong_one_is_not(
    start: Start, configuration: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    times = [0.0]
    limits = RateLimits(configuration, limiter(configuration, [0.0]), lambda: times[-1])
    _, url = await start(GrpcServer({METHOD: limits.should_rate_limit}))
    file = configuration / "config.yaml"
    for number, text in enumerate(("domain: ratelimit\ndescriptors: [{key: N, rate_limit: {unit: day}}]", "wrong"), 1):
        _change(file, text, number)
        times.append(times[-1] + 2)
        assert wire.integer(await call(url, METHOD, ask(("N", "x"))), 1) == 2
    said = capsys.readouterr().err
    assert "successfully loaded new configuration" in said
    assert "error loading new configuration from runtime" in said


def _change(file: Path, text: str, number: int) -> None:
    file.write_text(text)
    os.utime(file, ns=(number, number))


def test_the_published_variables_lead_to_the_configuration() -> None:
    env = {"RUNTIME_ROOT": "/data", "RUNTIME_SUBDIRECTORY": "ratelimit"}
    assert str(directory(env)) == "/data/ratelimit/config"
