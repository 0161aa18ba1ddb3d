"""Two reports side by side."""

from __future__ import annotations

from mesh_lab.conformance.comparing import ABSENT, Comparison, NumberChange, VerdictChange, compare
from tests.unit.conformance.reports import FAULT, SPLIT, outcome, report


def test_reports_that_say_the_same_do_not_differ() -> None:
    one = report({SPLIT: outcome(SPLIT, numbers={"v2_ratio": 0.3}), FAULT: outcome(FAULT, "fails")})
    assert compare(one, one) == Comparison((), ())


def test_what_the_second_fails_and_the_first_passes_is_broken_and_no_other_difference() -> None:
    passing = report({SPLIT: outcome(SPLIT), FAULT: outcome(FAULT)})
    failing = report(
        {
            SPLIT: outcome(SPLIT, "fails", failure=("600 requests were not split", "more")),
            FAULT: outcome(FAULT, "not supported", reason="no faults"),
        }
    )
    split = VerdictChange(SPLIT, "passes", "fails", "600 requests were not split")
    found = compare(passing, failing)
    assert found.verdicts == (VerdictChange(FAULT, "passes", "not supported", "no faults"), split)
    assert found.broken == (split,)
    assert compare(failing, passing).broken == ()


def test_a_case_that_only_one_has_is_a_difference() -> None:
    assert compare(report({SPLIT: outcome(SPLIT)}), report({FAULT: outcome(FAULT, "fails")})).verdicts == (
        VerdictChange(FAULT, ABSENT, "fails", ""),
        VerdictChange(SPLIT, "passes", ABSENT, ""),
    )


def test_numbers_that_both_have_are_compared_where_they_differ() -> None:
    before = report({SPLIT: outcome(SPLIT, numbers={"v2_ratio": 0.25, "requests_count": 600, "mine_ms": 1})})
    after = report({SPLIT: outcome(SPLIT, numbers={"v2_ratio": 0.5, "requests_count": 600, "theirs_ms": 1})})
    (change,) = compare(before, after).numbers
    assert change == NumberChange(SPLIT, "v2_ratio", 0.25, 0.5)
    assert change.difference == 0.25
