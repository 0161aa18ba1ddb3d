"""The protocol of node agent and runtime: one JSON document a datagram, with descriptors beside it.

The socket is AF_UNIX and SOCK_SEQPACKET: datagrams keep their boundaries and order, and end of file means that the
other end died. A request has an `id` that its reply repeats; a message without one is an event.
"""

from __future__ import annotations

import json
import socket
from typing import Any

Message = dict[str, Any]

LIMIT = 160 * 1024  # bytes of one message; Linux' default send buffer takes 208 KiB of packets with their overhead
_MAX_DESCRIPTORS = 8


def encode(message: Message) -> bytes:
    """Encode a message as a datagram.

    Raises:
        ValueError: it is longer than LIMIT.
    """
    data = json.dumps(message, separators=(",", ":")).encode()
    if len(data) > LIMIT:
        raise ValueError(f"the command, its environment and its mounts take {len(data)} bytes; the limit is {LIMIT}")
    return data


def receive(link: socket.socket) -> tuple[Message | None, list[int]]:
    """Receive the next message and its descriptors; None at the end of the connection.

    Raises:
        BlockingIOError: the socket is non-blocking and has no message.
    """
    data, descriptors, _, _ = socket.recv_fds(link, LIMIT + 1, _MAX_DESCRIPTORS, socket.MSG_CMSG_CLOEXEC)
    if not data:
        return None, descriptors
    return json.loads(data), descriptors
