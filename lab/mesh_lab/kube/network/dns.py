"""Cluster DNS: the answers of `zone.py` on the wire, over UDP and TCP (RFC 1035, 2308, 6891, 7766).

Outside of the cluster there are the names of the lab's internet, and hosts of ServiceEntries that have an address; any
other does not exist, and is answered at once.
"""

from __future__ import annotations

import asyncio
import logging
import random
import socket
import struct
from collections.abc import Sequence
from typing import Any, cast

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rrset

from mesh_lab.kube.config import Site
from mesh_lab.kube.network.endpoints import Catalogue, Name
from mesh_lab.kube.network.entrynames import EntryNames
from mesh_lab.kube.network.outsidenames import OutsideNames
from mesh_lab.kube.network.zone import REVERSE, REVERSE_OF_IPV6, Answer, Record, Zone

log = logging.getLogger(__name__)

PORT = 53
TTL = 5
"""Seconds, for positive and negative answers: the default of CoreDNS's kubernetes plugin."""

UDP_LIMIT = 512
EDNS_LIMIT = 1232
"""The most bytes that a UDP answer has with EDNS: fits every link without fragments (DNS flag day 2020)."""

CACHE_LIMIT = 4096
TCP_CONNECTIONS = 128
TCP_IDLE_SECONDS = 10.0
HEADER = 12


