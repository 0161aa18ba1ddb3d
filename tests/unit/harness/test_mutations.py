"""Each assertion passes on a mesh that behaves and fails on one that misbehaves by little.

Where chance decides, a behaving mesh is simulated 100,000 times: the counts that an assertion would see are drawn from
their exact distribution, and each count that was drawn is shown to it once.
"""

from __future__ import annotations

import json
import math
import random
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from mesh_lab.harness.agreement import Counted, assert_metrics_agree, assert_none_lost
from mesh_lab.harness.assertions import assert_latency, assert_split
from mesh_lab.harness.balancing import (
    assert_least_request,
    assert_locality,
    assert_returned,
    assert_round_robin,
    assert_sticky,
)
from mesh_lab.harness.exchanges import (
    Seen,
    assert_cors,
    assert_mirrored,
    assert_redirected,
    assert_request_headers,
    assert_response_headers,
    assert_rewritten,
)
from mesh_lab.harness.records import CLIENT, SERVER, Record
from mesh_lab.harness.resilience import (
    assert_aborted,
    assert_backed_off,
    assert_circuit_closed,
    assert_delayed,
    assert_not_retried,
    assert_retried,
    assert_retries_bounded,
    assert_timed_out,
)
from mesh_lab.harness.results import Result, Results
from mesh_lab.harness.security import (
    BY_NO_RULE,
    assert_allowed,
    assert_denied,
    assert_mutual_tls,
    assert_plaintext_refused,
    assert_tls,
    assert_unauthenticated,
)
from mesh_lab.harness.statistics import FALSE_ALARM, binomial_interval, log_probability

RUNS, REQUESTS = 100_000, 1_000
ME, SHOP = "spiffe://cluster.local/ns/x/sa/client", "spiffe://cluster.local/ns/x/sa/shop"
HOSTS = ("a", "b", "c")
OK = Result(200, 0.0, 2.0)


def these(*results: Result) -> Results:
    return Results(results)


def many(count: int, result: Result = OK, **changes: Any) -> Results:
    return Results([replace(result, **changes)] * count)


def at(hosts: str) -> Results:
    return Results(replace(OK, hostname=host) for host in hosts)


def recorded(attempts: int = 1, status: int = 200, details: str = "", flags: str = "", **changes: str) -> Result:
    sent = Record("1", CLIENT, status, attempts, flags, details, "10.0.0.1:80", "", changes.get("server", SHOP))
    served = Record("1", SERVER, status, 1, details=details, downstream_identity=changes.get("client", ME))
    return replace(OK, status=status, record=sent, served=served)


def sees(path: str = "/v2/cart", host: str = "shop", **headers: str) -> Results:
    told = {name.replace("_", "-"): value for name, value in headers.items()}
    return many(1, body=json.dumps({"path": path, "headers": {"host": host, **told}}))


def answers(**headers: str) -> Results:
    return many(1, headers={name.replace("_", "-"): value for name, value in headers.items()})


def counted(source: dict[str, int], destination: dict[str, int]) -> Counted:
    return Counted(lambda: Counter(source), lambda: Counter(destination))


ALLOWED = {"access_control_allow_origin": "https://a", "access_control_allow_methods": "GET,POST"}
DENIED = "rbac_access_denied_matched_policy[ns[x]-policy[deny-all]-rule[0]]"
NO_RULE = "rbac_access_denied_matched_policy[none]"


@dataclass(frozen=True)
class Case:
    """An assertion, what it is to pass, and what differs from that by little."""

    check: Callable[[Any], None]
    behaves: Any
    misbehaves: tuple[Any, ...]


