"""Limits of a load run: what they say, and what breaks them."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh_lab.load.limits import METRICS, OF_ARRIVALS, Limit, broken, parse

CART = {"method": "GET", "name": "/cart", "requests": 40, "p99_ms": 300.0, "error_ratio": 0.05, "max_ms": 400.0}
FIGURES: dict[str, Any] = {
    "p50_ms": 5,
    "p99_ms": 20,
    "error_ratio": 0.01,
    "requests_per_second": 80.0,
    "versions": {"v1": 90, "v2": 10},
    "endpoints": [CART, {**CART, "method": "POST", "name": "/idle", "requests": 0}],
}


def breaks(*texts: str) -> list[str]:
    return list(broken([parse(text) for text in texts], FIGURES))


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("p99>250ms", Limit("p99>250ms", "p99_ms", ">", 250.0)),
        ("p99 >= 1.5s", Limit("p99 >= 1.5s", "p99_ms", ">=", 1500.0)),
        ("errors>1%", Limit("errors>1%", "error_ratio", ">", 0.01)),
        ("errors>0.01", Limit("errors>0.01", "error_ratio", ">", 0.01)),
        ("rps<100", Limit("rps<100", "requests_per_second", "<", 100.0)),
        ("GET /cart p50<1ms", Limit("GET /cart p50<1ms", "p50_ms", "<", 1.0, "GET /cart")),
        ("share(reviews v2)<8%", Limit("share(reviews v2)<8%", "share", "<", 0.08, version="reviews v2")),
    ],
)
def test_what_a_limit_says(text: str, limit: Limit) -> None:
    assert parse(text) == limit


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "is not a limit"),
        ("p99", "is not a limit"),
        ("p99=3ms", "is not a limit"),
        ("p99>fast", "is not a limit"),
        ("p98>3ms", "known metrics are"),
        ("p99(v2)>3ms", "known metrics are"),
        ("share>3%", "known metrics are"),
        ("p99>250", "the unit of p99 is ms or s"),
        ("rps>3ms", "the unit of rps is none"),
        ("errors>3ms", "the unit of errors is % or none"),
        ("/cart share(v2)>3%", "for all endpoints together"),
        ("/cart late>3%", "arrivals are counted for all endpoints together"),
    ],
)
def test_what_is_no_limit_is_refused_with_what_is_one(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse(text)


@given(st.text().filter(lambda text: ">" not in text and "<" not in text))
def test_any_other_text_is_refused_in_words(text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(repr(text))):
        parse(text)


METRIC = st.sampled_from(sorted(METRICS))
UNIT = {"ms": "ms", "%": "%", "": ""}


@given(
    METRIC, st.sampled_from(["<", "<=", ">", ">="]), st.integers(0, 10**6), st.sampled_from(["", "/a b ", "GET /x "])
)
def test_every_limit_of_the_form_is_read(metric: str, sign: str, value: int, endpoint: str) -> None:
    figure, counted = METRICS[metric]
    endpoint = "" if figure in OF_ARRIVALS else endpoint
    read = parse(f"{endpoint}{metric}{sign}{value}{UNIT[counted]}")
    assert (read.figure, read.sign, read.endpoint) == (figure, sign, endpoint.strip())
    assert read.value == pytest.approx(value * (0.01 if counted == "%" else 1))


def test_what_is_within_its_limits_breaks_none() -> None:
    assert breaks("p99>20ms", "errors>1%", "rps<80", "share(v2)<10%", "/cart p99>300ms", "GET /cart errors>5%") == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("p99>=20ms", "p99>=20ms: it is 20"),
        ("rps<80.1", "rps<80.1: it is 80"),
        ("share(v2)<10.1%", "share(v2)<10.1%: it is 0.1"),
        ("GET /cart p99>0.2s", "GET /cart p99>0.2s: it is 300"),
        ("share(v3)<1%", "share(v3)<1%: no request of version v3; there were v1, v2"),
        ("/nope p99>1s", "/nope p99>1s: no request of endpoint /nope; there were GET /cart, POST /idle"),
        ("/idle p99>1s", "/idle p99>1s: no request of endpoint /idle; there were GET /cart, POST /idle"),
    ],
)
def test_a_broken_limit_says_what_was_measured(text: str, words: str) -> None:
    assert breaks(text) == [words]
