"""What is an expression of CEL, and what is not."""

from __future__ import annotations

import pytest

from mesh_lab.controlplane.validation.cel import expression


@pytest.mark.parametrize(
    "text",
    [
        "response.code >= 400",
        "request.headers['x-a'] == \"b\" && !has(connection.mtls)",
        "a.b.exists(x, x in [1, 2u, 0x3, .5, 1e3,])",
        'request.url_path.matches(r"^/v\\d+$")',
        "a ? b : c ? d : e",
        '{"a": 1, true: [null]}["a"] - -1',
        "google.rpc.Status{code: 1, `a-b`: 2}.code",
        ".a.b(1, (2))",
        '"""a\n"b" """ + b\'\\x00\'',
        "a // to the end\n + b",
        "!!a || --b < 1",
    ],
)
def test_an_expression_is_taken(text: str) -> None:
    assert list(expression("", text)) == []


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "a ==", "== a", "a b", "(a", "a)", "[1", "a[", "a.", "a ? b", "a ? b :", "f(a", "f(,)", "{a}", "1."),
        *("a = b", "'a", '"\\d"', "a & b", "for", "in", "a.1", "#", "%REQ(x)%", "!-a", "'a\nb'"),
        "(" * 5000 + "a" + ")" * 5000,
    ],
)
def test_what_is_none_is_a_problem_and_never_a_fault(text: str) -> None:
    (problem,) = expression("spec.x", text)
    assert (problem.severity, problem.path) == ("error", "spec.x")
    assert len(problem.message) < 250
