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

_NETFILTER = 12  # NETLINK_NETFILTER, which Python has no name for
_GET, _DELETE = (1 << 8) + 1, (1 << 8) + 2  # NFNL_SUBSYS_CTNETLINK and the operation
_HEAD = struct.pack("=BBH", socket.AF_INET, 0, 0)
_ORIGINAL, _REPLY = 1, 2
_ADDRESSES, _PORTS = 1, 2
_SOURCE, _DESTINATION = 1, 2
_PROTOCOL, _SOURCE_PORT, _DESTINATION_PORT = 1, 2, 3
_AT_ONCE = 64  # deletions whose answers fit into a socket's buffer


class Flow(NamedTuple):
    """A UDP flow: its original destination, the endpoint that answers, and its tuple as the kernel's key."""

    destination: Backend
    endpoint: Backend
    name: bytes


def forget_stale(may_go: Mapping[Backend, frozenset[Backend]]) -> None:
    """Delete the flows to these addresses whose endpoint is not an allowed one.

    The next datagram of such a flow goes to a present endpoint.

    Raises:
        OSError: the kernel has no flows that can be read or deleted (the module `nf_conntrack_netlink` is missing).
    """
    with netlink.open_here(_NETFILTER) as link:
        bodies = netlink.dump(link, netlink.Request(_GET, 0, _HEAD, "list flows"))
        stale = [
            netlink.Request(_DELETE, 0, _HEAD + netlink.attribute(_ORIGINAL, flow.name), f"forget a flow to {flow[:2]}")
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
        parts = netlink.attributes(body[len(_HEAD) :])
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
    return (
        (socket.inet_ntoa(addresses[_SOURCE]), int.from_bytes(ports[_SOURCE_PORT], "big")),
        (socket.inet_ntoa(addresses[_DESTINATION]), int.from_bytes(ports[_DESTINATION_PORT], "big")),
    )
