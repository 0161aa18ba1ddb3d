"""The formats of texts in schemas. Those that are not here are not looked at, as on a real server.

https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#validation
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from datetime import date, datetime

from mesh_lab.kube.registry.cel.values import parse_duration

_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_MAC = re.compile(r"[0-9a-fA-F]{2}([:-][0-9a-fA-F]{2}){5}")
_BASE64 = re.compile(r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")


def has_format(name: str, value: str) -> bool:
    """Whether a text has a format."""
    reads = _FORMATS.get(name)
    if reads is None:
        return True
    try:
        return bool(reads(value))
    except ValueError:
        return False


def _is_network(value: str) -> bool:
    _, slash, length = value.partition("/")
    return bool(slash) and length.isdigit() and ipaddress.ip_interface(value) is not None


_FORMATS: Mapping[str, Callable[[str], object]] = {
    "date-time": lambda value: datetime.fromisoformat(value).tzinfo,
    "date": lambda value: date.fromisoformat(value).isoformat() == value,
    "duration": lambda value: parse_duration(value) is not None,
    "uuid": _UUID.fullmatch,
    "byte": _BASE64.fullmatch,
    "ipv4": ipaddress.IPv4Address,
    "ipv6": ipaddress.IPv6Address,
    "cidr": _is_network,
    "mac": _MAC.fullmatch,
}
