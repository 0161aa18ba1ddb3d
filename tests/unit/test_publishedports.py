"""The mark of the ingress Service's ports under the lab's own numbers."""

from __future__ import annotations

import pytest

from mesh_lab.publishedports import ANNOTATION, mark, marked


def test_what_is_marked_is_read_again() -> None:
    assert mark([8443, 8080]) == {ANNOTATION: "8080,8443"}
    assert marked({"annotations": mark([8443, 8080])}) == {8080, 8443}


def test_a_service_without_such_ports_has_no_mark() -> None:
    assert mark([]) == {}
    assert marked({}) == marked({"annotations": None}) == marked({"annotations": {"a": "80"}}) == frozenset()


@pytest.mark.parametrize("text", ["", "http", "80 81", "-80", "²"])
def test_what_is_no_number_marks_nothing(text: str) -> None:
    assert marked({"annotations": {ANNOTATION: text}}) == frozenset()
