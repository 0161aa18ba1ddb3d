"""IP addresses and networks: `ip`, `isIP`, `ip.isCanonical`, `cidr`, `isCIDR` and their members.

https://kubernetes.io/docs/reference/using-api/cel/#kubernetes-ip-address-library
"""

from __future__ import annotations

import ipaddress
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface

from mesh_lab.kube.registry.cel.library.overloads import Opaque, Overload

IP = "net.IP"
CIDR = "net.CIDR"
_Address = IPv4Address | IPv6Address
_Network = IPv4Interface | IPv6Interface


def _parse_ip(text: str) -> _Address:
    try:
        address = ipaddress.ip_address(text)
    except ValueError as error:
        raise ValueError(f'IP Address "{text}" parse error during conversion from string: {error}') from error
    if isinstance(address, IPv6Address) and address.scope_id is not None:
        raise ValueError(f'IP address "{text}" with zone value is not allowed')
    _refuse_mapped(address, text)
    return address


def _refuse_mapped(address: _Address, text: str) -> None:
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        raise ValueError(f'IPv4-mapped IPv6 address "{text}" is not allowed')


def _parse_cidr(text: str) -> _Network:
    address, _, length = text.partition("/")
    try:
        network = _interface(text, address, length)
    except ValueError as error:
        why = f"network address parse error during conversion from string: {error}"
        raise ValueError(f"network address parse error during conversion from string: {why}") from error
    _refuse_mapped(network.ip, text)
    return network


def _interface(text: str, address: str, length: str) -> _Network:
    """Python takes netmasks, zones and an address without a length, too; Go does not."""
    if not length.isascii() or not length.isdigit() or str(int(length)) != length or "%" in address:
        raise ValueError("no '/' and length of the prefix")
    return ipaddress.ip_interface(text)


def _ip(text: str) -> Opaque:
    return Opaque(IP, str(_parse_ip(text)))


def _cidr(text: str) -> Opaque:
    return Opaque(CIDR, str(_parse_cidr(text)))


def _is_ip(text: str) -> bool:
    try:
        _parse_ip(text)
    except ValueError:
        return False
    return True


def _is_cidr(text: str) -> bool:
    try:
        _parse_cidr(text)
    except ValueError:
        return False
    return True


def _address(value: Opaque | str) -> _Address:
    return _parse_ip(value) if isinstance(value, str) else ipaddress.ip_address(value.text)


def _network(value: Opaque | str) -> _Network:
    return _parse_cidr(value) if isinstance(value, str) else ipaddress.ip_interface(value.text)


def _is_global_unicast(value: Opaque) -> bool:
    """As Go's `netip.Addr.IsGlobalUnicast`: private addresses count, too."""
    address = _address(value)
    broadcast = address == IPv4Address("255.255.255.255")
    return not (
        broadcast or address.is_unspecified or address.is_loopback or address.is_multicast or address.is_link_local
    )


def _is_link_local_multicast(value: Opaque) -> bool:
    address = _address(value)
    wide = ipaddress.ip_network("224.0.0.0/24" if address.version == 4 else "ff02::/16")
    # Flags and scope of a multicast address are one byte: the scope alone says that it is of the link.
    return address in wide or (address.version == 6 and address.packed[0] == 0xFF and address.packed[1] & 0xF == 2)


def _contains_ip(network: Opaque, other: Opaque | str) -> bool:
    return _address(other) in _network(network).network


def _contains_cidr(network: Opaque, other: Opaque | str) -> bool:
    outer, inner = _network(network), _network(other)
    if outer.version != inner.version:
        return False
    return inner.network.network_address in outer.network and outer.network.prefixlen <= inner.network.prefixlen


FUNCTIONS = (
    Overload("ip", ("string",), IP, _ip, member=False),
    Overload("isIP", ("string",), "bool", _is_ip, member=False),
    Overload("ip.isCanonical", ("string",), "bool", lambda text: str(_parse_ip(text)) == text, member=False),
    Overload("family", (IP,), "int", lambda value: _address(value).version),
    Overload("isUnspecified", (IP,), "bool", lambda value: _address(value).is_unspecified),
    Overload("isLoopback", (IP,), "bool", lambda value: _address(value).is_loopback),
    Overload("isLinkLocalMulticast", (IP,), "bool", _is_link_local_multicast),
    Overload("isLinkLocalUnicast", (IP,), "bool", lambda value: _address(value).is_link_local),
    Overload("isGlobalUnicast", (IP,), "bool", _is_global_unicast),
    Overload("cidr", ("string",), CIDR, _cidr, member=False),
    Overload("isCIDR", ("string",), "bool", _is_cidr, member=False),
    Overload("containsIP", (CIDR, "string"), "bool", _contains_ip),
    Overload("containsIP", (CIDR, IP), "bool", _contains_ip),
    Overload("containsCIDR", (CIDR, "string"), "bool", _contains_cidr),
    Overload("containsCIDR", (CIDR, CIDR), "bool", _contains_cidr),
    Overload("ip", (CIDR,), IP, lambda value: Opaque(IP, str(_network(value).ip))),
    Overload("prefixLength", (CIDR,), "int", lambda value: _network(value).network.prefixlen),
    Overload("masked", (CIDR,), CIDR, lambda value: Opaque(CIDR, str(_network(value).network))),
)