CERTAIN = {
    "round robin": Case(lambda r: assert_round_robin(r, HOSTS), at("abcabcab"), (at("abcabcaa"), at("abcabcd"))),
    "round robin of two threads": Case(
        lambda r: assert_round_robin(r, HOSTS, slack=2), at("abcabcaa"), (at("abcabcaaa"),)
    ),
    "sticky": Case(
        lambda r: assert_sticky(r, lambda each: each.id),
        these(*(replace(OK, id=i, hostname=h) for i, h in ("1a", "2b", "1a", "3a"))),
        (
            these(*(replace(OK, id=i, hostname=h) for i, h in ("1a", "2b", "1b", "3a"))),
            these(*(replace(OK, id=i, hostname=h) for i, h in ("1a", "2a", "1a", "3a"))),
        ),
    ),
    "retried": Case(
        lambda r: assert_retried(r, 3), these(recorded(3)), (these(recorded(2)), these(recorded(3, status=503)))
    ),
    "not retried": Case(
        lambda r: assert_not_retried(r, status=500),
        these(recorded(status=500)),
        (these(recorded(2, status=500)), these(recorded())),
    ),
    "retries bounded": Case(lambda arrived: assert_retries_bounded(100, arrived, ratio=0.2), 120, (121, 400, 100, 90)),
    "circuit closed": Case(
        lambda given: assert_circuit_closed(given[0], counted=given[1]),
        (many(9), 0),
        ((many(9), 1), (many(8) + many(1, status=503), 0)),
    ),
    "timed out": Case(
        lambda r: assert_timed_out(r, 0.5, under_s=0.7),
        many(3, status=504, duration_ms=505.0),
        (many(3, status=504, duration_ms=705.0), many(3, status=504, duration_ms=480.0), many(3, duration_ms=505.0)),
    ),
    "delayed, all": Case(
        lambda r: assert_delayed(r, 0.5), many(9, duration_ms=501.0), (many(8, duration_ms=501.0) + many(1),)
    ),
    "aborted, all": Case(
        lambda r: assert_aborted(r, 418), many(9, status=418), (many(8, status=418) + many(1), many(9, status=500))
    ),
    "rewritten": Case(
        lambda r: assert_rewritten(r, path="/v2/cart", host="shop"),
        sees(),
        (sees("/cart"), sees(host="front"), sees("/v2/cart/")),
    ),
    "request headers": Case(
        lambda r: assert_request_headers(r, {"X-Tenant": "one"}, ["x-debug"]),
        sees(x_tenant="one"),
        (sees(), sees(x_tenant="two"), sees(x_tenant="one", x_debug="")),
    ),
    "response headers": Case(
        lambda r: assert_response_headers(r, {"x-served-by": "mesh"}, ["server"]),
        answers(x_served_by="mesh"),
        (answers(), answers(x_served_by="mesh", server="x")),
    ),
    "redirected": Case(
        lambda r: assert_redirected(r, "/new"),
        many(1, status=301, headers={"location": "/new"}),
        (many(1, status=302, headers={"location": "/new"}), many(1, status=301, headers={"location": "/"})),
    ),
    "CORS": Case(
        lambda r: assert_cors(r, "https://a", methods=["POST"], credentials=False),
        answers(**ALLOWED),
        (
            answers(),
            answers(**ALLOWED | {"access_control_allow_origin": "https://b"}),
            answers(**ALLOWED | {"access_control_allow_methods": "GET"}),
            answers(**ALLOWED, access_control_allow_credentials="true"),
        ),
    ),
    "CORS for every origin": Case(
        lambda r: assert_cors(r, "https://a", headers=["X-One"], max_age_s=60),
        answers(access_control_allow_origin="*", access_control_allow_headers="*", access_control_max_age="60"),
        (
            answers(access_control_allow_origin="*", access_control_allow_headers="*"),
            answers(access_control_allow_origin="*", access_control_max_age="60"),
        ),
    ),
    "CORS for no origin": Case(lambda r: assert_cors(r, None), answers(), (answers(**ALLOWED),)),
    "credentials for a named origin only": Case(
        lambda r: assert_cors(r, "https://a", credentials=True),
        answers(**ALLOWED, access_control_allow_credentials="true"),
        (answers(access_control_allow_origin="*", access_control_allow_credentials="true"),),
    ),
    "mutual TLS": Case(
        lambda r: assert_mutual_tls(r, client=ME, server=SHOP),
        these(recorded()),
        (
            these(recorded(server="")),
            these(recorded(client="")),
            these(recorded(client=SHOP)),
            these(recorded(), recorded(server=ME)),
        ),
    ),
    "plaintext refused": Case(
        assert_plaintext_refused,
        many(3, status=0, error="reset") + these(recorded(status=503, flags="UC,URX")),
        (
            many(3, status=0, error="reset") + many(1),
            many(3, status=0, error="refused"),
            many(3, status=0, error="timeout"),
            many(1, status=503),
            these(recorded(status=503, flags="UH")),
        ),
    ),
    "denied": Case(
        assert_denied,
        many(3, status=403) + many(1, grpc_status=7),
        (many(3, status=403) + many(1), many(1, status=401), many(1, grpc_status=14)),
    ),
    "denied by a policy": Case(
        lambda r: assert_denied(r, "x/deny-all"),
        these(recorded(status=403, details=DENIED)),
        (
            these(recorded(status=403, details=DENIED.replace("deny-all", "deny-some"))),
            these(recorded(status=403, details=NO_RULE)),
            these(recorded(status=403, details="via_upstream")),
        ),
    ),
    "denied by no rule": Case(
        lambda r: assert_denied(r, BY_NO_RULE),
        these(recorded(status=403, details=NO_RULE)),
        (these(recorded(status=403, details=DENIED)),),
    ),
    "allowed": Case(assert_allowed, many(3), (many(2) + many(1, status=403),)),
    "unauthenticated": Case(assert_unauthenticated, many(3, status=401), (many(2, status=401) + many(1, status=403),)),
    "TLS": Case(
        lambda r: assert_tls(r, version="TLSv1.3"),
        many(2, tls="TLSv1.3"),
        (many(1, tls="TLSv1.2"), many(1, tls="TLSv1.3") + many(1)),
    ),
    "none lost": Case(
        lambda r: assert_none_lost(r, at_least=10),
        many(10),
        (many(9), many(9) + many(1, status=503), many(9) + many(1, status=0, error="reset")),
    ),
    "metrics agree": Case(
        lambda given: assert_metrics_agree(many(8) + many(2, status=404), given, timeout=0.0),
        counted({"200": 8, "404": 2}, {"200": 8, "404": 2}),
        (
            counted({"200": 8, "404": 1}, {"200": 8, "404": 2}),
            counted({"200": 9, "404": 2}, {"200": 8, "404": 2}),
            counted({"200": 8, "404": 2}, {"200": 8, "404": 1}),
            counted({"200": 8, "404": 2}, {"200": 8, "503": 2}),
        ),
    ),
    "metrics agree, with retries": Case(
        lambda given: assert_metrics_agree(these(recorded(3), recorded(1)), given, timeout=0.0),
        counted({"200": 2}, {"200": 2, "503": 2}),
        (counted({"200": 2}, {"200": 2, "503": 1}), counted({"200": 4}, {"200": 2, "503": 2})),
    ),
}


