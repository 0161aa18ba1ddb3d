"""Addresses in objects."""

from __future__ import annotations

import ipaddress


def is_ip(text: str, version: int = 0) -> bool:
    """Whether the text is an IP address, of one family where `version` is 4 or 6."""
    try:
        return version in (0, ipaddress.ip_address(text).version)
    except ValueError:
        return False
