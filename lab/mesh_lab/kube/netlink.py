"""Netlink: requests as bytes, and exchanges with the kernel over a socket. Format: netlink(7), <linux/netlink.h>."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

REPLACE, EXCL, CREATE = 0x100, 0x200, 0x400
"""Flags of requests that create something."""

_REQUEST, _ACK, _DUMP = 0x1, 0x4, 0x300
_ERROR, _DONE = 2, 3
_HEAD = struct.Struct("=IHHII")
_KIND_MASK = 0x3FFF  # the two bits above say how an attribute is encoded
_MOST = 1 << 16


@dataclass(frozen=True)
class Request:
    """One request: its message type, flags and body; `what` names it in an error."""

    kind: int
    flags: int
    body: bytes
    what: str


class NetlinkError(OSError):
    """The kernel rejected a request; the message names it."""


def open_here(protocol: int) -> socket.socket:
    """Open a netlink socket in the network namespace of this thread. The kernel answers at once, so it never blocks."""
    link = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
    link.setblocking(False)
    return link


def exchange(link: socket.socket, requests: Sequence[Request]) -> None:
    """Send the requests as one datagram and read the kernel's answers, which are there when the send returns.

    Raises:
        NetlinkError: the first that was rejected; the kernel has processed those after it.
    """
    flags = _REQUEST | _ACK
    messages = [_message(r, flags | r.flags, number) for number, r in enumerate(requests)]
    link.send(b"".join(messages))
    answered = 0
    failed: NetlinkError | None = None
    while answered < len(requests):
        for kind, number, body in _answers(link):
            if kind == _ERROR:
                answered += 1
                failed = failed or _refusal(body, requests[number])
    if failed is not None:
        raise failed


def dump(link: socket.socket, request: Request) -> Iterator[bytes]:
    """Yield the bodies of a dump request's answers.

    Raises:
        NetlinkError: the request was rejected.
    """
    link.send(_message(request, _REQUEST | _DUMP | request.flags, 0))
    while True:
        for kind, _, body in _answers(link):
            if kind == _DONE:
                return
            if kind != _ERROR:
                yield body
            elif (refusal := _refusal(body, request)) is not None:
                raise refusal


def attribute(kind: int, value: bytes) -> bytes:
    """Encode one attribute, padded."""
    length = 4 + len(value)
    return struct.pack("=HH", length, kind) + value + b"\0" * (-length % 4)


def attributes(data: bytes) -> dict[int, bytes]:
    """Decode consecutive attributes: values by type."""
    found = {}
    offset = 0
    while offset + 4 <= len(data):
        length, kind = struct.unpack_from("=HH", data, offset)
        if length < 4:
            break
        found[kind & _KIND_MASK] = data[offset + 4 : offset + length]
        offset += (length + 3) & ~3
    return found


def _message(request: Request, flags: int, number: int) -> bytes:
    return _HEAD.pack(_HEAD.size + len(request.body), request.kind, flags, number, 0) + request.body


def _answers(link: socket.socket) -> Iterator[tuple[int, int, bytes]]:
    """Yield type, sequence number and body of each message of a datagram."""
    data = link.recv(_MOST)
    offset = 0
    while offset + _HEAD.size <= len(data):
        length, kind, _, number, _ = _HEAD.unpack_from(data, offset)
        yield kind, number, data[offset + _HEAD.size : offset + length]
        offset += (length + 3) & ~3


def _refusal(body: bytes, request: Request) -> NetlinkError | None:
    code = -struct.unpack_from("=i", body)[0]
    return NetlinkError(code, f"{request.what}: {os.strerror(code)}") if code else None
