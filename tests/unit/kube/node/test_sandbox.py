"""Each pod has an address that no other has."""

from __future__ import annotations

import pytest

from mesh_lab.kube.node.sandbox import AddressesExhaustedError, AddressPool


def test_addresses_are_unique_and_neither_the_nodes_nor_the_networks() -> None:
    pool = AddressPool("10.0.0.0/29", frozenset({"10.0.0.1", "10.0.0.4"}))
    assert [pool.acquire() for _ in range(4)] == ["10.0.0.2", "10.0.0.3", "10.0.0.5", "10.0.0.6"]
    with pytest.raises(AddressesExhaustedError, match=r"10\.0\.0\.0/29"):
        pool.acquire()


def test_a_freed_address_is_used_last() -> None:
    pool = AddressPool("10.0.0.0/29")
    first = pool.acquire()
    pool.release(first)
    pool.release(first)
    assert [pool.acquire() for _ in range(5)] == ["10.0.0.3", "10.0.0.4", "10.0.0.5", "10.0.0.6", first]
    with pytest.raises(AddressesExhaustedError):
        pool.acquire()
