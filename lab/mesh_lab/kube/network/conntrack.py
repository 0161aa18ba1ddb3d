"""Deletes conntrack entries of UDP flows whose endpoints are gone.

The kernel remembers the endpoint that it chose for a flow for as long as datagrams keep coming, and a client that sends
from one port (a resolver, QUIC, syslog) would be sent to a dead pod for good. kube-proxy deletes such flows; TCP needs
no such help, since its ends notice.
https://github.com/kubernetes/kubernetes/blob/master/pkg/proxy/conntrack/cleanup.go; formats:
<linux/netfilter/nfnetlink_conntrack.h>.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from mesh_lab.kube import netlink
from mesh_lab.kube.network.ruleset import Backend
from mesh_lab.kube.objects.services import IPV4, IPV6

_NETFILTER = 12  # NETLINK_NETFILTER, which Python has no name for
_GET, _DELETE = (1 << 8) + 1, (1 << 8) + 2  # NFNL_SUBSYS_CTNETLINK and the operation
_HEADS = {IPV4: struct.pack("=BBH", socket.AF_INET, 0, 0), IPV6: struct.pack("=BBH", socket.AF_INET6, 0, 0)}
_HEAD_BYTES = 4
_ORIGINAL, _REPLY = 1, 2
_ADDRESSES, _PORTS = 1, 2
_ENDS = ((1, 2, socket.AF_INET), (3, 4, socket.AF_INET6))
"""Source and destination, of each family."""
_PROTOCOL, _SOURCE_PORT, _DESTINATION_PORT = 1, 2, 3
_AT_ONCE = 64  # deletions whose answers fit into a socket's buffer


class Flow(NamedTuple):
    """A UDP flow: its original destination, the endpoint that answers, and its tuple as the kernel's key."""

    destination: Backend
    endpoint: Backend
    name: bytes


def forget_stale(may_go: Mapping[Backend, frozenset[Backend]], family: str = IPV4) -> None:
    """Delete the flows to these addresses, all of one IP family, whose endpoint is not an allowed one.

    The next datagram of such a flow goes to a present endpoint.

    Raises:
        OSError: the kernel has no flows that can be read or deleted (the module `nf_conntrack_netlink` is missing).
    """
    head = _HEADS[family]
    with netlink.open_here(_NETFILTER) as link:
        bodies = netlink.dump(link, netlink.Request(_GET, 0, head, "list flows"))
        stale = [
            netlink.Request(_DELETE, 0, head + netlink.attribute(_ORIGINAL, flow.name), f"forget a flow to {flow[:2]}")
            for flow in _flows(bodies)
            if flow.endpoint not in may_go.get(flow.destination, (flow.endpoint,))
        ]
        for start in range(0, len(stale), _AT_ONCE):
            try:
                netlink.exchange(link, stale[start : start + _AT_ONCE])
            except netlink.NetlinkError as error:
                if error.errno != errno.ENOENT:  # else it ended meanwhile
                    raise


def _flows(bodies: Iterator[bytes]) -> Iterator[Flow]:
    for body in bodies:
        parts = netlink.attributes(body[_HEAD_BYTES:])
        original, reply = parts.get(_ORIGINAL, b""), parts.get(_REPLY, b"")
        sent, answered = _tuple(original), _tuple(reply)
        if sent is not None and answered is not None:
            yield Flow(sent[1], answered[0], original)


def _tuple(data: bytes) -> tuple[Backend, Backend] | None:
    """Return source and destination; None when the tuple is not one of UDP."""
    parts = netlink.attributes(data)
    addresses = netlink.attributes(parts.get(_ADDRESSES, b""))
    ports = netlink.attributes(parts.get(_PORTS, b""))
    if ports.get(_PROTOCOL) != bytes([socket.IPPROTO_UDP]):
        return None
    source, destination, family = next(ends for ends in _ENDS if ends[0] in addresses)
    return (
        (socket.inet_ntop(family, addresses[source]), int.from_bytes(ports[_SOURCE_PORT], "big")),
        (socket.inet_ntop(family, addresses[destination]), int.from_bytes(ports[_DESTINATION_PORT], "big")),
    )
