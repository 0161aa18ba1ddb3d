"""Which cases the tests of a run claim to show, by their markers."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from mesh_lab.conformance.features import Case, claimed

MARKER = "mesh_feature"


def cases_of(items: Iterable[pytest.Item]) -> dict[str, list[Case]]:
    """By test's id the cases that its markers claim.

    Raises:
        UsageError: a marker that is wrong, or two tests that claim one case; with their places.
    """
    found: dict[str, list[Case]] = {}
    claims: dict[Case, pytest.Item] = {}
    for item in items:
        parameters = item.callspec.params if hasattr(item, "callspec") else {}
        for marker in item.iter_markers(MARKER):
            try:
                case = claimed(marker.args, marker.kwargs, parameters)
            except ValueError as error:
                raise pytest.UsageError(f"{_place(item)}: {MARKER} of {item.name}: {error}") from None
            other = claims.setdefault(case, item)
            if other is not item:
                raise pytest.UsageError(
                    f"{_place(item)}: {item.name} shows {case}, as {other.name} does ({_place(other)}): "
                    "one test for each case; give one of them another feature, or no marker"
                )
            found.setdefault(item.nodeid, []).append(case)
    return found


def _place(item: pytest.Item) -> str:
    file, line, _ = item.location
    return f"{file}:{(line or 0) + 1}"
