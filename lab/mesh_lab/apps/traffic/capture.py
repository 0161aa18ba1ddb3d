"""`mesh-lab-app capture`: what travels between pods, byte for byte, as a packet socket on the pod's interface sees it.

Runs in any container of the pod that has the capability NET_RAW. The loopback interface is left out: between an
application and its own sidecar plaintext is as it should be. Ends at the end of standard input or after --seconds.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import socket
import struct
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

ETH_P_ALL = 0x0003
TCP = 6
TLS_HANDSHAKE, TLS_APPLICATION_DATA = 0x16, 0x17
HTTP_STARTS = (b"GET ", b"POST ", b"PUT ", b"HEAD ", b"HTTP/1.", b"PRI * HTTP/2")
MAX_EXCERPTS = 5


@dataclass
class Findings:
    """What was seen on the ports asked for."""

    packets: int = 0
    payload_packets: int = 0
    payload_bytes: int = 0
    tls_handshakes: int = 0
    tls_application_data: int = 0
    http_plaintext: int = 0
    found: dict[str, int] = field(default_factory=dict)
    excerpts: list[str] = field(default_factory=list)

    def take(self, payload: bytes, markers: Sequence[str]) -> None:
        """Count one segment's payload."""
        self.packets += 1
        if not payload:
            return
        self.payload_packets += 1
        self.payload_bytes += len(payload)
        if len(payload) > 5 and payload[1] == 3 and payload[0] in (TLS_HANDSHAKE, TLS_APPLICATION_DATA):
            self.tls_handshakes += payload[0] == TLS_HANDSHAKE
            self.tls_application_data += payload[0] == TLS_APPLICATION_DATA
        if payload.startswith(HTTP_STARTS):
            self.http_plaintext += 1
            if len(self.excerpts) < MAX_EXCERPTS:
                self.excerpts.append(payload[:80].decode("latin-1"))
        for marker in markers:
            self.found[marker] = self.found.get(marker, 0) + payload.count(marker.encode())


def main(arguments: Sequence[str]) -> int:
    """Print one line when the capture has begun and the findings at its end, both JSON."""
    parser = argparse.ArgumentParser(
        prog="mesh-lab-app capture", description="Looks for TLS and plaintext on TCP ports."
    )
    parser.add_argument("--port", type=int, action="append", required=True, metavar="N", help="a port of either side")
    parser.add_argument("--find", action="append", default=[], metavar="TEXT", help="count this text in the payloads")
    parser.add_argument("--seconds", type=float, default=30.0, metavar="S", help="the longest time (default 30)")
    options = parser.parse_args(arguments)
    try:
        tap = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_ALL))
    except PermissionError:
        sys.stderr.write("mesh-lab-app capture: a packet socket needs the capability NET_RAW in this container\n")
        return 1
    with tap:
        findings = _watch(tap, frozenset(options.port), options.find, options.seconds)
    _print(asdict(findings))
    return 0


def _watch(tap: socket.socket, ports: frozenset[int], markers: Sequence[str], seconds: float) -> Findings:
    tap.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 * 1024 * 1024)
    findings = Findings(found=dict.fromkeys(markers, 0))
    _print({"capturing": True})
    end = time.monotonic() + seconds
    stdin = sys.stdin.fileno()
    while (left := end - time.monotonic()) > 0:
        readable, _, _ = select.select([tap, stdin], [], [], left)
        if tap in readable:
            packet, address = tap.recvfrom(65535)
            if address[0] != "lo" and (segment := tcp_segment(packet)) and ports & set(segment[:2]):
                findings.take(segment[2], markers)
        elif stdin in readable and not os.read(stdin, 4096):
            break
    return findings


def tcp_segment(packet: bytes) -> tuple[int, int, bytes] | None:
    """Source port, destination port and payload of an IPv4 packet that carries TCP, or None."""
    if len(packet) < 20 or packet[0] >> 4 != 4 or packet[9] != TCP:
        return None
    header = (packet[0] & 0x0F) * 4
    total = struct.unpack_from("!H", packet, 2)[0]
    if len(packet) < header + 20:
        return None
    source, destination = struct.unpack_from("!HH", packet, header)
    data = header + (packet[header + 12] >> 4) * 4
    # A total length of 0 stands for a segment that the network card was to cut (TSO): all of it is there.
    return source, destination, packet[data : total or len(packet)]


def _print(value: object) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()
