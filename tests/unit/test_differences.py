"""The page of differences is what the table says, and the table says what tests hold."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from mesh_lab.differences import DIFFERENCES, PAGE, Difference, page

ROOT = Path(__file__).parent.parent.parent


def test_the_page_is_that_of_the_table() -> None:
    assert (ROOT / PAGE).read_text(encoding="utf-8") == page(), "`make docs` writes it anew"


@pytest.mark.parametrize("difference", DIFFERENCES, ids=lambda each: each.id)
def test_the_test_that_holds_it_is_there(difference: Difference) -> None:
    file, _, name = difference.test.partition("::")
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_each_has_a_name_of_its_own_and_fits_into_a_table() -> None:
    assert len({each.id for each in DIFFERENCES}) == len(DIFFERENCES)
    for each in DIFFERENCES:
        assert not {"|", "\n"} & set("".join((each.what, each.istio, each.here, each.reason)))
