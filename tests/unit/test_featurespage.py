"""docs/conformance.md lists what the end-to-end tests claim to show, and the tests claim it rightly."""

from __future__ import annotations

import pytest

from tests import featurespage
from tests.unit.conformance.reports import SPLIT, outcome, report


def test_the_page_has_the_table_of_what_the_tests_claim() -> None:
    page = featurespage.PAGE.read_text(encoding="utf-8")
    assert featurespage.written(page, featurespage.collected()) == page, "`make docs` writes it anew"


def test_a_table_takes_the_place_of_the_one_before() -> None:
    page = f"before\n{featurespage.BEGIN}old\n{featurespage.END}after\n"
    written = featurespage.written(page, report({SPLIT: outcome(SPLIT)}))
    assert written == (
        f"before\n{featurespage.BEGIN}\n| feature | HTTP/1.1 | HTTP/2 | gRPC | TCP |\n|---|---|---|---|---|\n"
        f"| traffic/split |  | HTTPRoute |  |  |\n\n{featurespage.END}after\n"
    )
    assert featurespage.written(written, report({SPLIT: outcome(SPLIT)})) == written


def test_a_page_without_its_marks_is_refused() -> None:
    with pytest.raises(ValueError, match="are to stand around the table"):
        featurespage.written("no marks", report({}))
