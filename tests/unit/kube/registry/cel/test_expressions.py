"""Expressions: what is refused, in which words, and that what is evaluated is what was written."""

from __future__ import annotations

import operator
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh_lab.kube.registry.cel.declared import declare
from mesh_lab.kube.registry.cel.expressions import Checker, CompileError, EvaluationError, program
from mesh_lab.kube.registry.cel.messages import Messages
from mesh_lab.kube.schemas.structural import compile_custom

SCHEMA = {
    "type": "object",
    "properties": {
        "port": {"type": "integer"},
        "weight": {"type": "number"},
        "target": {"x-kubernetes-int-or-string": True},
        "since": {"type": "string", "format": "date-time"},
        "labels": {"type": "object", "additionalProperties": {"type": "string"}},
        "fooBar": {"type": "string"},
        "foo_bar": {"type": "string"},
        "namespace": {"type": "string"},
        "a.b-c/d": {"type": "string"},
        "rows": {"type": "array", "items": {"type": "array", "items": {"type": "string"}}},
        "hidden": {"x-kubernetes-preserve-unknown-fields": True},
        "items": {
            "type": "array",
            "items": {"type": "object", "properties": {"name": {"type": "string"}}},
        },
    },
}


def checker(schema: dict[str, Any] = SCHEMA) -> Checker:
    declared = declare(compile_custom(schema), root=True)
    assert declared is not None
    messages = Messages()
    return Checker({"self": messages.type_of(declared)}, messages.file)


@pytest.mark.parametrize(
    "text",
    [
        "self.port > 0 && self.weight < 1.5",
        "self.port < 1.5",
        "type(self.target) == string ? self.target.endsWith('%') : self.target > 0",
        "self.since > timestamp('2020-01-01T00:00:00Z')",
        "self.labels.all(key, key.startsWith('a') && self.labels[key] != '')",
        "self.fooBar == self.foo_bar",
        "self.__namespace__ == '' && self.a__dot__b__dash__c__slash__d == ''",
        "self.items.exists(one, has(one.name) && one.name == self.metadata.name)",
        "self.rows[0][0] == 'x'",
        "self.?items[?0].name.orValue('') == ''",
        "self.apiVersion == 'v1' && self.kind == 'X' && has(self.metadata.generateName)",
    ],
)
def test_an_expression_is_checked_against_the_schema(text: str) -> None:
    assert checker().check(text) in ("BOOL", "DYN")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("self.prot > 0", "ERROR: <input>:1:5: undefined field 'prot'\n | self.prot > 0\n | ....^"),
        ("self.port == 'x'", "ERROR: <input>:1:11: found no matching overload for '_==_' applied to '(int, string)'"),
        ("self.items.all(one, one.nmae == '')", "undefined field 'nmae'"),
        ("self.hidden.x == 1", "undefined field 'hidden'"),
        ("self.metadata.labels == {}", "undefined field 'labels'"),
        ("self.port > ", "Syntax error: mismatched input '<EOF>'"),
        ("other == 1", "undeclared reference to 'other' (in container '')"),
        ("self.nope()", "undeclared reference to 'nope'"),
        (
            "self.fooBar.matches('[')",
            "ERROR: <input>:1:21: invalid matches argument\n | self.fooBar.matches(",
        ),
        ("duration('1 hour') > duration('1s')", "ERROR: <input>:1:10: invalid duration argument"),
        ("self.since > timestamp('2020')", "invalid timestamp argument"),
        ("self.labels.transformMap(k, v, v) == {}", "the lab cannot evaluate the macro 'transformMap'"),
    ],
)
def test_what_does_not_compile_is_told_as_kubernetes_tells_it(text: str, why: str) -> None:
    with pytest.raises(CompileError) as raised:
        checker().check(text)
    assert why in str(raised.value)
    assert "object0" not in str(raised.value)


def test_errors_do_not_count_the_lines_that_are_put_around() -> None:
    with pytest.raises(CompileError) as raised:
        checker().check("true &&\nself.prot > 0", "cel.bind(me, self,", ")")
    assert str(raised.value).startswith("ERROR: <input>:2:5: undefined field 'prot'")


_OPERATORS = {"+": operator.add, "-": operator.sub, "*": operator.mul}
_TERMS = st.recursive(
    st.integers(-1000, 1000).map(lambda number: (f"({number})", number)),
    lambda inner: st.tuples(inner, st.sampled_from(sorted(_OPERATORS)), inner).map(
        lambda parts: (f"({parts[0][0]} {parts[1]} {parts[2][0]})", _OPERATORS[parts[1]](parts[0][1], parts[2][1]))
    ),
    max_leaves=5,
)


@given(_TERMS)
def test_arithmetic_is_what_it_is_anywhere(term: tuple[str, int]) -> None:
    text, expected = term
    assert program(text).evaluate({}) == expected


_TEXT = st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=5)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | _TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3),
    max_leaves=8,
)


@given(_JSON)
def test_a_value_comes_out_as_it_went_in(value: Any) -> None:
    assert program("self.x").evaluate({"self": {"x": value}}) == value


@given(st.lists(st.integers(0, 9), max_size=5))
def test_macros_of_two_variables_see_places_and_values(numbers: list[int]) -> None:
    data = {"self": numbers}
    assert program("self.all(i, v, i <= v)").evaluate(data) == all(i <= v for i, v in enumerate(numbers))
    assert program("self.exists(i, v, i == v)").evaluate(data) == any(i == v for i, v in enumerate(numbers))
    assert program("self.transformList(i, v, v > 4, i)").evaluate(data) == [i for i, v in enumerate(numbers) if v > 4]
    once = sum(i == v for i, v in enumerate(numbers)) == 1
    assert program("self.existsOne(i, v, i == v)").evaluate(data) == once


def test_a_program_tells_what_it_reads() -> None:
    assert {"self", "oldSelf"} <= program("self.x == oldSelf.x").reads
    assert "variables.one" in program("variables.one > 1 || variables.two").reads


def test_an_error_that_another_operand_makes_good_is_none() -> None:
    assert program("self.absent == 1 || true").evaluate({"self": {}}) is True
    with pytest.raises(EvaluationError):
        program("self.absent == 1 || false").evaluate({"self": {}})


def test_a_number_that_is_too_large_has_no_value() -> None:
    with pytest.raises(EvaluationError):
        program("self.x > 1").evaluate({"self": {"x": 2**70}})


def test_the_library_is_imported_with_the_first_expression_only() -> None:
    code = "import sys, mesh_lab.kube.main; sys.exit('cel_expr_python.cel' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