@pytest.mark.parametrize("name", CERTAIN)
def test_a_mesh_that_behaves_passes_and_one_that_differs_by_little_fails(name: str) -> None:
    case = CERTAIN[name]
    case.check(case.behaves)
    for given in case.misbehaves:
        with pytest.raises(AssertionError) as raised:
            case.check(given)
        assert len(str(raised.value)) > 20, "it says what was seen"


# Where chance decides


def share(hit: Result, missed: Result = OK, requests: int = REQUESTS) -> Callable[[int], Results]:
    """What an assertion sees of a run in which so many requests were hit."""
    return lambda count: Results([hit] * count + [missed] * (requests - count))


@dataclass(frozen=True)
class Chance:
    """An assertion of which each request is hit with a probability, and with which other one it is to fail."""

    check: Callable[[int], None]
    behaves: float
    misbehaves: float
    requests: int = REQUESTS


def _of(check: Callable[[Results], None], made: Callable[[int], Results]) -> Callable[[int], None]:
    return lambda count: check(made(count))


BY_CHANCE = {
    "split": Chance(
        _of(
            lambda r: assert_split(r, {"v1": 90, "v2": 10}), share(replace(OK, version="v2"), replace(OK, version="v1"))
        ),
        0.10,
        0.20,
    ),
    "delayed": Chance(
        _of(lambda r: assert_delayed(r, 0.5, share=0.1), share(replace(OK, duration_ms=510.0))), 0.1, 0.2
    ),
    "aborted": Chance(_of(lambda r: assert_aborted(r, 503, share=0.1), share(replace(OK, status=503))), 0.1, 0.2),
    "mirrored": Chance(lambda count: assert_mirrored(REQUESTS, count, share=0.5), 0.5, 0.64),
    "locality": Chance(
        _of(
            lambda r: assert_locality(r, {"a": "r/z1", "b": "r/z2"}, {"r/z1": 80, "r/z2": 20}),
            share(replace(OK, hostname="b"), replace(OK, hostname="a")),
        ),
        0.2,
        0.32,
    ),
    "least request": Chance(
        _of(
            lambda r: assert_least_request(r, "a", HOSTS),
            share(replace(OK, hostname="a"), replace(OK, hostname="b")),
        ),
        1 / 9,
        1 / 3,
    ),
    "returned": Chance(
        _of(lambda r: assert_returned(r, "a", HOSTS), share(replace(OK, hostname="a"), replace(OK, hostname="b"))),
        1 / 3,
        1 / 6,
    ),
    "latency": Chance(
        _of(lambda r: assert_latency(r, 0.9, under_s=0.1), share(replace(OK, duration_ms=200.0))), 0.1, 0.2
    ),
    "backed off": Chance(
        _of(
            lambda r: assert_backed_off(r, 2, base_s=0.1, slack_s=0.05),
            share(replace(OK, duration_ms=170.0), replace(OK, duration_ms=100.0)),
        ),
        0.5,
        0.36,
    ),
}


