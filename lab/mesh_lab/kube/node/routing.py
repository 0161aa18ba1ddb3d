"""The few rtnetlink requests that make a pod's network, as bytes.

A process of `ip` costs more than all of this together, and a netlink socket that was opened in a pod's namespace
stays there, so the agent sets up both ends of a pod's link without entering anything. Formats: rtnetlink(7),
<linux/rtnetlink.h>.
"""

from __future__ import annotations

import errno
import socket
import struct

from mesh_lab.kube.netlink import CREATE, EXCL, REPLACE, Request, attribute

_NEWLINK, _DELLINK, _SETLINK = 16, 17, 19
_NEWADDR, _NEWROUTE, _DELROUTE, _NEWNEIGH = 20, 24, 25, 28

_IFLA_ADDRESS, _IFLA_IFNAME, _IFLA_MTU, _IFLA_LINKINFO, _IFLA_NET_NS_FD = 1, 3, 4, 18, 28
_IFLA_INFO_KIND, _IFLA_INFO_DATA, _VETH_INFO_PEER = 1, 2, 1
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_RTA_DST, _RTA_OIF, _RTA_GATEWAY, _RTA_PREFSRC = 1, 4, 5, 7
_NDA_DST, _NDA_LLADDR = 1, 2

_IFF_UP = 1
_RT_TABLE_MAIN, _RT_TABLE_LOCAL = 254, 255
_RTPROT_STATIC, _SCOPE_UNIVERSE, _SCOPE_LINK, _RTN_UNICAST = 4, 0, 253, 1
_RTNH_F_ONLINK = 4
_NUD_PERMANENT = 0x80
_IFA_F_NODAD = 0x02


def add_veth(name: str, mac: bytes, peer: str, peer_mac: bytes, peer_namespace: int) -> Request:
    """A pair of virtual Ethernet devices: `name` here, `peer` in the namespace that the descriptor stands for."""
    other = _link_head() + _text(_IFLA_IFNAME, peer) + attribute(_IFLA_ADDRESS, peer_mac)
    other += attribute(_IFLA_NET_NS_FD, struct.pack("=I", peer_namespace))
    info = _text(_IFLA_INFO_KIND, "veth") + attribute(_IFLA_INFO_DATA, attribute(_VETH_INFO_PEER, other))
    body = _link_head() + _text(_IFLA_IFNAME, name) + attribute(_IFLA_ADDRESS, mac) + attribute(_IFLA_LINKINFO, info)
    return Request(_NEWLINK, CREATE | EXCL, body, f"add veth {name}")


def set_up(name: str) -> Request:
    """Set a device up."""
    return Request(_SETLINK, 0, _link_head(_IFF_UP, _IFF_UP) + _text(_IFLA_IFNAME, name), f"set {name} up")


def add_address(index: int, address: str) -> Request:
    """Add an address by itself (/32, /128) to the device of that index; one that is there already stays.

    One of IPv6 is used at once: nobody else in the lab can have it, so nobody is asked.
    """
    family, packed = _packed(address)
    flags = _IFA_F_NODAD if family == socket.AF_INET6 else 0
    head = struct.pack("=BBBBI", family, len(packed) * 8, flags, _SCOPE_UNIVERSE, index)
    body = head + attribute(_IFA_LOCAL, packed) + attribute(_IFA_ADDRESS, packed)
    return Request(_NEWADDR, CREATE | REPLACE, body, f"add address {address}")


def add_route(address: str, index: int, *, source: str) -> Request:
    """Add a route to `address` over the device, with `source` for packets of this machine."""
    family, packed = _packed(address)
    body = _route_head(family, len(packed) * 8, _SCOPE_LINK) + attribute(_RTA_DST, packed) + _u32(_RTA_OIF, index)
    body += attribute(_RTA_PREFSRC, _packed(source)[1])
    return Request(_NEWROUTE, CREATE | REPLACE, body, f"route to {address}")


def add_default_route(gateway: str, index: int) -> Request:
    """Add a default route over `gateway`, which is on-link although no address of the device covers it."""
    family, packed = _packed(gateway)
    body = _route_head(family, 0, _SCOPE_UNIVERSE, _RTNH_F_ONLINK) + attribute(_RTA_GATEWAY, packed)
    return Request(_NEWROUTE, CREATE | REPLACE, body + _u32(_RTA_OIF, index), f"default route over {gateway}")


def add_loopback_route(cidr: str, gateway: str, index: int, *, source: str) -> Request:
    """Add a route to a part of IPv4's loopback network, over `gateway`: it comes before that network's own.

    What comes from there is taken only with the setting `net.ipv4.conf.all.route_localnet`.
    """
    address, _, length = cidr.partition("/")
    head = _route_head(socket.AF_INET, int(length), _SCOPE_UNIVERSE, _RTNH_F_ONLINK, _RT_TABLE_LOCAL)
    body = head + attribute(_RTA_DST, socket.inet_aton(address)) + attribute(_RTA_GATEWAY, socket.inet_aton(gateway))
    body += _u32(_RTA_OIF, index) + attribute(_RTA_PREFSRC, socket.inet_aton(source))
    return Request(_NEWROUTE, CREATE | REPLACE, body, f"route to {cidr}")


def remove_route(address: str) -> Request:
    """Remove the route to `address`."""
    family, packed = _packed(address)
    body = _route_head(family, len(packed) * 8, _SCOPE_LINK) + attribute(_RTA_DST, packed)
    return Request(_DELROUTE, 0, body, f"remove the route to {address}")


def add_neighbour(address: str, mac: bytes, index: int) -> Request:
    """Add a permanent neighbour entry (ARP, NDP) for `address` on the device's link."""
    family, packed = _packed(address)
    head = struct.pack("=BxxxiHBB", family, index, _NUD_PERMANENT, 0, 0)
    body = head + attribute(_NDA_DST, packed) + attribute(_NDA_LLADDR, mac)
    return Request(_NEWNEIGH, CREATE | REPLACE, body, f"neighbour {address}")


def is_missing(error: OSError) -> bool:
    """Return whether a removal failed because there was nothing to remove."""
    return error.errno in (errno.ESRCH, errno.ENODEV)


def _packed(address: str) -> tuple[int, bytes]:
    """The family and the bytes of an address."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return family, socket.inet_pton(family, address)


def _link_head(flags: int = 0, change: int = 0) -> bytes:
    return struct.pack("=BxHiII", socket.AF_UNSPEC, 0, 0, flags, change)


def _route_head(family: int, length: int, scope: int, flags: int = 0, table: int = _RT_TABLE_MAIN) -> bytes:
    values = (family, length, 0, 0, table, _RTPROT_STATIC, scope, _RTN_UNICAST, flags)
    return struct.pack("=BBBBBBBBI", *values)


def _text(kind: int, value: str) -> bytes:
    return attribute(kind, value.encode() + b"\0")


def _u32(kind: int, value: int) -> bytes:
    return attribute(kind, struct.pack("=I", value))
