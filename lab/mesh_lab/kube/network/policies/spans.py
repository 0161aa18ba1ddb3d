"""Sets of numbers as sorted spans that neither overlap nor touch: ports, and addresses of blocks."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_network

from mesh_lab.kube.network.policies.model import Span
from mesh_lab.kube.objects.policies import IpBlock

BITS = {4: 32, 6: 128}


def joined(spans: Iterable[Span]) -> tuple[Span, ...]:
    """The union, in order."""
    found: list[Span] = []
    for first, last in sorted(spans):
        if found and first <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(found[-1][1], last))
        else:
            found.append((first, last))
    return tuple(found)


def without(span: Span, holes: Iterable[Span]) -> tuple[Span, ...]:
    """What remains of a span."""
    found = []
    start, end = span
    for first, last in joined(holes):
        if first > start:
            found.append((start, min(first - 1, end)))
        start = max(start, last + 1)
    if start <= end:
        found.append((start, end))
    return tuple(each for each in found if each[0] <= each[1])


def everything(version: int) -> Span:
    """All addresses of a family, 4 or 6."""
    return 0, 2 ** BITS[version] - 1


def of_blocks(blocks: Iterable[IpBlock], version: int) -> tuple[Span, ...]:
    """The addresses of blocks that are of one family."""
    found: list[Span] = []
    for block in blocks:
        network = _network(block.cidr)
        if network.version == version:
            holes = (_network(each) for each in block.excepted)
            found += without(_span(network), (_span(hole) for hole in holes if hole.version == version))
    return joined(found)


@lru_cache(maxsize=1024)
def _network(text: str) -> IPv4Network | IPv6Network:
    return ip_network(text, strict=False)


def _span(network: IPv4Network | IPv6Network) -> Span:
    return int(network.network_address), int(network.broadcast_address)