class ClusterDns:
    """Answers queries. Whole answers are cached until a Service or endpoint changes, or a ServiceEntry (`entries`)."""

    def __init__(self, catalogue: Catalogue, domain: str, internet: Sequence[Site] = (), *, dual: bool = False) -> None:
        self.entries = EntryNames(self._forget, dual=dual)
        self._zone = Zone(catalogue, domain, OutsideNames(internet), self.entries.addresses)
        self._domain = domain
        self._origin = dns.name.from_text(domain)
        self._serial = 1
        self._authority: dns.rdata.Rdata | None = None
        self._cache: dict[tuple[bytes, int], bytes] = {}
        self._connections = 0
        catalogue.listen(self._forget)

    def _forget(self, _: Name | None = None) -> None:
        self._serial = (self._serial + 1) % 2**32 or 1
        self._authority = None
        self._cache.clear()

    async def run(self, addresses: tuple[str, ...], port: int = PORT) -> None:
        """Answer on these addresses until cancelled.

        Raises:
            OSError: an address or port cannot be bound.
        """
        loop = asyncio.get_running_loop()
        datagrams: list[asyncio.DatagramTransport] = []
        servers: list[asyncio.Server] = []
        try:
            for address in addresses:
                sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
                sock.bind((address, port))
                transport, _ = await loop.create_datagram_endpoint(lambda: _Datagrams(self), sock=sock)
                datagrams.append(transport)
                servers.append(await asyncio.start_server(self._serve_stream, address, port))
            await asyncio.Future()
        finally:
            for transport in datagrams:
                transport.close()
            for server in servers:
                server.close()

    def answer(self, query: bytes, limit: int) -> bytes | None:
        """Return the response to a query in at most `limit` bytes (0: TCP, no limit); None to drop it."""
        if len(query) < HEADER or query[2] & 0x80:
            return None
        key = (query[2:], limit)
        known = self._cache.get(key)
        if known is not None:
            return query[:2] + known
        try:
            message = dns.message.from_wire(query, ignore_trailing=True)
        except dns.exception.DNSException:
            # The sender's id and operation, "format error", and no sections.
            return query[:2] + bytes([0x80 | query[2] & 0x79, dns.rcode.FORMERR]) + bytes(8)
        response, stable = self._respond(message)
        wire = self._encode(message, response, limit)
        if stable:
            if len(self._cache) >= CACHE_LIMIT:
                self._cache.clear()
            self._cache[key] = wire[2:]
        return wire

    def _respond(self, query: dns.message.Message) -> tuple[dns.message.Message, bool]:
        """Return the response, and whether it may be cached."""
        response = dns.message.make_response(query, recursion_available=True, our_payload=EDNS_LIMIT)
        if query.opcode() != dns.opcode.QUERY:
            response.set_rcode(dns.rcode.NOTIMP)
            return response, False
        if len(query.question) != 1:
            response.set_rcode(dns.rcode.FORMERR)
            return response, False
        question = query.question[0]
        if question.rdclass not in (dns.rdataclass.IN, dns.rdataclass.ANY):
            response.set_rcode(dns.rcode.REFUSED)
            return response, False
        labels = tuple(label.decode("ascii", "replace").lower() for label in reversed(question.name.labels[:-1]))
        kind = dns.rdatatype.to_text(question.rdtype)
        if question.name == self._origin and kind in ("SOA", "NS", "ANY"):
            self._describe_origin(response, kind)
            return response, True
        found = self._zone.resolve(labels, kind)
        self._fill(response, question.name, found)
        return response, len(found.records) <= 1

    def _describe_origin(self, response: dns.message.Message, kind: str) -> None:
        response.flags |= dns.flags.AA
        if kind in ("SOA", "ANY"):
            response.answer.append(self._soa(self._origin))
        if kind in ("NS", "ANY"):
            server = f"kube-dns.kube-system.svc.{self._domain}."
            response.answer.append(dns.rrset.from_text(self._origin, TTL, "IN", "NS", server))

    def _fill(self, response: dns.message.Message, asked: dns.name.Name, found: Answer) -> None:
        response.flags |= dns.flags.AA
        if not found.exists:
            response.set_rcode(dns.rcode.NXDOMAIN)
        if not found.records:
            response.authority.append(self._soa(self._nearest(asked)))
            return
        records = list(found.records)
        # Clients without a mesh take the first address: shuffled, they spread over the pods. A chain keeps its order.
        if records[0].type != "CNAME":
            random.shuffle(records)
        response.answer.extend(_sets(records))
        response.additional.extend(_sets(list(found.additional)))

    def _nearest(self, name: dns.name.Name) -> dns.name.Name:
        """Return the zone whose SOA record goes with a negative answer."""
        if name.is_subdomain(self._origin):
            return self._origin
        reverse = (dns.name.from_text(".".join(reversed(each))) for each in (REVERSE, REVERSE_OF_IPV6))
        return next((each for each in reverse if name.is_subdomain(each)), dns.name.root)

    def _soa(self, zone: dns.name.Name) -> dns.rrset.RRset:
        if self._authority is None:
            text = f"ns.dns.{self._domain}. hostmaster.{self._domain}. {self._serial} 7200 1800 86400 {TTL}"
            self._authority = dns.rdata.from_text("IN", "SOA", text)
        return dns.rrset.from_rdata(zone, TTL, self._authority)

    def _encode(self, query: dns.message.Message, response: dns.message.Message, limit: int) -> bytes:
        if limit and query.edns >= 0:
            limit = max(limit, min(query.payload, EDNS_LIMIT))
        return response.to_wire(max_size=limit or 65535, prefer_truncation=True)

    async def _serve_stream(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._connections >= TCP_CONNECTIONS:
            writer.close()
            return
        self._connections += 1
        try:
            while True:
                async with asyncio.timeout(TCP_IDLE_SECONDS):
                    (size,) = struct.unpack("!H", await reader.readexactly(2))
                    response = self.answer(await reader.readexactly(size), 0)
                    if response is None:
                        return
                    writer.write(struct.pack("!H", len(response)) + response)
                    await writer.drain()
        except (TimeoutError, OSError, asyncio.IncompleteReadError):
            return
        finally:
            self._connections -= 1
            writer.close()


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, server: ClusterDns) -> None:
        self._server = server
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # asyncio's own transport does not inherit from DatagramTransport in Python 3.11, so no isinstance here.
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, address: tuple[str | Any, int]) -> None:
        response = self._server.answer(data, UDP_LIMIT)
        if response is not None and self._transport is not None:
            self._transport.sendto(response, address)


def _sets(records: list[Record]) -> list[dns.rrset.RRset]:
    """Group records by name and type, as the wire format requires, in their order."""
    sets: dict[tuple[str, str], dns.rrset.RRset] = {}
    for record in records:
        key = (record.name, record.type)
        if key not in sets:
            kind = dns.rdatatype.from_text(record.type)
            sets[key] = dns.rrset.RRset(dns.name.from_text(record.name), dns.rdataclass.IN, kind)
            sets[key].update_ttl(TTL)
        sets[key].add(dns.rdata.from_text(dns.rdataclass.IN, sets[key].rdtype, _text(record)))
    return list(sets.values())


def _text(record: Record) -> str:
    match record.type:
        case "SRV":
            return f"0 {record.weight} {record.port} {record.target}."
        case "CNAME" | "PTR":
            return f"{record.target}."
        case "TXT":
            return f'"{record.target}"'
        case _:
            return record.target
