"""Networks in CIDR notation: what is one, and what about one deserves a warning, in the words of a real API server.

https://github.com/kubernetes/kubernetes/blob/master/staging/src/k8s.io/apimachinery/pkg/util/validation/ip.go. Numbers
with leading zeros, which are announced to become invalid there, are refused here: programs differ in what they mean.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Network, IPv6Network, ip_interface

Network = IPv4Network | IPv6Network


def network(text: str) -> Network | None:
    """The network of `ADDRESS/LENGTH`, with the bits after the length left out; None when the text is none."""
    address, _, length = text.partition("/")
    if not length.isascii() or not length.isdigit() or str(int(length)) != length or "%" in address:
        return None
    try:
        return ip_interface(text).network
    except ValueError:
        return None


def network_remark(path: str, text: str) -> Iterator[str]:
    """What deserves a warning about a network that was taken."""
    made = ip_interface(text)
    if made.ip != made.network.network_address:
        alone = f"{made.ip}/{made.max_prefixlen}"
        yield f'{path}: CIDR value "{text}" is ambiguous in this context (should be "{made.network}" or "{alone}"?)'
    elif made.version == 6 and str(made.network) != text:
        yield f'{path}: IPv6 CIDR value "{text}" should be in RFC 5952 canonical format ("{made.network}")'
