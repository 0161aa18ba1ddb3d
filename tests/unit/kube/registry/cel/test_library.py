"""Kubernetes' functions of CEL, as expressions call them. The expected values are those of Kubernetes' own tests."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh_lab.kube.registry.cel.expressions import EvaluationError, program
from mesh_lab.kube.registry.cel.library import FUNCTIONS
from mesh_lab.kube.registry.cel.library.overloads import Opaque


def value(text: str, **data: Any) -> Any:
    return program(text).evaluate(data)


@pytest.mark.parametrize(
    "text",
    [
        'quantity("1k") == quantity("1000")',
        'quantity("1.5Gi").isGreaterThan(quantity("1500M"))',
        'quantity("50k").add(20).asInteger() == 50020',
        'quantity("50k").sub(quantity("100m")).isInteger() == false',
        'quantity("-1").sign() == -1',
        'isQuantity("1.3Gi") && !isQuantity("1,3") && !isQuantity("200K")',
        'quantity("1").compareTo(quantity("2")) == -1',
        'quantity("500m").asApproximateFloat() == 0.5',
        'semver("1.10.0").isGreaterThan(semver("1.9.9"))',
        'semver("1.0.0-alpha.1").isLessThan(semver("1.0.0-alpha.beta"))',
        'semver("1.0.0-rc.1").isLessThan(semver("1.0.0"))',
        'semver("v01.01", true) == semver("1.1.0")',
        'isSemver("1.2.3") && !isSemver("v1.2.3") && isSemver("v1.2", true)',
        'semver("1.2.3").major() == 1 && semver("1.2.3").minor() == 2 && semver("1.2.3").patch() == 3',
        'url("https://user@example.com:80/a%20b?k=1&k=2").getHost() == "example.com:80"',
        'url("https://[::1]:80/").getHostname() == "::1" && url("https://[::1]:80/").getPort() == "80"',
        'url("https://a/b?k=1&k=2").getQuery() == {"k": ["1", "2"]}',
        'url("/path with").getEscapedPath() == "/path%20with"',
        'isURL("/only/path") && isURL("https://a.b") && !isURL("../up") && !isURL("a:b:c") && !isURL("")',
        'ip("127.0.0.1").isLoopback() && ip("::1").family() == 6',
        'ip("10.0.0.1").isGlobalUnicast() && !ip("224.0.0.1").isGlobalUnicast()',
        'ip("224.0.0.5").isLinkLocalMulticast() && ip("fe80::1").isLinkLocalUnicast() && ip("::").isUnspecified()',
        'ip.isCanonical("::1") && !ip.isCanonical("0:0::1")',
        '!isIP("10.0.0.0/8") && !isIP("::ffff:1.2.3.4") && !isIP("fe80::1%eth0") && !isIP("010.0.0.1")',
        'cidr("10.0.0.0/8").containsIP("10.1.2.3") && !cidr("10.0.0.0/8").containsIP(ip("11.0.0.1"))',
        'cidr("10.0.0.0/8").containsCIDR("10.1.0.0/16") && !cidr("10.1.0.0/16").containsCIDR(cidr("10.0.0.0/8"))',
        'cidr("10.1.2.3/8").masked() == cidr("10.0.0.0/8") && cidr("10.1.2.3/8").ip() == ip("10.1.2.3")',
        'cidr("2001:db8::/32").prefixLength() == 32 && !isCIDR("10.0.0.0") && !isCIDR("10.0.0.0/255.0.0.0")',
        '"abc123".find("[0-9]+") == "123" && "abc".find("[0-9]+") == ""',
        '"a1b2c3".findAll("[0-9]") == ["1", "2", "3"] && "a1b2c3".findAll("[0-9]", 2) == ["1", "2"]',
        "[1, 2, 2].isSorted() && !['b', 'a'].isSorted()",
        "[1, 2, 3].sum() == 6 && [1.5, 0.5].sum() == 2.0 && [3, 1].min() == 1 && ['a', 'b'].max() == 'b'",
        "[1, 2, 3, 4].slice(1, 3) == [2, 3] && [[1, [2]], [3]].flatten() == [1, [2], 3]",
        "[1, 1, 2].distinct() == [1, 2] && [3, 1].sort() == [1, 3] && lists.range(3) == [0, 1, 2]",
        "sets.contains([1, 2], [2]) && !sets.contains([1], [true]) && sets.intersects([1, 2], [2, 3])",
        "sets.equivalent([1, 2, 2], [2, 1]) && !sets.equivalent([1], [1, 2])",
        '!format.dns1123Label().validate("a-b").hasValue() && format.dns1123Label().validate("A").hasValue()',
        'format.dns1123Label().validate("A_").value()[0].contains("lowercase RFC 1123 label")',
        '!format.dns1123LabelPrefix().validate("a-").hasValue() && format.dns1123Label().validate("a-").hasValue()',
        'format.named("uuid").value().validate("x").hasValue() && !format.named("none").hasValue()',
        '!format.date().validate("2026-01-31").hasValue() && format.date().validate("2026-02-30").hasValue()',
        '!format.byte().validate("aGk=").hasValue() && format.byte().validate("aGk").hasValue()',
        '"a,b".split(",") == ["a", "b"] && "x".lowerAscii() == "x" && "%d".format([1]) == "1"',
        "math.greatest(1, 5) == 5 && cel.bind(x, 2, x * x) == 4 && optional.of(1).hasValue()",
        "[1, 2].all(i, v, v == i + 1) && {'a': 1}.exists(k, v, k == 'a' && v == 1)",
        "[1, 2, 1].existsOne(i, v, v == 2) && [3, 4].transformList(i, v, i > 0, i + v) == [5]",
        "1 < 2.5 && 2u >= 1",
    ],
)
def test_what_kubernetes_has(text: str) -> None:
    assert value(text) is True


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('quantity("1x")', "quantities must match the regular expression"),
        ('quantity("1.5").asInteger()', "cannot convert value to integer"),
        ('semver("1")', "is not a semantic version"),
        ('url("../x")', "URL parse error during conversion from string"),
        ('ip("::ffff:1.2.3.4")', 'IPv4-mapped IPv6 address "::ffff:1.2.3.4" is not allowed'),
        ('ip("fe80::1%eth0")', "with zone value is not allowed"),
        ('cidr("10.0.0.0")', "network address parse error during conversion from string"),
        ('"a".find("[")', "Illegal regex"),
        ("[].min()", "min called on empty list"),
        ("[1, 2].slice(1, 5)", "cannot slice(1, 5), list is length 2"),
        ("['a'].sum()", "no such overload"),
        ("self.a", "no such key: a"),
        ("[1][self.i]", "index out of bounds: 7"),
        ("1 / self.zero", "division by zero"),
        ("self.i + 'x'", "no such overload"),
        ("'x'.matches('[')", "error parsing regexp: missing ]: ["),
        ("self.many.all(x, x >= 0)", "actual cost limit exceeded"),
    ],
)
def test_what_has_no_value_says_why(text: str, why: str) -> None:
    with pytest.raises(EvaluationError) as raised:
        value(text, self={"zero": 0, "i": 7, "many": list(range(20_000))})
    assert why in str(raised.value)


def test_each_overload_is_declared_once() -> None:
    declared = [(each.name, each.parameters, each.member) for each in FUNCTIONS]
    assert len(declared) == len(set(declared))


@given(st.integers(-(10**9), 10**9), st.sampled_from(["", "k", "M", "Ki", "m", "e2"]), st.integers(-(10**9), 10**9))
def test_quantities_are_ordered_as_the_numbers_that_they_are(number: int, suffix: str, other: int) -> None:
    factor = {"": 1, "k": 1000, "M": 10**6, "Ki": 1024, "m": Fraction(1, 1000), "e2": 100}[suffix]
    this = number * factor
    text = f'quantity("{number}{suffix}").compareTo(quantity("{other}"))'
    assert value(text) == (this > other) - (this < other)


@given(st.text())
def test_a_url_is_one_exactly_when_it_can_be_made(text: str) -> None:
    calls = {each.name: each.call for each in FUNCTIONS if each.parameters == ("string",)}
    for of, name in (("isURL", "url"), ("isIP", "ip"), ("isCIDR", "cidr"), ("isSemver", "semver")):
        if calls[of](text):
            assert isinstance(calls[name](text), Opaque)
        else:
            with pytest.raises(ValueError, match=r"."):
                calls[name](text)
