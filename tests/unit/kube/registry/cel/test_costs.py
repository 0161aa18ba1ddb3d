"""Estimated costs. The figures are those that Kubernetes' own estimator gives for the same schemas and rules."""

from __future__ import annotations

from typing import Any

import pytest

from mesh_lab.kube.registry.cel.costs import LIMIT, estimate, factor
from mesh_lab.kube.registry.cel.declared import declare
from mesh_lab.kube.registry.cel.expressions import parse
from mesh_lab.kube.registry.custom import rulechecks
from mesh_lab.kube.schemas.structural import compile_custom

SCHEMA = {
    "type": "object",
    "properties": {
        "few": {"type": "array", "maxItems": 10, "items": {"type": "string", "maxLength": 25}},
        "many": {"type": "array", "items": {"type": "string"}},
        "numbers": {"type": "array", "maxItems": 100, "items": {"type": "integer"}},
        "text": {"type": "string", "maxLength": 100},
        "long": {"type": "string"},
        "map": {"type": "object", "maxProperties": 5, "additionalProperties": {"type": "string", "maxLength": 10}},
        "count": {"type": "integer"},
    },
}


def cost(text: str) -> int:
    declared = declare(compile_custom(SCHEMA))
    assert declared is not None
    return estimate(parse(text), {"self": declared, "oldSelf": declared})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("true", 0),
        ("self.count > 1", 3),
        ("has(self.count)", 1),
        ("self.text == 'abcdefghij'", 3),
        ("self.text.startsWith('abcdefghijk')", 4),
        ("self.text.contains('abcdefghijk')", 2 + 40 * 2),
        ("self.text.matches('abcdefgh')", 2 + 41 * 2),
        ("self.numbers.all(x, x > 1)", 2 + 1 + 100 * (2 + 1 + 1 + 1)),
        ("self.few.all(x, x == 'a')", 2 + 1 + 10 * (2 + 1 + 1 + 1)),
        ("self.map['a'] == 'b'", 2 + 1 + 1),
        ("'a' in self.few", 2 + 10),
        ("self.count > 1 && self.count < 5", 6),
        ("self.count > 1 ? self.count > 2 : self.text == ''", 3 + 3),
        ("size(self.few) < 5", 4),
    ],
)
def test_what_an_expression_costs(text: str, expected: int) -> None:
    assert cost(text) == expected


def test_what_has_no_limit_is_as_large_as_a_request() -> None:
    assert cost("self.long.matches('^[a-z]*$')") > LIMIT / 20
    assert cost("self.many.all(x, self.many.exists(y, x == y))") > LIMIT


@pytest.mark.parametrize(
    ("times", "words"), [(1.2, "1.200000x"), (1.5, "1.5x"), (99.96, "100.0x"), (101, "more than 100x")]
)
def test_how_much_too_dear_it_is(times: float, words: str) -> None:
    assert factor(int(times * LIMIT), LIMIT) == words


def listed(rule: str, **limits: int) -> dict[str, Any]:
    items = {"type": "string", "x-kubernetes-validations": [{"rule": rule}], **({"maxLength": 10} if limits else {})}
    return {"type": "object", "properties": {"l": {"type": "array", "items": items, **limits}}}


def test_a_rule_that_may_take_too_long_is_refused() -> None:
    assert list(rulechecks.check(compile_custom(listed("self.matches('^a.*b$')", maxItems=10)), "schema")) == []
    cause, *_ = rulechecks.check(compile_custom(listed("self.matches('^a.*b$')")), "schema")
    assert cause.field == "schema.properties[l].items.x-kubernetes-validations[0].rule"
    assert cause.message.startswith("Forbidden: estimated rule cost exceeds budget by factor of more than 100x (try")


def test_the_rules_of_a_schema_may_not_be_too_dear_together() -> None:
    whole = {"type": "array", "items": {"type": "integer"}}
    rules = [{"rule": "self.all(x, self.all(y, x <= y || x > y)) ", "message": str(n)} for n in range(15)]
    dear = {"type": "object", "properties": {"l": {**whole, "maxItems": 1000, "x-kubernetes-validations": rules}}}
    found = list(rulechecks.check(compile_custom(dear), "schema"))
    assert [cause.field for cause in found[-1:]] == ["schema"]
    assert "rule cost total for entire OpenAPIv3 schema exceeds budget by factor of" in found[-1].message
    assert sum("contributed to estimated rule cost total" in cause.message for cause in found) == 4
