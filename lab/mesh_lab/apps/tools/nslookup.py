"""`nslookup NAME [SERVER]`: asks the pod's name server (or SERVER) for A and AAAA records, as busybox' program does.

It imports nothing of the lab, to be there at once. Messages are those of RFC 1035.
"""

from __future__ import annotations

import ipaddress
import os
import socket
import struct
import sys
from pathlib import Path

_KINDS = {"A": 1, "AAAA": 28}
_PTR = 12
_PATIENCE = 5.0
_WORDS = {1: "FORMERR", 2: "SERVFAIL", 3: "NXDOMAIN", 5: "REFUSED"}


class LookupFailedError(Exception):
    """There is no answer; the message says why."""


def main(arguments: list[str] | None = None) -> int:
    """The exit code: 0, 1 where the name is not found, 2 for wrong usage."""
    words = [word for word in (sys.argv[1:] if arguments is None else arguments) if not word.startswith("-")]
    if not 1 <= len(words) <= 2:
        sys.stderr.write("usage: nslookup NAME [SERVER]\n")
        return 2
    servers, searches, dots = _configuration(Path("/etc/resolv.conf").read_text(encoding="utf-8"))
    try:
        server = socket.gethostbyname(words[1]) if len(words) > 1 else (servers or ["127.0.0.1"])[0]
        sys.stdout.write(f"Server:\t\t{server}\nAddress:\t{server}:53\n\n")
        lines = _lines(words[0], server, searches, dots)
    except (LookupFailedError, OSError) as error:
        sys.stdout.write(f"** server can't find {words[0]}: {error}\n\n")
        return 1
    sys.stdout.write("".join(f"{line}\n" for line in lines) + "\n")
    return 0


def _lines(name: str, server: str, searches: list[str], dots: int) -> list[str]:
    try:
        pointer = ipaddress.ip_address(name).reverse_pointer
    except ValueError:
        pointer = ""
    if pointer:
        return [f"{pointer}\tname = {found}" for _, found in ask(server, pointer, _PTR)]
    tried = name.rstrip(".")
    qualified = [] if name.endswith(".") else [f"{tried}.{domain}" for domain in searches]
    candidates = [tried, *qualified] if tried.count(".") >= dots else [*qualified, tried]
    reason = "NXDOMAIN"
    for candidate in candidates:
        lines: list[str] = []
        for kind in _KINDS.values():
            try:
                for owner, found in ask(server, candidate, kind):
                    lines += [f"Name:\t{owner}", f"Address: {found}"]
            except LookupFailedError as error:
                reason = str(error)
        if lines:
            return lines
    raise LookupFailedError(reason)


def ask(server: str, name: str, kind: int, port: int = 53) -> list[tuple[str, str]]:
    """The records of a kind: owner and value.

    Raises:
        LookupFailedError: the server says that there are none, or says nothing.
    """
    number = os.urandom(2)
    labels = b"".join(struct.pack("B", len(part)) + part.encode() for part in name.split(".") if part)
    query = number + struct.pack(">HHHHH", 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack(">HH", kind, 1)
    family = socket.AF_INET6 if ":" in server else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.settimeout(_PATIENCE)
        sock.connect((server, port))
        sock.send(query)
        try:
            answer = sock.recv(4096)
        except TimeoutError:
            raise LookupFailedError("connection timed out; no servers could be reached") from None
    code = answer[3] & 15
    if code:
        raise LookupFailedError(_WORDS.get(code, f"RCODE {code}"))
    return _records(answer, kind)


def _records(message: bytes, kind: int) -> list[tuple[str, str]]:
    questions, answers = struct.unpack(">HH", message[4:8])
    position = 12
    for _ in range(questions):
        _, position = _name(message, position)
        position += 4
    found = []
    for _ in range(answers):
        owner, position = _name(message, position)
        type_, _class, _ttl, length = struct.unpack(">HHIH", message[position : position + 10])
        position += 10
        if type_ == kind:
            found.append((owner, _value(message, position, length, kind)))
        position += length
    return found


def _value(message: bytes, position: int, length: int, kind: int) -> str:
    if kind == _PTR:
        return _name(message, position)[0]
    return str(ipaddress.ip_address(message[position : position + length]))


def _name(message: bytes, position: int) -> tuple[str, int]:
    """A name and where the next field begins; a pointer (RFC 1035, 4.1.4) leads to an earlier place."""
    parts: list[str] = []
    after = 0
    while length := message[position]:
        if length >= 0xC0:
            after = after or position + 2
            position = struct.unpack(">H", message[position : position + 2])[0] & 0x3FFF
            continue
        parts.append(message[position + 1 : position + 1 + length].decode("ascii", "replace"))
        position += 1 + length
    return ".".join(parts), after or position + 1


def _configuration(text: str) -> tuple[list[str], list[str], int]:
    servers, searches, dots = [], [], 1
    for line in text.splitlines():
        keyword, *rest = line.split() or [""]
        if keyword == "nameserver":
            servers += rest[:1]
        elif keyword == "search":
            searches = rest
        elif keyword == "options":
            dots = next((int(word[6:]) for word in rest if word.startswith("ndots:")), dots)
    return servers, searches, dots


if __name__ == "__main__":
    sys.exit(main())
