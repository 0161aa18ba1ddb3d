"""The addresses in the status of a ServiceEntry."""

from __future__ import annotations

from typing import Any

import pytest

from mesh_lab.controlplane.world.serviceaddresses import assigned, written


def test_what_is_written_is_read_again() -> None:
    given = {"a.internal": ("240.240.0.1", "2001:2::1"), "b.internal": ("240.240.0.2",)}
    assert assigned({"addresses": written(given)}) == given


def test_the_first_address_of_each_family_counts_and_ipv4_comes_first() -> None:
    values = ("2001:2::1", "240.240.0.1", "240.240.0.9", "2001:2::2", "no address")
    given = {"a": ("240.240.0.1", "2001:2::1")}
    assert assigned({"addresses": [{"host": "a", "value": value} for value in values]}) == given


@pytest.mark.parametrize(
    "status",
    [None, [], {}, {"addresses": None}, {"addresses": {"a": 1}}, {"addresses": [None, {"host": "a"}, {"value": 1}]}],
)
def test_what_is_not_of_the_form_is_left_out(status: Any) -> None:
    assert assigned(status) == {}
