"""Delta discovery responses as bytes, put together from parts that are serialised once for all clients.

In protobuf's encoding a repeated field is its elements one after the other, so a message may be serialised in pieces.
https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

from envoy.service.discovery.v3.discovery_pb2 import DeltaDiscoveryRequest, DeltaDiscoveryResponse
from envoy.service.discovery.v3.discovery_pb2 import Resource as ResourceMessage

from mesh_lab.controlplane.delivery.messages import Request, Resource, Response
from mesh_lab.controlplane.xds.typeurls import SDS

# Tags of length-delimited fields: DeltaDiscoveryResponse.resources and Resource.resource, both field 2.
_FIELD_2 = b"\x12"
_MOST_FRAMES = 20_000
MOST_BYTES = 16 * 1024 * 1024
"""How much of frames is remembered: the routes of a thousand hosts are more than a megabyte, anew with each change."""


class Framer:
    """Encodes responses; remembers the frames of resources, since many proxies are sent the same, up to a bound."""

    def __init__(self) -> None:
        self._frames: dict[tuple[str, str, str], bytes] = {}
        self._size = 0

    @property
    def size(self) -> int:
        """How many bytes are remembered."""
        return self._size

    def encode(self, response: Response) -> bytes:
        """A response, ready to be sent."""
        head = DeltaDiscoveryResponse(
            system_version_info=str(response.snapshot),
            type_url=response.type_url,
            nonce=response.nonce,
            removed_resources=response.removed,
        )
        return b"".join(
            (head.SerializeToString(), *(self._frame(response.type_url, resource) for resource in response.resources))
        )

    def _frame(self, type_url: str, resource: Resource) -> bytes:
        if type_url == SDS:
            # Private keys are one proxy's own, and not to be kept.
            return _frame(resource)
        key = (type_url, resource.name, resource.version)
        frame = self._frames.get(key)
        if frame is None:
            frame = _frame(resource)
            self._remember(key, frame)
        return frame

    def _remember(self, key: tuple[str, str, str], frame: bytes) -> None:
        if len(self._frames) >= _MOST_FRAMES or self._size + len(frame) > MOST_BYTES:
            self._frames.clear()
            self._size = 0
        if len(frame) <= MOST_BYTES:
            self._frames[key] = frame
            self._size += len(frame)


def request(message: DeltaDiscoveryRequest) -> Request:
    """A client's request, decoded."""
    return Request(
        type_url=message.type_url,
        nonce=message.response_nonce,
        error=message.error_detail.message or "no reason given" if message.HasField("error_detail") else None,
        subscribe=tuple(message.resource_names_subscribe),
        unsubscribe=tuple(message.resource_names_unsubscribe),
        initial_versions=dict(message.initial_resource_versions),
    )


def _frame(resource: Resource) -> bytes:
    head = ResourceMessage(name=resource.name, version=resource.version).SerializeToString()
    return _delimited(head + _delimited(resource.body))


def _delimited(content: bytes) -> bytes:
    return _FIELD_2 + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    parts = bytearray()
    while number > 0x7F:
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    parts.append(number)
    return bytes(parts)
