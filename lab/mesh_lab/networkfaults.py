"""Faults of a pod's network, as its annotations ask for them and its conditions tell of them.

Each fault is an annotation of its own, `chaos.mesh-lab/NAME`, whose value is JSON:

    {"kind": "loss", "ratio": 0.1, "peers": ["10.244.0.7"], "until": "2026-01-31T12:00:00Z"}

The lab's node answers with a condition of the pod whose type is the annotation's key. It is True while the fault is in
force, and False with the reason `Refused` or `Ended`; the message says the rest.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from ipaddress import ip_network
from typing import Annotated, Final, Literal

import msgspec

from mesh_lab.rfc3339 import micro_timestamp

PREFIX = "chaos.mesh-lab/"
"""Of the annotations and conditions."""
KINDS_ANNOTATION = f"{PREFIX}kinds"
"""On a Node: the kinds of fault that it can make, with commas between them."""

IN_FORCE, REFUSED, ENDED = "InForce", "Refused", "Ended"
"""Reasons of conditions."""

MOST_SECONDS = 3600.0
"""How far ahead `until` may be."""
MOST_PEERS = 256
FINEST_RATIO = 0.0001
MOST_DELAY_SECONDS = 60.0

Direction = Literal["both", "egress", "ingress"]
BOTH: Final = "both"
EGRESS: Final = "egress"
INGRESS: Final = "ingress"


class FaultError(ValueError):
    """What is wrong with a fault, and in which field."""


class Port(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The port that a packet is sent to."""

    port: Annotated[int, msgspec.Meta(ge=1, le=65535)]
    protocol: Literal["TCP", "UDP"] = "TCP"


class _Fault(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind"):
    """What every kind has: whose packets it is about, and its end.

    `peers` are addresses and CIDR blocks, `ports` those that packets are sent to; without any it is all of them.
    `direction` (of all but delays, which are of what the pod sends) is seen from the pod: `egress` is what it sends.
    """

    until: Annotated[datetime, msgspec.Meta(tz=True)]
    peers: Annotated[tuple[str, ...], msgspec.Meta(max_length=MOST_PEERS)] = ()
    ports: Annotated[tuple[Port, ...], msgspec.Meta(max_length=64)] = ()


class Partition(_Fault, frozen=True, kw_only=True, tag="partition"):
    """No packet arrives."""

    direction: Direction = BOTH


class Loss(_Fault, frozen=True, kw_only=True, tag="loss"):
    """Of the packets in each direction this part (a ratio) does not arrive; each is drawn by itself."""

    ratio: Annotated[float, msgspec.Meta(ge=FINEST_RATIO, le=1)]
    direction: Direction = BOTH


class Delay(_Fault, frozen=True, kw_only=True, tag="delay"):
    """What the pod sends arrives so many seconds later, more or less the jitter (seconds; spread evenly), in its order.

    Of the addresses, those that the pod itself sends to count: of a Service's, where it has no sidecar.
    """

    seconds: Annotated[float, msgspec.Meta(gt=0, le=MOST_DELAY_SECONDS)]
    jitter: Annotated[float, msgspec.Meta(ge=0, le=MOST_DELAY_SECONDS)] = 0.0
    direction: Literal["egress"] = EGRESS


_ENDS = {BOTH: "to and from", EGRESS: "to", INGRESS: "from"}
_COUNT = re.compile(r"packets: (\d+)")

Fault = Partition | Loss | Delay
KINDS = tuple(str(each.__struct_config__.tag) for each in (Partition, Loss, Delay))
"""The kinds' names in JSON."""


def parse(text: str) -> Fault:
    """A fault from its JSON.

    Raises:
        FaultError: it is none; the message names the field.
    """
    try:
        fault: Fault = msgspec.json.decode(text, type=Fault)
    except (msgspec.ValidationError, msgspec.DecodeError) as error:
        raise FaultError(str(error)) from None
    _check(fault)
    return fault


def _check(fault: Fault) -> None:
    """See that the fields fit together.

    Raises:
        FaultError: they do not.
    """
    for number, peer in enumerate(fault.peers):
        try:
            ip_network(peer)
        except ValueError as error:
            raise FaultError(f"{error} - at `$.peers[{number}]`") from None
    if isinstance(fault, Delay) and fault.jitter > fault.seconds:
        raise FaultError(f"{fault.jitter:g} is more than `seconds` ({fault.seconds:g}) - at `$.jitter`")


def written(fault: Fault) -> str:
    """A fault's JSON."""
    return msgspec.json.encode(fault).decode()


def described(fault: Fault) -> str:
    """What a fault does, for people."""
    whom = ", ".join(fault.peers) or "anyone"
    where = f" at {', '.join(f'{each.protocol} {each.port}' for each in fault.ports)}" if fault.ports else ""
    which = f"{_ENDS[fault.direction]} {whom}{where}"
    end = micro_timestamp(fault.until)
    match fault:
        case Partition():
            return f"every packet {which} is dropped until {end}"
        case Loss():
            return f"{fault.ratio:.2%} of the packets {which} are dropped until {end}"
        case Delay():
            jitter = f", more or less {fault.jitter:g} s," if fault.jitter else ""
            return f"every packet {which} is held back for {fault.seconds:g} s{jitter} until {end}"


def count_of(packets: int) -> str:
    """How many packets a fault was about, for people; `packets_in` reads it."""
    return f"packets: {packets}"


def packets_in(message: str) -> int | None:
    """How many packets the message of an ended fault tells of; None where it does not."""
    found = _COUNT.search(message)
    return int(found[1]) if found else None


def asked_for(annotations: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Key and JSON of each fault that a pod's annotations ask for."""
    return ((key, text) for key, text in annotations.items() if key.startswith(PREFIX))
