"""The listeners of a proxy's bootstrap in a cluster of both IP families."""

from __future__ import annotations

from typing import Any

Listener = dict[str, Any]


def at_each_family(listener: Listener) -> Listener:
    """A listener for any address of IPv4, for any of IPv6 as well; one within the pod stays as it is."""
    place = listener["address"]["socket_address"]
    if place["address"] != "0.0.0.0":
        return listener
    other = {"socket_address": {**place, "address": "::"}}
    return {**listener, "additional_addresses": [{"address": other}]}