def failing(case: Chance, counts: Iterable[int]) -> set[int]:
    """Those counts on which an assertion fails."""
    failed = set()
    for count in counts:
        try:
            case.check(count)
        except AssertionError:
            failed.add(count)
    return failed


def distribution(case: Chance, probability: float) -> list[float]:
    return [math.exp(log_probability(count, case.requests, probability)) for count in range(case.requests + 1)]


def failures(case: Chance, probability: float) -> int:
    """How many of `RUNS` simulated runs an assertion fails."""
    chance = random.Random(f"{case.requests} {probability}")
    counts = range(case.requests + 1)
    drawn = Counter(chance.choices(counts, distribution(case, probability), k=RUNS))
    return sum(drawn[count] for count in failing(case, drawn))


@pytest.mark.parametrize("name", BY_CHANCE)
def test_of_100_000_runs_of_a_behaving_mesh_no_more_fail_than_is_said(name: str) -> None:
    """One in a million: of so many runs none, as a rule. Which counts fail has that probability exactly, or less."""
    case = BY_CHANCE[name]
    assert failures(case, case.behaves) <= binomial_interval(RUNS, FALSE_ALARM, 0.01).high
    likely = {count: weight for count, weight in enumerate(distribution(case, case.behaves)) if weight > 1e-15}
    assert sum(likely[count] for count in failing(case, likely)) <= FALSE_ALARM


@pytest.mark.parametrize("name", BY_CHANCE)
def test_of_1_000_runs_of_a_misbehaving_mesh_at_most_one_passes(name: str) -> None:
    assert failures(BY_CHANCE[name], BY_CHANCE[name].misbehaves) >= RUNS * 0.999


@pytest.mark.parametrize(
    "check",
    [
        lambda: assert_least_request(at("abc"), "a", HOSTS),
        lambda: assert_returned(at("abc"), "a", HOSTS),
        lambda: assert_backed_off(many(5), 2, slack_s=0.01),
        lambda: assert_backed_off(many(500), 2, base_s=0.01, slack_s=1.0),
        lambda: assert_mirrored(0, 0),
        lambda: assert_mirrored(5, 2, share=0.5),
        lambda: assert_rewritten(many(1), path="/"),
        lambda: assert_tls(many(1, tls="TLSv1.3"), name="shop"),
    ],
)
def test_what_could_not_fail_is_refused(check: Callable[[], None]) -> None:
    with pytest.raises(ValueError, match=r"too few|hide pauses|does not tell|no certificates"):
        check()


def test_what_the_server_saw_may_be_told_by_a_function() -> None:
    own = many(1, body="GET /v2")
    assert_rewritten(own, path="/v2", seen=lambda result: Seen(result.body.split()[1], "", {}))


def test_the_proxy_that_saw_the_client_must_have_recorded_it() -> None:
    alone = these(replace(recorded(), served=None))
    with pytest.raises(LookupError, match="no proxy of a server has recorded"):
        assert_mutual_tls(alone)
    with pytest.raises(LookupError, match="recorded=True"):
        assert_denied(many(1, status=403), "x/deny-all")
